#include "model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "family.h"

enum {
    MAX_ROWS = 512, /* rows a run: enough to reuse weights, few enough to stay in cache */
    MAX_OUT = 32,   /* rows of logits at a time */
    MAX_WIDTH = 1 << 20,
    MAX_D_HEAD = 512
};

static const lull_family *const families[] = {&lull_family_llama, &lull_family_gemma3,
                                              &lull_family_qwen3};

void lull_builder_fail(lull_builder *b, lull_status st, const char *fmt, ...)
{
    if (b->st != LULL_OK) return;
    char msg[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    b->st = lull_fail(&b->err, st, "%s: %s", lull_gguf_path(b->m->gguf), msg);
}

static const char *full_key(lull_builder *b, const char *key, char buf[96])
{
    snprintf(buf, 96, "%s.%s", b->m->architecture, key);
    return buf;
}

int lull_builder_int(lull_builder *b, const char *key, int min, int max, int fallback)
{
    char name[96];
    uint64_t v = 0;
    if (b->st != LULL_OK) return min;
    full_key(b, key, name);
    if (!lull_gguf_find(b->m->gguf, name) && fallback >= 0) return fallback;
    b->st = lull_gguf_get_u64(b->m->gguf, name, &v, &b->err);
    if (b->st == LULL_OK && (v < (uint64_t)min || v > (uint64_t)max))
        lull_builder_fail(b, LULL_ECORRUPT, "%s is %llu, not in %d..%d", name,
                          (unsigned long long)v, min, max);
    return b->st == LULL_OK ? (int)v : min;
}

double lull_builder_number(lull_builder *b, const char *key, double fallback)
{
    char name[96];
    double v = 1;
    if (b->st != LULL_OK) return 1;
    full_key(b, key, name);
    if (!lull_gguf_find(b->m->gguf, name) && fallback > 0) return fallback;
    b->st = lull_gguf_get_f64(b->m->gguf, name, &v, &b->err);
    if (b->st == LULL_OK && !(v > 1e-30 && v < 1e30))
        lull_builder_fail(b, LULL_ECORRUPT, "%s is %g, not a positive number", name, v);
    return b->st == LULL_OK ? v : 1;
}

void lull_builder_refuse(lull_builder *b, const char *key)
{
    char name[96];
    lull_gguf_str text;
    double number;
    full_key(b, key, name);
    const lull_gguf_kv *kv = lull_gguf_find(b->m->gguf, name);
    if (b->st != LULL_OK || !kv) return;
    if (lull_gguf_get_str(b->m->gguf, name, &text, NULL) == LULL_OK) {
        if (text.n_bytes != 4 || memcmp(text.data, "none", 4) != 0)
            lull_builder_fail(b, LULL_EUNSUPPORTED, "%s = \"%.*s\" is not supported", name,
                              (int)(text.n_bytes < 64 ? text.n_bytes : 64), text.data);
    } else if (lull_gguf_get_f64(b->m->gguf, name, &number, NULL) == LULL_OK) {
        if (number != 0)
            lull_builder_fail(b, LULL_EUNSUPPORTED, "%s = %g is not supported", name, number);
    } else {
        uint64_t whole;
        if (lull_gguf_get_u64(b->m->gguf, name, &whole, NULL) != LULL_OK || whole != 0)
            lull_builder_fail(b, LULL_EUNSUPPORTED, "%s is set, which is not supported", name);
    }
}

void lull_builder_common(lull_builder *b, lull_config *c)
{
    c->n_layer = lull_builder_int(b, "block_count", 1, LULL_MAX_LAYERS, -1);
    c->d_model = lull_builder_int(b, "embedding_length", 1, MAX_WIDTH, -1);
    c->d_ff = lull_builder_int(b, "feed_forward_length", 1, MAX_WIDTH, -1);
    c->n_head = lull_builder_int(b, "attention.head_count", 1, 4096, -1);
    c->n_kv = lull_builder_int(b, "attention.head_count_kv", 1, c->n_head, c->n_head);
    c->d_head = lull_builder_int(b, "attention.key_length", 1, MAX_D_HEAD, c->d_model / c->n_head);
    c->n_ctx_train = lull_builder_int(b, "context_length", 1, 1 << 30, -1);
    c->eps = (float)lull_builder_number(b, "attention.layer_norm_rms_epsilon", -1);
    if (b->st != LULL_OK) return;
    int d_value = lull_builder_int(b, "attention.value_length", 1, MAX_D_HEAD, c->d_head);
    if (c->n_head % c->n_kv != 0)
        lull_builder_fail(b, LULL_ECORRUPT,
                          "attention.head_count %d is not a multiple of head_count_kv %d",
                          c->n_head, c->n_kv);
    if (c->n_head / c->n_kv > LULL_MAX_SHARED_HEADS)
        lull_builder_fail(b, LULL_EUNSUPPORTED,
                          "%d query heads share a KV head; at most %d are supported",
                          c->n_head / c->n_kv, LULL_MAX_SHARED_HEADS);
    if (d_value != c->d_head)
        lull_builder_fail(b, LULL_EUNSUPPORTED,
                          "heads of keys (%d) and values (%d) differ in width", c->d_head, d_value);
    if (c->d_head % 16 != 0 || c->d_head > MAX_D_HEAD)
        lull_builder_fail(b, LULL_EUNSUPPORTED,
                          "a head width of %d is not supported: a multiple of 16 up to %d is",
                          c->d_head, MAX_D_HEAD);
    const lull_gguf_tensor *t = lull_gguf_find_tensor(b->m->gguf, "token_embd.weight");
    if (!t)
        lull_builder_fail(b, LULL_ENOTFOUND, "tensor token_embd.weight is missing");
    else if (t->n_dims != 2 || t->dims[1] > INT32_MAX / 2)
        lull_builder_fail(b, LULL_ECORRUPT, "tensor token_embd.weight is not a matrix");
    else
        c->n_vocab = (int)t->dims[1];
}

const lull_rope *lull_builder_rope(lull_builder *b, lull_config *c, double base, double divisor,
                                   int n_dims, const float *factors, bool is_neox)
{
    lull_rope *r = &c->ropes[c->n_ropes];
    double *freq = lull_arena_alloc(&b->m->arena, sizeof *freq * (size_t)(n_dims / 2 + 1));
    if (!freq) {
        lull_builder_fail(b, LULL_ENOMEM, "out of memory");
        return r;
    }
    for (int i = 0; i < n_dims / 2; i++) {
        freq[i] = lull_pow_canon(base, -2.0 * i / n_dims) / divisor;
        if (factors) freq[i] = freq[i] / (double)factors[i];
        if (!(freq[i] >= 0 && freq[i] <= 1e3))
            lull_builder_fail(b, LULL_ECORRUPT, "RoPE frequency %d is %g", i, freq[i]);
    }
    *r = (lull_rope){
        .index = c->n_ropes, .inv_freq = freq, .n_pairs = n_dims / 2, .is_neox = is_neox};
    c->rope_list[c->n_ropes++] = r;
    return r;
}

double lull_builder_linear_rope(lull_builder *b)
{
    char name[96];
    lull_gguf_str kind = {"none", 4};
    full_key(b, "rope.scaling.type", name);
    if (b->st == LULL_OK && lull_gguf_find(b->m->gguf, name))
        b->st = lull_gguf_get_str(b->m->gguf, name, &kind, &b->err);
    if (kind.n_bytes == 6 && memcmp(kind.data, "linear", 6) == 0)
        return lull_builder_number(b, "rope.scaling.factor", 1.0);
    lull_builder_refuse(b, "rope.scaling.type");
    return 1;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static const lull_gguf_tensor *find_tensor(lull_builder *b, const char *name)
{
    const lull_gguf_tensor *t = lull_gguf_find_tensor(b->m->gguf, name);
    if (t) b->is_used[t - lull_gguf_tensor_at(b->m->gguf, 0)] = true;
    return t;
}

bool lull_builder_has(lull_builder *b, const char *fmt, ...)
{
    char name[96];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    return lull_gguf_find_tensor(b->m->gguf, name) != NULL;
}

/* A tensor that must be there with dims {d0, d1}; d1 = 0: a vector. NULL after a failure. */
static const lull_gguf_tensor *need_tensor(lull_builder *b, const char *name, int d0, int d1)
{
    if (b->st != LULL_OK) return NULL;
    const lull_gguf_tensor *t = find_tensor(b, name);
    if (!t) {
        lull_builder_fail(b, LULL_ENOTFOUND, "tensor %s is missing", name);
        return NULL;
    }
    bool has_shape = t->dims[0] == (uint64_t)d0 &&
                     (d1 ? t->n_dims == 2 && t->dims[1] == (uint64_t)d1 : t->n_dims == 1);
    if (!has_shape) {
        if (d1)
            lull_builder_fail(b, LULL_ECORRUPT, "tensor %s is %llu x %llu, not %d x %d", name,
                              (unsigned long long)t->dims[0],
                              (unsigned long long)(t->n_dims > 1 ? t->dims[1] : 1), d0, d1);
        else
            lull_builder_fail(b, LULL_ECORRUPT,
                              "tensor %s has %llu elements in %d dimensions, not %d in 1", name,
                              (unsigned long long)t->dims[0], t->n_dims, d0);
        return NULL;
    }
    return t;
}

static void *builder_alloc(lull_builder *b, size_t n_bytes)
{
    void *p = lull_arena_alloc(&b->m->arena, n_bytes);
    if (!p) lull_builder_fail(b, LULL_ENOMEM, "out of memory");
    return p;
}

const lull_packed *lull_builder_matrix(lull_builder *b, int n_rows, int n_cols, const char *fmt,
                                       ...)
{
    char name[96];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    lull_model_core *m = b->m;
    const lull_gguf_tensor *t = need_tensor(b, name, n_cols, n_rows);
    lull_matrix *matrix = t ? builder_alloc(b, sizeof *matrix) : NULL;
    lull_matrix **list =
        matrix ? realloc(m->matrices, sizeof *list * (size_t)(m->n_matrices + 1)) : NULL;
    if (!list) {
        lull_builder_fail(b, LULL_ENOMEM, "out of memory");
        b->no_matrix = (lull_packed){.n_rows = n_rows, .n_cols = n_cols};
        return &b->no_matrix;
    }
    m->matrices = list;
    m->matrices[m->n_matrices++] = matrix;
    matrix->tensor = t;
    matrix->packed = (lull_packed){.dtype = t->dtype,
                                   .n_rows = n_rows,
                                   .n_cols = n_cols,
                                   .tile_bytes = lull_pack_tile_bytes(t->dtype, n_cols)};
    return &matrix->packed;
}

const lull_table *lull_builder_table(lull_builder *b, int n_rows, int n_cols, const char *name)
{
    const lull_gguf_tensor *t = need_tensor(b, name, n_cols, n_rows);
    lull_table *table = t ? builder_alloc(b, sizeof *table) : NULL;
    if (!table) {
        b->no_table = (lull_table){.n_rows = n_rows, .n_cols = n_cols};
        return &b->no_table;
    }
    *table = (lull_table){.dtype = t->dtype,
                          .n_rows = n_rows,
                          .n_cols = n_cols,
                          .row_bytes = lull_dtype_bytes(t->dtype, (size_t)n_cols),
                          .data = t->data};
    return table;
}

const float *lull_builder_vector(lull_builder *b, int n, const char *fmt, ...)
{
    static const float nothing[MAX_WIDTH];
    char name[96];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    const lull_gguf_tensor *t = need_tensor(b, name, n, 0);
    float *v = t ? builder_alloc(b, sizeof *v * (size_t)n) : NULL;
    if (!v) return nothing;
    lull_dequantize(t->dtype, t->data, (size_t)n, v);
    return v;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static const lull_family *find_family(lull_builder *b)
{
    lull_gguf_str name;
    lull_model_core *m = b->m;
    b->st = lull_gguf_get_str(m->gguf, "general.architecture", &name, &b->err);
    if (b->st != LULL_OK) return NULL;
    snprintf(m->architecture, sizeof m->architecture, "%.*s",
             (int)(name.n_bytes < 31 ? name.n_bytes : 31), name.data);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strlen(families[i]->architecture) == name.n_bytes &&
            memcmp(families[i]->architecture, name.data, name.n_bytes) == 0)
            return families[i];
    lull_builder_fail(b, LULL_EUNSUPPORTED,
                      "architecture '%s' is not supported; there are llama, gemma3 and qwen3",
                      m->architecture);
    return NULL;
}

/* A tensor that the family does not read would change the result if it were: refuse rather than be
 * wrong. */
static void check_all_used(lull_builder *b)
{
    const lull_gguf *g = b->m->gguf;
    for (size_t i = 0; i < lull_gguf_n_tensors(g); i++) {
        const lull_gguf_tensor *t = lull_gguf_tensor_at(g, i);
        uint64_t n = 1;
        for (int k = 0; k < t->n_dims; k++) n *= t->dims[k];
        b->m->n_params += n;
        if (!b->is_used[i])
            lull_builder_fail(b, LULL_EUNSUPPORTED, "tensor %.*s is not known for architecture %s",
                              (int)(t->name.n_bytes < 64 ? t->name.n_bytes : 64), t->name.data,
                              b->m->architecture);
    }
}

lull_status lull_model_core_new(lull_gguf *gguf, lull_kv_kind kv, lull_model_core **out,
                                lull_error *err)
{
    *out = NULL;
    lull_model_core *m = calloc(1, sizeof *m);
    if (!m) {
        lull_gguf_close(gguf);
        return lull_fail(err, LULL_ENOMEM, "out of memory");
    }
    m->gguf = gguf;
    lull_builder b = {.m = m, .is_used = calloc(lull_gguf_n_tensors(gguf) + 1, sizeof *b.is_used)};
    b.g = m->graph = lull_graph_new();
    if (!b.is_used || !b.g) lull_builder_fail(&b, LULL_ENOMEM, "out of memory");
    const lull_family *family = b.st == LULL_OK ? find_family(&b) : NULL;
    if (b.st == LULL_OK) family->configure(&b, &m->config);
    if (b.st == LULL_OK && kv == LULL_KV_Q8 && m->config.d_head % LULL_KV_Q8_COLS != 0)
        lull_builder_fail(&b, LULL_EUNSUPPORTED,
                          "keys and values of 8 bits need heads of a multiple of %d dimensions; "
                          "these have %d: use f16",
                          LULL_KV_Q8_COLS, m->config.d_head);
    if (b.st == LULL_OK) family->build(&b, &m->config);
    if (b.st == LULL_OK) check_all_used(&b);
    free(b.is_used);
    if (b.st == LULL_OK) b.st = lull_graph_lower(m->graph, MAX_ROWS, MAX_OUT, &m->program, &b.err);
    if (b.st != LULL_OK) {
        if (err) *err = b.err;
        lull_model_core_free(m);
        return b.st;
    }
    const lull_config *c = &m->config;
    lull_kv_layout_init(&m->kv, kv, c->n_layer, c->n_kv, c->d_head, c->is_sliding);
    *out = m;
    return LULL_OK;
}

void lull_model_core_free(lull_model_core *m)
{
    if (!m) return;
    lull_program_fini(&m->program);
    lull_graph_free(m->graph);
    lull_weights_release(m);
    free(m->matrices);
    lull_arena_fini(&m->arena);
    lull_gguf_close(m->gguf);
    free(m);
}
