/* A schema on its way into a grammar, for schema*.c.
 *
 *   schema     an object or boolean of the document, with a number
 *   literal    a schema that a value must satisfy, or must not
 *   goal       a set of literals, all to be satisfied by one value; has a number and a rule
 *   shape      what is left of a goal when every keyword that offers a choice has been decided: for
 *              each type of JSON the values that it admits. A goal is the union of its shapes.
 *
 * The goals of members and items are made when a shape is written down (schema_object.c), and
 * wait in a queue: no recursion follows the document's depth, and a schema that refers to itself
 * meets its goal again. */
#ifndef LULL_MASK_SCHEMA_PRIVATE_H
#define LULL_MASK_SCHEMA_PRIVATE_H

#include <jansson.h>

#include "arena.h"
#include "schema.h"

typedef uint32_t lull_goal;

typedef struct lull_subschema {
    const json_t *value;
    uint32_t parent;           /* UINT32_MAX: the root */
    const char *key, *sub_key; /* where in the parent: "properties", "a"; sub_key may be NULL */
    uint32_t target;           /* of its "$ref", 1 + number; 0: not looked up */
    bool is_acyclic;           /* not made of itself, as far as one value goes */
    bool is_open;              /* being looked at for that */
    uint8_t truth;             /* 0: not looked at; 1: always holds; 2: never; 3: neither */
} lull_subschema;

typedef struct lull_literal {
    uint32_t schema;
    bool is_negated;
} lull_literal;

/* ---- what a shape admits --------------------------------------------------------------------- */

enum {
    LULL_JSON_NULL = 1,
    LULL_JSON_FALSE = 2,
    LULL_JSON_TRUE = 4,
    LULL_JSON_NUMBER = 8,
    LULL_JSON_STRING = 16,
    LULL_JSON_ARRAY = 32,
    LULL_JSON_OBJECT = 64,
    LULL_JSON_ALL = 127
};

typedef struct lull_decimal {
    const char *whole, *fraction; /* digits; no zero in front of whole or behind fraction */
    bool is_negative;             /* never of zero */
} lull_decimal;

/* One language of those that a text must be in. */
typedef struct lull_languages {
    const lull_regular *language;
    bool is_strict; /* holds less than the schema asks: of a format */
    const struct lull_languages *next;
} lull_languages;

typedef struct lull_text {
    const char *bytes;
    size_t n_bytes;
} lull_text;

typedef struct lull_strings {
    const lull_text *list; /* [n_list], sorted: one of those; NULL: any */
    size_t n_list;
    uint32_t min, max; /* characters; LULL_REGULAR_ANY */
    const lull_languages *in;
} lull_strings;

typedef struct lull_numbers {
    const lull_decimal *list; /* [n_list]: one of those; NULL: any */
    size_t n_list;
    const lull_decimal *min, *max; /* NULL: none */
    bool is_above, is_below;       /* without min, max themselves */
    bool is_integer;
    const lull_languages *in; /* of texts without an exponent */
} lull_numbers;

/* A schema whose keywords on items or members apply. */
typedef struct lull_part {
    uint32_t schema;
    bool is_closed; /* its "unevaluatedProperties" or "unevaluatedItems" is what applies */
    const struct lull_part *next;
} lull_part;

enum { LULL_FACT_REQUIRED, LULL_FACT_ABSENT, LULL_FACT_HOLDS };

/* What is known of one key, or of one item, beside the parts. */
typedef struct lull_fact {
    const char *key;
    size_t n_key;         /* the index of an item, without a key */
    int kind;             /* LULL_FACT_… */
    lull_literal literal; /* HOLDS: if it is there, it satisfies this */
    const struct lull_fact *next;
} lull_fact;

typedef struct lull_todo {
    uint32_t schema;
    uint8_t kind; /* lull_todo_kind */
    size_t index; /* of the choice within the keyword */
    const struct lull_todo *next;
} lull_todo;

