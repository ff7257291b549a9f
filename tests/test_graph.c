/* From a family's graph to a program: which steps, in which order, on what; that no step writes
 * over what a later one reads; and that a tensor unknown to the family is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "file.h"
#include "model.h"

static lull_model_core *open_core(const char *path)
{
    lull_gguf *g;
    lull_model_core *m;
    lull_error err;
    if (lull_gguf_open(path, &g, &err) != LULL_OK) fail_msg("%s", err.msg);
    if (lull_model_core_new(g, LULL_KV_F16, &m, &err) != LULL_OK) fail_msg("%s", err.msg);
    return m;
}

/* ---- an independent account of memory -------------------------------------------------------- */

/* Who wrote each float of the program's memory last, by running the steps on paper. */
typedef struct account {
    const lull_program *p;
    int *writer; /* [memory_bytes / 4]; -1: nobody */
} account;

static void check_range(const account *a, const float *at, size_t n)
{
    size_t first = (size_t)((const uint8_t *)at - a->p->memory) / 4;
    assert_true((const uint8_t *)at >= a->p->memory);
    assert_true(first + n <= a->p->memory_bytes / 4);
    assert_int_equal((uintptr_t)at % 64, 0);
}

/* Step i reads n floats, which step `from` must have written. */
static void expect_read(const account *a, int i, const float *at, size_t n, int from)
{
    check_range(a, at, n);
    const int *w = a->writer + (at - (const float *)a->p->memory);
    for (size_t k = 0; k < n; k++)
        if (w[k] != from) fail_msg("step %d reads what step %d wrote, not step %d", i, w[k], from);
}

static int writer_of(const account *a, const float *at)
{
    return a->writer[at - (const float *)a->p->memory];
}

static void note_write(const account *a, int i, const float *at, size_t n)
{
    check_range(a, at, n);
    int *w = a->writer + (at - (const float *)a->p->memory);
    for (size_t k = 0; k < n; k++) w[k] = i;
}

/* Walks through a program of known shape. `x` is the step that last wrote the residual. */
typedef struct walk {
    account a;
    const lull_model_core *m;
    const lull_program *p;
    int i, x;
    const float *residual;
    size_t rows;
} walk;

static const lull_step *next_step(walk *w, lull_op op)
{
    assert_true(w->i < w->p->n_steps);
    const lull_step *s = &w->p->steps[w->i];
    assert_int_equal(s->op, op);
    assert_int_equal(s->is_after_gather, w->i >= w->p->n_body);
    return s;
}

/* norm(x) W for n matrices of these rows, or one output of two that are gated; returns the step. */
static const lull_step *walk_projections(walk *w, int n, const int *n_rows)
{
    const lull_step *s = next_step(w, LULL_OP_LINEAR);
    size_t d = (size_t)w->m->config.d_model;
    assert_true(s->eps == w->m->config.eps);
    assert_non_null(s->norm);
    assert_int_equal(s->n_w, n);
    assert_false(s->is_added);
    assert_int_equal(s->d_in, d);
    expect_read(&w->a, w->i, s->in, w->rows * d, w->x);
    for (int k = 0; k < n; k++) assert_int_equal(s->w[k]->n_rows, n_rows[k]);
    if (s->is_gated) n = 1;
    for (int k = 0; k < n; k++) {
        note_write(&w->a, w->i, s->out[k], w->rows * (size_t)n_rows[k]);
    }
    for (int k = 0; k < n; k++) /* the outputs do not overlap, nor the input */
        expect_read(&w->a, w->i, s->out[k], w->rows * (size_t)n_rows[k], w->i);
    expect_read(&w->a, w->i, s->in, w->rows * d, w->x);
    w->i++;
    return s;
}

/* A product that is added to the residual in place, or written on its own and then normed and
 * added. */
