// Multiresolution hash encoding (Mueller et al. 2022, Instant Neural Graphics Primitives, sec. 3) on a CPU.
//
// Levels are outermost: the table of one level fits the last-level cache, that of all levels does not. Within a level,
// table rows and weights of a block of points are computed in vectorised loops, then the table is accessed point by
// point. Per-point arrays are feature-major: "F N". Points are "3 N". Rows stay inside the table for every input, NaN
// included.
//
// Every function takes an optional tangent "3 N": it replaces the interpolation weights by their directional
// derivatives along the tangent, which is all that second derivatives need.

#include <atomic>
#include <cstring>

#include "entries.h"
#include "hash_cells.h"
#include "parallel.h"

namespace {

using namespace bozzetto;

constexpr int64_t kGrain = 2048;        // minimum points per thread
constexpr int64_t kChunk = 16384;       // points of one level processed by a thread at a time
constexpr size_t kNearCache = 1 << 20;  // bytes of the table in a core's own cache

struct Grid {
    const Level* levels;
    int32_t count;
    bool smoothstep;
};

int block_size(int64_t first, int64_t end) { return static_cast<int>(end - first < kBlock ? end - first : kBlock); }

// Pointers to the lanes, starting at point i.
template <int F>
struct Features {
    float* at[F];

    Features(Lane* lanes, int i) {
        for (int f = 0; f < F; ++f) at[f] = lanes[f] + i;
    }
};

// Prefetches all entries of the block. Always inline: GCC 12 assumes that a function which only prefetches has no
// effect.
template <int F>
inline __attribute__((always_inline)) void prefetch(const Cells& cells, const float* entries) {
    for (int c = 0; c < 8; ++c)
        for (int i = 0; i < kBlock; ++i) __builtin_prefetch(entries + int64_t{cells.row[c][i]} * F, 1);
}

template <int F>
int32_t gather(ParallelFor pool, Grid grid, int64_t n, const float* points, const float* tangents, const float* table,
               float* out) {
    const int64_t chunks = (n + kChunk - 1) / kChunk;
    return parallel_pieces(n < kGrain ? nullptr : pool, grid.count * chunks, 1, [=](int64_t begin, int64_t end) {
        Block block;
        alignas(64) Lane sums[F];
        for (int64_t piece = begin; piece < end; ++piece) {  // level by level, so that all threads read the same table
            const int64_t l = piece / chunks, low = piece % chunks * kChunk, high = low + kChunk < n ? low + kChunk : n;
            const Level level = grid.levels[l];
            const float* entries = table + static_cast<int64_t>(level.offset) * F;
            float* encoded = out + l * F * n;
            for (int64_t first = low; first < high; first += kBlock) {
                const int count = block_size(first, high);
                block.prepare_weights(points, tangents, n, first, count, level, grid.smoothstep);
                if (sizeof(float) * F * level.size > kNearCache) prefetch<F>(block.cells, entries);
                for (int i = 0; i < count; i += Entries<F>::kCount) {
                    Entries<F> sum;
                    for (int c = 0; c < 8; ++c)
                        sum.add(block.weight[c] + i, Entries<F>::load(entries, block.cells.row[c] + i));
                    sum.store(Features<F>(sums, i).at);
                }
                for (int f = 0; f < F; ++f) std::memcpy(encoded + f * n + first, sums[f], sizeof(float) * count);
            }
        }
    });
}

// The lanes of one point.
template <int F>
typename Entry<F>::Vector point_of(const Lane* lanes, int i) {
    typename Entry<F>::Vector vector;
    for (int f = 0; f < F; ++f) vector[f] = lanes[f][i];
    return vector;
}

// Each level is processed by one thread: no atomics, and results independent of the number of threads. The finest
// levels, which take longest, are scheduled first.
template <int F>
int32_t scatter(ParallelFor pool, Grid grid, int64_t n, const float* points, const float* tangents, const float* grad,
                const float* also, float* grad_table) {
    std::atomic<int32_t> left{grid.count};
    return parallel(n < kGrain ? nullptr : pool, grid.count, 1, [=, &left](int64_t, int64_t) {
        Block block;
        alignas(64) Lane grads[F];
        alignas(64) Lane plain[8], plain_grads[F];
        for (int32_t l = --left; l >= 0; l = --left) {
            const Level level = grid.levels[l];
            float* entries = grad_table + static_cast<int64_t>(level.offset) * F;
            const size_t bytes = sizeof(float) * F * level.size;
            std::memset(entries, 0, bytes);
            for (int64_t first = 0; first < n; first += kBlock) {
                const int count = block_size(first, n);
                block.prepare_weights(points, tangents, n, first, count, level, grid.smoothstep);
                if (bytes > kNearCache) prefetch<F>(block.cells, entries);
                load<F>(grad + static_cast<int64_t>(l) * F * n, n, first, count, grads);
                if (also) {
                    weigh(block.cells, plain);
                    load<F>(also + static_cast<int64_t>(l) * F * n, n, first, count, plain_grads);
                }
                for (int i = 0; i < count; ++i) {
                    const auto g = point_of<F>(grads, i), h = also ? point_of<F>(plain_grads, i) : g;
                    for (int c = 0; c < 8; ++c) {
                        float* entry = entries + int64_t{block.cells.row[c][i]} * F;
                        auto sum = Entry<F>::load(entry) + block.weight[c][i] * g;
                        if (also) sum += plain[c][i] * h;
                        Entry<F>::store(entry, sum);
                    }
                }
            }
        }
    });
}

template <int F>
int32_t pull(ParallelFor pool, Grid grid, int64_t n, const float* points, const float* tangents, const float* table,
             const float* grad, float* grad_points) {
    return parallel(pool, n, kGrain, [=](int64_t begin, int64_t end) {
        Block block;
        alignas(64) Lane grads[F];
        alignas(64) Lane corner[8] = {};
        alignas(64) Lane result[3];
        for (int32_t l = 0; l < grid.count; ++l) {
            const Level level = grid.levels[l];
            const float* entries = table + static_cast<int64_t>(level.offset) * F;
            for (int64_t first = begin; first < end; first += kBlock) {
                const int count = block_size(first, end);
                block.prepare_slopes(points, tangents, n, first, count, level, grid.smoothstep);
                load<F>(grad + static_cast<int64_t>(l) * F * n, n, first, count, grads);
                for (int i = 0; i < count; i += Entries<F>::kCount) {
                    const auto g = Entries<F>::zip(Features<F>(grads, i).at);
                    for (int c = 0; c < 8; ++c)
                        g.dot(Entries<F>::load(entries, block.cells.row[c] + i), corner[c] + i);
                }
                if (tangents) {
                    hessian_times(block.cells, block.tangent, corner, result);
                } else {
                    gradient(block.cells, corner, result);
                }
                for (int axis = 0; axis < 3; ++axis) {
                    float* out = grad_points + axis * n + first;
                    if (l == 0) {
                        std::memcpy(out, result[axis], sizeof(float) * count);
                    } else {
                        for (int i = 0; i < count; ++i) out[i] += result[axis][i];
                    }
                }
            }
        }
    });
}

}  // namespace

