// Ray marching through an occupancy grid. `mark` marches the rays and stores one bit per step; `write` converts the
// bits to packed intervals. Two calls, so that the caller can allocate in between. Same arithmetic and order as
// ref/march.py, so that both find the same intervals.
//
// Empty space is skipped with a coarse grid. This changes no bit: along a ray each cell coordinate is monotonic in the
// step, in rounded arithmetic too, so that all cells between two steps are in the box spanned by the two.

#include <cmath>
#include <cstring>
#include <memory>
#include <new>

#include "parallel.h"

namespace {

using bozzetto::ParallelFor;

constexpr int64_t kGrain = 64;  // rays
constexpr int kWord = 64;       // steps per word of bits
constexpr int kGroup = 16;      // steps skipped together
constexpr int kAhead = 32;      // groups tested together: a word of first steps and last ones
constexpr int kSmallestShift = 2;  // coarse cells are at least 4 cells wide
constexpr float kSmallestSlope = 1e-12f;
constexpr int32_t kOutOfMemory = -3;

struct Span {
    float near;
    float far;
};

Span cube_span(const float* origin, const float* direction, float radius) {
    Span span{0.0f, INFINITY};
    for (int axis = 0; axis < 3; ++axis) {
        const float slope = std::fabs(direction[axis]) < kSmallestSlope ? kSmallestSlope : direction[axis];
        const float low = (-radius - origin[axis]) / slope;
        const float high = (radius - origin[axis]) / slope;
        if (low != low || high != high) return Span{0.0f, -INFINITY};  // a NaN ray hits nothing
        span.near = std::fmax(span.near, std::fmin(low, high));
        span.far = std::fmin(span.far, std::fmax(low, high));
    }
    return span;
}

struct Grid {
    const uint8_t* occupied;
    int32_t side;
    float radius;
    float cells_per_unit;

    int32_t cell(float coordinate) const {
        const float last = static_cast<float>(side - 1);
        float at = (coordinate + radius) * cells_per_unit;
        at = at > 0.0f ? at : 0.0f;
        return static_cast<int32_t>(at < last ? at : last);
    }
};

// State of one ray for its steps.
struct Walk {
    float origin[3];
    float direction[3];
    Span span;
    float shift;
    float step_size;

    float t_start(int32_t step) const { return span.near + (static_cast<float>(step) + (shift - 0.5f)) * step_size; }
    float t_end(int32_t step) const { return span.near + (static_cast<float>(step) + (shift + 0.5f)) * step_size; }
    float middle(int32_t step) const { return 0.5f * (t_start(step) + t_end(step)); }
};

// Occupancy by blocks of 2^shift cells: whether a block, or the next one along any of the axes, has an occupied cell,
// so that one lookup covers a box that crosses at most one border per axis.
class CoarseGrid {
  public:
    CoarseGrid(const Grid& grid, float step_size) {
        const float cells = static_cast<float>(kGroup) * step_size * grid.cells_per_unit;  // maximum extent of a group
        while (shift_ < 30 && static_cast<float>(int64_t{1} << shift_) < cells && (grid.side - 1) >> shift_ > 0) ++shift_;
        side_ = ((grid.side - 1) >> shift_) + 1;
        const size_t count = static_cast<size_t>(side_) * side_ * side_;
        memory_.reset(new (std::nothrow) uint8_t[count + grid.side]);
        if (!memory_) return;
        any_ = memory_.get();
        std::memset(any_, 0, count);
        reduce(grid, any_ + count);
        for (int axis = 0; axis < 3; ++axis) spread(axis);
    }

    bool ready() const { return memory_ != nullptr; }

    // Returns false if no cell between two steps is occupied; `from` and `to` are the cells of the two.
    bool maybe(const int32_t* from, const int32_t* to) const {
        int32_t block = 0, reach = 0;
        for (int axis = 0; axis < 3; ++axis) {
            const int32_t a = from[axis] >> shift_, b = to[axis] >> shift_, low = a < b ? a : b;
            block = block * side_ + low;
            reach |= (a ^ b ^ low) - low;
        }
        return reach > 1 || any_[block];
    }

