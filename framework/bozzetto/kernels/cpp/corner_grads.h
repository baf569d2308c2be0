// Gradients of the homogeneous edge functions of corners.h with respect to the corners; z gets none.
#pragma once

#include <cstdint>

#include "corners.h"

namespace bozzetto {

// Gradients to x, y and w of three corners.
struct CornerGrads {
    double x[3] = {}, y[3] = {}, w[3] = {};

    // Gradient of the edge function from corner j to corner k, at a point.
    void add_value(const Corners& c, Centre at, int j, int k, double grad) {
        const double jx = c.x[j] - at.x * c.w[j], jy = c.y[j] - at.y * c.w[j];
        const double kx = c.x[k] - at.x * c.w[k], ky = c.y[k] - at.y * c.w[k];
        x[j] += grad * ky;
        y[j] -= grad * kx;
        x[k] -= grad * jy;
        y[k] += grad * jx;
        w[j] += grad * (at.y * kx - at.x * ky);
        w[k] += grad * (at.x * jy - at.y * jx);
    }

    // Gradient of that function's derivatives with respect to x and y.
    void add_slopes(const Corners& c, int j, int k, double grad_x, double grad_y) {
        y[j] += grad_x * c.w[k];
        w[k] += grad_x * c.y[j];
        w[j] -= grad_x * c.y[k];
        y[k] -= grad_x * c.w[j];
        x[k] += grad_y * c.w[j];
        w[j] += grad_y * c.x[k];
        w[k] -= grad_y * c.x[j];
        x[j] -= grad_y * c.w[k];
    }

    void add_to(const int32_t* corner, float* grad_pos) const {
        for (int i = 0; i < 3; ++i) {
            float* to = grad_pos + int64_t{4} * corner[i];
            to[0] += static_cast<float>(x[i]);
            to[1] += static_cast<float>(y[i]);
            to[3] += static_cast<float>(w[i]);
        }
    }
};

}  // namespace bozzetto
