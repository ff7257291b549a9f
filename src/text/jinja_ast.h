/* A parsed template: what the parser builds and the interpreter walks. Nodes live in the
 * template's arena; texts are views of its source or of the arena. */
#ifndef LULL_TEXT_JINJA_AST_H
#define LULL_TEXT_JINJA_AST_H

#include "jinja_value.h"

typedef enum jinja_kind {
    /* expressions */
    JINJA_CONST,     /* value */
    JINJA_NAME,      /* name */
    JINJA_MAKE_LIST, /* items */
    JINJA_MAKE_TUPLE,
    JINJA_MAKE_DICT,     /* items: key, value, key, value … */
    JINJA_ATTRIBUTE,     /* a.name */
    JINJA_ITEM,          /* a[b] */
    JINJA_SLICE,         /* a[b:c:d], each may be NULL */
    JINJA_CALL,          /* a(args) */
    JINJA_FILTER,        /* a | name(args); a is NULL in a filter block */
    JINJA_TEST,          /* a is name(args) */
    JINJA_NOT,           /* not a */
    JINJA_AND,           /* a and b */
    JINJA_OR,            /* a or b */
    JINJA_CONDITIONAL,   /* b if a else c; c may be NULL */
    JINJA_COMPARE,       /* a, then items with op each */
    JINJA_BINARY,        /* a op b */
    JINJA_NEGATE,        /* -a */
    JINJA_PLUS,          /* +a */
    JINJA_CONCAT,        /* items joined as text */
    JINJA_NAMESPACE_REF, /* name.b as a target: name, and name2 */
    /* statements */
    JINJA_DATA,         /* value: text */
    JINJA_OUTPUT,       /* items */
    JINJA_FOR,          /* a: target, b: iterable, c: filter; body, otherwise; is_recursive */
    JINJA_IF,           /* a: condition; body, otherwise */
    JINJA_SET,          /* a: target, b: value */
    JINJA_SET_BLOCK,    /* a: target, b: filters; body */
    JINJA_MACRO_DEF,    /* name, parameters in items with defaults in defaults; body */
    JINJA_CALL_BLOCK,   /* a: the call; parameters as of a macro; body */
    JINJA_FILTER_BLOCK, /* a: filters; body */
    JINJA_WITH,         /* items: target, value, …; body */
    JINJA_SCOPE,        /* body: a generation block */
    JINJA_BREAK,
    JINJA_CONTINUE
} jinja_kind;

typedef enum jinja_op {
    JINJA_EQ,
    JINJA_NE,
    JINJA_LT,
    JINJA_LE,
    JINJA_GT,
    JINJA_GE,
    JINJA_IN,
    JINJA_NOT_IN,
    JINJA_ADD,
    JINJA_SUB,
    JINJA_MUL,
    JINJA_DIV,
    JINJA_FLOORDIV,
    JINJA_MOD,
    JINJA_POW
} jinja_op;

typedef struct jinja_node jinja_node;

typedef struct jinja_nodes {
    jinja_node **items;
    size_t n, cap;
} jinja_nodes;

struct jinja_node {
    jinja_kind kind;
    jinja_op op; /* of BINARY, and of an operand of COMPARE */
    int line, column;
    bool is_recursive;
    jinja_text name, name2; /* of keyword arguments: name */
    jinja_value value;
    jinja_node *a, *b, *c, *d;
    jinja_nodes items, keywords;  /* keywords: nodes with name and a */
    jinja_node *star, *star_star; /* *args, **kwargs of a call */
    jinja_nodes defaults;         /* of the last parameters */
    jinja_nodes body, otherwise;
};

/* Parse src [n]. Nodes come from the arena; on failure it may hold some. Bounded in depth.
 * LULL_EUNSUPPORTED with line and column, LULL_ENOMEM. */
LULL_NODISCARD lull_status jinja_parse(const char *src, size_t n, lull_arena *arena,
                                       jinja_nodes *body, lull_error *err);

#endif
