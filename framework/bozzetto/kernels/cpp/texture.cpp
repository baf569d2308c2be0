// Texture sampling; see ref/texture.py. Levels are given as pointers to "T h w C", T = 1 if all images share them.
//
// Pixels are taken in blocks: where each reads is computed for a whole block at once, in loops that the compiler
// vectorises, and its texels are requested from memory before the first of them is used.

#include <cmath>
#include <cstring>
#include <type_traits>

#include "parallel.h"

namespace {

using bozzetto::ParallelFor;

constexpr int64_t kGrain = 4096;  // pixels
constexpr int kBlock = 64;        // pixels

enum Filter : int64_t { kNearest, kLinear, kMipmapNearest, kMipmapLinear };
enum Boundary : int64_t { kWrap, kClamp, kZero };

// Channels per texel, known to the compiler if kCount is not 0: loops over three numbers are then unrolled.
template <int64_t kCount>
using Channels = std::integral_constant<int64_t, kCount>;

// Calls body with the number of channels as a constant where it is a common one.
template <class Body>
int32_t with_channels(int64_t channels, const Body& body) {
    if (channels == 1) return body(Channels<1>{});
    if (channels == 3) return body(Channels<3>{});
    if (channels == 4) return body(Channels<4>{});
    return body(Channels<0>{});
}

// Where the pixels of a block are along one axis of the texture: two neighbouring cells, -1 if outside.
struct Axis {
    float fraction[kBlock], slope[kBlock];
    int32_t cell[2][kBlock];
};

template <int64_t kBoundary>
int32_t bounded(int32_t cell, int32_t size) {
    if (kBoundary == kZero) return cell >= 0 && cell < size ? cell : -1;
    if (kBoundary == kClamp) return cell < 0 ? 0 : cell < size ? cell : size - 1;
    return cell < 0 ? cell + size : cell < size ? cell : cell - size;
}

// `coordinate` holds u and v in turn.
template <int64_t kBoundary>
void locate(int count, const float* coordinate, const int32_t* size, float shift, Axis* axis) {
    for (int i = 0; i < count; ++i) {
        const float extent = static_cast<float>(size[i]);
        const float low = kBoundary == kClamp ? 0.0f : kBoundary == kZero ? -1.0f : -0.5f;
        const float high = kBoundary == kClamp ? extent - 1.0f : kBoundary == kZero ? extent : extent - 0.5f;
        const float whole = kBoundary == kWrap ? std::floor(coordinate[2 * i]) : 0.0f;
        float position = (coordinate[2 * i] - whole) * extent - 0.5f;
        axis->slope[i] = position >= low && position <= high ? extent : 0.0f;
        position = position >= low ? (position <= high ? position : high) : low;  // NaN becomes `low`
        const float cell = std::floor(position + shift);
        const int32_t first = static_cast<int32_t>(cell);
        axis->fraction[i] = position - cell;
        axis->cell[0][i] = bounded<kBoundary>(first, size[i]);
        axis->cell[1][i] = bounded<kBoundary>(first + 1, size[i]);
    }
}

void locate(int64_t boundary, int count, const float* coordinate, const int32_t* size, float shift, Axis* axis) {
    if (boundary == kWrap) return locate<kWrap>(count, coordinate, size, shift, axis);
    if (boundary == kClamp) return locate<kClamp>(count, coordinate, size, shift, axis);
    locate<kZero>(count, coordinate, size, shift, axis);
}

// Mip levels of a block: `finer` with weight 1 - share, the next with share.
struct Levels {
    int32_t finer[kBlock];
    float share[kBlock];
    bool blended;  // some share is above 0
};

template <int64_t kChannels>
struct Texture {
    int64_t pixels;  // per image
    int64_t any_channels, level_count, shared, filter, boundary;
    const int64_t* sizes;  // height and width of each level

    int64_t channels() const { return kChannels ? kChannels : any_channels; }

