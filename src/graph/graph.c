#include "graph.h"

#include <assert.h>
#include <stdlib.h>

#include "node.h"

lull_graph *lull_graph_new(void)
{
    return calloc(1, sizeof(lull_graph));
}

void lull_graph_free(lull_graph *g)
{
    if (!g) return;
    free(g->nodes);
    free(g);
}

static lull_node add_node(lull_graph *g, node n)
{
    if (g->n == g->cap && !g->is_failed) {
        int cap = g->cap ? 2 * g->cap : 256;
        node *nodes = realloc(g->nodes, sizeof *nodes * (size_t)cap);
        if (nodes) {
            g->nodes = nodes;
            g->cap = cap;
        }
        g->is_failed = !nodes;
    }
    if (g->is_failed) return 0;
    for (int i = 0; i < n.n_in; i++) {
        assert(n.in[i] >= 0 && n.in[i] < g->n);
        n.is_after_gather |= g->nodes[n.in[i]].is_after_gather;
    }
    g->nodes[g->n] = n;
    return g->n++;
}

static int width_of(const lull_graph *g, lull_node x)
{
    return g->is_failed ? 0 : g->nodes[x].width;
}

lull_node lull_graph_embed(lull_graph *g, const lull_table *table, float scale)
{
    return add_node(
        g, (node){.kind = NODE_EMBED, .width = table->n_cols, .table = table, .scale = scale});
}

lull_node lull_graph_norm(lull_graph *g, lull_node x, const float *weights, float eps)
{
    return add_node(g, (node){.kind = NODE_NORM,
                              .width = width_of(g, x),
                              .n_in = 1,
                              .in = {x},
                              .weights = weights,
                              .eps = eps});
}

lull_node lull_graph_linear(lull_graph *g, lull_node x, const lull_packed *matrix)
{
    assert(g->is_failed || width_of(g, x) == matrix->n_cols);
    return add_node(
        g,
        (node){
            .kind = NODE_LINEAR, .width = matrix->n_rows, .n_in = 1, .in = {x}, .matrix = matrix});
}

lull_node lull_graph_gated(lull_graph *g, lull_node x, lull_act act, const lull_packed *gate,
                           const lull_packed *up)
{
    assert(g->is_failed || width_of(g, x) == gate->n_cols);
    assert(gate->n_cols == up->n_cols && gate->n_rows == up->n_rows);
    return add_node(g, (node){.kind = NODE_GATED,
                              .width = gate->n_rows,
                              .n_in = 1,
                              .in = {x},
                              .matrix = gate,
                              .matrix2 = up,
                              .act = act});
}

lull_node lull_graph_add(lull_graph *g, lull_node x, lull_node y)
{
    return add_node(g, (node){.kind = NODE_ADD, .width = width_of(g, x), .n_in = 2, .in = {x, y}});
}

lull_node lull_graph_gather(lull_graph *g, lull_node x)
{
    return add_node(g, (node){.kind = NODE_GATHER,
                              .width = width_of(g, x),
                              .n_in = 1,
                              .in = {x},
                              .is_after_gather = true});
}

lull_node lull_graph_attention(lull_graph *g, lull_node q, lull_node k, lull_node v,
                               const lull_attention *a)
{
    return add_node(g, (node){.kind = NODE_ATTENTION,
                              .width = a->n_head * a->d_head,
                              .n_in = 3,
                              .in = {q, k, v},
                              .attention = *a});
}
