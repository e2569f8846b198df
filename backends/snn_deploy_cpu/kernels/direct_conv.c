/* Direct convolution: every payload times every weight, a tile of sums in registers until it is complete, of one source or of
 * several side by side.
 *
 * Rows of the input are copied into a ring buffer with zeros beside them, so that no position asks where the map ends. What
 * positions without payloads would add is left out. Signed bytes are multiplied as unsigned ones, 128 more than they are; what
 * that adds to the sums, 128 times the weights, is the same everywhere and is what they begin with. */
#include "direct_conv.h"
#include "reach.h"

/* Neighbouring words of a row, and the weights of tile 0 that they are multiplied by. A run is a row of the kernel, or a single
 * tap where columns are dilated. `payloads` are those of position 0. */
typedef struct {
    const vector *weights;
    const uint8_t *payloads;
    int64_t words, pitch, tile, depth; /* a position is `pitch` bytes after the last, a tile `tile` words */
    bool wide;
} run;

/* Copies of a source's rows, of `row_bytes` each, in which the map begins `begin` bytes on; `slots` rows are there at a time,
 * and one of zeros behind them. `spans` are the first and the last pixel of each that are not 0. */
typedef struct {
    const maps *x;
    const packed_weights *weights;
    uint8_t *data;
    int64_t *present, (*spans)[2], slots, row_bytes, begin, words; /* words of a pixel */
} row_ring;

typedef struct {
    const run *runs;
    const vector *initial; /* the sums of a tile begin with them */
    int64_t n_runs, tiles, vectors, first, last; /* positions first .. last */
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
    switch (x->format * 3 + (format == I16 ? 1 : format == X8 ? 2 : 0)) {
    case U8 * 3: COPY(U8, U8) break;
    case I16 * 3: COPY(I16, U8) break;
    case I32 * 3: COPY(I32, U8) break;
    case U8 * 3 + 1: COPY(U8, I16) break;
    case I16 * 3 + 1: COPY(I16, I16) break;
    case I32 * 3 + 1: COPY(I32, I16) break;
    case U8 * 3 + 2: COPY(U8, X8) break;
    case I16 * 3 + 2: COPY(I16, X8) break;
    default: COPY(I32, X8)
    }
#undef COPY
}

static bool fill(row_ring *ring, const maps *x, const packed_weights *weights, const geometry *g, int64_t left, int64_t stop) {
    *ring = (row_ring){.x = x, .weights = weights, .words = ceil_div(x->channels, WORD_BYTES / bytes_of(weights->format))};
    ring->slots = g->dilations[Y] * (g->kernel[Y] - 1) + 1;
    ring->row_bytes = (left + MAX(x->width, stop)) * ring->words * WORD_BYTES;
    ring->begin = left * ring->words * WORD_BYTES;
    const size_t size = (size_t)((ring->slots + 1) * ring->row_bytes);
    ring->data = malloc(size);
    ring->present = malloc((size_t)ring->slots * sizeof *ring->present);
    ring->spans = malloc((size_t)ring->slots * sizeof *ring->spans);
    if (!ring->data || !ring->present || !ring->spans) return false;
    memset(ring->data, weights->format == X8 ? EXCESS : 0, size);
    return true;
}

/* Copies the input rows that positions `row` read and that are not there; `span` grows to the pixels of these that are not 0. */
static void turn(row_ring *ring, int64_t n, int64_t row, const geometry *g, int64_t span[2]) {
    const maps *x = ring->x;
    const int format = ring->weights->format;
    for (int64_t h = 0; h < g->kernel[Y]; h++) {
        const int64_t y = row * g->strides[Y] - g->pads[Y] + h * g->dilations[Y], slot = y % ring->slots;
        if (y < 0 || y >= x->height) continue;
        if (ring->present[slot] != y) {
            const int64_t pitch = ring->words * WORD_BYTES / bytes_of(format);
            copy_payloads(ring->data + slot * ring->row_bytes + ring->begin, format, x, n, y, pitch);
            find_span(x, n, y, ring->spans[slot]);
        }
        ring->present[slot] = y;
        span[0] = MIN(span[0], ring->spans[slot][0]), span[1] = MAX(span[1], ring->spans[slot][1]);
    }
}

