/* Loops over neurons and payloads: multi-threshold steps, counts of events, pooling, resampling.
 *
 * Neurons are flat and channels last. Membranes and currents are integers in float32: the plan admits only populations whose
 * currents and membranes stay within 2^23 - 1, so that every sum of two is one that float32 holds. Quotients are float32 or
 * float64, whichever divides exactly (snn_deploy_cpu.conv.exactness.divides_exactly). */
#include "vectors.h"

/* The states, inputs and coefficients of some neurons. */
typedef struct {
    float *v, *count;
    const float *current, *added, *start, *theta, *rounding_below;
    const char *reciprocal, *reciprocal_below;
    char *sent;
} group;

/* What a spike leaves of a membrane: the rest, a constant, or all of it where two-sided neurons compare it with their counts. */
enum { SUBTRACTS, RESETS, TWO_SIDED };

/* floor(x * reciprocal), limited. */
INLINE floats quantize(floats x, const char *reciprocal, int quotient, double least, double most) {
    if (quotient == F64) return floor_products(x, (const double *)reciprocal, least, most);
    const floats k = FLOOR(MULTIPLY(x, LOAD((const float *)reciprocal)));
    return LEAST(GREATEST(k, SPLAT((float)least)), SPLAT((float)most));
}

/* 0 where |k| <= hold. */
INLINE floats hold_back(const neurons *cells, floats k) {
    if (cells->hold <= 0.0f) return k;
    const floats rest = LEAST(GREATEST(k, SPLAT(-cells->hold)), SPLAT(cells->hold));
    return select_zero(SUBTRACT(k, rest), SPLAT(0.0f), k);
}

/* What membranes x send: at most one of the two sides counts. */
INLINE floats fire_two_sided(const neurons *cells, group at, floats x, int quotient, bool counts) {
    const floats raised = ADD(x, SPLAT(cells->rounding)), lowered = ADD(x, LOAD(at.rounding_below));
    floats k = ADD(quantize(raised, at.reciprocal, quotient, 0.0, cells->count_most),
                   quantize(lowered, at.reciprocal_below, quotient, cells->count_least, 0.0));
    const floats before = counts ? LOAD(at.count) : SPLAT(0.0f);
    if (counts) k = SUBTRACT(k, before);
    k = hold_back(cells, LEAST(GREATEST(k, SPLAT((float)cells->least)), SPLAT((float)cells->most)));
    if (counts) STORE(at.count, ADD(before, k));
    return k;
}

INLINE floats fire(const neurons *cells, group at, floats x, int quotient, bool counts) {
    floats k = quantize(ADD(x, SPLAT(cells->rounding)), at.reciprocal, quotient, cells->least, cells->most);
    if (counts) {
        const floats before = LOAD(at.count);
        k = GREATEST(k, SUBTRACT(SPLAT(cells->count_least), before));
        k = hold_back(cells, LEAST(k, SUBTRACT(SPLAT(cells->count_most), before)));
        STORE(at.count, ADD(before, k));
    }
    return k;
}

/* One step of WIDTH neurons; returns how many membranes left 24 bits. What is `added` joins where `driven`. */
INLINE int32_t step_vector(const neurons *cells, group at, int format, int quotient, bool driven, bool counts, int leaves,
                           bool once) {
    const floats arrived = ADD(LOAD(once ? at.start : at.v), LOAD(at.current));
    const floats charged = driven ? ADD(arrived, LOAD(at.added)) : arrived;
    const floats x = LEAST(GREATEST(charged, SPLAT((float)-STATE_MAX)), SPLAT((float)STATE_MAX));
    const floats k = leaves == TWO_SIDED ? fire_two_sided(cells, at, x, quotient, counts) : fire(cells, at, x, quotient, counts);
    if (!once)
        STORE(at.v, leaves == TWO_SIDED ? x
                    : leaves == RESETS  ? select_zero(k, x, SPLAT(cells->reset_value))
                                        : SUBTRACT(x, MULTIPLY(k, LOAD(at.theta))));
    put_floats(at.sent, format, k);
    return count_different(x, charged);
}

INLINE group move_on(group at, int64_t i, int format, int quotient, bool once, bool counts, bool two_sided) {
    const int64_t factor = bytes_of(quotient);
    return (group){once ? at.v : at.v + i,
                   counts ? at.count + i : at.count,
                   at.current + i,
                   at.added ? at.added + i : at.added,
                   at.start + i,
                   at.theta + i,
                   two_sided ? at.rounding_below + i : NULL,
                   at.reciprocal + i * factor,
                   two_sided ? at.reciprocal_below + i * factor : NULL,
                   at.sent + i * bytes_of(format)};
}

