/* What the public objects are inside. A model owns the device and the pool of pages; its mutex
 * makes evaluations take turns. */
#ifndef LULL_ENGINE_ENGINE_H
#define LULL_ENGINE_ENGINE_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "jinja.h"
#include "lull/lull.h"
#include "mask.h"
#include "model.h"
#include "page.h"
#include "store.h"
#include "tokenizer.h"

struct lull_model {
    lull_gguf *gguf;       /* owned by core when there is one */
    lull_model_core *core; /* NULL: vocabulary only */
    lull_device *device;
    lull_page_pool *pool;
    lull_tokenizer *tokenizer;
    lull_jinja *chat_template;  /* parsed at first use, under mutex */
    char *template_text, *name; /* owned; NULL, "" when the file has none */
    lull_digest kv_identity;    /* equal for equal bytes of pages; card.c */
    lull_digest tokenizer_identity;
    char *card;        /* owned */
    char *cache_dir;   /* owned; "": none */
    lull_store *store; /* kept: where prompts are looked up, too; NULL: nowhere */
    double load_ms;
    int n_threads;

    pthread_mutex_t constraint_mutex; /* guards the next four */
    lull_trie *trie;                  /* of the vocabulary, made when it is first asked for */
    struct lull_control *controls; /* [n_controls] owned, by token: the names that grammars use */
    size_t n_controls;
    struct lull_constraint
        *constraints; /* compiled grammars that nobody uses now, the last one first */

    pthread_mutex_t drift_mutex; /* guards the next one; taken before `mutex` */
    char *drift_card;            /* owned: the card with the drift; NULL until it is measured */

    pthread_mutex_t mutex; /* guards the device, the program's memory and all below */
    int max_positions;     /* that the device is planned for */
    int32_t *row_tokens, *row_pos, *row_seq, *out_rows; /* [max_rows] */
    lull_kv_view *views;                                /* [max_rows] */
    lull_session **owners; /* [max_rows] whose logits an output row is */
};

/* The last generation, as far as going on with it needs. */
typedef struct lull_generation {
    bool is_there;
    size_t start,
        end; /* tokens of the session before it, and at its end; both 0: it was cut into */
    uint64_t n_handed; /* bytes of its text that were handed out */
    lull_finish finish;
    lull_generate_options
        options; /* what its pointers lead to is owned; on_text and user are NULL */
} lull_generation;

/* Tokens [0, n_kv) have their keys and values in the pages; [n_kv, n_tokens) were accepted and
 * wait for the next evaluation. Full pages [0, n_published) are published under keys[i], so that other
 * sequences find them. */
struct lull_session {
    lull_model *model; /* kept */
    size_t n_ctx;
    int32_t *tokens; /* [n_ctx] owned */
    size_t n_tokens, n_kv;
    lull_page_table table;
    lull_digest *keys; /* [n_ctx / 64] owned */
    size_t n_published;
    size_t n_checked; /* pages [0, n_checked) are fit to be read: own, or compared with checksums */
    size_t window_checked; /* and so are the sliding planes of those from here on */
    lull_reuse reuse;
    float *logits; /* [n_vocab] owned; those after the last token when has_logits */
    bool has_logits;
    int32_t likeliest; /* the first of the largest logits, when has_logits */
    bool is_in_batch;  /* marks repeats while a batch is checked */
    bool is_alone;     /* shares no pages: all that it has, it computed */
    bool re_reads;     /* pages that turn out to be damaged are computed again */
    lull_store *store; /* kept: where `state` is */
    int64_t state;     /* that it woke from or was put to sleep as; 0: none */
    json_t *data;      /* owned, an object; NULL: empty */
    lull_generation generation;
    atomic_bool is_cancelled;
};

/* The name of a numerics class; neither is the default. Static. */
const char *lull_numerics_of(lull_kv_kind kv, lull_activations activations);
const char *lull_model_numerics(const lull_model *m);

/* The digest of all tokenizer.ggml.* entries, in order of their keys: what text becomes which ids.
 * LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_tokenizer_identify(const lull_gguf *g, lull_digest *out,
                                                   lull_error *err);
/* The card of a model whose tokenizer has been identified, into m->card, and the digest of what in it pages depend on, into
 * m->kv_identity. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_model_identify(lull_model *m, lull_error *err);

/* The card for a state: the model's own and, when it keeps 8-bit keys and values, their drift, which is
 * measured at the first time; without it when that fails, or when is_cancelled is set meanwhile: sleeping
 * comes first. A view until the model is closed. */
const char *lull_state_card(lull_model *m, const atomic_bool *is_cancelled);

