/* Strings of a schema: languages and what is made of them, lists of values, lengths. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dfa.h"
#include "schema_private.h"
#include "utf8.h"

enum { NAME_BYTES = 80, MAX_DEPTH = 60 };

/* ---- languages, each made once --------------------------------------------------------------- */

lull_status lull_language_failed(lull_compiler *c, lull_status st)
{
    char why[sizeof c->err->msg];
    snprintf(why, sizeof why, "%s", c->err->msg);
    if (st == LULL_ENOMEM) return st;
    return lull_schema_fail(c, st, c->here, NULL, "%s", why);
}

const lull_regular *lull_schema_known(lull_compiler *c, const char *how)
{
    const json_t *number = json_object_get(c->known, how);
    return number ? c->languages[json_integer_value(number)] : NULL;
}

lull_status lull_schema_keep(lull_compiler *c, const char *how, lull_regular *language)
{
    lull_status st = LULL_OK;
    if (c->n_languages == c->languages_cap) {
        size_t more = c->languages_cap ? 2 * c->languages_cap : 64;
        lull_regular **p = realloc(c->languages, more * sizeof *p);
        if (!p) goto no_memory;
        c->languages = p;
        c->languages_cap = more;
    }
    c->languages[c->n_languages++] = language;
    c->n_states += lull_regular_n_states(language);
    if (how &&
        json_object_set_new(c->known, how, json_integer((json_int_t)c->n_languages - 1)) != 0)
        return lull_fail(c->err, LULL_ENOMEM, "no memory for the schema");
    if (c->n_states > LULL_SCHEMA_MAX_STATES)
        st = lull_schema_fail(
            c, LULL_EFULL, c->here, NULL,
            "the patterns, lengths and keys up to here are too much together; fewer or "
            "simpler ones would do");
    return st;
no_memory:
    lull_regular_free(language);
    return lull_fail(c->err, LULL_ENOMEM, "no memory for the schema");
}

static lull_status kept(lull_compiler *c, lull_status st, const char *how, lull_regular *made,
                        const lull_regular **out)
{
    if (st != LULL_OK) return lull_language_failed(c, st);
    *out = made;
    st = lull_schema_step(c, 20 + lull_regular_n_states(made) / 4);
    lull_status st_kept = lull_schema_keep(c, how, made);
    return st_kept != LULL_OK ? st_kept : st;
}

lull_status lull_schema_pattern(lull_compiler *c, uint32_t schema, const char *keyword,
                                const char *pattern, size_t n_bytes, const lull_regular **out)
{
    lull_regular *made;
    char *how = lull_schema_alloc(c, n_bytes + 3);
    if (!how) return c->err->code;
    bool is_plain = !memchr(pattern, 0, n_bytes);
    if (is_plain) snprintf(how, n_bytes + 3, "/%s", pattern);
    if (is_plain && (*out = lull_schema_known(c, how))) return LULL_OK;
    lull_status st = lull_regular_parse(pattern, n_bytes, false, &made, c->err);
    if (st == LULL_OK) return kept(c, st, is_plain ? how : NULL, made, out);
    if (st == LULL_ENOMEM) return st;
    char why[sizeof c->err->msg];
    snprintf(why, sizeof why, "%s", c->err->msg);
    return lull_schema_fail(c, st, schema, keyword, "%s", why);
}

lull_status lull_schema_whole(lull_compiler *c, const char *regex, const lull_regular **out)
{
    lull_regular *made;
    size_t n_bytes = strlen(regex);
    char *how = lull_schema_alloc(c, n_bytes + 3);
    if (!how) return c->err->code;
    snprintf(how, n_bytes + 3, "=%s", regex);
    *out = lull_schema_known(c, how);
    if (*out) return LULL_OK;
    lull_status st = lull_regular_parse(regex, n_bytes, true, &made, c->err);
    return kept(c, st, how, made, out);
}

lull_status lull_schema_not(lull_compiler *c, const lull_regular *a, const lull_regular **out)
{
    lull_regular *made;
    char how[NAME_BYTES];
    snprintf(how, sizeof how, "not %p", (const void *)a);
    *out = lull_schema_known(c, how);
    if (*out) return LULL_OK;
    lull_status st = lull_regular_complement(a, &made, c->err);
    return kept(c, st, how, made, out);
}

lull_status lull_schema_both(lull_compiler *c, const lull_regular *a, const lull_regular *b,
                             const lull_regular **out)
{
    lull_regular *made;
    char how[NAME_BYTES];
    *out = !a ? b : a;
    if (!a || !b || a == b) return LULL_OK;
    snprintf(how, sizeof how, "both %p %p", (const void *)a, (const void *)b);
    *out = lull_schema_known(c, how);
    if (*out) return LULL_OK;
    lull_status st = lull_regular_intersect(a, b, &made, c->err);
    return kept(c, st, how, made, out);
}

