/* lull bench --profile: where the time of a test goes, by operation, as a table and as a picture.
 *
 * The device notes how long each step took. Steps that do the same in other layers make one
 * operation; it has the names of the tensors that it multiplies by. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "buffer.h"
#include "engine.h"
#include "grid.h"

enum { NAME_CAP = 64, MAX_OPERATIONS = 32, NO_LAYER = -1 };

typedef struct operation {
    char name[NAME_CAP];
    int n_steps;
    double wall_ms, waited_ms, least_ms; /* of all repetitions */
} operation;

struct lull_bench_profile {
    lull_model *model; /* kept until the last repetition */
    lull_bench_test test;
    lull_profile times;
    int *operation_of; /* [n_steps] owned, as the arrays of times are */
    int *layer_of;     /* [n_steps] owned; NO_LAYER where the step does not tell */
    int n_body;        /* the first n_body steps are those of all rows */
    operation operations[MAX_OPERATIONS];
    int n_operations;
    int n_reps;
    double total_ms;
};

/* ---- names ----------------------------------------------------------------------------------- */

/* The tensor that a matrix is: "blk.3.attn_q.weight". */
static const char *tensor_name(const lull_model *m, const lull_packed *w, char name[NAME_CAP])
{
    name[0] = 0;
    for (int i = 0; i < m->core->n_matrices; i++)
        if (&m->core->matrices[i]->packed == w) {
            lull_gguf_str s = m->core->matrices[i]->tensor->name;
            snprintf(name, NAME_CAP, "%.*s", (int)s.n_bytes, s.data);
        }
    return name;
}

/* The name without its layer and ending: "attn_q". */
static const char *short_name(const lull_model *m, const lull_packed *w, char name[NAME_CAP])
{
    int layer, skip = 0;
    tensor_name(m, w, name);
    char *end = strstr(name, ".weight");
    if (end) *end = 0;
    return sscanf(name, "blk.%d.%n", &layer, &skip) == 1 ? name + skip : name;
}

static void name_step(const lull_model *m, const lull_step *s, char name[NAME_CAP])
{
    switch (s->op) {
    case LULL_OP_EMBED: snprintf(name, NAME_CAP, "embedding, angles"); return;
    case LULL_OP_STORE_KV: snprintf(name, NAME_CAP, "rotate q k, store k v"); return;
    case LULL_OP_ATTEND:
        snprintf(name, NAME_CAP, "%s", s->n_window ? "attention, window" : "attention");
        return;
    case LULL_OP_NORM_ADD: snprintf(name, NAME_CAP, "norm, add"); return;
    case LULL_OP_GATHER: snprintf(name, NAME_CAP, "gather"); return;
    case LULL_OP_LINEAR: break;
    }
    if (s->is_after_gather) {
        snprintf(name, NAME_CAP, "output matrix");
        return;
    }
    for (int i = 0, at = 0; i < s->n_w && at < NAME_CAP; i++) {
        char tensor[NAME_CAP];
        at += snprintf(name + at, NAME_CAP - (size_t)at, "%s%s", i ? ", " : "",
                       short_name(m, s->w[i], tensor));
    }
}

/* The layer that a step belongs to, when it tells. */
static int layer_of(const lull_model *m, const lull_step *s)
{
    int layer = NO_LAYER;
    char name[NAME_CAP];
    if (s->op == LULL_OP_ATTEND || s->op == LULL_OP_STORE_KV) return s->layer;
    if (s->op == LULL_OP_LINEAR) sscanf(tensor_name(m, s->w[0], name), "blk.%d.", &layer);
    return layer;
}

static int find_operation(lull_bench_profile *p, const char *name)
{
    int i = 0;
    while (i < p->n_operations && strcmp(p->operations[i].name, name) != 0) i++;
    if (i == MAX_OPERATIONS) return MAX_OPERATIONS - 1; /* more kinds than any family has */
    if (i == p->n_operations) {
        p->n_operations++;
        snprintf(p->operations[i].name, NAME_CAP, "%s", name);
    }
    return i;
}

