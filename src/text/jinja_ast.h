/* A parsed template: what the parser builds and the interpreter walks. Nodes live in the
 * template's arena; texts are views of its source or of the arena. */
#ifndef LULL_TEXT_JINJA_AST_H
#define LULL_TEXT_JINJA_AST_H

#include "jinja_value.h"

typedef enum lull_jinja_kind {
    /* expressions */
    LULL_JINJA_CONST,     /* value */
    LULL_JINJA_NAME,      /* name */
    LULL_JINJA_MAKE_LIST, /* items */
    LULL_JINJA_MAKE_TUPLE,
    LULL_JINJA_MAKE_DICT,     /* items: key, value, key, value … */
    LULL_JINJA_ATTRIBUTE,     /* a.name */
    LULL_JINJA_ITEM,          /* a[b] */
    LULL_JINJA_SLICE,         /* a[b:c:d], each may be NULL */
    LULL_JINJA_CALL,          /* a(args) */
    LULL_JINJA_FILTER,        /* a | name(args); a is NULL in a filter block */
    LULL_JINJA_TEST,          /* a is name(args) */
    LULL_JINJA_NOT,           /* not a */
    LULL_JINJA_AND,           /* a and b */
    LULL_JINJA_OR,            /* a or b */
    LULL_JINJA_CONDITIONAL,   /* b if a else c; c may be NULL */
    LULL_JINJA_COMPARE,       /* a, then items with op each */
    LULL_JINJA_BINARY,        /* a op b */
    LULL_JINJA_NEGATE,        /* -a */
    LULL_JINJA_PLUS,          /* +a */
    LULL_JINJA_CONCAT,        /* items joined as text */
    LULL_JINJA_NAMESPACE_REF, /* name.b as a target: name, and name2 */
    /* statements */
    LULL_JINJA_DATA,         /* value: text */
    LULL_JINJA_OUTPUT,       /* items */
    LULL_JINJA_FOR,          /* a: target, b: iterable, c: filter; body, otherwise; is_recursive */
    LULL_JINJA_IF,           /* a: condition; body, otherwise */
    LULL_JINJA_SET,          /* a: target, b: value */
    LULL_JINJA_SET_BLOCK,    /* a: target, b: filters; body */
    LULL_JINJA_MACRO_DEF,    /* name, parameters in items with defaults in defaults; body */
    LULL_JINJA_CALL_BLOCK,   /* a: the call; parameters as of a macro; body */
    LULL_JINJA_FILTER_BLOCK, /* a: filters; body */
    LULL_JINJA_WITH,         /* items: target, value, …; body */
    LULL_JINJA_SCOPE,        /* body: a generation block */
    LULL_JINJA_BREAK,
    LULL_JINJA_CONTINUE
} lull_jinja_kind;

typedef enum lull_jinja_op {
    LULL_JINJA_EQ,
    LULL_JINJA_NE,
    LULL_JINJA_LT,
    LULL_JINJA_LE,
    LULL_JINJA_GT,
    LULL_JINJA_GE,
    LULL_JINJA_IN,
    LULL_JINJA_NOT_IN,
    LULL_JINJA_ADD,
    LULL_JINJA_SUB,
    LULL_JINJA_MUL,
    LULL_JINJA_DIV,
    LULL_JINJA_FLOORDIV,
    LULL_JINJA_MOD,
    LULL_JINJA_POW
} lull_jinja_op;

enum { LULL_JINJA_USES_VARARGS = 1, LULL_JINJA_USES_KWARGS = 2, LULL_JINJA_USES_CALLER = 4 };

enum {
    LULL_JINJA_MAX_SOURCE = 1 << 20, /* bytes */
    LULL_JINJA_MAX_TOKENS = 1 << 17,
    LULL_JINJA_MAX_NODES = 24 << 20 /* bytes */
};

typedef struct lull_jinja_node lull_jinja_node;

typedef struct lull_jinja_nodes {
    lull_jinja_node **items;
    size_t n, cap;
} lull_jinja_nodes;

struct lull_jinja_node {
    lull_jinja_kind kind;
    lull_jinja_op op; /* of BINARY, and of an operand of COMPARE */
    int line, column;
    bool is_recursive;
    int uses; /* LULL_JINJA_USES_*: what the body of a macro or call block reads */
    lull_jinja_text name, name2; /* of keyword arguments: name */
    lull_jinja_value value;
    lull_jinja_node *a, *b, *c, *d;
    lull_jinja_nodes items, keywords;  /* keywords: nodes with name and a */
    lull_jinja_node *star, *star_star; /* *args, **kwargs of a call */
    lull_jinja_nodes defaults;         /* of the last parameters */
    lull_jinja_nodes body, otherwise;
};

/* Parse src [n]. Nodes come from the arena; on failure it may hold some. Bounded in depth.
 * LULL_EUNSUPPORTED with line and column, LULL_EFULL, LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_jinja_parse_nodes(const char *src, size_t n, lull_arena *arena,
                                                  lull_jinja_nodes *body, lull_error *err);

#endif
