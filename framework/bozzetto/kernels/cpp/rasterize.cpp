// Rasterisation with the arithmetic and order of ref/rasterize.py, so that both find the same visible triangles.
//
// Vertices are snapped once. Each thread then processes a band of rows, and draws all triangles that overlap it into
// its own depth buffer, in order, so that the result does not depend on the number of bands.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "corners.h"
#include "parallel.h"
#include "pieces.h"

namespace {

using namespace bozzetto;

constexpr int64_t kGrain = 4096;    // vertices or triangles
constexpr int64_t kRowGrain = 16;   // rows of pixels
constexpr int64_t kTileRows = 128;   // a depth buffer of this many rows stays in the cache
constexpr int kLanes = 4;           // pixels tested at a time
constexpr int32_t kExact = 1 << 25; // extent up to which double holds every edge value exactly
constexpr int32_t kHalf = kSubpixels / 2;

typedef double Doubles __attribute__((vector_size(kLanes * sizeof(double))));
typedef int64_t Integers __attribute__((vector_size(kLanes * sizeof(int64_t))));

struct Rows {
    int32_t first, last;
};

struct Mesh {
    const float* pos;
    const int32_t* tri;
    int64_t triangles;
    const FixedVertex* fixed;
    const uint8_t* outcode;
    const Rows* rows;
};

// State of kLanes adjacent pixels, in one cache line.
struct alignas(2 * sizeof(Doubles)) Seen {
    Doubles depth;
    Integers owner;
};

// Depth buffer of some rows of one image.
struct Tile {
    int64_t first_row, rows, width, stride;  // the last in groups of kLanes pixels
    Seen* seen;
    const double* centre_x;  // of the pixels of a row

    void clear() {
        const Seen nothing{Doubles{} + std::numeric_limits<double>::infinity(), Integers{} - 1};
        std::fill(seen, seen + rows * stride, nothing);
    }
};

// First and last pixel whose centre is between two fixed-point coordinates.
int32_t first_centre(int32_t low) { return (low - kHalf + kSubpixels - 1) >> kSubpixelBits; }
int32_t last_centre(int32_t high) { return (high - kHalf) >> kSubpixelBits; }

// Exact edge function of a -> b over the lanes, stepped over pixels. Ties belong to top and left edges only.
template <class Lanes, class Number>
struct Edge {
    Lanes at, step_x, step_y;
    Number smallest;

