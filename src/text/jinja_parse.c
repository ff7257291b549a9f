/* From tokens to nodes, by recursive descent in the order of precedence of Jinja2. */
#include <stdlib.h>
#include <string.h>

#include "jinja_ast.h"
#include "jinja_lex.h"
#include "jinja_lib.h"

enum { MAX_DEPTH = 100 };

typedef struct parser {
    const lull_jinja_token *t; /* the token at hand */
    lull_arena *arena;
    int depth;
    /* Branches that may not run, within the innermost block with names of its own: there an unknown
     * filter is an error only when it is reached. */
    int n_optional;
    int n_loops; /* that break can end here; macros, call and generation blocks are apart from theirs */
    int uses; /* LULL_JINJA_USES_* of the names read so far in the innermost macro */
    lull_status status;
    lull_error *err;
} parser;

/* A failure is kept, and the token at hand then stays END, so that all loops end. */
static const lull_jinja_token end_token = {.type = LULL_JINJA_T_END};

static void *fail_code(parser *p, lull_status code, const char *what, lull_jinja_text which)
{
    if (p->status == LULL_OK) {
        p->status =
            lull_fail(p->err, code, "chat template, line %d, column %d: %s%s%.*s%s", p->t->line,
                      p->t->column, what, which.n ? " '" : "", (int)(which.n < 60 ? which.n : 60),
                      which.n ? which.s : "", which.n ? "'" : "");
        p->t = &end_token;
    }
    return NULL;
}

static void *fail(parser *p, const char *what)
{
    return fail_code(p, LULL_EUNSUPPORTED, what, (lull_jinja_text){0});
}

static bool is_operator(const parser *p, const char *op)
{
    return p->t->type == LULL_JINJA_T_OPERATOR && lull_jinja_text_is(p->t->text, op);
}

static bool is_word(const parser *p, const char *word)
{
    return p->t->type == LULL_JINJA_T_NAME && lull_jinja_text_is(p->t->text, word);
}

static bool next_is(const parser *p, const char *op)
{
    return p->t->type != LULL_JINJA_T_END && p->t[1].type == LULL_JINJA_T_OPERATOR &&
           lull_jinja_text_is(p->t[1].text, op);
}

static void advance(parser *p)
{
    if (p->t->type != LULL_JINJA_T_END) p->t++;
}

static bool skip_operator(parser *p, const char *op)
{
    if (!is_operator(p, op)) return false;
    advance(p);
    return true;
}

static bool skip_word(parser *p, const char *word)
{
    if (!is_word(p, word)) return false;
    advance(p);
    return true;
}

static void expect_operator(parser *p, const char *op)
{
    if (!skip_operator(p, op))
        fail_code(p, LULL_EUNSUPPORTED, "there should be a", (lull_jinja_text){op, strlen(op)});
}

static void expect_word(parser *p, const char *word)
{
    if (!skip_word(p, word))
        fail_code(p, LULL_EUNSUPPORTED, "there should be a", (lull_jinja_text){word, strlen(word)});
}

static lull_jinja_text expect_name(parser *p)
{
    lull_jinja_text name = p->t->text;
    if (p->t->type != LULL_JINJA_T_NAME) fail(p, "there should be a name");
    advance(p);
    return p->status == LULL_OK ? name : (lull_jinja_text){0};
}

static lull_jinja_node *new_node(parser *p, lull_jinja_kind kind)
{
    if (p->arena->n_held > LULL_JINJA_MAX_NODES)
        return fail_code(p, LULL_EFULL, "the template is too large", (lull_jinja_text){0});
    lull_jinja_node *n = lull_arena_alloc(p->arena, sizeof *n);
    if (!n) return fail_code(p, LULL_ENOMEM, "out of memory", (lull_jinja_text){0});
    n->kind = kind;
    n->line = p->t->line;
    n->column = p->t->column;
    return n;
}

/* Macros take extra arguments only if they read them. */
static int uses_of(lull_jinja_text name)
{
    return lull_jinja_text_is(name, "varargs")  ? LULL_JINJA_USES_VARARGS
           : lull_jinja_text_is(name, "kwargs") ? LULL_JINJA_USES_KWARGS
           : lull_jinja_text_is(name, "caller") ? LULL_JINJA_USES_CALLER
                                                : 0;
}