/* Rows outside the map are left out, or, where 0 is stored as another number, read as the row of zeros. */
static int64_t list_runs(run *runs, const row_ring *ring, int64_t row, const geometry *g) {
    const int64_t taps = g->dilations[X] == 1 ? g->kernel[X] : 1, pixel_bytes = ring->words * WORD_BYTES;
    const packed_weights *weights = ring->weights;
    int64_t count = 0;
    for (int64_t h = 0; h < g->kernel[Y]; h++) {
        const int64_t y = row * g->strides[Y] - g->pads[Y] + h * g->dilations[Y];
        const bool inside = 0 <= y && y < ring->x->height;
        for (int64_t w = 0; w < g->kernel[X] && (inside || weights->format == X8); w += taps) {
            const int64_t slot = inside ? y % ring->slots : ring->slots;
            const int64_t word = (h * g->kernel[X] + w) * ring->words, column = w * g->dilations[X] - g->pads[X];
            runs[count++] = (run){.weights = (const vector *)weights->data + word * weights->vectors,
                                  .payloads = ring->data + slot * ring->row_bytes + ring->begin + column * pixel_bytes,
                                  .words = taps * ring->words,
                                  .pitch = g->strides[X] * pixel_bytes,
                                  .tile = g->kernel[Y] * g->kernel[X] * ring->words,
                                  .depth = weights->depth,
                                  .wide = weights->format == I16};
        }
    }
    return count;
}

INLINE void accumulate_run(vector total[MR][NR], const run *each, int64_t tile, int64_t column, int count) {
    const vector *weights = each->weights + tile * each->tile * count;
    const uint8_t *payloads = each->payloads + column * each->pitch;
    if (each->wide)
        accumulate(total, weights, payloads, each->pitch, each->words, each->depth, count, true);
    else
        accumulate(total, weights, payloads, each->pitch, each->words, each->depth, count, false);
}

/* Subtracts from `initial` what the zeros of X8 add too much: the sums of a position that sees nothing else. */
INLINE void take_off_excess(vector *initial, const row_ring *ring, const geometry *g, int count) {
    const int64_t words = g->kernel[Y] * g->kernel[X] * ring->words;
    for (int64_t tile = 0; tile < ring->weights->tiles; tile++) {
        vector total[MR][NR];
        int32_t sums[NR * LANES], before[NR * LANES];
        for (int m = 0; m < MR; m++)
            for (int v = 0; v < count; v++) total[m][v] = ZEROS;
        for (int64_t word = 0; word < words; word += ring->words)
            accumulate(total, (const vector *)ring->weights->data + (tile * words + word) * count,
                       ring->data + ring->slots * ring->row_bytes, 0, ring->words, ring->weights->depth, count, false);
        for (int v = 0; v < count; v++) memcpy(sums + v * LANES, &total[0][v], sizeof(vector));
        memcpy(before, initial + tile * count, (size_t)count * sizeof(vector));
        for (int64_t i = 0; i < (int64_t)count * LANES; i++) before[i] -= sums[i];
        memcpy(initial + tile * count, before, (size_t)count * sizeof(vector));
    }
}

static void prepare_excess(vector *initial, const row_ring *ring, const geometry *g) {
    switch (ring->weights->vectors) {
    case 1: take_off_excess(initial, ring, g, 1); break;
    case 2: take_off_excess(initial, ring, g, 2); break;
    default: take_off_excess(initial, ring, g, NR);
    }
}

INLINE void convolve_row(const row_of_tiles *job, const geometry *g, const currents *target, int64_t slot, int64_t line,
                         int count) {
    const int64_t *phases = g->phases, size = (int64_t)count * LANES;
    const bool whole_vectors = phases[Y] * phases[X] == 1;
    float *line_out = line_of(target, slot, line);
    for (int64_t tile = 0; tile < job->tiles; tile++) {
        for (int64_t column = job->first; column < job->last; column += MR) {
            vector total[MR][NR];
            for (int m = 0; m < MR; m++)
                for (int v = 0; v < count; v++) total[m][v] = job->initial[tile * count + v];
            for (int64_t j = 0; j < job->n_runs; j++) accumulate_run(total, &job->runs[j], tile, column, count);
            const int64_t pixel = column - g->crop[X];
            if (whole_vectors && pixel + MR <= target->columns && (tile + 1) * size <= target->channels) {
                float *out = line_out + pixel * target->channels + tile * size;
                for (int m = 0; m < MR; m++)
                    for (int v = 0; v < count; v++)
                        store_scaled(out + m * target->channels + v * LANES, total[m][v], target->scale, target->overwrite);
                continue;
            }
            int32_t sums[MR][NR * LANES];
            for (int m = 0; m < MR; m++)
                for (int v = 0; v < count; v++) memcpy(sums[m] + v * LANES, &total[m][v], sizeof(vector));
            for (int64_t m = 0; m < MIN(MR, job->last - column); m++)
                write_sums(target, slot, line, (column + m) * phases[X] - g->crop[X], phases, tile * size, sums[m], size,
                           target->overwrite);
        }
    }
}

