// Antialiasing of silhouettes; see ref/antialias.py. First the blend of every pair of neighbours is computed, then
// every pixel gathers from its pairs, so that no value is accumulated by two threads.

#include <cmath>
#include <cstring>
#include <utility>

#include "corner_grads.h"
#include "parallel.h"

namespace {

using namespace bozzetto;

constexpr int64_t kGrain = 4096;  // triangles
constexpr int64_t kRowGrain = 8;  // rows of pixels
constexpr float kNone = 2.0f;     // no blend; blends are in [-0.5, 0.5]
constexpr int kLongestWalk = 8;   // maximum triangles visited between two pixel centres

struct Pixel {
    int64_t image, row, column, number;  // `number` is relative to the first pixel of the first image
};

struct Images {
    int64_t height, width, vertices;
    const float* rast;
    const float* pos;
    const int32_t* tri;
    const int32_t* opposite;
    int64_t triangles;
    const int32_t* outlines;  // per image and triangle; see `outline_of`

    int64_t triangle(const Pixel& p) const { return static_cast<int64_t>(rast[4 * p.number + 3]) - 1; }
    int32_t outline(const Pixel& p, int64_t triangle) const { return outlines[p.image * triangles + triangle]; }
    Centre centre(const Pixel& p) const { return pixel_centre(p.row, p.column, height, width); }

    Corners corners(const Pixel& p, int64_t triangle) const {
        return Corners(pos + p.image * vertices * 4, tri + 3 * triangle);
    }

    // The neighbour to the right (axis 0) or above (axis 1), or the previous one.
    Pixel step(const Pixel& p, int axis, int by) const {
        return axis == 0 ? Pixel{p.image, p.row, p.column + by, p.number + by}
                         : Pixel{p.image, p.row + by, p.column, p.number + by * width};
    }

    bool has_next(const Pixel& p, int axis) const { return axis == 0 ? p.column + 1 < width : p.row + 1 < height; }
    bool has_previous(const Pixel& p, int axis) const { return axis == 0 ? p.column > 0 : p.row > 0; }

    bool first_is_near(const Pixel& first, const Pixel& second) const {
        if (triangle(first) < 0 || triangle(second) < 0) return triangle(first) >= 0;
        return rast[4 * first.number + 2] <= rast[4 * second.number + 2];
    }

    // Calls visit(pixel) for each pixel of some rows.
    template <class Visit>
    void each_pixel(int64_t first_row, int64_t end_row, const Visit& visit) const {
        for (int64_t row = first_row; row < end_row; ++row)
            for (int64_t column = 0; column < width; ++column)
                visit(Pixel{row / height, row % height, column, row * width + column});
    }
};

// A pair of pixels, ordered by which one has the nearer surface.
struct Pair {
    Pixel near, far;

    Pair(const Images& images, const Pixel& first, const Pixel& second) : near(first), far(second) {
        if (!images.first_is_near(first, second)) std::swap(near, far);
    }

    int64_t target(float blend) const { return blend > 0.0f ? far.number : near.number; }
};

// Returns the edge by which the line from the near to the far pixel leaves a triangle; -1 if it does not.
struct Exit {
    int edge = -1;
    double at_near, at_far;

    Exit(const Corners& corners, Centre near, Centre far, int entry) {
        double from[3], to[3], facing = 0.0, first = INFINITY;
        corners.edge_values(near, from);
        corners.edge_values(far, to);
        for (int i = 0; i < 3; ++i) facing += from[i] * corners.w[i];
        for (int i = 0; i < 3; ++i) {
            const bool crossed = facing > 0.0 ? from[i] >= 0.0 && to[i] < 0.0 : from[i] <= 0.0 && to[i] > 0.0;
            const double along = from[i] / (from[i] - to[i]);
            if (i == entry || facing == 0.0 || !crossed || !(along < first)) continue;
            first = along;
            edge = i;
            at_near = from[i];
            at_far = to[i];
        }
    }
};

// Returns the silhouette crossed by the line from the near to the far pixel of a pair, followed over smooth edges.
struct Crossing {
    int64_t triangle;
    Exit exit;

    Crossing(const Images& images, const Pair& pair) : Crossing(images, pair, images.triangle(pair.near), -1) {
        for (int step = 1; exit.edge >= 0 && !(images.outline(pair.near, triangle) >> exit.edge & 1); ++step) {
            const int32_t across = images.opposite[3 * triangle + exit.edge];
            *this = Crossing(images, pair, across / 3, across % 3);
            if (step == kLongestWalk) exit.edge = -1;
        }
    }

