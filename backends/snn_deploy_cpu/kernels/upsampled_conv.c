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
    int64_t slots, row, pixel; /* numbers of a row and of a pixel */
    int format;
} product_ring;

static bool allocate(product_ring *ring, const maps *x, const upsampling *up, const currents *target, int64_t width,
                     int64_t pixel, int format) {
    const int64_t last = floor_div(target->columns - 1 - up->pads[X] + up->kernel[X] - 1, up->factor);
    const int64_t pixels = up->left + MAX(last + 1, MAX(width, x->width)) + ceil_div(WIDE, pixel);
    *ring = (product_ring){NULL, floor_div(up->kernel[Y] - 2, up->factor) + 2, pixels * pixel, pixel, format};
    ring->data = calloc((size_t)(ring->slots * ring->row), (size_t)bytes_of(format));
    return ring->data;
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
    for (int64_t column = 0; column < target->columns; column++)
        for (int64_t tile = 0; tile < ceil_div(target->channels, WIDE); tile++) {
            v8i total[WIDE / 8] = {{0}};
            int32_t sums[WIDE];
            for (int64_t h = 0; h < up->kernel[Y]; h++) {
                const int64_t y = floor_div(target->row_begin + line - up->pads[Y] + h, up->factor);
                for (int64_t w = 0; w < up->kernel[X] && 0 <= y && y < height; w++) {
                    const int64_t pixel = floor_div(column - up->pads[X] + w, up->factor) + up->left;
                    const int64_t tap = (h * up->kernel[X] + w) * target->channels + tile * WIDE;
                    sum_taps(total, product(ring, y, pixel) + tap * bytes_of(format), format);
                }
            }
            memcpy(sums, total, sizeof sums);
            write_sums(target, slot, line, column, one_pixel, tile * WIDE, sums, WIDE, target->overwrite);
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
    free(ring.data), free(row);
    return saturated;
}

static void multiply_events(const maps *x, const packed_rows *rows, event_list list, const product_ring *ring, int64_t y,
                            int64_t left) {
    const int64_t pitch = row_bytes(rows);
    for (int64_t tile = 0; tile < rows->tiles; tile++)
        for (int64_t pixel = 0; pixel < x->width; pixel++)
            sum_events(rows, (const char *)rows->data + (tile - pixel) * x->channels * pitch, list, list.starts[pixel],
                       list.starts[pixel + 1], product(ring, y, left + pixel) + tile * rows->width * bytes_of(ring->format));
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
    free(ring.data), free(list.offsets), free(list.payloads), free(list.starts);
    return saturated;
}