static void convolve_rows(const row_of_tiles *job, const geometry *g, const currents *target, int64_t slot, int64_t line) {
    switch (job->vectors) {
    case 1: convolve_row(job, g, target, slot, line, 1); break;
    case 2: convolve_row(job, g, target, slot, line, 2); break;
    default: convolve_row(job, g, target, slot, line, NR);
    }
}

EXPORT int64_t direct_conv(const maps *x, const packed_weights *weights, const geometry *g, const currents *target,
                           const neurons *cells) {
    const int64_t *phases = g->phases, *crop = g->crop;
    const int64_t first = crop[X] / phases[X], last = ceil_div(target->columns + crop[X], phases[X]);
    const int64_t left = MAX(g->pads[X] - first * g->strides[X], 0);
    /* the last tile of positions reads beyond the last one's window */
    const int64_t stop = (last + MR - 2) * g->strides[X] - g->pads[X] + (g->kernel[X] - 1) * g->dilations[X] + 1;
    const size_t sums = (size_t)(weights->tiles * weights->vectors);
    size_t sources = 0;
    for (const maps *each = x; each; each = each->beside) sources++;
    row_ring *rings = calloc(sources, sizeof *rings);
    vector *initial = aligned_alloc(sizeof(vector), sums * sizeof(vector));
    run *runs = malloc(sources * (size_t)(g->kernel[Y] * g->kernel[X]) * sizeof *runs);
    int64_t saturated = rings && initial && runs ? 0 : OUT_OF_MEMORY;
    if (!saturated) memset(initial, 0, sums * sizeof(vector));
    const maps *each = x;
    const packed_weights *its = weights;
    for (size_t s = 0; s < sources && !saturated; s++, each = each->beside, its = its->beside) {
        if (!fill(&rings[s], each, its, g, left, stop)) saturated = OUT_OF_MEMORY;
        if (!saturated && its->format == X8) prepare_excess(initial, &rings[s], g);
    }
    row_of_tiles job = {runs, initial, 0, weights->tiles, weights->vectors, first, last};
    for (int64_t n = 0; n < x->count && saturated >= 0; n++) {
        for (size_t s = 0; s < sources; s++)
            for (int64_t i = 0; i < rings[s].slots; i++) rings[s].present[i] = -1;
        for (int64_t row = (target->row_begin + crop[Y]) / phases[Y];
             row < ceil_div(target->row_begin + target->rows + crop[Y], phases[Y]); row++) {
            const int64_t line = row * phases[Y] - crop[Y] - target->row_begin, slot = n % target->slots;
            int64_t span[2] = {x->width, -1}, reached[2];
            for (size_t s = 0; s < sources; s++) turn(&rings[s], n, row, g, span);
            find_reached(span, g, reached);
            job.first = MAX(reached[0], first), job.last = MIN(reached[1] + 1, last);
            if (job.first >= job.last && target->overwrite && may_skip(cells)) continue;
            if (target->overwrite && (job.first > first || job.last < last)) clear_lines(target, slot, line, phases[Y]);
            job.n_runs = 0;
            for (size_t s = 0; s < sources; s++) job.n_runs += list_runs(runs + job.n_runs, &rings[s], row, g);
            if (job.first < job.last) convolve_rows(&job, g, target, slot, line);
            saturated += step_rows(cells, target, n, line, phases[Y]);
        }
    }
    for (size_t s = 0; rings && s < sources; s++) free(rings[s].data), free(rings[s].present), free(rings[s].spans);
    free(rings), free(initial), free(runs);
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
                for (int v = 0; v < count; v++)
                    memcpy(products + (pixel + m) * pitch + (tile * count + v) * LANES, &total[m][v], sizeof(vector));
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
#if defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(VNNI_256)
    return 0;
#else
    return 1;
#endif
}
