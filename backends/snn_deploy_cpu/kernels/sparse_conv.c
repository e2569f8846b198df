/* Event-driven convolution: payloads that are 0 cost nothing, every other one adds one row of weights to each position.
 *
 * The payloads of an input row that are not 0 are listed once; a position then adds, for each row of the kernel, the rows of
 * weights of one run of that list, in sums that stay in registers until they are complete. */
#include "sparse_conv.h"
#include "reach.h"

/* A run of listed events that a row of positions adds: the list of its input row, the first column from that of position 0
 * on, and the row of weights of input 0 there. */
typedef struct {
    event_list list;
    int64_t column, weight;
} run;

int64_t list_capacity(const maps *x) { return x->width * (x->channels + x->channels % 2) + ROW_GROUP; }

int64_t row_bytes(const packed_rows *rows) { return rows->width * bytes_of(rows->format); }

#if defined(__AVX2__)
#include <immintrin.h>

typedef __m256i sums_vector;
#define NO_SUMS _mm256_setzero_si256()

/* Not memcpy: GCC would copy two at once, through memory. */
INLINE void store_vector(void *out, sums_vector sums) { _mm256_storeu_si256(out, sums); }

/* Adds two rows of weights times their payloads. Their numbers are interleaved, so that one instruction multiplies both and
 * adds the products; unpacking works on each half of a register, which pack_rows allows for. */
INLINE void add_two(sums_vector *total, int vectors, bool wide, const char *one, const char *other, const void *payloads) {
    int32_t two = 0;
    memcpy(&two, payloads, wide ? 4 : 2);
    const __m256i pair = wide ? _mm256_set1_epi32(two) : _mm256_set1_epi16((short)two);
    for (int v = 0; v + 1 < vectors; v += 2) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(one + 16 * v));
        const __m256i b = _mm256_loadu_si256((const __m256i *)(other + 16 * v));
        if (wide) {
            total[v] = _mm256_add_epi32(total[v], _mm256_madd_epi16(pair, _mm256_unpacklo_epi16(a, b)));
            total[v + 1] = _mm256_add_epi32(total[v + 1], _mm256_madd_epi16(pair, _mm256_unpackhi_epi16(a, b)));
        } else {
            total[v] = _mm256_add_epi16(total[v], _mm256_maddubs_epi16(pair, _mm256_unpacklo_epi8(a, b)));
            total[v + 1] = _mm256_add_epi16(total[v + 1], _mm256_maddubs_epi16(pair, _mm256_unpackhi_epi8(a, b)));
        }
    }
    if (vectors % 2 && !wide) {
        const __m128i a = _mm_loadu_si128((const __m128i *)(one + 16 * (vectors - 1)));
        const __m128i b = _mm_loadu_si128((const __m128i *)(other + 16 * (vectors - 1)));
        const __m256i rows = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
        total[vectors - 1] = _mm256_add_epi16(total[vectors - 1], _mm256_maddubs_epi16(pair, rows));
    }
}

INLINE void store_sums(float *out, const sums_vector *total, int vectors, bool wide, float scale, bool overwrite) {
    for (int v = 0; v < vectors; v++)
        for (int half = 0; half < (wide ? 1 : 2); half++, out += 8) {
            const __m128i narrow = half ? _mm256_extracti128_si256(total[v], 1) : _mm256_castsi256_si128(total[v]);
            const __m256i sums = wide ? total[v] : _mm256_cvtepi16_epi32(narrow);
            const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps(scale));
            _mm256_storeu_ps(out, overwrite ? scaled : _mm256_add_ps(scaled, _mm256_loadu_ps(out)));
        }
}

#if !defined(__AVX512F__)
/* Which of ROW_GROUP numbers are not 0, as bits. */
INLINE uint32_t mark_nonzero(const void *line, int64_t first, int format) {
    const __m128i zero = _mm_setzero_si128(), *numbers = (const __m128i *)((const char *)line + first * bytes_of(format));
    __m128i is_zero;
    if (format == U8)
        is_zero = _mm_cmpeq_epi8(_mm_loadu_si128(numbers), zero);
    else if (format == I16)
        is_zero = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_loadu_si128(numbers), zero),
                                  _mm_cmpeq_epi16(_mm_loadu_si128(numbers + 1), zero));
    else
        is_zero = _mm_packs_epi16(_mm_packs_epi32(_mm_cmpeq_epi32(_mm_loadu_si128(numbers), zero),
                                                  _mm_cmpeq_epi32(_mm_loadu_si128(numbers + 1), zero)),
                                  _mm_packs_epi32(_mm_cmpeq_epi32(_mm_loadu_si128(numbers + 2), zero),
                                                  _mm_cmpeq_epi32(_mm_loadu_si128(numbers + 3), zero)));
    return (uint32_t)_mm_movemask_epi8(is_zero) ^ 0xffff;
}
#endif

