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

#include "arena.h"
#include "schema.h"
#include "schema_shape.h"

typedef struct lull_subschema {
    const json_t *value;
    uint32_t parent;           /* UINT32_MAX: the root */
    const char *key, *sub_key; /* where in the parent: "properties", "a"; sub_key may be NULL */
    uint32_t target;           /* of its "$ref", 1 + number; 0: not looked up */
    bool is_acyclic;           /* not made of itself, as far as one value goes */
    bool is_open;              /* being looked at for that */
    uint8_t truth;             /* 0: not looked at; 1: always holds; 2: never; 3: neither */
} lull_subschema;

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

enum {
    LULL_SCHEMA_MAX_GOALS = 20000,
    LULL_SCHEMA_MAX_SHAPES = 1000,   /* of one goal, while it is expanded */
    LULL_SCHEMA_MAX_STEPS = 800000,  /* of everything, each some 100 ns */
    LULL_SCHEMA_MAX_STATES = 120000, /* of all regular languages together */
    LULL_SCHEMA_MAX_TEXT = 1 << 20,
    LULL_SCHEMA_MAX_BYTES = 16 << 20, /* of the arena */
    LULL_SCHEMA_MAX_LOOK = 6          /* levels below, for whether anything is possible */
};

struct lull_compiler {
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
};

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

#endif