lull_status lull_schema_either(lull_compiler *c, const lull_regular *a, const lull_regular *b,
                               const lull_regular **out)
{
    lull_regular *made;
    char how[NAME_BYTES];
    *out = NULL;
    if (!a || !b) return LULL_OK;
    snprintf(how, sizeof how, "either %p %p", (const void *)a, (const void *)b);
    *out = lull_schema_known(c, how);
    if (*out) return LULL_OK;
    lull_status st = lull_regular_union(a, b, &made, c->err);
    return kept(c, st, how, made, out);
}

static lull_status of_length(lull_compiler *c, uint32_t min, uint32_t max, const lull_regular **out)
{
    lull_regular *made;
    char how[NAME_BYTES];
    snprintf(how, sizeof how, "length %u %u", min, max);
    *out = lull_schema_known(c, how);
    if (*out) return LULL_OK;
    lull_status st = lull_regular_length(min, max, &made, c->err);
    return kept(c, st, how, made, out);
}

/* A tree of the texts, by breadth: a state is a run of texts that begin alike, up to byte `at`. */
lull_status lull_schema_one_of(lull_compiler *c, const lull_text *texts, size_t n,
                               const lull_regular **out)
{
    typedef struct run {
        size_t first, end, at;
    } run;
    lull_regular *made;
    lull_dfa d = {0};
    run *runs = malloc((LULL_DFA_MAX_STATES + 1) * sizeof *runs);
    if (!runs) return lull_fail(c->err, LULL_ENOMEM, "no memory for the schema");
    size_t n_runs = 1;
    runs[0] = (run){0, n, 0};
    for (size_t i = 0; i < n_runs && !d.status; i++) {
        run r = runs[i];
        bool is_end = r.first < r.end && texts[r.first].n_bytes == r.at;
        lull_dfa_add_state(&d, is_end);
        for (size_t k = r.first + is_end; k < r.end && !d.status;) {
            int length;
            const uint8_t *s = (const uint8_t *)texts[k].bytes + r.at;
            uint32_t ch = lull_scalar_of(lull_utf8_decode(s, texts[k].n_bytes - r.at, &length));
            size_t end = k + 1;
            while (end < r.end && texts[end].n_bytes >= r.at + (size_t)length &&
                   memcmp(texts[end].bytes + r.at, s, (size_t)length) == 0)
                end++;
            lull_dfa_add_edge(&d, ch, ch, (uint32_t)n_runs);
            if (n_runs > LULL_DFA_MAX_STATES)
                d.status = LULL_EFULL;
            else
                runs[n_runs++] = (run){k, end, r.at + (size_t)length};
            k = end;
        }
    }
    free(runs);
    lull_status st = lull_dfa_finish(&d, &made, c->err);
    return kept(c, st, NULL, made, out);
}

lull_status lull_languages_add(lull_compiler *c, const lull_languages **list,
                               const lull_regular *language, bool is_strict)
{
    for (const lull_languages *l = *list; l; l = l->next)
        if (l->language == language && l->is_strict >= is_strict) return LULL_OK;
    lull_languages *added = lull_schema_alloc(c, sizeof *added);
    if (!added) return c->err->code;
    *added = (lull_languages){language, is_strict, *list};
    *list = added;
    return LULL_OK;
}

/* ---- lists of texts -------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    const lull_text *x = a, *y = b;
    size_t n = x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes;
    int order = n ? memcmp(x->bytes, y->bytes, n) : 0;
    return order ? order : (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

void lull_texts_sort(lull_text *texts, size_t *n)
{
    size_t n_kept = 0;
    if (*n > 1) qsort(texts, *n, sizeof *texts, by_text);
    for (size_t i = 0; i < *n; i++)
        if (n_kept == 0 || by_text(&texts[n_kept - 1], &texts[i]) != 0) texts[n_kept++] = texts[i];
    *n = n_kept;
}

/* A tree, so that a place of the matcher stands for all that go on alike: texts [n] from byte
 * `at` on. */
static lull_status write_tree(lull_compiler *c, const lull_text *texts, size_t n, size_t at,
                              size_t depth, lull_expr *out)
{
    const lull_text *last = &texts[n - 1];
    size_t same = at, n_options = 0, i = 0;
    while (same < texts[0].n_bytes && same < last->n_bytes &&
           texts[0].bytes[same] == last->bytes[same])
        same++;
    *out = lull_expr_literal(c->g, texts[0].bytes + at, same - at);
    if (n == 1) return LULL_OK;
    lull_expr *options = malloc((n + 1) * sizeof *options);
    lull_status st = LULL_OK;
    if (!options) return lull_fail(c->err, LULL_ENOMEM, "no memory for the schema");
    if (texts[0].n_bytes == same) {
        options[n_options++] = lull_expr_empty(c->g);
        i = 1;
    }
    for (size_t end; i < n; i = end) {
        for (end = i + 1; end < n && texts[end].bytes[same] == texts[i].bytes[same];) end++;
        if (depth < MAX_DEPTH) {
            LULL_TRY(write_tree(c, texts + i, end - i, same, depth + 1, &options[n_options++]));
            continue;
        }
        for (size_t k = i; k < end; k++)
            options[n_options++] =
                lull_expr_literal(c->g, texts[k].bytes + same, texts[k].n_bytes - same);
    }
    lull_expr rest = lull_expr_choice(c->g, options, n_options);
    *out = lull_expr_sequence(c->g, (lull_expr[]){*out, rest}, 2);
done:
    free(options);
    return st;
}

