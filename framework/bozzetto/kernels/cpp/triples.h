// Products of one number per sample and three per ray, eight samples at a time where there are registers for it. The
// functions return how many samples they have done: a multiple of eight, or none. Bits are those of the plain loop.
#pragma once

#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace bozzetto {

#if defined(__AVX2__)

// The three numbers again and again, over three registers.
struct Repeated {
    __m256 part[3];

    explicit Repeated(const float* three) {
        float all[24];
        for (int i = 0; i < 24; ++i) all[i] = three[i % 3];
        for (int i = 0; i < 3; ++i) part[i] = _mm256_loadu_ps(all + 8 * i);
    }
};

// own[s] = ((own[s] + sums[0] * values[s][0]) + sums[1] * values[s][1]) + sums[2] * values[s][2]
inline int64_t add_pulled_of_three(const float* values, const float* sums, float* own, int64_t samples) {
    const Repeated repeated(sums);
    // A blend of the products of one channel has them in this order; the first turns it.
    const __m256i turn_first = _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5);
    const __m256i turn_second = _mm256_setr_epi32(1, 4, 7, 2, 5, 0, 3, 6);
    const __m256i turn_third = _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7);
    int64_t s = 0;
    for (; s + 8 <= samples; s += 8) {
        __m256 product[3];
        for (int i = 0; i < 3; ++i) product[i] = _mm256_mul_ps(repeated.part[i], _mm256_loadu_ps(values + 3 * s + 8 * i));
        const __m256 first = _mm256_blend_ps(_mm256_blend_ps(product[0], product[1], 0x92), product[2], 0x24);
        const __m256 second = _mm256_blend_ps(_mm256_blend_ps(product[0], product[1], 0x24), product[2], 0x49);
        const __m256 third = _mm256_blend_ps(_mm256_blend_ps(product[0], product[1], 0x49), product[2], 0x92);
        __m256 sum = _mm256_add_ps(_mm256_loadu_ps(own + s), _mm256_permutevar8x32_ps(first, turn_first));
        sum = _mm256_add_ps(sum, _mm256_permutevar8x32_ps(second, turn_second));
        sum = _mm256_add_ps(sum, _mm256_permutevar8x32_ps(third, turn_third));
        _mm256_storeu_ps(own + s, sum);
    }
    return s;
}

// into[s][c] = weights[s] * sums[c]
inline int64_t spread_to_three(const float* weights, const float* sums, float* into, int64_t samples) {
    const Repeated repeated(sums);
    const __m256i of[3] = {_mm256_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2), _mm256_setr_epi32(2, 3, 3, 3, 4, 4, 4, 5),
                           _mm256_setr_epi32(5, 5, 6, 6, 6, 7, 7, 7)};
    int64_t s = 0;
    for (; s + 8 <= samples; s += 8) {
        const __m256 weight = _mm256_loadu_ps(weights + s);
        for (int i = 0; i < 3; ++i)
            _mm256_storeu_ps(into + 3 * s + 8 * i,
                             _mm256_mul_ps(_mm256_permutevar8x32_ps(weight, of[i]), repeated.part[i]));
    }
    return s;
}

#else

inline int64_t add_pulled_of_three(const float*, const float*, float*, int64_t) { return 0; }
inline int64_t spread_to_three(const float*, const float*, float*, int64_t) { return 0; }

#endif

}  // namespace bozzetto