    Edge(const FixedVertex& a, const FixedVertex& b, int64_t px, int64_t py) {
        const int64_t dx = int64_t{b.x} - a.x, dy = int64_t{b.y} - a.y;
        const Number right = static_cast<Number>(-dy * kSubpixels);
        smallest = static_cast<Number>(dy < 0 || (dy == 0 && dx < 0) ? 0 : 1);
        at = static_cast<Number>(dx * (py - a.y) - dy * (px - a.x)) + right * Lanes{0, 1, 2, 3};
        step_x = Lanes{} + right * kLanes;
        step_y = Lanes{} + static_cast<Number>(dx * kSubpixels);
    }
};

struct Box {
    int64_t left, right, bottom, top;  // pixels, inclusive
};

// Corners counter-clockwise, `area` twice their area.
template <class Lanes, class Number>
void fill(const FixedVertex& v0, const FixedVertex& v1, const FixedVertex& v2, double area, int64_t number,
          const Box& box, Tile& tile) {
    const int64_t px = box.left * kSubpixels + kHalf, py = box.bottom * kSubpixels + kHalf;
    Edge<Lanes, Number> e0(v1, v2, px, py), e1(v2, v0, px, py), e2(v0, v1, px, py);
    const double k0 = v0.depth / area, k1 = v1.depth / area, k2 = v2.depth / area;
    for (int64_t row = box.bottom; row <= box.top; ++row) {
        Seen* seen = tile.seen + (row - tile.first_row) * tile.stride + box.left / kLanes;
        Lanes a = e0.at, b = e1.at, c = e2.at;
        for (int64_t column = box.left; column <= box.right; column += kLanes, ++seen) {
            const Doubles before = seen->depth;
            const Doubles z = __builtin_convertvector(a, Doubles) * k0 + __builtin_convertvector(b, Doubles) * k1 +
                              __builtin_convertvector(c, Doubles) * k2;
            const Integers hit =
                (a >= e0.smallest) & (b >= e1.smallest) & (c >= e2.smallest) & (z <= 1.0) & (z < before);
            seen->depth = hit ? z : before;
            seen->owner = (hit & number) | (~hit & seen->owner);
            a += e0.step_x;
            b += e1.step_x;
            c += e2.step_x;
        }
        e0.at += e0.step_y;
        e1.at += e1.step_y;
        e2.at += e2.step_y;
    }
}

void draw(const FixedVertex& v0, const FixedVertex& v1, const FixedVertex& v2, int64_t number, Tile& tile) {
    const int32_t low_x = std::min({v0.x, v1.x, v2.x}), high_x = std::max({v0.x, v1.x, v2.x});
    const int32_t low_y = std::min({v0.y, v1.y, v2.y}), high_y = std::max({v0.y, v1.y, v2.y});
    const Box box{std::max<int64_t>(first_centre(low_x), 0) / kLanes * kLanes,
                  std::min<int64_t>(last_centre(high_x), tile.width - 1),
                  std::max<int64_t>(first_centre(low_y), tile.first_row),
                  std::min<int64_t>(last_centre(high_y), tile.first_row + tile.rows - 1)};
    if (box.left > box.right || box.bottom > box.top) return;
    const int64_t area =
        (int64_t{v2.x} - v1.x) * (int64_t{v0.y} - v1.y) - (int64_t{v2.y} - v1.y) * (int64_t{v0.x} - v1.x);
    if (area == 0) return;
    const FixedVertex &left = area > 0 ? v1 : v2, &right = area > 0 ? v2 : v1;
    const double size = static_cast<double>(area > 0 ? area : -area);
    if (high_x - low_x < kExact && high_y - low_y < kExact)
        fill<Doubles, double>(v0, left, right, size, number, box, tile);
    else
        fill<Integers, int64_t>(v0, left, right, size, number, box, tile);
}

ClipVertex load(const float* pos, int64_t vertex) {
    const float* p = pos + 4 * vertex;
    return {p[0], p[1], p[2], p[3]};
}

void draw_clipped(const Mesh& mesh, const int32_t* corner, int64_t number, const Viewport& view, Tile& tile) {
    ClipVertex polygon[kMostCorners];
    for (int i = 0; i < 3; ++i) polygon[i] = load(mesh.pos, corner[i]);
    const int count = view.clip(polygon);
    for (int i = 2; i < count; ++i)
        draw(view.snap(polygon[0]), view.snap(polygon[i - 1]), view.snap(polygon[i]), number, tile);
}

void draw_all(const Mesh& mesh, const Viewport& view, Tile& tile) {
    tile.clear();
    const int32_t first = static_cast<int32_t>(tile.first_row), last = static_cast<int32_t>(first + tile.rows - 1);
    for (int64_t t = 0; t < mesh.triangles; ++t) {
        if (mesh.rows[t].first > last || mesh.rows[t].last < first) continue;
        const int32_t* corner = mesh.tri + 3 * t;
        if ((mesh.outcode[corner[0]] | mesh.outcode[corner[1]] | mesh.outcode[corner[2]]) == 0)
            draw(mesh.fixed[corner[0]], mesh.fixed[corner[1]], mesh.fixed[corner[2]], t, tile);
        else
            draw_clipped(mesh, corner, t, view, tile);
    }
}

// Rows that a triangle may overlap; none if it is not visible.
Rows reach(const FixedVertex* fixed, const uint8_t* outcode, const int32_t* corner, int64_t height, int64_t width) {
    const uint8_t c0 = outcode[corner[0]], c1 = outcode[corner[1]], c2 = outcode[corner[2]];
    const Rows none{1, 0}, all{0, static_cast<int32_t>(height - 1)};
    if ((c0 | c1 | c2) & kNotFinite || (c0 & c1 & c2)) return none;
    if (c0 | c1 | c2) return all;
    const FixedVertex &a = fixed[corner[0]], &b = fixed[corner[1]], &c = fixed[corner[2]];
    const int32_t left = first_centre(std::min({a.x, b.x, c.x})), right = last_centre(std::max({a.x, b.x, c.x}));
    if (left > right || right < 0 || left >= width) return none;
    return {first_centre(std::min({a.y, b.y, c.y})), last_centre(std::max({a.y, b.y, c.y}))};
}

// Several visible pixels of a row.
struct Batch {
    CornersOf<Doubles> corners;
    CentreOf<Doubles> at;
    int64_t column[kLanes];
    int count = 0;