/* BLAKE2b-256(kv identity ‖ parent's key, or zeros ‖ 64 token ids, little-endian). */
lull_digest lull_page_key(const lull_digest *kv_identity, const lull_digest *parent,
                          const int32_t *tokens);

/* A session that computes all that it has, into pages of `pool`, which is kept: of the model, or one whose
 * layout is that of the other kind of keys and values. 1 <= n_ctx. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_session_new_alone(lull_model *model, lull_page_pool *pool,
                                                  size_t n_ctx, lull_session **out,
                                                  lull_error *err);

/* Make the logits after the last token valid, evaluating what waits. Failures of
 * lull_session_eval. */
LULL_NODISCARD lull_status lull_session_refresh(lull_session *s, lull_error *err);

/* Evaluate what waits, without logits; lull_session_cancel does not reach it. Failures of
 * lull_session_eval. */
LULL_NODISCARD lull_status lull_session_settle(lull_session *s, lull_error *err);

/* ---- reuse.c --------------------------------------------------------------------------------- */

/* Publish the pages that have become full. */
void lull_session_publish_pages(lull_session *s);
/* Forget the keys and values of positions from n_kv on; the tokens stay. */
void lull_session_forget(lull_session *s, size_t n_kv);
/* Compare what was mapped with its checksums, before its first use; planes of sliding windows apart.
 * LULL_ECORRUPT, unless the session reads again what is damaged: it is forgotten then. */
LULL_NODISCARD lull_status lull_session_check(lull_session *s, lull_error *err);
/* The same of the sliding planes that the next evaluation reads. Positions [*from, *to) are to be computed
 * before that, whole pages but for the end, since their sliding planes are missing; equal: none. */
LULL_NODISCARD lull_status lull_session_check_window(lull_session *s, size_t *from, size_t *to,
                                                     lull_error *err);
/* Take pages that are known for the tokens that wait before position end, as long as whole ones are. */
void lull_session_take_known(lull_session *s, size_t end);
/* The page of a view, whose pin is taken; key NULL: not published. NULL: out of memory. */
lull_page *lull_page_of_view(lull_page_pool *pool, lull_store *store, const lull_store_view *view,
                             const lull_digest *key);

/* ---- drift.c --------------------------------------------------------------------------------- */

/* What 8-bit keys and values change in the predictions after each token of a text. */
typedef struct lull_drift {
    uint64_t n_tokens, n_same;  /* n_same: whose likeliest next token is that of f16 */
    double mean_kl, largest_kl; /* KL(f16 || q8), nats */
} lull_drift;
/* Of a model of kind q8: from the cache, else measured, which takes as long as reading 640 tokens.
 *   LULL_ECANCELLED  is_cancelled was set;  LULL_ENUMERIC  LULL_ENOMEM */
LULL_NODISCARD lull_status lull_drift_find(lull_model *m, const atomic_bool *is_cancelled,
                                           lull_drift *out, lull_error *err);

/* ---- generation.c ---------------------------------------------------------------------------- */

void lull_generation_fini(lull_generation *g); /* accepts a zeroed one */
/* *to is zeroed on failure, LULL_ENOMEM; what it held before is freed in either case. */
LULL_NODISCARD lull_status lull_generation_copy(lull_generation *to, const lull_generation *from,
                                                lull_error *err);
/* As JSON, NULL: out of memory; and from JSON of unknown origin: LULL_ECORRUPT names the member. */
json_t *lull_generation_save(const lull_generation *g);
/* A value as text, owned (free()); NULL without memory for all of it. json_dumps leaves out keys for which
 * memory runs out, and says nothing. */
char *lull_json_text(const json_t *value, size_t flags);
LULL_NODISCARD lull_status lull_generation_load(lull_generation *g, const json_t *json,
                                                size_t n_tokens, int n_vocab, lull_error *err);

/* ---- constraint.c ---------------------------------------------------------------------------- */

/* A grammar compiled for a model, at its beginning: the caller's alone until it is given back. Failures of
 * lull_grammar_check. */
typedef struct lull_constraint lull_constraint;
typedef struct lull_control {
    int32_t token;
    char *text; /* owned */
} lull_control;
LULL_NODISCARD lull_status lull_constraint_take(lull_model *m, lull_grammar_kind kind,
                                                const char *text, lull_constraint **out,
                                                lull_error *err);
void lull_constraint_give(lull_model *m, lull_constraint *c); /* accepts NULL */
void lull_constraints_free(lull_model *m);                    /* and the trie */
lull_masker *lull_constraint_masker(lull_constraint *c);
/* Take a token in. Failures of lull_masker_push. */
LULL_NODISCARD lull_status lull_constraint_push(lull_constraint *c, const lull_model *m,
                                                int32_t token, lull_error *err);
