#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "file.h"
#include "npy.h"
#include "progress.h"
#include "state_cmd.h"

enum { TOKENS_FILE_MAX_BYTES = 1 << 28 };

typedef struct args {
    const char *model, *tokens, *tokens_file, *text, *file, *out;
    int64_t chunk, skip, n_threads, n_ctx;
    lull_cmd_numerics numerics;
    bool special, no_bos, log_probs, last;
    lull_cmd_state state;
} args;

/* Rows on their way from the session to the file. */
typedef struct sink {
    lull_npy npy;
    lull_progress bar;
    float *log_probs; /* [n_vocab]; NULL when logits are wanted as they are */
    size_t n_vocab, n_done, n_skipped;
    lull_status st; /* of the file; err tells */
    lull_error err;
} sink;

static bool on_row(void *user, size_t index, const float *logits)
{
    (void)index; /* counts from the beginning of a call, n_done from that of the text */
    sink *s = user;
    const float *row = logits;
    if (s->log_probs) {
        double norm = lull_cmd_log_sum_exp(logits, s->n_vocab);
        for (size_t i = 0; i < s->n_vocab; i++) s->log_probs[i] = (float)((double)logits[i] - norm);
        row = s->log_probs;
    }
    s->st = lull_npy_write(&s->npy, row, s->n_vocab, &s->err);
    lull_progress_update(&s->bar, s->n_skipped + ++s->n_done);
    return s->st == LULL_OK;
}

/* Evaluate tokens [n] in calls of at most `step`; every row from `skip` on, or the last one alone, goes
 * to s. */
static lull_status eval_to_sink(lull_session *session, const int32_t *tokens, size_t n, size_t step,
                                size_t skip, bool last_only, sink *s, lull_error *err)
{
    const float *logits = NULL;
    for (size_t i = 0, n_now; i < n; i += n_now) {
        size_t end = i < skip ? skip : n;
        n_now = end - i < step ? end - i : step;
        bool is_end = i + n_now == n, is_silent = last_only || i < skip;
        lull_status st =
            is_silent ? lull_session_eval(session, tokens + i, n_now, is_end ? &logits : NULL, err)
                      : lull_session_eval_each(session, tokens + i, n_now, on_row, s, err);
        if (st == LULL_OK && last_only && is_end) on_row(s, i, logits);
        if (s->st != LULL_OK) {
            *err = s->err; /* why the evaluation was stopped, rather than that it was */
            return s->st;
        }
        if (st != LULL_OK) return st;
        if (is_silent) lull_progress_update(&s->bar, i + n_now);
    }
    return LULL_OK;
}

static lull_status read_tokens(const args *a, const lull_model *model, lull_cmd_tokens *tokens,
                               lull_error *err)
{
    char *text = NULL;
    size_t n_bytes = 0;
    lull_status st = LULL_OK;
    if (a->tokens_file) {
        LULL_TRY(lull_file_read(a->tokens_file, TOKENS_FILE_MAX_BYTES, &text, &n_bytes, err));
        LULL_TRY(lull_cmd_parse_tokens(text, n_bytes, a->tokens_file, tokens, err));
    } else {
        int flags = a->special ? LULL_TOKENIZE_SPECIAL : 0;
        LULL_TRY(lull_cmd_read_text(a->text, a->file, &text, &n_bytes, err));
        LULL_TRY(lull_cmd_tokenize_text(model, text, n_bytes, flags, tokens, err));
        if (!a->no_bos && !a->state.wake) LULL_TRY(lull_cmd_add_bos(model, tokens, err));
    }
done:
    free(text);
    return st;
}