typedef struct lull_shape {
    uint8_t types;
    bool is_unsure; /* a type was struck out by a language that holds less than the schema asks */
    lull_strings strings;
    lull_numbers numbers;

    const lull_part *arrays;
    const lull_fact *item_facts;
    const lull_literal *every_item; /* [n_every_item] */
    size_t n_every_item;
    uint64_t min_items, max_items; /* UINT64_MAX: none */
    uint32_t unique;               /* a schema that asks for unique items; UINT32_MAX: none */
    uint32_t contains;             /* a schema with "contains"; UINT32_MAX: none */

    const lull_part *objects;
    const lull_fact *facts;        /* REQUIRED, ABSENT */
    const lull_fact *rules;        /* HOLDS */
    const lull_literal *key_names; /* schemas of keys, [n_key_names] */
    size_t n_key_names;
    uint64_t min_members, max_members;
    uint32_t min_members_by; /* the schema that says so */

    const lull_todo *todo, *choices; /* what is still to be applied; empty when done */
} lull_shape;

typedef struct lull_goal_facts {
    const lull_literal *literals; /* sorted */
    size_t n_literals;
    lull_expr rule;
    const lull_shape *shapes;
    uint32_t n_shapes;
    bool is_expanded, is_open; /* open: being expanded */
    bool is_unsure;            /* a shape was dropped that was unsure */
    bool is_queued;
    bool is_empty[2]; /* found so; [1]: exactly */
    uint8_t look[2];  /* looked at so many levels, and found possible */
} lull_goal_facts;

/* ---- the compiler ---------------------------------------------------------------------------- */

enum {
    LULL_SCHEMA_MAX_GOALS = 20000,
    LULL_SCHEMA_MAX_SHAPES = 1000,   /* of one goal, while it is expanded */
    LULL_SCHEMA_MAX_STEPS = 800000,  /* of everything, each some 100 ns */
    LULL_SCHEMA_MAX_STATES = 120000, /* of all regular languages together */
    LULL_SCHEMA_MAX_TEXT = 1 << 20,
    LULL_SCHEMA_MAX_BYTES = 16 << 20, /* of the arena */
    LULL_SCHEMA_MAX_LOOK =
        6 /* so many levels below are looked at for whether anything is possible */
};

typedef struct lull_compiler {
    lull_arena arena;
    lull_grammar *g;
    lull_error *err;
    json_t *root;

    lull_subschema *schemas; /* owned [n_schemas] */
    uint32_t n_schemas, schemas_cap;
    uint32_t *schema_slots; /* owned; by address, a power of two; 1 + number */
    uint32_t n_schema_slots;

    lull_goal_facts *goals;
    uint32_t n_goals, goals_cap;
    uint32_t *goal_slots, n_goal_slots;
    lull_goal *queue; /* owned [n_goals]: rules to be written */
    uint32_t n_queue, queue_cap;

    lull_regular **languages; /* owned [n_languages] */
    size_t n_languages, languages_cap;
    size_t n_states; /* of all of them */
    size_t n_steps;
    uint32_t n_open; /* goals being expanded, inside each other */
    json_t *made;    /* owned object: schemas that were made up for a "const", by its address */
    json_t *known;   /* owned object: number of a language, by how it was made */
    uint32_t here;   /* the schema at work, for messages about its languages */

    /* Expressions that stand everywhere. */
    lull_expr colon, comma, quote, any_string, any_char, any_number, any_integer;
} lull_compiler;

/* schema.c */
void *lull_schema_alloc(lull_compiler *c, size_t n_bytes);               /* NULL, with err filled */
LULL_NODISCARD lull_status lull_schema_step(lull_compiler *c, size_t n); /* count work */
/* Number of the schema at value; parent, key and sub_key say where it stands. */
LULL_NODISCARD lull_status lull_schema_at(lull_compiler *c, const json_t *value, uint32_t parent,
                                          const char *key, const char *sub_key, uint32_t *out);
LULL_NODISCARD lull_status lull_schema_const(lull_compiler *c, const json_t *value, uint32_t parent,
                                             uint32_t *out); /* the schema {"const": value} */
LULL_NODISCARD lull_status lull_schema_resolve(lull_compiler *c, uint32_t schema, uint32_t *target);
/* Whether every value satisfies it (1), none (2), or neither is plain (3). */
int lull_schema_truth(lull_compiler *c, uint32_t schema);
/* Fill err: the place, then the message. */
lull_status lull_schema_fail(lull_compiler *c, lull_status code, uint32_t schema,
                             const char *keyword, const char *fmt, ...) LULL_PRINTF(5, 6);