static void add(parser *p, lull_jinja_nodes *list, lull_jinja_node *n)
{
    if (!n) return;
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 4;
        lull_jinja_node **items = lull_arena_alloc(p->arena, cap * sizeof *items);
        if (!items) {
            fail_code(p, LULL_ENOMEM, "out of memory", (lull_jinja_text){0});
            return;
        }
        if (list->n > 0) memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = n;
}

static bool enter(parser *p)
{
    if (++p->depth <= MAX_DEPTH) return true;
    fail(p, "nested too deeply");
    return false;
}

/* ---- expressions ----------------------------------------------------------------------------- */

static lull_jinja_node *parse_expression(parser *p);
static lull_jinja_node *parse_or(parser *p);
static lull_jinja_node *parse_unary(parser *p, bool with_filter);
static lull_jinja_node *parse_postfix(parser *p, lull_jinja_node *n);

/* What may follow a trailing comma. */
static bool is_tuple_end(const parser *p, const char *end_word)
{
    return p->t->type == LULL_JINJA_T_VARIABLE_END || p->t->type == LULL_JINJA_T_BLOCK_END ||
           p->t->type == LULL_JINJA_T_END || is_operator(p, ")") ||
           (end_word && is_word(p, end_word));
}

static lull_jinja_node *parse_primary(parser *p);

typedef lull_jinja_node *(*parse_fn)(parser *p);

/* One expression, or several with commas as a tuple. */
static lull_jinja_node *parse_tuple(parser *p, parse_fn parse, const char *end_word,
                                    bool may_be_empty)
{
    lull_jinja_node *tuple = new_node(p, LULL_JINJA_MAKE_TUPLE);
    bool is_tuple = false;
    if (!tuple) return NULL;
    while (p->status == LULL_OK) {
        if (tuple->items.n > 0) expect_operator(p, ",");
        if (is_tuple_end(p, end_word)) break;
        add(p, &tuple->items, parse(p));
        if (!is_operator(p, ",")) break;
        is_tuple = true;
    }
    if (p->status != LULL_OK) return NULL;
    if (is_tuple) return tuple;
    if (tuple->items.n > 0) return tuple->items.items[0];
    return may_be_empty ? tuple : fail(p, "there should be an expression");
}

static lull_jinja_node *parse_list(parser *p)
{
    lull_jinja_node *list = new_node(p, LULL_JINJA_MAKE_LIST);
    expect_operator(p, "[");
    while (list && p->status == LULL_OK && !is_operator(p, "]")) {
        if (list->items.n > 0) expect_operator(p, ",");
        if (is_operator(p, "]")) break;
        add(p, &list->items, parse_expression(p));
    }
    expect_operator(p, "]");
    return list;
}

static lull_jinja_node *parse_dict(parser *p)
{
    lull_jinja_node *dict = new_node(p, LULL_JINJA_MAKE_DICT);
    expect_operator(p, "{");
    while (dict && p->status == LULL_OK && !is_operator(p, "}")) {
        if (dict->items.n > 0) expect_operator(p, ",");
        if (is_operator(p, "}")) break;
        add(p, &dict->items, parse_expression(p));
        expect_operator(p, ":");
        add(p, &dict->items, parse_expression(p));
    }
    expect_operator(p, "}");
    return dict;
}

static lull_jinja_node *parse_strings(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_CONST);
    size_t total = 0;
    const lull_jinja_token *first = p->t;
    for (; p->t->type == LULL_JINJA_T_STRING; advance(p)) total += p->t->text.n;
    char *joined = n ? lull_arena_alloc(p->arena, total + 1) : NULL;
    if (!joined) return fail_code(p, LULL_ENOMEM, "out of memory", (lull_jinja_text){0});
    size_t at = 0;
    for (; first != p->t; first++) {
        memcpy(joined + at, first->text.s, first->text.n);
        at += first->text.n;
    }
    n->value = lull_jinja_string(joined, total);
    return n;
}

