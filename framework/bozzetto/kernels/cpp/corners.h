// Triangle in clip space and its homogeneous edge functions (Olano and Greer 1997, Triangle Scan Conversion using 2D
// Homogeneous Coordinates). float64, since corners may be far outside the image and behind the camera.
#pragma once

#include <cstdint>

namespace bozzetto {

template <class Number>
struct CentreOf {
    Number x, y;
};

using Centre = CentreOf<double>;

// Normalised device coordinates of a pixel; row 0 is the bottom row.
inline Centre pixel_centre(int64_t row, int64_t column, int64_t height, int64_t width) {
    return {(2.0 * column + 1.0) / width - 1.0, (2.0 * row + 1.0) / height - 1.0};
}

// Scalar type for one triangle, or a vector type for several.
template <class Number>
struct CornersOf {
    Number x[3], y[3], w[3];

    // Values at `at` of the edge functions opposite each corner i; proportional to the barycentrics.
    void edge_values(const CentreOf<Number>& at, Number* value) const {
        Number ax[3], ay[3];
        for (int i = 0; i < 3; ++i) {
            ax[i] = x[i] - at.x * w[i];
            ay[i] = y[i] - at.y * w[i];
        }
        for (int i = 0; i < 3; ++i) {
            const int j = (i + 1) % 3, k = (i + 2) % 3;
            value[i] = ax[j] * ay[k] - ay[j] * ax[k];
        }
    }

    // Derivatives of edge function i with respect to x and y.
    Number slope_x(int i) const {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        return y[j] * w[k] - w[j] * y[k];
    }

    Number slope_y(int i) const {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        return x[k] * w[j] - w[k] * x[j];
    }
};

struct Corners : CornersOf<double> {
    double z[3];

    Corners(const float* pos, const int32_t* tri) {
        for (int i = 0; i < 3; ++i) {
            const float* vertex = pos + int64_t{4} * tri[i];
            x[i] = vertex[0];
            y[i] = vertex[1];
            z[i] = vertex[2];
            w[i] = vertex[3];
        }
    }

    // Edge function i, not divided by w, at a vertex; its sign is the facing of the triangle of the edge and the
    // vertex.
    double side(int i, double vx, double vy, double vw) const {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        return slope_x(i) * vx + slope_y(i) * vy + (x[j] * y[k] - y[j] * x[k]) * vw;
    }
};

}  // namespace bozzetto
