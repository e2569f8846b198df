/* What payloads of 0 leave out: which positions see any other, and how those that do not are kept out of the way. */
#pragma once
#include "kernels.h"

/* The first and the last pixel of row y of map n that are not 0; in a row of zeros the last lies before the first. */
INLINE void find_span(const maps *x, int64_t n, int64_t y, int64_t span[2]) {
    const uint8_t *row = row_of(x, n, y);
    const int64_t pixel_bytes = x->channels * bytes_of(x->format), size = x->width * pixel_bytes;
    int64_t low = 0, high = size;
    uint64_t eight = 0;
    for (; low + 8 <= size; low += 8) { /* eight at a time: most rows of a stream are zeros */
        memcpy(&eight, row + low, sizeof eight);
        if (eight) break;
    }
    while (low < size && !row[low]) low++;
    for (; high - 8 >= low; high -= 8) {
        memcpy(&eight, row + high - 8, sizeof eight);
        if (eight) break;
    }
    while (high > low && !row[high - 1]) high--;
    span[0] = low / pixel_bytes, span[1] = (high - 1) / pixel_bytes;
    if (low == size) span[0] = x->width, span[1] = -1;
}

/* The first and the last of a row's positions that read any pixel of `span`; none where the first lies behind the last. */
INLINE void find_reached(const int64_t span[2], const geometry *g, int64_t reached[2]) {
    const bool none = span[1] < span[0];
    reached[0] = none ? 1 : ceil_div(span[0] + g->pads[X] - (g->kernel[X] - 1) * g->dilations[X], g->strides[X]);
    reached[1] = none ? 0 : floor_div(span[1] + g->pads[X], g->strides[X]);
}

/* Currents 0 for the pixels of a row of positions whose first line is `line`. */
INLINE void clear_lines(const currents *target, int64_t slot, int64_t line, int64_t lines) {
    const size_t size = (size_t)(target->columns * target->channels) * sizeof(float);
    for (int64_t each = MAX(line, 0); each < MIN(line + lines, target->rows); each++)
        memset(line_of(target, slot, each), 0, size);
}
