/* Vectors: what is written anew for each instruction set.
 *
 * A word is the payloads of a position that one instruction multiplies: four of 8 bits or two of 16. A tile of sums is MR
 * positions times up to NR vectors of LANES outputs and stays in registers over all inputs, as in the MR x NR kernels of
 * XNNPACK. */
#pragma once
#include "kernels.h"

enum { WORD_BYTES = 4 };

/* 256 bits with VNNI: as client processors have it (AVX-VNNI), or, to try that out on others, as AVX-512 encodes it. */
#if defined(__AVXVNNI__) || defined(HALF_OF_AVX512)
#define VNNI_256
#endif

#if defined(__AVX512VNNI__) && !defined(VNNI_256)
#include <immintrin.h>
enum { LANES = 16, MR = 8, NR = 3 };
typedef __m512i vector;
#define ZEROS _mm512_setzero_si512()

INLINE vector broadcast(const uint8_t *word) {
    int32_t value;
    memcpy(&value, word, sizeof value);
    return _mm512_set1_epi32(value);
}

INLINE void store_scaled(float *out, vector sums, float scale, bool overwrite) {
    const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_set1_ps(scale));
    _mm512_storeu_ps(out, overwrite ? scaled : _mm512_add_ps(scaled, _mm512_loadu_ps(out)));
}

#define ADD_FOURS _mm512_dpbusd_epi32
#define ADD_PAIRS _mm512_dpwssd_epi32

/* Floats of as many neurons as a register holds, for the loops over neurons. */
enum { WIDTH = 16 };
typedef __m512 floats;
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define SPLAT _mm512_set1_ps
#define ADD _mm512_add_ps
#define SUBTRACT _mm512_sub_ps
#define MULTIPLY _mm512_mul_ps
#define LEAST _mm512_min_ps
#define GREATEST _mm512_max_ps
#define FLOOR(x) _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)

INLINE int32_t count_different(floats one, floats other) {
    return __builtin_popcount(_mm512_cmp_ps_mask(one, other, _CMP_NEQ_UQ));
}

/* `one` where `x` is 0, else `other`. */
INLINE floats select_zero(floats x, floats one, floats other) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_EQ_OQ), other, one);
}

