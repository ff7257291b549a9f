#include <langinfo.h>
#include <stdlib.h>
#include <string.h>

#include "display.h"
#include "format.h"
#include "store_cmd.h"
#include "term.h"

typedef struct args {
    const char *dir;
    bool as_json;
} args;

typedef struct node {
    lull_store_state state;
    size_t parent, first, last, next; /* indices; NONE */
} node;
#define NONE SIZE_MAX

typedef struct drawing {
    const node *nodes;
    bool is_utf8;
    lull_buffer indent;
} drawing;

static int by_id(const void *key, const void *element)
{
    int64_t id = *(const int64_t *)key, other = ((const node *)element)->state.id;
    return id < other ? -1 : id > other;
}

/* Children in order of id, under the parents that are still there. */
static void link_nodes(node *nodes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        nodes[i].parent = nodes[i].first = nodes[i].last = nodes[i].next = NONE;
    for (size_t i = 0; i < n; i++) {
        const node *parent = bsearch(&nodes[i].state.parent, nodes, n, sizeof *nodes, by_id);
        if (!parent || parent == &nodes[i]) continue;
        node *p = &nodes[parent - nodes];
        nodes[i].parent = (size_t)(p - nodes);
        if (p->last == NONE)
            p->first = i;
        else
            nodes[p->last].next = i;
        p->last = i;
    }
}

static void print_node(const drawing *d, const node *x)
{
    char count[LULL_FORMAT_CAP], age[LULL_AGE_CAP];
    lull_buffer names = {0};
    for (size_t i = 0; i < x->state.n_names; i++) {
        if (i > 0) lull_buffer_append_str(&names, ", ");
        lull_display_escape(&names, x->state.names[i], strlen(x->state.names[i]));
    }
    printf("%s%s%s%s#%lld  %s tokens  %s\n", lull_style_of(stdout, LULL_STYLE_BOLD),
           names.data ? names.data : "", lull_style_of(stdout, LULL_STYLE_OFF),
           names.n_bytes > 0 ? "  " : "", (long long)x->state.id,
           lull_format_count(count, x->state.n_tokens), lull_cmd_age(age, x->state.created_ms));
    lull_buffer_fini(&names);
    (void)d;
}

/* A chain of states is drawn in one column, so that depth is that of the branches. */
static void print_below(drawing *d, size_t i)
{
    const node *x = &d->nodes[i];
    for (size_t k = x->first; k != NONE; k = d->nodes[k].next) {
        bool is_last = d->nodes[k].next == NONE;
        size_t n_indent = d->indent.n_bytes;
        if (x->first == x->last) {
            printf("%s%s", d->indent.data ? d->indent.data : "", d->is_utf8 ? "│ " : "| ");
        } else {
            printf("%s%s", d->indent.data ? d->indent.data : "",
                   d->is_utf8 ? (is_last ? "└─ " : "├─ ") : (is_last ? "`- " : "|- "));
            lull_buffer_append_str(&d->indent, is_last ? "   " : d->is_utf8 ? "│  " : "|  ");
        }
        print_node(d, &d->nodes[k]);
        print_below(d, k);
        if (d->indent.data) d->indent.data[n_indent] = '\0';
        d->indent.n_bytes = n_indent;
    }
}

static json_t *node_json(const node *nodes, size_t i)
{
    json_t *object = lull_cmd_state_json(
        &nodes[i].state, nodes[i].state.n_names > 0 ? nodes[i].state.names[0] : NULL);
    json_t *children = json_array();
    for (size_t k = nodes[i].first; k != NONE; k = nodes[k].next)
        json_array_append_new(children, node_json(nodes, k));
    json_object_set_new(object, "children", children);
    return object;
}

static int print_all(const args *a, const node *nodes, size_t n)
{
    if (a->as_json) {
        json_t *roots = json_array();
        for (size_t i = 0; i < n; i++)
            if (nodes[i].parent == NONE) json_array_append_new(roots, node_json(nodes, i));
        return lull_cmd_print_json(roots);
    }
    drawing d = {.nodes = nodes, .is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0};
    for (size_t i = 0; i < n; i++) {
        if (nodes[i].parent != NONE) continue;
        print_node(&d, &nodes[i]);
        print_below(&d, i);
    }
    lull_buffer_fini(&d.indent);
    return LULL_EXIT_OK;
}

static lull_status tree(const args *a, int *rc, lull_error *err)
{
    lull_store *store = NULL;
    int64_t *ids = NULL;
    size_t n_ids = 0, n = 0;
    node *nodes = NULL;
    lull_status st = LULL_OK;
    LULL_TRY(lull_cmd_store_open(a->dir, false, &store, err));
    LULL_TRY(lull_store_list(store, &ids, &n_ids, err));
    nodes = calloc(n_ids + 1, sizeof *nodes);
    if (!nodes) LULL_TRY(lull_fail(err, LULL_ENOMEM, "no memory for %zu states", n_ids));
    for (size_t i = 0; i < n_ids; i++) {
        st = lull_store_get(store, ids[i], a->as_json, &nodes[n].state, err);
        if (st == LULL_ENOTFOUND) continue; /* removed meanwhile */
        if (st != LULL_OK) goto done;
        n++;
    }
    st = LULL_OK;
    link_nodes(nodes, n);
    *rc = print_all(a, nodes, n);
done:
    for (size_t i = 0; i < n; i++) lull_store_state_fini(&nodes[i].state);
    free(nodes);
    lull_free(ids);
    lull_store_close(store);
    return st;
}

int lull_cmd_tree(int argc, char **argv)
{
    args a = {0};
    const lull_option options[] = {LULL_STORE_ROW(&a.dir), LULL_JSON_ROW(&a.as_json)};
    const lull_cli cli = {.verb = "tree",
                          .operands = "",
                          .about = "Draw which state came from which.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    const char *none[1] = {NULL};
    int rc = lull_cli_parse(&cli, argc, argv, none);
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (tree(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("tree", &err);
    return rc;
}