/* ---- measuring ------------------------------------------------------------------------------- */

lull_status lull_bench_profile_new(lull_model *model, const lull_bench_test *t,
                                   lull_bench_profile **out, lull_error *err)
{
    const lull_program *program = &model->core->program;
    size_t n = (size_t)program->n_steps;
    lull_bench_profile *p = *out = calloc(1, sizeof *p);
    if (p) {
        *p = (lull_bench_profile){.model = model, .test = *t};
        p->times = (lull_profile){.steps = program->steps,
                                  .n_steps = program->n_steps,
                                  .wall_ns = calloc(n, sizeof *p->times.wall_ns),
                                  .waited_ns = calloc(n, sizeof *p->times.waited_ns)};
        p->operation_of = calloc(n, sizeof *p->operation_of);
        p->layer_of = calloc(n, sizeof *p->layer_of);
        p->n_body = program->n_body;
    }
    if (!p || !p->times.wall_ns || !p->times.waited_ns || !p->operation_of || !p->layer_of) {
        lull_bench_profile_free(p);
        *out = NULL;
        return lull_fail(err, LULL_ENOMEM, "out of memory for a profile of %zu steps", n);
    }
    for (size_t i = 0; i < n; i++) {
        char name[NAME_CAP];
        const lull_step *s = &program->steps[i];
        name_step(model, s, name);
        p->operation_of[i] = find_operation(p, name);
        p->layer_of[i] = layer_of(model, s);
    }
    return LULL_OK;
}

void lull_bench_profile_free(lull_bench_profile *p)
{
    if (!p) return;
    free(p->times.wall_ns);
    free(p->times.waited_ns);
    free(p->operation_of);
    free(p->layer_of);
    free(p);
}

void lull_bench_profile_begin(lull_bench_profile *p)
{
    lull_device_set_profile(p->model->device, &p->times);
}

void lull_bench_profile_end(lull_bench_profile *p, double ms)
{
    lull_device_set_profile(p->model->device, NULL);
    p->n_reps++;
    p->total_ms += ms;
}

