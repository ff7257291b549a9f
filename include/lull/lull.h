/* lull: run a language model on this machine and keep what it has read.
 *
 * A model is opened once and shared; a session is one growing sequence of tokens with its keys and
 * values. The logits after a sequence are the same bits however it was evaluated: at once, in
 * pieces, alone, in a batch, on any number of threads, at any CPU level (docs/numerics.md).
 *
 *     lull_model *model;
 *     lull_session *session;
 *     lull_error err;
 *     if (lull_model_open("model.gguf", NULL, &model, &err)) return report(&err);
 *     if (lull_session_new(model, NULL, &session, &err)) return report(&err);
 *     lull_generate_options opt = lull_generate_options_default();
 *     if (lull_prompt(session, "Once upon a time", &err)) return report(&err);
 *     if (lull_generate(session, &opt, NULL, &err)) return report(&err);  // text: opt.on_text
 *     lull_session_free(session);
 *     lull_model_close(model);
 *
 * Threads: a model may be used from any thread; calls that compute on one model take turns inside.
 * One call at a time per session, except lull_session_cancel. No global state: several models live
 * side by side in a process. Ownership words: borrowed (during the call, the default), kept, owned
 * (by the caller), view (see its end). */
#ifndef LULL_LULL_H
#define LULL_LULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lull/numerics.h"
#include "lull/status.h"
#include "lull/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_model lull_model;
typedef struct lull_session lull_session;

/* ---- model ----------------------------------------------------------------------------------- */

/* Called with the work done so far and in all, in bytes; return false to cancel. */
typedef bool (*lull_progress_fn)(void *user, uint64_t done, uint64_t total);

enum { LULL_MAX_THREADS = 256 };

typedef struct lull_model_options {
    int n_threads; /* at most LULL_MAX_THREADS; 0: $LULL_THREADS, else the cores this process may use */
    const char *cpu_level; /* NULL: $LULL_CPU, else the best; "ref" "avx2" "avxvnni" "avx512"
                            * "avx512vnni" "amx", or "ref" "neon" */
    const char
        *cache_dir;  /* for repacked weights; NULL: $LULL_CACHE, else the XDG cache; "": none */
    bool vocab_only; /* tokenize only: sessions cannot be made */
    lull_kv_kind kv; /* how keys and values are kept; q8 needs heads of a multiple of 32 */
    lull_activations activations;
    uint64_t keep_bytes; /* keys and values kept for prompts to come; 0: 512 MiB, 1: none */
    lull_progress_fn on_progress; /* may be NULL; while the first load repacks weights */
    void *user;
} lull_model_options;

/* "f16", "q8"; NULL or "" is LULL_KV_DEFAULT. LULL_EINVAL names those that there are. */
LULL_API LULL_NODISCARD lull_status lull_kv_kind_parse(const char *name, lull_kv_kind *kind,
                                                       lull_error *err);

/* "8", "16"; NULL or "" is LULL_ACTIVATIONS_DEFAULT. LULL_EINVAL names those that there are. */
LULL_API LULL_NODISCARD lull_status lull_activations_parse(const char *name,
                                                           lull_activations *activations,
                                                           lull_error *err);

/* Open a GGUF file. options may be NULL. *model is owned: lull_model_close.
 *   LULL_ENOTFOUND LULL_EIO LULL_ECORRUPT
 *                      about the file; msg names path, offset and field
 *   LULL_EUNSUPPORTED  an architecture, tensor type, tokenizer, CPU level or kind of keys and values
 *                      that lull does not run
 *   LULL_EINVAL        an option is out of range
 *   LULL_ENOMEM LULL_ECANCELLED
 * On failure *model is NULL. A cache that cannot be written is no failure. */
LULL_API LULL_NODISCARD lull_status lull_model_open(const char *path,
                                                    const lull_model_options *options,
                                                    lull_model **model, lull_error *err);
