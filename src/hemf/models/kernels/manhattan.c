/* Manhattan self-attention with LePE on a CPU, forward and backward; blocks/manhattan.py holds the equations.
 *
 * One item of work is one head of one image. Its map is unpacked once into floats, each of its rows and columns is
 * attended with many queries (or keys) abreast in vector registers, and only the result is written back: neither scores
 * nor rotated, cast or reordered copies of whole maps reach the memory.
 */

#include "lines.h"

#define KERNEL 5 /* side of LePE's convolution */
#define PAD 2

/* A map of one head in floats: channels next to each other, two zeros around the map, rows `row` floats apart. */
typedef struct {
    ptrdiff_t height, width, depth, row, floats, period;
} Shape;

static Shape shape_of(ptrdiff_t height, ptrdiff_t width, ptrdiff_t depth) {
    Shape s = {height, width, depth, 0, 0, LANES};
    while (s.period % depth) s.period += LANES;
    s.row = up((width + 2 * PAD) * depth + s.period, LANES);
    s.floats = (height + 2 * PAD) * s.row + s.period;
    return s;
}

INLINE ptrdiff_t at(const Shape *s, ptrdiff_t y, ptrdiff_t x) { return (y + PAD) * s->row + (x + PAD) * s->depth; }

/* Maps (B, H, W, heads * depth) in memory, in float32 or bfloat16, their tokens `stride` numbers apart. */
typedef struct {
    Shape s;
    ptrdiff_t stride;
    int bfloat16;
} Maps;

INLINE ptrdiff_t token(const Maps *m, ptrdiff_t image, ptrdiff_t head, ptrdiff_t y, ptrdiff_t x) {
    return ((image * m->s.height + y) * m->s.width + x) * m->stride + head * m->s.depth;
}

static void unpack(const Maps *m, ptrdiff_t image, ptrdiff_t head, const void *from, float *to) {
    for (ptrdiff_t y = 0; y < m->s.height; y++)
        for (ptrdiff_t x = 0; x < m->s.width; x++)
            read_token(from, token(m, image, head, y, x), m->bfloat16, m->s.depth, to + at(&m->s, y, x));
}

static void pack(const Maps *m, ptrdiff_t image, ptrdiff_t head, const float *from, void *to) {
    for (ptrdiff_t y = 0; y < m->s.height; y++)
        for (ptrdiff_t x = 0; x < m->s.width; x++)
            write_token(from + at(&m->s, y, x), token(m, image, head, y, x), m->bfloat16, m->s.depth, to);
}

/* Turn every pair of channels by its token's angle (back for sign -1) and scale it.
 * rotation (H, W, heads * depth / 2, 2) is the same for every head. */
static void rotate(const Shape *s, ptrdiff_t heads, float *map, const float *rotation, float sign, float scale) {
    for (ptrdiff_t y = 0; y < s->height; y++)
        for (ptrdiff_t x = 0; x < s->width; x++) {
            float *restrict pair = map + at(s, y, x);
            const float *restrict turn = rotation + (y * s->width + x) * heads * s->depth;
            for (ptrdiff_t c = 0; c < s->depth; c += 2) {
                float cosine = turn[c] * scale, sine = turn[c + 1] * (sign * scale);
                float first = pair[c], second = pair[c + 1];
                pair[c] = first * cosine - second * sine;
                pair[c + 1] = second * cosine + first * sine;
            }
        }
}

/* What a line's attention works in. distance[middle + t] is the bias, in powers of two, of tokens t apart. */
typedef struct {
    float *columns, *others, *scores, *products, *highest, *inverse, *correction, *distance;
    ptrdiff_t middle;
} Bench;

static void set_distances(const Bench *w, float *distance, const float *bias, ptrdiff_t length) {
    for (ptrdiff_t t = 0; t < w->middle; t++) {
        float value = t < length ? bias[t] * LOG2E : 0.0f;
        distance[w->middle + t] = distance[w->middle - t] = value;
    }
}

static void scores(const Line *l, const Bench *w, ptrdiff_t tile, const float *rows) {
    dots(l, w->columns + tile * l->depth, rows, w->distance + w->middle + tile, -1, w->scores);
}

/* out += softmax(q k + distance) v along one line; q is scaled, in powers of two. */
static void attend(const Line *l, const Bench *w, const float *q, const float *k, const float *v, float *out) {
    transpose(l, q, w->columns);
    for (ptrdiff_t tile = 0; tile < l->length; tile += LANES) {
        vec top;
        scores(l, w, tile, k);
        vec sum = exponentials(l, w->scores, &top);
        mix(l, w->scores, v, 1.0f / sum, here(l->length, tile), l->step, out + tile * l->step);
    }
}

