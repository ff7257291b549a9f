#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "bpe.h"
#include "lull/lull.h"
#include "roles.h"
#include "special.h"
#include "spm.h"
#include "utf8.h"

struct lull_tokenizer {
    lull_vocab vocab;
    lull_roles roles;
    lull_special special;
    lull_bpe *bpe; /* NULL: spm */
    lull_spm spm;
    uint8_t *texts;       /* owned: what each token stands for */
    uint32_t *text_start; /* owned [n_tokens + 1] */
    size_t max_text;
    bool adds_bos, adds_prefix;
};

/* ---- lists ----------------------------------------------------------------------------------- */

lull_status lull_token_list_reserve(lull_token_list *l, size_t n, lull_error *err)
{
    if (l->cap - l->n >= n) return LULL_OK;
    size_t cap = l->cap + l->cap / 2;
    if (cap < l->n + n) cap = l->n + n;
    if (cap < 64) cap = 64;
    int32_t *ids = cap <= SIZE_MAX / sizeof *ids ? realloc(l->ids, cap * sizeof *ids) : NULL;
    if (!ids) return lull_fail(err, LULL_ENOMEM, "out of memory for %zu tokens", cap);
    l->ids = ids;
    l->cap = cap;
    return LULL_OK;
}

void lull_token_list_fini(lull_token_list *l)
{
    free(l->ids);
    *l = (lull_token_list){0};
}

/* ---- making ---------------------------------------------------------------------------------- */