static lull_jinja_node *parse_primary(parser *p)
{
    lull_jinja_node *n;
    switch (p->t->type) {
    case LULL_JINJA_T_NAME: {
        lull_jinja_text name = p->t->text;
        n = new_node(p, LULL_JINJA_CONST);
        if (!n) return NULL;
        if (lull_jinja_text_is(name, "true") || lull_jinja_text_is(name, "True")) {
            n->value = lull_jinja_bool(true);
        } else if (lull_jinja_text_is(name, "false") || lull_jinja_text_is(name, "False")) {
            n->value = lull_jinja_bool(false);
        } else if (lull_jinja_text_is(name, "none") || lull_jinja_text_is(name, "None")) {
            n->value = lull_jinja_none();
        } else {
            n->kind = LULL_JINJA_NAME;
            p->uses |= uses_of(p->t->text);
            n->name = name;
        }
        advance(p);
        return n;
    }
    case LULL_JINJA_T_STRING: return parse_strings(p);
    case LULL_JINJA_T_INT:
    case LULL_JINJA_T_FLOAT:
        n = new_node(p, LULL_JINJA_CONST);
        if (!n) return NULL;
        n->value = p->t->type == LULL_JINJA_T_INT ? lull_jinja_int(p->t->integer)
                                                  : lull_jinja_float(p->t->number);
        advance(p);
        return n;
    default: break;
    }
    if (!enter(p)) return NULL;
    if (skip_operator(p, "(")) {
        n = parse_tuple(p, parse_expression, NULL, true);
        expect_operator(p, ")");
    } else if (is_operator(p, "[")) {
        n = parse_list(p);
    } else if (is_operator(p, "{")) {
        n = parse_dict(p);
    } else {
        n = fail(p, "there should be an expression");
    }
    p->depth--;
    return n;
}

/* A target of an assignment: a name, or name.attribute where that is allowed. */
static lull_jinja_node *parse_target_item(parser *p)
{
    if (p->t->type == LULL_JINJA_T_NAME && next_is(p, ".")) {
        lull_jinja_node *n = new_node(p, LULL_JINJA_NAMESPACE_REF);
        if (!n) return NULL;
        n->name = expect_name(p);
        advance(p);
        n->name2 = expect_name(p);
        return n;
    }
    return parse_primary(p);
}

static lull_jinja_node *parse_subscribed(parser *p)
{
    lull_jinja_node *slice = new_node(p, LULL_JINJA_SLICE);
    if (!slice) return NULL;
    if (!is_operator(p, ":")) {
        slice->b = parse_expression(p);
        if (!is_operator(p, ":")) return slice->b;
    }
    advance(p);
    if (!is_operator(p, ":") && !is_operator(p, "]") && !is_operator(p, ","))
        slice->c = parse_expression(p);
    if (skip_operator(p, ":") && !is_operator(p, "]") && !is_operator(p, ","))
        slice->d = parse_expression(p);
    return slice;
}

static lull_jinja_node *parse_subscript(parser *p, lull_jinja_node *object)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_ITEM);
    if (!n) return NULL;
    n->a = object;
    if (skip_operator(p, ".")) {
        if (p->t->type == LULL_JINJA_T_NAME) {
            n->kind = LULL_JINJA_ATTRIBUTE;
            n->name = expect_name(p);
            return n;
        }
        if (p->t->type != LULL_JINJA_T_INT) return fail(p, "there should be a name or a number");
        n->b = parse_primary(p);
        return n;
    }
    expect_operator(p, "[");
    lull_jinja_node *key = parse_subscribed(p);
    if (is_operator(p, ",")) return fail(p, "an index of several values is not supported");
    expect_operator(p, "]");
    if (key && key->kind == LULL_JINJA_SLICE && !key->a) {
        key->a = object;
        return key;
    }
    n->b = key;
    return n;
}

