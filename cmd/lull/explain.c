#include "explain.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "display.h"
#include "term.h"

enum { AROUND_TOKENS = 48, SHOWN_BYTES = 44, WORD_BYTES = 64 };

static const struct {
    const char *name, *words, *advice;
} causes[] = {
    [LULL_CAUSE_NONE] = {"none", "nothing: one is the beginning of the other", ""},
    [LULL_CAUSE_BOS] = {"bos", "a beginning-of-sequence token on one side only",
                        "let lull put it there, once"},
    [LULL_CAUSE_TEMPLATE] = {"template", "the chat template: a control token on one side",
                             "send the same roles, in the same order, with the same template"},
    [LULL_CAUSE_TURNS] = {"turns", "the template renders earlier turns differently",
                          "send what the template keeps (no earlier thinking), or use a template "
                          "that leaves earlier turns alone"},
    [LULL_CAUSE_DATE] = {"date", "a date or a time", "put what changes behind what stays"},
    [LULL_CAUSE_ID] = {"id", "an identifier", "put what changes behind what stays"},
    [LULL_CAUSE_NUMBER] = {"number", "a number", "put what changes behind what stays"},
    [LULL_CAUSE_WHITESPACE] = {"whitespace", "blanks or line ends", "keep them as they were"},
    [LULL_CAUSE_CASE] = {"case", "upper and lower case", "keep it as it was"},
    [LULL_CAUSE_TOKENS] = {"tokens", "the same text, cut into other tokens",
                           "send the text in the pieces that it was read in"},
    [LULL_CAUSE_TEXT] = {"text", "other words", ""},
};

const char *lull_cause_name(lull_cause c)
{
    return causes[c].name;
}

const char *lull_cause_words(lull_cause c)
{
    return causes[c].words;
}

const char *lull_cause_advice(lull_cause c)
{
    return causes[c].advice;
}

/* ---- guessing ------------------------------------------------------------------------------- */

/* The word that the place stands in: letters, digits, and what binds dates and identifiers. */
static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("-_:/.+", c));
}

static void word_around(const lull_buffer *before, const lull_buffer *after, char word[WORD_BYTES])
{
    size_t n_before = 0, n_after = 0;
    const size_t most = WORD_BYTES / 2 - 1;
    while (n_before < before->n_bytes && n_before < most &&
           is_word_byte(before->data[before->n_bytes - 1 - n_before]))
        n_before++;
    while (n_after < after->n_bytes && n_after < most && is_word_byte(after->data[n_after]))
        n_after++;
    snprintf(word, WORD_BYTES, "%.*s%.*s", (int)n_before,
             before->n_bytes ? before->data + before->n_bytes - n_before : "", (int)n_after,
             after->n_bytes ? after->data : "");
}

typedef struct word_shape {
    size_t n, n_digits, n_hex, n_letters, n_marks; /* marks: - / : . */
} word_shape;

static word_shape shape_of(const char *word)
{
    word_shape s = {.n = strlen(word)};
    for (const char *p = word; *p; p++) {
        s.n_digits += isdigit((unsigned char)*p) != 0;
        s.n_hex += isxdigit((unsigned char)*p) != 0;
        s.n_letters += isalpha((unsigned char)*p) != 0;
        s.n_marks += strchr("-/:.", *p) != NULL;
    }
    return s;
}

/* Does the text around have the name of a month or a weekday? */
static bool has_calendar_word(const lull_buffer *before, const lull_buffer *after)
{
    static const char *const names[] = {
        "jan",    "feb",      "mar",    "apr",   "may",    "jun",     "jul",       "aug",
        "sep",    "oct",      "nov",    "dec",   "monday", "tuesday", "wednesday", "thursday",
        "friday", "saturday", "sunday", "date:", "today",  "time:"};
    enum { NEAR = 16 };
    char near_text[2 * NEAR + 1];
    size_t n_before = before->n_bytes < NEAR ? before->n_bytes : NEAR;
    snprintf(near_text, sizeof near_text, "%.*s%.*s", (int)n_before,
             n_before ? before->data + before->n_bytes - n_before : "",
             (int)(after->n_bytes < NEAR ? after->n_bytes : NEAR), after->data ? after->data : "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *at = strcasestr(near_text, names[i]);
        if (at && (at == near_text || !isalpha((unsigned char)at[-1]))) return true;
    }
    return false;
}