lull_status lull_schema_refuse(lull_compiler *c, uint32_t schema, const char *keyword,
                               const char *advice);
LULL_NODISCARD lull_status lull_goal_of(lull_compiler *c, const lull_literal *literals, size_t n,
                                        lull_goal *out);
/* Its rule, which will be written. */
LULL_NODISCARD lull_status lull_goal_rule(lull_compiler *c, lull_goal goal, lull_expr *out);

/* schema_shape.c: the shapes of a goal. */
LULL_NODISCARD lull_status lull_goal_expand(lull_compiler *c, lull_goal goal);
/* Satisfied by nothing, as far as `look` levels of members and items tell. is_exact: by the
 * schema itself, not by languages that hold less. */
LULL_NODISCARD lull_status lull_goal_is_empty(lull_compiler *c, lull_goal goal, bool is_exact,
                                              unsigned look, bool *is_empty);

/* schema_keyword.c: what keywords ask of a shape, and what their denial asks. */
typedef struct lull_work { /* the shapes of a goal in the making */
    lull_shape *shapes;    /* owned [n] */
    uint32_t n, cap;
} lull_work;
typedef enum lull_todo_kind {
    LULL_TODO_HOLDS, /* the schema holds */
    LULL_TODO_FAILS, /* it does not */
    LULL_TODO_ANY_OF,
    LULL_TODO_ONE_OF,
    LULL_TODO_IF,
    LULL_TODO_ENUM,        /* of arrays and objects, too */
    LULL_TODO_NEEDS_KEYS,  /* "dependentRequired", member `index` */
    LULL_TODO_NEEDS_SCHEMA /* "dependentSchemas", member `index` */
} lull_todo_kind;
bool lull_schema_is_keyword(const char *key); /* that can forbid anything */
/* Narrow the shape to what satisfies the schema, choices aside. */
LULL_NODISCARD lull_status lull_shape_hold(lull_compiler *c, lull_shape *s, uint32_t schema);
/* The shapes of s that do not satisfy it. */
LULL_NODISCARD lull_status lull_shape_fail(lull_compiler *c, const lull_shape *s, uint32_t schema,
                                           lull_work *out);
LULL_NODISCARD lull_status lull_shape_add(lull_compiler *c, lull_work *w, const lull_shape *s);
LULL_NODISCARD lull_status lull_shape_todo(lull_compiler *c, lull_shape *s, lull_todo_kind kind,
                                           uint32_t schema, size_t index);
LULL_NODISCARD lull_status lull_shape_fact(lull_compiler *c, lull_shape *s, const char *key,
                                           int kind, lull_literal literal);
/* One of the values [n], scalars only. */
LULL_NODISCARD lull_status lull_shape_one_of(lull_compiler *c, lull_shape *s, uint32_t schema,
                                             const json_t *const *values, size_t n);

/* schema_string.c */
/* The regular expression of a keyword, anywhere in the text. */
LULL_NODISCARD lull_status lull_schema_pattern(lull_compiler *c, uint32_t schema,
                                               const char *keyword, const char *pattern,
                                               size_t n_bytes, const lull_regular **out);
/* One of our own, for the whole text. */
LULL_NODISCARD lull_status lull_schema_whole(lull_compiler *c, const char *regex,
                                             const lull_regular **out);
LULL_NODISCARD lull_status lull_schema_not(lull_compiler *c, const lull_regular *a,
                                           const lull_regular **out);
/* a NULL: everything. */
LULL_NODISCARD lull_status lull_schema_both(lull_compiler *c, const lull_regular *a,
                                            const lull_regular *b, const lull_regular **out);
LULL_NODISCARD lull_status lull_schema_either(lull_compiler *c, const lull_regular *a,
                                              const lull_regular *b, const lull_regular **out);
/* One of texts [n], which are sorted. */
LULL_NODISCARD lull_status lull_schema_one_of(lull_compiler *c, const lull_text *texts, size_t n,
                                              const lull_regular **out);
/* The language that was made that way, or NULL; and remember one, which is freed with the
 * compiler. how NULL: it will not be asked for. */
