/* Choosing the next token. Every step is a function of the logits, the options and the position,
 * so that a generation that was interrupted, moved or batched otherwise goes on with the same
 * tokens.
 *
 * Candidates have a total order: by logit, then by id. Sorting a quarter of a million of them
 * would cost more than a step of a small model, so the sorted front is made only as long as its
 * mass asks for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

lull_sampling lull_sampling_default(void)
{
    return (lull_sampling){.top_p = 1, .typical_p = 1, .repeat_penalty = 1, .penalty_window = 64};
}

double lull_uniform(uint64_t seed, uint64_t position)
{
    uint32_t c[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int i = 0; i < 10; i++) {
        uint64_t a = (uint64_t)0xD2511F53 * c[0], b = (uint64_t)0xCD9E8D57 * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ key[0], (uint32_t)b,
                            (uint32_t)(a >> 32) ^ c[3] ^ key[1], (uint32_t)a};
        memcpy(c, next, sizeof c);
        key[0] += 0x9E3779B9;
        key[1] += 0xBB67AE85;
    }
    uint64_t bits = ((uint64_t)c[0] << 32 | c[1]) >> 11;
    return (double)bits * 0x1p-53;
}

static bool has_penalties(const lull_sampling *o)
{
    bool is_on = o->repeat_penalty != 1 || o->frequency_penalty != 0 || o->presence_penalty != 0;
    return is_on && o->penalty_window != 0;
}

static lull_status check_range(bool is_good, const char *name, double value, const char *range,
                               lull_error *err)
{
    if (is_good) return LULL_OK;
    return lull_fail(err, LULL_EINVAL, "%s is %g; it must be %s", name, value, range);
}

lull_status lull_sampler_init(lull_sampler *s, const lull_sampling *o, int n_vocab, lull_error *err)
{
    *s = (lull_sampler){.options = *o, .n_vocab = n_vocab};
    lull_status st = LULL_OK;
    LULL_TRY(check_range(o->temperature >= 0 && o->temperature <= 1e4f, "temperature",
                         o->temperature, "0 or more", err));
    LULL_TRY(check_range(o->top_k >= 0, "top_k", o->top_k, "0 or more", err));
    LULL_TRY(check_range(o->top_p >= 0 && o->top_p <= 1, "top_p", o->top_p, "from 0 to 1", err));
    LULL_TRY(check_range(o->min_p >= 0 && o->min_p <= 1, "min_p", o->min_p, "from 0 to 1", err));
    LULL_TRY(check_range(o->typical_p >= 0 && o->typical_p <= 1, "typical_p", o->typical_p,
                         "from 0 to 1", err));
    LULL_TRY(check_range(o->repeat_penalty > 0 && o->repeat_penalty <= 1e4f, "repeat_penalty",
                         o->repeat_penalty, "above 0", err));
    LULL_TRY(check_range(isfinite(o->frequency_penalty), "frequency_penalty", o->frequency_penalty,
                         "a number", err));
    LULL_TRY(check_range(isfinite(o->presence_penalty), "presence_penalty", o->presence_penalty,
                         "a number", err));
    LULL_TRY(check_range(o->penalty_window >= -1, "penalty_window", o->penalty_window, "-1 or more",
                         err));
    for (size_t i = 0; i < o->n_bias; i++) {
        if (o->bias[i].token < 0 || o->bias[i].token >= n_vocab)
            return lull_fail(err, LULL_EINVAL, "logit bias names token %d; ids go from 0 to %d",
                             o->bias[i].token, n_vocab - 1);
        LULL_TRY(check_range(o->bias[i].bias < INFINITY, "a logit bias", o->bias[i].bias,
                             "finite or -infinity", err));
    }
    size_t n = (size_t)n_vocab;
    bool is_ok = true;
    if (o->temperature > 0) is_ok = (s->candidates = malloc(n * sizeof *s->candidates)) != NULL;
    if (is_ok && (o->n_bias > 0 || has_penalties(o)))
        is_ok = (s->adjusted = malloc(n * sizeof *s->adjusted)) != NULL;
    if (is_ok && has_penalties(o)) is_ok = (s->counts = calloc(n, sizeof *s->counts)) != NULL;
    if (!is_ok) st = lull_fail(err, LULL_ENOMEM, "out of memory for sampling");
done:
    if (st != LULL_OK) lull_sampler_fini(s);
    return st;
}

void lull_sampler_fini(lull_sampler *s)
{
    free(s->candidates);
    free(s->adjusted);
    free(s->counts);
    *s = (lull_sampler){0};
}

/* Penalties as their authors define them: repetition divides positive and multiplies negative
 * logits (Keskar et al. 2019); frequency and presence are subtracted (OpenAI API). */