/* Accepts NULL. All sessions of the model must be freed first. */
LULL_API void lull_model_close(lull_model *model);

typedef struct lull_model_info {
    const char *architecture, *name, *cpu_level, *numerics; /* views until close; name may be "" */
    int n_layer, n_head, n_kv, d_head, d_model, n_vocab, n_ctx_train;
    int n_window; /* sliding window in tokens; 0 when every layer is global */
    int n_threads;
    uint64_t n_params;
    uint64_t file_bytes;
    uint64_t weight_bytes;   /* repacked weights, mapped or resident */
    uint64_t decode_bytes;   /* weights read for one token */
    uint64_t kv_token_bytes; /* keys and values of one position */
    uint64_t work_bytes;     /* buffers of a step, shared by the sessions of the model */
    bool weights_from_cache; /* found there; false: repacked at this start */
    bool weights_are_mapped; /* still in the cache's file; false: in memory of the process */
    double load_ms;
    const char *chat_template; /* view; NULL when the file has none */
} lull_model_info;

LULL_API lull_model_info lull_model_get_info(const lull_model *model);

/* ---- text and tokens ------------------------------------------------------------------------- */

enum {
    /* Parse control tokens such as <|im_start|>; without it they are plain text. */
    LULL_TOKENIZE_SPECIAL = 1,
    /* Put the file's beginning-of-sequence token in front. */
    LULL_TOKENIZE_BOS = 2
};

/* text [n_bytes] -> ids in tokens [cap]; *n_tokens is the full count, also when it exceeds cap
 * (then the first cap are written; call again with room). tokens may be NULL when cap is 0. Invalid
 * UTF-8 is tokenised byte by byte.
 *   LULL_EINVAL  BOS was asked for and the file has none;  LULL_ENOMEM */
LULL_API LULL_NODISCARD lull_status lull_tokenize(const lull_model *model, const char *text,
                                                  size_t n_bytes, int flags, int32_t *tokens,
                                                  size_t cap, size_t *n_tokens, lull_error *err);

/* The bytes of one token, as they stand in running text; a view until close. Control tokens give
 * their name when with_special, else nothing. *n_bytes is 0 for ids out of range. Not
 * NUL-terminated. */
LULL_API const char *lull_token_text(const lull_model *model, int32_t token, bool with_special,
                                     size_t *n_bytes);

/* tokens [n] -> text in buf [cap], NUL-terminated when there is room; *n_bytes is the full length
 * without the NUL. */
LULL_API LULL_NODISCARD lull_status lull_detokenize(const lull_model *model, const int32_t *tokens,
                                                    size_t n, bool with_special, char *buf,
                                                    size_t cap, size_t *n_bytes, lull_error *err);

LULL_API int32_t lull_token_bos(const lull_model *model); /* -1: none */
/* End of sequence or of turn. */
LULL_API bool lull_token_is_eog(const lull_model *model, int32_t token);
/* The file asks for BOS in front of a prompt. */
LULL_API bool lull_model_adds_bos(const lull_model *model);

typedef struct lull_message {
    const char *role;    /* "system", "user", "assistant", "tool" */
    const char *content; /* NUL-terminated UTF-8 */
} lull_message;

/* Render messages [n] with the file's chat template. *text is owned: lull_free.
 *   LULL_ENOTFOUND     the file has no template
 *   LULL_EINVAL        the template raised an error about the messages; msg is its text
 *   LULL_EUNSUPPORTED  the template uses something that lull does not know; msg names line and column
 *   LULL_EFULL         it runs into a bound of steps, depth or output
 *   LULL_ENOMEM */
LULL_API LULL_NODISCARD lull_status lull_chat_render(const lull_model *model,
                                                     const lull_message *messages, size_t n,
                                                     bool add_generation_prompt, char **text,
                                                     lull_error *err);

