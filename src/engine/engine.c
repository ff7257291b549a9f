/* Models: opening a file, what is known of it, and its text side. */
#include "engine.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "team.h"

const char *lull_version(void)
{
    return LULL_VERSION;
}

void lull_free(void *p)
{
    free(p);
}

/* Of pages that no session holds: a few thousand tokens of a small model, and little beside the
 * weights of a large one. */
#define DEFAULT_KEEP_BYTES ((uint64_t)512 << 20)

/* ---- opening --------------------------------------------------------------------------------- */

static lull_status choose_threads(const lull_model_options *options, int *n, lull_error *err)
{
    *n = options->n_threads;
    const char *text = getenv("LULL_THREADS");
    if (*n == 0 && text && *text) {
        char *end;
        long v = strtol(text, &end, 10);
        if (*end || v < 1 || v > LULL_MAX_THREADS)
            return lull_fail(err, LULL_EINVAL,
                             "LULL_THREADS is '%s'; it must be a number from 1 to %d", text,
                             LULL_MAX_THREADS);
        *n = (int)v;
    }
    if (*n == 0) *n = lull_cpu_count();
    if (*n < 0 || *n > LULL_MAX_THREADS)
        return lull_fail(err, LULL_EINVAL, "%d threads; it must be from 1 to %d", *n,
                         LULL_MAX_THREADS);
    return LULL_OK;
}

static lull_status copy_string(const lull_gguf *g, const char *key, char **out, lull_error *err)
{
    lull_gguf_str s;
    *out = NULL;
    lull_status st = lull_gguf_get_str(g, key, &s, err);
    if (st == LULL_ENOTFOUND) return LULL_OK;
    if (st != LULL_OK) return st;
    if (s.n_bytes >= INT_MAX)
        return lull_fail(err, LULL_ECORRUPT, "%s has %zu bytes", key, s.n_bytes);
    *out = malloc(s.n_bytes + 1);
    if (!*out) return lull_fail(err, LULL_ENOMEM, "out of memory");
    memcpy(*out, s.data, s.n_bytes);
    (*out)[s.n_bytes] = '\0';
    return LULL_OK;
}

static lull_status allocate_rows(lull_model *m, lull_error *err)
{
    size_t n = (size_t)m->core->program.max_rows;
    m->row_tokens = calloc(n, sizeof *m->row_tokens);
    m->row_pos = calloc(n, sizeof *m->row_pos);
    m->row_seq = calloc(n, sizeof *m->row_seq);
    m->out_rows = calloc(n, sizeof *m->out_rows);
    m->views = calloc(n, sizeof *m->views);
    m->owners = calloc(n, sizeof *m->owners);
    bool is_ok = m->row_tokens && m->row_pos && m->row_seq && m->out_rows && m->views && m->owners;
    return is_ok ? LULL_OK : lull_fail(err, LULL_ENOMEM, "out of memory");
}

static lull_status find_cache(lull_model *m, const char *given, lull_error *err)
{
    enum { MAX_PATH = 4096 };
    char dir[MAX_PATH] = "";
    if (given) {
        if (strlen(given) < sizeof dir) strcpy(dir, given);
    } else if (lull_cache_dir(dir, sizeof dir, NULL) != LULL_OK) {
        dir[0] = '\0';
    }
    m->cache_dir = strdup(dir);
    return m->cache_dir ? LULL_OK : lull_fail(err, LULL_ENOMEM, "out of memory");
}

/* The tokenizer, which is made while weights are loaded: neither needs the other. */
typedef struct tokenizer_work {
    lull_model *m;
    const lull_model_options *options;
    lull_status status;
    lull_error err;
    atomic_bool has_failed;
} tokenizer_work;