void lull_bench_profile_set_roofs(lull_bench_profile *p, const lull_roofs *roofs)
{
    for (int i = 0; i < p->times.n_steps; i++) {
        operation *o = &p->operations[p->operation_of[i]];
        lull_bench_work w = lull_bench_work_of(p->model, &p->test, &p->times.steps[i]);
        o->n_steps++;
        o->wall_ms += (double)p->times.wall_ns[i] * 1e-6;
        o->waited_ms += (double)atomic_load(&p->times.waited_ns[i]) * 1e-6;
        o->least_ms += p->n_reps * lull_bench_least_ms(&w, &p->test, roofs);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Time of a token that no step takes: preparing runs, looking through logits. */
static operation elsewhere(const lull_bench_profile *p)
{
    operation rest = {.name = "outside of steps", .wall_ms = p->total_ms};
    for (int i = 0; i < p->n_operations; i++) rest.wall_ms -= p->operations[i].wall_ms;
    return rest;
}

static void print_operation(lull_grid *g, const lull_bench_profile *p, const operation *o)
{
    double n_tokens = (double)p->n_reps * (double)p->test.n_tokens;
    lull_grid_cell(g, "%s", o->name);
    if (o->n_steps)
        lull_grid_cell(g, "%d", o->n_steps);
    else
        lull_grid_cell(g, "-");
    lull_grid_cell(g, "%.1f", o->wall_ms * 1000 / n_tokens);
    lull_grid_cell(g, "%.1f %%", 100 * o->wall_ms / p->total_ms);
    if (o->wall_ms > 0 && p->test.n_threads > 1 && o->n_steps)
        lull_grid_cell(g, "%.0f %%", 100 * o->waited_ms / o->wall_ms / p->test.n_threads);
    else
        lull_grid_cell(g, "-");
    if (o->least_ms > 0)
        lull_grid_cell(g, "%.0f %%", 100 * o->least_ms / o->wall_ms);
    else
        lull_grid_cell(g, "-");
}

void lull_bench_profile_print(const lull_bench_profile *p)
{
    char buf[LULL_BENCH_NAME_CAP];
    double ms = p->total_ms / ((double)p->n_reps * (double)p->test.n_tokens);
    printf("\n%s at depth %zu, %d thread%s: %.1f us a token\n\n",
           lull_bench_test_name(buf, &p->test), p->test.depth, p->test.n_threads,
           p->test.n_threads == 1 ? "" : "s", ms * 1000);
    lull_grid g;
    lull_grid_init(&g, "lrrrrr");
    const char *const heading[] = {"operation", "steps",   "us a token",
                                   "of all",    "waiting", "of the roof"};
    for (size_t i = 0; i < sizeof heading / sizeof *heading; i++)
        lull_grid_cell(&g, "%s", heading[i]);
    for (int i = 0; i < p->n_operations; i++) print_operation(&g, p, &p->operations[i]);
    operation rest = elsewhere(p);
    print_operation(&g, p, &rest);
    lull_grid_print(&g, stdout, true);
    lull_grid_fini(&g);
}

json_t *lull_bench_profile_json(const lull_bench_profile *p)
{
    json_t *list = json_array();
    double n_tokens = (double)p->n_reps * (double)p->test.n_tokens;
    for (int i = 0; i <= p->n_operations; i++) {
        operation o = i < p->n_operations ? p->operations[i] : elsewhere(p);
        json_array_append_new(list,
                              json_pack("{s:s, s:i, s:f, s:f, s:f}", "operation", o.name, "steps",
                                        o.n_steps, "us_per_token", o.wall_ms * 1000 / n_tokens,
                                        "waited_us_per_token", o.waited_ms * 1000 / n_tokens,
                                        "least_us_per_token", o.least_ms * 1000 / n_tokens));
    }
    return list;
}

/* ---- the picture ----------------------------------------------------------------------------- */

/* Sizes in pixels. A profile is drawn as three rows, time from left to right: the whole, its layers,
 * their operations; below each operation, in grey, the share of it that was waiting. */
enum {
    WIDTH = 1600,
    MARGIN = 16,
    ROW = 22,
    WAIT_ROW = 6,
    TITLE = 40,
    LEGEND_ROW = 20,
    BAR_TITLE = 24,
    BAR = BAR_TITLE + 3 * ROW + WAIT_ROW + 16,
    GLYPH = 7
};

static const char *const colours[] = {"#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2",
                                      "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#8cd17d"};
enum { N_COLOURS = sizeof colours / sizeof *colours };

static void draw_box(lull_buffer *out, double x, double y, double width, double height,
                     const char *colour, const char *label, double us)
{
    lull_buffer_printf(out,
                       "<g><title>%s: %.1f us</title><rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" "
                       "height=\"%.1f\" fill=\"%s\" stroke=\"#fff\" stroke-width=\"0.4\"/>",
                       label, us, x, y, width, height, colour);
    if (*label && width > GLYPH * (double)strlen(label))
        lull_buffer_printf(out, "<text x=\"%.2f\" y=\"%.1f\">%s</text>", x + 4, y + 15, label);
    lull_buffer_append_str(out, "</g>\n");
}

/* One profile from y on: a run of the program, averaged over all. */
static void draw_profile(lull_buffer *out, const lull_bench_profile *p, double y)
{
    char name[LULL_BENCH_NAME_CAP], label[80];
    double n_tokens = (double)p->n_reps * (double)p->test.n_tokens;
    double us_per_ns = 1e-3 / n_tokens, scale = (WIDTH - 2 * MARGIN) / (p->total_ms * 1e6);
    double total_us = p->total_ms * 1000 / n_tokens, x = MARGIN, layer_x = MARGIN, layer_ns = 0;
    lull_buffer_printf(out, "<text x=\"%d\" y=\"%.1f\">%s at depth %zu, %d thread%s</text>\n",
                       MARGIN, y + 16, lull_bench_test_name(name, &p->test), p->test.depth,
                       p->test.n_threads, p->test.n_threads == 1 ? "" : "s");
    y += BAR_TITLE;
    snprintf(label, sizeof label, "%.1f us a token", total_us);
    draw_box(out, MARGIN, y, WIDTH - 2 * MARGIN, ROW, "#bbb", label, total_us);
    for (int i = 0, layer = NO_LAYER; i <= p->times.n_steps; i++) {
        bool is_end = i >= p->n_body;
        int now = is_end ? NO_LAYER : p->layer_of[i];
        bool is_new = is_end ? layer != NO_LAYER : now != NO_LAYER && now != layer;
        if (is_new) {
            snprintf(label, sizeof label, layer == NO_LAYER ? "input" : "layer %d", layer);
            draw_box(out, layer_x, y + ROW, layer_ns * scale, ROW, "#ddd", label,
                     layer_ns * us_per_ns);
            layer_x = x;
            layer_ns = 0;
            layer = now;
        }
        if (i == p->times.n_steps) break;
        double ns = (double)p->times.wall_ns[i];
        int kind = p->operation_of[i];
        double waited = (double)atomic_load(&p->times.waited_ns[i]) / p->test.n_threads;
        draw_box(out, x, y + 2 * ROW, ns * scale, ROW, colours[kind % N_COLOURS],
                 p->operations[kind].name, ns * us_per_ns);
        if (p->test.n_threads > 1)
            draw_box(out, x, y + 3 * ROW, waited * scale, WAIT_ROW, "#777", "waiting",
                     waited * us_per_ns);
        x += ns * scale;
        layer_ns += ns;
    }
}

static double draw_legend(lull_buffer *out, const lull_bench_profile *p)
{
    double x = MARGIN, y = TITLE;
    for (int i = 0; i < p->n_operations; i++) {
        double width = 24 + GLYPH * (double)strlen(p->operations[i].name) + 16;
        if (x + width > WIDTH - MARGIN) {
            x = MARGIN;
            y += LEGEND_ROW;
        }
        lull_buffer_printf(out,
                           "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"14\" fill=\"%s\"/>"
                           "<text x=\"%.1f\" y=\"%.1f\">%s</text>\n",
                           x, y, colours[i % N_COLOURS], x + 20, y + 12, p->operations[i].name);
        x += width;
    }
    return y + LEGEND_ROW + 8;
}

lull_status lull_bench_profile_draw(const char *path, const char *title,
                                    lull_bench_profile *const *profiles, size_t n, lull_error *err)
{
    lull_buffer body = {0}, out = {0};
    double y = n > 0 ? draw_legend(&body, profiles[0]) : TITLE;
    for (size_t i = 0; i < n; i++, y += BAR) draw_profile(&body, profiles[i], y);
    lull_buffer_printf(&out,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
                       "font-family=\"sans-serif\" font-size=\"12\">\n"
                       "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
                       "<text x=\"%d\" y=\"24\" font-size=\"16\">",
                       WIDTH, y + MARGIN, MARGIN);
    for (const char *c = title; *c; c++)
        if (*c == '<' || *c == '&')
            lull_buffer_append_str(&out, *c == '<' ? "&lt;" : "&amp;");
        else
            lull_buffer_append(&out, c, 1);
    lull_buffer_append_str(&out, "</text>\n");
    lull_buffer_append(&out, body.data, body.n_bytes);
    lull_buffer_append_str(&out, "</svg>\n");
    lull_status st = body.is_failed || out.is_failed
                         ? lull_fail(err, LULL_ENOMEM, "out of memory for a picture")
                         : LULL_OK;
    FILE *f = st == LULL_OK ? fopen(path, "we") : NULL;
    if (st == LULL_OK && (!f || fwrite(out.data, 1, out.n_bytes, f) != out.n_bytes))
        st = lull_fail(err, LULL_EIO, "cannot write %s: %s", path, strerror(errno));
    if (f && fclose(f) != 0 && st == LULL_OK)
        st = lull_fail(err, LULL_EIO, "cannot write %s: %s", path, strerror(errno));
    lull_buffer_fini(&body);
    lull_buffer_fini(&out);
    return st;
}
