// Texture sampling; see ref/texture.py. Levels are given as pointers to "T h w C", T = 1 if all images share them.

#include <cmath>
#include <cstring>

#include "parallel.h"

namespace {

using bozzetto::ParallelFor;

constexpr int64_t kGrain = 4096;  // pixels

enum Filter : int64_t { kNearest, kLinear, kMipmapNearest, kMipmapLinear };
enum Boundary : int64_t { kWrap, kClamp, kZero };

// Up to four texels, with the derivatives of their weights with respect to u and v.
struct Taps {
    int count;
    int64_t texel[4];  // -1: outside
    float weight[4], along_u[4], along_v[4];
};

struct Axis {
    float fraction, slope;
    int64_t cell[2];  // -1: outside
};

int64_t bounded(int64_t cell, int64_t size, int64_t boundary) {
    if (cell >= 0 && cell < size) return cell;
    if (boundary == kZero) return -1;
    if (boundary == kClamp) return cell < 0 ? 0 : size - 1;
    return cell < 0 ? cell + size : cell - size;
}

Axis locate(float coordinate, int64_t size, int64_t boundary, float shift) {
    const float extent = static_cast<float>(size);
    const float low = boundary == kClamp ? 0.0f : boundary == kZero ? -1.0f : -0.5f;
    const float high = boundary == kClamp ? extent - 1.0f : boundary == kZero ? extent : extent - 0.5f;
    const float whole = boundary == kWrap ? std::floor(coordinate) : 0.0f;
    float position = (coordinate - whole) * extent - 0.5f;
    const float slope = position >= low && position <= high ? extent : 0.0f;
    position = position >= low ? (position <= high ? position : high) : low;  // NaN becomes `low`
    const float cell = std::floor(position + shift);
    const int64_t first = static_cast<int64_t>(cell);
    return {position - cell, slope, {bounded(first, size, boundary), bounded(first + 1, size, boundary)}};
}

struct Texture {
    int64_t pixels;  // per image
    int64_t channels, level_count, shared, filter, boundary;
    const float* const* levels;
    const int64_t* sizes;  // height and width of each level

    // Start of level l of the texture read by pixel p.
    int64_t start(int64_t pixel, int64_t l) const {
        return shared ? 0 : pixel / pixels * sizes[2 * l] * sizes[2 * l + 1] * channels;
    }

    Taps taps(int64_t l, const float* uv) const {
        const int64_t height = sizes[2 * l], width = sizes[2 * l + 1];
        const float shift = filter == kNearest ? 0.5f : 0.0f;
        const Axis x = locate(uv[0], width, boundary, shift), y = locate(uv[1], height, boundary, shift);
        Taps taps{filter == kNearest ? 1 : 4, {}, {1.0f}, {}, {}};
        for (int i = 0; i < taps.count; ++i) {
            const int64_t column = x.cell[i & 1], row = y.cell[i >> 1];
            taps.texel[i] = column < 0 || row < 0 ? -1 : (row * width + column) * channels;
        }
        if (filter == kNearest) return taps;
        const float fx[2] = {1.0f - x.fraction, x.fraction}, fy[2] = {1.0f - y.fraction, y.fraction};
        for (int i = 0; i < 4; ++i) {
            taps.weight[i] = fx[i & 1] * fy[i >> 1];
            taps.along_u[i] = (i & 1 ? x.slope : -x.slope) * fy[i >> 1];
            taps.along_v[i] = (i >> 1 ? y.slope : -y.slope) * fx[i & 1];
        }
        return taps;
    }
};

// Mip levels of a pixel: `finer` with weight 1 - share, the next with share.
struct Levels {
    int64_t finer;
    float share;
};

Levels choose(const Texture& t, const float* level, int64_t pixel) {
    if (t.filter < kMipmapNearest || t.level_count == 1) return {0, 0.0f};
    const float last = static_cast<float>(t.level_count - 2);
    float at = level[pixel] > 0.0f ? level[pixel] : 0.0f;  // NaN becomes 0
    at = at < last + 1.0f ? at : last + 1.0f;
    if (t.filter == kMipmapNearest) at = std::floor(at + 0.5f);
    const float finer = std::floor(at) < last ? std::floor(at) : last;
    return {static_cast<int64_t>(finer), at - finer};
}

void add(const Texture& t, int64_t pixel, int64_t l, const float* uv, float scale, float* out) {
    const Taps taps = t.taps(l, uv);
    const float* texels = t.levels[l] + t.start(pixel, l);
    for (int i = 0; i < taps.count; ++i) {
        if (taps.texel[i] < 0) continue;
        const float weight = scale * taps.weight[i];
        for (int64_t c = 0; c < t.channels; ++c) out[c] += weight * texels[taps.texel[i] + c];
    }
}

// Dot product of the sample of one level with the gradient; adds its derivatives with respect to u and v.
float pull(const Texture& t, int64_t pixel, int64_t l, const float* uv, float scale, const float* grad, float* to_uv) {
    const Taps taps = t.taps(l, uv);
    const float* texels = t.levels[l] + t.start(pixel, l);
    float worth = 0.0f;
    for (int i = 0; i < taps.count; ++i) {
        if (taps.texel[i] < 0) continue;
        float product = 0.0f;
        for (int64_t c = 0; c < t.channels; ++c) product += grad[c] * texels[taps.texel[i] + c];
        worth += product * taps.weight[i];
        to_uv[0] += scale * product * taps.along_u[i];
        to_uv[1] += scale * product * taps.along_v[i];
    }
    return worth;
}

void push(const Texture& t, int64_t pixel, int64_t l, const float* uv, float scale, const float* grad, float* to) {
    const Taps taps = t.taps(l, uv);
    float* texels = to + t.start(pixel, l);
    for (int i = 0; i < taps.count; ++i) {
        if (taps.texel[i] < 0) continue;
        const float weight = scale * taps.weight[i];
        for (int64_t c = 0; c < t.channels; ++c) texels[taps.texel[i] + c] += weight * grad[c];
    }
}

}  // namespace

