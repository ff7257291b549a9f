/* A model's computation as a graph of coarse operations, written once a family and lowered to the
 * steps of a device.
 *
 * Nodes are values f32 [rows][width], a row a token. They are added in the order of computation
 * and named by number. Lowering merges what a device does together (a norm in front of a
 * matmul, a gate behind two; several matmuls on one input; a matmul and the residual it is added to), plans one block
 * of memory for all values, and yields a program.
 *
 *     lull_node h = lull_graph_norm(g, x, weights, eps);
 *     x = lull_graph_add(g, x, lull_graph_linear(g, h, matrix));
 *
 * A graph is built and lowered by one thread. Building cannot fail but for memory: that is
 * remembered and reported by lull_graph_lower. */
#ifndef LULL_GRAPH_GRAPH_H
#define LULL_GRAPH_GRAPH_H

#include "device.h"

typedef struct lull_graph lull_graph;
typedef int lull_node;

lull_graph *lull_graph_new(void); /* NULL: out of memory */
void lull_graph_free(lull_graph *g);

/* table, matrix, weights and rope objects are kept by pointer; matrices may get their data after
 * lowering. */
lull_node lull_graph_embed(lull_graph *g, const lull_table *table, float scale);
lull_node lull_graph_norm(lull_graph *g, lull_node x, const float *weights, float eps);
lull_node lull_graph_linear(lull_graph *g, lull_node x, const lull_packed *matrix);
/* act(gate x) (up x), the two products elementwise; the matrices have the same shape. */
lull_node lull_graph_gated(lull_graph *g, lull_node x, lull_act act, const lull_packed *gate,
                           const lull_packed *up);
lull_node lull_graph_add(lull_graph *g, lull_node x, lull_node y);
/* Only the rows whose logits are wanted go on from here. Once a graph. */
lull_node lull_graph_gather(lull_graph *g, lull_node x);

typedef struct lull_attention {
    int layer, n_head, n_kv, d_head;
    int n_window; /* positions seen, the row's own included; 0: all before it */
    float scale;  /* of the scores */
    const lull_rope *rope;
    const float *q_norm, *k_norm; /* [d_head] norm of each head, or NULL */
    float eps;
} lull_attention;

/* Rotate q and k, append k and v to the pages, attend. q [n_head d_head], k and v [n_kv d_head] ->
 * [n_head d_head]. */
lull_node lull_graph_attention(lull_graph *g, lull_node q, lull_node k, lull_node v,
                               const lull_attention *a);

/* A lowered graph: steps and the memory they work in. */
typedef struct lull_program {
    lull_step *steps;    /* owned */
    int n_steps, n_body; /* the first n_body stand before the gather */
    uint8_t *memory;     /* owned */
    size_t memory_bytes;
    float *logits; /* view [max_out][n_vocab]: the last step's output */
    int n_logits;  /* its width */
    int max_rows, max_out, max_d_in;
} lull_program;

/* The last node is the result. max_rows: rows a run, at most; max_out: rows after the gather.
 *   LULL_ENOMEM. *p is zeroed on failure. */
LULL_NODISCARD lull_status lull_graph_lower(const lull_graph *g, int max_rows, int max_out,
                                            lull_program *p, lull_error *err);
void lull_program_fini(lull_program *p);

#endif
