/* What the public objects are inside. A model owns the device and the pool of pages; its mutex
 * makes evaluations take turns. */
#ifndef LULL_ENGINE_ENGINE_H
#define LULL_ENGINE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "jinja.h"
#include "lull/lull.h"
#include "model.h"
#include "page.h"
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
    double load_ms;
    int n_threads;

    pthread_mutex_t mutex; /* guards the device, the program's memory and all below */
    int max_positions;     /* that the device is planned for */
    int32_t *row_tokens, *row_pos, *row_seq, *out_rows; /* [max_rows] */
    lull_kv_view *views;                                /* [max_rows] */
    lull_session **owners; /* [max_rows] whose logits an output row is */
};

/* Tokens [0, n_kv) have their keys and values in the pages; [n_kv, n_tokens) were accepted and
 * wait for the next evaluation (at most the last one that a generation appended). Full pages
 * [0, n_published) are published under keys[i], so that other sequences find them. */
struct lull_session {
    lull_model *model; /* kept */
    size_t n_ctx;
    int32_t *tokens; /* [n_ctx] owned */
    size_t n_tokens, n_kv;
    lull_page_table table;
    lull_digest *keys; /* [n_ctx / 64] owned */
    size_t n_published;
    lull_reuse reuse;
    float *logits; /* [n_vocab] owned; those after the last token when has_logits */
    bool has_logits;
    bool is_in_batch; /* marks repeats while a batch is checked */
    atomic_bool is_cancelled;
};

/* The digest of a model's card, into m->kv_identity. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_model_identify(lull_model *m, lull_error *err);

/* BLAKE2b-256(kv identity ‖ parent's key, or zeros ‖ 64 token ids, little-endian). */
lull_digest lull_page_key(const lull_digest *kv_identity, const lull_digest *parent,
                          const int32_t *tokens);

/* Make the logits after the last token valid, evaluating what waits. Failures of
 * lull_session_eval. */
LULL_NODISCARD lull_status lull_session_refresh(lull_session *s, lull_error *err);

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
 * options and n alone. */
int32_t lull_sampler_choose(lull_sampler *s, const float *logits, const int32_t *tokens, size_t n);

/* Two 32-bit words of Philox4x32-10 (Salmon et al. 2011) for a key and a counter; [0, 1) in steps
 * of 2^-53. */
double lull_uniform(uint64_t seed, uint64_t position);

#endif