/* A conversation as programs exchange it, for templates that know tools and more than text. All texts are
 * JSON, borrowed, and passed on to the template as they are, as the transformers library does. */
typedef struct lull_chat_request {
    /* An array of objects: role, content (a string, null, or a list of parts), tool_calls and whatever
     * else. Arguments of a tool call that are a string with a JSON object in it become that object. */
    const char *messages;
    const char *tools;          /* an array of JSON schemas; NULL: none */
    const char *variables;      /* an object: more variables, such as enable_thinking; NULL: none */
    const char *template_text;  /* Jinja; NULL: the file's own */
    bool add_generation_prompt; /* end with what stands in front of an answer */
} lull_chat_request;

/* Render a request. The template sees messages, tools, documents (null unless among the variables),
 * add_generation_prompt, bos_token, eos_token, and the variables. *text is owned: lull_free.
 *   LULL_EINVAL  as lull_chat_render, or one of the texts is no such JSON: msg begins with its name
 *                ("messages: line 3, column 7: ..."); or a variable is called messages, tools or
 *                add_generation_prompt
 *   else as lull_chat_render */
LULL_API LULL_NODISCARD lull_status lull_chat_render_json(const lull_model *model,
                                                          const lull_chat_request *request,
                                                          char **text, lull_error *err);
LULL_API void lull_free(void *p); /* what lull gave away as owned memory; accepts NULL */

/* ---- session --------------------------------------------------------------------------------- */

typedef struct lull_session_options {
    size_t n_ctx; /* positions; 0: the model's training context */
} lull_session_options;

/* *session is owned: lull_session_free; model is kept. options may be NULL.
 *   LULL_EINVAL  the model is vocab_only, or the context is too long;  LULL_ENOMEM */
LULL_API LULL_NODISCARD lull_status lull_session_new(lull_model *model,
                                                     const lull_session_options *options,
                                                     lull_session **session, lull_error *err);
LULL_API void lull_session_free(lull_session *session);

LULL_API size_t lull_session_n_tokens(const lull_session *s);
LULL_API size_t lull_session_room(const lull_session *s); /* free positions */
/* [n_tokens] view until the next call on s. */
LULL_API const int32_t *lull_session_tokens(const lull_session *s);
LULL_API uint64_t lull_session_kv_bytes(const lull_session *s);

/* A new session that begins as the first n tokens of another one of its model (n may exceed the
 * count: all). Pages are shared, nothing is computed, and neither sees what the other does. *out is
 * owned. The context is as long as the other's. LULL_ENOMEM. */
LULL_API LULL_NODISCARD lull_status lull_session_fork(const lull_session *s, size_t n,
                                                      lull_session **out, lull_error *err);

/* How the tokens of a session came to their keys and values, since it was made: from pages in
 * memory that it or another session had computed, from a store, or by evaluation. */
typedef struct lull_reuse {
    uint64_t from_memory, from_disk, computed; /* tokens */
} lull_reuse;
LULL_API lull_reuse lull_session_reuse(const lull_session *s);

/* Evaluate tokens [n] at the end of the session. Whole pages of 64 tokens that are known already,
 * after the same tokens, are taken instead of computed: from memory, or from the store of
 * lull_model_use_store. They are the same bits. *logits: view [n_vocab] f32 after the last one,
 * natural-log scale, not normalised, until the next call on s; logits may be NULL, which saves the
 * last matmul. On failure the session is as it was:
 *   LULL_EINVAL     n is 0 or an id is out of range (named with its index)
 *   LULL_EFULL      fewer than n positions are free
 *   LULL_ECANCELLED lull_session_cancel() was called
 *   LULL_ENUMERIC   a logit is not finite
 *   LULL_ECORRUPT   a page that the session woke with has not the bytes that were put to sleep
 *   LULL_EIO        the bytes of such a page cannot be read
 *   LULL_ENOMEM     no memory for the copy of a page that is to be written, or for pages from a store
 * Cost: reads every weight once per 512 tokens. Allocates nothing, but for pages taken from a store
 * and a copy of the page that is written first, where others hold it. */
