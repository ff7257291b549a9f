/* The identity card of what a model computes, and the judgement of a state's card by a model.
 *
 *     {"kv": {weights, architecture, numerics, ...},   what the bytes of keys and values depend on
 *      "tokenizer": digest,                            what token ids mean
 *      "chat_template": digest or null}                how messages become tokens
 *
 * The digest of "kv" is the KV identity: models that agree in it give equal bytes for equal tokens.
 *
 * A state of 8-bit keys and values says beside these, in "drift", how far they are from f16. That is a
 * measurement, and no part of any identity: nobody judges by it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "engine.h"

/* ---- a model's own card ---------------------------------------------------------------------- */

static json_t *hex_of(const lull_digest *d)
{
    char hex[65];
    lull_digest_hex(d, hex);
    return json_string(hex);
}

/* Everything that touches attention. */
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
    return json_pack("{s:o, s:s, s:n, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:o, s:o}",
                     "weights", hex_of(&core->weights_digest), "architecture", core->architecture,
                     "adapter", "numerics", lull_model_numerics(m), "kv",
                     core->kv.kind == LULL_KV_Q8 ? "q8" : "f16", "page_positions",
                     LULL_PAGE_POSITIONS, "n_layer", c->n_layer, "n_head", c->n_head, "n_kv",
                     c->n_kv, "d_head", c->d_head, "window", c->n_window, "eps", (double)c->eps,
                     "ropes", ropes, "sliding_layers", sliding);
}