const lull_regular *lull_schema_known(lull_compiler *c, const char *how);
LULL_NODISCARD lull_status lull_schema_keep(lull_compiler *c, const char *how,
                                            lull_regular *language);
lull_status lull_language_failed(lull_compiler *c,
                                 lull_status st); /* err has a message; says where */
LULL_NODISCARD lull_status lull_languages_add(lull_compiler *c, const lull_languages **list,
                                              const lull_regular *language, bool is_strict);
void lull_texts_sort(lull_text *texts, size_t *n); /* and each once */
/* One of texts [n], as they are; sorted. */
LULL_NODISCARD lull_status lull_texts_write(lull_compiler *c, const lull_text *texts, size_t n,
                                            lull_expr *out);
LULL_NODISCARD lull_status lull_text_quote(lull_compiler *c, lull_text text,
                                           lull_text *out); /* as JSON */

/* Work out what is left: lists filtered, languages in one. is_strict: emptiness is by a strict
 * language. */
LULL_NODISCARD lull_status lull_strings_settle(lull_compiler *c, lull_strings *s, bool *is_empty,
                                               bool *is_strict);
/* These are for what is settled. */
LULL_NODISCARD lull_status lull_strings_language(lull_compiler *c, const lull_strings *s,
                                                 const lull_regular **out); /* NULL: every string */
bool lull_strings_match(const lull_strings *s, const char *text, size_t n_bytes);
LULL_NODISCARD lull_status lull_strings_write(lull_compiler *c, const lull_strings *s,
                                              lull_expr *out);

/* schema_format.c: "format" */
typedef enum lull_format_kind {
    LULL_FORMAT_EXACT,  /* what the format's document says, neither more nor less */
    LULL_FORMAT_NEAR,   /* a little less, in ways that make it no other format */
    LULL_FORMAT_STRICT, /* less */
} lull_format_kind;
LULL_NODISCARD lull_status lull_format_find(lull_compiler *c, uint32_t schema, const char *name,
                                            const lull_regular **out, lull_format_kind *kind);

/* schema_number.c */
LULL_NODISCARD lull_status lull_decimal_of(lull_compiler *c, uint32_t schema, const char *keyword,
                                           const json_t *value, lull_decimal *out);
int lull_decimal_compare(const lull_decimal *a, const lull_decimal *b);
bool lull_decimal_is_integer(const lull_decimal *d);
LULL_NODISCARD lull_status lull_number_multiple(lull_compiler *c, uint32_t schema,
                                                const lull_decimal *of, const lull_regular **out);
LULL_NODISCARD lull_status lull_number_integer(lull_compiler *c, const lull_regular **out);
/* Those without an exponent that are not in a. */
LULL_NODISCARD lull_status lull_number_not(lull_compiler *c, const lull_regular *a,
                                           const lull_regular **out);
LULL_NODISCARD lull_status lull_number_equal(lull_compiler *c, const lull_decimal *d,
                                             const lull_regular **out);
LULL_NODISCARD lull_status lull_numbers_settle(lull_compiler *c, lull_numbers *n, bool *is_empty);
LULL_NODISCARD lull_status lull_numbers_write(lull_compiler *c, const lull_numbers *n,
                                              lull_expr *out);
/* One value, in each of its spellings. */
LULL_NODISCARD lull_status lull_decimal_write(lull_compiler *c, const lull_decimal *d,
                                              lull_expr *out);

/* schema_object.c: items and members. */
LULL_NODISCARD lull_status lull_member_goal(lull_compiler *c, const lull_shape *s, const char *key,
                                            size_t n_key, lull_goal *out);
LULL_NODISCARD lull_status lull_item_goal(lull_compiler *c, const lull_shape *s, size_t index,
                                          lull_goal *out);
/* Items at the front that differ from the rest. */
LULL_NODISCARD lull_status lull_items_prefix(lull_compiler *c, const lull_shape *s, size_t *out);
LULL_NODISCARD lull_status lull_members_write(lull_compiler *c, const lull_shape *s,
                                              lull_expr *out);
LULL_NODISCARD lull_status lull_items_write(lull_compiler *c, const lull_shape *s, lull_expr *out);

#endif