/* (args) into n. */
static void parse_call_args(parser *p, lull_jinja_node *n)
{
    expect_operator(p, "(");
    for (bool is_first = true; p->status == LULL_OK && !is_operator(p, ")"); is_first = false) {
        if (!is_first) {
            expect_operator(p, ",");
            if (is_operator(p, ")")) break;
        }
        if (is_operator(p, "*") && !n->star && !n->star_star) {
            advance(p);
            n->star = parse_expression(p);
        } else if (is_operator(p, "**") && !n->star_star) {
            advance(p);
            n->star_star = parse_expression(p);
        } else if (p->t->type == LULL_JINJA_T_NAME && next_is(p, "=") && !n->star_star) {
            lull_jinja_node *keyword = new_node(p, LULL_JINJA_CONST);
            if (!keyword) return;
            keyword->name = expect_name(p);
            advance(p);
            keyword->a = parse_expression(p);
            add(p, &n->keywords, keyword);
        } else if (!n->star && !n->star_star && n->keywords.n == 0) {
            add(p, &n->items, parse_expression(p));
        } else {
            fail(p, "a positional argument after a named one");
        }
    }
    expect_operator(p, ")");
}

static lull_jinja_node *parse_call(parser *p, lull_jinja_node *callee)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_CALL);
    if (!n) return NULL;
    n->a = callee;
    parse_call_args(p, n);
    return n;
}

/* A filter's or test's name: a, or a.b.c (which none of them has). */
static lull_jinja_text parse_dotted_name(parser *p)
{
    lull_jinja_text name = expect_name(p);
    while (skip_operator(p, ".")) {
        lull_jinja_text part = expect_name(p);
        char *joined = lull_arena_alloc(p->arena, name.n + part.n + 1);
        if (!joined) fail_code(p, LULL_ENOMEM, "out of memory", (lull_jinja_text){0});
        if (p->status != LULL_OK) return (lull_jinja_text){0};
        memcpy(joined, name.s, name.n);
        joined[name.n] = '.';
        memcpy(joined + name.n + 1, part.s, part.n);
        name = (lull_jinja_text){joined, name.n + part.n + 1};
    }
    return name;
}

/* One or more filters; the first is not preceded by a bar when is_bare. */
static lull_jinja_node *parse_filters(parser *p, lull_jinja_node *of, bool is_bare)
{
    while (p->status == LULL_OK && (is_bare || is_operator(p, "|"))) {
        if (!is_bare) advance(p);
        is_bare = false;
        lull_jinja_node *n = new_node(p, LULL_JINJA_FILTER);
        if (!n) return NULL;
        n->a = of;
        const lull_jinja_token *at = p->t;
        n->name = parse_dotted_name(p);
        if (p->status == LULL_OK && p->n_optional == 0 && !lull_jinja_has_filter(n->name)) {
            p->t = at;
            return fail_code(p, LULL_EUNSUPPORTED, "unknown filter", n->name);
        }
        if (is_operator(p, "(")) parse_call_args(p, n);
        of = n;
    }
    return of;
}

static lull_jinja_node *parse_test(parser *p, lull_jinja_node *of)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_TEST);
    if (!n) return NULL;
    advance(p);
    bool is_negated = skip_word(p, "not");
    const lull_jinja_token *at = p->t;
    n->a = of;
    n->name = parse_dotted_name(p);
    if (p->status == LULL_OK && p->n_optional == 0 && !lull_jinja_has_test(n->name)) {
        p->t = at;
        return fail_code(p, LULL_EUNSUPPORTED, "unknown test", n->name);
    }
    bool has_argument = p->t->type == LULL_JINJA_T_STRING || p->t->type == LULL_JINJA_T_INT ||
                        p->t->type == LULL_JINJA_T_FLOAT || is_operator(p, "[") ||
                        is_operator(p, "{") ||
                        (p->t->type == LULL_JINJA_T_NAME && !is_word(p, "else") &&
                         !is_word(p, "or") && !is_word(p, "and"));
    if (is_operator(p, "(")) {
        parse_call_args(p, n);
    } else if (has_argument) {
        if (is_word(p, "is")) return fail(p, "tests cannot be chained");
        add(p, &n->items, parse_postfix(p, parse_primary(p)));
    }
    if (!is_negated) return n;
    lull_jinja_node *not = new_node(p, LULL_JINJA_NOT);
    if (not ) not ->a = n;
    return not ;
}