LULL_API LULL_NODISCARD lull_status lull_session_eval(lull_session *s, const int32_t *tokens,
                                                      size_t n, const float **logits,
                                                      lull_error *err);

/* Append as many of tokens [n] as are known, in whole pages, and evaluate none. *n_known: how many were
 * appended, 0 when the session does not end where a page does. For prompts that are evaluated piece by
 * piece, or only asked about. LULL_EINVAL LULL_EFULL LULL_ECORRUPT as lull_session_eval. */
LULL_API LULL_NODISCARD lull_status lull_session_recall(lull_session *s, const int32_t *tokens,
                                                        size_t n, size_t *n_known, lull_error *err);

/* Receives the logits [n_vocab] after tokens[index]; a view during the call. Return false to
 * cancel. */
typedef bool (*lull_row_fn)(void *user, size_t index, const float *logits);

/* As lull_session_eval, with the logits after every token, in order. May keep the tokens before the
 * one at which it failed or was cancelled: see lull_session_n_tokens. */
LULL_API LULL_NODISCARD lull_status lull_session_eval_each(lull_session *s, const int32_t *tokens,
                                                           size_t n, lull_row_fn on_row, void *user,
                                                           lull_error *err);

/* One step of several sessions of one model at once: the weights are read once for all. */
typedef struct lull_batch_item {
    lull_session *session; /* each at most once a batch */
    const int32_t *tokens; /* [n] borrowed */
    size_t n;
    const float *logits; /* out: as in lull_session_eval */
} lull_batch_item;

/* Either all items are evaluated or none; failures as lull_session_eval, msg names the item. */
LULL_API LULL_NODISCARD lull_status lull_batch_eval(lull_batch_item *items, size_t n_items,
                                                    lull_error *err);

/* Forget all but the first n tokens; n may exceed the count (no effect). */
LULL_API void lull_session_truncate(lull_session *s, size_t n);

/* Ask a running call on s, from any thread or a signal handler, to stop soon with LULL_ECANCELLED.
 * With none running, the next lull_session_eval or lull_generate stops at once. */
LULL_API void lull_session_cancel(lull_session *s);

/* Tokenize a text (control tokens parsed; BOS where the file asks and the session is empty) and
 * evaluate it. Failures of lull_tokenize and lull_session_eval; an empty text at an empty session
 * without BOS is LULL_EINVAL. */
LULL_API LULL_NODISCARD lull_status lull_prompt(lull_session *s, const char *text, lull_error *err);

/* ---- generation ------------------------------------------------------------------------------ */

typedef struct lull_logit_bias {
    int32_t token;
    float bias; /* added to the logit; -INFINITY bans the token */
} lull_logit_bias;

/* The order of steps: bias, penalties, then greedy when temperature is 0; otherwise top-k,
 * typical-p, top-p, min-p, temperature, draw. Candidates are ordered by logit, then by id, so that
 * every step is deterministic. */
typedef struct lull_sampling {
    float temperature;           /* 0: greedy, the lowest id among equal logits */
    int top_k;                   /* 0: off */
    float top_p;                 /* 1: off */
    float min_p;                 /* 0: off */
    float typical_p;             /* 1: off */
    float repeat_penalty;        /* 1: off */
    float frequency_penalty;     /* 0: off */
    float presence_penalty;      /* 0: off */
    int penalty_window;          /* tokens looked back on; 0: off, -1: all */
    uint64_t seed;               /* the draw for position p is a function of (seed, p) alone */
    const lull_logit_bias *bias; /* kept [n_bias] */
    size_t n_bias;
} lull_sampling;

LULL_API lull_sampling lull_sampling_default(void); /* greedy, everything off */