EXPORT int64_t interleaves_rows(void) { return 1; }

#elif defined(__aarch64__)
#include <arm_neon.h>

/* Sixteen sums of 16 bits, or eight of 32. */
typedef struct {
    int16x8_t low, high;
} sums_vector;
#define NO_SUMS ((sums_vector){vdupq_n_s16(0), vdupq_n_s16(0)})

INLINE void store_vector(void *out, sums_vector sums) { memcpy(out, &sums, sizeof sums); }

INLINE sums_vector add_row(sums_vector total, bool wide, const char *row, const void *payloads, int which) {
    if (wide) {
        const int16x8_t weights = vld1q_s16((const int16_t *)row);
        const int16_t payload = (int16_t)get(payloads, which, I16);
        const int32x4_t low = vmlal_n_s16(vreinterpretq_s32_s16(total.low), vget_low_s16(weights), payload);
        const int32x4_t high = vmlal_high_n_s16(vreinterpretq_s32_s16(total.high), weights, payload);
        return (sums_vector){vreinterpretq_s16_s32(low), vreinterpretq_s16_s32(high)};
    }
    const int8x16_t weights = vld1q_s8((const int8_t *)row), payload = vdupq_n_s8((int8_t)get(payloads, which, U8));
    return (sums_vector){vmlal_s8(total.low, vget_low_s8(weights), vget_low_s8(payload)),
                         vmlal_high_s8(total.high, weights, payload)};
}

INLINE void add_two(sums_vector *total, int vectors, bool wide, const char *one, const char *other, const void *payloads) {
    for (int v = 0; v < vectors; v++)
        total[v] = add_row(add_row(total[v], wide, one + 16 * v, payloads, 0), wide, other + 16 * v, payloads, 1);
}

INLINE void store_sums(float *out, const sums_vector *total, int vectors, bool wide, float scale, bool overwrite) {
    for (int v = 0; v < vectors; v++)
        for (int quarter = 0; quarter < (wide ? 2 : 4); quarter++, out += 4) {
            const int16x8_t half = quarter < (wide ? 1 : 2) ? total[v].low : total[v].high;
            const int32x4_t sums = wide          ? vreinterpretq_s32_s16(half)
                                   : quarter % 2 ? vmovl_high_s16(half)
                                                 : vmovl_s16(vget_low_s16(half));
            const float32x4_t scaled = vmulq_n_f32(vcvtq_f32_s32(sums), scale);
            vst1q_f32(out, overwrite ? scaled : vaddq_f32(scaled, vld1q_f32(out)));
        }
}

INLINE uint16x8_t find_zeros(const int16_t *numbers) { return vceqzq_s16(vld1q_s16(numbers)); }
INLINE uint16x4_t find_wide_zeros(const int32_t *numbers) { return vmovn_u32(vceqzq_s32(vld1q_s32(numbers))); }

INLINE uint32_t mark_nonzero(const void *line, int64_t first, int format) {
    const uint8x16_t bits = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const int16_t *shorts = (const int16_t *)line + first;
    const int32_t *words = (const int32_t *)line + first;
    uint8x16_t zeros;
    if (format == U8)
        zeros = vceqzq_u8(vld1q_u8((const uint8_t *)line + first));
    else if (format == I16)
        zeros = vcombine_u8(vmovn_u16(find_zeros(shorts)), vmovn_u16(find_zeros(shorts + 8)));
    else
        zeros = vcombine_u8(vmovn_u16(vcombine_u16(find_wide_zeros(words), find_wide_zeros(words + 4))),
                            vmovn_u16(vcombine_u16(find_wide_zeros(words + 8), find_wide_zeros(words + 12))));
    const uint8x16_t marks = vbicq_u8(bits, zeros);
    return vaddv_u8(vget_low_u8(marks)) | (uint32_t)vaddv_u8(vget_high_u8(marks)) << 8;
}