static lull_status read_bool(const lull_gguf *g, const char *key, bool otherwise, bool *value,
                             lull_error *err)
{
    *value = otherwise;
    lull_status st = lull_gguf_get_bool(g, key, value, err);
    return st == LULL_ENOTFOUND ? LULL_OK : st;
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What token i stands for in running text, to out: at most as many bytes as its string. */
static size_t text_of(const lull_tokenizer *t, int32_t i, uint8_t *out)
{
    size_t n;
    const uint8_t *s = lull_vocab_string(&t->vocab, i, &n);
    lull_token_type type = t->vocab.types[i];
    bool is_as_is =
        type == LULL_TOKEN_CONTROL || type == LULL_TOKEN_UNKNOWN || type == LULL_TOKEN_USER_DEFINED;
    if (type == LULL_TOKEN_BYTE && n == 6 && hex_digit(s[3]) >= 0 && hex_digit(s[4]) >= 0) {
        out[0] = (uint8_t)(16 * hex_digit(s[3]) + hex_digit(s[4]));
        return 1;
    }
    if (t->bpe && !is_as_is) return lull_bpe_decode(t->bpe, s, n, out);
    if (!is_as_is) return lull_spm_decode(s, n, out);
    memcpy(out, s, n);
    return n;
}

static lull_status write_texts(lull_tokenizer *t, lull_error *err)
{
    int n = t->vocab.n_tokens;
    t->texts = malloc((size_t)t->vocab.start[n] + 1);
    t->text_start = malloc(((size_t)n + 1) * sizeof *t->text_start);
    if (!t->texts || !t->text_start)
        return lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer");
    uint32_t at = 0;
    for (int i = 0; i < n; i++) {
        t->text_start[i] = at;
        size_t n_bytes = text_of(t, i, t->texts + at);
        at += (uint32_t)n_bytes;
        if (n_bytes > t->max_text) t->max_text = n_bytes;
    }
    t->text_start[n] = at;
    return LULL_OK;
}

static bool is_name(lull_gguf_str s, const char *name)
{
    return s.n_bytes == strlen(name) && memcmp(s.data, name, s.n_bytes) == 0;
}

lull_status lull_tokenizer_new(const lull_gguf *g, lull_tokenizer **out, lull_error *err)
{
    static const char model_key[] = "tokenizer.ggml.model";
    lull_status st = LULL_OK;
    lull_gguf_str model;
    lull_tokenizer *t = *out = calloc(1, sizeof *t);
    if (!t) return lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer");
    LULL_TRY(lull_gguf_get_str(g, model_key, &model, err));
    bool is_bpe = is_name(model, "gpt2");
    if (!is_bpe && !is_name(model, "llama")) {
        st = lull_fail(err, LULL_EUNSUPPORTED, "%s: %s is '%.*s'; lull knows llama and gpt2",
                       lull_gguf_path(g), model_key, (int)(model.n_bytes < 64 ? model.n_bytes : 64),
                       model.data);
        goto done;
    }
    LULL_TRY(lull_vocab_init(&t->vocab, g, err));
    if (!is_bpe && !lull_gguf_find(g, "tokenizer.ggml.scores")) {
        st = lull_fail(err, LULL_ENOTFOUND, "%s: there is no tokenizer.ggml.scores",
                       lull_gguf_path(g));
        goto done;
    }
    if (is_bpe) LULL_TRY(lull_bpe_new(g, &t->vocab, &t->bpe, err));
    LULL_TRY(lull_roles_init(&t->roles, g, &t->vocab, !is_bpe, err));
    LULL_TRY(read_bool(g, "tokenizer.ggml.add_bos_token", !is_bpe || lull_bpe_adds_bos(t->bpe),
                       &t->adds_bos, err));
    LULL_TRY(read_bool(g, "tokenizer.ggml.add_space_prefix", true, &t->adds_prefix, err));
    if (t->roles.bos < 0) t->adds_bos = false;
    if (is_bpe) t->adds_prefix = false; /* some files say otherwise, and mean nothing by it */
    if (!is_bpe) lull_spm_init(&t->spm, &t->vocab, t->roles.unknown);
    LULL_TRY(lull_special_init(&t->special, &t->vocab, t->roles.strips, err));
    LULL_TRY(write_texts(t, err));
done:
    if (st != LULL_OK) {
        lull_tokenizer_free(t);
        *out = NULL;
    }
    return st;
}

void lull_tokenizer_free(lull_tokenizer *t)
{
    if (!t) return;
    lull_bpe_free(t->bpe);
    lull_special_fini(&t->special);
    lull_roles_fini(&t->roles);
    lull_vocab_fini(&t->vocab);
    free(t->texts);
    free(t->text_start);
    free(t);
}

/* ---- encoding -------------------------------------------------------------------------------- */

typedef struct encoding {
    const lull_tokenizer *t;
    lull_token_list *out;
    bool is_after_special; /* a dummy prefix goes in front of what follows */
} encoding;

static lull_status encode_fragment(void *user, int32_t id, const char *text, size_t n_bytes,
                                   lull_error *err)
{
    encoding *e = user;
    const lull_tokenizer *t = e->t;
    if (id < 0) {
        bool with_prefix = t->adds_prefix && e->is_after_special;
        e->is_after_special = false;
        return t->bpe ? lull_bpe_encode(t->bpe, text, n_bytes, e->out, err)
                      : lull_spm_encode(&t->spm, text, n_bytes, with_prefix, e->out, err);
    }
    e->is_after_special = true;
    lull_status st = lull_token_list_reserve(e->out, 1, err);
    if (st == LULL_OK) e->out->ids[e->out->n++] = id;
    return st;
}

lull_status lull_tokenizer_encode(const lull_tokenizer *t, const char *text, size_t n_bytes,
                                  int flags, lull_token_list *out, lull_error *err)
{
    lull_status st = LULL_OK;
    size_t n_before = out->n;
    encoding e = {t, out, true};
    if (n_bytes > INT32_MAX / 4)
        return lull_fail(err, LULL_EINVAL, "a text of %zu bytes is too long; at most %d", n_bytes,
                         INT32_MAX / 4);
    if (flags & LULL_TOKENIZE_BOS) {
        if (t->roles.bos < 0)
            return lull_fail(err, LULL_EINVAL, "the model has no beginning-of-sequence token");
        LULL_TRY(encode_fragment(&e, t->roles.bos, NULL, 0, err));
    }
    LULL_TRY(lull_special_split(&t->special, text, n_bytes, (flags & LULL_TOKENIZE_SPECIAL) != 0,
                                encode_fragment, &e, err));
done:
    if (st != LULL_OK) out->n = n_before;
    return st;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

const char *lull_tokenizer_text(const lull_tokenizer *t, int32_t id, bool with_special,
                                size_t *n_bytes)
{
    *n_bytes = 0;
    if (id < 0 || id >= t->vocab.n_tokens) return "";
    lull_token_type type = t->vocab.types[id];
    if (!with_special && (type == LULL_TOKEN_CONTROL || type == LULL_TOKEN_UNKNOWN)) return "";
    *n_bytes = t->text_start[id + 1] - t->text_start[id];
    return (const char *)t->texts + t->text_start[id];
}

size_t lull_tokenizer_max_text(const lull_tokenizer *t)
{
    return t->max_text;
}

int32_t lull_tokenizer_n_vocab(const lull_tokenizer *t)
{
    return t->vocab.n_tokens;
}

int32_t lull_tokenizer_bos(const lull_tokenizer *t)
{
    return t->roles.bos;
}

int32_t lull_tokenizer_eos(const lull_tokenizer *t)
{
    return t->roles.eos;
}

bool lull_tokenizer_adds_bos(const lull_tokenizer *t)
{
    return t->adds_bos;
}

bool lull_tokenizer_is_eog(const lull_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n_tokens && t->roles.is_end[id];
}

/* ---- streaming text -------------------------------------------------------------------------- */

void lull_detok_init(lull_detok *d, const lull_tokenizer *t, bool with_special, bool is_start)
{
    *d = (lull_detok){.t = t, .with_special = with_special, .is_start = is_start && t->adds_prefix};
}

/* Bytes at the end of s [n] that begin a character but do not finish it. */
static int unfinished_bytes(const uint8_t *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++)
        if (lull_utf8_length(s + n - back, back) < 0) return (int)back;
    return 0;
}

size_t lull_detok_push(lull_detok *d, int32_t id, char *out, size_t cap)
{
    size_t n, n_out = (size_t)d->n_held;
    const char *text = lull_tokenizer_text(d->t, id, d->with_special, &n);
    if (n == 0 || cap < n_out + n) return 0;
    if (d->is_start && text[0] == ' ') {
        text++;
        n--;
    }
    d->is_start = false;
    memcpy(out, d->held, n_out);
    memcpy(out + n_out, text, n);
    n_out += n;
    d->n_held = unfinished_bytes((const uint8_t *)out, n_out);
    n_out -= (size_t)d->n_held;
    memcpy(d->held, out + n_out, (size_t)d->n_held);
    return n_out;
}

size_t lull_detok_finish(lull_detok *d, char out[4])
{
    size_t n = (size_t)d->n_held;
    memcpy(out, d->held, n);
    d->n_held = 0;
    return n;
}
