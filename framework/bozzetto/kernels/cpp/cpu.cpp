// Returns whether this processor supports the instruction set of this library. Must itself run on any processor.
#include "parallel.h"

#if defined(__AVX2__) && (defined(__GNUC__) || defined(__clang__))
BOZZETTO_EXPORT __attribute__((target("no-avx"))) int32_t bozzetto_runs_here() {
    __builtin_cpu_init();
#if defined(__AVX512F__)
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")) return 0;
    if (!__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) return 0;
#endif
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
}
#else
BOZZETTO_EXPORT int32_t bozzetto_runs_here() { return 1; }
#endif