    void add(const Mesh& mesh, int64_t owner, int64_t in_column, double x) {
        const int32_t* tri = mesh.tri + 3 * owner;
        for (int i = 0; i < 3; ++i) {
            const float* vertex = mesh.pos + int64_t{4} * tri[i];
            corners.x[i][count] = vertex[0];
            corners.y[i][count] = vertex[1];
            corners.w[i][count] = vertex[3];
        }
        at.x[count] = x;
        column[count++] = in_column;
    }
};

Doubles at_least_zero(const Doubles& x) { return x < 0.0 ? Doubles{} : x; }
Doubles within_one(const Doubles& x) { return 1.0 < at_least_zero(x) ? Doubles{} + 1.0 : at_least_zero(x); }

// u, v and their derivatives; see `barycentrics` of ref/rasterize.py. `rast` and `rast_db` are those of the row.
void resolve(const Batch& batch, const Viewport& view, float* rast, float* rast_db) {
    const CornersOf<Doubles>& corners = batch.corners;
    Doubles value[3];
    corners.edge_values(batch.at, value);
    Doubles total = value[0] + value[1] + value[2];
    total = total == 0.0 ? Doubles{} + 1.0 : total;
    const Doubles scale = 1.0 / total;
    Doubles u = value[0] * scale, v = value[1] * scale;
    const Doubles sx0 = corners.slope_x(0), sx1 = corners.slope_x(1), sx = sx0 + sx1 + corners.slope_x(2);
    const Doubles sy0 = corners.slope_y(0), sy1 = corners.slope_y(1), sy = sy0 + sy1 + corners.slope_y(2);
    const Doubles per_column = scale * (2.0 / view.width), per_row = scale * (2.0 / view.height);
    const Doubles db[4] = {(sx0 - u * sx) * per_column, (sy0 - u * sy) * per_row, (sx1 - v * sx) * per_column,
                           (sy1 - v * sy) * per_row};
    const Doubles w = value[2] * scale;
    const Integers inside = (u >= 0.0) & (v >= 0.0) & (w >= 0.0);
    if (!(inside[0] & inside[1] & inside[2] & inside[3])) {  // snapping drew pixels just outside: clamp to the triangle
        const Doubles low_u = within_one(u), low_v = within_one(v), sum = low_u + low_v + within_one(w);
        const Doubles safe = sum < 1e-30 ? Doubles{} + 1e-30 : sum;
        u = inside ? u : low_u / safe;
        v = inside ? v : low_v / safe;
    }
    for (int i = 0; i < batch.count; ++i) {
        float* pixel = rast + 4 * batch.column[i];
        pixel[0] = static_cast<float>(u[i]);
        pixel[1] = static_cast<float>(v[i]);
        for (int c = 0; c < 4; ++c) rast_db[4 * batch.column[i] + c] = static_cast<float>(db[c][i]);
    }
}

void write(const Mesh& mesh, const Tile& tile, const Viewport& view, int64_t height, float* rast, float* rast_db) {
    Batch batch{};
    std::memset(rast, 0, sizeof(float) * 4 * tile.rows * tile.width);
    std::memset(rast_db, 0, sizeof(float) * 4 * tile.rows * tile.width);
    for (int64_t row = 0; row < tile.rows; ++row, rast += 4 * tile.width, rast_db += 4 * tile.width) {
        const double y = pixel_centre(tile.first_row + row, 0, height, tile.width).y;
        batch.at.y = Doubles{} + y;
        for (int64_t column = 0; column < tile.width; ++column) {
            const Seen& seen = tile.seen[row * tile.stride + column / kLanes];
            const int64_t owner = seen.owner[column % kLanes];
            if (owner < 0) continue;
            rast[4 * column + 2] = static_cast<float>(seen.depth[column % kLanes]);
            rast[4 * column + 3] = static_cast<float>(owner + 1);
            batch.add(mesh, owner, column, tile.centre_x[column]);
            if (batch.count < kLanes) continue;
            resolve(batch, view, rast, rast_db);
            batch.count = 0;
        }
        if (batch.count > 0) resolve(batch, view, rast, rast_db);
        batch.count = 0;
    }
}

template <class T>
std::unique_ptr<T[]> allocate(int64_t count) {
    return std::unique_ptr<T[]>(new (std::nothrow) T[count]);
}

}  // namespace

