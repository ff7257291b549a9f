/* From nodes to steps, in three passes:
 *
 *  1. decide which nodes become part of another one's step (their value is then never in memory);
 * 2. emit steps, whose operands are still numbers of stores: a store is the memory of one value,
 * shared by a residual and
 *     what is added to it in place;
 *  3. give each store an offset such that stores alive at the same step do not overlap, and put
 * pointers in. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "node.h"

enum { NOWHERE = -1 };

/* A step before memory is known. */
typedef struct draft {
    lull_step step;
    int in, in2, out[LULL_LINEAR_MAX]; /* stores */
} draft;

typedef struct store {
    size_t n_bytes, offset;
    int first, last; /* steps at which it is alive */
} store;

typedef struct lowering {
    const lull_graph *g;
    int *n_uses;     /* [n] how many nodes read a node */
    lull_node *user; /* [n] one of them */
    bool *is_merged; /* [n] part of another node's step */
    int *store_of;   /* [n] NOWHERE when the value is never in memory */
    store *stores;   /* [n] */
    int n_stores;
    draft *drafts; /* [2 n] */
    int n_drafts, n_body;
    int max_rows, max_out;
} lowering;

static const node *node_of(const lowering *w, lull_node i)
{
    return &w->g->nodes[i];
}

static bool feeds_only_matrices(const lowering *w, lull_node x)
{
    for (lull_node i = x + 1; i < w->g->n; i++) {
        const node *n = node_of(w, i);
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] == x && n->kind != NODE_LINEAR && n->kind != NODE_GATED) return false;
    }
    return w->n_uses[x] > 0;
}

/* x = a + y, where y is used by nothing else. */
static bool is_added_alone(const lowering *w, lull_node y)
{
    return w->n_uses[y] == 1 && node_of(w, w->user[y])->kind == NODE_ADD &&
           node_of(w, w->user[y])->in[1] == y;
}

/* Is x read after node i, other than by it? Then adding in place would spoil it. */
static bool is_read_after(const lowering *w, lull_node x, lull_node i)
{
    for (lull_node j = i + 1; j < w->g->n; j++)
        for (int k = 0; k < node_of(w, j)->n_in; k++)
            if (node_of(w, j)->in[k] == x) return true;
    return false;
}

static void decide_merges(lowering *w)
{
    for (lull_node i = 0; i < w->g->n; i++) {
        const node *n = node_of(w, i);
        for (int k = 0; k < n->n_in; k++) {
            w->n_uses[n->in[k]]++;
            w->user[n->in[k]] = i;
        }
    }
    for (lull_node i = 0; i < w->g->n; i++) {
        node_kind kind = node_of(w, i)->kind;
        if (kind == NODE_NORM) w->is_merged[i] = feeds_only_matrices(w, i) || is_added_alone(w, i);
    }
}

static int new_store(lowering *w, lull_node i)
{
    const node *n = node_of(w, i);
    size_t rows = (size_t)(n->is_after_gather ? w->max_out : w->max_rows);
    w->stores[w->n_stores] = (store){
        .n_bytes = (rows * (size_t)n->width * sizeof(float) + 63) / 64 * 64, .first = w->n_drafts};
    return w->store_of[i] = w->n_stores++;
}

static draft *new_draft(lowering *w, lull_op op, const node *n)
{
    draft *d = &w->drafts[w->n_drafts++];
    *d = (draft){.step = {.op = op, .is_after_gather = n->is_after_gather},
                 NOWHERE,
                 NOWHERE,
                 {NOWHERE, NOWHERE, NOWHERE}};
    return d;
}

/* A step that multiplies what node n reads, with the norm in front of it if there is one. The step
 * is not counted yet: stores that are made now belong to it. */
static draft *new_linear(lowering *w, const node *n)
{
    draft *d = new_draft(w, LULL_OP_LINEAR, n);
    w->n_drafts--;
    lull_node x = n->in[0];
    const node *input = node_of(w, x);
    d->step.d_in = input->width;
    d->in = w->store_of[x];
    if (w->is_merged[x]) {
        d->step.norm = input->weights;
        d->step.eps = input->eps;
        d->in = w->store_of[input->in[0]];
    }
    return d;
}