/* Add to dq, dk and dv the gradients of `attend` for the gradient g of its output. */
static void attend_backward(const Line *l, const Bench *w, const float *q, const float *k, const float *v, const float *g,
                            float scale, float *dq, float *dk, float *dv) {
    transpose(l, q, w->columns);
    transpose(l, g, w->others);
    for (ptrdiff_t tile = 0; tile < l->length; tile += LANES) { /* queries abreast */
        vec top, correction = {};
        scores(l, w, tile, k);
        products(l, w->others + tile * l->depth, v, w->products);
        vec sum = exponentials(l, w->scores, &top), inverse = 1.0f / sum;
        for (ptrdiff_t j = 0; j < l->length; j++)
            correction += load(w->scores + j * LANES) * load(w->products + j * LANES);
        correction *= inverse;
        for (ptrdiff_t j = 0; j < l->length; j++)
            store(w->scores + j * LANES, load(w->scores + j * LANES) * (load(w->products + j * LANES) - correction));
        mix(l, w->scores, k, inverse * scale, here(l->length, tile), l->step, dq + tile * l->step);
        store(w->highest + tile, top);
        store(w->inverse + tile, inverse);
        store(w->correction + tile, correction);
    }
    transpose(l, k, w->columns);
    transpose(l, v, w->others);
    for (ptrdiff_t tile = 0; tile < l->length; tile += LANES) { /* keys abreast */
        scores(l, w, tile, q);
        products(l, w->others + tile * l->depth, g, w->products);
        for (ptrdiff_t i = 0; i < l->length; i++) {
            vec p = exp2_nonpositive(load(w->scores + i * LANES) - w->highest[i]) * w->inverse[i];
            store(w->scores + i * LANES, p);
            store(w->products + i * LANES, p * (load(w->products + i * LANES) - w->correction[i]));
        }
        mix(l, w->scores, g, all(1), here(l->length, tile), l->step, dv + tile * l->step);
        mix(l, w->products, q, all(LN2), here(l->length, tile), l->step, dk + tile * l->step);
    }
}

/* LePE's weights (depth, 5, 5) and bias as (26, period): what the vectors along a row meet.
 * Without a bias, for the gradient of v: zeros, and the weights turned round. */
static void spread_weights(const Shape *s, const float *weight, const float *bias, float *out) {
    for (int n = 0; n < KERNEL * KERNEL; n++)
        for (ptrdiff_t t = 0; t < s->period; t++)
            out[n * s->period + t] = weight[t % s->depth * KERNEL * KERNEL + (bias ? n : KERNEL * KERNEL - 1 - n)];
    for (ptrdiff_t t = 0; t < s->period; t++) out[KERNEL * KERNEL * s->period + t] = bias ? bias[t % s->depth] : 0.0f;
}

/* out = the depthwise convolution of v. */
static void convolve(const Shape *s, const float *v, const float *weights, float *out) {
    for (ptrdiff_t y = 0; y < s->height; y++) {
        const float *corner = v + at(s, y - PAD, -PAD);
        float *to = out + at(s, y, 0);
        for (ptrdiff_t t = 0; t < s->width * s->depth; t += s->period)
            for (ptrdiff_t part = t; part < t + s->period; part += LANES) {
                const float *weight = weights + part - t;
                vec sum[KERNEL] = {load(weight + KERNEL * KERNEL * s->period)};
                for (int dy = 0; dy < KERNEL; dy++)
                    for (int dx = 0; dx < KERNEL; dx++)
                        sum[dx] += load(corner + dy * s->row + part + dx * s->depth) *
                                   load(weight + (dy * KERNEL + dx) * s->period);
                store(to + part, ((sum[0] + sum[1]) + (sum[2] + sum[3])) + sum[4]);
            }
    }
}