// uv "B P 2", level "B P" or null without mipmaps, out "B P C". filter and boundary: the enumerations above.
BOZZETTO_EXPORT int32_t bozzetto_texture(ParallelFor pool, int64_t images, int64_t pixels, int64_t channels,
                                         int64_t level_count, int64_t shared, int64_t filter, int64_t boundary,
                                         const float* const* levels, const int64_t* sizes, const float* uv,
                                         const float* level, float* out) {
    const Texture t{pixels, channels, level_count, shared, filter, boundary, levels, sizes};
    return bozzetto::parallel(pool, images * pixels, kGrain, [=](int64_t begin, int64_t end) {
        std::memset(out + begin * channels, 0, sizeof(float) * (end - begin) * channels);
        for (int64_t pixel = begin; pixel < end; ++pixel) {
            const Levels at = choose(t, level, pixel);
            add(t, pixel, at.finer, uv + 2 * pixel, 1.0f - at.share, out + pixel * channels);
            if (at.share > 0.0f) add(t, pixel, at.finer + 1, uv + 2 * pixel, at.share, out + pixel * channels);
        }
    });
}

// Gradients to uv "B P 2" and level "B P"; grad_level is null unless the filter is linear-mipmap-linear.
BOZZETTO_EXPORT int32_t bozzetto_texture_backward_points(ParallelFor pool, int64_t images, int64_t pixels,
                                                         int64_t channels, int64_t level_count, int64_t shared,
                                                         int64_t filter, int64_t boundary, const float* const* levels,
                                                         const int64_t* sizes, const float* uv, const float* level,
                                                         const float* grad, float* grad_uv, float* grad_level) {
    const Texture t{pixels, channels, level_count, shared, filter, boundary, levels, sizes};
    return bozzetto::parallel(pool, images * pixels, kGrain, [=](int64_t begin, int64_t end) {
        std::memset(grad_uv + 2 * begin, 0, sizeof(float) * 2 * (end - begin));
        for (int64_t pixel = begin; pixel < end; ++pixel) {
            const Levels at = choose(t, level, pixel);
            const float *from = grad + pixel * channels, *point = uv + 2 * pixel;
            float* to = grad_uv + 2 * pixel;
            const float fine = pull(t, pixel, at.finer, point, 1.0f - at.share, from, to);
            if (grad_level == nullptr && at.share == 0.0f) continue;
            const bool coarser = t.level_count > 1;
            const float coarse = coarser ? pull(t, pixel, at.finer + 1, point, at.share, from, to) : fine;
            if (grad_level != nullptr) grad_level[pixel] = coarse - fine;
        }
    });
}

// Gradients to the levels, initialised to zero. One thread per texture, so that sums have a fixed order.
BOZZETTO_EXPORT int32_t bozzetto_texture_backward_levels(ParallelFor pool, int64_t images, int64_t pixels,
                                                         int64_t channels, int64_t level_count, int64_t shared,
                                                         int64_t filter, int64_t boundary, const int64_t* sizes,
                                                         const float* uv, const float* level, const float* grad,
                                                         float* const* grad_levels) {
    const Texture t{pixels, channels, level_count, shared, filter, boundary, nullptr, sizes};
    const int64_t owners = shared ? 1 : images, each = images / owners * pixels;
    return bozzetto::parallel(pool, owners, 1, [=](int64_t begin, int64_t end) {
        for (int64_t pixel = begin * each; pixel < end * each; ++pixel) {
            const Levels at = choose(t, level, pixel);
            const float *from = grad + pixel * channels, *point = uv + 2 * pixel;
            push(t, pixel, at.finer, point, 1.0f - at.share, from, grad_levels[at.finer]);
            if (at.share > 0.0f) push(t, pixel, at.finer + 1, point, at.share, from, grad_levels[at.finer + 1]);
        }
    });
}
