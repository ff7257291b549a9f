/* Values of the template interpreter, with Python's meaning of truth, equality, order and text.
 * They live in a render's arena; strings may also be views of the template or of the variables. */
#ifndef LULL_TEXT_JINJA_VALUE_H
#define LULL_TEXT_JINJA_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "buffer.h"
#include "error.h"

typedef enum jinja_type {
    JINJA_UNDEFINED, /* text: what was looked for */
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_NAMESPACE, /* a dict whose entries may be set */
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_METHOD,   /* a method of a string, list or dict */
    JINJA_FUNCTION, /* a global, by number */
    JINJA_LOOP_METHOD
} jinja_type;

typedef struct jinja_text {
    const char *s;
    size_t n; /* bytes */
} jinja_text;

typedef struct jinja_value {
    jinja_type type;
    union {
        bool truth;
        int64_t integer;
        double number;
        jinja_text text;
        struct jinja_list *list; /* of LIST and TUPLE */
        struct jinja_dict *dict; /* of DICT and NAMESPACE */
        void *object;            /* of the rest: what its type says */
    } as;
} jinja_value;

typedef struct jinja_list {
    jinja_value *items;
    size_t n, cap;
} jinja_list;

typedef struct jinja_pair {
    jinja_value key, value;
} jinja_pair;

/* In order of insertion. */
typedef struct jinja_dict {
    jinja_pair *pairs;
    size_t n, cap;
} jinja_dict;

/* What a render may use up, and where it stands. All that allocates or loops counts here, so that a
 * hostile template ends. A failure is kept: the first one is what the user sees. */
typedef struct jinja_run {
    lull_arena arena;
    size_t n_steps, n_output; /* bytes of all captured output */
    int depth;
    int line, column; /* of the node at work */
    lull_status status;
    lull_error *err;
} jinja_run;

enum {
    JINJA_MAX_STEPS = 1500000,
    JINJA_MAX_BYTES = 40 << 20, /* of the arena */
    JINJA_MAX_OUTPUT = 16 << 20,
    JINJA_MAX_DEPTH = 120
};

/* Fail at the node at work; always false. */
bool jinja_fail(jinja_run *r, lull_status code, const char *fmt, ...) LULL_PRINTF(3, 4);
/* Count n steps; false when there are too many. */
bool jinja_step(jinja_run *r, size_t n);
/* Zeroed memory of the render; NULL (and failed) when it uses too much. */
void *jinja_alloc(jinja_run *r, size_t n_bytes);

jinja_value jinja_undefined(jinja_text what);
jinja_value jinja_none(void);
jinja_value jinja_bool(bool b);
jinja_value jinja_int(int64_t i);
jinja_value jinja_float(double d);
jinja_value jinja_string(const char *s, size_t n); /* view */
jinja_value jinja_literal(const char *s);          /* view of a NUL-terminated string */

/* All below: false when the run has failed. */
bool jinja_copy_string(jinja_run *r, const char *s, size_t n, jinja_value *out);
/* Take what a buffer holds; it is emptied. */
bool jinja_take_buffer(jinja_run *r, lull_buffer *b, jinja_value *out);
bool jinja_new_list(jinja_run *r, jinja_type type, size_t cap, jinja_value *out);
bool jinja_push(jinja_run *r, jinja_list *l, jinja_value v);
bool jinja_new_dict(jinja_run *r, jinja_value *out);
bool jinja_set(jinja_run *r, jinja_dict *d, jinja_value key, jinja_value v);
/* NULL: absent. Counts steps. */
jinja_value *jinja_get(jinja_run *r, const jinja_dict *d, jinja_value key);
jinja_value *jinja_get_name(jinja_run *r, const jinja_dict *d, jinja_text name);
bool jinja_from_json(jinja_run *r, const json_t *j, jinja_value *out);

static inline bool jinja_is_list(const jinja_value *v)
{
    return v->type == JINJA_LIST || v->type == JINJA_TUPLE;
}
static inline bool jinja_is_dict(const jinja_value *v)
{
    return v->type == JINJA_DICT || v->type == JINJA_NAMESPACE;
}
static inline bool jinja_is_number(const jinja_value *v)
{
    return v->type == JINJA_BOOL || v->type == JINJA_INT || v->type == JINJA_FLOAT;
}
static inline int64_t jinja_as_int(const jinja_value *v)
{
    return v->type == JINJA_BOOL ? v->as.truth : v->as.integer;
}
static inline double jinja_as_float(const jinja_value *v)
{
    return v->type == JINJA_FLOAT ? v->as.number : (double)jinja_as_int(v);
}
static inline bool jinja_text_is(jinja_text t, const char *s)
{
    size_t n = 0;
    while (s[n] && n < t.n && s[n] == t.s[n]) n++;
    return n == t.n && !s[n];
}

bool jinja_truth(const jinja_value *v);
const char *jinja_type_name(const jinja_value *v); /* as Python says: "str", "list", … */
bool jinja_equal(jinja_run *r, const jinja_value *a, const jinja_value *b, bool *out);
/* -1, 0, 1; fails for values without an order. */
bool jinja_compare(jinja_run *r, const jinja_value *a, const jinja_value *b, int *out);
/* str(v) or repr(v), appended. */
bool jinja_print(jinja_run *r, const jinja_value *v, bool as_repr, lull_buffer *b);
/* str(v) as a string value; strings are passed on. */
bool jinja_to_string(jinja_run *r, const jinja_value *v, jinja_value *out);
/* json.dumps(v, ensure_ascii=False); indent < 0: on one line. */
typedef struct jinja_json_style {
    int indent;
    bool sort_keys;
    jinja_text item_separator, key_separator;
} jinja_json_style;
bool jinja_dump_json(jinja_run *r, const jinja_value *v, const jinja_json_style *style, int depth,
                     lull_buffer *b);
/* The items that a for loop goes over: of a list, the characters of a string, the keys of a dict;
 * fails for what cannot be iterated. The list may be the value's own. */
bool jinja_iterate(jinja_run *r, const jinja_value *v, jinja_list *out);

/* Characters of UTF-8 text; a byte that is none counts as one. */
size_t jinja_char_bytes(const char *s, size_t n);
size_t jinja_n_chars(jinja_text t);
/* Byte offset of character i; t.n when there are fewer. */
size_t jinja_char_offset(jinja_text t, size_t i);
uint32_t jinja_char_at(const char *s, size_t n, size_t *n_bytes);
size_t jinja_put_char(uint32_t c, char out[4]);
bool jinja_is_space(uint32_t c); /* as str.isspace */

#endif