INLINE __m256 floor_half(__m256 x, const double *factors, double least, double most) {
    const __m512d quotient = _mm512_mul_pd(_mm512_cvtps_pd(x), _mm512_loadu_pd(factors));
    const __m512d whole = _mm512_roundscale_pd(quotient, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    return _mm512_cvtpd_ps(_mm512_min_pd(_mm512_max_pd(whole, _mm512_set1_pd(least)), _mm512_set1_pd(most)));
}

/* clip(floor(x * factors)) in float64. */
INLINE floats floor_products(floats x, const double *factors, double least, double most) {
    const __m256 low = floor_half(_mm512_castps512_ps256(x), factors, least, most);
    const __m256 high = floor_half(_mm512_extractf32x8_ps(x, 1), factors + 8, least, most);
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

INLINE void put_floats(void *numbers, int format, floats values) {
    const __m512i whole = _mm512_cvttps_epi32(values);
    if (format == U8)
        _mm_storeu_si128(numbers, _mm512_cvtepi32_epi8(whole));
    else if (format == I16)
        _mm256_storeu_si256(numbers, _mm512_cvtepi32_epi16(whole));
    else
        _mm512_storeu_si512(numbers, whole);
}

#elif defined(__AVX2__)
#include <immintrin.h>
#if defined(VNNI_256)
enum { LANES = 8, MR = 6, NR = 2 };
#else
enum { LANES = 8, MR = 4, NR = 2 };
#endif
typedef __m256i vector;
#define ZEROS _mm256_setzero_si256()

INLINE vector broadcast(const uint8_t *word) {
    int32_t value;
    memcpy(&value, word, sizeof value);
    return _mm256_set1_epi32(value);
}

INLINE void store_scaled(float *out, vector sums, float scale, bool overwrite) {
    const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps(scale));
    _mm256_storeu_ps(out, overwrite ? scaled : _mm256_add_ps(scaled, _mm256_loadu_ps(out)));
}

#if defined(VNNI_256)
#if defined(__AVXVNNI__)
#define ADD_FOURS _mm256_dpbusd_avx_epi32
#define ADD_PAIRS _mm256_dpwssd_avx_epi32
#else
#define ADD_FOURS _mm256_dpbusd_epi32
#define ADD_PAIRS _mm256_dpwssd_epi32
#endif

#else
/* GCC 12 would copy every sum once more in each round of a loop that adds with the intrinsic (a tenth of its time). */
#define ADD_IN_PLACE(instruction, sum, addend) __asm__(instruction " %1, %0, %0" : "+x"(sum) : "x"(addend))

/* VPMADDUBSW adds two products of 8 bits in 16 bits: `depth` words are summed so, as many as the caller proved not to
 * overflow, and then widened. VPMADDWD adds those of 16 bits in 32. */
INLINE void accumulate(vector total[MR][NR], const vector *weights, const uint8_t *x, int64_t pitch, int64_t words,
                       int64_t depth, int count, bool wide) {
    for (int64_t left = words; left > 0; left -= depth) {
        vector partial[MR][NR];
        for (int m = 0; m < MR; m++)
            for (int v = 0; v < count; v++) partial[m][v] = ZEROS;
        for (const vector *end = weights + MIN(left, depth) * count; weights < end; x += WORD_BYTES, weights += count)
            for (int m = 0; m < MR; m++) {
                const vector payloads = broadcast(x + m * pitch);
                for (int v = 0; v < count; v++)
                    if (wide)
                        ADD_IN_PLACE("vpaddd", partial[m][v], _mm256_madd_epi16(payloads, weights[v]));
                    else
                        ADD_IN_PLACE("vpaddw", partial[m][v], _mm256_maddubs_epi16(payloads, weights[v]));
            }
        for (int m = 0; m < MR; m++)
            for (int v = 0; v < count; v++) {
                const vector sums = wide ? partial[m][v] : _mm256_madd_epi16(partial[m][v], _mm256_set1_epi16(1));
                total[m][v] = _mm256_add_epi32(total[m][v], sums);
            }
    }
}
#endif

enum { WIDTH = 8 };
typedef __m256 floats;
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define SPLAT _mm256_set1_ps
#define ADD _mm256_add_ps
#define SUBTRACT _mm256_sub_ps
#define MULTIPLY _mm256_mul_ps
#define LEAST _mm256_min_ps
#define GREATEST _mm256_max_ps
#define FLOOR _mm256_floor_ps

INLINE int32_t count_different(floats one, floats other) {
    return __builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(one, other, _CMP_NEQ_UQ)));
}

INLINE floats select_zero(floats x, floats one, floats other) {
    return _mm256_blendv_ps(other, one, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_EQ_OQ));
}

INLINE __m128 floor_half(__m128 x, const double *factors, double least, double most) {
    const __m256d whole = _mm256_floor_pd(_mm256_mul_pd(_mm256_cvtps_pd(x), _mm256_loadu_pd(factors)));
    return _mm256_cvtpd_ps(_mm256_min_pd(_mm256_max_pd(whole, _mm256_set1_pd(least)), _mm256_set1_pd(most)));
}

INLINE floats floor_products(floats x, const double *factors, double least, double most) {
    const __m128 low = floor_half(_mm256_castps256_ps128(x), factors, least, most);
    return _mm256_set_m128(floor_half(_mm256_extractf128_ps(x, 1), factors + 4, least, most), low);
}

INLINE void put_floats(void *numbers, int format, floats values) {
    const __m256i whole = _mm256_cvttps_epi32(values);
    const __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    if (format == U8)
        _mm_storel_epi64(numbers, _mm_packus_epi16(narrow, narrow));
    else if (format == I16)
        _mm_storeu_si128(numbers, narrow);
    else
        _mm256_storeu_si256(numbers, whole);
}

#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__ARM_FEATURE_DOTPROD)
enum { LANES = 4, MR = 8, NR = 2 };
#else
enum { LANES = 4, MR = 4, NR = 2 };
#endif
typedef int32x4_t vector;
#define ZEROS vdupq_n_s32(0)

INLINE void store_scaled(float *out, vector sums, float scale, bool overwrite) {
    const float32x4_t scaled = vmulq_n_f32(vcvtq_f32_s32(sums), scale);
    vst1q_f32(out, overwrite ? scaled : vaddq_f32(scaled, vld1q_f32(out)));
}

INLINE int8x16_t broadcast(const uint8_t *word) {
    int32_t value;
    memcpy(&value, word, sizeof value);
    return vreinterpretq_s8_s32(vdupq_n_s32(value));
}

