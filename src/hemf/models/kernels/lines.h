/* What both attentions are made of: products of one line of tokens with another, LANES tokens abreast.
 *
 * Compiled once for each instruction set by build.py; sums are in float32, scores in powers of two.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#error "written for AVX2 and AVX-512"
#endif
#define BLOCK 8 /* accumulators that fit into the registers beside what they are made from */

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef float quad __attribute__((vector_size(16)));
typedef int32_t iquad __attribute__((vector_size(16)));
typedef uint32_t uquad __attribute__((vector_size(16)));
typedef uint16_t halves __attribute__((vector_size(8)));
typedef float unaligned_quad __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint16_t unaligned_halves __attribute__((vector_size(8), aligned(2), may_alias));
typedef float unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define LOG2E 1.44269504088896341f
#define LN2 0.693147180559945309f

INLINE vec load(const float *from) { return *(const unaligned *)from; }
INLINE void store(float *to, vec x) { *(unaligned *)to = x; }
INLINE vec all(float x) { return (vec){} + x; }
INLINE quad load4(const float *from) { return *(const unaligned_quad *)from; }
INLINE void store4(float *to, quad x) { *(unaligned_quad *)to = x; }
INLINE vec larger(vec a, vec b) { /* b where either is no number */
    ivec first = a > b;
    return (vec)(((ivec)a & first) | ((ivec)b & ~first));
}

/* 2^x for x <= 0, to 1 unit in the last place or so; no less than 2^-125. */
INLINE vec exp2_nonpositive(vec x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, which its low bits hold */
    x = larger(all(-125), x);
    vec rounded = x + magic;
    vec f = x - (rounded - magic);
    ivec exponent = (ivec)rounded << 23;
    vec p = f * 1.535336188319500e-4f + 1.339887440266574e-3f;
    p = p * f + 9.618437357674640e-3f;
    p = p * f + 5.550332471162809e-2f;
    p = p * f + 2.402264791363012e-1f;
    p = p * f + 6.931472028550421e-1f;
    p = p * f + 1.0f;
    return (vec)((ivec)p + exponent);
}

INLINE ptrdiff_t up(ptrdiff_t x, ptrdiff_t multiple) { return (x + multiple - 1) / multiple * multiple; }

INLINE quad from_bfloat16(halves x) { return (quad)(__builtin_convertvector(x, uquad) << 16); }

INLINE halves to_bfloat16(quad x) { /* to the nearest, ties to even; what is no number stays none */
    uquad bits = (uquad)x, none = (uquad)((iquad)(bits & 0x7fffffff) > 0x7f800000);
    uquad nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return __builtin_convertvector((nearest & ~none) | (none & 0x7fc0), halves);
}

/* `depth` numbers of a tensor in float32 or bfloat16, the first of them number `first`, to floats and back. */
INLINE void read_token(const void *from, ptrdiff_t first, int bfloat16, ptrdiff_t depth, float *restrict to) {
    const uint16_t *half = (const uint16_t *)from + first;
    const float *full = (const float *)from + first;
    ptrdiff_t c = 0;
    if (bfloat16) {
        for (; c + 4 <= depth; c += 4) store4(to + c, from_bfloat16(*(const unaligned_halves *)(half + c)));
        for (; c < depth; c++) to[c] = from_bfloat16((halves){half[c]})[0];
    } else {
        for (; c + 4 <= depth; c += 4) store4(to + c, load4(full + c));
        for (; c < depth; c++) to[c] = full[c];
    }
}

INLINE void write_token(const float *restrict from, ptrdiff_t first, int bfloat16, ptrdiff_t depth, void *to) {
    uint16_t *half = (uint16_t *)to + first;
    float *full = (float *)to + first;
    ptrdiff_t c = 0;
    if (bfloat16) {
        for (; c + 4 <= depth; c += 4) *(unaligned_halves *)(half + c) = to_bfloat16(load4(from + c));
        for (; c < depth; c++) half[c] = to_bfloat16((quad){from[c]})[0];
    } else {
        for (; c + 4 <= depth; c += 4) store4(full + c, load4(from + c));
        for (; c < depth; c++) full[c] = from[c];
    }
}

/* A line of tokens: `length` of them, `step` floats apart. Its columns are its transpose, LANES tokens side by side. */
typedef struct {
    ptrdiff_t length, step, depth;
} Line;

/* Four rows of four to four columns. */
INLINE void turn(quad x[4]) {
    quad a = __builtin_shuffle(x[0], x[1], (iquad){0, 4, 1, 5}), b = __builtin_shuffle(x[0], x[1], (iquad){2, 6, 3, 7});
    quad c = __builtin_shuffle(x[2], x[3], (iquad){0, 4, 1, 5}), d = __builtin_shuffle(x[2], x[3], (iquad){2, 6, 3, 7});
    x[0] = __builtin_shuffle(a, c, (iquad){0, 1, 4, 5});
    x[1] = __builtin_shuffle(a, c, (iquad){2, 3, 6, 7});
    x[2] = __builtin_shuffle(b, d, (iquad){0, 1, 4, 5});
    x[3] = __builtin_shuffle(b, d, (iquad){2, 3, 6, 7});
}