static lull_jinja_node *parse_postfix(parser *p, lull_jinja_node *n)
{
    while (p->status == LULL_OK) {
        if (is_operator(p, ".") || is_operator(p, "["))
            n = parse_subscript(p, n);
        else if (is_operator(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

static lull_jinja_node *parse_filter_expression(parser *p, lull_jinja_node *n)
{
    while (p->status == LULL_OK) {
        if (is_operator(p, "|"))
            n = parse_filters(p, n, false);
        else if (is_word(p, "is"))
            n = parse_test(p, n);
        else if (is_operator(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

static lull_jinja_node *parse_unary(parser *p, bool with_filter)
{
    lull_jinja_node *n;
    if (is_operator(p, "-") || is_operator(p, "+")) {
        n = new_node(p, is_operator(p, "-") ? LULL_JINJA_NEGATE : LULL_JINJA_PLUS);
        if (!n || !enter(p)) return NULL;
        advance(p);
        n->a = parse_unary(p, false);
        p->depth--;
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    return with_filter ? parse_filter_expression(p, n) : n;
}

typedef struct binary_level {
    const char *ops[5];
    lull_jinja_op codes[4];
} binary_level;

static lull_jinja_node *parse_binary(parser *p, int level);

/* The operands of a level; between adding and multiplying stands ~. */
static lull_jinja_node *parse_operand(parser *p, int level)
{
    if (level == 3) return parse_unary(p, true);
    if (level != 1) return parse_binary(p, level);
    lull_jinja_node *first = parse_binary(p, 1);
    if (!is_operator(p, "~")) return first;
    lull_jinja_node *n = new_node(p, LULL_JINJA_CONCAT);
    if (!n) return NULL;
    add(p, &n->items, first);
    while (skip_operator(p, "~")) add(p, &n->items, parse_binary(p, 1));
    return n;
}

static lull_jinja_node *parse_binary(parser *p, int level)
{
    static const binary_level levels[] = {
        {{"+", "-"}, {LULL_JINJA_ADD, LULL_JINJA_SUB}},
        {{"*", "/", "//", "%"},
         {LULL_JINJA_MUL, LULL_JINJA_DIV, LULL_JINJA_FLOORDIV, LULL_JINJA_MOD}},
        {{"**"}, {LULL_JINJA_POW}},
    };
    lull_jinja_node *left = parse_operand(p, level + 1);
    while (p->status == LULL_OK) {
        const binary_level *l = &levels[level];
        int i = 0;
        while (l->ops[i] && !is_operator(p, l->ops[i])) i++;
        if (!l->ops[i]) break;
        lull_jinja_node *n = new_node(p, LULL_JINJA_BINARY);
        if (!n) return NULL;
        advance(p);
        n->op = l->codes[i];
        n->a = left;
        n->b = parse_operand(p, level + 1);
        left = n;
    }
    return left;
}

static lull_jinja_node *parse_compare(parser *p)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    lull_jinja_node *n = new_node(p, LULL_JINJA_COMPARE), *first = parse_binary(p, 0);
    while (n && p->status == LULL_OK) {
        int op = -1;
        for (int i = 0; i < 6; i++)
            if (is_operator(p, ops[i])) op = LULL_JINJA_EQ + i;
        if (is_word(p, "in")) op = LULL_JINJA_IN;
        if (is_word(p, "not") && p->t[1].type == LULL_JINJA_T_NAME &&
            lull_jinja_text_is(p->t[1].text, "in")) {
            op = LULL_JINJA_NOT_IN;
            advance(p);
        }
        if (op < 0) break;
        lull_jinja_node *operand = new_node(p, LULL_JINJA_CONST);
        if (!operand) return NULL;
        advance(p);
        operand->op = (lull_jinja_op)op;
        operand->a = parse_binary(p, 0);
        add(p, &n->items, operand);
    }
    if (!n || n->items.n == 0) return first;
    n->a = first;
    return n;
}

static lull_jinja_node *parse_not(parser *p)
{
    if (!is_word(p, "not")) return parse_compare(p);
    lull_jinja_node *n = new_node(p, LULL_JINJA_NOT);
    if (!n || !enter(p)) return NULL;
    advance(p);
    n->a = parse_not(p);
    p->depth--;
    return n;
}

static lull_jinja_node *parse_logical(parser *p, const char *word, lull_jinja_kind kind,
                                      parse_fn operand)
{
    lull_jinja_node *left = operand(p);
    while (is_word(p, word)) {
        lull_jinja_node *n = new_node(p, kind);
        if (!n) return NULL;
        advance(p);
        n->a = left;
        n->b = operand(p);
        left = n;
    }
    return left;
}

static lull_jinja_node *parse_and(parser *p)
{
    return parse_logical(p, "and", LULL_JINJA_AND, parse_not);
}

static lull_jinja_node *parse_or(parser *p)
{
    return parse_logical(p, "or", LULL_JINJA_OR, parse_and);
}

/* The value in front of an `if` was parsed before the `if` was seen: whether it may not run is only
 * known by looking ahead to the end of the tag. */
static bool has_conditional(const parser *p)
{
    int depth = 0;
    for (const lull_jinja_token *t = p->t;
         t->type != LULL_JINJA_T_END && t->type != LULL_JINJA_T_BLOCK_END &&
         t->type != LULL_JINJA_T_VARIABLE_END && depth >= 0;
         t++) {
        if (t->type == LULL_JINJA_T_OPERATOR) depth += strchr("([{", *t->text.s) ? 1 : 0;
        if (t->type == LULL_JINJA_T_OPERATOR) depth -= strchr(")]}", *t->text.s) ? 1 : 0;
        if (depth == 0 && t->type == LULL_JINJA_T_NAME && lull_jinja_text_is(t->text, "if"))
            return true;
    }
    return false;
}

static lull_jinja_node *parse_expression(parser *p)
{
    if (!enter(p)) return NULL;
    bool is_optional = has_conditional(p);
    p->n_optional += is_optional;
    lull_jinja_node *value = parse_or(p);
    while (p->status == LULL_OK && is_word(p, "if")) {
        lull_jinja_node *n = new_node(p, LULL_JINJA_CONDITIONAL);
        if (!n) return NULL;
        advance(p);
        n->b = value;
        n->a = parse_or(p);
        if (skip_word(p, "else")) n->c = parse_expression(p);
        value = n;
    }
    p->n_optional -= is_optional;
    p->depth--;
    return value;
}

/* ---- statements ------------------------------------------------------------------------------ */

static void parse_body(parser *p, lull_jinja_nodes *body, const char *const *ends);

/* The end of a tag, then statements up to one of the ends, whose name becomes the token at hand. */
static void parse_statements(parser *p, lull_jinja_nodes *body, const char *const *ends)
{
    skip_operator(p, ":");
    if (p->t->type != LULL_JINJA_T_BLOCK_END) fail(p, "there should be the end of the tag");
    advance(p);
    parse_body(p, body, ends);
    if (p->status == LULL_OK && p->t->type == LULL_JINJA_T_END)
        fail_code(p, LULL_EUNSUPPORTED, "the template ends without",
                  (lull_jinja_text){ends[0], strlen(ends[0])});
}

/* The same for a block with names of its own. */
static void parse_block(parser *p, lull_jinja_nodes *body, const char *const *ends)
{
    int n_optional = p->n_optional;
    p->n_optional = 0;
    parse_statements(p, body, ends);
    p->n_optional = n_optional;
}

/* The same for what Jinja2 makes a function of. */
static void parse_function(parser *p, lull_jinja_node *n, const char *const *ends)
{
    int n_loops = p->n_loops, uses = p->uses;
    p->n_loops = p->uses = 0;
    parse_block(p, &n->body, ends);
    n->uses = p->uses;
    p->n_loops = n_loops;
    p->uses |= uses; /* what is read in a macro is read in those around it, too */
}

#define ENDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static lull_jinja_node *parse_target(parser *p, const char *end_word, bool with_namespace)
{
    lull_jinja_node *n =
        parse_tuple(p, with_namespace ? parse_target_item : parse_primary, end_word, false);
    if (!n) return NULL;
    bool is_ok = n->kind == LULL_JINJA_NAME || n->kind == LULL_JINJA_NAMESPACE_REF;
    if (n->kind == LULL_JINJA_MAKE_TUPLE) {
        is_ok = true;
        for (size_t i = 0; i < n->items.n; i++)
            is_ok = is_ok && (n->items.items[i]->kind == LULL_JINJA_NAME ||
                              n->items.items[i]->kind == LULL_JINJA_NAMESPACE_REF ||
                              n->items.items[i]->kind == LULL_JINJA_MAKE_TUPLE);
    }
    return is_ok ? n : fail(p, "this cannot be assigned to");
}

static lull_jinja_node *parse_for(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_FOR);
    if (!n) return NULL;
    advance(p);
    n->a = parse_target(p, "in", false);
    expect_word(p, "in");
    n->b = parse_tuple(p, parse_or, "recursive", false);
    int n_optional = p->n_optional;
    p->n_optional = 0;
    if (skip_word(p, "if")) n->c = parse_expression(p);
    p->n_optional = n_optional;
    n->is_recursive = skip_word(p, "recursive");
    int n_loops = p->n_loops;
    p->n_loops = 1;
    parse_block(p, &n->body, ENDS("endfor", "else"));
    p->n_loops = n->is_recursive ? 0 : n_loops;
    if (skip_word(p, "else")) parse_block(p, &n->otherwise, ENDS("endfor"));
    p->n_loops = n_loops;
    advance(p);
    return n;
}

static lull_jinja_node *parse_if(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_IF);
    if (!n || !enter(p)) return NULL;
    advance(p);
    p->n_optional++;
    n->a = parse_tuple(p, parse_or, NULL, false);
    parse_statements(p, &n->body, ENDS("endif", "elif", "else"));
    if (is_word(p, "elif")) {
        add(p, &n->otherwise, parse_if(p)); /* takes the endif */
    } else {
        if (skip_word(p, "else")) parse_statements(p, &n->otherwise, ENDS("endif"));
        advance(p);
    }
    p->n_optional--;
    p->depth--;
    return n;
}

static lull_jinja_node *parse_set(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_SET);
    if (!n) return NULL;
    advance(p);
    n->a = parse_target(p, NULL, true);
    if (skip_operator(p, "=")) {
        n->b = parse_tuple(p, parse_expression, NULL, false);
        return n;
    }
    n->kind = LULL_JINJA_SET_BLOCK;
    n->b = parse_filters(p, NULL, false);
    parse_block(p, &n->body, ENDS("endset"));
    advance(p);
    return n;
}

/* (name, name=default, …) into n's items and defaults. */
static void parse_signature(parser *p, lull_jinja_node *n)
{
    expect_operator(p, "(");
    while (p->status == LULL_OK && !is_operator(p, ")")) {
        if (n->items.n > 0) expect_operator(p, ",");
        lull_jinja_node *parameter = new_node(p, LULL_JINJA_NAME);
        if (!parameter) return;
        parameter->name = expect_name(p);
        add(p, &n->items, parameter);
        if (skip_operator(p, "="))
            add(p, &n->defaults, parse_expression(p));
        else if (n->defaults.n > 0)
            fail(p, "a parameter without a default after one with");
    }
    expect_operator(p, ")");
}

static lull_jinja_node *parse_macro(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_MACRO_DEF);
    if (!n) return NULL;
    advance(p);
    n->name = expect_name(p);
    parse_signature(p, n);
    parse_function(p, n, ENDS("endmacro"));
    advance(p);
    return n;
}

static lull_jinja_node *parse_call_block(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_CALL_BLOCK);
    if (!n) return NULL;
    advance(p);
    if (is_operator(p, "(")) parse_signature(p, n);
    n->a = parse_expression(p);
    if (n->a && n->a->kind != LULL_JINJA_CALL) return fail(p, "there should be a call");
    parse_function(p, n, ENDS("endcall"));
    advance(p);
    return n;
}

static lull_jinja_node *parse_filter_block(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_FILTER_BLOCK);
    if (!n) return NULL;
    advance(p);
    n->a = parse_filters(p, NULL, true);
    parse_block(p, &n->body, ENDS("endfilter"));
    advance(p);
    return n;
}

static lull_jinja_node *parse_with(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_WITH);
    if (!n) return NULL;
    advance(p);
    while (p->status == LULL_OK && p->t->type == LULL_JINJA_T_NAME) {
        add(p, &n->items, parse_primary(p));
        expect_operator(p, "=");
        add(p, &n->items, parse_expression(p));
        if (!skip_operator(p, ",")) break;
    }
    parse_block(p, &n->body, ENDS("endwith"));
    advance(p);
    return n;
}

static lull_jinja_node *parse_print(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_OUTPUT);
    advance(p);
    while (n && p->status == LULL_OK && p->t->type != LULL_JINJA_T_BLOCK_END) {
        if (n->items.n > 0) expect_operator(p, ",");
        add(p, &n->items, parse_expression(p));
    }
    return n;
}

