/* Shapes: what is left of a schema for one value when all choices have been made, type by type. */
#ifndef LULL_MASK_SCHEMA_SHAPE_H
#define LULL_MASK_SCHEMA_SHAPE_H

#include "schema_text.h"

typedef uint32_t lull_goal;

typedef struct lull_literal {
    uint32_t schema;
    bool is_negated;
} lull_literal;

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
