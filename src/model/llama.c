/* The llama family: Llama 1-3, SmolLM, TinyLlama, Mistral and others of the same computation
 * (Touvron et al. 2023; RoPE scaling of Llama 3 as the tensor rope_freqs.weight). GGUF stores q
 * and k permuted so that rotated pairs are neighbours. */
#include <math.h>
#include <stddef.h>

#include "family.h"

static void configure(lull_builder *b, lull_config *c)
{
    lull_builder_common(b, c);
    lull_builder_refuse(b, "expert_count");
    int n_dims = lull_builder_int(b, "rope.dimension_count", 2, c->d_head, c->d_head);
    if (n_dims % 2 != 0)
        lull_builder_fail(b, LULL_ECORRUPT, "llama.rope.dimension_count is %d; it must be even",
                          n_dims);
    double base = lull_builder_number(b, "rope.freq_base", 10000.0);
    double divisor = lull_builder_linear_rope(b);
    const float *factors = lull_builder_has(b, "rope_freqs.weight")
                               ? lull_builder_vector(b, n_dims / 2, "rope_freqs.weight")
                               : NULL;
    lull_builder_rope(b, c, base, divisor, n_dims, factors, false);
}

static void build(lull_builder *b, const lull_config *c)
{
    lull_graph *g = b->g;
    int d_q = c->n_head * c->d_head, d_kv = c->n_kv * c->d_head;
    lull_node x = lull_graph_embed(
        g, lull_builder_table(b, c->n_vocab, c->d_model, "token_embd.weight"), 1.0f);
    for (int i = 0; i < c->n_layer; i++) {
        lull_node h = lull_graph_norm(
            g, x, lull_builder_vector(b, c->d_model, "blk.%d.attn_norm.weight", i), c->eps);
        lull_node q = lull_graph_linear(
            g, h, lull_builder_matrix(b, d_q, c->d_model, "blk.%d.attn_q.weight", i));
        lull_node k = lull_graph_linear(
            g, h, lull_builder_matrix(b, d_kv, c->d_model, "blk.%d.attn_k.weight", i));
        lull_node v = lull_graph_linear(
            g, h, lull_builder_matrix(b, d_kv, c->d_model, "blk.%d.attn_v.weight", i));
        lull_attention attention = {.layer = i,
                                    .n_head = c->n_head,
                                    .n_kv = c->n_kv,
                                    .d_head = c->d_head,
                                    .scale = 1.0f / sqrtf((float)c->d_head),
                                    .rope = &c->ropes[0]};
        lull_node o = lull_graph_attention(g, q, k, v, &attention);
        o = lull_graph_linear(
            g, o, lull_builder_matrix(b, c->d_model, d_q, "blk.%d.attn_output.weight", i));
        x = lull_graph_add(g, x, o);

        h = lull_graph_norm(g, x, lull_builder_vector(b, c->d_model, "blk.%d.ffn_norm.weight", i),
                            c->eps);
        const lull_packed *gate =
            lull_builder_matrix(b, c->d_ff, c->d_model, "blk.%d.ffn_gate.weight", i);
        const lull_packed *up =
            lull_builder_matrix(b, c->d_ff, c->d_model, "blk.%d.ffn_up.weight", i);
        h = lull_graph_gated(g, h, LULL_ACT_SILU, gate, up);
        h = lull_graph_linear(
            g, h, lull_builder_matrix(b, c->d_model, c->d_ff, "blk.%d.ffn_down.weight", i));
        x = lull_graph_add(g, x, h);
    }
    x = lull_graph_gather(g, x);
    x = lull_graph_norm(g, x, lull_builder_vector(b, c->d_model, "output_norm.weight"), c->eps);
    const char *head = lull_builder_has(b, "output.weight") ? "output.weight" : "token_embd.weight";
    lull_graph_linear(g, x, lull_builder_matrix(b, c->n_vocab, c->d_model, "%s", head));
}

const lull_family lull_family_llama = {"llama", configure, build};
