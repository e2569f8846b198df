/* Convolutions fused with the nearest-neighbour upsampling before them: each low-resolution pixel times every tap, once.
 *
 * A ring buffer (row, pixel, product) holds the products of as many rows of the input as one row of the target reads,
 * products being (tap row, tap column, output): int16 for events of 8 bits, else int32. */
#include "direct_conv.h"
#include "sparse_conv.h"

enum { WIDE = 32 }; /* outputs summed together */

typedef int32_t v8i __attribute__((vector_size(32)));
typedef int16_t v8h __attribute__((vector_size(16)));

typedef struct {
    char *data;
    const char **tap_rows; /* the products of the row that each tap row reads, NULL outside the input */
    const char **taps; /* products of one output pixel, for each tap inside the input */
    int64_t *tap_pixels; /* bytes to the pixel that each column of taps reads */
    int64_t slots, row, pixel; /* numbers of a row and of a pixel */
    int format;
} product_ring;

static bool allocate(product_ring *ring, const maps *x, const upsampling *up, const currents *target, int64_t width,
                     int64_t pixel, int format) {
    const int64_t last = floor_div(target->columns - 1 - up->pads[X] + up->kernel[X] - 1, up->factor);
    const int64_t pixels = up->left + MAX(last + 1, MAX(width, x->width)) + ceil_div(WIDE, pixel);
    *ring = (product_ring){.slots = floor_div(up->kernel[Y] - 2, up->factor) + 2, .row = pixels * pixel, .pixel = pixel,
                           .format = format};
    ring->data = calloc((size_t)(ring->slots * ring->row), (size_t)bytes_of(format));
    ring->tap_rows = malloc((size_t)up->kernel[Y] * sizeof *ring->tap_rows);
    ring->taps = malloc((size_t)(up->kernel[Y] * up->kernel[X]) * sizeof *ring->taps);
    ring->tap_pixels = malloc((size_t)(target->columns + up->kernel[X]) * sizeof *ring->tap_pixels);
    if (!ring->data || !ring->tap_rows || !ring->taps || !ring->tap_pixels) return false;
    for (int64_t column = 0; column < target->columns + up->kernel[X]; column++)
        ring->tap_pixels[column] = (floor_div(column - up->pads[X], up->factor) + up->left) * pixel * bytes_of(format);
    return true;
}

static void release(product_ring *ring) {
    free(ring->data), free(ring->tap_rows), free(ring->taps), free(ring->tap_pixels);
}

static char *product(const product_ring *ring, int64_t y, int64_t pixel) {
    return ring->data + (y % ring->slots * ring->row + pixel * ring->pixel) * bytes_of(ring->format);
}

INLINE void sum_taps(v8i total[WIDE / 8], const char *products, int format) {
    for (int v = 0; v < WIDE / 8; v++) {
        v8i added;
        if (format == I16) {
            v8h narrow;
            memcpy(&narrow, products + v * sizeof narrow, sizeof narrow);
            added = __builtin_convertvector(narrow, v8i);
        } else
            memcpy(&added, products + v * sizeof added, sizeof added);
        total[v] += added;
    }
}

/* Row `line` of the target from the products of all input rows that it reads. */
INLINE void sum_row(const product_ring *ring, const upsampling *up, int64_t height, const currents *target, int64_t slot,
                    int64_t line, int format) {
    static const int64_t one_pixel[2] = {1, 1};
    const int64_t tap_bytes = target->channels * bytes_of(format);
    for (int64_t h = 0; h < up->kernel[Y]; h++) {
        const int64_t y = floor_div(target->row_begin + line - up->pads[Y] + h, up->factor);
        ring->tap_rows[h] = 0 <= y && y < height ? product(ring, y, 0) + h * up->kernel[X] * tap_bytes : NULL;
    }
    for (int64_t column = 0; column < target->columns; column++) {
        int64_t taps = 0;
        for (int64_t h = 0; h < up->kernel[Y]; h++)
            for (int64_t w = 0; w < up->kernel[X] && ring->tap_rows[h]; w++)
                ring->taps[taps++] = ring->tap_rows[h] + ring->tap_pixels[column + w] + w * tap_bytes;
        for (int64_t first = 0; first < target->channels; first += WIDE) {
            v8i total[WIDE / 8] = {{0}};
            int32_t sums[WIDE];
            for (int64_t tap = 0; tap < taps; tap++) sum_taps(total, ring->taps[tap] + first * bytes_of(format), format);
            memcpy(sums, total, sizeof sums);
            write_sums(target, slot, line, column, one_pixel, first, sums, WIDE, target->overwrite);
        }
    }
}