/* Products of bytes fit 16 bits, of which neighbours are added in 32; those of 16 bits are added there one by one. A register
 * has the sums of half a vector of weights, side by side until the end; those of FEW positions are as many as there is room. */
enum { FEW = 4 };

INLINE void accumulate_few(vector total[FEW][NR], const vector *weights, const uint8_t *x, int64_t pitch, int64_t words,
                           int count, bool wide) {
    vector low[FEW][NR], high[FEW][NR];
    for (int m = 0; m < FEW; m++)
        for (int v = 0; v < count; v++) low[m][v] = high[m][v] = ZEROS;
    for (int64_t word = 0; word < words; word++, x += WORD_BYTES, weights += count)
        for (int m = 0; m < FEW; m++) {
            const int16x8_t two = vreinterpretq_s16_s8(broadcast(x + m * pitch));
            const int16x8_t four = vreinterpretq_s16_u16(vmovl_u8(vreinterpret_u8_s16(vget_low_s16(two))));
            for (int v = 0; v < count; v++) {
                const int16x8_t pairs = vreinterpretq_s16_s32(weights[v]);
                const int8x16_t bytes = vreinterpretq_s8_s32(weights[v]);
                low[m][v] = wide ? vmlal_s16(low[m][v], vget_low_s16(pairs), vget_low_s16(two))
                                 : vpadalq_s16(low[m][v], vmulq_s16(vmovl_s8(vget_low_s8(bytes)), four));
                high[m][v] = wide ? vmlal_high_s16(high[m][v], pairs, two)
                                  : vpadalq_s16(high[m][v], vmulq_s16(vmovl_high_s8(bytes), four));
            }
        }
    for (int m = 0; m < FEW; m++)
        for (int v = 0; v < count; v++) total[m][v] = vaddq_s32(total[m][v], vpaddq_s32(low[m][v], high[m][v]));
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
/* USDOT multiplies unsigned bytes by signed ones. */
INLINE vector add_fours(vector sums, int8x16_t payloads, vector weights) {
    return vusdotq_s32(sums, vreinterpretq_u8_s8(payloads), vreinterpretq_s8_s32(weights));
}
enum { LESS = 0 };
#elif defined(__ARM_FEATURE_DOTPROD)
/* SDOT multiplies signed bytes only: by payloads that are 128 less. */
INLINE vector add_fours(vector sums, int8x16_t payloads, vector weights) {
    return vdotq_s32(sums, veorq_s8(payloads, vdupq_n_s8(-128)), vreinterpretq_s8_s32(weights));
}
enum { LESS = 128 };
#endif

INLINE void accumulate(vector total[MR][NR], const vector *weights, const uint8_t *x, int64_t pitch, int64_t words,
                       int64_t depth, int count, bool wide) {
    (void)depth;
#if defined(__ARM_FEATURE_DOTPROD)
    if (!wide) {
        vector missing[NR]; /* 128 times the weights, the same at every position */
        for (int v = 0; v < count; v++) missing[v] = ZEROS;
        for (int64_t word = 0; word < words; word++, x += WORD_BYTES, weights += count) {
            for (int m = 0; m < MR; m++) {
                const int8x16_t payloads = broadcast(x + m * pitch);
                for (int v = 0; v < count; v++) total[m][v] = add_fours(total[m][v], payloads, weights[v]);
            }
            for (int v = 0; LESS > 0 && v < count; v++)
                missing[v] = vdotq_s32(missing[v], vdupq_n_s8(-LESS), vreinterpretq_s8_s32(weights[v]));
        }
        for (int m = 0; m < MR; m++)
            for (int v = 0; LESS > 0 && v < count; v++) total[m][v] = vsubq_s32(total[m][v], missing[v]);
        return;
    }
#endif
    for (int m = 0; m < MR; m += FEW) accumulate_few(total + m, weights, x + m * pitch, pitch, words, count, wide);
}

enum { WIDTH = 4 };
typedef float32x4_t floats;
#define LOAD vld1q_f32
#define STORE vst1q_f32
#define SPLAT vdupq_n_f32
#define ADD vaddq_f32
#define SUBTRACT vsubq_f32
#define MULTIPLY vmulq_f32
#define LEAST vminq_f32
#define GREATEST vmaxq_f32
#define FLOOR vrndmq_f32

INLINE int32_t count_different(floats one, floats other) {
    return WIDTH + vaddvq_s32(vreinterpretq_s32_u32(vceqq_f32(one, other)));
}

INLINE floats select_zero(floats x, floats one, floats other) { return vbslq_f32(vceqzq_f32(x), one, other); }

INLINE float64x2_t floor_half(float64x2_t x, const double *factors, double least, double most) {
    const float64x2_t whole = vrndmq_f64(vmulq_f64(x, vld1q_f64(factors)));
    return vminq_f64(vmaxq_f64(whole, vdupq_n_f64(least)), vdupq_n_f64(most));
}

INLINE floats floor_products(floats x, const double *factors, double least, double most) {
    const float64x2_t low = floor_half(vcvt_f64_f32(vget_low_f32(x)), factors, least, most);
    return vcvt_high_f32_f64(vcvt_f32_f64(low), floor_half(vcvt_high_f64_f32(x), factors + 2, least, most));
}

INLINE void put_floats(void *numbers, int format, floats values) {
    const int32x4_t whole = vcvtq_s32_f32(values);
    const int16x4_t narrow = vmovn_s32(whole);
    const uint32x2_t bytes = vreinterpret_u32_s8(vmovn_s16(vcombine_s16(narrow, narrow)));
    if (format == U8)
        memcpy(numbers, &bytes, WIDTH);
    else if (format == I16)
        vst1_s16(numbers, narrow);
    else
        vst1q_s32(numbers, whole);
}

#else
enum { LANES = 4, MR = 4, NR = 2 };
typedef struct {
    int32_t lane[LANES];
} vector;
#define ZEROS ((vector){{0}})

INLINE void store_scaled(float *out, vector sums, float scale, bool overwrite) {
    add_scaled(out, sums.lane, LANES, scale, overwrite);
}

INLINE void accumulate(vector total[MR][NR], const vector *weights, const uint8_t *x, int64_t pitch, int64_t words,
                       int64_t depth, int count, bool wide) {
    (void)depth;
    for (int64_t word = 0; word < words; word++, x += WORD_BYTES, weights += count)
        for (int m = 0; m < MR; m++) {
            int16_t pair[2];
            const uint8_t *four = x + m * pitch;
            memcpy(pair, four, sizeof pair);
            for (int v = 0; v < count; v++)
                for (int l = 0; l < LANES; l++) {
                    const int8_t *bytes = (const int8_t *)&weights[v].lane[l];
                    const int16_t *shorts = (const int16_t *)bytes;
                    total[m][v].lane[l] += wide ? pair[0] * shorts[0] + pair[1] * shorts[1]
                                                : four[0] * bytes[0] + four[1] * bytes[1] + four[2] * bytes[2] +
                                                      four[3] * bytes[3];
                }
        }
}

enum { WIDTH = 1 };
typedef float floats;
#define LOAD(address) (*(address))
#define STORE(address, x) (*(address) = (x))
#define SPLAT(x) (x)
#define ADD(x, y) ((x) + (y))
#define SUBTRACT(x, y) ((x) - (y))
#define MULTIPLY(x, y) ((x) * (y))
#define LEAST MIN
#define GREATEST MAX
#define FLOOR __builtin_floorf

INLINE int32_t count_different(floats one, floats other) { return one != other; }
INLINE floats select_zero(floats x, floats one, floats other) { return x == 0 ? one : other; }

INLINE floats floor_products(floats x, const double *factors, double least, double most) {
    return (float)MIN(MAX(__builtin_floor((double)x * *factors), least), most);
}

INLINE void put_floats(void *numbers, int format, floats values) { put(numbers, 0, format, (int32_t)values); }
#endif

#if defined(ADD_FOURS)
/* 32-bit sums of four products, whatever the payloads: no depth to keep to. */
INLINE void accumulate(vector total[MR][NR], const vector *weights, const uint8_t *x, int64_t pitch, int64_t words,
                       int64_t depth, int count, bool wide) {
    (void)depth;
    for (int64_t word = 0; word < words; word++, x += WORD_BYTES, weights += count)
        for (int m = 0; m < MR; m++) {
            const vector payloads = broadcast(x + m * pitch);
            for (int v = 0; v < count; v++)
                total[m][v] = wide ? ADD_PAIRS(total[m][v], payloads, weights[v])
                                   : ADD_FOURS(total[m][v], payloads, weights[v]);
        }
}
#endif
