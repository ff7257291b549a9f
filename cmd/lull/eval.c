#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "format.h"
#include "progress.h"

typedef struct args {
    const char *model, *text, *file;
    int64_t window, n_threads;
    lull_cmd_numerics numerics;
    bool special, as_json;
} args;

/* Sum of the negative log-likelihoods of one text, as its rows come. */
typedef struct score {
    const int32_t *window; /* [n_window] tokens under evaluation */
    size_t n_window, n_vocab;
    double sum;
    size_t n_scored, n_done;
    lull_progress bar;
} score;

static bool on_row(void *user, size_t index, const float *logits)
{
    score *s = user;
    if (index + 1 < s->n_window) {
        s->sum += lull_cmd_log_sum_exp(logits, s->n_vocab) - (double)logits[s->window[index + 1]];
        s->n_scored++;
    }
    lull_progress_update(&s->bar, ++s->n_done);
    return true;
}

/* Windows do not overlap. Each begins with the BOS token where the file asks for one, so that the
 * first token of the text is predicted too; otherwise a window's first token goes unscored. */
static lull_status eval_windows(lull_model *model, lull_session *session,
                                const lull_cmd_tokens *tokens, size_t n_window, score *s,
                                lull_error *err)
{
    size_t n_bos = lull_model_adds_bos(model) && lull_token_bos(model) >= 0;
    lull_status st = LULL_OK;
    int32_t *window = malloc(n_window * sizeof *window);
    if (!window) return lull_fail(err, LULL_ENOMEM, "no memory for a window of %zu", n_window);
    if (n_bos) window[0] = lull_token_bos(model);
    size_t step = n_window - n_bos;
    for (size_t i = 0; i < tokens->n; i += step) {
        size_t n_now = tokens->n - i < step ? tokens->n - i : step;
        memcpy(window + n_bos, tokens->ids + i, n_now * sizeof *window);
        s->window = window;
        s->n_window = n_bos + n_now;
        if (s->n_window < 2) break; /* nothing to predict */
        lull_session_truncate(session, 0);
        LULL_TRY(lull_session_eval_each(session, window, s->n_window, on_row, s, err));
    }
    if (s->n_scored == 0)
        st = lull_fail(err, LULL_EINVAL, "a text of %zu tokens is too short to be scored",
                       tokens->n);
done:
    free(window);
    return st;
}

static lull_status evaluate(const args *a, int *rc, lull_error *err)
{
    lull_model *model = NULL;
    lull_session *session = NULL;
    lull_cmd_tokens tokens = {0};
    char *text = NULL;
    size_t n_bytes = 0;
    score s = {0};
    lull_status st = LULL_OK;
    lull_interrupt_arm();
    LULL_TRY(lull_cmd_read_text(a->text, a->file, &text, &n_bytes, err));
    LULL_TRY(lull_cmd_open_model(a->model, (int)a->n_threads, a->numerics, 0, &model, err));
    int flags = a->special ? LULL_TOKENIZE_SPECIAL : 0;
    LULL_TRY(lull_cmd_tokenize_text(model, text, n_bytes, flags, &tokens, err));

    lull_model_info info = lull_model_get_info(model);
    size_t n_window = a->window ? (size_t)a->window : (size_t)info.n_ctx_train;
    if (n_window > tokens.n + 1 && tokens.n > 0) n_window = tokens.n + 1; /* one for BOS */
    LULL_TRY(lull_cmd_new_session(model, n_window, &session, err));
    lull_interrupt_watch(session);
    s.n_vocab = (size_t)info.n_vocab;
    lull_progress_init(&s.bar, "evaluating", LULL_PROGRESS_TOKENS, tokens.n);
    LULL_TRY(eval_windows(model, session, &tokens, n_window, &s, err));
    lull_progress_finish(&s.bar);

    double mean = s.sum / (double)s.n_scored;
    if (a->as_json) {
        *rc = lull_cmd_print_json(json_pack("{s:I, s:I, s:f, s:f}", "tokens", (json_int_t)tokens.n,
                                            "scored", (json_int_t)s.n_scored, "mean_nll", mean,
                                            "perplexity", exp(mean)));
    } else {
        char n_tokens[LULL_FORMAT_CAP], n_scored[LULL_FORMAT_CAP];
        printf("tokens      %s (%s scored)\n", lull_format_count(n_tokens, tokens.n),
               lull_format_count(n_scored, s.n_scored));
        printf("mean nll    %.6f nats a token\nperplexity  %.4f\n", mean, exp(mean));
    }
done:
    lull_progress_finish(&s.bar);
    lull_cmd_tokens_fini(&tokens);
    free(text);
    lull_interrupt_watch(NULL);
    lull_session_free(session);
    lull_model_close(model);
    return st;
}

int lull_cmd_eval(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {
        {'p', "prompt", "text", LULL_OPT_STRING, &a.text, 0, 0, "TEXT", "the text"},
        {'f', "file", NULL, LULL_OPT_STRING, &a.file, 0, 0, "FILE",
         "a file with the text; - is standard input"},
        {'w', "window", "ctx", LULL_OPT_INT, &a.window, 2, 1e9, "N",
         "tokens evaluated together (default: the model's context)"},
        {0, "special", NULL, LULL_OPT_FLAG, &a.special, 0, 0, NULL,
         "read control tokens in the text"},
        LULL_CMD_THREADS_OPTION(&a.n_threads),
        LULL_CMD_KV_OPTION(&a.numerics.kv),
        LULL_CMD_ACTIVATIONS_OPTION(&a.numerics.activations),
        {0, "json", NULL, LULL_OPT_FLAG, &a.as_json, 0, 0, NULL,
         "print tokens, scored, mean_nll and perplexity as JSON"},
    };
    const lull_cli cli = {
        .verb = "eval",
        .operands = "MODEL",
        .about = "How well a model predicts a text: the mean negative log-likelihood of its "
                 "tokens, and the perplexity. Long texts are cut into windows that do not overlap.",
        .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    if (rc < 0) rc = lull_cmd_check_text("eval", a.text, a.file);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (evaluate(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("eval", &err);
    return rc;
}
