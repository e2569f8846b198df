/* What the kernels share: formats, maps, and where currents go. snn_deploy_cpu.kernels.arguments has the same structures.
 *
 * Maps are (count, height, width, channels), channels last. Every number is an integer; where it lies in float32 or in
 * 16 bits, the caller has proved that it fits (snn_deploy_cpu.conv.exactness), so no sum is ever rounded and none wraps.
 *
 * One library is compiled for each instruction set, from the same files; vectors.h holds what differs between them.
 * Functions take formats and sizes of tiles as arguments, are inlined, and are called with constants: every combination
 * becomes a loop of its own. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

enum { STATE_MAX = (1 << 23) - 1, OUT_OF_MEMORY = -1, Y = 0, X = 1 };

/* Formats of numbers in memory. X8, excess 128: a signed byte plus 128, as an unsigned one. */
enum { U8, I16, I32, U16, I64, F32, F64, X8 };
enum { EXCESS = 128 };

/* `beside`: maps of the same size, from another source, for kernels that sum several up. */
typedef struct maps {
    const void *data;
    int64_t count, height, width, channels;
    const struct maps *beside;
    int32_t format; /* U8, I16 or I32 */
} maps;

/* Position (row, column) of the kernel reads input row `row * strides - pads + h * dilations`. It owns `phases` pixels of
 * the target each way, of which `crop` are cut off before the first. */
typedef struct {
    int64_t kernel[2], strides[2], dilations[2], pads[2], phases[2], crop[2];
} geometry;

/* Each low-resolution pixel is multiplied by every tap of `kernel`; row Y of the target adds the products of tap h with
 * row (Y - pads + h) / factor. `left` pixels stand before the map's own in the ring buffer. */
typedef struct {
    int64_t factor, kernel[2], pads[2], left;
} upsampling;

/* Where currents are written: `out` (slots, rows, columns, channels) float32, whose row 0 is row `row_begin` of the target;
 * map n goes to slot n % slots. Slots begin `slot_pitch` numbers apart and rows `pitch`, or 0 where they are used up one by one
 * and share one place; a number has `number_bytes`. Sums times `scale`, a power of two, replace what stands there, or are
 * added to it. */
typedef struct {
    void *out;
    int64_t slots, rows, columns, channels, row_begin, slot_pitch, pitch, number_bytes;
    float scale;
    int32_t overwrite;
} currents;

/* Multi-threshold neurons: payload = clip(floor((v + rounding) / theta), least, most), v -= payload * theta.
 * Two-sided ones where `rounding_below` is there: v stays, and their counts are those of v + rounding above zero, and those of
 * v + rounding_below, by a threshold of its own, below.
 * Coefficients have `tile` entries, a multiple of the channels, and repeat. Membranes `v`, none where the only step from rest
 * leaves none, and running counts are (size,),
 * `drive` too where `per_neuron`, else (tile,); it enters the first `driven_steps`. `payloads` are (steps, size). */
typedef struct {
    float *v, *count;
    const float *drive, *start, *theta, *rounding_below;
    const void *reciprocal, *reciprocal_below; /* 1 / theta, F64 where `quotient` says so, else F32 */
    void *payloads;
    int64_t size, images, tile, driven_steps;
    double least, most;
    float rounding, count_least, count_most, reset_value;
    float hold; /* changes of at most so many counts are not sent */
    int32_t per_neuron, payload_format, quotient, resets;
    int32_t stays; /* neurons that no current reaches stay as they are, and their payloads are 0 already */
} neurons;

INLINE bool may_skip(const neurons *cells) { return cells && cells->stays && !cells->driven_steps; }

/* Steps the rows of `target` that begin with `line` and belong to map n; returns how many membranes left 24 bits. */
int64_t step_rows(const neurons *cells, const currents *target, int64_t n, int64_t line, int64_t rows);

INLINE int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }
INLINE int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

INLINE int64_t bytes_of(int format) {
    return format == U8 || format == X8 ? 1 : format == I16 || format == U16 ? 2 : format == I64 || format == F64 ? 8 : 4;
}

INLINE int64_t begin_of(const currents *target, int64_t slot, int64_t line) {
    return slot * target->slot_pitch + line * target->pitch;
}

INLINE float *line_of(const currents *target, int64_t slot, int64_t line) {
    return (float *)target->out + begin_of(target, slot, line);
}

INLINE const void *row_of(const maps *x, int64_t n, int64_t y) {
    return (const char *)x->data + (n * x->height + y) * x->width * x->channels * bytes_of(x->format);
}

INLINE int64_t get(const void *numbers, int64_t i, int format) {
    switch (format) {
    case U8: return ((const uint8_t *)numbers)[i];
    case I16: return ((const int16_t *)numbers)[i];
    case U16: return ((const uint16_t *)numbers)[i];
    case I64: return ((const int64_t *)numbers)[i];
    default: return ((const int32_t *)numbers)[i];
    }
}

INLINE void put(void *numbers, int64_t i, int format, int64_t value) {
    switch (format) {
    case U8: ((uint8_t *)numbers)[i] = (uint8_t)value; break;
    case X8: ((uint8_t *)numbers)[i] = (uint8_t)(value + EXCESS); break;
    case I16: ((int16_t *)numbers)[i] = (int16_t)value; break;
    case U16: ((uint16_t *)numbers)[i] = (uint16_t)value; break;
    case I64: ((int64_t *)numbers)[i] = value; break;
    case F32: ((float *)numbers)[i] = (float)(int32_t)value; break;
    default: ((int32_t *)numbers)[i] = (int32_t)value;
    }
}

INLINE void add_scaled(float *restrict out, const int32_t *restrict sums, int64_t count, float scale, bool overwrite) {
    if (overwrite)
        for (int64_t i = 0; i < count; i++) out[i] = (float)sums[i] * scale;
    else
        for (int64_t i = 0; i < count; i++) out[i] += (float)sums[i] * scale;
}

/* Writes the sums of one position, of outputs (phase row, phase column, channel) from number `first` on, to those of its
 * pixels that lie in the target. Its first pixel is (line, pixel) of `slot`; a single one lies there. */
INLINE void write_sums(const currents *target, int64_t slot, int64_t line, int64_t pixel, const int64_t *phases,
                       int64_t first, const int32_t *sums, int64_t size, bool overwrite) {
    const int64_t channels = target->channels, last = MIN(first + size, channels * phases[Y] * phases[X]);
    if (phases[Y] * phases[X] == 1) {
        float *out = line_of(target, slot, line) + pixel * channels + first;
        add_scaled(out, sums, last - first, target->scale, overwrite);
        return;
    }
    int64_t phase = first / channels, channel = first % channels;
    for (int64_t i = first; i < last; phase++, channel = 0) {
        const int64_t count = MIN(channels - channel, last - i);
        const int64_t y = line + phase / phases[X], x = pixel + phase % phases[X];
        if (0 <= y && y < target->rows && 0 <= x && x < target->columns) {
            float *out = line_of(target, slot, y) + x * channels + channel;
            add_scaled(out, sums + (i - first), count, target->scale, overwrite);
        }
        i += count;
    }
}
