/* A device runs steps: the coarse operations that a model's graph is lowered to. So far there is
 * one, the CPU; another device is another implementation of the same steps.
 *
 * Rows are tokens of one or several sequences, evaluated together; a row knows its position and
 * its sequence. Activations are f32 [rows][width] in buffers that the graph has planned. Results
 * do not depend on which rows are evaluated together, nor on the number of threads.
 *
 * Threads: one lull_device_run at a time; the owner serialises. */
#ifndef LULL_DEVICE_DEVICE_H
#define LULL_DEVICE_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "kernels.h"
#include "kv_layout.h"

typedef struct lull_device lull_device;

enum {
    LULL_LINEAR_MAX = 3,
    LULL_MAX_SHARED_HEADS = 48 /* query heads a KV head */
};

/* A table of embeddings: rows in their stored format, looked up and dequantised one at a time. */
typedef struct lull_table {
    lull_dtype dtype;
    int n_rows, n_cols;
    size_t row_bytes;
    const uint8_t *data; /* kept */
} lull_table;

/* Angles of rotary embeddings. A model has one kind, or two; `index` tells them apart. */
enum { LULL_MAX_ROPES = 2 };
typedef struct lull_rope {
    int index;
    const double *inv_freq; /* [n_pairs] kept */
    int n_pairs;
    bool is_neox;
} lull_rope;

typedef enum lull_op {
    LULL_OP_EMBED,    /* out = table[token] scale */
    LULL_OP_LINEAR,   /* x = in, or rms_norm(in): out_i = W_i x for 1 to 3 matrices, or
                       out_0 += W_0 x, or out_0 = act(W_0 x) (W_1 x) */
    LULL_OP_STORE_KV, /* [norm and] rotate heads of q (times scale) and k; k and v into the pages */
    LULL_OP_ATTEND,   /* out = softmax(q K) V over the pages of the row's sequence */
    LULL_OP_NORM_ADD, /* out = out + rms_norm(in) */
    LULL_OP_GATHER    /* out[i] = in[out_rows[i]]: only rows whose logits are wanted go on */
} lull_op;

typedef struct lull_step {
    lull_op op;
    bool is_after_gather; /* runs over batch.n_out rows instead of n_rows */
    int layer;
    float *in, *in2, *out[LULL_LINEAR_MAX]; /* f32 [rows][width] views into the plan's memory */
    int d_in;                               /* width of in; d_model for EMBED, GATHER, NORM_ADD */
    const lull_table *table;
    float scale;               /* EMBED; of q in STORE_KV */
    const float *norm, *norm2; /* weights: of in; of q and k heads in STORE_KV (NULL: none) */
    float eps;
    int n_w;
    bool is_added, is_gated;
    lull_act act;
    const lull_packed *w[LULL_LINEAR_MAX];
    const lull_rope *rope; /* STORE_KV */
    int n_head, n_window;  /* STORE_KV, ATTEND; window in positions, 0: global */
} lull_step;

/* What to evaluate. All arrays borrowed. */
typedef struct lull_batch {
    int n_rows;
    const int32_t *tokens, *pos,
        *seq; /* [n_rows]: id, position, index into views. Rows of a sequence stand together,
                                          positions ascending by one. */
    const lull_kv_view
        *views; /* a sequence each; pages of all positions up to its last row are there */
    const lull_rope *const *ropes; /* [n_ropes] of the model */
    int n_ropes;
    const lull_kv_layout *kv;
    int n_out;
    const int32_t *out_rows;         /* [n_out] ascending */
    const atomic_bool *is_cancelled; /* looked at between steps; may be NULL */
} lull_batch;

/* The largest sizes that the device is asked for, so that it can plan its work memory once. */
typedef struct lull_device_plan {
    int max_rows, max_d_in, max_head, max_d_head, max_positions, n_kv;
} lull_device_plan;

/* level: see lull_cpu_level_parse. activations: not the default. n_threads >= 1. *out is owned. */
LULL_NODISCARD lull_status lull_device_new_cpu(lull_cpu_level level, lull_activations activations,
                                               int n_threads, lull_device **out, lull_error *err);
void lull_device_free(lull_device *d);
/* May be called again for larger sizes. LULL_ENOMEM: the former plan stays in force. */
LULL_NODISCARD lull_status lull_device_plan_memory(lull_device *d, const lull_device_plan *plan,
                                                   lull_error *err);

lull_cpu_level lull_device_level(const lull_device *d);
lull_activations lull_device_activations(const lull_device *d);
/* As lull_top_fn (kernels.h), on the caller's thread. */
int32_t lull_device_top(const lull_device *d, const float *x, int n);
int lull_device_n_threads(const lull_device *d);
size_t lull_device_work_bytes(const lull_device *d);

/* Run the steps in order. Returns LULL_ECANCELLED when the batch was cancelled between steps: what
 * the steps write is then undefined, but for pages before the batch's first position. Allocates
 * nothing. */
LULL_NODISCARD lull_status lull_device_run(lull_device *d, const lull_step *steps, int n_steps,
                                           const lull_batch *batch);

/* Where the time of a list of steps goes. Filled by lull_device_run while it is set; the caller
 * zeroes it. Members are the device's threads. */
typedef struct lull_profile {
    const lull_step *steps; /* [n_steps] kept: these steps alone, whole or in parts */
    int n_steps;
    int64_t *wall_ns;        /* [n_steps] from the step's beginning until all members are through */
    atomic_llong *waited_ns; /* [n_steps] at the barrier that ends a step, summed over members */
} lull_profile;

/* profile: kept until another one, or NULL, is set. Not while the device runs. */
void lull_device_set_profile(lull_device *d, lull_profile *profile);

/* Run fn on the device's threads, for loading work. */
void lull_device_parallel(lull_device *d, void (*fn)(void *ctx, int member, int n_members),
                          void *ctx);

/* Zeroed memory that starts on a page boundary, taken from the system only when it is touched, in
 * huge pages where these are to be had; NULL when there is none. */
void *lull_memory_reserve(size_t n_bytes);
bool lull_memory_has_huge_pages(void);
void lull_memory_release(void *p, size_t n_bytes);

#endif
