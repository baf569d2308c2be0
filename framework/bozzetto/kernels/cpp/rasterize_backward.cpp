// Derivatives of `resolve` in rasterize.cpp. One thread per image, so that sums have a fixed order.

#include <cstring>

#include "corner_grads.h"
#include "parallel.h"

namespace {

using namespace bozzetto;

struct Size {
    int64_t height, width;
};

// grad: to u and v. grad_db: to du/dX, du/dY, dv/dX, dv/dY, or null.
void pull(const Corners& corners, Centre at, Size size, const float* grad, const float* grad_db, CornerGrads& into) {
    double value[3];
    corners.edge_values(at, value);
    const double total = value[0] + value[1] + value[2];
    if (total == 0.0) return;
    const double scale = 1.0 / total, b[3] = {value[0] * scale, value[1] * scale, value[2] * scale};
    if (!(b[0] >= 0.0 && b[1] >= 0.0 && b[2] >= 0.0)) return;  // clamped to the triangle: constant
    double grad_b[2] = {grad[0], grad[1]}, grad_total = 0.0;
    if (grad_db != nullptr) {
        double slope_x[3], slope_y[3], sum_x = 0.0, sum_y = 0.0;
        for (int i = 0; i < 3; ++i) {
            sum_x += slope_x[i] = corners.slope_x(i);
            sum_y += slope_y[i] = corners.slope_y(i);
        }
        const double per_column = 2.0 / size.width * scale, per_row = 2.0 / size.height * scale;
        double own_x[3] = {}, own_y[3] = {}, shared_x = 0.0, shared_y = 0.0;
        for (int i = 0; i < 2; ++i) {
            own_x[i] = grad_db[2 * i] * per_column;
            own_y[i] = grad_db[2 * i + 1] * per_row;
            shared_x += own_x[i] * b[i];
            shared_y += own_y[i] * b[i];
            grad_b[i] -= own_x[i] * sum_x + own_y[i] * sum_y;
            grad_total -= own_x[i] * (slope_x[i] - b[i] * sum_x) + own_y[i] * (slope_y[i] - b[i] * sum_y);
        }
        for (int i = 0; i < 3; ++i)
            into.add_slopes(corners, (i + 1) % 3, (i + 2) % 3, own_x[i] - shared_x, own_y[i] - shared_y);
    }
    grad_total = (grad_total - grad_b[0] * b[0] - grad_b[1] * b[1]) * scale;
    for (int i = 0; i < 3; ++i)
        into.add_value(corners, at, (i + 1) % 3, (i + 2) % 3, grad_total + (i < 2 ? grad_b[i] * scale : 0.0));
}

}  // namespace

// pos and grad_pos "B V 4", rast, grad_rast and grad_db "B H W 4"; grad_db may be null.
BOZZETTO_EXPORT int32_t bozzetto_rasterize_backward(ParallelFor pool, int64_t images, int64_t vertices, int64_t height,
                                                    int64_t width, const float* pos, const int32_t* tri,
                                                    const float* rast, const float* grad_rast, const float* grad_db,
                                                    float* grad_pos) {
    return parallel(pool, images, 1, [=](int64_t begin, int64_t end) {
        for (int64_t image = begin; image < end; ++image) {
            const float* from = pos + image * vertices * 4;
            float* to = grad_pos + image * vertices * 4;
            std::memset(to, 0, sizeof(float) * vertices * 4);
            for (int64_t i = 0; i < height * width; ++i) {
                const int64_t pixel = image * height * width + i;
                const int64_t owner = static_cast<int64_t>(rast[4 * pixel + 3]) - 1;
                if (owner < 0) continue;
                CornerGrads grads;
                pull(Corners(from, tri + 3 * owner), pixel_centre(i / width, i % width, height, width),
                     Size{height, width}, grad_rast + 4 * pixel, grad_db ? grad_db + 4 * pixel : nullptr, grads);
                grads.add_to(tri + 3 * owner, to);
            }
        }
    });
}