  private:
    void reduce(const Grid& grid, uint8_t* merged) {
        const int32_t side = grid.side, width = 1 << shift_;
        for (int32_t x = 0; x < side; x += width) {
            for (int32_t y = 0; y < side; y += width) {
                std::memset(merged, 0, side);
                for (int32_t i = x; i < side && i < x + width; ++i) {
                    for (int32_t j = y; j < side && j < y + width; ++j) {
                        const uint8_t* line = grid.occupied + (static_cast<int64_t>(i) * side + j) * side;
                        for (int32_t z = 0; z < side; ++z) merged[z] |= line[z];
                    }
                }
                uint8_t* row = any_ + ((x >> shift_) * side_ + (y >> shift_)) * side_;
                for (int32_t z = 0; z < side; ++z) row[z >> shift_] |= merged[z];
            }
        }
    }

    // Each block includes the next one along the axis; in ascending order, so that it does not include the one after,
    // too.
    void spread(int axis) {
        const int32_t stride = axis == 0 ? side_ * side_ : axis == 1 ? side_ : 1;
        for (int32_t x = 0; x < side_ - (axis == 0); ++x)
            for (int32_t y = 0; y < side_ - (axis == 1); ++y)
                for (int32_t z = 0; z < side_ - (axis == 2); ++z) {
                    uint8_t* block = any_ + (x * side_ + y) * side_ + z;
                    *block |= block[stride];
                }
    }

    int shift_ = kSmallestShift;
    int32_t side_ = 0;
    std::unique_ptr<uint8_t[]> memory_;
    uint8_t* any_ = nullptr;
};

// Positions of a ray at the midpoints of 64 steps.
struct Places {
    alignas(64) float step[kWord];
    alignas(64) float middle[kWord];
    alignas(64) int32_t cell[3][kWord];

    // From `step`. No branches and long loops, for vectorisation.
    void locate(const Walk& walk, const Grid& grid) {
        const float near = walk.span.near, step_size = walk.step_size;
        const float low = walk.shift - 0.5f, high = walk.shift + 0.5f;
        for (int i = 0; i < kWord; ++i)
            middle[i] = 0.5f * ((near + (step[i] + low) * step_size) + (near + (step[i] + high) * step_size));
        for (int axis = 0; axis < 3; ++axis) {
            const float origin = walk.origin[axis], direction = walk.direction[axis];
            for (int i = 0; i < kWord; ++i) cell[axis][i] = grid.cell(origin + middle[i] * direction);
        }
    }
};

// Bit i is byte i of 64 bytes that are 0 or 1. The product gathers the low bits of eight bytes in its top byte.
inline uint64_t pack(const uint8_t* bytes) {
    uint64_t bits = 0;
    for (int k = 0; k < 8; ++k) {
        uint64_t eight = 0;
        for (int i = 0; i < 8; ++i) eight |= static_cast<uint64_t>(bytes[8 * k + i]) << (8 * i);
        bits |= (eight * 0x0102040810204080u >> 56) << (8 * k);
    }
    return bits;
}

// Finds the groups of steps, starting at step `first`, that may hit an occupied cell; returns their number.
int look_ahead(const Walk& walk, const Grid& grid, const CoarseGrid& coarse, int32_t first, Places& ends,
               int32_t* found) {
    for (int i = 0; i < kAhead; ++i) ends.step[i] = static_cast<float>(first + i * kGroup);
    for (int i = 0; i < kAhead; ++i) ends.step[i + kAhead] = static_cast<float>(first + i * kGroup + kGroup - 1);
    ends.locate(walk, grid);
    int count = 0;
    for (int i = 0; i < kAhead && ends.middle[i] < walk.span.far; ++i) {
        const int32_t from[3] = {ends.cell[0][i], ends.cell[1][i], ends.cell[2][i]};
        const int32_t to[3] = {ends.cell[0][i + kAhead], ends.cell[1][i + kAhead], ends.cell[2][i + kAhead]};
        found[count] = i;
        count += coarse.maybe(from, to);
    }
    return count;
}

// Bits of up to four groups: steps whose midpoint is before the exit and in an occupied cell.
uint64_t mark_groups(const Walk& walk, const Grid& grid, int32_t first, const int32_t* group, int count, Places& at) {
    alignas(64) int32_t row[kWord];
    alignas(64) uint8_t hit[kWord] = {};
    for (int k = 0; k < kWord / kGroup; ++k) {
        const int32_t start = first + group[k < count ? k : 0] * kGroup;
        for (int i = 0; i < kGroup; ++i) at.step[k * kGroup + i] = static_cast<float>(start + i);
    }
    at.locate(walk, grid);
    for (int i = 0; i < kWord; ++i) row[i] = (at.cell[0][i] * grid.side + at.cell[1][i]) * grid.side + at.cell[2][i];
    for (int i = 0; i < count * kGroup; ++i)
        hit[i] = grid.occupied[row[i]] & static_cast<uint8_t>(at.middle[i] < walk.span.far);
    return pack(hit);
}

int64_t mark_ray(const Walk& walk, const Grid& grid, const CoarseGrid& coarse, int32_t limit, uint64_t* words) {
    constexpr int kPerWord = kWord / kGroup;
    constexpr uint64_t kGroupMask = (uint64_t{1} << kGroup) - 1;
    Places places;
    int32_t group[kAhead];
    const int32_t count = (limit + kWord - 1) / kWord;
    std::memset(words, 0, sizeof(uint64_t) * count);
    for (int32_t first = 0; first < limit && walk.t_start(first) < walk.span.far; first += kAhead * kGroup) {
        const int groups = look_ahead(walk, grid, coarse, first, places, group);
        for (int k = 0; k < groups; k += kPerWord) {
            const int some = groups - k < kPerWord ? groups - k : kPerWord;
            const uint64_t bits = mark_groups(walk, grid, first, group + k, some, places);
            for (int i = 0; i < some; ++i) {
                const int32_t step = first + group[k + i] * kGroup;
                if (step < limit) words[step / kWord] |= (bits >> (i * kGroup) & kGroupMask) << (step % kWord);
            }
        }
    }
    if (limit % kWord) words[count - 1] &= (uint64_t{1} << (limit % kWord)) - 1;
    int64_t found = 0;
    for (int32_t w = 0; w < count; ++w) found += __builtin_popcountll(words[w]);
    return found;
}

}  // namespace

