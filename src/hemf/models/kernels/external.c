/* External attention on a CPU, forward and backward; blocks/external.py holds the equations.
 *
 * One item of work is one head of one image. Its tokens pass three times, LANES of them abreast: for each unit's highest
 * score, for its sum of exponentials, and for the output. Scores are computed again each time rather than kept.
 */

#include "lines.h"

#define STRETCH 64 /* tokens that are summed over at a time while units lie abreast */

/* As external.py's `Problem` lays it out. */
typedef struct {
    ptrdiff_t batch, tokens, heads, depth, units, bfloat16, threads;
    const void *x;           /* (batch, tokens, heads, depth) */
    const float *key, *value; /* (units, depth) both */
} Problem;

/* Everything one thread works in. `unit` are tables of (units, LANES). */
typedef struct {
    float *memory, *x, *g, *out, *x_columns, *g_columns, *key, *key_columns, *value_columns;
    float *scores, *products, *attention, *unit, *weighted, *total, *highest, *inverse, *correction;
} Desk;

static int open_desk(Desk *desk, const Problem *p) {
    const ptrdiff_t n = up(p->tokens, LANES), m = up(p->units, LANES), rows = m > STRETCH ? m : STRETCH;
    const Piece pieces[] = {
        {&desk->x, n * p->depth},
        {&desk->x_columns, n * p->depth},
        {&desk->g, n * p->depth},
        {&desk->g_columns, n * p->depth},
        {&desk->out, n * p->depth},
        {&desk->key, m * p->depth},
        {&desk->key_columns, m * p->depth},
        {&desk->value_columns, m * p->depth},
        {&desk->weighted, m * p->depth},
        {&desk->scores, rows * LANES},
        {&desk->products, rows * LANES},
        {&desk->attention, STRETCH * LANES},
        {&desk->unit, m * LANES},
        {&desk->total, m},
        {&desk->highest, n},
        {&desk->inverse, n},
        {&desk->correction, n},
    };
    desk->memory = allot(pieces, sizeof pieces / sizeof *pieces);
    if (!desk->memory) return 0;
    for (ptrdiff_t i = 0; i < p->units * p->depth; i++) desk->key[i] = p->key[i] * LOG2E;
    return 1;
}

INLINE ptrdiff_t first(const Problem *p, ptrdiff_t image, ptrdiff_t head, ptrdiff_t token) {
    return ((image * p->tokens + token) * p->heads + head) * p->depth;
}

static void unpack(const Problem *p, ptrdiff_t image, ptrdiff_t head, const void *from, float *to, float *columns) {
    for (ptrdiff_t n = 0; n < p->tokens; n++)
        read_token(from, first(p, image, head, n), p->bfloat16, p->depth, to + n * p->depth);
    transpose(&(Line){p->tokens, p->depth, p->depth}, to, columns);
}

static void pack(const Problem *p, ptrdiff_t image, ptrdiff_t head, const float *from, void *to) {
    for (ptrdiff_t n = 0; n < p->tokens; n++)
        write_token(from + n * p->depth, first(p, image, head, n), p->bfloat16, p->depth, to);
}

/* 0 in the lanes that hold a token, -infinity in the others. */
INLINE vec absent(ptrdiff_t tokens) {
    vec mask = {};
    for (int i = 0; i < LANES; i++)
        if (i >= tokens) mask[i] = -INFINITY;
    return mask;
}

static void scores_from(const Line *units, const Desk *desk, ptrdiff_t tile) {
    dots(units, desk->x_columns + tile * units->depth, desk->key, desk->unit, LANES, desk->scores);
}

static void set_units(const Desk *desk, ptrdiff_t units, const float *values) {
    for (ptrdiff_t m = 0; m < units; m++) store(desk->unit + m * LANES, all(-values[m]));
}