/* The token that must come next, when the text goes on in one way only; -1: the model is to choose.
 * A function of the text so far alone. scratch: memory to be used again. */
LULL_NODISCARD lull_status lull_constraint_forced(lull_constraint *c, const lull_tokenizer *t,
                                                  lull_token_list *scratch, int32_t *token,
                                                  lull_error *err);

/* ---- draft.c --------------------------------------------------------------------------------- */

/* Guesses at what comes next, from the session's own tokens. Right or wrong, they change nothing but the
 * time that a generation takes. */
enum { LULL_DRAFT_MOST = 11 };
typedef struct lull_drafter {
    uint32_t
        *next; /* owned [n_slots]: the position after the last three tokens of this hash; 0: none */
    size_t n_slots; /* a power of two */
    size_t n_indexed;
    int length, most; /* tokens to draft now; at most */
    int n_misses;     /* drafts in a row that were all wrong */
    int pause;        /* tokens to go before the next one */
    size_t n_drafted, n_accepted;
} lull_drafter;
/* most: 0 for LULL_DRAFT_MOST. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_drafter_init(lull_drafter *d, size_t n_ctx, int most,
                                             lull_error *err);
void lull_drafter_fini(lull_drafter *d); /* accepts a zeroed one */
/* What may follow tokens [n], into draft [LULL_DRAFT_MOST]; at most `room`. How many; 0: no guess.
 * Tokens that were seen at an earlier call are still the same. */
int lull_drafter_propose(lull_drafter *d, const int32_t *tokens, size_t n, size_t room,
                         int32_t *draft);
/* How it went: the first n_accepted of n_drafted were right. */
void lull_drafter_learn(lull_drafter *d, int n_drafted, int n_accepted);

/* Evaluate the last token, which waits alone, and n more that are not of the session: logits [n + 1][n_vocab]
 * after each, and the likeliest token [n + 1] by them. The session stays as it was, but that its pages hold what lull_session_accept takes in.
 * Failures of lull_session_eval. */
LULL_NODISCARD lull_status lull_session_eval_draft(lull_session *s, const int32_t *draft, int n,
                                                   float *logits, int32_t *likeliest,
                                                   lull_error *err);
/* All tokens count as evaluated: they are those of the draft, as far as it goes. */
void lull_session_accept(lull_session *s);

/* ---- loop.c ---------------------------------------------------------------------------------- */

/* What a generated text repeats; zeroed at its beginning. */
enum { LULL_LOOP_SENTENCES = 64 };
typedef struct lull_loop {
    int32_t last_token;
    int n_tokens, n_lines, most_sentences;
    uint64_t line, last_line, sentence; /* hashes */
    size_t line_bytes, sentence_bytes;
    bool has_space; /* between the words of the sentence */
    uint64_t sentences[LULL_LOOP_SENTENCES];
    size_t n_sentences;
} lull_loop;
/* Take a token and its text in. LULL_FINISH_LENGTH: no guard was touched. */
lull_finish lull_loop_push(lull_loop *l, const lull_loop_guard *guard, int32_t token,
                           const char *text, size_t n_bytes);

/* Choosing a token. A sampler owns scratch memory, so that a step allocates nothing. */
typedef struct lull_candidate {
    float logit, p; /* p: not normalised */
    int32_t id;
} lull_candidate;

typedef struct lull_sampler {
    lull_sampling options;
    int n_vocab;
    lull_candidate *candidates; /* [n_vocab], NULL when greedy */
    float *adjusted;            /* [n_vocab], NULL without bias or penalties */
    uint16_t *counts;           /* [n_vocab], zero between steps; NULL without penalties */
} lull_sampler;

/* options' bias array is kept. LULL_EINVAL names the value that is out of range; LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_sampler_init(lull_sampler *s, const lull_sampling *options,
                                             int n_vocab, lull_error *err);
void lull_sampler_fini(lull_sampler *s);
/* The next token after tokens [n], whose logits [n_vocab] are given; a function of these, the
 * options, the mask and n alone. likeliest: the first of the largest logits, -1 when that is not known.
 * mask: not empty; NULL: all tokens are allowed. */
int32_t lull_sampler_choose(lull_sampler *s, const float *logits, int32_t likeliest,
                            const lull_mask *mask, const int32_t *tokens, size_t n);

/* Two 32-bit words of Philox4x32-10 (Salmon et al. 2011) for a key and a counter; [0, 1) in steps
 * of 2^-53. */
double lull_uniform(uint64_t seed, uint64_t position);

#endif