// bits "R W" with W = ceil(max_steps / 64): step k of a ray is bit k % 64 of word k / 64. found_by_ray "R": bits set.
// near "R": distance of the entry. shift "R": jitter.
BOZZETTO_EXPORT int32_t bozzetto_march_mark(ParallelFor pool, int64_t rays, const float* origin,
                                            const float* direction, const float* shift, float radius,
                                            const uint8_t* occupancy, int64_t resolution, float cells_per_unit,
                                            float step_size, int64_t max_steps, uint64_t* bits, int64_t* found_by_ray,
                                            float* near) {
    const int32_t limit = static_cast<int32_t>(max_steps);
    const int32_t words = (limit + kWord - 1) / kWord;
    const Grid grid{occupancy, static_cast<int32_t>(resolution), radius, cells_per_unit};
    const CoarseGrid coarse(grid, step_size);
    if (!coarse.ready()) return kOutOfMemory;
    return bozzetto::parallel(pool, rays, kGrain, [=, &coarse](int64_t begin, int64_t end) {
        for (int64_t ray = begin; ray < end; ++ray) {
            const float* o = origin + 3 * ray;
            const float* d = direction + 3 * ray;
            const Span span = cube_span(o, d, radius);
            const Walk walk{{o[0], o[1], o[2]}, {d[0], d[1], d[2]}, span, shift[ray], step_size};
            near[ray] = span.near;
            found_by_ray[ray] = mark_ray(walk, grid, coarse, limit, bits + ray * words);
        }
    });
}

// Writes the intervals of ray r to rows offsets[r] to offsets[r + 1], one per bit.
BOZZETTO_EXPORT int32_t bozzetto_march_write(ParallelFor pool, int64_t rays, const float* near, const float* shift,
                                             float step_size, int64_t max_steps, const uint64_t* bits,
                                             const int64_t* offsets, float* t_start, float* t_end, int64_t* ray_of) {
    const int32_t words = static_cast<int32_t>((max_steps + kWord - 1) / kWord);
    return bozzetto::parallel(pool, rays, kGrain, [=](int64_t begin, int64_t end) {
        for (int64_t ray = begin; ray < end; ++ray) {
            const Walk walk{{}, {}, {near[ray], 0.0f}, shift[ray], step_size};
            int64_t row = offsets[ray];
            for (int32_t w = 0; w < words; ++w) {
                for (uint64_t rest = bits[ray * words + w]; rest; rest &= rest - 1, ++row) {
                    const int32_t step = w * kWord + __builtin_ctzll(rest);
                    t_start[row] = walk.t_start(step);
                    t_end[row] = walk.t_end(step);
                    ray_of[row] = ray;
                }
            }
        }
    });
}