/* Fewer neurons than WIDTH: in buffers filled up with zeros, which neither fire nor saturate. */
INLINE int32_t step_few(const neurons *cells, group at, int64_t size, int format, int quotient, bool driven, bool counts,
                        int leaves, bool once) {
    float state[7][WIDTH] = {{0}};
    double reciprocal[2][WIDTH] = {{0}}, sent[WIDTH];
    const float *read[7] = {once ? NULL : at.v, counts ? at.count : NULL, at.current,       driven ? at.added : NULL,
                            once ? at.start : NULL, once ? NULL : at.theta, at.rounding_below};
    for (int which = 0; which < 7; which++)
        if (read[which]) memcpy(state[which], read[which], (size_t)size * sizeof(float));
    const size_t bytes = (size_t)(size * bytes_of(quotient));
    memcpy(reciprocal[0], at.reciprocal, bytes);
    if (leaves == TWO_SIDED) memcpy(reciprocal[1], at.reciprocal_below, bytes);
    const group few = {state[0], state[1], state[2], state[3], state[4], state[5], state[6],
                       (char *)reciprocal[0], (char *)reciprocal[1], (char *)sent};
    const int32_t saturated = step_vector(cells, few, format, quotient, driven, counts, leaves, once);
    if (!once) memcpy(at.v, state[0], (size_t)size * sizeof(float));
    if (counts) memcpy(at.count, state[1], (size_t)size * sizeof(float));
    memcpy(at.sent, sent, (size_t)(size * bytes_of(format)));
    return saturated;
}

/* One step of `size` neurons of a tile. */
INLINE int32_t step_tile(const neurons *cells, group at, int64_t size, int format, int quotient, bool driven, bool counts,
                         int leaves, bool once) {
    const neurons own = *cells; /* a copy, which no store can change */
    const bool skips = !once && may_skip(&own);
    int32_t saturated = 0;
    int64_t i = 0;
    for (; i + WIDTH <= size; i += WIDTH) {
        if (skips && !count_different(LOAD(at.current + i), SPLAT(0.0f))) continue;
        saturated += step_vector(&own, move_on(at, i, format, quotient, once, counts, leaves == TWO_SIDED), format, quotient,
                                 driven, counts, leaves, once);
    }
    if (i < size)
        saturated += step_few(&own, move_on(at, i, format, quotient, once, counts, leaves == TWO_SIDED), size - i, format,
                              quotient, driven, counts, leaves, once);
    return saturated;
}

INLINE int32_t step_kind(const neurons *cells, group at, int64_t size, int format, int quotient, bool once) {
    const int leaves = at.rounding_below ? TWO_SIDED : cells->resets ? RESETS : SUBTRACTS;
    switch ((at.added != NULL) * 8 + (at.count != NULL && !once) * 4 + leaves) {
#define STEP(DRIVEN, COUNTS, LEAVES) step_tile(cells, at, size, format, quotient, DRIVEN, COUNTS, LEAVES, once)
    case SUBTRACTS: return STEP(false, false, SUBTRACTS);
    case RESETS: return STEP(false, false, RESETS);
    case TWO_SIDED: return STEP(false, false, TWO_SIDED);
    case 4 + SUBTRACTS: return STEP(false, true, SUBTRACTS);
    case 4 + RESETS: return STEP(false, true, RESETS);
    case 4 + TWO_SIDED: return STEP(false, true, TWO_SIDED);
    case 8 + SUBTRACTS: return STEP(true, false, SUBTRACTS);
    case 8 + RESETS: return STEP(true, false, RESETS);
    case 8 + TWO_SIDED: return STEP(true, false, TWO_SIDED);
    case 12 + SUBTRACTS: return STEP(true, true, SUBTRACTS);
    case 12 + RESETS: return STEP(true, true, RESETS);
    default: return STEP(true, true, TWO_SIDED);
#undef STEP
    }
}

