// Interpolation of vertex attributes over rasterised pixels; see ref/interpolate.py.

#include <cstring>

#include "parallel.h"

namespace {

using bozzetto::ParallelFor;

constexpr int64_t kGrain = 4096;  // pixels

struct Attributes {
    int64_t pixels;    // per image
    int64_t vertices;  // stride between images; 0 if all share them
    int64_t count;
    int64_t chosen_count;
    const int64_t* chosen;  // attributes with image-space derivatives
    const int32_t* tri;

    // Start of the attributes at each corner of a covered pixel.
    struct Corners {
        int64_t start[3];
    };

    Corners corners(int64_t pixel, int64_t triangle) const {
        const int64_t first = pixel / pixels * vertices;
        const int32_t* corner = tri + 3 * triangle;
        return {{(first + corner[0]) * count, (first + corner[1]) * count, (first + corner[2]) * count}};
    }
};

int64_t triangle_at(const float* rast, int64_t pixel) { return static_cast<int64_t>(rast[4 * pixel + 3]) - 1; }

void pull(const Attributes& a, const float* attr, int64_t pixel, int64_t triangle, const float* grad_out,
          const float* grad_da, const float* db, float* to_rast, float* to_db) {
    const Attributes::Corners at = a.corners(pixel, triangle);
    const float *p0 = attr + at.start[0], *p1 = attr + at.start[1], *p2 = attr + at.start[2];
    for (int64_t c = 0; c < a.count; ++c) {
        to_rast[0] += grad_out[c] * (p0[c] - p2[c]);
        to_rast[1] += grad_out[c] * (p1[c] - p2[c]);
    }
    if (db == nullptr) return;
    for (int64_t d = 0; d < a.chosen_count; ++d) {
        const int64_t c = a.chosen[d];
        for (int axis = 0; axis < 2; ++axis) {
            to_db[axis] += grad_da[2 * d + axis] * (p0[c] - p2[c]);
            to_db[2 + axis] += grad_da[2 * d + axis] * (p1[c] - p2[c]);
        }
    }
}

void push(const Attributes& a, int64_t pixel, int64_t triangle, const float* uv, const float* grad_out,
          const float* grad_da, const float* db, float* grad_attr) {
    const Attributes::Corners at = a.corners(pixel, triangle);
    float *g0 = grad_attr + at.start[0], *g1 = grad_attr + at.start[1], *g2 = grad_attr + at.start[2];
    const float u = uv[0], v = uv[1], w = 1.0f - u - v;
    for (int64_t c = 0; c < a.count; ++c) {
        g0[c] += grad_out[c] * u;
        g1[c] += grad_out[c] * v;
        g2[c] += grad_out[c] * w;
    }
    if (db == nullptr) return;
    for (int64_t d = 0; d < a.chosen_count; ++d) {
        const int64_t c = a.chosen[d];
        const float along_u = grad_da[2 * d] * db[0] + grad_da[2 * d + 1] * db[1];
        const float along_v = grad_da[2 * d] * db[2] + grad_da[2 * d + 1] * db[3];
        g0[c] += along_u;
        g1[c] += along_v;
        g2[c] -= along_u + along_v;
    }
}

}  // namespace