EXPORT int64_t interleaves_rows(void) { return 0; }

#else
typedef struct {
    union {
        int16_t narrow[16];
        int32_t wide[8];
    };
} sums_vector;
#define NO_SUMS ((sums_vector){{{0}}})

INLINE void store_vector(void *out, sums_vector sums) { memcpy(out, &sums, sizeof sums); }

INLINE void add_two(sums_vector *total, int vectors, bool wide, const char *one, const char *other, const void *payloads) {
    const int32_t p = (int32_t)get(payloads, 0, wide ? I16 : U8), q = (int32_t)get(payloads, 1, wide ? I16 : U8);
    for (int v = 0; v < vectors; v++)
        for (int i = 0; i < (wide ? 8 : 16); i++) {
            if (wide)
                total[v].wide[i] += p * ((const int16_t *)one)[8 * v + i] + q * ((const int16_t *)other)[8 * v + i];
            else
                total[v].narrow[i] += (int16_t)(p * ((const int8_t *)one)[16 * v + i] + q * ((const int8_t *)other)[16 * v + i]);
        }
}

INLINE void store_sums(float *out, const sums_vector *total, int vectors, bool wide, float scale, bool overwrite) {
    for (int v = 0; v < vectors; v++)
        for (int i = 0; i < (wide ? 8 : 16); i++, out++)
            *out = (float)(wide ? total[v].wide[i] : total[v].narrow[i]) * scale + (overwrite ? 0 : *out);
}

INLINE uint32_t mark_nonzero(const void *line, int64_t first, int format) {
    uint32_t marks = 0;
    for (int i = 0; i < ROW_GROUP; i++) marks |= (uint32_t)(get(line, first + i, format) != 0) << i;
    return marks;
}

EXPORT int64_t interleaves_rows(void) { return 0; }
#endif

/* Appends those of ROW_GROUP numbers from `first` on that are not 0 to the list that has `end` entries; returns its new end.
 * More entries may be written; those beyond the new end mean nothing. */
INLINE int64_t append_nonzero(const void *line, int64_t first, int format, bool wide, int64_t pitch, event_list list,
                              int64_t end) {
#if defined(__AVX512F__)
    const char *address = (const char *)line + first * bytes_of(format);
    const __m512i numbers = format == U8    ? _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)address))
                            : format == I16 ? _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)address))
                                            : _mm512_loadu_si512(address);
    const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i offsets = _mm512_mullo_epi32(places, _mm512_set1_epi32((int32_t)pitch));
    const __mmask16 marks = _mm512_test_epi32_mask(numbers, numbers);
    const __m512i begin = _mm512_set1_epi32((int32_t)(first * pitch));
    _mm512_storeu_si512(list.offsets + end, _mm512_maskz_compress_epi32(marks, _mm512_add_epi32(offsets, begin)));
    const __m512i events = _mm512_maskz_compress_epi32(marks, numbers);
    if (wide)
        _mm256_storeu_si256((__m256i *)((int16_t *)list.payloads + end), _mm512_cvtepi32_epi16(events));
    else
        _mm_storeu_si128((__m128i *)((uint8_t *)list.payloads + end), _mm512_cvtepi32_epi8(events));
    return end + __builtin_popcount(marks);
#else
    uint32_t marks = mark_nonzero(line, first, format);
    const int64_t count = __builtin_popcount(marks);
    int64_t done = 0;
    do /* at least four at a time, whatever there is: a branch that cannot be foretold costs more */
        for (int64_t k = 0; k < 4; k++, marks &= marks - 1) {
            const int64_t i = first + __builtin_ctz(marks ? marks : 1);
            list.offsets[end + done + k] = (int32_t)(i * pitch);
            put(list.payloads, end + done + k, wide ? I16 : U8, get(line, i, format));
        }
    while ((done += 4) < count);
    return end + count;
#endif
}