static int32_t step_formats(const neurons *cells, group at, int64_t size, bool once) {
    switch (cells->payload_format * 2 + (cells->quotient == F64)) {
#define STEP(FORMAT, QUOTIENT)                                                                                         \
    once ? step_kind(cells, at, size, FORMAT, QUOTIENT, true) : step_kind(cells, at, size, FORMAT, QUOTIENT, false)
    case U8 * 2: return STEP(U8, F32);
    case U8 * 2 + 1: return STEP(U8, F64);
    case I16 * 2: return STEP(I16, F32);
    case I16 * 2 + 1: return STEP(I16, F64);
    case I32 * 2: return STEP(I32, F32);
    default: return STEP(I32, F64);
#undef STEP
    }
}

/* Steps `first_step` .. `first_step + steps` of `n` neurons from number `begin` on; `current` (current_steps, n), where
 * step s takes row s % current_steps. Returns how many membranes left 24 bits. */
static int64_t step_neurons(const neurons *cells, const float *current, int64_t current_steps, int64_t n, int64_t begin,
                            int64_t first_step, int64_t steps) {
    const bool once = !cells->v;
    int64_t saturated = 0;
    for (int64_t low = 0; low < n; low += cells->tile) {
        const int64_t size = MIN(cells->tile, n - low), here = begin + low;
        for (int64_t step = first_step; step < first_step + steps; step++) {
            const float *added = cells->per_neuron ? cells->drive + here : cells->drive;
            char *sent = (char *)cells->payloads + (step * cells->size + here) * bytes_of(cells->payload_format);
            const group at = {once ? NULL : cells->v + here,
                              cells->count ? cells->count + here : NULL,
                              current + step % current_steps * n + low,
                              step < cells->driven_steps ? added : NULL,
                              cells->start,
                              cells->theta,
                              cells->rounding_below,
                              cells->reciprocal,
                              cells->reciprocal_below,
                              sent};
            saturated += step_formats(cells, at, size, once);
        }
    }
    return saturated;
}

EXPORT int64_t step_many(const neurons *cells, const float *current, int64_t current_steps, int64_t n, int64_t begin,
                         int64_t steps) {
    return step_neurons(cells, current, current_steps, n, begin, 0, steps);
}

int64_t step_rows(const neurons *cells, const currents *target, int64_t n, int64_t line, int64_t rows) {
    if (!cells) return 0;
    const int64_t row_size = target->columns * target->channels, image = n % cells->images;
    int64_t saturated = 0;
    for (int64_t row = MAX(line, 0); row < MIN(line + rows, target->rows); row++) {
        const float *current = line_of(target, n % target->slots, row);
        const int64_t begin = image * (cells->size / cells->images) + (target->row_begin + row) * row_size;
        saturated += step_neurons(cells, current, 1, row_size, begin, n / cells->images, 1);
    }
    return saturated;
}

typedef struct {
    const void *payloads;
    void *counts, *events;
    int64_t *channel_max, *least, *nonzero;
    int64_t steps, size, channels, begin, end;
    int32_t payload_format, count_format, event_format, bytes_hold_sums;
} counting;

/* Adds one step's payloads to sums and numbers of events, in bytes. */
INLINE void count_bytes(const uint8_t *restrict sent, uint8_t *restrict sums, uint8_t *restrict numbers,
                        uint8_t *restrict largest, int64_t size) {
    for (int64_t i = 0; i < size; i++) {
        sums[i] += sent[i];
        numbers[i] += sent[i] != 0;
        largest[i] = MAX(largest[i], sent[i]);
    }
}

/* Adds one step's payloads to `counts` and `events`; returns how many are not 0. `*lowest` becomes at most the least. */
typedef int32_t count_step(const void *sent, void *counts, void *events, void *largest, int64_t size, int64_t *lowest);

#define DEFINE_COUNT(NAME, PAYLOAD, COUNT, EVENT)                                                                      \
    static int32_t NAME(const void *sent, void *counts, void *events, void *largest, int64_t size, int64_t *lowest) {  \
        const PAYLOAD *restrict payload = sent;                                                                        \
        COUNT *restrict count = counts;                                                                                \
        EVENT *restrict event = events;                                                                                \
        PAYLOAD *restrict most = largest, least = 0;                                                                   \
        int32_t nonzero = 0;                                                                                           \
        for (int64_t i = 0; i < size; i++) {                                                                           \
            count[i] = (COUNT)(count[i] + (COUNT)payload[i]);                                                          \
            event[i] = (EVENT)(event[i] + (payload[i] != 0));                                                          \
            nonzero += payload[i] != 0;                                                                                \
            most[i] = MAX(most[i], payload[i]);                                                                        \
            least = MIN(least, payload[i]);                                                                            \
        }                                                                                                              \
        *lowest = MIN(*lowest, least);                                                                                 \
        return nonzero;                                                                                                \
    }