// attr "B V A", or "V A" with shared != 0. rast and rast_db "B P 4", out "B P A", out_da "B P 2D" for the D chosen
// attributes; rast_db may be null if D is 0.
BOZZETTO_EXPORT int32_t bozzetto_interpolate(ParallelFor pool, int64_t images, int64_t pixels, int64_t vertices,
                                             int64_t count, int64_t shared, int64_t chosen_count, const int64_t* chosen,
                                             const int32_t* tri, const float* attr, const float* rast,
                                             const float* rast_db, float* out, float* out_da) {
    const Attributes a{pixels, shared ? 0 : vertices, count, chosen_count, chosen, tri};
    return bozzetto::parallel(pool, images * pixels, kGrain, [=](int64_t begin, int64_t end) {
        std::memset(out + begin * count, 0, sizeof(float) * (end - begin) * count);
        if (chosen_count > 0)
            std::memset(out_da + 2 * begin * chosen_count, 0, sizeof(float) * 2 * (end - begin) * chosen_count);
        for (int64_t pixel = begin; pixel < end; ++pixel) {
            const int64_t triangle = triangle_at(rast, pixel);
            if (triangle < 0) continue;
            const Attributes::Corners at = a.corners(pixel, triangle);
            const float *p0 = attr + at.start[0], *p1 = attr + at.start[1], *p2 = attr + at.start[2];
            const float u = rast[4 * pixel], v = rast[4 * pixel + 1];
            float* to = out + pixel * count;
            for (int64_t c = 0; c < count; ++c) to[c] = p2[c] + u * (p0[c] - p2[c]) + v * (p1[c] - p2[c]);
            for (int64_t d = 0; d < chosen_count; ++d) {
                const int64_t c = chosen[d];
                const float along_u = p0[c] - p2[c], along_v = p1[c] - p2[c];
                const float* db = rast_db + 4 * pixel;
                out_da[2 * (pixel * chosen_count + d)] = along_u * db[0] + along_v * db[2];
                out_da[2 * (pixel * chosen_count + d) + 1] = along_u * db[1] + along_v * db[3];
            }
        }
    });
}

// Gradients to rast and rast_db "B P 4"; rast_db, grad_da and grad_db are all null if no attribute is selected.
BOZZETTO_EXPORT int32_t bozzetto_interpolate_backward_rast(ParallelFor pool, int64_t images, int64_t pixels,
                                                           int64_t vertices, int64_t count, int64_t shared,
                                                           int64_t chosen_count, const int64_t* chosen,
                                                           const int32_t* tri, const float* attr, const float* rast,
                                                           const float* rast_db, const float* grad_out,
                                                           const float* grad_da, float* grad_rast, float* grad_db) {
    const Attributes a{pixels, shared ? 0 : vertices, count, chosen_count, chosen, tri};
    return bozzetto::parallel(pool, images * pixels, kGrain, [=](int64_t begin, int64_t end) {
        std::memset(grad_rast + 4 * begin, 0, sizeof(float) * 4 * (end - begin));
        if (grad_db != nullptr) std::memset(grad_db + 4 * begin, 0, sizeof(float) * 4 * (end - begin));
        for (int64_t pixel = begin; pixel < end; ++pixel) {
            const int64_t triangle = triangle_at(rast, pixel);
            if (triangle < 0) continue;
            const bool with_db = grad_db != nullptr;
            pull(a, attr, pixel, triangle, grad_out + pixel * count,
                 with_db ? grad_da + 2 * pixel * chosen_count : nullptr, with_db ? rast_db + 4 * pixel : nullptr,
                 grad_rast + 4 * pixel, with_db ? grad_db + 4 * pixel : nullptr);
        }
    });
}

// Gradient to attr. One thread per image, or one in total if shared, so that sums have a fixed order.
BOZZETTO_EXPORT int32_t bozzetto_interpolate_backward_attr(ParallelFor pool, int64_t images, int64_t pixels,
                                                           int64_t vertices, int64_t count, int64_t shared,
                                                           int64_t chosen_count, const int64_t* chosen,
                                                           const int32_t* tri, const float* rast, const float* rast_db,
                                                           const float* grad_out, const float* grad_da,
                                                           float* grad_attr) {
    const Attributes a{pixels, shared ? 0 : vertices, count, chosen_count, chosen, tri};
    const int64_t owners = shared ? 1 : images, each = images / owners * pixels;
    return bozzetto::parallel(pool, owners, 1, [=](int64_t begin, int64_t end) {
        std::memset(grad_attr + begin * vertices * count, 0, sizeof(float) * (end - begin) * vertices * count);
        for (int64_t pixel = begin * each; pixel < end * each; ++pixel) {
            const int64_t triangle = triangle_at(rast, pixel);
            if (triangle < 0) continue;
            push(a, pixel, triangle, rast + 4 * pixel, grad_out + pixel * count,
                 grad_da ? grad_da + 2 * pixel * chosen_count : nullptr, grad_da ? rast_db + 4 * pixel : nullptr,
                 grad_attr);
        }
    });
}