    // Texels that a pixel reads in a level.
    int taps() const { return filter == kNearest ? 1 : 4; }

    // Start of level l of the texture read by a pixel.
    int64_t start(int64_t pixel, int64_t l) const {
        return shared ? 0 : pixel / pixels * sizes[2 * l] * sizes[2 * l + 1] * channels();
    }

    void choose(const float* level, int count, Levels* at) const {
        at->blended = false;
        if (filter < kMipmapNearest || level_count == 1) {
            std::memset(at->finer, 0, sizeof at->finer);
            std::memset(at->share, 0, sizeof at->share);
            return;
        }
        const float last = static_cast<float>(level_count - 2);
        for (int i = 0; i < count; ++i) {
            float from = level[i] > 0.0f ? level[i] : 0.0f;  // NaN becomes 0
            from = from < last + 1.0f ? from : last + 1.0f;
            if (filter == kMipmapNearest) from = std::floor(from + 0.5f);
            const float finer = std::floor(from) < last ? std::floor(from) : last;
            at->finer[i] = static_cast<int32_t>(finer);
            at->share[i] = from - finer;
            at->blended |= at->share[i] > 0.0f;
        }
    }
};

// Where the pixels of a block read in one level each.
template <int64_t kChannels>
struct Block {
    const Texture<kChannels>& texture;
    int64_t begin;
    int count;
    int32_t level[kBlock];
    int32_t height[kBlock], width[kBlock];
    Axis x, y;
    int32_t texel[4][kBlock];  // -1: outside
    float weight[4][kBlock];

    Block(const Texture<kChannels>& texture, int64_t begin, int count) : texture(texture), begin(begin), count(count) {}

    void locate_all(const float* uv, const int32_t* finer, int32_t coarser) {
        for (int i = 0; i < count; ++i) {
            level[i] = finer[i] + coarser;
            height[i] = static_cast<int32_t>(texture.sizes[2 * level[i]]);
            width[i] = static_cast<int32_t>(texture.sizes[2 * level[i] + 1]);
        }
        const float shift = texture.filter == kNearest ? 0.5f : 0.0f;
        locate(texture.boundary, count, uv + 2 * begin, width, shift, &x);
        locate(texture.boundary, count, uv + 2 * begin + 1, height, shift, &y);
        for (int tap = 0; tap < texture.taps(); ++tap) {
            const int32_t *column = x.cell[tap & 1], *row = y.cell[tap >> 1];
            for (int i = 0; i < count; ++i) {
                const bool inside = (column[i] | row[i]) >= 0;
                texel[tap][i] = inside ? row[i] * width[i] + column[i] : -1;
                const float along_x = tap & 1 ? x.fraction[i] : 1.0f - x.fraction[i];
                const float along_y = tap >> 1 ? y.fraction[i] : 1.0f - y.fraction[i];
                weight[tap][i] = texture.filter == kNearest ? 1.0f : along_x * along_y;
            }
        }
    }

