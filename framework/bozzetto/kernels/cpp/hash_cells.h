// Table rows, interpolation weights and their derivatives for a block of points in one level of the grid. All loops run
// over the lanes of a block and are written for vectorisation.
#pragma once

#include <cstdint>
#include <cstring>

namespace bozzetto {

constexpr int kBlock = 64;  // points whose rows and weights stay in the first-level cache
constexpr uint32_t kPrimes[3] = {1u, 2654435761u, 805459861u};

// Mirrored by bozzetto.kernels.cpp.hash_encode.
struct Level {
    float scale;
    uint32_t resolution;
    uint32_t offset;
    uint32_t size;
    uint32_t hashed;
};

using Lane = float[kBlock];

// Cells of a block of points in one level. Corner c of a cell is its low vertex plus (c & 1, c >> 1 & 1, c >> 2).
struct Cells {
    uint32_t row[8][kBlock];
    Lane blend[3];  // interpolation weight of the far vertex along each axis
    Lane slope[3];  // its derivative with respect to the coordinate: 0 where that was clamped
    Lane bend[3];   // its second derivative
};

// Rows of lanes from a feature-major array with `n` points, from point `first` on; zeros fill the block.
template <int Rows>
inline void load(const float* source, int64_t n, int64_t first, int count, Lane* lanes) {
    for (int row = 0; row < Rows; ++row) {
        std::memcpy(lanes[row], source + row * n + first, sizeof(float) * count);
        for (int i = count; i < kBlock; ++i) lanes[row][i] = 0.0f;
    }
}

// `low`: cell of each point along one axis; `blend`: fractional position in it.
inline void locate_axis(const Lane& point, float scale, uint32_t* low, Lane& blend) {
    for (int i = 0; i < kBlock; ++i) {
        const float x = point[i];
        float inside = x > 0.0f ? x : 0.0f;  // NaN becomes 0 here, and is restored through `not_a_number`
        inside = inside < 1.0f ? inside : 1.0f;
        const float not_a_number = x == x ? 0.0f : x;
        const float position = inside * scale + 0.5f;
        const int32_t cell = static_cast<int32_t>(position);
        low[i] = static_cast<uint32_t>(cell);
        blend[i] = position - static_cast<float>(cell) + not_a_number;
    }
}

inline void locate(const Lane* point, const Level& level, Cells& cells) {
    alignas(64) uint32_t term[3][2][kBlock];  // contribution of the low and the high vertex along each axis to the row
    const uint32_t dense[3] = {1, level.resolution, level.resolution * level.resolution};
    const uint32_t* factor = level.hashed ? kPrimes : dense;
    for (int axis = 0; axis < 3; ++axis) {
        const uint32_t step = factor[axis];
        locate_axis(point[axis], level.scale, term[axis][0], cells.blend[axis]);
        for (int i = 0; i < kBlock; ++i) {
            term[axis][0][i] *= step;
            term[axis][1][i] = term[axis][0][i] + step;
        }
    }
    const uint32_t size = level.size;
    for (int c = 0; c < 8; ++c) {
        const uint32_t* x = term[0][c & 1];
        const uint32_t* y = term[1][c >> 1 & 1];
        const uint32_t* z = term[2][c >> 2];
        uint32_t* row = cells.row[c];
        if (level.hashed) {
            for (int i = 0; i < kBlock; ++i) row[i] = (x[i] ^ y[i] ^ z[i]) & (size - 1);
        } else {
            for (int i = 0; i < kBlock; ++i) {
                // At most resolution + resolution^2 + resolution^3, less than twice the size: wraps around once.
                const uint32_t sum = x[i] + y[i] + z[i];
                row[i] = sum < size ? sum : sum - size;
            }
        }
    }
}

// Interpolation curve: converts `blend` to a weight.
inline void ease_axis(Lane& blend) {
    for (int i = 0; i < kBlock; ++i) blend[i] = blend[i] * blend[i] * (3.0f - 2.0f * blend[i]);
}

// Derivatives of that weight with respect to the coordinate.
inline void bend_axis(const Lane& point, const Lane& blend, float scale, bool smoothstep, Lane& slope, Lane& bend) {
    for (int i = 0; i < kBlock; ++i) {
        const float x = point[i], t = blend[i];
        const float rate = ((x >= 0.0f) & (x <= 1.0f)) ? scale : 0.0f;
        slope[i] = smoothstep ? rate * (6.0f * t * (1.0f - t)) : rate;
        bend[i] = smoothstep ? rate * rate * (6.0f - 12.0f * t) : 0.0f;
    }
}

inline void weigh(const Cells& cells, Lane* weight) {
    for (int c = 0; c < 8; ++c) {
        const bool x = c & 1, y = c >> 1 & 1, z = c >> 2;
        for (int i = 0; i < kBlock; ++i) {
            const float wx = x ? cells.blend[0][i] : 1.0f - cells.blend[0][i];
            const float wy = y ? cells.blend[1][i] : 1.0f - cells.blend[1][i];
            const float wz = z ? cells.blend[2][i] : 1.0f - cells.blend[2][i];
            weight[c][i] = wx * wy * wz;
        }
    }
}

inline void weigh_along(const Cells& cells, const Lane* tangent, Lane* weight) {
    for (int c = 0; c < 8; ++c) {
        const bool x = c & 1, y = c >> 1 & 1, z = c >> 2;
        for (int i = 0; i < kBlock; ++i) {
            const float wx = x ? cells.blend[0][i] : 1.0f - cells.blend[0][i];
            const float wy = y ? cells.blend[1][i] : 1.0f - cells.blend[1][i];
            const float wz = z ? cells.blend[2][i] : 1.0f - cells.blend[2][i];
            const float vx = (x ? tangent[0][i] : -tangent[0][i]) * cells.slope[0][i];
            const float vy = (y ? tangent[1][i] : -tangent[1][i]) * cells.slope[1][i];
            const float vz = (z ? tangent[2][i] : -tangent[2][i]) * cells.slope[2][i];
            weight[c][i] = vx * wy * wz + wx * vy * wz + wx * wy * vz;
        }
    }
}

// Rows and weights of one block, and the tangent if there is one.
struct Block {
    alignas(64) Lane point[3];
    alignas(64) Lane tangent[3];
    alignas(64) Cells cells;
    alignas(64) Lane weight[8];