/* All rows of the target, and what makes the products of an input row the first time that one is read. */
#define FOR_EACH_ROW(MAKE_PRODUCTS, FORMAT)                                                                            \
    for (int64_t n = 0; n < x->count; n++)                                                                             \
        for (int64_t line = 0, done = 0; line < target->rows; line++) {                                                \
            const int64_t top = target->row_begin + line - up->pads[Y];                                                \
            const int64_t low = MAX(floor_div(top, up->factor), done);                                                 \
            const int64_t high = MIN(floor_div(top + up->kernel[Y] - 1, up->factor) + 1, x->height);                   \
            for (int64_t y = low; y < high; y++) MAKE_PRODUCTS;                                                        \
            done = MAX(done, high);                                                                                    \
            sum_row(&ring, up, x->height, target, n % target->slots, line, FORMAT);                                    \
            saturated += step_rows(cells, target, n, line, 1);                                                         \
        }

EXPORT int64_t upsampled_direct_conv(const maps *x, const packed_weights *weights, const upsampling *up,
                                     const currents *target, const neurons *cells) {
    const int64_t per_word = WORD_BYTES / bytes_of(weights->format), words = ceil_div(x->channels, per_word);
    const int64_t width = ceil_div(x->width, MR) * MR; /* whole tiles of pixels */
    product_ring ring;
    uint8_t *row = calloc((size_t)(width * words), WORD_BYTES);
    bool ready = allocate(&ring, x, up, target, width, weights->tiles * weights->vectors * LANES, I32) && row;
    int64_t saturated = ready ? 0 : OUT_OF_MEMORY;
    if (ready)
        FOR_EACH_ROW((copy_payloads(row, weights->format, x, n, y, words * per_word),
                      multiply_pixels(weights, row, x->width, words, (int32_t *)product(&ring, y, up->left), ring.pixel)),
                     I32)
    release(&ring), free(row);
    return saturated;
}

static void multiply_events(const maps *x, const packed_rows *rows, event_list list, const product_ring *ring, int64_t y,
                            int64_t left) {
    const int64_t bytes = bytes_of(ring->format);
    for (int64_t tile = 0; tile < rows->tiles; tile++)
        sum_pixels(x, rows, tile, list, product(ring, y, left) + tile * rows->width * bytes, ring->pixel * bytes);
}

EXPORT int64_t upsampled_sparse_conv(const maps *x, const packed_rows *rows, const upsampling *up, const currents *target,
                                     const neurons *cells) {
    const int64_t capacity = list_capacity(x);
    const int format = rows->format == U8 ? I16 : I32;
    product_ring ring;
    event_list list = {malloc((size_t)capacity * 4), malloc((size_t)capacity * 2), malloc((size_t)(x->width + 1) * 8)};
    bool ready = allocate(&ring, x, up, target, 0, rows->tiles * rows->width, format);
    ready = ready && list.offsets && list.payloads && list.starts;
    int64_t saturated = ready ? 0 : OUT_OF_MEMORY;
    if (ready && format == I16)
        FOR_EACH_ROW((list_events(x, n, y, rows, list), multiply_events(x, rows, list, &ring, y, up->left)), I16)
    else if (ready)
        FOR_EACH_ROW((list_events(x, n, y, rows, list), multiply_events(x, rows, list, &ring, y, up->left)), I32)
    release(&ring), free(list.offsets), free(list.payloads), free(list.starts);
    return saturated;
}
