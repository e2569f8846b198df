/* Depthwise convolutions, by which pooling, relays and maxima are computed, and copies of pixels. */
#include "reach.h"

/* Weights (taps, channels) of the taps that have any, and the rows and columns of the kernel where these are. Sums are written
 * as F32, times the target's scale, or where they are passed on as they are as U8, I16 or I32. */
typedef struct {
    const int32_t *weights;
    const int64_t (*places)[2];
    int64_t count;
    int32_t format;
} packed_taps;

/* Positions `first` .. `last` of a row; `total` has room for a pixel. */
INLINE void sum_positions(const maps *x, const packed_taps *taps, const geometry *g, int64_t n, int64_t row, int64_t first,
                          int64_t last, const currents *target, int64_t place, int32_t *restrict total, int format, int out_format) {
    const int64_t channels = x->channels;
    for (int64_t column = first; column < last; column++, place += channels) {
        memset(total, 0, (size_t)channels * sizeof *total);
        for (int64_t tap = 0; tap < taps->count; tap++) {
            const int64_t y = row * g->strides[Y] - g->pads[Y] + taps->places[tap][Y] * g->dilations[Y];
            const int64_t pixel = column * g->strides[X] - g->pads[X] + taps->places[tap][X] * g->dilations[X];
            if (y < 0 || y >= x->height || pixel < 0 || pixel >= x->width) continue;
            const char *source = (const char *)row_of(x, n, y) + pixel * channels * bytes_of(format);
            const int32_t *restrict weights = taps->weights + tap * channels;
            for (int64_t c = 0; c < channels; c++) total[c] += weights[c] * (int32_t)get(source, c, format);
        }
        if (out_format == F32)
            add_scaled((float *)target->out + place, total, channels, target->scale, target->overwrite);
        else
            for (int64_t c = 0; c < channels; c++) put(target->out, place + c, out_format, total[c]);
    }
}

/* The first and the last pixel that any tap of row `row` of positions may read and that are not 0. */
static void find_row_span(const maps *x, const packed_taps *taps, const geometry *g, int64_t n, int64_t row, int64_t span[2]) {
    span[0] = x->width, span[1] = -1;
    for (int64_t tap = 0; tap < taps->count; tap++) {
        const int64_t y = row * g->strides[Y] - g->pads[Y] + taps->places[tap][Y] * g->dilations[Y];
        if (y < 0 || y >= x->height || (tap && taps->places[tap][Y] == taps->places[tap - 1][Y])) continue;
        int64_t found[2];
        find_span(x, n, y, found);
        span[0] = MIN(span[0], found[0]), span[1] = MAX(span[1], found[1]);
    }
}

/* Sums of 32 bits, which the caller has proved to be exact. */
EXPORT int64_t depthwise_conv(const maps *x, const packed_taps *taps, const geometry *g, const currents *target,
                              const neurons *cells) {
    int32_t *total = malloc((size_t)x->channels * sizeof *total);
    if (!total) return OUT_OF_MEMORY;
    const bool currents_wanted = taps->format == F32;
    int64_t saturated = 0;
    for (int64_t n = 0; n < x->count; n++)
        for (int64_t line = 0, slot = n % target->slots; line < target->rows; line++) {
            const int64_t row = target->row_begin + line + g->crop[Y], begin = g->crop[X], end = begin + target->columns;
            int64_t span[2], reached[2] = {begin, end - 1};
            if (currents_wanted) find_row_span(x, taps, g, n, row, span), find_reached(span, g, reached);
            const int64_t first = MAX(reached[0], begin), last = MIN(reached[1] + 1, end);
            if (first >= last && target->overwrite && may_skip(cells)) continue;
            if (target->overwrite && (first > begin || last < end)) clear_lines(target, slot, line, 1);
            const int64_t place = begin_of(target, slot, line) + (first - begin) * target->channels;
#define SUM(FORMAT, OUT) sum_positions(x, taps, g, n, row, first, last, target, place, total, FORMAT, OUT)
#define TO(FORMAT)                                                                                                     \
    switch (taps->format) {                                                                                            \
    case U8: SUM(FORMAT, U8); break;                                                                                   \
    case I16: SUM(FORMAT, I16); break;                                                                                 \
    case I32: SUM(FORMAT, I32); break;                                                                                 \
    default: SUM(FORMAT, F32);                                                                                         \
    }
            switch (x->format) {
            case U8: TO(U8) break;
            case I16: TO(I16) break;
            default: TO(I32)
            }
#undef TO
#undef SUM
            saturated += step_rows(cells, target, n, line, 1);
        }
    free(total);
    return saturated;
}

/* out[n, p] = x[n, indices[p]], pixels of `bytes` each. */
EXPORT int64_t gather_pixels(const char *x, const int64_t *indices, char *out, int64_t count, int64_t x_pixels,
                             int64_t pixels, int64_t bytes) {
    for (int64_t n = 0; n < count; n++)
        for (int64_t p = 0; p < pixels; p++)
            memcpy(out + (n * pixels + p) * bytes, x + (n * x_pixels + indices[p]) * bytes, (size_t)bytes);
    return 0;
}