#define DEFINE_COUNTS(NAME, PAYLOAD)                                                                                   \
    DEFINE_COUNT(NAME##_u16_u16, PAYLOAD, uint16_t, uint16_t)                                                          \
    DEFINE_COUNT(NAME##_u16_i64, PAYLOAD, uint16_t, int64_t)                                                           \
    DEFINE_COUNT(NAME##_i64_u16, PAYLOAD, int64_t, uint16_t)                                                           \
    DEFINE_COUNT(NAME##_i64_i64, PAYLOAD, int64_t, int64_t)                                                            \
    static count_step *const NAME[4] = {NAME##_u16_u16, NAME##_u16_i64, NAME##_i64_u16, NAME##_i64_i64};

DEFINE_COUNTS(count_u8, uint8_t)
DEFINE_COUNTS(count_i16, int16_t)
DEFINE_COUNTS(count_i32, int32_t)

INLINE void add_bytes(void *numbers, int64_t first, const uint8_t *bytes, int64_t size, int format) {
    if (format == U16)
        for (int64_t i = 0; i < size; i++) ((uint16_t *)numbers)[first + i] += bytes[i];
    else
        for (int64_t i = 0; i < size; i++) ((int64_t *)numbers)[first + i] += bytes[i];
}

/* The largest of each channel of (pixels, channels), left in the first pixel. */
INLINE void reduce_pixels(void *restrict largest, int64_t size, int64_t channels, int format) {
    for (int64_t pixel = channels; pixel < size; pixel += channels)
        for (int64_t c = 0; c < channels; c++)
            put(largest, c, format, MAX((int32_t)get(largest, c, format), (int32_t)get(largest, pixel + c, format)));
}

/* Adds the sums over steps of payloads (steps, size) of neurons begin .. end to `counts`, how many are not 0 to `events`;
 * `channel_max`, `least` and `nonzero`, 0 before, become the statistics of these payloads. Sums of U8 over the steps fit a
 * byte where `bytes_hold_sums`: a vector then holds more of them. */
EXPORT int64_t count_events(const counting *job) {
    count_step *const *loops = job->payload_format == U8 ? count_u8 : job->payload_format == I16 ? count_i16 : count_i32;
    count_step *const count = loops[(job->count_format == I64) * 2 + (job->event_format == I64)];
    const int64_t tile = job->channels * MAX(1, 4096 / job->channels), width = bytes_of(job->payload_format);
    const int64_t count_width = bytes_of(job->count_format), event_width = bytes_of(job->event_format);
    /* not a page apart: processors that compare the lowest 12 bits of addresses would take them for the same */
    const int64_t gap = 320, bytes = tile * (width + 2) + 2 * gap;
    uint8_t *largest = malloc((size_t)bytes);
    if (!largest) return OUT_OF_MEMORY;
    uint8_t *sums = largest + tile * width + gap, *numbers = sums + tile + gap;
    for (int64_t low = job->begin; low < job->end; low += tile) {
        const int64_t size = MIN(tile, job->end - low);
        void *counts = (char *)job->counts + low * count_width, *events = (char *)job->events + low * event_width;
        memset(largest, 0, (size_t)bytes);
        for (int64_t step = 0; step < job->steps; step++) {
            const char *sent = (const char *)job->payloads + (step * job->size + low) * width;
            if (job->bytes_hold_sums)
                count_bytes((const uint8_t *)sent, sums, numbers, largest, size);
            else
                *job->nonzero += count(sent, counts, events, largest, size, job->least);
        }
        if (job->bytes_hold_sums) {
            add_bytes(job->counts, low, sums, size, job->count_format);
            add_bytes(job->events, low, numbers, size, job->event_format);
            int32_t nonzero = 0;
            for (int64_t i = 0; i < size; i++) nonzero += numbers[i];
            *job->nonzero += nonzero;
        }
        switch (job->payload_format) {
        case U8: reduce_pixels(largest, size, job->channels, U8); break;
        case I16: reduce_pixels(largest, size, job->channels, I16); break;
        default: reduce_pixels(largest, size, job->channels, I32);
        }
        for (int64_t c = 0; c < job->channels; c++)
            job->channel_max[c] = MAX(job->channel_max[c], get(largest, c, job->payload_format));
    }
    free(largest);
    return 0;
}