static void *make_beside(void *user)
{
    tokenizer_work *w = user;
    int n_rows = w->m->core->config.n_vocab, n_tokens;
    w->status = lull_tokenizer_new(w->m->gguf, &w->m->tokenizer, &w->err);
    if (w->status == LULL_OK && (n_tokens = lull_tokenizer_n_vocab(w->m->tokenizer)) != n_rows)
        w->status = lull_fail(&w->err, LULL_ECORRUPT,
                              "%s: token_embd.weight has %d rows, the vocabulary %d tokens",
                              lull_gguf_path(w->m->gguf), n_rows, n_tokens);
    atomic_store(&w->has_failed, w->status != LULL_OK);
    return NULL;
}

static bool on_load(void *user, uint64_t done, uint64_t total)
{
    const tokenizer_work *w = user;
    const lull_model_options *o = w->options;
    return !atomic_load(&w->has_failed) &&
           (!o->on_progress || o->on_progress(o->user, done, total));
}

static lull_status load(lull_model *m, const lull_model_options *options, lull_error *err)
{
    tokenizer_work w = {.m = m, .options = options};
    lull_load_options how = {.cache_dir = m->cache_dir, .on_progress = on_load, .user = &w};
    pthread_t thread;
    bool is_beside = pthread_create(&thread, NULL, make_beside, &w) == 0;
    if (!is_beside) make_beside(&w);
    lull_status st = lull_weights_load(m->core, m->device, &how, err);
    if (st == LULL_OK) st = lull_tokenizer_identify(m->gguf, &m->tokenizer_identity, err);
    if (is_beside) pthread_join(thread, NULL);
    if (w.status != LULL_OK) {
        if (err) *err = w.err;
        st = w.status;
    }
    return st;
}

static lull_status open_core(lull_model *m, const lull_model_options *options, lull_error *err)
{
    lull_cpu_level level;
    lull_kv_kind kv = options->kv;
    lull_activations activations = options->activations;
    lull_status st = LULL_OK;
    if (kv == LULL_KV_DEFAULT) LULL_TRY(lull_kv_kind_parse(getenv("LULL_KV"), &kv, err));
    if (kv == LULL_KV_DEFAULT) kv = LULL_KV_F16;
    if (activations == LULL_ACTIVATIONS_DEFAULT)
        LULL_TRY(lull_activations_parse(getenv("LULL_ACTIVATIONS"), &activations, err));
    if (activations == LULL_ACTIVATIONS_DEFAULT) activations = LULL_ACTIVATIONS_8;
    LULL_TRY(choose_threads(options, &m->n_threads, err));
    LULL_TRY(lull_cpu_level_parse(options->cpu_level ? options->cpu_level : getenv("LULL_CPU"),
                                  &level, err));
    lull_gguf *gguf = m->gguf;
    m->gguf = NULL; /* taken by the core */
    LULL_TRY(lull_model_core_new(gguf, kv, &m->core, err));
    m->gguf = m->core->gguf;
    LULL_TRY(lull_device_new_cpu(level, activations, m->n_threads, &m->device, err));
    LULL_TRY(lull_page_pool_new(&m->core->kv, &m->pool, err));
    LULL_TRY(allocate_rows(m, err));
    LULL_TRY(find_cache(m, options->cache_dir, err));
    LULL_TRY(load(m, options, err));
    lull_page_pool_keep(m->pool, options->keep_bytes ? options->keep_bytes : DEFAULT_KEEP_BYTES);
done:
    return st;
}

lull_status lull_model_open(const char *path, const lull_model_options *options, lull_model **out,
                            lull_error *err)
{
    static const lull_model_options defaults;
    double start = lull_clock_ms();
    lull_status st = LULL_OK;
    *out = NULL;
    if (!options) options = &defaults;
    lull_model *m = calloc(1, sizeof *m);
    if (!m) return lull_fail(err, LULL_ENOMEM, "out of memory");
    pthread_mutex_init(&m->mutex, NULL);
    pthread_mutex_init(&m->constraint_mutex, NULL);
    pthread_mutex_init(&m->drift_mutex, NULL);
    LULL_TRY(lull_gguf_open(path, &m->gguf, err));
    LULL_TRY(copy_string(m->gguf, "general.name", &m->name, err));
    LULL_TRY(copy_string(m->gguf, "tokenizer.chat_template", &m->template_text, err));
    if (options->vocab_only) {
        LULL_TRY(lull_tokenizer_new(m->gguf, &m->tokenizer, err));
        LULL_TRY(lull_tokenizer_identify(m->gguf, &m->tokenizer_identity, err));
    } else {
        LULL_TRY(open_core(m, options, err));
    }
    LULL_TRY(lull_model_identify(m, err));
    m->load_ms = lull_clock_ms() - start;
done:
    if (st != LULL_OK) {
        lull_model_close(m);
        return st;
    }
    *out = m;
    return LULL_OK;
}

