// Volume rendering equation of math/compositing.py. Opacities of many samples are computed at once in vectorised loops,
// then composited ray by ray. Transmittance is float64, so that no precision is lost along a ray.

#include <cmath>
#include <cstring>

#include "parallel.h"
#include "triples.h"

namespace {

using bozzetto::add_pulled_of_three;
using bozzetto::spread_to_three;

using bozzetto::ParallelFor;

constexpr int64_t kGrain = 256;       // rays
constexpr int64_t kRaysTogether = 16;  // rays whose samples stay in the first-level cache between the two passes
constexpr int32_t kBadOffsets = -2;

// exp(-x) and 1 - exp(-x), both to float32's last digits, for x from 0 to infinity; NaN stays NaN.
// -x = n ln 2 + r with |r| <= ln 2 / 2; then exp(r) - 1 by its power series, Horner's scheme.
inline void transparency(float x, float& transparent, float& opaque) {
    constexpr float kLargest = 87.0f;  // exp(-87) is the smallest normal number
    constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    const float bounded = x > kLargest ? kLargest : x;
    const float shifted = kRound - bounded * kLog2E;
    const float n = shifted - kRound;
    const float r = (-bounded - n * kLn2High) - n * kLn2Low;
    uint32_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    float power;  // 2^n
    std::memcpy(&power, &bits, sizeof power);
    float series = 1.98412698e-4f;
    series = series * r + 1.38888889e-3f;
    series = series * r + 8.33333333e-3f;
    series = series * r + 4.16666667e-2f;
    series = series * r + 1.66666667e-1f;
    series = series * r + 0.5f;
    series = series * r * r + r;
    transparent = power * series + power;
    opaque = (1.0f - power) - power * series;
}

bool rise(const int64_t* offsets, int64_t rays, int64_t samples) {
    if (offsets[0] != 0 || offsets[rays] != samples) return false;
    for (int64_t ray = 0; ray < rays; ++ray)
        if (offsets[ray + 1] < offsets[ray]) return false;
    return true;
}

// Sums of the samples of one ray; C channels, or the number given as argument if C is 0.
template <int C>
struct Sums {
    const float* values;
    float* accumulated;
    int64_t channels;