static void emit_gated(lowering *w, lull_node i)
{
    const node *n = node_of(w, i);
    draft *d = new_linear(w, n);
    d->step.is_gated = true;
    d->step.act = n->act;
    d->step.n_w = 2;
    d->step.w[0] = n->matrix;
    d->step.w[1] = n->matrix2;
    d->out[0] = new_store(w, i);
    w->n_drafts++;
}

/* The linear node i and up to two more on the same input, as one step. */
static void emit_linear(lowering *w, lull_node i)
{
    const node *n = node_of(w, i);
    draft *d = new_linear(w, n);
    lull_node x = n->in[0];
    bool is_alone =
        is_added_alone(w, i) && !is_read_after(w, node_of(w, w->user[i])->in[0], w->user[i]);
    if (is_alone) {
        d->step.is_added = true;
        d->step.n_w = 1;
        d->step.w[0] = n->matrix;
        d->out[0] = w->store_of[i] = w->store_of[node_of(w, w->user[i])->in[0]];
        w->n_drafts++;
        return;
    }
    for (lull_node j = i; j < w->g->n && d->step.n_w < LULL_LINEAR_MAX; j++) {
        const node *m = node_of(w, j);
        if (m->kind != NODE_LINEAR || m->in[0] != x || w->store_of[j] != NOWHERE) continue;
        d->step.w[d->step.n_w] = m->matrix;
        d->out[d->step.n_w++] = new_store(w, j);
    }
    w->n_drafts++;
}

static void emit_attention(lowering *w, lull_node i)
{
    const node *n = node_of(w, i);
    const lull_attention *a = &n->attention;
    draft *d = new_draft(w, LULL_OP_STORE_KV, n);
    d->in = w->store_of[n->in[0]];
    d->in2 = w->store_of[n->in[1]];
    d->out[0] = w->store_of[n->in[2]];
    lull_step common = {.layer = a->layer,
                        .n_head = a->n_head,
                        .n_window = a->n_window,
                        .scale = a->scale,
                        .rope = a->rope,
                        .norm = a->q_norm,
                        .norm2 = a->k_norm,
                        .eps = a->eps};
    common.op = LULL_OP_STORE_KV;
    d->step = common;
    d = new_draft(w, LULL_OP_ATTEND, n);
    common.op = LULL_OP_ATTEND;
    d->step = common;
    d->in = w->store_of[n->in[0]];
    w->n_drafts--;
    d->out[0] = new_store(w, i);
    w->n_drafts++;
}

static void emit_add(lowering *w, lull_node i)
{
    const node *n = node_of(w, i), *y = node_of(w, n->in[1]);
    w->store_of[i] = w->store_of[n->in[0]];
    if (y->kind == NODE_LINEAR && w->store_of[n->in[1]] == w->store_of[i])
        return; /* added by its own step */
    assert(y->kind == NODE_NORM && w->is_merged[n->in[1]] && !is_read_after(w, n->in[0], i));
    draft *d = new_draft(w, LULL_OP_NORM_ADD, n);
    d->step.d_in = n->width;
    d->step.norm = y->weights;
    d->step.eps = y->eps;
    d->in = w->store_of[y->in[0]];
    d->out[0] = w->store_of[i];
}

static void emit(lowering *w)
{
    for (lull_node i = 0; i < w->g->n; i++) {
        const node *n = node_of(w, i);
        switch (n->kind) {
        case NODE_EMBED: {
            int out = new_store(w, i);
            draft *d = new_draft(w, LULL_OP_EMBED, n);
            d->step.table = n->table;
            d->step.scale = n->scale;
            d->step.d_in = n->width;
            d->out[0] = out;
            break;
        }
        case NODE_GATHER: {
            w->n_body = w->n_drafts;
            int out = new_store(w, i);
            draft *d = new_draft(w, LULL_OP_GATHER, n);
            d->step.d_in = n->width;
            d->in = w->store_of[n->in[0]];
            d->out[0] = out;
            break;
        }
        case NODE_LINEAR:
            if (w->store_of[i] == NOWHERE) emit_linear(w, i);
            break;
        case NODE_ATTENTION: emit_attention(w, i); break;
        case NODE_ADD: emit_add(w, i); break;
        case NODE_GATED: emit_gated(w, i); break;
        case NODE_NORM: assert(w->is_merged[i]); break; /* every family's are, so far */
        }
    }
}

static void touch(lowering *w, int s, int step)
{
    if (s != NOWHERE && w->stores[s].last < step) w->stores[s].last = step;
}

