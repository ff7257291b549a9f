/* The identity card of what a model computes: which weights, which arithmetic, which shapes. Two
 * models with equal KV identity give equal bytes of keys and values for equal tokens. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static json_t *hex_of(const lull_digest *d)
{
    char hex[65];
    lull_digest_hex(d, hex);
    return json_string(hex);
}

/* Everything that touches attention. Keys are sorted when written, so that the text is canonical. */
static json_t *kv_card(const lull_model *m)
{
    const lull_model_core *core = m->core;
    const lull_config *c = &core->config;
    json_t *ropes = json_array(), *sliding = json_array();
    for (int i = 0; i < c->n_ropes; i++) {
        const lull_rope *r = &c->ropes[i];
        lull_digest d = lull_digest_of(r->inv_freq, (size_t)r->n_pairs * sizeof *r->inv_freq);
        json_array_append_new(ropes, json_pack("{s:i, s:b, s:o}", "pairs", r->n_pairs, "neox",
                                               (int)r->is_neox, "frequencies", hex_of(&d)));
    }
    for (int i = 0; i < c->n_layer; i++)
        if (c->is_sliding[i]) json_array_append_new(sliding, json_integer(i));
    return json_pack("{s:o, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:o, s:o}", "weights",
                     hex_of(&core->weights_digest), "architecture", core->architecture, "numerics",
                     LULL_NUMERICS_CLASS, "kv", "f16", "page_positions", LULL_PAGE_POSITIONS,
                     "n_layer", c->n_layer, "n_head", c->n_head, "n_kv", c->n_kv, "d_head",
                     c->d_head, "window", c->n_window, "eps", (double)c->eps, "ropes", ropes,
                     "sliding_layers", sliding);
}

lull_status lull_model_identify(lull_model *m, lull_error *err)
{
    json_t *card = kv_card(m);
    char *text = card ? json_dumps(card, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(card);
    if (!text) return lull_fail(err, LULL_ENOMEM, "out of memory for the model's card");
    m->kv_identity = lull_digest_of(text, strlen(text));
    free(text);
    return LULL_OK;
}

lull_digest lull_page_key(const lull_digest *kv_identity, const lull_digest *parent,
                          const int32_t *tokens)
{
    struct {
        lull_digest kv_identity, parent;
        int32_t tokens[LULL_PAGE_POSITIONS];
    } in = {.kv_identity = *kv_identity};
    if (parent) in.parent = *parent;
    memcpy(in.tokens, tokens, sizeof in.tokens);
    return lull_digest_of(&in, sizeof in);
}
