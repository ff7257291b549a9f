#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cmd.h"
#include "display.h"
#include "file.h"
#include "progress.h"
#include "term.h"

enum { TEXT_MAX_BYTES = 1 << 30 };

int lull_cmd_fail(const char *verb, const lull_error *err)
{
    int signal_number = lull_interrupt_signal();
    if (err->code == LULL_ECANCELLED && signal_number) return 128 + signal_number;
    fprintf(stderr, "lull %s: %s\n", verb, err->msg);
    return LULL_EXIT_FAILED;
}

/* ---- model and session ---------------------------------------------------------------------- */

static bool on_load_progress(void *user, uint64_t done, uint64_t total)
{
    lull_progress *bar = user;
    bar->total = total;
    lull_progress_update(bar, done);
    return lull_interrupt_signal() == 0;
}

lull_status lull_cmd_numerics_parse(const lull_cmd_numerics *n, lull_kv_kind *kv,
                                    lull_activations *activations, lull_error *err)
{
    lull_status st = lull_kv_kind_parse(n->kv, kv, err);
    return st == LULL_OK ? lull_activations_parse(n->activations, activations, err) : st;
}

lull_status lull_cmd_open_model(const char *path, int n_threads, lull_cmd_numerics numerics,
                                int flags, lull_model **model, lull_error *err)
{
    lull_progress bar;
    lull_progress_init(&bar, "preparing weights", LULL_PROGRESS_BYTES, 0);
    lull_model_options options = {.n_threads = n_threads,
                                  .vocab_only = (flags & LULL_CMD_VOCAB_ONLY) != 0,
                                  .keep_bytes = flags & LULL_CMD_ALONE ? 1 : 0,
                                  .on_progress = on_load_progress,
                                  .user = &bar};
    lull_status st = lull_cmd_numerics_parse(&numerics, &options.kv, &options.activations, err);
    if (st == LULL_OK) st = lull_model_open(path, &options, model, err);
    lull_progress_finish(&bar);
    return st;
}

lull_status lull_cmd_new_session(lull_model *model, size_t n_ctx, lull_session **session,
                                 lull_error *err)
{
    size_t n_trained = (size_t)lull_model_get_info(model).n_ctx_train;
    if (n_ctx > n_trained)
        fprintf(stderr,
                "lull: a context of %zu is more than the %zu that the model was trained on\n",
                n_ctx, n_trained);
    lull_session_options options = {.n_ctx = n_ctx};
    return lull_session_new(model, &options, session, err);
}

size_t lull_cmd_n_ctx(const lull_session *s)
{
    return lull_session_n_tokens(s) + lull_session_room(s);
}

lull_status lull_cmd_eval_prompt(lull_session *s, const int32_t *tokens, size_t n, lull_error *err)
{
    if (n > lull_session_room(s))
        return lull_fail(err, LULL_EFULL,
                         "the prompt has %zu tokens and the context %zu: shorten it, or give --ctx",
                         lull_session_n_tokens(s) + n, lull_cmd_n_ctx(s));
    lull_progress bar;
    size_t n_known = 0;
    lull_status st = lull_session_recall(s, tokens, n, &n_known, err);
    tokens += n_known;
    n -= n_known;
    lull_progress_init(&bar, "reading", LULL_PROGRESS_TOKENS, n);
    /* Small pieces while the bar would stand still otherwise; without a bar, all at once. */
    size_t step = bar.is_on ? 64 : n;
    for (size_t i = 0; i < n && st == LULL_OK;) {
        size_t n_now = n - i < step ? n - i : step;
        double start = lull_clock_ms();
        const float *logits;
        st = lull_session_eval(s, tokens + i, n_now, i + n_now == n ? &logits : NULL, err);
        i += n_now;
        lull_progress_update(&bar, i);
        if (lull_clock_ms() - start < 250 && step < 512) step *= 2;
    }
    lull_progress_finish(&bar);
    return st;
}

/* ---- text and tokens ------------------------------------------------------------------------ */

int lull_cmd_check_text(const char *verb, const char *text, const char *file)
{
    if (text && file) return lull_cli_usage(verb, "give -p TEXT or -f FILE, not both");
    if (text || file || !lull_term_is_tty(stdin)) return -1;
    return lull_cli_usage(verb, "no text: give -p TEXT or -f FILE, or pipe it to standard input");
}

lull_status lull_cmd_read_text(const char *text, const char *file, char **out, size_t *n_bytes,
                               lull_error *err)
{
    if (!text) return lull_file_read(file ? file : "-", TEXT_MAX_BYTES, out, n_bytes, err);
    *n_bytes = strlen(text);
    *out = strdup(text);
    return *out ? LULL_OK : lull_fail(err, LULL_ENOMEM, "no memory for the text");
}

