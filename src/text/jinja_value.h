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

typedef enum lull_jinja_type {
    LULL_JINJA_UNDEFINED, /* text: what was looked for */
    LULL_JINJA_NONE,
    LULL_JINJA_BOOL,
    LULL_JINJA_INT,
    LULL_JINJA_FLOAT,
    LULL_JINJA_STRING,
    LULL_JINJA_LIST,
    LULL_JINJA_TUPLE,
    LULL_JINJA_DICT,
    LULL_JINJA_NAMESPACE, /* a dict whose entries may be set */
    LULL_JINJA_LOOP,
    LULL_JINJA_MACRO,    /* object starts with its name, a lull_jinja_text; n is 0: none */
    LULL_JINJA_METHOD,   /* a method of a string, list or dict */
    LULL_JINJA_FUNCTION, /* a global, by number */
    LULL_JINJA_LOOP_METHOD
} lull_jinja_type;

typedef struct lull_jinja_text {
    const char *s;
    size_t n; /* bytes */
} lull_jinja_text;

typedef struct lull_jinja_value {
    lull_jinja_type type;
    union {
        bool truth;
        int64_t integer;
        double number;
        lull_jinja_text text;
        struct lull_jinja_list *list; /* of LIST and TUPLE */
        struct lull_jinja_dict *dict; /* of DICT and NAMESPACE */
        void *object;                 /* of the rest: what its type says */
    } as;
} lull_jinja_value;

typedef struct lull_jinja_list {
    lull_jinja_value *items;
    size_t n, cap;
    bool is_group; /* a tuple of groupby: its items are also .grouper and .list */
} lull_jinja_list;

typedef struct lull_jinja_pair {
    lull_jinja_value key, value;
} lull_jinja_pair;

/* In order of insertion. */
typedef struct lull_jinja_dict {
    lull_jinja_pair *pairs;
    size_t n, cap;
} lull_jinja_dict;

/* What a render may use up, and where it stands. All that allocates or loops counts here, so that a
 * hostile template ends. A failure is kept: the first one is what the user sees. */
typedef struct lull_jinja_run {
    lull_arena arena;
    size_t n_input;                             /* bytes of the variables, about */
    size_t n_steps, n_output;                   /* n_output: bytes of all captured output */
    size_t most_steps, most_bytes, most_output; /* most_output: also of any one text */
    int depth;
    int line, column; /* of the node at work */
    lull_status status;
    lull_error *err;
} lull_jinja_run;

/* A step is about 50 ns. What a template may use grows with its variables, so that a long conversation
 * is no attack; a hostile template ends within 0.1 s and 64 MiB of a short one. */
enum {
    LULL_JINJA_BASE_STEPS = 1000000,
    LULL_JINJA_INPUT_STEPS = 8,       /* and so many for each byte of input */
    LULL_JINJA_BASE_BYTES = 16 << 20, /* of the arena */
    LULL_JINJA_INPUT_BYTES = 16,
    LULL_JINJA_BASE_OUTPUT = 4 << 20,
    LULL_JINJA_INPUT_OUTPUT = 8,
    LULL_JINJA_MAX_DEPTH = 120,
    /* Bytes that cost a step: looked at one by one, searched, copied. */
    LULL_JINJA_READ_BYTES = 8,
    LULL_JINJA_FIND_BYTES = 64,
    LULL_JINJA_COPY_BYTES = 256
};

/* Fail at the node at work; always false. */
bool lull_jinja_fail(lull_jinja_run *r, lull_status code, const char *fmt, ...) LULL_PRINTF(3, 4);
/* Count n steps; false when there are too many. */
bool lull_jinja_step(lull_jinja_run *r, size_t n);
/* Append s [n], count times; false when the text becomes too long. */
bool lull_jinja_append(lull_jinja_run *r, lull_buffer *b, const char *s, size_t n);
bool lull_jinja_fill(lull_jinja_run *r, lull_buffer *b, lull_jinja_text s, size_t count);
/* Zeroed memory of the render; NULL (and failed) when it uses too much. */
void *lull_jinja_alloc(lull_jinja_run *r, size_t n_bytes);

lull_jinja_value lull_jinja_undefined(lull_jinja_text what);
lull_jinja_value lull_jinja_none(void);
lull_jinja_value lull_jinja_bool(bool b);
lull_jinja_value lull_jinja_int(int64_t i);
lull_jinja_value lull_jinja_float(double d);
lull_jinja_value lull_jinja_string(const char *s, size_t n); /* view */
lull_jinja_value lull_jinja_literal(const char *s);          /* view of a NUL-terminated string */

