// Runs a body over a range on the caller's thread pool, or on the current thread.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(_WIN32)
#define BOZZETTO_EXPORT extern "C" __declspec(dllexport)
#else
#define BOZZETTO_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace bozzetto {

using Range = void (*)(int64_t begin, int64_t end, void* body);

// `torch_parallel_for` of torch/csrc/stable/c/shim.h: kernels run on torch's threads without torch's headers.
using ParallelFor = int32_t (*)(int64_t begin, int64_t end, int64_t grain, Range range, void* body);

// Calls body(begin, end) on disjoint pieces of [0, count) of at least `grain` each. Returns 0, or the pool's error
// code.
template <class Body>
int32_t parallel(ParallelFor pool, int64_t count, int64_t grain, const Body& body) {
    if (count <= 0) return 0;
    if (pool == nullptr || count <= grain) {
        body(int64_t{0}, count);
        return 0;
    }
    const Range range = [](int64_t begin, int64_t end, void* erased) {
        (*static_cast<const Body*>(erased))(begin, end);
    };
    return pool(0, count, grain, range, const_cast<Body*>(&body));
}

// Runs in pieces of `size`, each processed by the next free thread, so that a thread delayed by another process delays
// only one piece instead of half of the work. The body must not depend on the thread that runs it.
template <class Body>
int32_t parallel_pieces(ParallelFor pool, int64_t count, int64_t size, const Body& body) {
    const int64_t pieces = (count + size - 1) / size;
    std::atomic<int64_t> next{0};
    return parallel(pool, pieces, 1, [&](int64_t, int64_t) {
        for (int64_t piece = next++; piece < pieces; piece = next++)
            body(piece * size, (piece + 1) * size < count ? (piece + 1) * size : count);
    });
}

}  // namespace bozzetto
