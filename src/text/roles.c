#include "roles.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- names ----------------------------------------------------------------------------------- */

/* DeepSeek's names have a full-width bar and SentencePiece's space. */
#define BAR "\xef\xbd\x9c"
#define SPACE "\xe2\x96\x81"

enum { MOST_NAMES = 9, MOST_KEYS = 2 };

/* A role that a key gives to a token; without the key the first of the names that is a token. */
typedef struct role {
    const char *keys[MOST_KEYS]; /* a later key wins */
    const char *names[MOST_NAMES];
    bool is_end;
} role;

static const role roles[] = {
    {{"tokenizer.ggml.eot_token_id"}, {NULL}, true}, /* its names all end a text: below */
    {{"tokenizer.ggml.eom_token_id"}, {NULL}, true},
    {{"tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"},
     {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<" BAR "fim" SPACE "begin" BAR ">",
      "<PRE>", SPACE "<PRE>", "<|code_prefix|>", "<|prefix|>"},
     false},
    {{"tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"},
     {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<" BAR "fim" SPACE "hole" BAR ">", "<SUF>",
      SPACE "<SUF>", "<|code_suffix|>", "<|suffix|>"},
     false},
    {{"tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"},
     {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<" BAR "fim" SPACE "end" BAR ">", "<MID>",
      SPACE "<MID>", "<|code_middle|>", "<|middle|>"},
     false},
    {{"tokenizer.ggml.fim_pad_token_id"},
     {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"},
     true},
    {{"tokenizer.ggml.fim_rep_token_id"},
     {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"},
     true},
    {{"tokenizer.ggml.fim_sep_token_id"}, {"<|file_sep|>"}, true},
};

/* Names that end a text or a turn, each wherever it is a token. */
static const char *const end_names[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<" BAR "end" SPACE "of" SPACE "sentence" BAR ">",
    "[e~[",
};

/* Names that stand in the text of a reply (GPT-OSS). */
static const char *const text_names[] = {"<|channel|>", "<|message|>", "<|start|>",
                                         "<|constrain|>"};

/* The token of that name. What only merges make is a symbol behind the tokens, and has no type. */
static int32_t find_name(const lull_vocab *v, const char *name)
{
    int32_t id = lull_vocab_find(v, name, strlen(name));
    return id < v->n_tokens ? id : -1;
}

static bool is_end_name(const lull_roles *r, const lull_vocab *v, const char *name)
{
    int32_t id = find_name(v, name);
    return id >= 0 && r->is_end[id];
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* The token id under `key`; *id stays where the file has no such key. */
static lull_status read_id(const lull_gguf *g, const char *key, int n_tokens, int32_t *id,
                           lull_error *err)
{
    uint64_t value;
    lull_status st = lull_gguf_get_u64(g, key, &value, err);
    if (st == LULL_ENOTFOUND) return LULL_OK;
    if (st != LULL_OK) return st;
    if (value >= (uint64_t)n_tokens && value != UINT32_MAX)
        return lull_fail(err, LULL_ECORRUPT, "%s: %s is %llu; ids go from 0 to %d",
                         lull_gguf_path(g), key, (unsigned long long)value, n_tokens - 1);
    *id = value == UINT32_MAX ? -1 : (int32_t)value; /* written for "none" */
    return LULL_OK;
}

static lull_status find_roles(lull_roles *r, const lull_gguf *g, lull_vocab *v, lull_error *err)
{
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        int32_t id = -1;
        for (int k = 0; k < MOST_KEYS && roles[i].keys[k]; k++) {
            lull_status st = read_id(g, roles[i].keys[k], v->n_tokens, &id, err);
            if (st != LULL_OK) return st;
        }
        for (int k = 0; id < 0 && roles[i].names[k]; k++) {
            id = find_name(v, roles[i].names[k]);
            if (id >= 0) v->types[id] = LULL_TOKEN_CONTROL; /* whatever the file calls it */
        }
        if (id >= 0 && roles[i].is_end) r->is_end[id] = true;
    }
    return LULL_OK;
}

static void find_ends(lull_roles *r, lull_vocab *v)
{
    for (size_t i = 0; i < sizeof end_names / sizeof *end_names; i++) {
        int32_t id = find_name(v, end_names[i]);
        if (id < 0) continue;
        r->is_end[id] = true;
        v->types[id] = LULL_TOKEN_CONTROL;
    }
    for (size_t i = 0; i < sizeof text_names / sizeof *text_names; i++) {
        int32_t id = find_name(v, text_names[i]);
        if (id >= 0) v->types[id] = LULL_TOKEN_USER_DEFINED;
    }
    if (r->eos >= 0) r->is_end[r->eos] = true;

    /* Where other names end a turn, <|end|> ends a part of it. */
    bool has_call = is_end_name(r, v, "<|call|>") || is_end_name(r, v, "<|calls|>");
    bool has_turn = is_end_name(r, v, "<|return|>") || is_end_name(r, v, "<|flush|>");
    int32_t part = find_name(v, "<|end|>");
    if (part >= 0 && has_call && has_turn) {
        r->is_end[part] = false;
        v->types[part] = LULL_TOKEN_USER_DEFINED;
    }
    /* In these vocabularies </s> is a tag of HTML. */
    int32_t tag = find_name(v, "</s>");
    if (tag >= 0 && (is_end_name(r, v, "<|tool_response>") || is_end_name(r, v, "<|plamo:eos|>"))) {
        r->is_end[tag] = false;
        v->types[tag] = LULL_TOKEN_NORMAL;
    }
}

/* ---- white space beside tokens --------------------------------------------------------------- */

/* Does the string under `key` hold `part`, whatever its case? */
static bool has_part(const lull_gguf *g, const char *key, const char *part)
{
    lull_gguf_str s;
    size_t n = strlen(part);
    if (lull_gguf_get_str(g, key, &s, NULL) != LULL_OK) return false;
    for (size_t i = 0; i + n <= s.n_bytes; i++)
        if (strncasecmp(s.data + i, part, n) == 0) return true;
    return false;
}

/* GGUF does not say which tokens swallow the space beside them; the model's name has to. */
static lull_status find_strips(lull_roles *r, const lull_gguf *g, const lull_vocab *v,
                               lull_error *err)
{
    static const char *const kept[] = {"<unk>", "<s>", "<|endoftext|>"};
    static const char name[] = "general.name", pre[] = "tokenizer.ggml.pre";
    bool is_phi = has_part(g, name, "phi-3") || has_part(g, name, "phi3");
    int32_t mask = -1;
    if (has_part(g, pre, "jina-v2-"))
        mask = find_name(v, "<mask>");
    else if (!is_phi && has_part(g, name, "modern-bert"))
        mask = find_name(v, "[MASK]");
    if (!is_phi && mask < 0) return LULL_OK;
    r->strips = calloc((size_t)v->n_tokens, sizeof *r->strips);
    if (!r->strips) return lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer");
    if (mask >= 0) {
        r->strips[mask] = LULL_STRIPS_LEFT;
        return LULL_OK;
    }
    memset(r->strips, LULL_STRIPS_RIGHT, (size_t)v->n_tokens); /* it is asked of specials only */
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        int32_t id = find_name(v, kept[i]);
        if (id >= 0) r->strips[id] = 0;
    }
    return LULL_OK;
}

lull_status lull_roles_init(lull_roles *r, const lull_gguf *g, lull_vocab *v, bool is_spm,
                            lull_error *err)
{
    lull_status st = LULL_OK;
    int n = v->n_tokens;
    *r = (lull_roles){.bos = is_spm && n > 1 ? 1 : -1,
                      .eos = is_spm && n > 2 ? 2 : -1,
                      .unknown = is_spm ? 0 : -1};
    r->is_end = calloc((size_t)n, sizeof *r->is_end);
    if (!r->is_end) return lull_fail(err, LULL_ENOMEM, "out of memory for the tokenizer");
    LULL_TRY(read_id(g, "tokenizer.ggml.bos_token_id", n, &r->bos, err));
    LULL_TRY(read_id(g, "tokenizer.ggml.eos_token_id", n, &r->eos, err));
    LULL_TRY(read_id(g, "tokenizer.ggml.unknown_token_id", n, &r->unknown, err));
    LULL_TRY(find_roles(r, g, v, err));
    find_ends(r, v);
    LULL_TRY(find_strips(r, g, v, err));
done:
    return st;
}

void lull_roles_fini(lull_roles *r)
{
    free(r->is_end);
    free(r->strips);
    *r = (lull_roles){0};
}