/* All below: false when the run has failed. */
bool lull_jinja_copy_string(lull_jinja_run *r, const char *s, size_t n, lull_jinja_value *out);
/* Take what a buffer holds; it is emptied. */
bool lull_jinja_take_buffer(lull_jinja_run *r, lull_buffer *b, lull_jinja_value *out);
bool lull_jinja_new_list(lull_jinja_run *r, lull_jinja_type type, size_t cap,
                         lull_jinja_value *out);
bool lull_jinja_push(lull_jinja_run *r, lull_jinja_list *l, lull_jinja_value v);
bool lull_jinja_new_dict(lull_jinja_run *r, lull_jinja_value *out);
/* Fail for what cannot be a key: lists and dicts, also within tuples. */
bool lull_jinja_need_hashable(lull_jinja_run *r, const lull_jinja_value *key);
bool lull_jinja_set(lull_jinja_run *r, lull_jinja_dict *d, lull_jinja_value key,
                    lull_jinja_value v);
/* NULL: absent. Counts steps. */
lull_jinja_value *lull_jinja_get(lull_jinja_run *r, const lull_jinja_dict *d, lull_jinja_value key);
lull_jinja_value *lull_jinja_get_name(lull_jinja_run *r, const lull_jinja_dict *d,
                                      lull_jinja_text name);
bool lull_jinja_from_json(lull_jinja_run *r, const json_t *j, lull_jinja_value *out);

static inline bool lull_jinja_is_list(const lull_jinja_value *v)
{
    return v->type == LULL_JINJA_LIST || v->type == LULL_JINJA_TUPLE;
}
static inline bool lull_jinja_is_dict(const lull_jinja_value *v)
{
    return v->type == LULL_JINJA_DICT || v->type == LULL_JINJA_NAMESPACE;
}
static inline bool lull_jinja_is_number(const lull_jinja_value *v)
{
    return v->type == LULL_JINJA_BOOL || v->type == LULL_JINJA_INT || v->type == LULL_JINJA_FLOAT;
}
static inline int64_t lull_jinja_as_int(const lull_jinja_value *v)
{
    return v->type == LULL_JINJA_BOOL ? v->as.truth : v->as.integer;
}
static inline double lull_jinja_as_float(const lull_jinja_value *v)
{
    return v->type == LULL_JINJA_FLOAT ? v->as.number : (double)lull_jinja_as_int(v);
}
static inline bool lull_jinja_text_is(lull_jinja_text t, const char *s)
{
    size_t n = 0;
    while (s[n] && n < t.n && s[n] == t.s[n]) n++;
    return n == t.n && !s[n];
}

bool lull_jinja_truth(const lull_jinja_value *v);
/* As Python says: "str", "list", … */
const char *lull_jinja_type_name(const lull_jinja_value *v);
bool lull_jinja_equal(lull_jinja_run *r, const lull_jinja_value *a, const lull_jinja_value *b,
                      bool *out);
/* -1, 0, 1; fails for values without an order. */
bool lull_jinja_compare(lull_jinja_run *r, const lull_jinja_value *a, const lull_jinja_value *b,
                        int *out);
/* str(v) or repr(v), appended. */
bool lull_jinja_print(lull_jinja_run *r, const lull_jinja_value *v, bool as_repr, lull_buffer *b);
/* str(v) as a string value; strings are passed on. */
bool lull_jinja_to_string(lull_jinja_run *r, const lull_jinja_value *v, lull_jinja_value *out);
/* json.dumps(v), appended. */
typedef struct lull_jinja_json_style {
    bool is_ascii;  /* else other characters stand as they are */
    bool has_lines; /* each item on a line of its own, behind indent as often as it is deep */
    bool sort_keys;
    lull_jinja_text indent, item_separator, key_separator;
} lull_jinja_json_style;
bool lull_jinja_dump_json(lull_jinja_run *r, const lull_jinja_value *v,
                          const lull_jinja_json_style *style, int depth, lull_buffer *b);
/* The items that a for loop goes over: of a list, the characters of a string, the keys of a dict;
 * fails for what cannot be iterated. The list may be the value's own. */
bool lull_jinja_iterate(lull_jinja_run *r, const lull_jinja_value *v, lull_jinja_list *out);

/* Characters of UTF-8 text; a byte that is none counts as one. */
size_t lull_jinja_char_bytes(const char *s, size_t n);
size_t lull_jinja_n_chars(lull_jinja_text t);
/* Byte offset of character i; t.n when there are fewer. */
size_t lull_jinja_char_offset(lull_jinja_text t, size_t i);
uint32_t lull_jinja_char_at(const char *s, size_t n, size_t *n_bytes);
size_t lull_jinja_put_char(uint32_t c, char out[4]);
bool lull_jinja_is_space(uint32_t c); /* as str.isspace */

#endif