// pos "B V 4" in clip space, tri "T 3" in 0..V, rast and rast_db "B H W 4". Returns 1 if out of memory.
BOZZETTO_EXPORT int32_t bozzetto_rasterize(ParallelFor pool, int64_t images, int64_t vertices, int64_t triangles,
                                           int64_t height, int64_t width, const float* pos, const int32_t* tri,
                                           float* rast, float* rast_db) {
    const auto fixed = allocate<FixedVertex>(images * vertices);
    const auto outcode = allocate<uint8_t>(images * vertices);
    const auto rows = allocate<Rows>(images * triangles);
    if (!fixed || !outcode || !rows) return 1;
    const Viewport view(height, width);
    const int32_t snapped = parallel(pool, images * vertices, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const ClipVertex vertex = load(pos, i);
            outcode[i] = view.outcode(vertex);
            if (outcode[i] == 0) fixed[i] = view.snap(vertex);
        }
    });
    const int32_t reached = parallel(pool, images * triangles, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const int64_t first = i / triangles * vertices;
            rows[i] = reach(&fixed[first], &outcode[first], tri + 3 * (i % triangles), height, width);
        }
    });
    std::atomic<bool> out_of_memory{false};
    const int32_t drawn = parallel(pool, images * height, kRowGrain, [&](int64_t begin, int64_t end) {
        const int64_t stride = (width + kLanes - 1) / kLanes;
        const auto seen = allocate<Seen>(std::min(kTileRows, height) * stride);
        const auto centre_x = allocate<double>(width);
        if (!seen || !centre_x) {
            out_of_memory = true;
            return;
        }
        for (int64_t column = 0; column < width; ++column)
            centre_x[column] = pixel_centre(0, column, height, width).x;
        for (int64_t row = begin; row < end;) {
            const int64_t image = row / height, first = row % height;
            Tile tile{first, std::min({kTileRows, height - first, end - row}), width, stride, seen.get(), centre_x.get()};
            const Mesh mesh{pos + image * vertices * 4,       tri, triangles, &fixed[image * vertices],
                            &outcode[image * vertices], &rows[image * triangles]};
            draw_all(mesh, view, tile);
            write(mesh, tile, view, height, rast + 4 * row * width, rast_db + 4 * row * width);
            row += tile.rows;
        }
    });
    return out_of_memory ? 1 : snapped | reached | drawn;
}
