/* Nodes as the builder stores them and lowering reads them. */
#ifndef LULL_GRAPH_NODE_H
#define LULL_GRAPH_NODE_H

#include "graph.h"

typedef enum node_kind {
    NODE_EMBED,
    NODE_NORM,
    NODE_LINEAR,
    NODE_GATED,
    NODE_ADD,
    NODE_GATHER,
    NODE_ATTENTION
} node_kind;

typedef struct node {
    node_kind kind;
    int width;
    bool is_after_gather;
    int n_in;
    lull_node in[3];
    const lull_table *table;
    const lull_packed *matrix, *matrix2; /* the second one: what is gated, of GATED */
    const float *weights;
    float scale, eps;
    lull_act act;
    lull_attention attention;
} node;

struct lull_graph {
    node *nodes; /* owned [cap] */
    int n, cap;
    bool is_failed;
};

#endif