typedef enum lull_finish {
    LULL_FINISH_LENGTH,       /* max_tokens were generated */
    LULL_FINISH_STOP,         /* the model's own end of sequence or of turn */
    LULL_FINISH_CONTEXT,      /* the context is full */
    LULL_FINISH_CANCELLED,    /* lull_session_cancel(), or on_text returned false */
    LULL_FINISH_STOP_STRING,  /* one of `stop` */
    LULL_FINISH_STOP_TOKEN,   /* one of `stop_tokens` */
    LULL_FINISH_COMPLETE,     /* the grammar allows nothing more */
    LULL_FINISH_LOOP_TOKEN,   /* the same token too often: lull_loop_guard */
    LULL_FINISH_LOOP_LINE,    /* the same line */
    LULL_FINISH_LOOP_SENTENCE /* the same sentence */
} lull_finish;

/* "length" "stop" "context" "cancelled" "stop_string" "stop_token" "complete" "loop_token" "loop_line"
 * "loop_sentence" */
LULL_API const char *lull_finish_name(lull_finish f);

/* What a generated text must be. */
typedef enum lull_grammar_kind {
    LULL_GRAMMAR_NONE,
    LULL_GRAMMAR_JSON_SCHEMA, /* JSON that a schema (draft 2020-12) allows */
    LULL_GRAMMAR_GBNF,        /* llama.cpp's notation; begins with the rule "root" */
    LULL_GRAMMAR_REGEX,       /* all of a regular expression (ECMA-262 as far as it is regular) */
    /* JSON: a string for itself, or {"sequence": [part…]}, {"choice": [part…]}, {"repeat": part, "min",
     * "max"}, {"regex": string}, {"schema": JSON Schema}, {"special": the name of a control token}. */
    LULL_GRAMMAR_PARTS
} lull_grammar_kind;
/* "none" "json_schema" "gbnf" "regex" "parts" */
LULL_API const char *lull_grammar_kind_name(lull_grammar_kind kind);

/* Whether a grammar can be compiled, without a model.
 *   LULL_EINVAL       it is not written as its kind is, with the place; or no text matches it
 *   LULL_EUNSUPPORTED something in it cannot be honoured, named with its place
 *   LULL_EFULL        it is too large or nested too deeply;  LULL_ENOMEM */
LULL_API LULL_NODISCARD lull_status lull_grammar_check(lull_grammar_kind kind, const char *grammar,
                                                       lull_error *err);

/* End a generation that goes round in circles; 0: never. */
typedef struct lull_loop_guard {
    int n_tokens; /* the same token so often in a row */
    int n_lines;  /* the same line in a row, empty ones apart */
    int n_sentences; /* the same sentence of 12 bytes or more among the last 64; cut at . ! ?, without regard
                        to case and spaces */
} lull_loop_guard;

/* Text as it becomes final: whole UTF-8 characters, never part of a stop string. n_bytes may be 0.
 * `token` is the token just accepted, -1 when held-back text is flushed at the end. Return false to
 * stop. */
typedef bool (*lull_text_fn)(void *user, const char *text, size_t n_bytes, int32_t token);

typedef struct lull_generate_options {
    lull_sampling sampling;
    size_t max_tokens;       /* SIZE_MAX: until the context is full */
    const char *const *stop; /* kept [n_stop] strings; the text ends before the first match */
    size_t n_stop;
    const int32_t *stop_tokens; /* kept [n_stop_tokens], beside the model's own */
    size_t n_stop_tokens;
    bool ignore_eog; /* go on past the model's own end tokens; no effect with a grammar */
    lull_grammar_kind grammar_kind;
    const char
        *grammar; /* kept; NULL without one. What has only one way to go on is not computed. */
    lull_loop_guard loop_guard;
    bool holds_text;    /* what may become a stop string stays held back at the end of the call, for
                             lull_generate_more; otherwise it is handed out */
    bool shows_control; /* the text has the names of control tokens, but for the end: for who takes
                             replies apart */
    int draft; /* tokens that are guessed at once from what stands in the session, and evaluated together:
                * the same result, sooner where texts repeat. 0: as many as pay; -1: none; else at most so
                * many. Not under a grammar. */
    lull_text_fn on_text; /* may be NULL */
    void *user;
} lull_generate_options;