static void penalise(lull_sampler *s, const int32_t *tokens, size_t n)
{
    const lull_sampling *o = &s->options;
    size_t window =
        o->penalty_window < 0 || (size_t)o->penalty_window > n ? n : (size_t)o->penalty_window;
    const int32_t *recent = tokens + (n - window);
    for (size_t i = 0; i < window; i++)
        if (s->counts[recent[i]] < UINT16_MAX) s->counts[recent[i]]++;
    for (size_t i = 0; i < window; i++) {
        int32_t id = recent[i];
        int count = s->counts[id];
        if (count == 0) continue; /* done at an earlier occurrence */
        s->counts[id] = 0;
        float x = s->adjusted[id];
        x = x > 0 ? x / o->repeat_penalty : x * o->repeat_penalty;
        s->adjusted[id] = x - (float)count * o->frequency_penalty - o->presence_penalty;
    }
}

/* The foremost allowed token. */
static int32_t argmax_masked(const float *x, const lull_mask *mask, int n)
{
    int32_t best = -1;
    for (size_t i = 0; !mask->bits && i < mask->n; i++)
        if (best < 0 || x[mask->ids[i]] > x[best]) best = mask->ids[i];
    for (int w = 0; mask->bits && w < (n + 63) / 64; w++)
        for (uint64_t word = mask->bits[w]; word; word &= word - 1) {
            int32_t id = w * 64 + __builtin_ctzll(word);
            if (best < 0 || x[id] > x[best]) best = id;
        }
    return best;
}

static int32_t argmax(const float *x, int n)
{
    float top = x[0];
    for (int i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i++)
        if (x[i] == top) return i;
    return 0; /* every value is NaN or banned */
}

static bool is_before(const lull_candidate *a, const lull_candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

/* Let c[i] sink to where the heap of n, the hindmost candidate on top, has its place. */
static void sink(lull_candidate *c, size_t n, size_t i)
{
    lull_candidate x = c[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_before(&c[child], &c[child + 1])) child++;
        if (!is_before(&x, &c[child])) break;
        c[i] = c[child];
    }
    c[i] = x;
}

/* Heapsort: qsort of the C library may ask for memory. */
static void sort_candidates(lull_candidate *c, size_t n)
{
    for (size_t i = n / 2; i-- > 0;) sink(c, n, i);
    for (size_t end = n; end-- > 1;) {
        lull_candidate last = c[end];
        c[end] = c[0];
        c[0] = last;
        sink(c, end, 0);
    }
}

/* Rearrange so that the first k of n are the foremost k (quickselect, middle element as pivot),
 * then sort those. */
static void bring_forward(lull_candidate *c, size_t n, size_t k)
{
    size_t lo = 0, hi = n;
    while (k < n && hi - lo > 1) {
        lull_candidate pivot = c[lo + (hi - lo) / 2];
        size_t i = lo, j = hi - 1;
        for (;;) {
            while (is_before(&c[i], &pivot)) i++;
            while (is_before(&pivot, &c[j])) j--;
            if (i >= j) break;
            lull_candidate t = c[i];
            c[i] = c[j];
            c[j] = t;
            i++;
            j--;
        }
        /* [lo, i) stands before or at the pivot, [i, hi) at or behind it */
        if (k <= i)
            hi = i == hi ? hi - 1 : i;
        else
            lo = i == lo ? lo + 1 : i;
        if (k == lo || k == hi) break;
    }
    sort_candidates(c, k < n ? k : n);
}

/* The shortest sorted front of c [n] whose p add up to `mass`; at least 1. */
static size_t take_mass(lull_candidate *c, size_t n, double mass)
{
    double sum = 0;
    size_t i = 0;
    for (size_t front = 128; i < n; front *= 8) {
        size_t end = front < n ? front : n;
        bring_forward(c + i, n - i, end - i);
        for (; i < end; i++) {
            sum += c[i].p;
            if (sum >= mass) return i + 1;
        }
    }
    return n;
}

