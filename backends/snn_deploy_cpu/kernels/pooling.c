/* Depthwise sums and copies of pixels. */
#include "kernels.h"

typedef struct {
    const void *x; /* (count, height, width, channels), padded */
    const int32_t *weights; /* (rows, columns, channels) */
    void *out;
    int64_t count, height, width, channels, kernel[2], strides[2], dilations[2], rows, columns;
    int32_t format, out_format;
} pooling;

INLINE void sum_windows(const pooling *job, int32_t *restrict total, int format, int out_format) {
    const int64_t channels = job->channels, pixel_bytes = channels * bytes_of(format);
    int64_t written = 0;
    for (int64_t n = 0; n < job->count; n++)
        for (int64_t i = 0; i < job->rows; i++)
            for (int64_t j = 0; j < job->columns; j++) {
                const int32_t *restrict weights = job->weights;
                const int64_t top = n * job->height + i * job->strides[Y], left = j * job->strides[X];
                memset(total, 0, (size_t)channels * sizeof *total);
                for (int64_t h = 0; h < job->kernel[Y]; h++)
                    for (int64_t w = 0; w < job->kernel[X]; w++, weights += channels) {
                        const int64_t pixel = (top + h * job->dilations[Y]) * job->width + left + w * job->dilations[X];
                        const char *source = (const char *)job->x + pixel * pixel_bytes;
                        for (int64_t c = 0; c < channels; c++) total[c] += weights[c] * (int32_t)get(source, c, format);
                    }
                for (int64_t c = 0; c < channels; c++) put(job->out, written++, out_format, total[c]);
            }
}

/* out[n, i, j, c] = sum weights[h, w, c] * x[n, i s_y + h d_y, j s_x + w d_x, c], whose 32-bit sums the caller has proved to
 * be exact. */
EXPORT int64_t sum_pool(const pooling *job) {
    int32_t *total = malloc((size_t)job->channels * sizeof *total);
    if (!total) return OUT_OF_MEMORY;
#define TO(FORMAT)                                                                                                     \
    switch (job->out_format) {                                                                                         \
    case U8: sum_windows(job, total, FORMAT, U8); break;                                                               \
    case I16: sum_windows(job, total, FORMAT, I16); break;                                                             \
    case F32: sum_windows(job, total, FORMAT, F32); break;                                                             \
    default: sum_windows(job, total, FORMAT, I32);                                                                     \
    }
    switch (job->format) {
    case U8: TO(U8) break;
    case I16: TO(I16) break;
    default: TO(I32)
    }
#undef TO
    free(total);
    return 0;
}

/* out[n, p] = x[n, indices[p]], pixels of `bytes` each. */
EXPORT int64_t gather_pixels(const char *x, const int64_t *indices, char *out, int64_t count, int64_t x_pixels,
                             int64_t pixels, int64_t bytes) {
    for (int64_t n = 0; n < count; n++)
        for (int64_t p = 0; p < pixels; p++)
            memcpy(out + (n * pixels + p) * bytes, x + (n * x_pixels + indices[p]) * bytes, (size_t)bytes);
    return 0;
}