/* The logarithm, of base two, of each unit's sum of exponentials over the tokens. */
static void sum_over_tokens(const Problem *p, const Desk *desk, const Line *units, float *logarithm) {
    float *sums = desk->unit;
    for (ptrdiff_t m = 0; m < p->units; m++) store(sums + m * LANES, all(-INFINITY));
    for (ptrdiff_t tile = 0; tile < p->tokens; tile += LANES) {
        vec mask = absent(p->tokens - tile);
        products(units, desk->x_columns + tile * p->depth, desk->key, desk->scores);
        for (ptrdiff_t m = 0; m < p->units; m++)
            store(sums + m * LANES, larger(load(desk->scores + m * LANES) + mask, load(sums + m * LANES)));
    }
    for (ptrdiff_t m = 0; m < p->units; m++) {
        float top = sums[m * LANES];
        for (int i = 1; i < LANES; i++) top = sums[m * LANES + i] > top ? sums[m * LANES + i] : top;
        logarithm[m] = top;
    }
    memset(sums, 0, sizeof(float) * p->units * LANES);
    for (ptrdiff_t tile = 0; tile < p->tokens; tile += LANES) {
        vec mask = absent(p->tokens - tile);
        products(units, desk->x_columns + tile * p->depth, desk->key, desk->scores);
        for (ptrdiff_t m = 0; m < p->units; m++) {
            vec e = exp2_nonpositive(load(desk->scores + m * LANES) + (mask - logarithm[m]));
            store(sums + m * LANES, load(sums + m * LANES) + e);
        }
    }
    for (ptrdiff_t m = 0; m < p->units; m++) {
        float sum = 0;
        for (int i = 0; i < LANES; i++) sum += sums[m * LANES + i];
        logarithm[m] += log2f(sum);
    }
}

static void forward(const Problem *p, Desk *desk, ptrdiff_t image, ptrdiff_t head, void *out, float *logarithm) {
    const Line units = {p->units, p->depth, p->depth};
    unpack(p, image, head, p->x, desk->x, desk->x_columns);
    sum_over_tokens(p, desk, &units, logarithm);
    set_units(desk, p->units, logarithm);
    memset(desk->out, 0, sizeof(float) * p->tokens * p->depth);
    for (ptrdiff_t tile = 0; tile < p->tokens; tile += LANES) {
        vec top;
        scores_from(&units, desk, tile);
        vec sum = exponentials(&units, desk->scores, &top);
        mix(&units, desk->scores, p->value, 1.0f / sum, here(p->tokens, tile), p->depth, desk->out + tile * p->depth);
    }
    pack(p, image, head, desk->out, out);
}

/* Of each token: its highest score, the inverse of its sum, and the sum over the units of a da, as named below. */
static void correct_tokens(const Problem *p, const Desk *desk, const Line *units) {
    for (ptrdiff_t tile = 0; tile < p->tokens; tile += LANES) {
        vec top, correction = {};
        scores_from(units, desk, tile);
        products(units, desk->g_columns + tile * p->depth, p->value, desk->products);
        vec inverse = 1.0f / exponentials(units, desk->scores, &top);
        for (ptrdiff_t m = 0; m < p->units; m++)
            correction += load(desk->scores + m * LANES) * load(desk->products + m * LANES);
        store(desk->highest + tile, top);
        store(desk->inverse + tile, inverse);
        store(desk->correction + tile, correction * inverse);
    }
}

/* Units abreast: the gradients of both memories, and in desk->total the sum of l over the tokens. */
static void differentiate_units(const Problem *p, const Desk *desk, const Line *units, const float *logarithm, float *dkey,
                                float *dvalue) {
    transpose(units, desk->key, desk->key_columns);
    transpose(units, p->value, desk->value_columns);
    memset(desk->weighted, 0, sizeof(float) * p->units * p->depth);
    memset(dkey, 0, sizeof(float) * p->units * p->depth);
    memset(dvalue, 0, sizeof(float) * p->units * p->depth);
    for (ptrdiff_t tile = 0; tile < p->units; tile += LANES) {
        const ptrdiff_t at = tile * p->depth, count = here(p->units, tile);
        vec total = {};
        float start[LANES] = {};
        for (int i = 0; i < count; i++) start[i] = -logarithm[tile + i];
        for (ptrdiff_t n = 0; n < p->tokens; n += STRETCH) {
            const Line row = {p->tokens - n < STRETCH ? p->tokens - n : STRETCH, p->depth, p->depth};
            const float *x = desk->x + n * p->depth, *g = desk->g + n * p->depth;
            dots(&row, desk->key_columns + at, x, start, 0, desk->scores);
            products(&row, desk->value_columns + at, g, desk->products);
            for (ptrdiff_t i = 0; i < row.length; i++) {
                vec score = load(desk->scores + i * LANES);
                vec a = exp2_nonpositive(score - desk->highest[n + i]) * desk->inverse[n + i];
                vec l = a * (load(desk->products + i * LANES) - desk->correction[n + i]);
                total += l;
                store(desk->attention + i * LANES, a);
                store(desk->products + i * LANES, l);
                store(desk->scores + i * LANES, exp2_nonpositive(score));
            }
            mix(&row, desk->attention, g, all(1), count, p->depth, dvalue + at);
            mix(&row, desk->products, x, all(1), count, p->depth, dkey + at);
            mix(&row, desk->scores, x, all(1), count, p->depth, desk->weighted + at);
        }
        store(desk->total + tile, total);
    }
    for (ptrdiff_t i = 0; i < p->units * p->depth; i++) dkey[i] -= desk->total[i / p->depth] * desk->weighted[i];
}