constexpr int32_t kBadFeatureCount = -1;

#define BOZZETTO_BY_FEATURES(call)                \
    switch (features) {                           \
        case 1: return call(1);                   \
        case 2: return call(2);                   \
        case 4: return call(4);                   \
        case 8: return call(8);                   \
        default: return kBadFeatureCount;         \
    }

// out "LF N": the encoded points, or their derivative along the tangents.
BOZZETTO_EXPORT int32_t bozzetto_hash_gather(ParallelFor pool, const Level* levels, int64_t level_count,
                                             int64_t features, int64_t smoothstep, int64_t n, const float* points,
                                             const float* tangents, const float* table, float* out) {
    const Grid grid{levels, static_cast<int32_t>(level_count), smoothstep != 0};
#define CALL(F) gather<F>(pool, grid, n, points, tangents, table, out)
    BOZZETTO_BY_FEATURES(CALL)
#undef CALL
}

// grad_table "P F" = the transpose of the above applied to grad "LF N"; overwritten, all of it. With tangents, `also`
// ("LF N", or null) adds the transpose of the encoding itself.
BOZZETTO_EXPORT int32_t bozzetto_hash_scatter(ParallelFor pool, const Level* levels, int64_t level_count,
                                              int64_t features, int64_t smoothstep, int64_t n, const float* points,
                                              const float* tangents, const float* grad, const float* also,
                                              float* grad_table) {
    const Grid grid{levels, static_cast<int32_t>(level_count), smoothstep != 0};
#define CALL(F) scatter<F>(pool, grid, n, points, tangents, grad, also, grad_table)
    BOZZETTO_BY_FEATURES(CALL)
#undef CALL
}

// grad_points "3 N": gradient of <grad, encoded>, or of its derivative along the tangents, with respect to the points.
BOZZETTO_EXPORT int32_t bozzetto_hash_pull(ParallelFor pool, const Level* levels, int64_t level_count,
                                           int64_t features, int64_t smoothstep, int64_t n, const float* points,
                                           const float* tangents, const float* table, const float* grad,
                                           float* grad_points) {
    const Grid grid{levels, static_cast<int32_t>(level_count), smoothstep != 0};
#define CALL(F) pull<F>(pool, grid, n, points, tangents, table, grad, grad_points)
    BOZZETTO_BY_FEATURES(CALL)
#undef CALL
}