static bool is_date(const char *word, bool is_near_calendar)
{
    word_shape s = shape_of(word);
    if (s.n_digits == 0) return is_near_calendar && s.n_letters == s.n && s.n > 2;
    bool is_dense = s.n_digits >= 3 && s.n_marks >= 1 && s.n_letters <= 2 && s.n_digits < 20;
    /* 2024-05-01, 01/05/2024, 12:30, 2024-05-01T12:30:00Z */
    bool has_marks = s.n_marks >= 2 || (s.n_marks >= 1 && strchr(word, ':'));
    return (is_dense && has_marks) || (is_near_calendar && s.n_digits <= 8 && s.n_letters <= 2);
}

static bool is_identifier(const char *word, const lull_buffer *before)
{
    enum { SHORTEST = 8 };
    word_shape s = shape_of(word);
    size_t n_before = before->n_bytes < 24 ? before->n_bytes : 24;
    char label[25];
    snprintf(label, sizeof label, "%.*s", (int)n_before,
             n_before ? before->data + before->n_bytes - n_before : "");
    bool is_labelled = strcasestr(label, "id:") || strcasestr(label, "id=") ||
                       strcasestr(label, "id ") || strcasestr(label, "uuid") ||
                       strcasestr(label, "token") || strcasestr(label, "session");
    bool is_mixed = s.n_digits > 0 && s.n_letters > 0 && s.n >= SHORTEST;
    bool is_hex = s.n_hex + s.n_marks == s.n && s.n >= SHORTEST && s.n_digits > 0;
    return is_mixed || is_hex || s.n_digits >= 12 || (is_labelled && s.n_digits > 0);
}

static bool is_number(const char *word)
{
    word_shape s = shape_of(word);
    return s.n_digits > 0 && s.n_letters == 0;
}

static lull_cause guess_by_text(const lull_divergence *d)
{
    char a[WORD_BYTES], b[WORD_BYTES];
    const char *x = d->after_a.data ? d->after_a.data : "";
    const char *y = d->after_b.data ? d->after_b.data : "";
    word_around(&d->before, &d->after_a, a);
    word_around(&d->before, &d->after_b, b);
    if (is_date(a, has_calendar_word(&d->before, &d->after_a)) &&
        is_date(b, has_calendar_word(&d->before, &d->after_b)))
        return LULL_CAUSE_DATE;
    if (is_identifier(a, &d->before) && is_identifier(b, &d->before)) return LULL_CAUSE_ID;
    if (is_number(a) && is_number(b)) return LULL_CAUSE_NUMBER;
    if (isspace((unsigned char)*x) || isspace((unsigned char)*y)) {
        /* Is it all the same but for the blanks? */
        const char *p = x + strspn(x, " \t\r\n"), *q = y + strspn(y, " \t\r\n");
        if (*p == *q) return LULL_CAUSE_WHITESPACE;
    }
    if (*x && *y && tolower((unsigned char)*x) == tolower((unsigned char)*y))
        return LULL_CAUSE_CASE;
    return LULL_CAUSE_TEXT;
}

static bool is_control(const lull_model *model, int32_t token)
{
    size_t n_name, n_plain;
    (void)lull_token_text(model, token, true, &n_name);
    (void)lull_token_text(model, token, false, &n_plain);
    return n_name > 0 && n_plain == 0;
}

