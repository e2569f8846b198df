/* Direct convolution: every payload times every weight, a tile of sums in registers until it is complete.
 *
 * Rows of the input are copied into a ring buffer with zeros beside them, so that no position asks where the map ends. */
#include "direct_conv.h"

/* The row's runs of neighbouring words: where their weights begin in a tile, and the byte of the ring where the payloads of
 * position 0 begin. A run is a row of the kernel, or a single tap where columns are dilated. */
typedef struct {
    int64_t word, offset;
} run;

typedef struct {
    const packed_weights *weights;
    const run *runs;
    int64_t n_runs, run_words, records, tiles, pitch, first, last; /* positions first .. last */
    const uint8_t *ring;
} row_of_tiles;

void copy_payloads(void *restrict target, int format, const maps *x, int64_t n, int64_t y, int64_t pitch) {
    const void *line = row_of(x, n, y);
    const int64_t channels = x->channels;
#define COPY(FROM, TO)                                                                                                 \
    if (pitch == channels) /* one loop over the row is vectorized across pixels */                                     \
        for (int64_t i = 0; i < x->width * channels; i++) put(target, i, TO, get(line, i, FROM));                      \
    else                                                                                                               \
        for (int64_t pixel = 0; pixel < x->width; pixel++)                                                             \
            for (int64_t c = 0; c < channels; c++)                                                                     \
                put(target, pixel * pitch + c, TO, get(line, pixel * channels + c, FROM));
    switch (x->format * 2 + (format == I16)) {
    case U8 * 2: COPY(U8, U8) break;
    case I16 * 2: COPY(I16, U8) break;
    case I32 * 2: COPY(I32, U8) break;
    case U8 * 2 + 1: COPY(U8, I16) break;
    case I16 * 2 + 1: COPY(I16, I16) break;
    default: COPY(I32, I16)
    }
#undef COPY
}

static void fill_ring(const maps *x, int64_t n, int64_t row, const geometry *g, int format, uint8_t *ring, int64_t *present,
                      int64_t slots, int64_t row_bytes, int64_t begin, int64_t pitch) {
    for (int64_t h = 0; h < g->kernel[Y]; h++) {
        const int64_t y = row * g->strides[Y] - g->pads[Y] + h * g->dilations[Y];
        if (y < 0 || y >= x->height || present[y % slots] == y) continue;
        copy_payloads(ring + y % slots * row_bytes + begin, format, x, n, y, pitch);
        present[y % slots] = y;
    }
}

static int64_t list_runs(run *runs, int64_t row, int64_t height, const geometry *g, int64_t words, int64_t slots,
                         int64_t row_bytes, int64_t left) {
    const int64_t taps = g->dilations[X] == 1 ? g->kernel[X] : 1;
    int64_t count = 0;
    for (int64_t h = 0; h < g->kernel[Y]; h++) {
        const int64_t y = row * g->strides[Y] - g->pads[Y] + h * g->dilations[Y];
        for (int64_t w = 0; w < g->kernel[X] && 0 <= y && y < height; w += taps) {
            const int64_t pixel = left - g->pads[X] + w * g->dilations[X];
            runs[count].word = (h * g->kernel[X] + w) * words;
            runs[count++].offset = y % slots * row_bytes + pixel * words * WORD_BYTES;
        }
    }
    return count;
}

INLINE void convolve_row(const row_of_tiles *job, const geometry *g, const currents *target, int64_t slot, int64_t line,
                         int count, bool wide) {
    const int64_t *phases = g->phases, depth = job->weights->depth, size = (int64_t)count * LANES;
    const bool whole_vectors = phases[Y] * phases[X] == 1;
    float *line_out = target->out + (slot * target->rows + line) * target->columns * target->channels;
    for (int64_t tile = 0; tile < job->tiles; tile++) {
        const vector *weights = (const vector *)job->weights->data + tile * job->records * count;
        for (int64_t column = job->first; column < job->last; column += MR) {
            vector total[MR][NR];
            for (int m = 0; m < MR; m++)
                for (int v = 0; v < count; v++) total[m][v] = ZEROS;
            for (int64_t j = 0; j < job->n_runs; j++)
                accumulate(total, weights + job->runs[j].word * count, job->ring + job->runs[j].offset + column * job->pitch,
                           job->pitch, job->run_words, depth, count, wide);
            const int64_t pixel = column - g->crop[X];
            if (whole_vectors && pixel + MR <= target->columns && (tile + 1) * size <= target->channels) {
                float *out = line_out + pixel * target->channels + tile * size;
                for (int m = 0; m < MR; m++)
                    for (int v = 0; v < count; v++)
                        store_scaled(out + m * target->channels + v * LANES, total[m][v], target->scale, target->overwrite);
                continue;
            }
            int32_t sums[MR][NR * LANES];
            for (int m = 0; m < MR; m++) memcpy(sums[m], total[m], (size_t)count * sizeof(vector));
            for (int64_t m = 0; m < MIN(MR, job->last - column); m++)
                write_sums(target, slot, line, (column + m) * phases[X] - g->crop[X], phases, tile * size, sums[m], size,
                           target->overwrite);
        }
    }
}

