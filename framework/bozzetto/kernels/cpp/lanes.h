// Sixteen numbers: one register, two, or a loop. Products are fused with sums in the first two forms, so that both give
// the same bits.
#pragma once

#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace bozzetto {

constexpr int kLanes = 16;

#if defined(__AVX512F__)

struct Lanes {
    __m512 v;

    static Lanes zero() { return {_mm512_setzero_ps()}; }
    static Lanes all(float x) { return {_mm512_set1_ps(x)}; }
    static Lanes load(const float* from) { return {_mm512_loadu_ps(from)}; }
    void store(float* to) const { _mm512_storeu_ps(to, v); }
    void add_product(Lanes a, Lanes b) { v = _mm512_fmadd_ps(a.v, b.v, v); }
    // NaN stays NaN.
    Lanes positive_part() const { return {_mm512_max_ps(_mm512_setzero_ps(), v)}; }
    // Zero where `gate` is not above zero.
    Lanes where_positive(Lanes gate) const {
        return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(gate.v, _mm512_setzero_ps(), _CMP_NLE_UQ), v)};
    }
};

#elif defined(__AVX2__) && defined(__FMA__)

struct Lanes {
    __m256 a, b;

    static Lanes zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
    static Lanes all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
    static Lanes load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
    void store(float* to) const {
        _mm256_storeu_ps(to, a);
        _mm256_storeu_ps(to + 8, b);
    }
    void add_product(Lanes x, Lanes y) {
        a = _mm256_fmadd_ps(x.a, y.a, a);
        b = _mm256_fmadd_ps(x.b, y.b, b);
    }
    Lanes positive_part() const {
        return {_mm256_max_ps(_mm256_setzero_ps(), a), _mm256_max_ps(_mm256_setzero_ps(), b)};
    }
    Lanes where_positive(Lanes gate) const {
        const __m256 zero = _mm256_setzero_ps();
        return {_mm256_and_ps(a, _mm256_cmp_ps(gate.a, zero, _CMP_NLE_UQ)),
                _mm256_and_ps(b, _mm256_cmp_ps(gate.b, zero, _CMP_NLE_UQ))};
    }
};

#else

struct Lanes {
    float v[kLanes];

    static Lanes zero() { return all(0.0f); }
    static Lanes all(float x) {
        Lanes lanes;
        for (float& lane : lanes.v) lane = x;
        return lanes;
    }
    static Lanes load(const float* from) {
        Lanes lanes;
        for (int i = 0; i < kLanes; ++i) lanes.v[i] = from[i];
        return lanes;
    }
    void store(float* to) const {
        for (int i = 0; i < kLanes; ++i) to[i] = v[i];
    }
    void add_product(Lanes a, Lanes b) {
        for (int i = 0; i < kLanes; ++i) v[i] += a.v[i] * b.v[i];
    }
    Lanes positive_part() const {
        Lanes lanes;
        for (int i = 0; i < kLanes; ++i) lanes.v[i] = v[i] <= 0.0f ? 0.0f : v[i];
        return lanes;
    }
    Lanes where_positive(Lanes gate) const {
        Lanes lanes;
        for (int i = 0; i < kLanes; ++i) lanes.v[i] = gate.v[i] <= 0.0f ? 0.0f : v[i];
        return lanes;
    }
};

#endif

}  // namespace bozzetto