/* Does the last control token before the place open a system message? */
static bool is_in_system(const lull_model *model, const int32_t *tokens, size_t n)
{
    enum { LONGEST_HEADER = 4 };
    for (size_t i = n; i-- > 0;) {
        if (!is_control(model, tokens[i]) || tokens[i] == lull_token_bos(model)) continue;
        char role[32] = "";
        for (size_t k = i + 1; k < n && k <= i + LONGEST_HEADER; k++) {
            size_t n_bytes, n_have = strlen(role);
            const char *text = lull_token_text(model, tokens[k], true, &n_bytes);
            snprintf(role + n_have, sizeof role - n_have, "%.*s", (int)n_bytes, text);
        }
        return strncmp(role, "system", 6) == 0;
    }
    return false;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void append_tokens(lull_buffer *b, const lull_model *model, const int32_t *tokens,
                          size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        size_t n;
        const char *text = lull_token_text(model, tokens[i], true, &n);
        lull_buffer_append(b, text, n);
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Move what both sides go on with to `before`, in whole characters. */
static void move_common(lull_divergence *d)
{
    size_t n = 0, n_most = least(d->after_a.n_bytes, d->after_b.n_bytes);
    while (n < n_most && d->after_a.data[n] == d->after_b.data[n]) n++;
    while (n > 0 && n < d->after_a.n_bytes && ((unsigned char)d->after_a.data[n] & 0xc0) == 0x80)
        n--;
    if (n == 0) return;
    lull_buffer_append(&d->before, d->after_a.data, n);
    lull_buffer *sides[] = {&d->after_a, &d->after_b};
    for (int i = 0; i < 2; i++) {
        memmove(sides[i]->data, sides[i]->data + n, sides[i]->n_bytes - n + 1);
        sides[i]->n_bytes -= n;
    }
}

lull_status lull_explain(const lull_model *model, const int32_t *a, size_t n_a, const int32_t *b,
                         size_t n_b, lull_divergence *d, lull_error *err)
{
    size_t n = 0;
    *d = (lull_divergence){.message = -1};
    while (n < n_a && n < n_b && a[n] == b[n]) n++;
    d->n_common = n;
    append_tokens(&d->before, model, a, n > AROUND_TOKENS ? n - AROUND_TOKENS : 0, n);
    append_tokens(&d->after_a, model, a, n, least(n_a, n + AROUND_TOKENS));
    append_tokens(&d->after_b, model, b, n, least(n_b, n + AROUND_TOKENS));
    int32_t bos = lull_token_bos(model);
    if (n == n_a || n == n_b)
        d->cause = LULL_CAUSE_NONE;
    else if (n <= 1 && (a[n] == bos || b[n] == bos))
        d->cause = LULL_CAUSE_BOS;
    else if (is_control(model, a[n]) || is_control(model, b[n]))
        d->cause = LULL_CAUSE_TEMPLATE;
    else
        d->cause = LULL_CAUSE_TEXT;
    d->is_in_system = is_in_system(model, a, n);
    move_common(d);
    if (d->before.is_failed || d->after_a.is_failed || d->after_b.is_failed) {
        lull_divergence_fini(d);
        return lull_fail(err, LULL_ENOMEM, "no memory for the text around a place");
    }
    if (d->cause == LULL_CAUSE_TEXT)
        d->cause = d->after_a.n_bytes == 0 || d->after_b.n_bytes == 0 ? LULL_CAUSE_TOKENS
                                                                      : guess_by_text(d);
    return LULL_OK;
}

void lull_divergence_blame_turns(lull_divergence *d, long message)
{
    d->cause = LULL_CAUSE_TURNS;
    d->message = message;
}

void lull_divergence_fini(lull_divergence *d)
{
    lull_buffer_fini(&d->before);
    lull_buffer_fini(&d->after_a);
    lull_buffer_fini(&d->after_b);
}

/* ---- showing -------------------------------------------------------------------------------- */

static size_t whole_characters_back(const char *s, size_t n, size_t most)
{
    size_t from = n > most ? n - most : 0;
    while (from < n && ((unsigned char)s[from] & 0xc0) == 0x80) from++;
    return from;
}

static size_t whole_characters(const char *s, size_t n, size_t most)
{
    if (n <= most) return n;
    while (most > 0 && ((unsigned char)s[most] & 0xc0) == 0x80) most--;
    return most;
}

static void print_side(const lull_divergence *d, FILE *f, const char *name, int width,
                       const lull_buffer *after)
{
    lull_buffer head = {0}, tail = {0};
    const char *before = d->before.data ? d->before.data : "";
    size_t from = whole_characters_back(before, d->before.n_bytes, SHOWN_BYTES);
    lull_display_escape(&head, before + from, d->before.n_bytes - from);
    if (after->n_bytes > 0)
        lull_display_escape(&tail, after->data,
                            whole_characters(after->data, after->n_bytes, SHOWN_BYTES));
    else
        lull_buffer_append_str(&tail, "(ends here)");
    fprintf(f, "  %-*s  %s%s%s%s%s\n", width, name, from ? "…" : "", head.data ? head.data : "",
            lull_style_of(f, LULL_STYLE_BOLD), tail.data ? tail.data : "",
            lull_style_of(f, LULL_STYLE_OFF));
    lull_buffer_fini(&head);
    lull_buffer_fini(&tail);
}

void lull_divergence_print(const lull_divergence *d, FILE *f, const char *name_a,
                           const char *name_b)
{
    int width = (int)(strlen(name_a) > strlen(name_b) ? strlen(name_a) : strlen(name_b));
    print_side(d, f, name_a, width, &d->after_a);
    print_side(d, f, name_b, width, &d->after_b);
}

static json_t *side_json(const lull_buffer *b)
{
    return lull_cmd_json_text(b->data ? b->data : "", b->n_bytes);
}

json_t *lull_divergence_json(const lull_divergence *d, const char *key_a, const char *key_b)
{
    json_t *object =
        json_pack("{s:I, s:o, s:o, s:o, s:s, s:s, s:b}", "token", (json_int_t)d->n_common, "before",
                  side_json(&d->before), key_a, side_json(&d->after_a), key_b,
                  side_json(&d->after_b), "cause", lull_cause_name(d->cause), "words",
                  lull_cause_words(d->cause), "in_system_message", (int)d->is_in_system);
    if (d->message >= 0) json_object_set_new(object, "message", json_integer(d->message));
    return object;
}

/* ---- the vocabulary of a state --------------------------------------------------------------- */

static json_t *card_member(const char *card, const char *key)
{
    json_t *all = card ? json_loads(card, 0, NULL) : NULL;
    json_t *value = json_incref(json_object_get(all, key));
    json_decref(all);
    return value;
}

lull_status lull_cmd_open_vocab(const lull_store_state *state, const char *name, const char *path,
                                lull_model **model, lull_error *err)
{
    json_t *remembered = card_member(state->session, "model");
    bool is_given = path != NULL;
    if (!is_given) path = json_string_value(remembered);
    lull_status st =
        path ? lull_cmd_open_model(path, 1, (lull_cmd_numerics){0}, LULL_CMD_VOCAB_ONLY, model, err)
             : lull_fail(err, LULL_ENOTFOUND, "%.60s does not say which model read it", name);
    if (st != LULL_OK && !is_given)
        st = lull_fail(err, st, "the model of %.60s is not to be had (%.90s): give --model FILE",
                       name, path ? path : "no path");
    json_decref(remembered);
    if (st != LULL_OK) return st;
    json_t *theirs = card_member(state->card, "tokenizer");
    json_t *ours = card_member(lull_model_card(*model), "tokenizer");
    if (!theirs || !ours || !json_equal(theirs, ours)) {
        st = lull_fail(
            err, LULL_EMISMATCH,
            "%.60s was read with another tokenizer than that file has: give --model FILE", name);
        lull_model_close(*model);
        *model = NULL;
    }
    json_decref(theirs);
    json_decref(ours);
    return st;
}

bool lull_cmd_is_same_vocab(const lull_store_state *a, const lull_store_state *b)
{
    json_t *x = card_member(a->card, "tokenizer"), *y = card_member(b->card, "tokenizer");
    bool is_same = x && y && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return is_same;
}