static lull_jinja_node *parse_scope(parser *p)
{
    lull_jinja_node *n = new_node(p, LULL_JINJA_SCOPE);
    if (!n) return NULL;
    advance(p);
    parse_function(p, n, ENDS("endgeneration"));
    advance(p);
    return n;
}

static lull_jinja_node *parse_jump(parser *p, lull_jinja_kind kind)
{
    lull_jinja_node *n = new_node(p, kind);
    if (p->n_loops == 0) return fail(p, "break or continue outside a loop");
    advance(p);
    return n;
}

static lull_jinja_node *parse_statement(parser *p)
{
    if (is_word(p, "for")) return parse_for(p);
    if (is_word(p, "if")) return parse_if(p);
    if (is_word(p, "set")) return parse_set(p);
    if (is_word(p, "macro")) return parse_macro(p);
    if (is_word(p, "call")) return parse_call_block(p);
    if (is_word(p, "filter")) return parse_filter_block(p);
    if (is_word(p, "with")) return parse_with(p);
    if (is_word(p, "print")) return parse_print(p);
    if (is_word(p, "generation")) return parse_scope(p);
    if (is_word(p, "break")) return parse_jump(p, LULL_JINJA_BREAK);
    if (is_word(p, "continue")) return parse_jump(p, LULL_JINJA_CONTINUE);
    return fail_code(p, LULL_EUNSUPPORTED, "unknown tag", p->t->text);
}

