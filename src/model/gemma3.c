/* Gemma 3, text (Gemma Team 2025): norms before and after each block, a norm on every head of q
 * and k, five sliding layers to one global one with a RoPE base each. GGUF stores norm weights
 * with the 1 of (1 + w) added. */
#include <math.h>
#include <stddef.h>

#include "family.h"

enum { SLIDING_ROPE, GLOBAL_ROPE };

static void configure(lull_builder *b, lull_config *c)
{
    lull_builder_common(b, c);
    lull_builder_refuse(b, "final_logit_softcapping");
    lull_builder_refuse(b, "attn_logit_softcapping");
    c->n_window = lull_builder_int(b, "attention.sliding_window", 1, 1 << 30, -1);
    int period = lull_builder_int(b, "attention.sliding_window_pattern", 1, LULL_MAX_LAYERS, 6);
    for (int i = 0; i < c->n_layer; i++) c->is_sliding[i] = i % period != period - 1;
    double base = lull_builder_number(b, "rope.freq_base", 1000000.0);
    double factor =
        lull_builder_number(b, "rope.scaling.factor", 1.0); /* linear, global layers alone */
    double base_sliding = lull_builder_number(b, "rope.freq_base_swa", 10000.0);
    lull_builder_rope(b, c, base_sliding, 1.0, c->d_head, NULL, true);
    lull_builder_rope(b, c, base, factor, c->d_head, NULL, true);
}

static void build(lull_builder *b, const lull_config *c)
{
    lull_graph *g = b->g;
    int d_q = c->n_head * c->d_head, d_kv = c->n_kv * c->d_head;
    /* The 27B model, told by its depth, scales by the width of a head that its config does not
     * have. */
    float scale =
        1.0f / sqrtf(c->n_layer == 62 ? (float)c->d_model / (float)c->n_head : (float)c->d_head);
    lull_node x =
        lull_graph_embed(g, lull_builder_table(b, c->n_vocab, c->d_model, "token_embd.weight"),
                         sqrtf((float)c->d_model));
    for (int i = 0; i < c->n_layer; i++) {
        lull_node h = lull_graph_norm(
            g, x, lull_builder_vector(b, c->d_model, "blk.%d.attn_norm.weight", i), c->eps);
        lull_node q = lull_graph_linear(
            g, h, lull_builder_matrix(b, d_q, c->d_model, "blk.%d.attn_q.weight", i));
        lull_node k = lull_graph_linear(
            g, h, lull_builder_matrix(b, d_kv, c->d_model, "blk.%d.attn_k.weight", i));
        lull_node v = lull_graph_linear(
            g, h, lull_builder_matrix(b, d_kv, c->d_model, "blk.%d.attn_v.weight", i));
        lull_attention attention = {
            .layer = i,
            .n_head = c->n_head,
            .n_kv = c->n_kv,
            .d_head = c->d_head,
            .n_window = c->is_sliding[i] ? c->n_window : 0,
            .scale = scale,
            .rope = &c->ropes[c->is_sliding[i] ? SLIDING_ROPE : GLOBAL_ROPE],
            .q_norm = lull_builder_vector(b, c->d_head, "blk.%d.attn_q_norm.weight", i),
            .k_norm = lull_builder_vector(b, c->d_head, "blk.%d.attn_k_norm.weight", i),
            .eps = c->eps,
        };
        lull_node o = lull_graph_attention(g, q, k, v, &attention);
        o = lull_graph_linear(
            g, o, lull_builder_matrix(b, c->d_model, d_q, "blk.%d.attn_output.weight", i));
        const float *post =
            lull_builder_vector(b, c->d_model, "blk.%d.post_attention_norm.weight", i);
        x = lull_graph_add(g, x, lull_graph_norm(g, o, post, c->eps));

        h = lull_graph_norm(g, x, lull_builder_vector(b, c->d_model, "blk.%d.ffn_norm.weight", i),
                            c->eps);
        const lull_packed *gate =
            lull_builder_matrix(b, c->d_ff, c->d_model, "blk.%d.ffn_gate.weight", i);
        const lull_packed *up =
            lull_builder_matrix(b, c->d_ff, c->d_model, "blk.%d.ffn_up.weight", i);
        h = lull_graph_gated(g, h, LULL_ACT_GELU_TANH, gate, up);
        h = lull_graph_linear(
            g, h, lull_builder_matrix(b, c->d_model, c->d_ff, "blk.%d.ffn_down.weight", i));
        post = lull_builder_vector(b, c->d_model, "blk.%d.post_ffw_norm.weight", i);
        x = lull_graph_add(g, x, lull_graph_norm(g, h, post, c->eps));
    }
    x = lull_graph_gather(g, x);
    x = lull_graph_norm(g, x, lull_builder_vector(b, c->d_model, "output_norm.weight"), c->eps);
    const char *head = lull_builder_has(b, "output.weight") ? "output.weight" : "token_embd.weight";
    lull_graph_linear(g, x, lull_builder_matrix(b, c->n_vocab, c->d_model, "%s", head));
}

const lull_family lull_family_gemma3 = {"gemma3", configure, build};