/* Greedy, until the model ends. */
LULL_API lull_generate_options lull_generate_options_default(void);

typedef struct lull_generate_result {
    lull_finish finish;
    size_t n_tokens; /* generated, an end token included */
    double first_ms, total_ms;
    size_t n_evals; /* passes through the model: fewer than tokens where a grammar forces some, or a
                     * draft evaluates several at once */
    size_t n_drafted, n_accepted; /* guessed tokens, and those of them that were right */
} lull_generate_result;

/* Go on from the session's last token (its logits are computed again when the last call left none).
 * Each generated token is appended to the session; the last one too, evaluated or not, so that a
 * later eval continues after it. result may be NULL. Cancelling is a finish, not a failure.
 *   LULL_EINVAL  the session is empty or a sampling value is out of range (named)
 *   otherwise the failures of lull_session_eval */
LULL_API LULL_NODISCARD lull_status lull_generate(lull_session *s,
                                                  const lull_generate_options *options,
                                                  lull_generate_result *result, lull_error *err);

/* Go on with the session's last generation where it ended, be it in another process: with the options
 * that it had, but for max_tokens, on_text and user. What it has handed out is not handed out again,
 * and what it held back for a stop string still counts, so that the pieces together are the text of
 * one uninterrupted call.
 *   LULL_EINVAL  no generation ended last in this session: tokens were evaluated or forgotten since
 *   otherwise as lull_generate */
LULL_API LULL_NODISCARD lull_status lull_generate_more(lull_session *s, size_t max_tokens,
                                                       lull_text_fn on_text, void *user,
                                                       lull_generate_result *result,
                                                       lull_error *err);
/* The sampling of the session's last generation, of this process or of the one that put it to sleep;
 * false: there was none. bias is a view until the next call on s. */
LULL_API bool lull_session_sampling(const lull_session *s, lull_sampling *sampling);

/* ---- sleeping and waking --------------------------------------------------------------------- */

/* What a session carries besides its tokens: values by key, put to sleep and woken with it. value:
 * JSON of any type; NULL takes the key away. "note" (a string) and "messages" (an array of {"role",
 * "content"}) are shown by the program; "generation" and "model" are lull's own.
 *   LULL_EINVAL  not JSON, or a key of lull's own;  LULL_ENOMEM */
LULL_API LULL_NODISCARD lull_status lull_session_set_data(lull_session *s, const char *key,
                                                          const char *value, lull_error *err);
/* The value as JSON, owned: lull_free. NULL: there is none. */
LULL_API char *lull_session_get_data(const lull_session *s, const char *key);

/* What made a state, as canonical JSON: {"kv": {weights, architecture, ...}, "tokenizer": digest,
 * "chat_template": digest or null}, "kv" null for a model that is vocab_only. A view until close. */
LULL_API const char *lull_model_card(const lull_model *model);

typedef enum lull_verdict {
    LULL_VERDICT_SAME,        /* the same bits as if it had never slept */
    LULL_VERDICT_CONVERTIBLE, /* its tokens mean the same: they can be read again */
    LULL_VERDICT_REFUSED      /* its tokens mean something else, or nobody knows */
} lull_verdict;
LULL_API const char *lull_verdict_name(lull_verdict v); /* "same" "convertible" "refused" */

enum { LULL_JUDGEMENT_FIELDS = 32 };
typedef struct lull_judgement {
    lull_verdict verdict;
    size_t n_fields; /* that differ; the first LULL_JUDGEMENT_FIELDS are told */
    struct {
        char name[48];  /* "weights", "window", "tokenizer" */
        char text[144]; /* "weights: the state's are 1f0c83…, the model's are 77b02e…" */
    } fields[LULL_JUDGEMENT_FIELDS];
} lull_judgement;