void lull_model_close(lull_model *m)
{
    if (!m) return;
    lull_constraints_free(m);
    lull_page_pool_free(m->pool);
    lull_device_free(m->device);
    if (m->core)
        lull_model_core_free(m->core); /* closes the file */
    else
        lull_gguf_close(m->gguf);
    lull_jinja_free(m->chat_template);
    lull_tokenizer_free(m->tokenizer);
    free(m->template_text);
    free(m->card);
    free(m->drift_card);
    free(m->cache_dir);
    free(m->name);
    free(m->row_tokens);
    free(m->row_pos);
    free(m->row_seq);
    free(m->out_rows);
    free(m->views);
    free(m->owners);
    pthread_mutex_destroy(&m->mutex);
    pthread_mutex_destroy(&m->constraint_mutex);
    pthread_mutex_destroy(&m->drift_mutex);
    free(m);
}

const char *lull_numerics_of(lull_kv_kind kv, lull_activations activations)
{
    if (activations == LULL_ACTIVATIONS_16) return kv == LULL_KV_Q8 ? "canon-1w/kv-q8" : "canon-1w";
    return kv == LULL_KV_Q8 ? "canon-1/kv-q8" : "canon-1";
}

const char *lull_model_numerics(const lull_model *m)
{
    return lull_numerics_of(m->core->kv.kind, lull_device_activations(m->device));
}

lull_status lull_kv_kind_parse(const char *name, lull_kv_kind *kind, lull_error *err)
{
    *kind = LULL_KV_DEFAULT;
    if (!name || !*name) return LULL_OK;
    if (strcmp(name, "f16") == 0)
        *kind = LULL_KV_F16;
    else if (strcmp(name, "q8") == 0)
        *kind = LULL_KV_Q8;
    else
        return lull_fail(err, LULL_EINVAL, "no kind of keys and values '%s'; there are f16 and q8",
                         name);
    return LULL_OK;
}

lull_status lull_activations_parse(const char *name, lull_activations *activations, lull_error *err)
{
    *activations = LULL_ACTIVATIONS_DEFAULT;
    if (!name || !*name) return LULL_OK;
    if (strcmp(name, "8") == 0)
        *activations = LULL_ACTIVATIONS_8;
    else if (strcmp(name, "16") == 0)
        *activations = LULL_ACTIVATIONS_16;
    else
        return lull_fail(err, LULL_EINVAL, "no activations of '%s' bits; there are 8 and 16", name);
    return LULL_OK;
}