lull_status lull_texts_write(lull_compiler *c, const lull_text *texts, size_t n, lull_expr *out)
{
    if (n > 0) return write_tree(c, texts, n, 0, 0, out);
    *out = lull_expr_never(c->g);
    return LULL_OK;
}

lull_status lull_text_quote(lull_compiler *c, lull_text text, lull_text *out)
{
    char *bytes = lull_schema_alloc(c, 6 * text.n_bytes + 2), *to = bytes;
    if (!bytes) return c->err->code;
    *to++ = '"';
    for (size_t i = 0; i < text.n_bytes; i++) {
        unsigned char ch = (unsigned char)text.bytes[i];
        const char *names = "\bb\tt\nn\ff\rr\"\"\\\\", *name = ch ? strchr(names, ch) : NULL;
        if (name && (ch < 32 || ch == '"' || ch == '\\')) {
            *to++ = '\\';
            *to++ = name[1];
        } else if (ch < 32) {
            static const char hex[] = "0123456789abcdef";
            memcpy(to, "\\u00", 4);
            to[4] = hex[ch >> 4];
            to[5] = hex[ch & 15];
            to += 6;
        } else {
            *to++ = (char)ch;
        }
    }
    *to++ = '"';
    *out = (lull_text){bytes, (size_t)(to - bytes)};
    return LULL_OK;
}

/* ---- strings of a shape ---------------------------------------------------------------------- */

static size_t count_chars(const lull_text *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->n_bytes; i++) n += ((unsigned char)text->bytes[i] & 0xc0) != 0x80;
    return n;
}

static bool has_length(const lull_strings *s)
{
    return s->min > 0 || s->max != LULL_REGULAR_ANY;
}

static lull_status filter_list(lull_compiler *c, lull_strings *s, bool *is_strict)
{
    lull_text *left = lull_schema_alloc(c, (s->n_list + 1) * sizeof *left);
    size_t n = 0;
    if (!left) return c->err->code;
    for (size_t i = 0; i < s->n_list; i++) {
        size_t n_chars = has_length(s) ? count_chars(&s->list[i]) : 0;
        bool is_in = !has_length(s) || (n_chars >= s->min && n_chars <= s->max);
        for (const lull_languages *l = s->in; l && is_in; l = l->next)
            is_in = lull_regular_matches(l->language, s->list[i].bytes, s->list[i].n_bytes);
        if (is_in) left[n++] = s->list[i];
    }
    for (const lull_languages *l = s->in; l; l = l->next) *is_strict |= l->is_strict;
    *s = (lull_strings){.list = left, .n_list = n, .max = LULL_REGULAR_ANY};
    return lull_schema_step(c, n);
}

/* The lengths of the texts of a language: shortest, and longest, LULL_REGULAR_ANY without one. */
static lull_status lengths_of(lull_compiler *c, const lull_regular *r, uint32_t *shortest,
                              uint32_t *longest)
{
    *shortest = *longest = 0;
    uint32_t n = (uint32_t)lull_regular_n_states(r), n_order = 0, n_left = 0;
    uint32_t *work = calloc(4 * (size_t)n, sizeof *work);
    uint32_t *depth = work, *height = work + n, *n_in = work + 2 * n, *order = work + 3 * n;
    if (!work) return lull_fail(c->err, LULL_ENOMEM, "no memory for the schema");
    /* By breadth for the shortest: states are numbered so. For the longest, when no state leads
     * back: in an order in which each comes behind those that lead to it. */
    bool is_found = false;
    for (uint32_t i = 0; i < n; i++) {
        size_t n_edges;
        const lull_regular_edge *e = lull_regular_edges(r, i, &n_edges);
        if (lull_regular_is_final(r, i) && (!is_found || depth[i] < *shortest))
            *shortest = depth[i];
        is_found |= lull_regular_is_final(r, i);
        for (size_t k = 0; k < n_edges; k++) {
            if (e[k].to > i && depth[e[k].to] == 0) depth[e[k].to] = depth[i] + 1;
            n_in[e[k].to]++;
        }
    }
    if (n_in[0] == 0) order[n_order++] = 0;
    for (; n_left < n_order; n_left++) {
        size_t n_edges;
        const lull_regular_edge *e = lull_regular_edges(r, order[n_left], &n_edges);
        uint32_t here = height[order[n_left]];
        if (lull_regular_is_final(r, order[n_left]) && here > *longest) *longest = here;
        for (size_t k = 0; k < n_edges; k++) {
            if (here + 1 > height[e[k].to]) height[e[k].to] = here + 1;
            if (--n_in[e[k].to] == 0) order[n_order++] = e[k].to;
        }
    }
    if (n_order < n) *longest = LULL_REGULAR_ANY;
    free(work);
    return LULL_OK;
}

