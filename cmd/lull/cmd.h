/* What the verbs of the program share: exit codes, the option parser, and small helpers. A verb is
 * one file with one function, `int lull_cmd_<verb>(int argc, char **argv)`, which gets the
 * arguments from the verb on (argv[0] is its name) and returns an exit code. Data goes to standard
 * output, everything else to standard error.
 *
 *     int64_t n = 10;
 *     bool as_json = false;
 *     const lull_option options[] = {
 *         {'n', "count", NULL, LULL_OPT_INT, &n, 1, 100, "N", "how many"},
 *         {0, "json", NULL, LULL_OPT_FLAG, &as_json, 0, 0, NULL, "print JSON"},
 *     };
 *     const lull_cli cli = {.verb = "inspect", .operands = "FILE", .about = "Show a file.",
 *                           .groups = {{"Options", options, 2}}};
 *     const char *file;
 *     int rc = lull_cli_parse(&cli, argc, argv, &file);
 *     if (rc >= 0) return rc; */
#ifndef LULL_CMD_CMD_H
#define LULL_CMD_CMD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "buffer.h"
#include "error.h"
#include "lull/lull.h"
#include "measure.h"

enum {
    LULL_EXIT_OK = 0,
    LULL_EXIT_FAILED = 1,
    LULL_EXIT_USAGE = 2,
    LULL_EXIT_INTERRUPTED = 130 /* SIGINT; other signals exit with 128 + their number */
};

/* ---- options.c ------------------------------------------------------------------------------ */

typedef enum lull_option_kind {
    LULL_OPT_FLAG,    /* bool *: becomes true */
    LULL_OPT_INT,     /* int64_t *, min..max */
    LULL_OPT_FLOAT,   /* float *, min..max */
    LULL_OPT_STRING,  /* const char **, a view of argv */
    LULL_OPT_CHOICE,  /* the same; one of the words of arg, "f16|q8", or "" */
    LULL_OPT_STRINGS, /* lull_strings *, once for each time the option is given */
    LULL_OPT_INTS     /* lull_ints *, "1,2,3", each min..max; given again: replaces */
} lull_option_kind;

enum {
    LULL_STRINGS_CAP = 64,
    LULL_INTS_CAP = 64,
    LULL_CLI_GROUPS = 5
}; /* groups: the last is empty */

typedef struct lull_strings {
    const char *v[LULL_STRINGS_CAP]; /* views of argv */
    size_t n;
} lull_strings;

typedef struct lull_ints {
    int64_t v[LULL_INTS_CAP];
    size_t n;
} lull_ints;

typedef struct lull_option {
    char letter;         /* -n; 0 for none */
    const char *name;    /* --count */
    const char *aliases; /* other accepted names, apart by spaces; NULL for none; not in the help */
    lull_option_kind kind;
    void *to; /* holds the default before the call */
    double min, max;
    const char *arg; /* how the help calls the argument; NULL for a flag */
    const char *help;
} lull_option;

typedef struct lull_option_group {
    const char *title; /* in the help; NULL ends the list */
    const lull_option *options;
    size_t n;
} lull_option_group;

typedef struct lull_cli {
    const char *verb;
    /* Names of what must be given, apart by spaces: "MODEL"; last what may be: "[MODEL]". With `rest`
     * the last one may be given many times: "FILE..." at least once, "[TAG...]". */
    const char *operands;
    const char *required; /* options that must be given, for the usage line; NULL: none */
    const char *about;    /* a sentence or a few; a line feed begins a line */
    lull_option_group groups[LULL_CLI_GROUPS];
    lull_strings *rest; /* NULL: none; else it receives views of argv */
} lull_cli;

/* Parse argv[1..]. operands [as many as cli->operands names] receives views of argv; one that may be
 * given and is not stays as it was. Options and operands may be mixed; "--" ends the options.
 * Returns -1 to go on, otherwise the exit code: 0 after --help, LULL_EXIT_USAGE after a message that
 * names the mistake. */
int lull_cli_parse(const lull_cli *cli, int argc, char **argv, const char **operands);

/* "lull VERB: message" and where to find help; returns LULL_EXIT_USAGE. */
int lull_cli_usage(const char *verb, const char *fmt, ...) LULL_PRINTF(2, 3);

/* The candidate [n] most like word, for a hint; NULL when none is near. */
const char *lull_cli_nearest(const char *word, const char *const *candidates, size_t n);

/* ---- verbs ---------------------------------------------------------------------------------- */