/* tokens: those of --tokens, or empty. Taken. */
static lull_status compute(args *a, lull_cmd_tokens tokens, lull_error *err)
{
    lull_model *model = NULL;
    lull_session *session = NULL;
    sink s = {0};
    lull_status st = LULL_OK;
    lull_interrupt_arm();
    LULL_TRY(lull_cmd_open_model(a->model, (int)a->n_threads,
                                 lull_cmd_state_numerics(&a->state, a->numerics), 0, &model, err));
    if (!a->tokens) LULL_TRY(read_tokens(a, model, &tokens, err));
    if (tokens.n == 0) LULL_TRY(lull_fail(err, LULL_EINVAL, "there are no tokens to evaluate"));

    LULL_TRY(lull_cmd_state_open(&a->state, model, err));
    lull_model_info info = lull_model_get_info(model);
    size_t n_ctx = a->n_ctx ? (size_t)a->n_ctx : (size_t)info.n_ctx_train;
    /* No more positions than are used: the logits do not depend on how many there are. */
    bool is_short = !a->state.wake && tokens.n <= n_ctx;
    LULL_TRY(lull_cmd_state_session(&a->state, model, is_short ? tokens.n : n_ctx, &session, err));
    if (tokens.n > lull_session_room(session))
        LULL_TRY(
            lull_fail(err, LULL_EFULL,
                      "there are %zu tokens and the context has %zu: shorten it, or give --ctx",
                      lull_session_n_tokens(session) + tokens.n, n_ctx));
    lull_interrupt_watch(session);

    s.n_vocab = (size_t)info.n_vocab;
    if (a->log_probs && !(s.log_probs = malloc(s.n_vocab * sizeof(float))))
        LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for a row of %zu", s.n_vocab));
    size_t skip = a->last ? 0 : (size_t)a->skip;
    if (skip >= tokens.n)
        LULL_TRY(lull_fail(err, LULL_EINVAL, "--skip %zu leaves none of %zu rows", skip, tokens.n));
    s.n_skipped = skip;
    LULL_TRY(lull_npy_create(&s.npy, a->out, a->last ? 1 : tokens.n - skip, s.n_vocab, err));
    lull_progress_init(&s.bar, "evaluating", LULL_PROGRESS_TOKENS, tokens.n);
    LULL_TRY(eval_to_sink(session, tokens.ids, tokens.n, a->chunk ? (size_t)a->chunk : tokens.n,
                          skip, a->last, &s, err));
    lull_progress_finish(&s.bar);
    LULL_TRY(lull_npy_commit(&s.npy, err));
    LULL_TRY(lull_cmd_state_sleep(&a->state, session, err));
done:
    lull_progress_finish(&s.bar);
    lull_npy_discard(&s.npy);
    free(s.log_probs);
    lull_cmd_tokens_fini(&tokens);
    lull_interrupt_watch(NULL);
    lull_session_free(session);
    lull_model_close(model);
    lull_cmd_state_close(&a->state);
    return st;
}

int lull_cmd_logits(int argc, char **argv)
{
    args a = {0};
    lull_cmd_state_init(&a.state);
    const lull_option options[] = {
        {0, "tokens", NULL, LULL_OPT_STRING, &a.tokens, 0, 0, "1,2,3", "token ids"},
        {0, "tokens-file", NULL, LULL_OPT_STRING, &a.tokens_file, 0, 0, "FILE",
         "a file of token ids: a JSON array, or apart by commas or blanks"},
        {'p', "prompt", "text", LULL_OPT_STRING, &a.text, 0, 0, "TEXT", "a text"},
        {'f', "file", NULL, LULL_OPT_STRING, &a.file, 0, 0, "FILE",
         "a file with a text; - is standard input"},
        {'o', "output", NULL, LULL_OPT_STRING, &a.out, 0, 0, "OUT.npy",
         "where to write: NumPy, float32 [n, n_vocab]"},
        {0, "last", NULL, LULL_OPT_FLAG, &a.last, 0, 0, NULL, "only the row after the last token"},
        {0, "skip", NULL, LULL_OPT_INT, &a.skip, 0, 1e9, "N",
         "leave out the rows of the first N tokens"},
        {0, "log-probs", NULL, LULL_OPT_FLAG, &a.log_probs, 0, 0, NULL,
         "natural logarithms of probabilities instead of logits"},
        {0, "special", NULL, LULL_OPT_FLAG, &a.special, 0, 0, NULL,
         "read control tokens in the text"},
        {0, "no-bos", NULL, LULL_OPT_FLAG, &a.no_bos, 0, 0, NULL,
         "no beginning-of-sequence token, even if the file asks for one"},
        {0, "chunk", NULL, LULL_OPT_INT, &a.chunk, 1, 1e9, "N",
         "evaluate N tokens at a time (default: all); the bits are the same"},
        {'c', "ctx", "ctx-size", LULL_OPT_INT, &a.n_ctx, 1, 1e9, "N",
         "allow N tokens (default: what the model was trained on)"},
        LULL_CMD_THREADS_OPTION(&a.n_threads),
        LULL_CMD_KV_OPTION(&a.numerics.kv),
        LULL_CMD_ACTIVATIONS_OPTION(&a.numerics.activations),
    };
    const lull_cli cli = {.verb = "logits",
                          .operands = "MODEL",
                          .required = "-o OUT.npy",
                          .about = "Write the logits of the next token after each position of a "
                                   "text, or of what comes after a state.",
                          .groups = {{"Options", options, sizeof options / sizeof *options},
                                     {"States", a.state.rows, LULL_STATE_ROWS}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    if (rc >= 0) return rc;
    if (!!a.tokens + !!a.tokens_file + !!a.text + !!a.file != 1)
        return lull_cli_usage("logits", "give one of --tokens, --tokens-file, -p and -f");
    if (!a.out) return lull_cli_usage("logits", "-o OUT.npy is missing");
    rc = lull_cmd_state_check(&a.state, "logits");
    if (rc >= 0) return rc;
    lull_error err;
    lull_cmd_tokens tokens = {0};
    if (a.tokens &&
        lull_cmd_parse_tokens(a.tokens, strlen(a.tokens), "--tokens", &tokens, &err) != LULL_OK)
        return lull_cli_usage("logits", "%s", err.msg);
    if (compute(&a, tokens, &err) != LULL_OK) return lull_cmd_fail("logits", &err);
    return LULL_EXIT_OK;
}