/* dweight (depth, 5, 5) and dbias (depth), written, from v and the gradient g of the convolution's output. */
static void convolve_backward(const Shape *s, const float *v, const float *g, float *dweight, float *dbias) {
    memset(dweight, 0, sizeof(float) * s->depth * KERNEL * KERNEL);
    memset(dbias, 0, sizeof(float) * s->depth);
    for (int dy = 0; dy < KERNEL; dy++)
        for (ptrdiff_t part = 0; part < s->period; part += LANES) {
            vec sum[KERNEL] = {}, total = {};
            for (ptrdiff_t y = 0; y < s->height; y++)
                for (ptrdiff_t t = part; t < s->width * s->depth; t += s->period) {
                    vec x = load(g + at(s, y, 0) + t);
                    total += x;
                    for (int dx = 0; dx < KERNEL; dx++)
                        sum[dx] += x * load(v + at(s, y - PAD + dy, dx - PAD) + t);
                }
            for (int i = 0; i < LANES; i++) {
                ptrdiff_t c = (part + i) % s->depth;
                for (int dx = 0; dx < KERNEL; dx++)
                    dweight[c * KERNEL * KERNEL + dy * KERNEL + dx] += ((float *)&sum[dx])[i];
                if (dy == 0) dbias[c] += ((float *)&total)[i];
            }
        }
}

/* The maps of a desk; OUT and GRAD take the same place in different passes. */
enum { Q, K, V, BETWEEN, OUT, GRAD = OUT, FORWARD_MAPS, GRAD_Q = FORWARD_MAPS, GRAD_K, GRAD_V, GRAD_BETWEEN, BACKWARD_MAPS };

/* Everything one thread works in: `count` maps and the bench, in one piece of memory. */
typedef struct {
    float *memory, *map[BACKWARD_MAPS], *weights, *rows, *columns;
    Bench bench;
} Desk;

static int open_desk(Desk *desk, const Shape *s, int maps) {
    const ptrdiff_t longest = up(s->height > s->width ? s->height : s->width, LANES), table = 2 * (longest + LANES);
    Bench *w = &desk->bench;
    Piece pieces[BACKWARD_MAPS + 10] = {
        {&desk->weights, (KERNEL * KERNEL + 1) * s->period},
        {&desk->rows, table},
        {&desk->columns, table},
        {&w->columns, longest * s->depth},
        {&w->others, longest * s->depth},
        {&w->scores, longest * LANES},
        {&w->products, longest * LANES},
        {&w->highest, longest},
        {&w->inverse, longest},
        {&w->correction, longest},
    };
    for (int i = 0; i < maps; i++) pieces[10 + i] = (Piece){&desk->map[i], s->floats};
    w->middle = longest + LANES;
    desk->memory = allot(pieces, 10 + maps);
    return desk->memory != NULL;
}

/* What both passes are given, as manhattan.py's `Problem` lays it out. */
typedef struct {
    ptrdiff_t batch, height, width, heads, depth, stride, bfloat16, threads;
    const float *rotation, *row_bias, *column_bias, *weight;
    const void *q, *k, *v;
    float scale;
} Problem;

static Maps inputs_of(const Problem *p) { return (Maps){shape_of(p->height, p->width, p->depth), p->stride, p->bfloat16}; }
static Maps outputs_of(const Problem *p) {
    return (Maps){shape_of(p->height, p->width, p->depth), p->heads * p->depth, p->bfloat16};
}
static Line row_of(const Shape *s) { return (Line){s->width, s->depth, s->depth}; }
static Line column_of(const Shape *s) { return (Line){s->height, s->row, s->depth}; }

/* One head's q, scaled and in powers of two, k and v; what its rows make of v, which is the columns' v. */
static void attend_rows(const Problem *p, Desk *desk, ptrdiff_t image, ptrdiff_t head) {
    const Maps in = inputs_of(p);
    const Shape *s = &in.s;
    const Line row = row_of(s);
    set_distances(&desk->bench, desk->columns, p->column_bias + head * p->height * p->height, p->height);
    set_distances(&desk->bench, desk->rows, p->row_bias + head * p->width * p->width, p->width);
    unpack(&in, image, head, p->q, desk->map[Q]);
    unpack(&in, image, head, p->k, desk->map[K]);
    unpack(&in, image, head, p->v, desk->map[V]);
    rotate(s, p->heads, desk->map[Q], p->rotation, 1, p->scale * LOG2E);
    rotate(s, p->heads, desk->map[K], p->rotation, 1, 1);
    memset(desk->map[BETWEEN], 0, sizeof(float) * s->floats);
    desk->bench.distance = desk->rows;
    for (ptrdiff_t y = 0; y < p->height; y++) {
        ptrdiff_t o = at(s, y, 0);
        attend(&row, &desk->bench, desk->map[Q] + o, desk->map[K] + o, desk->map[V] + o, desk->map[BETWEEN] + o);
    }
}