  private:
    Crossing(const Images& images, const Pair& pair, int64_t triangle_, int entry)
        : triangle(triangle_),
          exit(images.corners(pair.near, triangle_), images.centre(pair.near), images.centre(pair.far), entry) {}
};

// Returns the visible side of a triangle, 1 or -1; 0 if it is seen edge-on.
int32_t facing_of(const Corners& corners) {
    const double side = corners.side(0, corners.x[0], corners.y[0], corners.w[0]);
    return (side > 0.0) - (side < 0.0);
}

// Bit i: the edge opposite corner i is open, or the triangle across it faces the other way. `facings`: of one image.
int32_t outline_of(const int32_t* facings, const int32_t* tri, const int32_t* opposite, int64_t triangle) {
    int32_t bits = 0;
    for (int i = 0; i < 3; ++i) {
        const int32_t across = opposite[3 * triangle + i];
        if (across < 0) {
            bits |= 1 << i;
            continue;
        }
        const int32_t other = across / 3, start = tri[3 * triangle + (i + 1) % 3];
        const bool turned = start == tri[3 * other + (across % 3 + 1) % 3];  // inconsistent winding
        bits |= (facings[triangle] * facings[other] * (turned ? -1 : 1) <= 0) << i;
    }
    return bits;
}

// Returns whether the triangles of a pair of pixels share an edge that is not a silhouette.
bool smooth_neighbours(const Images& images, const Pair& pair) {
    const int64_t triangle = images.triangle(pair.near), beyond = images.triangle(pair.far);
    const int32_t outline = images.outline(pair.near, triangle);
    for (int i = 0; i < 3; ++i) {
        const int32_t across = images.opposite[3 * triangle + i];
        if (across >= 0 && across / 3 == beyond && !(outline >> i & 1)) return true;
    }
    return false;
}

float blend_of(const Images& images, const Pixel& first, const Pixel& second, int axis) {
    if (images.triangle(first) == images.triangle(second)) return kNone;
    const Pair pair(images, first, second);
    if (smooth_neighbours(images, pair)) return kNone;
    const Crossing crossing(images, pair);
    const Exit& exit = crossing.exit;
    if (exit.edge < 0) return kNone;
    const Corners corners = images.corners(first, crossing.triangle);
    const double x = std::fabs(corners.slope_x(exit.edge)) / images.width;
    const double y = std::fabs(corners.slope_y(exit.edge)) / images.height;
    if (axis == 0 ? x < y : y <= x) return kNone;
    return static_cast<float>(exit.at_near / (exit.at_near - exit.at_far) - 0.5);
}

// Calls visit(pair, blend) for the blends of a pixel, in a fixed order.
template <class Visit>
void each_blend(const Images& images, const float* blends, const Pixel& pixel, const Visit& visit) {
    for (int axis = 0; axis < 2; ++axis) {
        if (images.has_previous(pixel, axis)) {
            const Pixel before = images.step(pixel, axis, -1);
            const float blend = blends[2 * before.number + axis];
            if (blend != kNone) visit(Pair(images, before, pixel), blend);
        }
        const float blend = blends[2 * pixel.number + axis];
        if (blend != kNone) visit(Pair(images, pixel, images.step(pixel, axis, 1)), blend);
    }
}

void push(const Images& images, const Pair& pair, float grad, float* grad_pos) {
    const Crossing crossing(images, pair);
    const Exit& exit = crossing.exit;
    const Corners corners = images.corners(pair.near, crossing.triangle);
    const double difference = exit.at_near - exit.at_far, scale = grad / (difference * difference);
    const int j = (exit.edge + 1) % 3, k = (exit.edge + 2) % 3;
    CornerGrads grads;
    grads.add_value(corners, images.centre(pair.near), j, k, -scale * exit.at_far);
    grads.add_value(corners, images.centre(pair.far), j, k, scale * exit.at_near);
    grads.add_to(images.tri + 3 * crossing.triangle, grad_pos);
}

}  // namespace