    // Requests the texels of the block from memory: of each row the first and the last byte of two neighbouring columns,
    // which a third of the pixels have in different cache lines. Always inline: GCC 12 assumes that a function which
    // only prefetches has no effect, and drops the call.
    template <int kWrite, class Pointer>
    __attribute__((always_inline)) void prefetch(Pointer levels) const {
        const int64_t end = (texture.filter == kNearest ? 1 : 2) * texture.channels() - 1;
        for (int tap = 0; tap < texture.taps(); tap += 2) {
            for (int i = 0; i < count; ++i) {
                if (texel[tap][i] < 0) continue;
                const auto* at = levels[level[i]] + texture.start(begin + i, level[i]);
                at += texture.channels() * texel[tap][i];
                __builtin_prefetch(at, kWrite);
                __builtin_prefetch(at + end, kWrite);
            }
        }
    }
};

template <int64_t kChannels>
void add(const Block<kChannels>& block, int i, const float* texels, float scale, float* __restrict out) {
    const int64_t channels = block.texture.channels();
    for (int tap = 0; tap < block.texture.taps(); ++tap) {
        if (block.texel[tap][i] < 0) continue;
        const float weight = scale * block.weight[tap][i];
        const float* texel = texels + channels * block.texel[tap][i];
        for (int64_t c = 0; c < channels; ++c) out[c] += weight * texel[c];
    }
}

// Dot product of the sample of one level with the gradient; adds its derivatives with respect to u and v.
template <int64_t kChannels>
float pull(const Block<kChannels>& block, int i, const float* texels, float scale, const float* grad, float* to_uv) {
    const int64_t channels = block.texture.channels();
    const bool flat = block.texture.filter == kNearest;
    const float slope_u = flat ? 0.0f : block.x.slope[i], slope_v = flat ? 0.0f : block.y.slope[i];
    const float right = block.x.fraction[i], below = block.y.fraction[i];
    float worth = 0.0f, along_u = to_uv[0], along_v = to_uv[1];
    for (int tap = 0; tap < block.texture.taps(); ++tap) {
        if (block.texel[tap][i] < 0) continue;
        const float* texel = texels + channels * block.texel[tap][i];
        float product = 0.0f;
        for (int64_t c = 0; c < channels; ++c) product += grad[c] * texel[c];
        worth += product * block.weight[tap][i];
        along_u += scale * product * ((tap & 1 ? slope_u : -slope_u) * (tap >> 1 ? below : 1.0f - below));
        along_v += scale * product * ((tap >> 1 ? slope_v : -slope_v) * (tap & 1 ? right : 1.0f - right));
    }
    to_uv[0] = along_u;
    to_uv[1] = along_v;
    return worth;
}

template <int64_t kChannels>
void push(const Block<kChannels>& block, int i, float scale, const float* __restrict grad, float* __restrict texels) {
    const int64_t channels = block.texture.channels();
    for (int tap = 0; tap < block.texture.taps(); ++tap) {
        if (block.texel[tap][i] < 0) continue;
        const float weight = scale * block.weight[tap][i];
        float* texel = texels + channels * block.texel[tap][i];
        for (int64_t c = 0; c < channels; ++c) texel[c] += weight * grad[c];
    }
}

// Calls body(first pixel, count) for the blocks of [begin, end).
template <class Body>
void in_blocks(int64_t begin, int64_t end, const Body& body) {
    for (int64_t pixel = begin; pixel < end; pixel += kBlock)
        body(pixel, static_cast<int>(end - pixel < kBlock ? end - pixel : kBlock));
}

}  // namespace

// uv "B P 2", level "B P" or null without mipmaps, out "B P C". filter and boundary: the enumerations above.
BOZZETTO_EXPORT int32_t bozzetto_texture(ParallelFor pool, int64_t images, int64_t pixels, int64_t channels,
                                         int64_t level_count, int64_t shared, int64_t filter, int64_t boundary,
                                         const float* const* levels, const int64_t* sizes, const float* uv,
                                         const float* level, float* out) {
    return with_channels(channels, [=](auto constant) {
        const Texture<constant> t{pixels, channels, level_count, shared, filter, boundary, sizes};
        const auto sample = [=, &t](int64_t first, int count) {
            Levels at;
            t.choose(level + (level ? first : 0), count, &at);
            std::memset(out + first * channels, 0, sizeof(float) * count * channels);
            Block<constant> block(t, first, count);
            for (int32_t coarser = 0; coarser <= (at.blended ? 1 : 0); ++coarser) {
                block.locate_all(uv, at.finer, coarser);
                block.template prefetch<0>(levels);
                for (int i = 0; i < count; ++i) {
                    const float scale = coarser ? at.share[i] : 1.0f - at.share[i];
                    if (coarser && scale == 0.0f) continue;
                    const int32_t l = block.level[i];
                    add(block, i, levels[l] + t.start(first + i, l), scale, out + (first + i) * channels);
                }
            }
        };
        return bozzetto::parallel(pool, images * pixels, kGrain,
                                  [&](int64_t begin, int64_t end) { in_blocks(begin, end, sample); });
    });
}

