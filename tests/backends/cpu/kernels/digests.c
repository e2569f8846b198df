/* Prints a digest of what kernels compute from drawn numbers: the same on every instruction set whose vectors have LANES
 * outputs, for weights are drawn as they lie in memory. */
#include "direct_conv.h"
#include "sparse_conv.h"
#include <stdio.h>

int64_t direct_conv(const maps *x, const packed_weights *weights, const geometry *g, const currents *target, const neurons *cells);
int64_t sparse_conv(const maps *x, const packed_rows *rows, const geometry *g, const currents *target, const neurons *cells);
int64_t step_many(const neurons *cells, const float *current, int64_t current_steps, int64_t n, int64_t begin, int64_t steps);

static uint64_t seed = 1;

static int64_t draw(int64_t least, int64_t most) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return least + (int64_t)((seed >> 33) % (uint64_t)(most - least + 1));
}

/* `count` numbers of `format`, each 0 with a probability of `zeros` percent, one in four at an end. */
static void *draw_many(int64_t count, int format, int64_t least, int64_t most, int64_t zeros) {
    char *numbers = aligned_alloc(64, (size_t)(count * bytes_of(format) + 64 + 63) / 64 * 64);
    for (int64_t i = 0; i < count; i++) {
        const int64_t value = draw(0, 3) ? draw(least, most) : draw(0, 1) ? least : most;
        put(numbers, i, format, draw(0, 99) < zeros ? 0 : value);
    }
    return numbers;
}