static bool is_end(const parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (is_word(p, *ends)) return true;
    return false;
}

static void parse_body(parser *p, lull_jinja_nodes *body, const char *const *ends)
{
    if (!enter(p)) return;
    while (p->t->type != LULL_JINJA_T_END) {
        lull_jinja_node *n = new_node(p, LULL_JINJA_DATA);
        if (!n) return;
        if (p->t->type == LULL_JINJA_T_DATA) {
            n->value = lull_jinja_string(p->t->text.s, p->t->text.n);
            advance(p);
        } else if (p->t->type == LULL_JINJA_T_VARIABLE_BEGIN) {
            advance(p);
            n->kind = LULL_JINJA_OUTPUT;
            add(p, &n->items, parse_tuple(p, parse_expression, NULL, false));
            if (p->t->type != LULL_JINJA_T_VARIABLE_END) fail(p, "there should be '}}'");
            advance(p);
        } else {
            advance(p);
            if (is_end(p, ends)) break;
            n = parse_statement(p);
            if (p->t->type != LULL_JINJA_T_BLOCK_END) fail(p, "there should be '%}'");
            advance(p);
        }
        add(p, body, n);
    }
    p->depth--;
}

lull_status lull_jinja_parse_nodes(const char *src, size_t n, lull_arena *arena,
                                   lull_jinja_nodes *body, lull_error *err)
{
    lull_jinja_tokens tokens;
    *body = (lull_jinja_nodes){0};
    lull_status st = lull_jinja_lex(src, n, arena, &tokens, err);
    if (st == LULL_OK) {
        parser p = {.t = tokens.items, .arena = arena, .err = err};
        parse_body(&p, body, NULL);
        st = p.status;
    }
    free(tokens.items);
    return st;
}