static int by_key(const void *a, const void *b)
{
    const lull_gguf_str *x = &(*(const lull_gguf_kv *const *)a)->key;
    const lull_gguf_str *y = &(*(const lull_gguf_kv *const *)b)->key;
    int order = memcmp(x->data, y->data, x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes);
    return order ? order : x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

lull_status lull_tokenizer_identify(const lull_gguf *g, lull_digest *out, lull_error *err)
{
    static const char prefix[] = "tokenizer.ggml.";
    size_t n_kv = lull_gguf_n_kv(g), n = 0;
    const lull_gguf_kv **entries = calloc(n_kv + 1, sizeof *entries);
    lull_buffer text = {0};
    if (!entries) return lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer's digest");
    for (size_t i = 0; i < n_kv; i++) {
        const lull_gguf_kv *kv = lull_gguf_kv_at(g, i);
        if (kv->key.n_bytes >= sizeof prefix - 1 &&
            memcmp(kv->key.data, prefix, sizeof prefix - 1) == 0)
            entries[n++] = kv;
    }
    qsort(entries, n, sizeof *entries, by_key);
    for (size_t i = 0; i < n; i++) {
        const lull_gguf_kv *kv = entries[i];
        lull_digest value = lull_digest_of(kv->raw, lull_gguf_value_bytes(kv));
        uint64_t head[] = {kv->key.n_bytes, (uint64_t)kv->type, (uint64_t)kv->elem_type, kv->n};
        lull_buffer_append(&text, head, sizeof head);
        lull_buffer_append(&text, kv->key.data, kv->key.n_bytes);
        lull_buffer_append(&text, &value, sizeof value);
    }
    bool is_whole = !text.is_failed;
    if (is_whole) *out = lull_digest_of(text.data, text.n_bytes);
    lull_buffer_fini(&text);
    free(entries);
    return is_whole ? LULL_OK
                    : lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer's digest");
}

static json_t *template_card(const lull_model *m)
{
    if (!m->template_text) return json_null();
    lull_digest d = lull_digest_of(m->template_text, strlen(m->template_text));
    return hex_of(&d);
}

lull_status lull_model_identify(lull_model *m, lull_error *err)
{
    json_t *kv = m->core ? kv_card(m) : json_null();
    /* Keys are sorted when written, so that the text is canonical. */
    char *kv_text = kv ? lull_json_text(kv, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
    json_t *card = json_pack("{s:o, s:o, s:o}", "kv", kv, "tokenizer",
                             hex_of(&m->tokenizer_identity), "chat_template", template_card(m));
    m->card = card ? lull_json_text(card, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(card);
    bool is_made = kv_text && m->card;
    if (is_made) m->kv_identity = lull_digest_of(kv_text, strlen(kv_text));
    free(kv_text);
    return is_made ? LULL_OK : lull_fail(err, LULL_ENOMEM, "out of memory for the model's card");
}

const char *lull_model_card(const lull_model *m)
{
    return m->card;
}

/* ---- a state's card -------------------------------------------------------------------------- */

static const char drift_key[] = "drift";

static char *card_with_drift(const lull_model *m, const lull_drift *d)
{
    json_t *card = json_loads(m->card, 0, NULL);
    json_t *drift =
        json_pack("{s:s, s:I, s:f, s:f, s:f}", "against",
                  lull_numerics_of(LULL_KV_F16, lull_device_activations(m->device)), "tokens",
                  (json_int_t)d->n_tokens, "mean_kl", d->mean_kl, "largest_kl", d->largest_kl,
                  "same_likeliest", (double)d->n_same / (double)d->n_tokens);
    bool is_made = json_object_set_new(card, drift_key, drift) == 0;
    char *text = is_made ? lull_json_text(card, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(card);
    return text;
}

const char *lull_state_card(lull_model *m, const atomic_bool *is_cancelled)
{
    lull_drift drift;
    if (m->core->kv.kind != LULL_KV_Q8) return m->card;
    pthread_mutex_lock(&m->drift_mutex);
    if (!m->drift_card && lull_drift_find(m, is_cancelled, &drift, NULL) == LULL_OK)
        m->drift_card = card_with_drift(m, &drift);
    const char *card = m->drift_card ? m->drift_card : m->card;
    pthread_mutex_unlock(&m->drift_mutex);
    return card;
}

lull_digest lull_page_key(const lull_digest *kv_identity, const lull_digest *parent,
                          const int32_t *tokens)
{
    return lull_store_page_key(kv_identity, parent ? parent : &(lull_digest){{0}}, tokens,
                               LULL_PAGE_POSITIONS);
}

/* ---- judging a state's ----------------------------------------------------------------------- */

const char *lull_verdict_name(lull_verdict v)
{
    switch (v) {
    case LULL_VERDICT_SAME: return "same";
    case LULL_VERDICT_CONVERTIBLE: return "convertible";
    case LULL_VERDICT_REFUSED: return "refused";
    }
    return "?";
}

/* What the members of a card are called for people. */
static const struct {
    const char *key, *words;
} field_words[] = {
    {"kv", "kind of keys and values"},
    {"numerics", "numerics class"},
    {"page_positions", "positions of a page"},
    {"n_layer", "layers"},
    {"n_head", "attention heads"},
    {"n_kv", "key-value heads"},
    {"d_head", "size of a head"},
    {"window", "sliding window"},
    {"eps", "epsilon of the norms"},
    {"ropes", "rotary positions (RoPE base or scaling)"},
    {"sliding_layers", "layers with a sliding window"},
    {"chat_template", "chat template"},
};

static const char *words_of(const char *key)
{
    for (size_t i = 0; i < sizeof field_words / sizeof *field_words; i++)
        if (strcmp(field_words[i].key, key) == 0) return field_words[i].words;
    return key;
}

/* A value in a few characters. */
static const char *shown(const json_t *v, char buf[32])
{
    enum { DIGEST_CHARS = 64, SHOWN_CHARS = 10 };
    if (!v || json_is_null(v)) return "none";
    if (json_is_string(v)) {
        bool is_digest = json_string_length(v) == DIGEST_CHARS;
        snprintf(buf, 32, is_digest ? "%.*s…" : "%.*s", is_digest ? SHOWN_CHARS : 31,
                 json_string_value(v));
    } else if (json_is_integer(v)) {
        snprintf(buf, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    } else if (json_is_real(v)) {
        snprintf(buf, 32, "%g", json_real_value(v));
    } else {
        return "another";
    }
    return buf;
}

static void tell(lull_judgement *j, lull_verdict verdict, const char *key, const char *text)
{
    if (verdict > j->verdict) j->verdict = verdict;
    size_t i = j->n_fields++;
    if (i >= LULL_JUDGEMENT_FIELDS) return;
    snprintf(j->fields[i].name, sizeof j->fields[i].name, "%s", key);
    snprintf(j->fields[i].text, sizeof j->fields[i].text, "%s", text);
}

static void compare(lull_judgement *j, lull_verdict verdict, const char *key, const json_t *theirs,
                    const json_t *ours)
{
    char a[32], b[32], text[144];
    if (theirs && ours && json_equal(theirs, ours)) return;
    const char *words = words_of(key);
    if (!theirs)
        snprintf(text, sizeof text, "%s: the state does not say", words);
    else if (!ours)
        snprintf(text, sizeof text, "%s: of a kind that this version does not know", words);
    else if (json_is_array(theirs) || json_is_object(theirs))
        snprintf(text, sizeof text, "%s: the state's differ from the model's", words);
    else
        snprintf(text, sizeof text, "%s: the state has %s, the model %s", words, shown(theirs, a),
                 shown(ours, b));
    tell(j, verdict, key, text);
}

/* All members of two objects, those that one of them lacks as well. */
static void compare_members(lull_judgement *j, lull_verdict verdict, json_t *theirs, json_t *ours)
{
    const char *key;
    json_t *value;
    json_object_foreach(ours, key, value)
        compare(j, verdict, key, json_object_get(theirs, key), value);
    json_object_foreach(theirs, key, value) if (!json_object_get(ours, key))
        compare(j, verdict, key, value, NULL);
}

static lull_verdict verdict_of(const char *key)
{
    /* Other keys and values can be computed from the tokens, as long as those mean the same. */
    bool is_convertible = strcmp(key, "kv") == 0 || strcmp(key, "chat_template") == 0;
    return is_convertible ? LULL_VERDICT_CONVERTIBLE : LULL_VERDICT_REFUSED;
}

lull_status lull_judge(const lull_model *m, const char *card, lull_judgement *out, lull_error *err)
{
    *out = (lull_judgement){.verdict = LULL_VERDICT_SAME};
    if (!m->core)
        return lull_fail(err, LULL_EINVAL, "the model was opened for its vocabulary only");
    json_t *ours = json_loads(m->card, JSON_REJECT_DUPLICATES, NULL);
    if (!ours) return lull_fail(err, LULL_ENOMEM, "out of memory for the model's card");
    json_t *theirs = json_loads(card, JSON_REJECT_DUPLICATES, NULL);
    json_t *kv = json_object_get(theirs, "kv");
    if (!json_is_object(kv)) {
        tell(out, LULL_VERDICT_REFUSED, "card", "the state's card cannot be read");
    } else {
        const char *key;
        json_t *value;
        compare_members(out, verdict_of("kv"), kv, json_object_get(ours, "kv"));
        json_object_foreach(ours, key, value) if (strcmp(key, "kv") != 0)
            compare(out, verdict_of(key), key, json_object_get(theirs, key), value);
        json_object_del(theirs, drift_key);
        json_object_foreach(theirs, key, value) if (!json_object_get(ours, key))
            compare(out, LULL_VERDICT_REFUSED, key, value, NULL);
    }
    json_decref(ours);
    json_decref(theirs);
    return LULL_OK;
}