/* Compare the card of a state with a model's own, field by field. What is unknown is not equal.
 *   LULL_EINVAL  the model is vocab_only;  LULL_ENOMEM */
LULL_API LULL_NODISCARD lull_status lull_judge(const lull_model *model, const char *card,
                                               lull_judgement *out, lull_error *err);

/* Let prompts begin with what a store has; NULL: none. The store is kept: close it after the model. */
LULL_API void lull_model_use_store(lull_model *model, lull_store *store);

typedef struct lull_sleep_options {
    const char *name; /* NULL: none; the state is found by its id, until gc */
    int64_t parent; /* the state that it came from; 0: the one that the session woke from, if any */
    /* LULL_EEXIST unless name stands at this state, or for -1: is new. 0: it is moved from wherever it
     * stands, and its history keeps that. */
    int64_t expected;
    const char *const *tags; /* [n_tags] */
    size_t n_tags;
} lull_sleep_options;

/* Put all that the session is into a store, under a name. On LULL_OK it is durable, and the session
 * goes on as before. Writes the pages that are not there yet. *id (may be NULL): the state. The first
 * time that a model of kind q8 does so, its drift is measured for the card (docs/cards.md), which takes as
 * long as reading 640 tokens; lull_session_cancel ends that, and not the sleep.
 *   LULL_EINVAL (an empty session, a bad name)  LULL_EEXIST  LULL_EFULL (the disk)  LULL_EIO
 *   LULL_ECORRUPT (as lull_session_eval)  LULL_ENOMEM: nothing has changed */
LULL_API LULL_NODISCARD lull_status lull_sleep(lull_session *s, lull_store *store,
                                               const lull_sleep_options *options, int64_t *id,
                                               lull_error *err);

typedef struct lull_wake_options {
    size_t n_ctx;    /* positions; 0: the model's training context, or the state's tokens if more */
    size_t n_tokens; /* only the beginning; 0: all, or as many as name says */
    /* Evaluate the tokens again, as far as their keys and values are not to be had, when the state is
     * convertible, and when pages are damaged. */
    bool re_reads;
} lull_wake_options;

/* A session that goes on where a state was put to sleep, with the same bits. name: NAME, NAME@{n}, either
 * with :TOKEN behind, or #ID. options may be NULL. *out is owned; store is kept: free the session, close
 * the model, then the store. Maps pages and reads none: their checksums are compared before their first
 * use.
 *   LULL_ENOTFOUND  no such name, with the nearest;  LULL_EFULL  more tokens than positions
 *   LULL_EMISMATCH  the verdict is not "same"; msg names the field and what to do
 *   LULL_ECORRUPT LULL_EIO LULL_ENOMEM */
LULL_API LULL_NODISCARD lull_status lull_wake(lull_model *model, lull_store *store,
                                              const char *name, const lull_wake_options *options,
                                              lull_session **out, lull_error *err);
/* Compute a state again from its tokens, sharing nothing, and compare every byte of its keys and values.
 * *n_bad: pages that differ; planes that were thinned away are passed over. on_progress in tokens, may be
 * NULL. Failures as lull_wake and lull_session_eval; LULL_ECANCELLED. */
LULL_API LULL_NODISCARD lull_status lull_recompute(lull_model *model, lull_store *store,
                                                   int64_t state, lull_progress_fn on_progress,
                                                   void *user, size_t *n_bad, lull_error *err);
/* The state that the session woke from or was last put to sleep as; 0: none. */
LULL_API int64_t lull_session_state(const lull_session *s);

/* ---- machine --------------------------------------------------------------------------------- */

/* "0.1.0" */
LULL_API const char *lull_version(void);

#ifdef __cplusplus
}
#endif
#endif