static uint64_t mix(uint64_t digest, const void *data, int64_t size) {
    for (int64_t i = 0; i < size; i++) digest = (digest ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    return digest;
}

static void convolve(int64_t call) {
    const int64_t k = draw(1, 4), phases = draw(0, 3) ? 1 : 2, channels = draw(1, 36), outputs = draw(1, 40) * phases * phases;
    const geometry g = {{k, k}, {draw(1, 2), draw(1, 2)}, {draw(1, 2), draw(1, 2)}, {draw(0, k), draw(0, k)}, {phases, phases}, {0}};
    const int64_t size[2] = {draw(1, 9), draw(1, 30)}, kind = call % 5, vectors = draw(1, NR), parted = draw(0, 1);
    int64_t found[2];
    for (int axis = Y; axis <= X; axis++)
        found[axis] = floor_div(size[axis] + 2 * g.pads[axis] - g.dilations[axis] * (k - 1) - 1, g.strides[axis]) + 1;
    if (found[Y] < 1 || found[X] < 1) return;
    static const struct {
        const char *name;
        int map, weights;
        int64_t least, most, weight;
    } kinds[5] = {{"direct U8", U8, U8, 0, 255, 128},       {"direct X8", I16, X8, -128, 127, 128},
                  {"direct I16", I32, I16, -900, 900, 900}, {"sparse U8", U8, U8, 0, 3, 8},
                  {"sparse I16", I16, I16, -900, 900, 900}};
    const bool sparse = kind > 2, wide = kinds[kind].weights == I16;
    const int64_t most = kind == 3 && parted ? 127 : kinds[kind].most, weight = kind == 3 && parted ? 7 : kinds[kind].weight;
    const int64_t group = sparse ? ROW_GROUP * draw(1, wide ? 4 : 8) : vectors * LANES, tiles = ceil_div(outputs, group);
    const int64_t inputs = sparse ? channels : ceil_div(channels, wide ? 2 : 4) * (wide ? 2 : 4);
    void *payloads = draw_many(2 * size[Y] * size[X] * channels, kinds[kind].map, kinds[kind].least, most, draw(0, 2) * 48);
    /* put() stores a byte alike, signed or not */
    void *weights = draw_many(tiles * group * inputs * k * k, wide ? I16 : U8, -weight, wide ? weight : weight - 1, 10);
    const int64_t numbers = 2 * found[Y] * found[X] * outputs;
    float *out = draw_many(numbers, F32, -1000, 1000, 0);
    const maps x = {.data = payloads, .count = 2, .height = size[Y], .width = size[X], .channels = channels, .format = kinds[kind].map};
    const int64_t columns = found[X] * phases, own = outputs / phases / phases;
    const currents target = {out, 2, found[Y] * phases, columns, own, 0, numbers / 2, columns * own, sizeof(float), 0.25f, (int32_t)draw(0, 1)};
    const packed_weights tiled = {.data = weights, .tiles = tiles, .vectors = vectors, .depth = 1 << 20, .format = kinds[kind].weights};
    const packed_rows rows = {weights, tiles, group, {parted ? 1 : k, parted ? 1 : k}, kinds[kind].weights};
    const int64_t answer = sparse ? sparse_conv(&x, &rows, &g, &target, NULL) : direct_conv(&x, &tiled, &g, &target, NULL);
    printf("%d %s %016llx\n", (int)call, kinds[kind].name, (unsigned long long)mix((uint64_t)answer + 1469598103934665603u, out, numbers * 4));
    free(payloads), free(weights), free(out);
}

static void step(int64_t call) {
    const int64_t tile = draw(1, 23), size = tile * draw(1, 9), steps = draw(1, 4), format = call % 3;
    const bool two_sided = draw(0, 2) == 0, once = draw(0, 3) == 0;
    float *theta = draw_many(tile, F32, 1, 3000, 0), *v = draw_many(size, F32, -STATE_MAX, STATE_MAX, 30);
    float *counts = draw_many(size, F32, -20, 20, 0), *below = draw_many(tile, F32, -3000, 3000, 0);
    float *start = draw_many(tile, F32, -9000, 9000, 0), *drive = draw_many(tile, F32, -9000, 9000, 0);
    float *current = draw_many(size * steps, F32, -STATE_MAX / 40, STATE_MAX / 40, 30), reciprocal[2][32];
    double exact[2][32];
    for (int64_t c = 0; c < tile; c++) exact[0][c] = 1 / (double)theta[c], reciprocal[0][c] = (float)exact[0][c];
    for (int64_t c = 0; c < tile; c++) exact[1][c] = exact[0][c] / 2, reciprocal[1][c] = reciprocal[0][c] / 2;
    char *sent = calloc((size_t)(size * steps), sizeof(int32_t));
    const bool doubles = draw(0, 1);
    const neurons cells = {.v = once ? NULL : v, .count = !once && draw(0, 1) ? counts : NULL, .drive = drive, .start = start,
                           .theta = theta, .rounding_below = two_sided ? below : NULL,
                           .reciprocal = doubles ? (void *)exact[0] : reciprocal[0],
                           .reciprocal_below = doubles ? (void *)exact[1] : reciprocal[1], .payloads = sent, .size = size,
                           .images = 1, .tile = tile, .driven_steps = draw(0, 2), .least = format == U8 ? 0 : -90, .most = 90,
                           .rounding = (float)draw(0, 500), .count_least = -40, .count_most = 40, .reset_value = (float)draw(-9, 9),
                           .hold = (float)draw(0, 1), .payload_format = (int32_t)format, .quotient = doubles ? F64 : F32,
                           .resets = (int32_t)draw(0, 1)};
    const int64_t saturated = step_many(&cells, current, steps, size, 0, once ? 1 : steps);
    uint64_t digest = mix(1469598103934665603u + (uint64_t)saturated, sent, size * steps * (int64_t)sizeof(int32_t));
    /* values, not bytes: zeros have no sign that matters */
    for (int64_t i = 0; i < size; i++) {
        const int32_t values[2] = {(int32_t)v[i], (int32_t)counts[i]};
        digest = mix(digest, values, sizeof values);
    }
    printf("%d neurons %016llx\n", (int)call, (unsigned long long)digest);
    free(theta), free(v), free(counts), free(below), free(start), free(drive), free(current), free(sent);
}

int main(void) {
    printf("lanes %d, vectors %d\n", LANES, NR);
    for (int64_t call = 0; call < 600; call++) convolve(call);
    for (int64_t call = 0; call < 600; call++) step(call);
    return 0;
}