lull_model_info lull_model_get_info(const lull_model *m)
{
    lull_model_info info = {
        .architecture = "",
        .name = m->name ? m->name : "",
        .cpu_level = "",
        .numerics =
            m->core ? lull_model_numerics(m) : lull_numerics_of(LULL_KV_F16, LULL_ACTIVATIONS_8),
        .n_vocab = lull_tokenizer_n_vocab(m->tokenizer),
        .file_bytes = lull_gguf_file(m->gguf)->n_bytes,
        .load_ms = m->load_ms,
        .chat_template = m->template_text,
    };
    if (!m->core) return info;
    const lull_config *c = &m->core->config;
    info.architecture = m->core->architecture;
    info.cpu_level = lull_cpu_level_name(lull_device_level(m->device));
    info.n_layer = c->n_layer;
    info.n_head = c->n_head;
    info.n_kv = c->n_kv;
    info.d_head = c->d_head;
    info.d_model = c->d_model;
    info.n_ctx_train = c->n_ctx_train;
    info.n_window = c->n_window;
    info.n_threads = m->n_threads;
    info.n_params = m->core->n_params;
    info.weight_bytes = info.decode_bytes = m->core->weight_bytes;
    info.kv_token_bytes = lull_kv_token_bytes(&m->core->kv);
    /* The cast: a session that is made or runs meanwhile may plan more work memory or move weights. */
    pthread_mutex_lock((pthread_mutex_t *)&m->mutex);
    info.work_bytes = lull_device_work_bytes(m->device) + m->core->program.memory_bytes;
    info.weights_are_mapped = m->core->is_mapped;
    pthread_mutex_unlock((pthread_mutex_t *)&m->mutex);
    info.weights_from_cache = m->core->is_from_cache;
    return info;
}

/* ---- text ------------------------------------------------------------------------------------ */

lull_status lull_tokenize(const lull_model *m, const char *text, size_t n_bytes, int flags,
                          int32_t *tokens, size_t cap, size_t *n_tokens, lull_error *err)
{
    lull_token_list list = {0};
    lull_status st = lull_tokenizer_encode(m->tokenizer, text, n_bytes, flags, &list, err);
    *n_tokens = st == LULL_OK ? list.n : 0;
    size_t n = *n_tokens < cap ? *n_tokens : cap;
    if (n > 0) memcpy(tokens, list.ids, n * sizeof *tokens);
    lull_token_list_fini(&list);
    return st;
}

const char *lull_token_text(const lull_model *m, int32_t token, bool with_special, size_t *n_bytes)
{
    return lull_tokenizer_text(m->tokenizer, token, with_special, n_bytes);
}

lull_status lull_detokenize(const lull_model *m, const int32_t *tokens, size_t n, bool with_special,
                            char *buf, size_t cap, size_t *n_bytes, lull_error *err)
{
    size_t piece_cap = lull_tokenizer_max_text(m->tokenizer) + 4, total = 0;
    char *piece = malloc(piece_cap);
    if (!piece) return lull_fail(err, LULL_ENOMEM, "out of memory");
    lull_detok d;
    lull_detok_init(&d, m->tokenizer, with_special, true);
    for (size_t i = 0; i <= n; i++) {
        size_t k =
            i < n ? lull_detok_push(&d, tokens[i], piece, piece_cap) : lull_detok_finish(&d, piece);
        if (total < cap) memcpy(buf + total, piece, k < cap - total ? k : cap - total);
        total += k;
    }
    if (total < cap) buf[total] = '\0';
    *n_bytes = total;
    free(piece);
    return LULL_OK;
}

int32_t lull_token_bos(const lull_model *m)
{
    return lull_tokenizer_bos(m->tokenizer);
}

bool lull_token_is_eog(const lull_model *m, int32_t token)
{
    return lull_tokenizer_is_eog(m->tokenizer, token);
}

bool lull_model_adds_bos(const lull_model *m)
{
    return lull_tokenizer_adds_bos(m->tokenizer);
}

lull_status lull_prompt(lull_session *s, const char *text, lull_error *err)
{
    lull_token_list list = {0};
    const lull_tokenizer *t = s->model->tokenizer;
    int flags = LULL_TOKENIZE_SPECIAL |
                (s->n_tokens == 0 && lull_tokenizer_adds_bos(t) ? LULL_TOKENIZE_BOS : 0);
    const float *logits;
    lull_status st = LULL_OK;
    LULL_TRY(lull_tokenizer_encode(t, text, strlen(text), flags, &list, err));
    if (list.n == 0) {
        if (s->n_tokens == 0) st = lull_fail(err, LULL_EINVAL, "the prompt is empty");
        goto done;
    }
    LULL_TRY(lull_session_eval(s, list.ids, list.n, &logits, err));
done:
    lull_token_list_fini(&list);
    return st;
}