INLINE void list_line(const maps *x, const void *line, int format, bool wide, int64_t pitch, event_list list) {
    const int64_t channels = x->channels, whole = channels - channels % ROW_GROUP;
    int64_t end = 0;
    for (int64_t pixel = 0; pixel < x->width; pixel++) {
        const int64_t begin = pixel * channels;
        list.starts[pixel] = end;
        for (int64_t i = begin; i < begin + whole; i += ROW_GROUP)
            end = append_nonzero(line, i, format, wide, pitch, list, end);
        for (int64_t i = begin + whole; i < begin + channels; i++) {
            list.offsets[end] = (int32_t)(i * pitch);
            put(list.payloads, end, wide ? I16 : U8, get(line, i, format));
            end += get(line, i, format) != 0;
        }
        /* two are added at a time: a row of weights times 0 fills up an odd pixel */
        list.offsets[end] = (int32_t)(begin * pitch);
        put(list.payloads, end, wide ? I16 : U8, 0);
        end += end & 1;
    }
    list.starts[x->width] = end;
}

void list_events(const maps *x, int64_t n, int64_t y, const packed_rows *rows, event_list list) {
    const void *line = row_of(x, n, y);
    const int64_t pitch = row_bytes(rows);
    switch (x->format * 2 + (rows->format == I16)) {
    case U8 * 2: list_line(x, line, U8, false, pitch, list); break;
    case U8 * 2 + 1: list_line(x, line, U8, true, pitch, list); break;
    case I16 * 2: list_line(x, line, I16, false, pitch, list); break;
    case I16 * 2 + 1: list_line(x, line, I16, true, pitch, list); break;
    case I32 * 2: list_line(x, line, I32, false, pitch, list); break;
    default: list_line(x, line, I32, true, pitch, list);
    }
}

INLINE void add_events(sums_vector *total, int vectors, bool wide, const char *weights, event_list list, int64_t event,
                       int64_t last) {
    for (; event < last; event += 2)
        add_two(total, vectors, wide, weights + list.offsets[event], weights + list.offsets[event + 1],
                (const char *)list.payloads + event * (wide ? 2 : 1));
}

INLINE void sum_line(int vectors, bool wide, const maps *x, const packed_rows *rows, int64_t tile, event_list list,
                     char *products, int64_t pixel_bytes) {
    for (int64_t pixel = 0; pixel < x->width; pixel++, products += pixel_bytes) {
        sums_vector total[MAX_ROW_VECTORS];
        for (int v = 0; v < vectors; v++) total[v] = NO_SUMS;
        const char *weights = (const char *)rows->data + (tile - pixel) * x->channels * row_bytes(rows);
        add_events(total, vectors, wide, weights, list, list.starts[pixel], list.starts[pixel + 1]);
        for (int v = 0; v < vectors; v++) store_vector(products + v * sizeof *total, total[v]);
    }
}

/* Calls `work(vectors, wide, ...)` with the constants that `rows` have. */
#define WITH_ROWS(rows, work, ...)                                                                                     \
    switch ((rows)->format == I16 ? -(rows)->width / ROW_GROUP : (rows)->width / ROW_GROUP) {                          \
    case -1: work(2, true, __VA_ARGS__); break;                                                                        \
    case -2: work(4, true, __VA_ARGS__); break;                                                                        \
    case -3: work(6, true, __VA_ARGS__); break;                                                                        \
    case -4: work(8, true, __VA_ARGS__); break;                                                                        \
    case 1: work(1, false, __VA_ARGS__); break;                                                                        \
    case 2: work(2, false, __VA_ARGS__); break;                                                                        \
    case 3: work(3, false, __VA_ARGS__); break;                                                                        \
    case 4: work(4, false, __VA_ARGS__); break;                                                                        \
    case 5: work(5, false, __VA_ARGS__); break;                                                                        \
    case 6: work(6, false, __VA_ARGS__); break;                                                                        \
    case 7: work(7, false, __VA_ARGS__); break;                                                                        \
    default: work(8, false, __VA_ARGS__);                                                                              \
    }

void sum_pixels(const maps *x, const packed_rows *rows, int64_t tile, event_list list, char *products, int64_t pixel_bytes) {
    WITH_ROWS(rows, sum_line, x, rows, tile, list, products, pixel_bytes)
}

/* Whether any of `runs` holds events for the position whose column is `left` before that of each run. */
INLINE bool reaches(const run *runs, int64_t count, int64_t left, int64_t taps, int64_t width) {
    for (int64_t j = 0; j < count; j++) {
        const int64_t from = left + runs[j].column, *starts = runs[j].list.starts;
        if (starts[MIN(MAX(from, 0), width)] != starts[MIN(MAX(from + taps, 0), width)]) return true;
    }
    return false;
}