lull_status lull_cmd_tokenize_text(const lull_model *model, const char *text, size_t n_bytes,
                                   int flags, lull_cmd_tokens *out, lull_error *err)
{
    *out = (lull_cmd_tokens){0};
    /* Few texts have more tokens than bytes: with a vocabulary that spells spaces byte by byte. */
    size_t cap = n_bytes + 2, n = 0;
    int32_t *ids = NULL;
    lull_status st = LULL_OK;
    do {
        if (n > cap) cap = n;
        int32_t *room = realloc(ids, cap * sizeof *ids);
        if (!room) {
            free(ids);
            return lull_fail(err, LULL_ENOMEM, "no memory for %zu tokens", cap);
        }
        ids = room;
        st = lull_tokenize(model, text, n_bytes, flags, ids, cap, &n, err);
    } while (st == LULL_OK && n > cap);
    if (st != LULL_OK) {
        free(ids);
        return st;
    }
    *out = (lull_cmd_tokens){.ids = ids, .n = n};
    return LULL_OK;
}

lull_status lull_cmd_add_bos(const lull_model *model, lull_cmd_tokens *tokens, lull_error *err)
{
    int32_t bos = lull_token_bos(model);
    if (!lull_model_adds_bos(model) || bos < 0) return LULL_OK;
    if (tokens->n > 0 && tokens->ids[0] == bos) return LULL_OK;
    int32_t *ids = realloc(tokens->ids, (tokens->n + 1) * sizeof *ids);
    if (!ids) return lull_fail(err, LULL_ENOMEM, "no memory for %zu tokens", tokens->n + 1);
    memmove(ids + 1, ids, tokens->n * sizeof *ids);
    ids[0] = bos;
    *tokens = (lull_cmd_tokens){.ids = ids, .n = tokens->n + 1};
    return LULL_OK;
}

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

lull_status lull_cmd_parse_tokens(const char *text, size_t n_bytes, const char *what,
                                  lull_cmd_tokens *out, lull_error *err)
{
    *out = (lull_cmd_tokens){0};
    size_t cap = n_bytes / 2 + 1, n = 0; /* a digit and a separator each */
    int32_t *ids = malloc(cap * sizeof *ids);
    if (!ids) return lull_fail(err, LULL_ENOMEM, "no memory for %zu tokens", cap);
    const char *p = skip_blanks(text);
    bool in_brackets = *p == '[';
    if (in_brackets) p = skip_blanks(p + 1);
    bool wants_id = false; /* after a comma */
    while (isdigit((unsigned char)*p) || *p == '-') {
        char *end;
        errno = 0;
        long id = strtol(p, &end, 10);
        if (end == p || errno || id < INT32_MIN || id > INT32_MAX) break;
        ids[n++] = (int32_t)id;
        p = skip_blanks(end);
        wants_id = *p == ',';
        if (wants_id)
            p = skip_blanks(p + 1);
        else if (p == end)
            break;
    }
    if (in_brackets && !wants_id && *p == ']') {
        in_brackets = false;
        p = skip_blanks(p + 1);
    }
    if (p != text + n_bytes || in_brackets || wants_id) {
        free(ids);
        return lull_fail(err, LULL_EINVAL, "%s: byte %zu: a token id was expected%s", what,
                         (size_t)(p - text), in_brackets ? ", or a closing bracket" : "");
    }
    *out = (lull_cmd_tokens){.ids = ids, .n = n};
    return LULL_OK;
}

void lull_cmd_tokens_fini(lull_cmd_tokens *t)
{
    free(t->ids);
    *t = (lull_cmd_tokens){0};
}

/* ---- JSON ----------------------------------------------------------------------------------- */

json_t *lull_cmd_json_text(const char *s, size_t n_bytes)
{
    lull_buffer b = {0};
    lull_display_repair(&b, s, n_bytes);
    json_t *text = b.is_failed ? NULL : json_stringn(b.data ? b.data : "", b.n_bytes);
    lull_buffer_fini(&b);
    return text;
}

json_t *lull_cmd_json_tokens(const int32_t *ids, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n && array; i++) {
        if (json_array_append_new(array, json_integer(ids[i])) == 0) continue;
        json_decref(array);
        array = NULL;
    }
    return array;
}

int lull_cmd_print_json(json_t *value)
{
    if (!value) {
        fputs("lull: no memory for the result\n", stderr);
        return LULL_EXIT_FAILED;
    }
    /* 10 digits: enough for any figure here, without the noise of 17. */
    json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
    putchar('\n');
    json_decref(value);
    return LULL_EXIT_OK;
}

/* ---- numbers -------------------------------------------------------------------------------- */

double lull_cmd_log_sum_exp(const float *logits, size_t n)
{
    float max = logits[0];
    for (size_t i = 1; i < n; i++) max = logits[i] > max ? logits[i] : max;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp((double)logits[i] - (double)max);
    return (double)max + log(sum);
}
