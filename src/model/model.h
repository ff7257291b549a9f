/* Model families: from a GGUF file's metadata to weights and a graph. One file a family (llama.c,
 * gemma3.c, qwen3.c), which reads its hyper-parameters and writes the forward pass once.
 *
 * Legend of dimensions, used everywhere:
 *   n_layer   blocks           n_head  query heads      n_kv      key-value heads; divides n_head
 *   d_model   residual width   d_head  width of a head  d_ff      width of the feed-forward
 *   n_vocab   tokens           n_ctx   positions        n_window  positions a sliding layer sees
 *
 * A loaded model is immutable, but for where its weights lie (lull_weights_settle). */
#ifndef LULL_MODEL_MODEL_H
#define LULL_MODEL_MODEL_H

#include "arena.h"
#include "gguf.h"
#include "graph.h"
#include "hash.h"
#include "kv_layout.h"

typedef struct lull_config {
    int n_layer, n_head, n_kv, d_head, d_model, d_ff, n_vocab, n_ctx_train;
    float eps;
    int n_window; /* 0: no sliding layer */
    bool is_sliding[LULL_MAX_LAYERS];
    int n_ropes;
    lull_rope ropes[LULL_MAX_ROPES];
    const lull_rope *rope_list[LULL_MAX_ROPES];
} lull_config;

/* A matrix that the graph multiplies by, where its rows stand in the file. */
typedef struct lull_matrix {
    lull_packed packed; /* data is filled in by lull_weights_load */
    const lull_gguf_tensor *tensor;
    size_t offset; /* of its tiles among all packed weights */
} lull_matrix;

typedef struct lull_weights_copy lull_weights_copy;

/* Everything that is read-only for a model's life, but for where weights are (lull_weights_settle). */
typedef struct lull_model_core {
    lull_gguf *gguf;  /* owned */
    lull_arena arena; /* small objects: vectors, names, tables */
    char architecture[32];
    lull_config config;
    lull_kv_layout kv;
    lull_graph *graph; /* owned */
    lull_program program;
    lull_matrix **matrices; /* [n_matrices] in order of use */
    int n_matrices;
    uint64_t n_params;
    lull_digest weights_digest;
    uint8_t *packed;     /* owned (lull_weights_release): a map of the cache, or anonymous memory */
    size_t packed_bytes; /* of the map or memory */
    uint64_t weight_bytes; /* tiles alone */
    bool is_from_cache;    /* found there, not packed at this start */
    bool is_mapped;        /* a view of the cache's file; else in memory of our own */
    int runs_to_copy; /* runs until mapped weights are copied; 0: they are not, or it has begun */
    lull_weights_copy *copy; /* owned: under way; NULL: none */
} lull_model_core;

/* How weights are loaded. */
typedef struct lull_load_options {
    const char *cache_dir;                                          /* "" : none */
    bool (*on_progress)(void *user, uint64_t done, uint64_t total); /* may be NULL */
    void *user;
} lull_load_options;

/* Read hyper-parameters, check tensors, build and lower the graph. Takes gguf, also on failure. kv is
 * LULL_KV_F16 or LULL_KV_Q8.
 *   LULL_EUNSUPPORTED  an architecture, option or tensor that lull does not run (named), or a width of
 *                      heads that the kind of keys and values does not have
 *   LULL_ECORRUPT      a hyper-parameter or tensor shape that contradicts another (named)
 *   LULL_ENOTFOUND     a tensor or key is missing (named);  LULL_ENOMEM */
LULL_NODISCARD lull_status lull_model_core_new(lull_gguf *gguf, lull_kv_kind kv,
                                               lull_model_core **out, lull_error *err);
void lull_model_core_free(lull_model_core *m);

/* Get the matrices into their packed form: mapped from the cache when it holds them, else packed
 * now (and written to the cache if that works). weights.c; see docs/format-pack.md. LULL_ENOMEM,
 * LULL_ECANCELLED. */
LULL_NODISCARD lull_status lull_weights_load(lull_model_core *m, lull_device *device,
                                             const lull_load_options *options, lull_error *err);

/* Call before each run, while nothing else uses the model: moves mapped weights to huge pages, where there
 * are some, in steps that do not wait. The bytes stay what they are, lull_packed.data does not. */
void lull_weights_settle(lull_model_core *m);
void lull_weights_release(lull_model_core *m);

#endif