/* The texts of a language that have the lengths of s. A strict language may hold less than is
 * asked for: where long texts would take too many states, it leaves them out. */
static lull_status hold_length(lull_compiler *c, const lull_strings *s, bool is_strict,
                               const lull_regular **language)
{
    const lull_regular *length, *whole = *language;
    uint32_t shortest, longest, min = s->min, max = s->max;
    lull_status st;
    LULL_TRY(lengths_of(c, whole, &shortest, &longest));
    if (min <= shortest) min = 0;
    if (max >= longest) max = LULL_REGULAR_ANY;
    if (min == 0 && max == LULL_REGULAR_ANY) return LULL_OK;
    LULL_TRY(of_length(c, min, max, &length));
    st = lull_schema_both(c, whole, length, language);
    size_t n_fit = LULL_REGULAR_MAX_STATES / lull_regular_n_states(whole);
    if (st != LULL_EFULL || !is_strict || n_fit < shortest || n_fit < min) return st;
    LULL_TRY(of_length(c, min, (uint32_t)n_fit, &length));
    LULL_TRY(lull_schema_both(c, whole, length, language));
done:
    return st;
}

lull_status lull_strings_settle(lull_compiler *c, lull_strings *s, bool *is_empty, bool *is_strict)
{
    lull_status st = LULL_OK;
    *is_strict = false;
    if (s->list) {
        if (s->in || has_length(s)) LULL_TRY(filter_list(c, s, is_strict));
        *is_empty = s->n_list == 0;
        return LULL_OK;
    }
    *is_empty = s->min > s->max;
    if (*is_empty || !s->in) return LULL_OK;
    const lull_regular *all = NULL;
    for (const lull_languages *l = s->in; l; l = l->next) {
        *is_strict |= l->is_strict;
        LULL_TRY(lull_schema_both(c, all, l->language, &all));
    }
    if (has_length(s)) LULL_TRY(hold_length(c, s, *is_strict, &all));
    if (s->in->next || has_length(s)) {
        *s = (lull_strings){.max = LULL_REGULAR_ANY};
        LULL_TRY(lull_languages_add(c, &s->in, all, *is_strict));
    }
    *is_empty = lull_regular_is_empty(all);
done:
    return st;
}

lull_status lull_strings_language(lull_compiler *c, const lull_strings *s, const lull_regular **out)
{
    *out = NULL;
    if (s->list) return lull_schema_one_of(c, s->list, s->n_list, out);
    if (s->in) *out = s->in->language;
    return !s->in && has_length(s) ? of_length(c, s->min, s->max, out) : LULL_OK;
}

bool lull_strings_match(const lull_strings *s, const char *text, size_t n_bytes)
{
    lull_text t = {text, n_bytes};
    if (s->list) return bsearch(&t, s->list, s->n_list, sizeof t, by_text) != NULL;
    if (s->in) return lull_regular_matches(s->in->language, text, n_bytes);
    size_t n = has_length(s) ? count_chars(&t) : 0;
    return n >= s->min && n <= s->max;
}

lull_status lull_strings_write(lull_compiler *c, const lull_strings *s, lull_expr *out)
{
    lull_status st = LULL_OK;
    lull_expr body;
    if (s->list) {
        size_t n = s->n_list;
        lull_text *texts = lull_schema_alloc(c, (n + 1) * sizeof *texts);
        if (!texts) return c->err->code;
        for (size_t i = 0; i < n; i++) LULL_TRY(lull_text_quote(c, s->list[i], &texts[i]));
        lull_texts_sort(texts, &n);
        return lull_texts_write(c, texts, n, out);
    }
    if (s->in)
        body = lull_expr_language(c->g, s->in->language, true);
    else if (has_length(s))
        body = lull_expr_repeat(c->g, c->any_char, s->min,
                                s->max == LULL_REGULAR_ANY ? LULL_UNBOUNDED : s->max);
    else {
        *out = c->any_string;
        return LULL_OK;
    }
    *out = lull_expr_sequence(c->g, (lull_expr[]){c->quote, body, c->quote}, 3);
done:
    return st;
}