// color and out "B H W C", rast "B H W 4", pos "B V 4", opposite "T 3". facings "B T" is scratch. For backward:
// outlines "B T" and blends "B H W 2".
BOZZETTO_EXPORT int32_t bozzetto_antialias(ParallelFor pool, int64_t batch, int64_t height, int64_t width,
                                           int64_t channels, int64_t vertices, int64_t triangles, const float* color,
                                           const float* rast, const float* pos, const int32_t* tri,
                                           const int32_t* opposite, int32_t* facings, int32_t* outlines, float* blends,
                                           float* out) {
    const Images images{height, width, vertices, rast, pos, tri, opposite, triangles, outlines};
    const int32_t faced = parallel(pool, batch * triangles, kGrain, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            facings[i] = facing_of(Corners(pos + i / triangles * vertices * 4, tri + 3 * (i % triangles)));
    });
    const int32_t outlined = parallel(pool, batch * triangles, kGrain, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            outlines[i] = outline_of(facings + i / triangles * triangles, tri, opposite, i % triangles);
    });
    const int32_t blended = parallel(pool, batch * height, kRowGrain, [=](int64_t begin, int64_t end) {
        images.each_pixel(begin, end, [=](const Pixel& pixel) {
            for (int axis = 0; axis < 2; ++axis)
                blends[2 * pixel.number + axis] =
                    images.has_next(pixel, axis) ? blend_of(images, pixel, images.step(pixel, axis, 1), axis) : kNone;
        });
    });
    return faced | outlined | blended | parallel(pool, batch * height, kRowGrain, [=](int64_t begin, int64_t end) {
        const int64_t first = begin * width * channels, count = (end - begin) * width * channels;
        std::memcpy(out + first, color + first, sizeof(float) * count);
        images.each_pixel(begin, end, [=](const Pixel& pixel) {
            each_blend(images, blends, pixel, [=](const Pair& pair, float blend) {
                if (pair.target(blend) != pixel.number) return;
                const float *near = color + pair.near.number * channels, *far = color + pair.far.number * channels;
                float* to = out + pixel.number * channels;
                for (int64_t c = 0; c < channels; ++c) to[c] += blend * (near[c] - far[c]);
            });
        });
    });
}

BOZZETTO_EXPORT int32_t bozzetto_antialias_backward_color(ParallelFor pool, int64_t batch, int64_t height,
                                                          int64_t width, int64_t channels, const float* rast,
                                                          const float* blends, const float* grad, float* grad_color) {
    const Images images{height, width, 0, rast, nullptr, nullptr, nullptr, 0, nullptr};
    return parallel(pool, batch * height, kRowGrain, [=](int64_t begin, int64_t end) {
        const int64_t first = begin * width * channels, count = (end - begin) * width * channels;
        std::memcpy(grad_color + first, grad + first, sizeof(float) * count);
        images.each_pixel(begin, end, [=](const Pixel& pixel) {
            each_blend(images, blends, pixel, [=](const Pair& pair, float blend) {
                const float share = pair.near.number == pixel.number ? blend : -blend;
                const float* from = grad + pair.target(blend) * channels;
                float* to = grad_color + pixel.number * channels;
                for (int64_t c = 0; c < channels; ++c) to[c] += share * from[c];
            });
        });
    });
}

// Each image is processed by one thread, so that sums have a fixed order.
BOZZETTO_EXPORT int32_t bozzetto_antialias_backward_pos(ParallelFor pool, int64_t batch, int64_t height, int64_t width,
                                                        int64_t channels, int64_t vertices, int64_t triangles,
                                                        const float* color, const float* rast, const float* pos,
                                                        const int32_t* tri, const int32_t* opposite,
                                                        const int32_t* outlines, const float* blends, const float* grad,
                                                        float* grad_pos) {
    const Images images{height, width, vertices, rast, pos, tri, opposite, triangles, outlines};
    return parallel(pool, batch, 1, [=](int64_t begin, int64_t end) {
        std::memset(grad_pos + begin * vertices * 4, 0, sizeof(float) * (end - begin) * vertices * 4);
        images.each_pixel(begin * height, end * height, [=](const Pixel& pixel) {
            for (int axis = 0; axis < 2; ++axis) {
                const float blend = blends[2 * pixel.number + axis];
                if (blend == kNone) continue;
                const Pair pair(images, pixel, images.step(pixel, axis, 1));
                const float *near = color + pair.near.number * channels, *far = color + pair.far.number * channels;
                const float* from = grad + pair.target(blend) * channels;
                float sum = 0.0f;
                for (int64_t c = 0; c < channels; ++c) sum += from[c] * (near[c] - far[c]);
                push(images, pair, sum, grad_pos + pixel.image * vertices * 4);
            }
        });
    });
}