static void forward(const Problem *p, Desk *desk, ptrdiff_t image, ptrdiff_t head, const float *bias, void *out) {
    const Maps maps = outputs_of(p);
    const Shape *s = &maps.s;
    const Line column = column_of(s);
    attend_rows(p, desk, image, head);
    spread_weights(s, p->weight + head * p->depth * KERNEL * KERNEL, bias + head * p->depth, desk->weights);
    convolve(s, desk->map[V], desk->weights, desk->map[OUT]);
    desk->bench.distance = desk->columns;
    for (ptrdiff_t x = 0; x < p->width; x++) {
        ptrdiff_t o = at(s, 0, x);
        attend(&column, &desk->bench, desk->map[Q] + o, desk->map[K] + o, desk->map[BETWEEN] + o, desk->map[OUT] + o);
    }
    pack(&maps, image, head, desk->map[OUT], out);
}

static void backward(const Problem *p, Desk *desk, ptrdiff_t image, ptrdiff_t head, const void *grad, void *dq, void *dk,
                     void *dv, float *dweight, float *dbias) {
    const Maps maps = outputs_of(p);
    const Shape *s = &maps.s;
    const Line row = row_of(s), column = column_of(s);
    float **map = desk->map;
    attend_rows(p, desk, image, head);
    unpack(&maps, image, head, grad, map[GRAD]);
    memset(map[GRAD_Q], 0, sizeof(float) * s->floats);
    memset(map[GRAD_K], 0, sizeof(float) * s->floats);
    memset(map[GRAD_BETWEEN], 0, sizeof(float) * s->floats);
    desk->bench.distance = desk->columns;
    for (ptrdiff_t x = 0; x < p->width; x++) {
        ptrdiff_t o = at(s, 0, x);
        attend_backward(&column, &desk->bench, map[Q] + o, map[K] + o, map[BETWEEN] + o, map[GRAD] + o, p->scale,
                        map[GRAD_Q] + o, map[GRAD_K] + o, map[GRAD_BETWEEN] + o);
    }
    spread_weights(s, p->weight + head * p->depth * KERNEL * KERNEL, 0, desk->weights);
    convolve(s, map[GRAD], desk->weights, map[GRAD_V]);
    desk->bench.distance = desk->rows;
    for (ptrdiff_t y = 0; y < p->height; y++) {
        ptrdiff_t o = at(s, y, 0);
        attend_backward(&row, &desk->bench, map[Q] + o, map[K] + o, map[V] + o, map[GRAD_BETWEEN] + o, p->scale,
                        map[GRAD_Q] + o, map[GRAD_K] + o, map[GRAD_V] + o);
    }
    rotate(s, p->heads, map[GRAD_Q], p->rotation, -1, 1);
    rotate(s, p->heads, map[GRAD_K], p->rotation, -1, 1);
    pack(&maps, image, head, map[GRAD_Q], dq);
    pack(&maps, image, head, map[GRAD_K], dk);
    pack(&maps, image, head, map[GRAD_V], dv);
    ptrdiff_t first = (image * p->heads + head) * p->depth;
    convolve_backward(s, map[V], map[GRAD], dweight + first * KERNEL * KERNEL, dbias + first);
}

/* Both return 0, or 1 where there was not memory enough. */
int manhattan_forward(const Problem *p, const float *bias, void *out) {
    const Shape s = shape_of(p->height, p->width, p->depth);
    int failed = 0;
#pragma omp parallel num_threads(p->threads) reduction(| : failed)
    {
        Desk desk;
        failed = !open_desk(&desk, &s, FORWARD_MAPS);
#pragma omp for schedule(dynamic)
        for (ptrdiff_t item = 0; item < p->batch * p->heads; item++)
            if (!failed) forward(p, &desk, item / p->heads, item % p->heads, bias, out);
        free(desk.memory);
    }
    return failed;
}

int manhattan_backward(const Problem *p, const void *grad, void *dq, void *dk, void *dv, float *dweight, float *dbias) {
    const Shape s = shape_of(p->height, p->width, p->depth);
    int failed = 0;
#pragma omp parallel num_threads(p->threads) reduction(| : failed)
    {
        Desk desk;
        failed = !open_desk(&desk, &s, BACKWARD_MAPS);
#pragma omp for schedule(dynamic)
        for (ptrdiff_t item = 0; item < p->batch * p->heads; item++)
            if (!failed) backward(p, &desk, item / p->heads, item % p->heads, grad, dq, dk, dv, dweight, dbias);
        free(desk.memory);
    }
    return failed;
}