static double weigh(lull_candidate *c, size_t n, float temperature)
{
    float top = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++) top = c[i].logit > top ? c[i].logit : top;
    for (size_t i = 0; i < n; i++) {
        c[i].p = lull_exp_ref((c[i].logit - top) / temperature);
        sum += c[i].p;
    }
    return sum;
}

/* Locally typical sampling (Meister et al. 2022): keep the candidates whose surprise is nearest to
 * the entropy until they hold p of the mass. `logit` holds minus the distance meanwhile, so that
 * the one order serves. */
static size_t keep_typical(lull_candidate *c, size_t n, float p)
{
    double sum = weigh(c, n, 1), entropy = 0;
    for (size_t i = 0; i < n; i++)
        if (c[i].p > 0) entropy -= c[i].p / sum * log(c[i].p / sum);
    for (size_t i = 0; i < n; i++) {
        double surprise = c[i].p > 0 ? -log(c[i].p / sum) : INFINITY;
        c[i].logit = (float)-fabs(surprise - entropy);
    }
    size_t kept = take_mass(c, n, p * sum);
    for (size_t i = 0; i < kept; i++) c[i].logit = logf(c[i].p);
    return kept;
}

static int32_t draw(const lull_sampler *s, size_t n, uint64_t position)
{
    lull_candidate *c = s->candidates;
    const lull_sampling *o = &s->options;
    if (o->top_k > 0 && (size_t)o->top_k < n) {
        bring_forward(c, n, (size_t)o->top_k);
        n = (size_t)o->top_k;
    }
    if (o->typical_p < 1) n = keep_typical(c, n, o->typical_p);
    if (o->top_p < 1) n = take_mass(c, n, o->top_p * weigh(c, n, 1));
    if (o->min_p > 0) {
        weigh(c, n, 1);
        size_t kept = 0;
        for (size_t i = 0; i < n; i++)
            if (c[i].p >= o->min_p) c[kept++] = c[i];
        n = kept;
    }
    double sum = weigh(c, n, o->temperature);
    size_t i = take_mass(c, n, lull_uniform(o->seed, position) * sum) - 1;
    while (i > 0 && !(c[i].p > 0))
        i--; /* rounding may end behind the last candidate that has any mass */
    return c[i].id;
}

/* The allowed candidates; how many. */
static size_t gather(lull_sampler *s, const float *logits, const lull_mask *mask)
{
    lull_candidate *c = s->candidates;
    size_t n = 0;
    if (!mask)
        for (; n < (size_t)s->n_vocab; n++) c[n] = (lull_candidate){logits[n], 0, (int32_t)n};
    else if (!mask->bits)
        for (; n < mask->n; n++) c[n] = (lull_candidate){logits[mask->ids[n]], 0, mask->ids[n]};
    else
        for (int w = 0; w < (s->n_vocab + 63) / 64; w++)
            for (uint64_t word = mask->bits[w]; word; word &= word - 1) {
                int32_t id = w * 64 + __builtin_ctzll(word);
                c[n++] = (lull_candidate){logits[id], 0, id};
            }
    return n;
}

int32_t lull_sampler_choose(lull_sampler *s, const float *logits, int32_t likeliest,
                            const lull_mask *mask, const int32_t *tokens, size_t n)
{
    if (s->adjusted) {
        memcpy(s->adjusted, logits, (size_t)s->n_vocab * sizeof *logits);
        for (size_t i = 0; i < s->options.n_bias; i++)
            s->adjusted[s->options.bias[i].token] += s->options.bias[i].bias;
        if (s->counts) penalise(s, tokens, n);
        logits = s->adjusted;
        likeliest = -1;
    }
    if (!s->candidates) {
        /* What the model would say freely is allowed most of the time. */
        int32_t best = mask && mask->ids ? -1 : likeliest;
        if (best < 0 && !(mask && mask->ids)) best = argmax(logits, s->n_vocab);
        bool is_good = !mask || (best >= 0 && lull_mask_has(mask, best));
        return is_good ? best : argmax_masked(logits, mask, s->n_vocab);
    }
    return draw(s, gather(s, logits, mask), n);
}
