#pragma once
#include "vectors.h"

/* Weights (tile, tap row, tap column, word of inputs, vector, lane, input of the word) for U8 and X8 payloads as int8, for I16
 * as int16, zeros beside them; the first byte is aligned to a vector. `vectors` belong to a tile; at most `depth` words of U8
 * payloads are summed in 16 bits, where sums have no more. `beside` are those of the maps beside. */
typedef struct packed_weights {
    const void *data;
    int64_t tiles, vectors, depth;
    const struct packed_weights *beside;
    int32_t format;
} packed_weights;

/* Copies row y of map n, `pitch` numbers of `format` (U8, X8 or I16) for each pixel. */
void copy_payloads(void *restrict target, int format, const maps *x, int64_t n, int64_t y, int64_t pitch);

/* The products of a row of pixels, `words` each, filled up to whole tiles of MR pixels, with pointwise weights: `pitch`
 * numbers for each pixel. */
void multiply_pixels(const packed_weights *weights, const uint8_t *row, int64_t width, int64_t words, int32_t *products,
                     int64_t pitch);
