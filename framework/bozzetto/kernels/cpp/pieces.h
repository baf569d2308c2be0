// Clipped triangle in front of the camera, on the fixed-point grid and with the arithmetic of ref/rasterize.py.
#pragma once

#include <cmath>
#include <cstdint>

namespace bozzetto {

constexpr int kSubpixelBits = 12;
constexpr int32_t kSubpixels = 1 << kSubpixelBits;
constexpr double kFixedLimit = 1 << 29;
constexpr double kSmallestW = 1e-8;
constexpr int kPlanes = 6;
constexpr int kMostCorners = 3 + kPlanes;
constexpr uint8_t kNotFinite = 1 << kPlanes;

struct ClipVertex {
    double x, y, z, w;
};

// Corner on the fixed-point grid, and its z/w.
struct FixedVertex {
    int32_t x, y;
    double depth;
};

struct Viewport {
    double width, height;
    double band;  // range of x/w and y/w covered by the fixed-point grid

    Viewport(int64_t height_, int64_t width_)
        : width(static_cast<double>(width_)),
          height(static_cast<double>(height_)),
          band(2.0 * kFixedLimit / (static_cast<double>(width_ > height_ ? width_ : height_) * kSubpixels) - 1.0) {}

    // Signed distance to the near plane, to w > 0, and to a band far outside the image.
    double distance(const ClipVertex& v, int plane) const {
        switch (plane) {
            case 0: return v.z + v.w;
            case 1: return v.w - kSmallestW;
            case 2: return band * v.w + v.x;
            case 3: return band * v.w - v.x;
            case 4: return band * v.w + v.y;
            default: return band * v.w - v.y;
        }
    }

    // Bit mask of the planes that the vertex is beyond.
    uint8_t outcode(const ClipVertex& v) const {
        if (!std::isfinite(v.x) || !std::isfinite(v.y) || !std::isfinite(v.z) || !std::isfinite(v.w)) return kNotFinite;
        uint8_t code = 0;
        for (int plane = 0; plane < kPlanes; ++plane) code |= (distance(v, plane) < 0.0) << plane;
        return code;
    }

    // Only valid for vertices inside all planes.
    FixedVertex snap(const ClipVertex& v) const {
        const double x = v.x / v.w * 0.5 + 0.5, y = v.y / v.w * 0.5 + 0.5;
        return {static_cast<int32_t>(std::floor(x * (width * kSubpixels) + 0.5)),
                static_cast<int32_t>(std::floor(y * (height * kSubpixels) + 0.5)), v.z / v.w};
    }

    // Clips a polygon of three corners by each plane in turn (Sutherland and Hodgman 1974); returns the number of
    // corners. Crossings are computed from the inner end to the outer one, so that both triangles at an edge get the
    // same bits.
    int clip(ClipVertex* polygon) const {
        ClipVertex kept[2 * kMostCorners];
        int count = 3;
        for (int plane = 0; plane < kPlanes; ++plane) {
            int found = 0;
            for (int i = 0; i < count; ++i) {
                const ClipVertex &here = polygon[i], &next = polygon[i + 1 < count ? i + 1 : 0];
                const double at = distance(here, plane), after = distance(next, plane);
                if (at >= 0.0) kept[found++] = here;
                if ((at >= 0.0) != (after >= 0.0))
                    kept[found++] = at >= 0.0 ? crossing(here, next, at, after) : crossing(next, here, after, at);
            }
            count = found < 3 + plane + 1 ? found : 3 + plane + 1;  // clipping adds at most one corner
            for (int i = 0; i < count; ++i) polygon[i] = kept[i];
        }
        return count;
    }

  private:
    static ClipVertex crossing(const ClipVertex& inner, const ClipVertex& outer, double near, double beyond) {
        const double t = near / (near - beyond);
        return {inner.x + t * (outer.x - inner.x), inner.y + t * (outer.y - inner.y), inner.z + t * (outer.z - inner.z),
                inner.w + t * (outer.w - inner.w)};
    }
};

}  // namespace bozzetto