// Gradients to uv "B P 2" and level "B P"; grad_level is null unless the filter is linear-mipmap-linear.
BOZZETTO_EXPORT int32_t bozzetto_texture_backward_points(ParallelFor pool, int64_t images, int64_t pixels,
                                                         int64_t channels, int64_t level_count, int64_t shared,
                                                         int64_t filter, int64_t boundary, const float* const* levels,
                                                         const int64_t* sizes, const float* uv, const float* level,
                                                         const float* grad, float* grad_uv, float* grad_level) {
    return with_channels(channels, [=](auto constant) {
        const Texture<constant> t{pixels, channels, level_count, shared, filter, boundary, sizes};
        const auto differentiate = [=, &t](int64_t first, int count) {
            Levels at;
            t.choose(level + (level ? first : 0), count, &at);
            std::memset(grad_uv + 2 * first, 0, sizeof(float) * 2 * count);
            Block<constant> block(t, first, count);
            float worth[2][kBlock] = {};
            const bool both = level_count > 1 && (at.blended || grad_level != nullptr);
            for (int32_t coarser = 0; coarser <= (both ? 1 : 0); ++coarser) {
                block.locate_all(uv, at.finer, coarser);
                block.template prefetch<0>(levels);
                for (int i = 0; i < count; ++i) {
                    const float scale = coarser ? at.share[i] : 1.0f - at.share[i];
                    const int32_t l = block.level[i];
                    worth[coarser][i] = pull(block, i, levels[l] + t.start(first + i, l), scale,
                                             grad + (first + i) * channels, grad_uv + 2 * (first + i));
                }
            }
            if (grad_level == nullptr) return;
            for (int i = 0; i < count; ++i) grad_level[first + i] = both ? worth[1][i] - worth[0][i] : 0.0f;
        };
        return bozzetto::parallel(pool, images * pixels, kGrain,
                                  [&](int64_t begin, int64_t end) { in_blocks(begin, end, differentiate); });
    });
}

// Gradients to the levels, initialised to zero. One thread per texture, so that sums have a fixed order.
BOZZETTO_EXPORT int32_t bozzetto_texture_backward_levels(ParallelFor pool, int64_t images, int64_t pixels,
                                                         int64_t channels, int64_t level_count, int64_t shared,
                                                         int64_t filter, int64_t boundary, const int64_t* sizes,
                                                         const float* uv, const float* level, const float* grad,
                                                         float* const* grad_levels) {
    return with_channels(channels, [=](auto constant) {
        const Texture<constant> t{pixels, channels, level_count, shared, filter, boundary, sizes};
        const int64_t owners = shared ? 1 : images, each = images / owners * pixels;
        const auto spread = [=, &t](int64_t first, int count) {
            Levels at;
            t.choose(level + (level ? first : 0), count, &at);
            Block<constant> blocks[2] = {{t, first, count}, {t, first, count}};
            const int32_t last = at.blended ? 1 : 0;
            for (int32_t coarser = 0; coarser <= last; ++coarser) {
                blocks[coarser].locate_all(uv, at.finer, coarser);
                blocks[coarser].template prefetch<1>(grad_levels);
            }
            for (int i = 0; i < count; ++i) {
                for (int32_t coarser = 0; coarser <= last; ++coarser) {
                    const float scale = coarser ? at.share[i] : 1.0f - at.share[i];
                    if (coarser && scale == 0.0f) continue;
                    const int32_t l = blocks[coarser].level[i];
                    float* texels = grad_levels[l] + t.start(first + i, l);
                    push(blocks[coarser], i, scale, grad + (first + i) * channels, texels);
                }
            }
        };
        return bozzetto::parallel(pool, owners, 1,
                                  [&](int64_t begin, int64_t end) { in_blocks(begin * each, end * each, spread); });
    });
}
