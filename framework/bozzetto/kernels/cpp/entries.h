// Table entries in registers: one at a time, and for entries of two numbers, the common case, several points at once.
// These are assembled from single loads, since gather instructions are slow on some processors and gain little on the
// others. Every variant does the same operations in the same order on each number, so that results are bitwise equal.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace bozzetto {

// The F numbers of one entry.
template <int F>
struct Entry {
    typedef float Vector __attribute__((vector_size(F * sizeof(float))));

    static Vector load(const float* from) {
        Vector vector;
        std::memcpy(&vector, from, sizeof vector);
        return vector;
    }

    static void store(float* to, Vector vector) { std::memcpy(to, &vector, sizeof vector); }
};

// Entries of kCount consecutive points. `row` and `weight` hold one number per point; stored or interleaved values are
// feature-major, the numbers of feature f start at `features[f]`.
template <int F>
struct Entries {
    static constexpr int kCount = 1;
    typename Entry<F>::Vector value = {};

    static Entries load(const float* table, const uint32_t* row) { return {Entry<F>::load(table + int64_t{*row} * F)}; }

    static Entries zip(const float* const* features) {
        Entries zipped;
        for (int f = 0; f < F; ++f) zipped.value[f] = *features[f];
        return zipped;
    }

    void add(const float* weight, Entries entries) { value += *weight * entries.value; }

    void store(float* const* features) const {
        for (int f = 0; f < F; ++f) *features[f] = value[f];
    }

    void dot(Entries other, float* result) const {
        const auto product = value * other.value;
        float sum = product[0];
        for (int f = 1; f < F; ++f) sum += product[f];
        *result = sum;
    }
};

#if defined(__AVX2__)

// Points `row[0]` and `row[1]` in the two halves of a register.
inline __m128d load_two(const double* table, const uint32_t* row) {
    return _mm_loadh_pd(_mm_load_sd(table + row[0]), table + row[1]);
}

inline __m256 load_four(const float* entries, const uint32_t* row) {
    const double* table = reinterpret_cast<const double*>(entries);  // one entry, two floats
    return _mm256_castpd_ps(_mm256_set_m128d(load_two(table, row + 2), load_two(table, row)));
}

#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)

template <>
struct Entries<2> {
    static constexpr int kCount = 8;
    __m512 value = _mm512_setzero_ps();

    static Entries load(const float* table, const uint32_t* row) {
        return {_mm512_insertf32x8(_mm512_castps256_ps512(load_four(table, row)), load_four(table, row + 4), 1)};
    }

    static Entries zip(const float* const* features) {
        const __m512i order = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        return {_mm512_permutex2var_ps(_mm512_castps256_ps512(_mm256_loadu_ps(features[0])), order,
                                       _mm512_castps256_ps512(_mm256_loadu_ps(features[1])))};
    }

    void add(const float* weight, Entries entries) {
        const __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
        const __m512 weights = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(weight)));
        value = _mm512_add_ps(value, _mm512_mul_ps(weights, entries.value));
    }

    void store(float* const* features) const {
        const __m512i order = _mm512_set_epi32(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0);
        const __m512 sorted = _mm512_permutexvar_ps(order, value);
        _mm256_storeu_ps(features[0], _mm512_castps512_ps256(sorted));
        _mm256_storeu_ps(features[1], _mm512_extractf32x8_ps(sorted, 1));
    }

    void dot(Entries other, float* result) const {
        const __m512 product = _mm512_mul_ps(value, other.value);
        const __m512 sum = _mm512_add_ps(product, _mm512_permute_ps(product, 0xB1));  // swap neighbours
        const __m256i first = _mm512_cvtepi64_epi32(_mm512_castps_si512(sum));
        _mm256_storeu_ps(result, _mm256_castsi256_ps(first));
    }
};

#elif defined(__AVX2__)

template <>
struct Entries<2> {
    static constexpr int kCount = 4;
    __m256 value = _mm256_setzero_ps();

    static Entries load(const float* table, const uint32_t* row) { return {load_four(table, row)}; }

    static Entries zip(const float* const* features) {
        const __m128 first = _mm_loadu_ps(features[0]), second = _mm_loadu_ps(features[1]);
        return {_mm256_set_m128(_mm_unpackhi_ps(first, second), _mm_unpacklo_ps(first, second))};
    }

    void add(const float* weight, Entries entries) {
        const __m256i twice = _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0);
        const __m256 weights = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(weight)), twice);
        value = _mm256_add_ps(value, _mm256_mul_ps(weights, entries.value));
    }

    void store(float* const* features) const {
        const __m256 sorted = _mm256_permutevar8x32_ps(value, _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0));
        _mm_storeu_ps(features[0], _mm256_castps256_ps128(sorted));
        _mm_storeu_ps(features[1], _mm256_extractf128_ps(sorted, 1));
    }

    void dot(Entries other, float* result) const {
        const __m256 product = _mm256_mul_ps(value, other.value);
        const __m256 sum = _mm256_add_ps(product, _mm256_permute_ps(product, 0xB1));  // swap neighbours
        const __m256 first = _mm256_permutevar8x32_ps(sum, _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0));
        _mm_storeu_ps(result, _mm256_castps256_ps128(first));
    }
};

#endif

}  // namespace bozzetto