static void walk_residual(walk *w, const lull_step *s, bool has_post_norm)
{
    size_t d = (size_t)w->m->config.d_model, n = w->rows * d;
    assert_int_equal(s->n_w, 1);
    assert_int_equal(s->is_added, !has_post_norm);
    if (!has_post_norm) {
        assert_ptr_equal(s->out[0], w->residual);
        expect_read(&w->a, w->i, s->out[0], n, w->x);
        note_write(&w->a, w->i, s->out[0], n);
        w->x = w->i++;
        return;
    }
    /* Its own inputs stay as they are: a thread may still read them when another writes. */
    int product = w->i, from = writer_of(&w->a, s->in);
    note_write(&w->a, w->i, s->out[0], n);
    expect_read(&w->a, w->i, s->in, w->rows * (size_t)s->d_in, from);
    w->i++;
    s = next_step(w, LULL_OP_NORM_ADD);
    assert_non_null(s->norm);
    assert_ptr_equal(s->out[0], w->residual);
    expect_read(&w->a, w->i, s->in, n, product);
    expect_read(&w->a, w->i, s->out[0], n, w->x);
    note_write(&w->a, w->i, s->out[0], n);
    w->x = w->i++;
}

static void walk_attention(walk *w, int layer, bool is_gemma)
{
    const lull_config *c = &w->m->config;
    int d_q = c->n_head * c->d_head, d_kv = c->n_kv * c->d_head, from = w->i;
    const lull_step *qkv = walk_projections(w, 3, (int[]){d_q, d_kv, d_kv});
    size_t n_q = w->rows * (size_t)d_q, n_kv = w->rows * (size_t)d_kv;

    const lull_step *s = next_step(w, LULL_OP_STORE_KV);
    assert_int_equal(s->layer, layer);
    bool has_head_norms = strcmp(w->m->architecture, "llama") != 0;
    assert_int_equal(s->norm != NULL, has_head_norms);
    assert_int_equal(s->norm2 != NULL, has_head_norms);
    assert_ptr_equal(s->rope, &c->ropes[is_gemma && !c->is_sliding[layer]]);
    assert_true(s->scale > 0);
    assert_ptr_equal(s->in, qkv->out[0]);
    assert_ptr_equal(s->in2, qkv->out[1]);
    assert_ptr_equal(s->out[0], qkv->out[2]);
    expect_read(&w->a, w->i, s->in, n_q, from);
    expect_read(&w->a, w->i, s->in2, n_kv, from);
    expect_read(&w->a, w->i, s->out[0], n_kv, from);
    note_write(&w->a, w->i, s->in, n_q); /* rotated in place */
    note_write(&w->a, w->i, s->in2, n_kv);
    from = w->i++;

    s = next_step(w, LULL_OP_ATTEND);
    assert_int_equal(s->layer, layer);
    assert_int_equal(s->n_head, c->n_head);
    assert_int_equal(s->n_window, c->is_sliding[layer] ? c->n_window : 0);
    expect_read(&w->a, w->i, s->in, n_q, from);
    note_write(&w->a, w->i, s->out[0], n_q);
    expect_read(&w->a, w->i, s->in, n_q, from); /* not over its own input */
    from = w->i++;

    const lull_step *o = next_step(w, LULL_OP_LINEAR);
    assert_null(o->norm);
    assert_int_equal(o->d_in, d_q);
    expect_read(&w->a, w->i, o->in, n_q, from);
    walk_residual(w, o, is_gemma);
}

static void walk_feed_forward(walk *w, bool is_gemma)
{
    int d_ff = w->m->config.d_ff, from = w->i;
    const lull_step *gated = walk_projections(w, 2, (int[]){d_ff, d_ff});
    assert_true(gated->is_gated);
    assert_int_equal(gated->act, is_gemma ? LULL_ACT_GELU_TANH : LULL_ACT_SILU);
    const lull_step *s = next_step(w, LULL_OP_LINEAR);
    assert_null(s->norm);
    assert_int_equal(s->d_in, d_ff);
    expect_read(&w->a, w->i, s->in, w->rows * (size_t)d_ff, from);
    walk_residual(w, s, is_gemma);
}

