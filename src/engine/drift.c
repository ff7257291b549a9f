/* How far 8-bit keys and values lead a model away from what it says with f16.
 *
 * Both kinds read the same text side by side, through the same weights and steps: a kind is the layout of
 * the pages that a session writes to, so that the other one takes a pool of its own and nothing else. After
 * each token stands the Kullback-Leibler divergence of the two predictions, summed in binary64 in an order
 * that is written down (docs/numerics.md), without the C library: the figures are the same bits on every
 * machine. They are measured once and kept,
 *
 *   <cache>/drifts/<key>   a drift_file, by all that the figures depend on (docs/format-pack.md)
 *
 * and are for people: nothing is decided by them, and a state that has none is a state like any other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "drift_text.h"
#include "engine.h"
#include "file.h"

enum {
    N_TOKENS = 320, /* of the text, from its beginning */
    STRIPES = 8,    /* of a sum */
    MAX_PATH = 4096
};

/* ---- two predictions ------------------------------------------------------------------------- */

/* e^x for x <= 0, e^-700 below: 2^n times the Taylor polynomial of the rest. It is called twice a logit:
 * the one behind lull_pow_canon divides 15 times for its terms and calls fma(), which compilers neither
 * inline nor widen for the plainest processors. */
static inline double exp_of(double x)
{
    static const double round_to_int =
        6755399441055744.0; /* 1.5 2^52: its last bit has the weight 1 */
    x = x > -700 ? x : -700;
    double shifted = x * 1.44269504088896338700 + round_to_int, n = shifted - round_to_int;
    double r = x - n * 6.93147180369123816490e-01; /* the upper half of ln 2: n times it is exact */
    r = r - n * 1.90821492927058770002e-10;
    double p = 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52; /* n is in the low bits of shifted, and those above fall out */
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* The terms of one token: e^a, e^b and e^a (a - b), logits against the largest of their prediction. */
typedef struct terms {
    double a[STRIPES], b[STRIPES], moved[STRIPES];
} terms;

static inline void add_term(terms *t, int stripe, double a, double b)
{
    double e = exp_of(a);
    t->a[stripe] += e;
    t->b[stripe] += exp_of(b);
    t->moved[stripe] += e * (a - b);
}

static double sum_of(const double stripes[STRIPES])
{
    double sum = stripes[0];
    for (int k = 1; k < STRIPES; k++) sum += stripes[k];
    return sum;
}

/* KL(softmax a || softmax b) in nats: Σ p (a - b) + ln Σ e^b - ln Σ e^a, p of a. */
static double divergence(const float *a, const float *b, size_t n, double most_a, double most_b)
{
    terms t = {0};
    size_t i = 0;
    for (; i + STRIPES <= n; i += STRIPES)
        for (int k = 0; k < STRIPES; k++)
            add_term(&t, k, (double)a[i + k] - most_a, (double)b[i + k] - most_b);
    for (int k = 0; i < n; i++, k++) add_term(&t, k, (double)a[i] - most_a, (double)b[i] - most_b);
    double sum_a = sum_of(t.a);
    double kl = sum_of(t.moved) / sum_a + lull_log_canon(sum_of(t.b)) - lull_log_canon(sum_a);
    return kl > 0 ? kl : 0; /* below only by what was rounded */
}

/* ---- reading the text ------------------------------------------------------------------------ */

/* As many rows as the last matmul takes at once, so that none is kept for long. */
static size_t n_ahead(const lull_model *m)
{
    return (size_t)m->core->program.max_out;
}

/* What one kind predicts after the next tokens. */
typedef struct prediction {
    lull_session *session;
    float *rows;        /* owned [n_ahead][n_vocab] */
    int32_t *likeliest; /* owned [n_ahead]: of each row */
    size_t n_vocab;
    const atomic_bool *is_cancelled;
} prediction;

typedef struct comparison {
    const prediction *f16, *q8;
    size_t n;      /* rows */
    double *kl;    /* out [n] */
    bool *is_same; /* out [n] */
} comparison;

static bool keep_row(void *user, size_t index, const float *logits)
{
    prediction *p = user;
    memcpy(p->rows + index * p->n_vocab, logits, p->n_vocab * sizeof *logits);
    p->likeliest[index] = p->session->likeliest;
    return !atomic_load(p->is_cancelled);
}

static void compare_rows(void *ctx, int member, int n_members)
{
    comparison *c = ctx;
    size_t n_vocab = c->f16->n_vocab;
    for (size_t i = (size_t)member; i < c->n; i += (size_t)n_members) {
        const float *a = c->f16->rows + i * n_vocab, *b = c->q8->rows + i * n_vocab;
        int32_t at_a = c->f16->likeliest[i], at_b = c->q8->likeliest[i];
        c->kl[i] = divergence(a, b, n_vocab, (double)a[at_a], (double)b[at_b]);
        c->is_same[i] = at_a == at_b;
    }
}

static lull_status begin(prediction *p, lull_model *m, lull_page_pool *pool, size_t n_tokens,
                         lull_error *err)
{
    p->n_vocab = (size_t)m->core->config.n_vocab;
    p->rows = malloc(n_ahead(m) * p->n_vocab * sizeof *p->rows);
    p->likeliest = malloc(n_ahead(m) * sizeof *p->likeliest);
    if (!p->rows || !p->likeliest)
        return lull_fail(err, LULL_ENOMEM, "out of memory for rows of logits");
    return lull_session_new_alone(m, pool, n_tokens, &p->session, err);
}

static lull_status measure(lull_model *m, const int32_t *tokens, size_t n,
                           const atomic_bool *is_cancelled, lull_drift *out, lull_error *err)
{
    const lull_config *config = &m->core->config;
    lull_page_pool *pool = NULL;
    prediction f16 = {.is_cancelled = is_cancelled}, q8 = f16;
    double kl[N_TOKENS], sum = 0;
    bool is_same[N_TOKENS];
    lull_kv_layout layout;
    lull_status st = LULL_OK;
    lull_kv_layout_init(&layout, LULL_KV_F16, config->n_layer, config->n_kv, config->d_head,
                        config->is_sliding);
    LULL_TRY(lull_page_pool_new(&layout, &pool, err));
    LULL_TRY(begin(&f16, m, pool, n, err));
    LULL_TRY(begin(&q8, m, m->pool, n, err));
    for (size_t i = 0, n_now; i < n; i += n_now) {
        n_now = n - i < n_ahead(m) ? n - i : n_ahead(m);
        LULL_TRY(lull_session_eval_each(f16.session, tokens + i, n_now, keep_row, &f16, err));
        LULL_TRY(lull_session_eval_each(q8.session, tokens + i, n_now, keep_row, &q8, err));
        comparison c = {&f16, &q8, n_now, kl + i, is_same + i};
        pthread_mutex_lock(&m->mutex);
        lull_device_parallel(m->device, compare_rows, &c);
        pthread_mutex_unlock(&m->mutex);
    }
    *out = (lull_drift){.n_tokens = n};
    for (size_t i = 0; i < n; i++) {
        sum += kl[i];
        out->n_same += is_same[i];
        if (kl[i] > out->largest_kl) out->largest_kl = kl[i];
    }
    out->mean_kl = sum / (double)n;
done:
    lull_session_free(f16.session);
    lull_session_free(q8.session);
    free(f16.rows);
    free(q8.rows);
    free(f16.likeliest);
    free(q8.likeliest);
    lull_page_pool_free(pool);
    return st;
}

/* ---- keeping the figures --------------------------------------------------------------------- */

typedef struct drift_file {
    char magic[8];
    lull_digest key;
    uint64_t n_tokens, n_same;
    double mean_kl, largest_kl;
    lull_checksum checksum; /* of all before it */
} drift_file;
static const char drift_magic[8] = "lulldrft";

/* Of all that the figures depend on: both classes, what computes keys and values, and the text's tokens. */
static bool make_key(const lull_model *m, const int32_t *tokens, size_t n, lull_digest *key)
{
    lull_buffer text = {0};
    lull_buffer_append_str(&text, "lull-drift-1 ");
    lull_buffer_append_str(&text,
                           lull_numerics_of(LULL_KV_F16, lull_device_activations(m->device)));
    lull_buffer_append(&text, &m->kv_identity, sizeof m->kv_identity);
    lull_buffer_append(&text, tokens, n * sizeof *tokens);
    *key = lull_digest_of(text.data, text.n_bytes);
    bool is_made = !text.is_failed;
    lull_buffer_fini(&text);
    return is_made;
}

/* false: there is no cache. */
static bool make_path(const lull_model *m, const lull_digest *key, char path[MAX_PATH])
{
    char hex[65];
    int n = snprintf(path, MAX_PATH, "%s/drifts", m->cache_dir);
    if (!*m->cache_dir || n < 0 || n >= MAX_PATH - 66 || lull_dir_create(path, NULL) != LULL_OK)
        return false;
    lull_digest_hex(key, hex);
    snprintf(path + n, MAX_PATH - (size_t)n, "/%s", hex);
    return true;
}

static drift_file file_of(const lull_digest *key, const lull_drift *drift)
{
    drift_file f = {.key = *key,
                    .n_tokens = drift->n_tokens,
                    .n_same = drift->n_same,
                    .mean_kl = drift->mean_kl,
                    .largest_kl = drift->largest_kl};
    memcpy(f.magic, drift_magic, sizeof f.magic);
    f.checksum = lull_checksum_of(&f, offsetof(drift_file, checksum));
    return f;
}

/* What is not, byte for byte, what would be written is measured again; so are figures that cannot be. */
static bool read_file(const char *path, const lull_digest *key, size_t n_tokens, lull_drift *out)
{
    drift_file f;
    char *bytes = NULL;
    size_t n_bytes;
    bool is_right =
        lull_file_read(path, sizeof f, &bytes, &n_bytes, NULL) == LULL_OK && n_bytes == sizeof f;
    if (is_right) {
        memcpy(&f, bytes, sizeof f);
        *out = (lull_drift){f.n_tokens, f.n_same, f.mean_kl, f.largest_kl};
        drift_file want = file_of(key, out);
        is_right = memcmp(&f, &want, sizeof f) == 0 && f.n_tokens == n_tokens &&
                   f.n_same <= n_tokens && f.mean_kl >= 0 && f.largest_kl >= f.mean_kl &&
                   isfinite(f.largest_kl);
    }
    free(bytes);
    return is_right;
}

lull_status lull_drift_find(lull_model *m, const atomic_bool *is_cancelled, lull_drift *out,
                            lull_error *err)
{
    const lull_tokenizer *t = m->tokenizer;
    lull_token_list tokens = {0};
    lull_digest key;
    char path[MAX_PATH];
    bool has_path;
    lull_status st = LULL_OK;
    LULL_TRY(lull_tokenizer_encode(t, lull_drift_text, sizeof lull_drift_text - 1,
                                   lull_tokenizer_adds_bos(t) ? LULL_TOKENIZE_BOS : 0, &tokens,
                                   err));
    size_t n = tokens.n < N_TOKENS ? tokens.n : N_TOKENS;
    if (n > (size_t)m->core->config.n_ctx_train) n = (size_t)m->core->config.n_ctx_train;
    if (n == 0 || !make_key(m, tokens.ids, n, &key)) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the text of a measurement");
        goto done;
    }
    has_path = make_path(m, &key, path);
    if (has_path && read_file(path, &key, n, out)) goto done;
    LULL_TRY(measure(m, tokens.ids, n, is_cancelled, out, err));
    if (has_path) {
        drift_file f = file_of(&key, out);
        st = lull_file_replace(path, &f, sizeof f, NULL);
        st = LULL_OK; /* measured again next time */
    }
done:
    lull_token_list_fini(&tokens);
    return st;
}