    void add_up(const float* weights, int64_t ray, int64_t begin, int64_t end) const {
        const int64_t count = C ? C : channels;
        float* sum = accumulated + ray * count;
        for (int64_t c = 0; c < count; ++c) sum[c] = 0.0f;
        if (C) {
            float kept[C ? C : 1] = {};
            for (int64_t s = begin; s < end; ++s)
                for (int c = 0; c < C; ++c) kept[c] += weights[s] * values[s * C + c];
            for (int c = 0; c < C; ++c) sum[c] = kept[c];
        } else {
            for (int64_t s = begin; s < end; ++s)
                for (int64_t c = 0; c < count; ++c) sum[c] += weights[s] * values[s * count + c];
        }
    }
};

template <int C>
int32_t forward(ParallelFor pool, int64_t rays, const int64_t* offsets, const float* density, const float* t_start,
                const float* t_end, float* weights, float* after, float* opacity, float* depth, Sums<C> sums) {
    return bozzetto::parallel_pieces(pool, rays, kGrain, [=](int64_t begin, int64_t end) {
        for (int64_t low = begin; low < end; low += kRaysTogether) {
            const int64_t high = low + kRaysTogether < end ? low + kRaysTogether : end;
            for (int64_t s = offsets[low]; s < offsets[high]; ++s)
                transparency(density[s] * (t_end[s] - t_start[s]), after[s], weights[s]);
            for (int64_t ray = low; ray < high; ++ray) {
                double transmittance = 1.0;
                float total = 0.0f, distance = 0.0f;
                for (int64_t s = offsets[ray]; s < offsets[ray + 1]; ++s) {
                    const float weight = static_cast<float>(transmittance * weights[s]);
                    transmittance *= after[s];
                    weights[s] = weight;
                    after[s] = static_cast<float>(transmittance);
                    total += weight;
                    distance += weight * (0.5f * (t_start[s] + t_end[s]));
                }
                opacity[ray] = total;
                depth[ray] = distance;
                sums.add_up(weights, ray, offsets[ray], offsets[ray + 1]);
            }
        }
    });
}

// Gradients that are not needed are null pointers.
struct Incoming {
    const float* weights;
    const float* accumulated;
    const float* opacity;
    const float* depth;
};

// Samples whose intermediate results stay in the first-level cache. Most rays have no more, so that all reads and writes
// run through memory in one direction: processors fetch ahead of that, and not of short pieces in descending order.
constexpr int kBlock = 512;

// Add to each sample's `own` the sum over channels of `sums` times its values; C channels, or `channels` if C is 0.
template <int C>
void add_pulled(const float* values, const float* sums, int64_t channels, float* own, int64_t samples) {
    const int64_t count = C ? C : channels;
    int64_t s = 0;
    if (C == 3) s = add_pulled_of_three(values, sums, own, samples);
    for (; s < samples; ++s)
        for (int64_t c = 0; c < count; ++c) own[s] += sums[c] * values[s * count + c];
}

// Write `sums` times the weight of each sample.
template <int C>
void spread(const float* weights, const float* sums, int64_t channels, float* into, int64_t samples) {
    const int64_t count = C ? C : channels;
    int64_t s = 0;
    if (C == 3) s = spread_to_three(weights, sums, into, samples);
    for (; s < samples; ++s)
        for (int64_t c = 0; c < count; ++c) into[s * count + c] = weights[s] * sums[c];
}

template <int C>
int32_t backward(ParallelFor pool, int64_t rays, int64_t channels, const int64_t* offsets, const float* t_start,
                 const float* t_end, const float* values, const float* weights, const float* after, Incoming grad,
                 float* grad_density, float* grad_values) {
    return bozzetto::parallel_pieces(pool, rays, kGrain, [=](int64_t begin, int64_t end) {
        const int64_t count = C ? C : channels;
        float own[kBlock];
        double alone[kBlock], behind_of[kBlock];
        for (int64_t ray = begin; ray < end; ++ray) {
            const float* sums = grad.accumulated ? grad.accumulated + ray * count : nullptr;
            const float grad_opacity = grad.opacity ? grad.opacity[ray] : 0.0f;
            const float grad_depth = grad.depth ? grad.depth[ray] : 0.0f;
            double behind = 0.0;
            for (int64_t last = offsets[ray + 1]; last > offsets[ray];) {
                const int64_t first = last - kBlock > offsets[ray] ? last - kBlock : offsets[ray];
                const int64_t samples = last - first;
                for (int64_t s = 0; s < samples; ++s)
                    own[s] = grad_opacity + grad_depth * (0.5f * (t_start[first + s] + t_end[first + s]));
                if (grad.weights)
                    for (int64_t s = 0; s < samples; ++s) own[s] += grad.weights[first + s];
                if (sums) {
                    add_pulled<C>(values + first * count, sums, channels, own, samples);
                    spread<C>(weights + first, sums, channels, grad_values + first * count, samples);
                } else {
                    std::memset(grad_values + first * count, 0, sizeof(float) * samples * count);
                }
                for (int64_t s = 0; s < samples; ++s) {
                    alone[s] = static_cast<double>(own[s]) * after[first + s];
                    behind_of[s] = static_cast<double>(own[s]) * weights[first + s];
                }
                for (int64_t s = samples - 1; s >= 0; --s) {
                    const double here = behind_of[s];
                    behind_of[s] = behind;
                    behind += here;
                }
                for (int64_t s = 0; s < samples; ++s)
                    grad_density[first + s] =
                        static_cast<float>(alone[s] - behind_of[s]) * (t_end[first + s] - t_start[first + s]);
                last = first;
            }
        }
    });
}

}  // namespace

#define BOZZETTO_BY_CHANNELS(call)        \
    switch (channels) {                   \
        case 1: return call(1);           \
        case 3: return call(3);           \
        case 4: return call(4);           \
        default: return call(0);          \
    }

// values "S C", accumulated "R C"; opacity and depth "R". `after` "S": transmittance behind each sample, for backward.
BOZZETTO_EXPORT int32_t bozzetto_composite(ParallelFor pool, int64_t rays, int64_t samples, int64_t channels,
                                           const int64_t* offsets, const float* density, const float* t_start,
                                           const float* t_end, const float* values, float* weights, float* after,
                                           float* accumulated, float* opacity, float* depth) {
    if (!rise(offsets, rays, samples)) return kBadOffsets;
#define CALL(C)                                                                              \
    forward<C>(pool, rays, offsets, density, t_start, t_end, weights, after, opacity, depth, \
               Sums<C>{values, accumulated, channels})
    BOZZETTO_BY_CHANNELS(CALL)
#undef CALL
}

// d w_j / d (optical depth i) is the transmittance behind i for j = i, -w_j for j behind i, 0 otherwise.
BOZZETTO_EXPORT int32_t bozzetto_composite_backward(
    ParallelFor pool, int64_t rays, int64_t channels, const int64_t* offsets, const float* t_start, const float* t_end,
    const float* values, const float* weights, const float* after, const float* grad_weights,
    const float* grad_accumulated, const float* grad_opacity, const float* grad_depth, float* grad_density,
    float* grad_values) {
    const Incoming grad{grad_weights, grad_accumulated, grad_opacity, grad_depth};
#define CALL(C)                                                                                             \
    backward<C>(pool, rays, channels, offsets, t_start, t_end, values, weights, after, grad, grad_density, \
                grad_values)
    BOZZETTO_BY_CHANNELS(CALL)
#undef CALL
}