/* First fit in order of birth: the lowest offset where no store of an overlapping life stands. */
static size_t place_stores(lowering *w)
{
    size_t total = 0;
    for (int i = 0; i < w->n_drafts; i++) {
        const draft *d = &w->drafts[i];
        touch(w, d->in, i);
        touch(w, d->in2, i);
        for (int k = 0; k < LULL_LINEAR_MAX; k++) touch(w, d->out[k], i);
    }
    /* The body's result is gathered from several times, and the logits are read after the last
     * step. */
    if (w->n_body < w->n_drafts) touch(w, w->drafts[w->n_body].in, w->n_drafts);
    touch(w, w->drafts[w->n_drafts - 1].out[0], w->n_drafts);
    for (int i = 0; i < w->n_stores; i++) {
        store *s = &w->stores[i];
        for (bool is_moved = true; is_moved;) {
            is_moved = false;
            for (int j = 0; j < i; j++) {
                const store *o = &w->stores[j];
                bool lives_together = o->first <= s->last && s->first <= o->last;
                if (!lives_together || o->offset + o->n_bytes <= s->offset ||
                    s->offset + s->n_bytes <= o->offset)
                    continue;
                s->offset = o->offset + o->n_bytes;
                is_moved = true;
            }
        }
        if (s->offset + s->n_bytes > total) total = s->offset + s->n_bytes;
    }
    return total;
}

static float *pointer_of(const lowering *w, const lull_program *p, int s)
{
    return s == NOWHERE ? NULL : (float *)(p->memory + w->stores[s].offset);
}

static lull_status write_program(lowering *w, lull_program *p, lull_error *err)
{
    p->memory_bytes = place_stores(w);
    p->memory = lull_memory_reserve(p->memory_bytes);
    p->steps = calloc((size_t)w->n_drafts, sizeof *p->steps);
    if (!p->memory || !p->steps)
        return lull_fail(err, LULL_ENOMEM, "out of memory: %zu bytes for activations",
                         p->memory_bytes);
    for (int i = 0; i < w->n_drafts; i++) {
        const draft *d = &w->drafts[i];
        lull_step *s = &p->steps[i];
        *s = d->step;
        s->in = pointer_of(w, p, d->in);
        s->in2 = pointer_of(w, p, d->in2);
        for (int k = 0; k < LULL_LINEAR_MAX; k++) s->out[k] = pointer_of(w, p, d->out[k]);
        if (s->d_in > p->max_d_in) p->max_d_in = s->d_in;
    }
    p->n_steps = w->n_drafts;
    p->n_body = w->n_body;
    p->logits = p->steps[p->n_steps - 1].out[0];
    p->n_logits = node_of(w, w->g->n - 1)->width;
    p->max_rows = w->max_rows;
    p->max_out = w->max_out;
    return LULL_OK;
}

lull_status lull_graph_lower(const lull_graph *g, int max_rows, int max_out, lull_program *p,
                             lull_error *err)
{
    *p = (lull_program){0};
    if (g->is_failed) return lull_fail(err, LULL_ENOMEM, "out of memory for the model's graph");
    size_t n = (size_t)g->n;
    lowering w = {.g = g,
                  .n_uses = calloc(n, sizeof *w.n_uses),
                  .user = calloc(n, sizeof *w.user),
                  .is_merged = calloc(n, sizeof *w.is_merged),
                  .store_of = malloc(n * sizeof *w.store_of),
                  .stores = calloc(n, sizeof *w.stores),
                  .drafts = calloc(2 * n, sizeof *w.drafts),
                  .max_rows = max_rows,
                  .max_out = max_out};
    lull_status st = LULL_OK;
    if (!w.n_uses || !w.user || !w.is_merged || !w.store_of || !w.stores || !w.drafts) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the model's graph");
        goto done;
    }
    for (size_t i = 0; i < n; i++) w.store_of[i] = NOWHERE;
    decide_merges(&w);
    emit(&w);
    LULL_TRY(write_program(&w, p, err));
done:
    free(w.n_uses);
    free(w.user);
    free(w.is_merged);
    free(w.store_of);
    free(w.stores);
    free(w.drafts);
    if (st != LULL_OK) lull_program_fini(p);
    return st;
}

void lull_program_fini(lull_program *p)
{
    free(p->steps);
    lull_memory_release(p->memory, p->memory_bytes);
    *p = (lull_program){0};
}