/* With scores s, t a unit's logarithm, a = softmax(s - t) over the units and da the gradient of a:
 * l = a (da - the sum of a da over the units) is the gradient of s - t,
 * and that of s is l - exp(s - t) * the sum of l over the tokens. */
static void backward(const Problem *p, Desk *desk, ptrdiff_t image, ptrdiff_t head, const float *logarithm,
                     const void *grad, void *dx, float *dkey, float *dvalue) {
    const Line units = {p->units, p->depth, p->depth};
    unpack(p, image, head, p->x, desk->x, desk->x_columns);
    unpack(p, image, head, grad, desk->g, desk->g_columns);
    set_units(desk, p->units, logarithm);
    correct_tokens(p, desk, &units);
    differentiate_units(p, desk, &units, logarithm, dkey, dvalue);
    memset(desk->out, 0, sizeof(float) * p->tokens * p->depth);
    for (ptrdiff_t tile = 0; tile < p->tokens; tile += LANES) {
        const vec top = load(desk->highest + tile), inverse = load(desk->inverse + tile);
        const vec correction = load(desk->correction + tile);
        scores_from(&units, desk, tile);
        products(&units, desk->g_columns + tile * p->depth, p->value, desk->products);
        for (ptrdiff_t m = 0; m < p->units; m++) {
            vec score = load(desk->scores + m * LANES);
            vec l = exp2_nonpositive(score - top) * inverse * (load(desk->products + m * LANES) - correction);
            store(desk->scores + m * LANES, l - exp2_nonpositive(score) * desk->total[m]);
        }
        mix(&units, desk->scores, p->key, all(1), here(p->tokens, tile), p->depth, desk->out + tile * p->depth);
    }
    pack(p, image, head, desk->out, dx);
}

/* Both return 0, or 1 where there was not memory enough. logarithm: (batch, heads, units). */
int external_forward(const Problem *p, void *out, float *logarithm) {
    int failed = 0;
#pragma omp parallel num_threads(p->threads) reduction(| : failed)
    {
        Desk desk;
        failed = !open_desk(&desk, p);
#pragma omp for schedule(dynamic)
        for (ptrdiff_t item = 0; item < p->batch * p->heads; item++)
            if (!failed) forward(p, &desk, item / p->heads, item % p->heads, out, logarithm + item * p->units);
        free(desk.memory);
    }
    return failed;
}

/* dkey and dvalue: (batch, heads, units, depth), each item's part. */
int external_backward(const Problem *p, const float *logarithm, const void *grad, void *dx, float *dkey, float *dvalue) {
    const ptrdiff_t memory = p->units * p->depth;
    int failed = 0;
#pragma omp parallel num_threads(p->threads) reduction(| : failed)
    {
        Desk desk;
        failed = !open_desk(&desk, p);
#pragma omp for schedule(dynamic)
        for (ptrdiff_t item = 0; item < p->batch * p->heads; item++)
            if (!failed)
                backward(p, &desk, item / p->heads, item % p->heads, logarithm + item * p->units, grad, dx,
                         dkey + item * memory, dvalue + item * memory);
        free(desk.memory);
    }
    return failed;
}