static void convolve_rows(const row_of_tiles *job, const geometry *g, const currents *target, int64_t slot, int64_t line) {
    switch (job->weights->vectors * 2 + (job->weights->format == I16)) {
    case 2: convolve_row(job, g, target, slot, line, 1, false); break;
    case 3: convolve_row(job, g, target, slot, line, 1, true); break;
    case 4: convolve_row(job, g, target, slot, line, 2, false); break;
    case 5: convolve_row(job, g, target, slot, line, 2, true); break;
    case 6: convolve_row(job, g, target, slot, line, NR, false); break;
    default: convolve_row(job, g, target, slot, line, NR, true);
    }
}

EXPORT int64_t direct_conv(const maps *x, const packed_weights *weights, const geometry *g, const currents *target,
                           const neurons *cells) {
    const int64_t per_word = WORD_BYTES / bytes_of(weights->format), words = ceil_div(x->channels, per_word);
    const int64_t *phases = g->phases, *crop = g->crop, taps = g->dilations[X] == 1 ? g->kernel[X] : 1;
    const int64_t first = crop[X] / phases[X], last = ceil_div(target->columns + crop[X], phases[X]);
    const int64_t slots = g->dilations[Y] * (g->kernel[Y] - 1) + 1, left = MAX(g->pads[X] - first * g->strides[X], 0);
    /* the last tile of positions reads beyond the last one's window */
    const int64_t stop = (last + MR - 2) * g->strides[X] - g->pads[X] + (g->kernel[X] - 1) * g->dilations[X] + 1;
    const int64_t row_bytes = (left + MAX(x->width, stop)) * words * WORD_BYTES;
    uint8_t *ring = calloc((size_t)(slots * row_bytes), 1);
    int64_t *present = malloc((size_t)slots * sizeof *present);
    run *runs = malloc((size_t)(g->kernel[Y] * g->kernel[X]) * sizeof *runs);
    int64_t saturated = ring && present && runs ? 0 : OUT_OF_MEMORY;
    row_of_tiles job = {weights, runs, 0, words * taps, g->kernel[Y] * g->kernel[X] * words, weights->tiles,
                        g->strides[X] * words * WORD_BYTES, first, last, ring};
    for (int64_t n = 0; n < x->count && saturated >= 0; n++) {
        for (int64_t s = 0; s < slots; s++) present[s] = -1;
        for (int64_t row = (target->row_begin + crop[Y]) / phases[Y];
             row < ceil_div(target->row_begin + target->rows + crop[Y], phases[Y]); row++) {
            const int64_t line = row * phases[Y] - crop[Y] - target->row_begin;
            fill_ring(x, n, row, g, weights->format, ring, present, slots, row_bytes, left * words * WORD_BYTES,
                      words * per_word);
            job.n_runs = list_runs(runs, row, x->height, g, words, slots, row_bytes, left);
            convolve_rows(&job, g, target, n % target->slots, line);
            saturated += step_rows(cells, target, n, line, phases[Y]);
        }
    }
    free(ring), free(present), free(runs);
    return saturated;
}

INLINE void multiply_row(const packed_weights *weights, const uint8_t *row, int64_t width, int64_t words, int32_t *products,
                         int64_t pitch, int count, bool wide) {
    for (int64_t tile = 0; tile < weights->tiles; tile++)
        for (int64_t pixel = 0; pixel < width; pixel += MR) {
            vector total[MR][NR];
            for (int m = 0; m < MR; m++)
                for (int v = 0; v < count; v++) total[m][v] = ZEROS;
            accumulate(total, (const vector *)weights->data + tile * words * count, row + pixel * words * WORD_BYTES,
                       words * WORD_BYTES, words, weights->depth, count, wide);
            for (int m = 0; m < MR; m++)
                memcpy(products + (pixel + m) * pitch + tile * count * LANES, total[m], (size_t)count * sizeof(vector));
        }
}

void multiply_pixels(const packed_weights *weights, const uint8_t *row, int64_t width, int64_t words, int32_t *products,
                     int64_t pitch) {
    switch (weights->vectors * 2 + (weights->format == I16)) {
    case 2: multiply_row(weights, row, width, words, products, pitch, 1, false); break;
    case 3: multiply_row(weights, row, width, words, products, pitch, 1, true); break;
    case 4: multiply_row(weights, row, width, words, products, pitch, 2, false); break;
    case 5: multiply_row(weights, row, width, words, products, pitch, 2, true); break;
    case 6: multiply_row(weights, row, width, words, products, pitch, NR, false); break;
    default: multiply_row(weights, row, width, words, products, pitch, NR, true);
    }
}

EXPORT int64_t lanes(void) { return LANES; }
EXPORT int64_t max_vectors(void) { return NR; }
/* Whether sums of 8-bit payloads are exact to any depth. */
EXPORT int64_t sums_32_bits(void) {
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
    return 0;
#else
    return 1;
#endif
}