/* Positions `first` .. `last` of a row: `runs` up to `part_ends`, whose sums are written before those of the next part. Where
 * currents are `cleared`, positions without events are left out. */
INLINE void convolve_row(int vectors, bool wide, const maps *x, const packed_rows *rows, const geometry *g, const run *runs,
                         const int64_t *part_ends, int64_t parts, int64_t tile, const currents *target, int64_t slot,
                         int64_t line, int64_t first, int64_t last, bool cleared) {
    const int64_t pitch = row_bytes(rows), taps = g->dilations[X] == 1 ? rows->part[X] : 1, *phases = g->phases;
    const bool whole_rows = phases[Y] * phases[X] == 1 && (tile + 1) * rows->width <= target->channels;
    float *line_out = line_of(target, slot, line);
    for (int64_t column = first; column < last; column++) {
        if (cleared && !reaches(runs, part_ends[parts - 1], column * g->strides[X], taps, x->width)) continue;
        bool overwrite = target->overwrite;
        for (int64_t part = 0, j = 0; part < parts; part++, overwrite = false) {
            sums_vector total[MAX_ROW_VECTORS];
            for (int v = 0; v < vectors; v++) total[v] = NO_SUMS;
            for (; j < part_ends[part]; j++) {
                const int64_t left = column * g->strides[X] + runs[j].column, *starts = runs[j].list.starts;
                const int64_t begin = starts[MIN(MAX(left, 0), x->width)], end = starts[MIN(MAX(left + taps, 0), x->width)];
                const char *weights = (const char *)rows->data + (runs[j].weight - left * x->channels) * pitch;
                add_events(total, vectors, wide, weights, runs[j].list, begin, end);
            }
            if (whole_rows) {
                float *out = line_out + (column - g->crop[X]) * target->channels + tile * rows->width;
                store_sums(out, total, vectors, wide, target->scale, overwrite);
                continue;
            }
            int32_t sums[MAX_ROW_VECTORS * 16];
            if (wide)
                memcpy(sums, total, (size_t)vectors * sizeof *total);
            else
                for (int i = 0; i < vectors * 16; i++) sums[i] = ((const int16_t *)total)[i];
            write_sums(target, slot, line, column * phases[X] - g->crop[X], phases, tile * rows->width, sums, rows->width,
                       overwrite);
        }
    }
}

/* The lists of a whole call, one for each slot of the ring of input rows; `spans` are the first and the last pixel with
 * events. */
typedef struct {
    event_list *lists;
    int64_t *listed, (*spans)[2], slots;
    run *runs;
    int64_t *part_ends;
    void *memory;
} workspace;

static bool allocate(workspace *space, const maps *x, const packed_rows *rows, const geometry *g) {
    const int64_t capacity = list_capacity(x), taps = g->kernel[Y] * g->kernel[X];
    /* every tile of outputs goes through the whole map, which it should not list again */
    space->slots = rows->tiles == 1 ? g->dilations[Y] * (g->kernel[Y] - 1) + 1 : x->height;
    const size_t slots = (size_t)space->slots, list = (size_t)capacity * (4 + 2), starts = (size_t)(x->width + 1) * 8;
    space->memory = malloc(slots * (list + starts + 64));
    space->lists = malloc(slots * sizeof *space->lists);
    space->listed = malloc(slots * sizeof *space->listed);
    space->spans = malloc(slots * sizeof *space->spans);
    space->runs = malloc((size_t)taps * sizeof *space->runs);
    space->part_ends = malloc((size_t)taps * sizeof *space->part_ends);
    if (!space->memory || !space->lists || !space->listed || !space->spans || !space->runs || !space->part_ends) return false;
    char *next = space->memory;
    for (int64_t s = 0; s < space->slots; s++, next += (list + starts + 63) / 8 * 8)
        space->lists[s] = (event_list){(int32_t *)(next + starts), next + starts + capacity * 4, (int64_t *)next};
    return true;
}

static void release(workspace *space) {
    free(space->memory), free(space->lists), free(space->listed), free(space->spans), free(space->runs), free(space->part_ends);
}