static void check_program(const char *path, bool is_gemma, int n_steps)
{
    lull_model_core *m = open_core(path);
    const lull_config *c = &m->config;
    const lull_program *p = &m->program;
    walk w = {.m = m, .p = p, .rows = (size_t)p->max_rows};
    w.a = (account){p, malloc(p->memory_bytes)};
    assert_non_null(w.a.writer);
    memset(w.a.writer, 0xff, p->memory_bytes);
    assert_int_equal(p->n_steps, n_steps);

    const lull_step *s = next_step(&w, LULL_OP_EMBED);
    assert_true(s->scale == (is_gemma ? 8.0f : 1.0f)); /* sqrt of 64, for the tiny model */
    w.residual = s->out[0];
    note_write(&w.a, w.i++, s->out[0], w.rows * (size_t)c->d_model);
    for (int layer = 0; layer < c->n_layer; layer++) {
        walk_attention(&w, layer, is_gemma);
        walk_feed_forward(&w, is_gemma);
    }
    assert_int_equal(w.i, p->n_body);
    /* The head may run several times over the body's result, which must outlive it. */
    int body = w.x;
    const float *result = w.residual;
    for (int round = 0; round < 2; round++) {
        w.i = p->n_body;
        s = next_step(&w, LULL_OP_GATHER);
        assert_ptr_equal(s->in, result);
        expect_read(&w.a, w.i, s->in, (size_t)p->max_rows * (size_t)c->d_model, body);
        w.rows = (size_t)p->max_out;
        note_write(&w.a, w.i, s->out[0], w.rows * (size_t)c->d_model);
        w.x = w.i++;
        s = walk_projections(&w, 1, &c->n_vocab);
        assert_ptr_equal(p->logits, s->out[0]);
        assert_int_equal(p->n_logits, c->n_vocab);
        assert_int_equal(w.i, p->n_steps);
    }
    free(w.a.writer);
    lull_model_core_free(m);
}

/* Six steps a layer: q k v, store, attend, output, gate and up, down. */
static void test_llama(void **state)
{
    (void)state;
    check_program(LULL_TEST_MODELS "/tiny-llama.gguf", false, 1 + 2 * 6 + 2);
    check_program(LULL_TEST_MODELS "/tiny-long.gguf", false, 1 + 6 + 2);
}

/* The norms of heads are part of storing. */
static void test_qwen3(void **state)
{
    (void)state;
    check_program(LULL_TEST_MODELS "/tiny-qwen3.gguf", false, 1 + 2 * 6 + 2);
}

/* And two norms that are added. */
static void test_gemma3(void **state)
{
    (void)state;
    check_program(LULL_TEST_MODELS "/tiny-gemma3.gguf", true, 1 + 6 * 8 + 2);
}

