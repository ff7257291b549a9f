/* A grammar compiled: a graph of points. A point either takes a byte (edges), or leads on without one.
 * The stack beside it holds frames: where a rule was called from, how often a loop went round, which
 * members an object has. Immutable. */
#ifndef LULL_MASK_PROGRAM_H
#define LULL_MASK_PROGRAM_H

#include "grammar.h"

typedef enum lull_point_kind {
    LULL_POINT_TAKE,   /* edges [first, first + n) */
    LULL_POINT_SPLIT,  /* targets [first, first + n) */
    LULL_POINT_CALL,   /* push {next}, go to first */
    LULL_POINT_RETURN, /* pop, go to where the frame says */
    LULL_POINT_PUSH,   /* push n empty frames, go to first */
    LULL_POINT_ROUND, /* a loop's head, its frame on top: round again (first), or pop and go to next */
    LULL_POINT_MEMBERS, /* an object's head, its frame on top: a member more, or pop and go to next */
    LULL_POINT_MEMBER, /* the same behind a separator: a member */
    LULL_POINT_END     /* the whole text */
} lull_point_kind;

typedef struct lull_point {
    uint8_t kind; /* lull_point_kind */
    uint32_t first, n;
    uint32_t next;
    uint32_t min, max; /* ROUND */
} lull_point;

typedef struct lull_edge {
    uint8_t first, last; /* bytes, both included */
    uint32_t to;
} lull_edge;

/* An object's members. Which of them a text has stands in frames, 64 in each: the uppermost has members
 * 0 to 63 and the count. */
typedef struct lull_member_set {
    uint32_t n, n_words, first_target; /* targets [n] where the members begin; NONE: never */
    uint32_t others, separator;        /* points; UINT32_MAX: never */
    uint32_t min, max, n_required;
    uint32_t first_word; /* words [n_words]: which are required */
} lull_member_set;

typedef struct lull_grammar_program {
    lull_point *points;
    uint32_t n_points, points_cap;
    lull_edge *edges;
    uint32_t n_edges, edges_cap;
    uint32_t *targets;
    uint32_t n_targets, targets_cap;
    lull_member_set *sets; /* MEMBERS and MEMBER: first is the index */
    uint32_t n_sets, sets_cap;
    uint64_t *words;
    uint32_t n_words, words_cap;
    uint32_t start;
} lull_grammar_program;

/* LULL_EFULL: nested too deeply, or too large;  LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_grammar_compile(const lull_grammar *g, lull_grammar_program *out,
                                                lull_error *err);
void lull_grammar_program_fini(lull_grammar_program *p);

#endif