/* The first and the last pixel of a list that have events; an empty list has none from its end to before its beginning. */
static void find_list_span(const event_list *list, int64_t width, int64_t span[2]) {
    span[0] = width, span[1] = -1;
    if (!list->starts[width]) return;
    for (span[0] = 0; !list->starts[span[0] + 1];) span[0]++;
    for (span[1] = width - 1; list->starts[span[1]] == list->starts[width];) span[1]--;
}

/* Lists the input rows of map n that positions `row` read; returns how many entries they have together. The first and the last of these positions that any event reaches
 * become `reached`; there is none where the first lies behind the last. */
static int64_t list_rows(workspace *space, const maps *x, int64_t n, int64_t row, const packed_rows *rows, const geometry *g,
                      int64_t reached[2]) {
    int64_t first = x->width, last = -1, entries = 0;
    for (int64_t h = 0; h < g->kernel[Y]; h++) {
        const int64_t y = row * g->strides[Y] - g->pads[Y] + h * g->dilations[Y];
        if (y < 0 || y >= x->height) continue;
        const int64_t slot = y % space->slots;
        if (space->listed[slot] != y) {
            list_events(x, n, y, rows, space->lists[slot]);
            find_list_span(&space->lists[slot], x->width, space->spans[slot]);
        }
        space->listed[slot] = y;
        first = MIN(first, space->spans[slot][0]), last = MAX(last, space->spans[slot][1]);
        entries += space->lists[slot].starts[x->width];
    }
    find_reached((int64_t[2]){first, last}, g, reached);
    return entries;
}

static int64_t list_runs(workspace *space, const maps *x, int64_t row, int64_t tile, const packed_rows *rows,
                         const geometry *g) {
    const int64_t taps = g->dilations[X] == 1 ? rows->part[X] : 1;
    int64_t count = 0, parts = 0;
    for (int64_t h = 0; h < g->kernel[Y]; h++) {
        const int64_t y = row * g->strides[Y] - g->pads[Y] + h * g->dilations[Y];
        for (int64_t w = 0; w < g->kernel[X]; w += taps) {
            if (0 <= y && y < x->height)
                space->runs[count++] = (run){space->lists[y % space->slots], w * g->dilations[X] - g->pads[X],
                                             ((tile * g->kernel[Y] + h) * g->kernel[X] + w) * x->channels};
            if ((w + taps) % rows->part[X] == 0 && (h + 1) % rows->part[Y] == 0) space->part_ends[parts++] = count;
        }
    }
    return parts;
}

EXPORT int64_t sparse_conv(const maps *x, const packed_rows *rows, const geometry *g, const currents *target,
                           const neurons *cells) {
    workspace space = {0};
    int64_t saturated = allocate(&space, x, rows, g) ? 0 : OUT_OF_MEMORY;
    const int64_t *phases = g->phases, *crop = g->crop;
    const int64_t begin = crop[X] / phases[X], end = ceil_div(target->columns + crop[X], phases[X]);
    for (int64_t n = 0; n < x->count && saturated >= 0; n++) {
        for (int64_t s = 0; s < space.slots; s++) space.listed[s] = -1;
        for (int64_t tile = 0; tile < rows->tiles; tile++)
            for (int64_t row = (target->row_begin + crop[Y]) / phases[Y];
                 row < ceil_div(target->row_begin + target->rows + crop[Y], phases[Y]); row++) {
                const int64_t line = row * phases[Y] - crop[Y] - target->row_begin, slot = n % target->slots;
                int64_t reached[2];
                const int64_t entries = list_rows(&space, x, n, row, rows, g, reached);
                if (!entries && target->overwrite && may_skip(cells)) continue;
                const int64_t first = MAX(reached[0], begin), last = MIN(reached[1] + 1, end);
                /* few events leave most positions out, whose currents are 0 before or, where others came before, stay */
                const bool few = entries < end - begin || !target->overwrite;
                if (target->overwrite && !tile && (few || first > begin || last < end))
                    clear_lines(target, slot, line, phases[Y]);
                const int64_t parts = list_runs(&space, x, row, tile, rows, g);
                if (first < last)
                    WITH_ROWS(rows, convolve_row, x, rows, g, space.runs, space.part_ends, parts, tile, target, slot, line,
                              first, last, few)
                if (tile == rows->tiles - 1) saturated += step_rows(cells, target, n, line, phases[Y]);
            }
    }
    release(&space);
    return saturated;
}