static void transpose(const Line *l, const float *restrict line, float *restrict columns) {
    ptrdiff_t tiles = up(l->length, LANES), i = 0, fours = l->depth & ~(ptrdiff_t)3;
    for (; i < tiles; i += 4) {
        float *to = columns + i / LANES * LANES * l->depth + i % LANES;
        ptrdiff_t c = 0;
        if (i + 4 <= l->length)
            for (; c < fours; c += 4) {
                quad x[4];
                for (int n = 0; n < 4; n++) x[n] = load4(line + (i + n) * l->step + c);
                turn(x);
                for (int n = 0; n < 4; n++) store4(to + (c + n) * LANES, x[n]);
            }
        for (; c < l->depth; c++)
            for (int n = 0; n < 4; n++) to[c * LANES + n] = i + n < l->length ? line[(i + n) * l->step + c] : 0.0f;
    }
}

INLINE void dots_block(const int n, const Line *l, const float *columns, const float *rows, const float *start,
                       ptrdiff_t apart, float *out) {
    vec sum[BLOCK] = {};
    for (ptrdiff_t c = 0; c < l->depth; c++) {
        vec x = load(columns + c * LANES);
        for (int b = 0; b < n; b++) sum[b] += x * rows[b * l->step + c];
    }
    for (int b = 0; b < n; b++) store(out + b * LANES, start ? sum[b] + load(start + b * apart) : sum[b]);
}

/* out[j] = the products of LANES tokens, in columns, with token j of the line `rows`; plus start[j * apart], if given.
 * The products are the same to the bit whichever side is abreast, so that no score exceeds what it was normalised by. */
INLINE void dots(const Line *l, const float *columns, const float *rows, const float *start, ptrdiff_t apart, float *out) {
    ptrdiff_t j = 0;
    for (; j + BLOCK <= l->length; j += BLOCK, rows += BLOCK * l->step, out += BLOCK * LANES, start += BLOCK * apart)
        dots_block(BLOCK, l, columns, rows, start, apart, out);
    for (; j + 2 <= l->length; j += 2, rows += 2 * l->step, out += 2 * LANES, start += 2 * apart)
        dots_block(2, l, columns, rows, start, apart, out);
    if (j < l->length) dots_block(1, l, columns, rows, start, apart, out);
}

static void products(const Line *l, const float *columns, const float *rows, float *out) {
    dots(l, columns, rows, 0, 0, out);
}

INLINE void mix_block(const int n, const Line *l, const float *weights, const float *rows, vec scale, ptrdiff_t here,
                      ptrdiff_t step, float *out) {
    vec sum[BLOCK] = {};
    for (ptrdiff_t j = 0; j < l->length; j++) {
        vec weight = load(weights + j * LANES);
        for (int b = 0; b < n; b++) sum[b] += weight * rows[j * l->step + b];
    }
    float spread[BLOCK][LANES];
    for (int b = 0; b < n; b++) store(spread[b], sum[b] * scale);
    ptrdiff_t i = 0;
    if (n >= 4)
        for (; i + 4 <= here; i += 4)
            for (int b = 0; b < n; b += 4) {
                quad x[4];
                for (int r = 0; r < 4; r++) x[r] = load4(spread[b + r] + i);
                turn(x);
                for (int r = 0; r < 4; r++) {
                    float *to = out + (i + r) * step + b;
                    store4(to, load4(to) + x[r]);
                }
            }
    for (; i < here; i++)
        for (int b = 0; b < n; b++) out[i * step + b] += spread[b][i];
}

/* Add to the first `here` of LANES tokens of `out`, `step` apart, the sum of weights[j] * token j of `rows`, times `scale`. */
static void mix(const Line *l, const float *weights, const float *rows, vec scale, ptrdiff_t here, ptrdiff_t step,
                float *out) {
    ptrdiff_t c = 0;
    for (; c + BLOCK <= l->depth; c += BLOCK) mix_block(BLOCK, l, weights, rows + c, scale, here, step, out + c);
    for (; c + 4 <= l->depth; c += 4) mix_block(4, l, weights, rows + c, scale, here, step, out + c);
    for (; c < l->depth; c++) mix_block(1, l, weights, rows + c, scale, here, step, out + c);
}

INLINE ptrdiff_t here(ptrdiff_t length, ptrdiff_t tile) { return length - tile < LANES ? length - tile : LANES; }

/* Scores to their exponentials below the tile's highest; the sums. */
INLINE vec exponentials(const Line *l, float *scores, vec *highest) {
    vec top[4], sum[4] = {};
    ptrdiff_t j = 0;
    for (int n = 0; n < 4; n++) top[n] = load(scores);
    for (; j + 4 <= l->length; j += 4)
        for (int n = 0; n < 4; n++) top[n] = larger(load(scores + (j + n) * LANES), top[n]);
    for (; j < l->length; j++) top[0] = larger(load(scores + j * LANES), top[0]);
    vec most = larger(larger(top[0], top[1]), larger(top[2], top[3]));
    for (j = 0; j + 4 <= l->length; j += 4)
        for (int n = 0; n < 4; n++) {
            vec e = exp2_nonpositive(load(scores + (j + n) * LANES) - most);
            store(scores + (j + n) * LANES, e);
            sum[n] += e;
        }
    for (; j < l->length; j++) {
        vec e = exp2_nonpositive(load(scores + j * LANES) - most);
        store(scores + j * LANES, e);
        sum[0] += e;
    }
    *highest = most;
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* A piece of a thread's memory: where its address goes, and its size. */
typedef struct {
    float **address;
    ptrdiff_t floats;
} Piece;

/* Zeros for all pieces at once, to be freed as one; NULL where there are not so many. */
static float *allot(const Piece *pieces, int count) {
    ptrdiff_t floats = 0;
    for (int i = 0; i < count; i++) floats += pieces[i].floats;
    float *memory = calloc(floats, sizeof(float)), *next = memory;
    for (int i = 0; memory && i < count; i++) *pieces[i].address = next, next += pieces[i].floats;
    return memory;
}