    void prepare(const float* points, int64_t n, int64_t first, int count, const Level& level, bool smoothstep) {
        load<3>(points, n, first, count, point);
        locate(point, level, cells);
        if (smoothstep)
            for (Lane& blend : cells.blend) ease_axis(blend);
    }

    void prepare_slopes(const float* points, const float* tangents, int64_t n, int64_t first, int count,
                        const Level& level, bool smoothstep) {
        load<3>(points, n, first, count, point);
        locate(point, level, cells);
        for (int axis = 0; axis < 3; ++axis) {
            Lane& blend = cells.blend[axis];
            bend_axis(point[axis], blend, level.scale, smoothstep, cells.slope[axis], cells.bend[axis]);
            if (smoothstep) ease_axis(blend);
        }
        if (tangents) load<3>(tangents, n, first, count, tangent);
    }

    // Interpolation weights of the corners, or with tangents, their derivatives along these.
    void prepare_weights(const float* points, const float* tangents, int64_t n, int64_t first, int count,
                         const Level& level, bool smoothstep) {
        if (tangents) {
            prepare_slopes(points, tangents, n, first, count, level, smoothstep);
            weigh_along(cells, tangent, weight);
        } else {
            prepare(points, n, first, count, level, smoothstep);
            weigh(cells, weight);
        }
    }
};

inline float lerp(float low, float high, float t) { return low + t * (high - low); }

// Differences of the values at a cell's corners, interpolated along the other axes.
struct Differences {
    float x, y, z, xy, xz, yz;

    Differences(const Cells& cells, const Lane* corner, int i) {
        const float sx = cells.blend[0][i], sy = cells.blend[1][i], sz = cells.blend[2][i];
        float across[4], mean[4];  // along x, for each of the four edges (y, z)
        for (int e = 0; e < 4; ++e) {
            across[e] = corner[2 * e + 1][i] - corner[2 * e][i];
            mean[e] = lerp(corner[2 * e][i], corner[2 * e + 1][i], sx);
        }
        const float x_low = lerp(across[0], across[1], sy), x_high = lerp(across[2], across[3], sy);
        const float y_low = mean[1] - mean[0], y_high = mean[3] - mean[2];
        x = lerp(x_low, x_high, sz);
        y = lerp(y_low, y_high, sz);
        z = lerp(mean[2], mean[3], sy) - lerp(mean[0], mean[1], sy);
        xy = lerp(across[1] - across[0], across[3] - across[2], sz);
        xz = x_high - x_low;
        yz = y_high - y_low;
    }
};

// Gradient, with respect to the point, of the interpolation between the values at the corners.
inline void gradient(const Cells& cells, const Lane* corner, Lane* result) {
    for (int i = 0; i < kBlock; ++i) {
        const Differences d(cells, corner, i);
        result[0][i] = cells.slope[0][i] * d.x;
        result[1][i] = cells.slope[1][i] * d.y;
        result[2][i] = cells.slope[2][i] * d.z;
    }
}

// Hessian of the same, times the tangent. Separate from the above: without a tangent, a vectorised loop would still
// compute with uninitialised values, and denormal numbers are slow.
inline void hessian_times(const Cells& cells, const Lane* tangent, const Lane* corner, Lane* result) {
    for (int i = 0; i < kBlock; ++i) {
        const Differences d(cells, corner, i);
        const float kx = cells.slope[0][i], ky = cells.slope[1][i], kz = cells.slope[2][i];
        const float vx = tangent[0][i], vy = tangent[1][i], vz = tangent[2][i];
        result[0][i] = cells.bend[0][i] * vx * d.x + kx * (ky * vy * d.xy + kz * vz * d.xz);
        result[1][i] = cells.bend[1][i] * vy * d.y + ky * (kx * vx * d.xy + kz * vz * d.yz);
        result[2][i] = cells.bend[2][i] * vz * d.z + kz * (kx * vx * d.xz + ky * vy * d.yz);
    }
}

}  // namespace bozzetto