int lull_cmd_run(int argc, char **argv);
int lull_cmd_read(int argc, char **argv);
int lull_cmd_why(int argc, char **argv);
int lull_cmd_diff(int argc, char **argv);
int lull_cmd_chat(int argc, char **argv);
int lull_cmd_ls(int argc, char **argv);
int lull_cmd_show(int argc, char **argv);
int lull_cmd_log(int argc, char **argv);
int lull_cmd_tree(int argc, char **argv);
int lull_cmd_fork(int argc, char **argv);
int lull_cmd_mv(int argc, char **argv);
int lull_cmd_rm(int argc, char **argv);
int lull_cmd_tag(int argc, char **argv);
int lull_cmd_gc(int argc, char **argv);
int lull_cmd_export(int argc, char **argv);
int lull_cmd_import(int argc, char **argv);
int lull_cmd_store(int argc, char **argv);
int lull_cmd_verify(int argc, char **argv);
int lull_cmd_fold(int argc, char **argv);
int lull_cmd_template(int argc, char **argv);
int lull_cmd_tokenize(int argc, char **argv);
int lull_cmd_logits(int argc, char **argv);
int lull_cmd_eval(int argc, char **argv);
int lull_cmd_inspect(int argc, char **argv);
int lull_cmd_bench(int argc, char **argv);
int lull_cmd_doctor(int argc, char **argv);

/* ---- common.c ------------------------------------------------------------------------------- */

/* Print "lull VERB: msg"; the exit code for err: 128 + signal when interrupted, else 1. */
int lull_cmd_fail(const char *verb, const lull_error *err);

enum {
    LULL_CMD_VOCAB_ONLY = 1,
    LULL_CMD_ALONE = 2 /* sessions share nothing: what is measured is computed */
};

/* How a model is to compute, as options have it; NULL: the default. */
typedef struct lull_cmd_numerics {
    const char *kv;          /* "f16" or "q8" */
    const char *activations; /* "8" or "16" */
} lull_cmd_numerics;

/* LULL_EINVAL: there is no such thing. */
LULL_NODISCARD lull_status lull_cmd_numerics_parse(const lull_cmd_numerics *n, lull_kv_kind *kv,
                                                   lull_activations *activations, lull_error *err);
#define LULL_CMD_THREADS_OPTION(to)                                                                \
    {                                                                                              \
        't', "threads", NULL, LULL_OPT_INT, to, 1, LULL_MAX_THREADS, "N",                          \
            "threads (default: $LULL_THREADS, else the cores)"                                     \
    }
/* The options for them; to is a const char *. */
#define LULL_CMD_KV_OPTION(to)                                                                     \
    {                                                                                              \
        0, "kv", "kv-type", LULL_OPT_CHOICE, to, 0, 0, "f16|q8",                                   \
            "how keys and values are kept: 16 bits, or about half of that (default: $LULL_KV, "    \
            "else f16)"                                                                            \
    }
#define LULL_CMD_ACTIVATIONS_OPTION(to)                                                            \
    {                                                                                              \
        0, "activations", NULL, LULL_OPT_CHOICE, to, 0, 0, "8|16",                                 \
            "bits of what weights are multiplied with: 16 is nearer to exact and reads prompts "   \
            "slower (default: $LULL_ACTIVATIONS, else 8)"                                          \
    }

/* Open a model with a progress bar and Ctrl-C. n_threads: 0 for the default. */
LULL_NODISCARD lull_status lull_cmd_open_model(const char *path, int n_threads,
                                               lull_cmd_numerics numerics, int flags,
                                               lull_model **model, lull_error *err);

/* A session of n_ctx positions (0: the model's context); warns beyond what the model was trained
 * on. */
LULL_NODISCARD lull_status lull_cmd_new_session(lull_model *model, size_t n_ctx,
                                                lull_session **session, lull_error *err);
size_t lull_cmd_n_ctx(const lull_session *s); /* positions, free or not */

/* A text comes from -p TEXT, -f FILE ("-" is standard input) or, with neither, from standard input
 * when that is no terminal. Returns -1 when there is exactly one, else LULL_EXIT_USAGE after a
 * message. */
int lull_cmd_check_text(const char *verb, const char *text, const char *file);
/* *out is owned: free(). Failures as lull_file_read. */
LULL_NODISCARD lull_status lull_cmd_read_text(const char *text, const char *file, char **out,
                                              size_t *n_bytes, lull_error *err);

typedef struct lull_cmd_tokens {
    int32_t *ids; /* owned: lull_cmd_tokens_fini */
    size_t n;
} lull_cmd_tokens;

/* text [n_bytes] -> ids; flags: LULL_TOKENIZE_*. */
LULL_NODISCARD lull_status lull_cmd_tokenize_text(const lull_model *model, const char *text,
                                                  size_t n_bytes, int flags, lull_cmd_tokens *out,
                                                  lull_error *err);
/* Put the beginning-of-sequence token in front when the file asks for it and it is not there yet:
 * chat templates write their own. */
LULL_NODISCARD lull_status lull_cmd_add_bos(const lull_model *model, lull_cmd_tokens *tokens,
                                            lull_error *err);
/* Ids apart by commas or blanks, in brackets or not: "1,2,3", a JSON array, a column. text is
 * NUL-terminated after n_bytes; what names the source in messages. LULL_EINVAL with the place of
 * the first bad one. */
LULL_NODISCARD lull_status lull_cmd_parse_tokens(const char *text, size_t n_bytes, const char *what,
                                                 lull_cmd_tokens *out, lull_error *err);
void lull_cmd_tokens_fini(lull_cmd_tokens *t);

/* Evaluate tokens [n] in pieces under a progress bar, so that Ctrl-C is heard. Fails as
 * lull_session_eval; LULL_EFULL names both numbers and --ctx. */
