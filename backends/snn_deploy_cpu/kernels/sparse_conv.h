#pragma once
#include "kernels.h"

enum { MAX_ROW_VECTORS = 8, ROW_GROUP = 16 };

/* Rows of weights, those of one input for `width` outputs, as (tile, tap row, tap column, input): int8 for U8 payloads
 * below 128, int16 for I16. `width` is a multiple of ROW_GROUP; a row has at most MAX_ROW_VECTORS vectors of sums, 16 in 16
 * bits or 8 in 32. Sums stay exact over a `part` (rows, columns) of the kernel. */
typedef struct {
    const void *data;
    int64_t tiles, width, part[2];
    int32_t format;
} packed_rows;

/* The payloads of a row of the input that are not 0: an even number for each pixel, the last of an odd one a payload of 0.
 * Entry e is `payloads[e]`, of the weights' format, and the row of weights `offsets[e]` bytes on. */
typedef struct {
    int32_t *offsets;
    void *payloads;
    int64_t *starts; /* (width + 1) entries where pixels begin */
} event_list;

int64_t list_capacity(const maps *x);
int64_t row_bytes(const packed_rows *rows);
void list_events(const maps *x, int64_t n, int64_t y, const packed_rows *rows, event_list list);

/* Writes the sums of each pixel's events, for the outputs of a tile, to `products`, a pixel `pixel_bytes` after the last:
 * U8's as int16, I16's as int32. The kernel is of one row of weights for an input. */
void sum_pixels(const maps *x, const packed_rows *rows, int64_t tile, event_list list, char *products, int64_t pixel_bytes);