static void test_config(void **state)
{
    (void)state;
    lull_model_core *m = open_core(LULL_TEST_MODELS "/tiny-gemma3.gguf");
    const lull_config *c = &m->config;
    assert_int_equal(c->n_layer, 6);
    assert_int_equal(c->n_window, 48);
    for (int i = 0; i < 6; i++) assert_int_equal(c->is_sliding[i], i != 5);
    assert_int_equal(c->n_ropes, 2);
    assert_true(c->ropes[0].is_neox && c->ropes[1].is_neox);
    /* Base 10^4 for sliding layers; 10^6 halved in frequency by the linear factor for global ones. */
    for (int i = 0; i < c->d_head / 2; i++) {
        double e = -2.0 * i / c->d_head;
        const double want[2] = {__builtin_pow(1e4, e), __builtin_pow(1e6, e) / 2};
        for (int k = 0; k < 2; k++) {
            double off = c->ropes[k].inv_freq[i] / want[k] - 1;
            assert_true(off < 1e-14 && off > -1e-14);
        }
    }
    lull_model_core_free(m);

    m = open_core(LULL_TEST_MODELS "/tiny-long.gguf"); /* with rope_freqs of 1 to 8 */
    c = &m->config;
    assert_int_equal(c->n_ropes, 1);
    assert_false(c->ropes[0].is_neox);
    assert_true(c->ropes[0].inv_freq[0] == 1.0);
    double last = c->ropes[0].inv_freq[c->d_head / 2 - 1];
    double want = __builtin_pow(1e4, -2.0 * (c->d_head / 2 - 1) / c->d_head) / 8;
    assert_true(last / want < 1 + 1e-7 && last / want > 1 - 1e-7);
    lull_model_core_free(m);

    m = open_core(LULL_TEST_MODELS "/tiny-qwen3.gguf"); /* d_head is not d_model / n_head */
    c = &m->config;
    assert_int_equal(c->d_head, 32);
    assert_int_equal(c->n_ropes, 1);
    assert_true(c->ropes[0].is_neox);
    assert_int_equal(c->ropes[0].n_pairs, 16);
    lull_model_core_free(m);
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* The model file with a text in it replaced by one of the same length, at each place where it does
 * not end a longer name. */
static lull_status open_changed(const char *model, const char *from, const char *to,
                                lull_error *err)
{
    char path[] = "/tmp/lull-graph-XXXXXX", *data;
    size_t n, k = strlen(from);
    int fd = mkstemp(path), n_changed = 0;
    assert_true(fd >= 0 && k == strlen(to));
    assert_int_equal(lull_file_read(model, 1 << 24, &data, &n, err), LULL_OK);
    for (size_t i = 1; i + k <= n; i++)
        if (memcmp(data + i, from, k) == 0 && data[i - 1] != '_') {
            memcpy(data + i, to, k);
            n_changed++;
        }
    assert_true(n_changed > 0);
    assert_int_equal(lull_file_write_all(fd, path, data, n, err), LULL_OK);
    close(fd);
    free(data);
    lull_gguf *g;
    lull_model_core *m = NULL;
    lull_status st = lull_gguf_open(path, &g, err);
    assert_int_equal(st, LULL_OK);
    st = lull_model_core_new(g, LULL_KV_F16, &m, err);
    assert_true((st == LULL_OK) == (m != NULL));
    lull_model_core_free(m);
    unlink(path);
    return st;
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *model, *from, *to;
        lull_status st;
        const char *named;
    } cases[] = {
        {"tiny-long", "output.weight", "outpux.weight", LULL_EUNSUPPORTED, "outpux.weight"},
        {"tiny-long", "rope_freqs.weight", "rope_freqz.weight", LULL_EUNSUPPORTED,
         "rope_freqz.weight"},
        {"tiny-long", "blk.0.attn_q.weight", "blk.0.attn_z.weight", LULL_ENOTFOUND,
         "blk.0.attn_q.weight"},
        {"tiny-gemma3", "blk.3.attn_k_norm.weight", "blk.9.attn_k_norm.weight", LULL_ENOTFOUND,
         "blk.3.attn_k_norm.weight"},
        {"tiny-qwen3", "blk.1.attn_q_norm.weight", "blk.7.attn_q_norm.weight", LULL_ENOTFOUND,
         "blk.1.attn_q_norm.weight"},
        {"tiny-long", "token_embd.weight", "token_embx.weight", LULL_ENOTFOUND,
         "token_embd.weight"},
        {"tiny-long", "llama.block_count", "llama.block_cxunt", LULL_ENOTFOUND, "block_count"},
        {"tiny-gemma3", "attention.sliding_window", "attention.sliding_windox", LULL_ENOTFOUND,
         "sliding_window"},
        {"tiny-gemma3", "gemma3", "gemma9", LULL_EUNSUPPORTED, "gemma9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lull_error err;
        char model[512];
        snprintf(model, sizeof model, "%s/%s.gguf", LULL_TEST_MODELS, cases[i].model);
        lull_status st = open_changed(model, cases[i].from, cases[i].to, &err);
        if (st != cases[i].st || !strstr(err.msg, cases[i].named))
            fail_msg("%s -> %s: %s, %s", cases[i].from, cases[i].to, lull_status_name(st), err.msg);
    }
}

/* Each allocation of building and lowering fails once. */
static void test_without_memory(void **state)
{
    (void)state;
    static const char *const models[] = {"/tiny-long.gguf", "/tiny-gemma3.gguf"};
    for (int i = 0; i < 2; i++)
        for (long n = 0;; n++) {
            char path[512];
            lull_gguf *g;
            lull_model_core *m;
            lull_error err;
            snprintf(path, sizeof path, "%s%s", LULL_TEST_MODELS, models[i]);
            assert_int_equal(lull_gguf_open(path, &g, &err), LULL_OK);
            fail_request(n);
            lull_status st = lull_model_core_new(g, LULL_KV_F16, &m, &err);
            bool is_hit = has_failed();
            fail_request(-1);
            if (!is_hit) {
                assert_int_equal(st, LULL_OK);
                lull_model_core_free(m);
                assert_true(n > 10);
                break;
            }
            if (st != LULL_ENOMEM) fail_msg("request %ld: %s", n, lull_status_name(st));
            assert_null(m);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),    cmocka_unit_test(test_gemma3),
        cmocka_unit_test(test_qwen3),    cmocka_unit_test(test_config),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