LULL_NODISCARD lull_status lull_cmd_eval_prompt(lull_session *s, const int32_t *tokens, size_t n,
                                                lull_error *err);

/* Strings of a model need not be valid UTF-8: invalid bytes become U+FFFD. Owned: json_decref. */
json_t *lull_cmd_json_text(const char *s, size_t n_bytes);
json_t *lull_cmd_json_tokens(const int32_t *ids, size_t n);
/* Print and release; LULL_EXIT_OK or, when memory ran out, LULL_EXIT_FAILED. */
int lull_cmd_print_json(json_t *value);

/* log(sum(exp(logits))) of [n] f32, in double. */
double lull_cmd_log_sum_exp(const float *logits, size_t n);

/* ---- stats.c -------------------------------------------------------------------------------- */

/* What one answer took. */
typedef struct lull_cmd_timings {
    size_t n_prompt;    /* tokens of the prompt */
    size_t n_evaluated; /* of them, evaluated now; the others were still in the session */
    size_t n_generated;
    size_t n_evals;                     /* passes through the model for them */
    size_t n_drafted, n_accepted;       /* of the generated ones: guessed, and guessed right */
    double load_ms, wake_ms, prompt_ms; /* prompt_ms: the evaluation of n_evaluated tokens */
    double first_token_ms; /* from the start of that evaluation to the first generated token */
    double gen_ms;         /* the generation, first to last token */
    double decode_ms;      /* of gen_ms, what came after the first token */
} lull_cmd_timings;

/* Tokens a second; 0 when there is nothing to measure. The first generated token costs no step of
 * its own, so that the generation rate is of the tokens after it. */
double lull_cmd_prompt_rate(const lull_cmd_timings *t);
double lull_cmd_gen_rate(const lull_cmd_timings *t);
/* The "timings" object of lull run --json. Owned: json_decref. */
json_t *lull_cmd_timings_json(const lull_cmd_timings *t);
/* Memory and timings, for people, on standard error. */
void lull_cmd_print_stats(const lull_model *model, const lull_session *s,
                          const lull_cmd_timings *t);

/* ---- roofs.c -------------------------------------------------------------------------------- */

/* [{"threads": 1, "read_bytes_s": ..., ...}, ...]. Owned: json_decref. */
json_t *lull_cmd_roofs_json(const lull_roofs *roofs, size_t n);
/* A line for each number of threads, on standard output. */
void lull_cmd_print_roofs(const lull_roofs *roofs, size_t n);

/* ---- interrupt.c ---------------------------------------------------------------------------- */

/* From here on the first SIGINT, SIGTERM or SIGHUP is noted and cancels the watched session; the
 * second one kills as usual. Forgets what was noted before. */
void lull_interrupt_arm(void);
/* s is kept until the next call or disarm; NULL: none. Cancelled at once when a signal was
 * noted. */
void lull_interrupt_watch(lull_session *s);
void lull_interrupt_disarm(void);
/* The signal noted since arm; 0 for none. */
int lull_interrupt_signal(void);

/* ---- sampling.c ----------------------------------------------------------------------------- */

enum { LULL_SAMPLING_ROWS = 20 };

typedef struct lull_sampling_values {
    float floats[7];
    int64_t integers[7];
} lull_sampling_values;

/* The generation options that run and chat share. rows goes into a group of the lull_cli. */
typedef struct lull_cmd_sampling {
    lull_option rows[LULL_SAMPLING_ROWS];
    lull_sampling s;
    int64_t top_k, penalty_window, max_tokens, seed;
    bool ignore_eog;
    lull_strings stop, bias_args;
    lull_logit_bias bias[LULL_STRINGS_CAP];
    const char *schema_file, *gbnf_file, *regex, *choice, *loop_guard, *draft;
    char *grammar;                 /* owned, by lull_sampling_fini; NULL: none */
    lull_logit_bias *slept_bias;   /* the same, of lull_sampling_wake */
    lull_sampling_values defaults; /* what lull_sampling_is_given compares with */
} lull_cmd_sampling;

/* Fill the rows; temperature and top_p are the defaults of the verb. a stays where it is: rows
 * point into it. */
void lull_sampling_init(lull_cmd_sampling *a, float temperature, float top_p);
/* Before parsing, after a verb has changed more defaults: take them for such. */
void lull_sampling_keep_defaults(lull_cmd_sampling *a);
/* After parsing, before lull_sampling_apply: does any option but -n differ from its default? */
bool lull_sampling_is_given(const lull_cmd_sampling *a);
/* After parsing: put everything into *opt, which then points into a. Draws a seed when none was
 * given. Returns -1, or an exit status after a message. */
int lull_sampling_apply(lull_cmd_sampling *a, const char *verb, lull_generate_options *opt);
/* The sampling that the session fell asleep with, if any, into *opt, which then points into a: the
 * session's own is gone with its next generation. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_sampling_wake(lull_cmd_sampling *a, const lull_session *s,
                                              lull_generate_options *opt, lull_error *err);
void lull_sampling_fini(lull_cmd_sampling *a);

#endif
