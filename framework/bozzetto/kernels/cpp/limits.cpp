// Measures the hardware's limits, with which kernels are compared.

#include <cstring>

#include "parallel.h"

namespace {

using bozzetto::ParallelFor;

constexpr int64_t kTriadGrain = 1 << 14;  // numbers
constexpr int64_t kTableGrain = 1 << 12;  // accesses
constexpr int kBlock = 64;                // accesses whose rows are computed together, in registers and L1

// Unpredictable rows: a hash of the running index (the finalizer of MurmurHash3, without its last step).
inline void scatter_rows(int64_t first, uint32_t mask, uint32_t* row) {
    for (int i = 0; i < kBlock; ++i) {
        uint32_t h = static_cast<uint32_t>(first + i);
        h ^= h >> 16;
        h *= 0x85ebca6bu;
        h ^= h >> 13;
        h *= 0xc2b2ae35u;
        row[i] = (h ^ (h >> 16)) & mask;
    }
}

}  // namespace

// STREAM's triad (McCalpin 1995): a = b + scale * c; 12 bytes per element.
BOZZETTO_EXPORT int32_t bozzetto_limit_triad(ParallelFor pool, int64_t count, const float* b, const float* c,
                                             float scale, float* a) {
    return bozzetto::parallel(pool, count, kTriadGrain, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) a[i] = b[i] + scale * c[i];
    });
}

// Reads `count` pairs of floats from random rows of a table; rows and count are powers of two, count at least 64.
// `sums` receives a pair per 64 reads, so that no read is optimised away.
BOZZETTO_EXPORT int32_t bozzetto_limit_gather(ParallelFor pool, int64_t count, int64_t rows, const float* table,
                                              float* sums) {
    const uint32_t mask = static_cast<uint32_t>(rows - 1);
    return bozzetto::parallel(pool, count / kBlock, kTableGrain / kBlock, [=](int64_t begin, int64_t end) {
        uint32_t row[kBlock];
        for (int64_t block = begin; block < end; ++block) {
            scatter_rows(block * kBlock, mask, row);
            float low[4] = {}, high[4] = {};
            for (int i = 0; i < kBlock; i += 4) {
                for (int lane = 0; lane < 4; ++lane) {
                    float pair[2];
                    std::memcpy(pair, table + 2 * static_cast<int64_t>(row[i + lane]), sizeof pair);
                    low[lane] += pair[0];
                    high[lane] += pair[1];
                }
            }
            sums[2 * block] = low[0] + low[1] + low[2] + low[3];
            sums[2 * block + 1] = high[0] + high[1] + high[2] + high[3];
        }
    });
}

// Adds to `count` pairs of floats at random rows of a table, like a gradient scatter. One thread, since rows collide.
BOZZETTO_EXPORT int32_t bozzetto_limit_add(ParallelFor, int64_t count, int64_t rows, float* table) {
    const uint32_t mask = static_cast<uint32_t>(rows - 1);
    uint32_t row[kBlock];
    for (int64_t block = 0; block < count / kBlock; ++block) {
        scatter_rows(block * kBlock, mask, row);
        for (int i = 0; i < kBlock; ++i) {
            float pair[2];
            float* at = table + 2 * static_cast<int64_t>(row[i]);
            std::memcpy(pair, at, sizeof pair);
            pair[0] += 1.0f;
            pair[1] += 1.0f;
            std::memcpy(at, pair, sizeof pair);
        }
    }
    return 0;
}
