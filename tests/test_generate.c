/* Generation: what ends it, what text comes out, that it goes on from anywhere to the same tokens,
 * and that a token asks for no memory. */
#include "engine_check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "sanitized.h"

/* ---- every request for memory ---------------------------------------------------------------- */

/* In place of the C library's own functions, so that its own requests (qsort, stdio) are seen, too.
 * A sanitizer has its own; then the test that counts is skipped. */
static atomic_long n_requests;

#if !IS_SANITIZED && defined(__GLIBC__)
enum { CAN_COUNT = 1 };
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t each);
void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n)
{
    atomic_fetch_add(&n_requests, 1);
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t each)
{
    atomic_fetch_add(&n_requests, 1);
    return __libc_calloc(n, each);
}
void *realloc(void *p, size_t n)
{
    atomic_fetch_add(&n_requests, 1);
    return __libc_realloc(p, n);
}
#else
enum { CAN_COUNT = 0 };
#endif

/* ---- what comes out -------------------------------------------------------------------------- */

enum { MAX_CALLS = 2000 };

/* Text and tokens as they came. */
typedef struct output {
    char text[20000];
    size_t n_bytes, n_calls;
    size_t call_bytes[MAX_CALLS];
    int32_t call_token[MAX_CALLS];
    size_t cancel_at;                   /* the call that returns false; SIZE_MAX: none */
    long requests_first, requests_last; /* at the calls 50 and on */
} output;

static bool take_text(void *user, const char *text, size_t n_bytes, int32_t token)
{
    output *o = user;
    assert_true(o->n_calls < MAX_CALLS && o->n_bytes + n_bytes < sizeof o->text);
    memcpy(o->text + o->n_bytes, text, n_bytes);
    o->n_bytes += n_bytes;
    o->text[o->n_bytes] = '\0';
    o->call_bytes[o->n_calls] = n_bytes;
    o->call_token[o->n_calls] = token;
    if (o->n_calls == 50) o->requests_first = atomic_load(&n_requests);
    o->requests_last = atomic_load(&n_requests);
    return o->n_calls++ != o->cancel_at;
}

static lull_generate_options options_for(output *o, size_t max_tokens)
{
    memset(o, 0, sizeof *o);
    o->cancel_at = SIZE_MAX;
    lull_generate_options g = lull_generate_options_default();
    g.max_tokens = max_tokens;
    g.on_text = take_text;
    g.user = o;
    return g;
}

/* Sampled warm, so that tokens differ and have text. */
static void sample_warm(lull_generate_options *g, uint64_t seed)
{
    g->sampling.temperature = 1.5f;
    g->sampling.seed = seed;
    g->ignore_eog = true;
}

static const int32_t prompt[] = {20, 40, 60, 80, 100};
enum { N_PROMPT = 5 };

static lull_session *prompted(lull_model *m, size_t n_ctx)
{
    lull_session *s = new_session(m, n_ctx);
    const float *row;
    OK(lull_session_eval(s, prompt, N_PROMPT, &row, err));
    return s;
}

static lull_model *llama;

static int open_llama(void **state)
{
    (void)state;
    llama = open_model(LLAMA, NULL, 2);
    return 0;
}

static int close_llama(void **state)
{
    (void)state;
    lull_model_close(llama);
    return 0;
}

/* ---- length, context, greedy ----------------------------------------------------------------- */

static void test_lengths(void **state)
{
    (void)state;
    static output o;
    lull_generate_result r;
    lull_session *s = prompted(llama, 50);
    lull_generate_options g = options_for(&o, 0);
    g.ignore_eog = true;
    OK(lull_generate(s, &g, &r, err));
    assert_int_equal(r.finish, LULL_FINISH_LENGTH);
    assert_int_equal(r.n_tokens, 0);
    g.max_tokens = 7;
    OK(lull_generate(s, &g, &r, err));
    assert_int_equal(r.finish, LULL_FINISH_LENGTH);
    assert_int_equal(r.n_tokens, 7);
    assert_int_equal(lull_session_n_tokens(s), N_PROMPT + 7);
    assert_true(r.first_ms >= 0 && r.total_ms >= r.first_ms);
    g.max_tokens = SIZE_MAX;
    OK(lull_generate(s, &g, &r, err));
    assert_int_equal(r.finish, LULL_FINISH_CONTEXT);
    assert_int_equal(r.n_tokens, 50 - N_PROMPT - 7);
    assert_int_equal(lull_session_room(s), 0);
    OK(lull_generate(s, &g, &r, err));
    assert_int_equal(r.finish, LULL_FINISH_CONTEXT);
    assert_int_equal(r.n_tokens, 0);
    OK(lull_generate(s, &g, NULL, err)); /* the result may be left out */
    lull_session_free(s);
}

/* Greedy tokens are the largest logits of an evaluation token by token. */
static void test_greedy(void **state)
{
    (void)state;
    static const char *const paths[] = {LLAMA, GEMMA};
    for (int p = 0; p < 2; p++) {
        lull_model *m = open_model(paths[p], NULL, 1);
        int n_vocab = lull_model_get_info(m).n_vocab;
        lull_session *s = prompted(m, 100), *plain = new_session(m, 100);
        lull_generate_options g = lull_generate_options_default();
        g.max_tokens = 60;
        g.ignore_eog = true;
        OK(lull_generate(s, &g, NULL, err));
        const int32_t *tokens = lull_session_tokens(s);
        for (size_t i = 0; i < N_PROMPT + 60; i++) {
            const float *row;
            if (i >= N_PROMPT) {
                int best = 0;
                const float *last;
                lull_batch_item item = {.session = plain}; /* the logits again */
                OK(lull_batch_eval(&item, 1, err));
                last = item.logits;
                for (int k = 1; k < n_vocab; k++) best = last[k] > last[best] ? k : best;
                assert_int_equal(tokens[i], best);
            }
            OK(lull_session_eval(plain, &tokens[i], 1, &row, err));
        }
        lull_session_free(s);
        lull_session_free(plain);
        lull_model_close(m);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    lull_session *s = new_session(llama, 50);
    lull_generate_options g = lull_generate_options_default();
    FAILS(lull_generate(s, &g, NULL, err), LULL_EINVAL, "empty");
    const float *row;
    OK(lull_session_eval(s, prompt, N_PROMPT, &row, err));
    g.sampling.top_p = 2;
    FAILS(lull_generate(s, &g, NULL, err), LULL_EINVAL, "top_p");
    g = lull_generate_options_default();
    const char *stops[] = {"x", ""};
    g.stop = stops;
    g.n_stop = 2;
    FAILS(lull_generate(s, &g, NULL, err), LULL_EINVAL, "stop string 1");
    assert_int_equal(lull_session_n_tokens(s), N_PROMPT);
    lull_session_free(s);
}

static void test_finish_names(void **state)
{
    (void)state;
    static const char *const names[] = {"length",      "stop",         "context",  "cancelled",
                                        "stop_string", "stop_token",   "complete", "loop_token",
                                        "loop_line",   "loop_sentence"};
    for (int i = 0; i < 10; i++) assert_string_equal(lull_finish_name((lull_finish)i), names[i]);
    assert_non_null(lull_finish_name((lull_finish)99));
}

/* ---- going on -------------------------------------------------------------------------------- */

/* In one go, in pieces, on other threads and levels, after forgetting and evaluating again: the same
 * tokens. */
static void test_resume(void **state)
{
    (void)state;
    enum { N = 60 };
    static output o;
    int32_t want[N_PROMPT + N];
    lull_generate_options g = options_for(&o, N);
    sample_warm(&g, 5);
    g.sampling.presence_penalty = 0.3f;
    g.sampling.top_p = 0.98f;
    lull_session *s = prompted(llama, 100);
    OK(lull_generate(s, &g, NULL, err));
    memcpy(want, lull_session_tokens(s), sizeof want);
    lull_session_free(s);

    static const char *const levels[] = {NULL, "ref"};
    for (int level = 0; level < 2; level++)
        for (int n_threads = 1; n_threads <= (levels[level] ? 1 : 3); n_threads++) {
            lull_model *m = open_model(LLAMA, levels[level], n_threads);
            s = prompted(m, 100);
            for (size_t at = N_PROMPT, round = 0; at < N_PROMPT + N; round++) {
                g = options_for(&o, N);
                sample_warm(&g, 5);
                g.sampling.presence_penalty = 0.3f;
                g.sampling.top_p = 0.98f;
                g.max_tokens = 1 + round % 7;
                if (g.max_tokens > N_PROMPT + N - at) g.max_tokens = N_PROMPT + N - at;
                OK(lull_generate(s, &g, NULL, err));
                at += g.max_tokens;
                const float *row;
                if (round % 3 == 1) { /* forget, and come back with the tokens */
                    lull_session_truncate(s, at / 2);
                    OK(lull_session_eval(s, want + at / 2, at - at / 2, &row, err));
                } else if (round % 3 == 2) {
                    lull_session_truncate(s, at - 1);
                    OK(lull_session_eval(s, want + at - 1, 1, NULL, err)); /* without logits */
                }
            }
            assert_memory_equal(lull_session_tokens(s), want, sizeof want);
            lull_session_free(s);
            lull_model_close(m);
        }
}

/* The last token is in the list, evaluated or not, and a later eval continues after it. */
static void test_eval_after(void **state)
{
    (void)state;
    lull_session *s = prompted(llama, 100), *plain = new_session(llama, 100);
    lull_generate_options g = lull_generate_options_default();
    g.max_tokens = 3;
    g.ignore_eog = true;
    OK(lull_generate(s, &g, NULL, err));
    assert_int_equal(lull_session_n_tokens(s), N_PROMPT + 3);
    const float *row, *want;
    OK(lull_session_eval(s, prompt, 2, &row, err));
    int32_t tokens[N_PROMPT + 5];
    assert_int_equal(lull_session_n_tokens(s), N_PROMPT + 5);
    memcpy(tokens, lull_session_tokens(s), sizeof tokens);
    OK(lull_session_eval(plain, tokens, N_PROMPT + 5, &want, err));
    assert_memory_equal(row, want, 300 * sizeof *row);
    lull_session_free(s);
    lull_session_free(plain);
}

/* ---- stops ----------------------------------------------------------------------------------- */

/* The text that a run without stops gives, to choose stops from. */
static void free_run(uint64_t seed, size_t n, output *o, int32_t *tokens)
{
    lull_session *s = prompted(llama, 400);
    lull_generate_options g = options_for(o, n);
    sample_warm(&g, seed);
    OK(lull_generate(s, &g, NULL, err));
    memcpy(tokens, lull_session_tokens(s) + N_PROMPT, n * sizeof *tokens);
    lull_session_free(s);
}

/* Any piece of the text as stop string, so across any borders of tokens: the text ends right before
 * it, and nothing of it is ever handed out. */
static void test_stop_strings(void **state)
{
    (void)state;
    enum { N = 80 };
    static output whole, o;
    int32_t tokens[N];
    int n_across = 0;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        free_run(seed, N, &whole, tokens);
        assert_true(whole.n_bytes > 60);
        for (size_t at = 1; at + 12 < whole.n_bytes; at += 13)
            for (size_t n = 1; n <= 12; n += 3 + at % 4) {
                char stop[16] = {0};
                memcpy(stop, whole.text + at, n);
                if (memchr(stop, 0, n)) continue; /* a NUL byte in the text */
                const char *stops[] = {"never in it \x01\x02", stop};
                size_t first =
                    (size_t)((char *)memmem(whole.text, whole.n_bytes, stop, n) - whole.text);
                lull_session *s = prompted(llama, 400);
                lull_generate_options g = options_for(&o, N);
                sample_warm(&g, seed);
                g.stop = stops;
                g.n_stop = 2;
                lull_generate_result r;
                OK(lull_generate(s, &g, &r, err));
                assert_int_equal(r.finish, LULL_FINISH_STOP_STRING);
                assert_int_equal(o.n_bytes, first);
                assert_memory_equal(o.text, whole.text, first);
                /* The tokens up to the one that completed the stop are in the session. */
                assert_memory_equal(lull_session_tokens(s) + N_PROMPT, tokens,
                                    r.n_tokens * sizeof *tokens);
                size_t last_bytes;
                (void)lull_token_text(llama, tokens[r.n_tokens - 1], false, &last_bytes);
                n_across += n > last_bytes;
                lull_session_free(s);
            }
    }
    assert_true(n_across > 10);
}

/* A stop that does not come to pass is text after all, and the whole text is the same. */
static void test_stop_held_back(void **state)
{
    (void)state;
    enum { N = 80 };
    static output whole, o;
    int32_t tokens[N];
    free_run(1, N, &whole, tokens);
    for (size_t at = 0; at + 8 < whole.n_bytes; at += 7) {
        char stop[16] = {0};
        size_t n = whole.n_bytes - at < 8 ? whole.n_bytes - at : 8;
        memcpy(stop, whole.text + at, n);
        stop[n] = '\x7f'; /* what follows never does */
        if (memchr(stop, 0, n)) continue;
        const char *stops[] = {stop};
        lull_session *s = prompted(llama, 400);
        lull_generate_options g = options_for(&o, N);
        sample_warm(&g, 1);
        g.stop = stops;
        g.n_stop = 1;
        lull_generate_result r;
        OK(lull_generate(s, &g, &r, err));
        assert_int_equal(r.finish, LULL_FINISH_LENGTH);
        assert_int_equal(o.n_bytes, whole.n_bytes);
        assert_memory_equal(o.text, whole.text, whole.n_bytes);
        lull_session_free(s);
    }
}

static void test_stop_tokens(void **state)
{
    (void)state;
    enum { N = 30 };
    static output whole, o;
    int32_t tokens[N];
    free_run(2, N, &whole, tokens);
    int32_t stops[] = {299, tokens[20]};
    size_t first = 0;
    while (tokens[first] != tokens[20]) first++;
    lull_session *s = prompted(llama, 400);
    lull_generate_options g = options_for(&o, N);
    sample_warm(&g, 2);
    g.stop_tokens = stops;
    g.n_stop_tokens = 2;
    lull_generate_result r;
    OK(lull_generate(s, &g, &r, err));
    assert_int_equal(r.finish, LULL_FINISH_STOP_TOKEN);
    assert_int_equal(r.n_tokens, first + 1); /* the stop token counts, and is in the session */
    assert_int_equal(lull_session_tokens(s)[N_PROMPT + first], tokens[20]);
    for (size_t i = 0; i < o.n_calls; i++) assert_true(o.call_token[i] != tokens[20]);
    lull_session_free(s);
}

/* The model's own end, forced by a bias. */
static void test_eog(void **state)
{
    (void)state;
    static output o;
    int32_t eog = -1;
    for (int32_t i = 0; i < 300 && eog < 0; i++)
        if (lull_token_is_eog(llama, i)) eog = i;
    assert_true(eog >= 0);
    const lull_logit_bias bias[] = {{eog, 1000}};
    lull_session *s = prompted(llama, 40);
    lull_generate_options g = options_for(&o, 10);
    g.sampling.bias = bias;
    g.sampling.n_bias = 1;
    lull_generate_result r;
    OK(lull_generate(s, &g, &r, err));
    assert_int_equal(r.finish, LULL_FINISH_STOP);
    assert_int_equal(r.n_tokens, 1);
    assert_int_equal(o.n_bytes, 0);
    g.ignore_eog = true;
    OK(lull_generate(s, &g, &r, err));
    assert_int_equal(r.finish, LULL_FINISH_LENGTH);
    assert_int_equal(r.n_tokens, 10);
    assert_int_equal(o.n_bytes, 0); /* a control token has no text */
    lull_session_free(s);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Bytes that make a character only together are handed out together: each call ends between
 * characters. The tiny model's byte tokens make all sorts of pieces. */
static void test_whole_characters(void **state)
{
    (void)state;
    static output o;
    int32_t tokens[2];
    size_t n_tokens;
    OK(lull_tokenize(llama, "\xc3\xa9", 2, 0, tokens, 2, &n_tokens, err)); /* é: two tokens */
    assert_int_equal(n_tokens, 2);
    const char *stops[] = {"\xa9"}; /* half a character, which is never cut off */
    for (int with_stop = 0; with_stop < 2; with_stop++) {
        lull_session *s = prompted(llama, 40);
        lull_generate_options g = options_for(&o, 1);
        g.ignore_eog = true;
        for (int i = 0; i < 2; i++) {
            lull_logit_bias bias[] = {{tokens[i], 1000}};
            g.sampling.bias = bias;
            g.sampling.n_bias = 1;
            g.stop = stops;
            g.n_stop = (size_t)with_stop;
            OK(lull_generate(s, &g, NULL, err));
        }
        /* Each half alone at the end of a call: as it is. */
        if (!with_stop) assert_memory_equal(o.text, "\xc3\xa9", 2);
        lull_session_free(s);
    }
    /* Within one call: é by alternating biases cannot be had; by a model that likes both it can. */
    lull_session *s = prompted(llama, 400);
    lull_logit_bias both[] = {{tokens[0], 1000}, {tokens[1], 1000}};
    lull_generate_options g = options_for(&o, 300);
    g.ignore_eog = true;
    g.sampling.bias = both;
    g.sampling.n_bias = 2;
    g.sampling.temperature = 20;
    OK(lull_generate(s, &g, NULL, err));
    size_t at = 0;
    int n_chars = 0;
    for (size_t i = 0; i < o.n_calls; i++) {
        at += o.call_bytes[i];
        bool is_cut = at > 0 && at < o.n_bytes && o.text[at - 1] == '\xc3' && o.text[at] == '\xa9';
        assert_false(is_cut);
        n_chars += o.call_bytes[i] == 2;
    }
    assert_true(n_chars > 20);
    lull_session_free(s);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void test_cancel_by_callback(void **state)
{
    (void)state;
    enum { N = 40 };
    static output whole, o;
    int32_t tokens[N];
    free_run(3, N, &whole, tokens);
    for (size_t at = 0; at < N; at += 3) {
        lull_session *s = prompted(llama, 400);
        lull_generate_options g = options_for(&o, N);
        sample_warm(&g, 3);
        o.cancel_at = at;
        lull_generate_result r;
        OK(lull_generate(s, &g, &r, err));
        assert_int_equal(r.finish, LULL_FINISH_CANCELLED);
        assert_int_equal(o.n_calls, at + 1); /* not called again after it said no */
        assert_int_equal(r.n_tokens, at + 1);
        assert_memory_equal(o.text, whole.text, o.n_bytes);
        /* And on from there, to the same tokens. */
        g = options_for(&o, N - at - 1);
        sample_warm(&g, 3);
        OK(lull_generate(s, &g, &r, err));
        assert_memory_equal(lull_session_tokens(s) + N_PROMPT, tokens, sizeof tokens);
        lull_session_free(s);
    }
}

/* A callback that says no at the very token that completes a stop string: still nothing of it. */
static void test_cancel_at_stop(void **state)
{
    (void)state;
    enum { N = 80 };
    static output whole, o;
    int32_t tokens[N];
    free_run(1, N, &whole, tokens);
    size_t at = whole.n_bytes / 2;
    char stop[4] = {0};
    memcpy(stop, whole.text + at, 3);
    const char *stops[] = {stop};
    for (size_t call = 0; call < N; call++) {
        lull_session *s = prompted(llama, 400);
        lull_generate_options g = options_for(&o, N);
        sample_warm(&g, 1);
        g.stop = stops;
        g.n_stop = 1;
        o.cancel_at = call;
        lull_generate_result r;
        OK(lull_generate(s, &g, &r, err));
        assert_null(strstr(o.text, stop));
        assert_in_range(o.n_calls, 1, call + 1);
        lull_session_free(s);
        if (r.finish == LULL_FINISH_STOP_STRING) break;
    }
}

static void *cancel_soon(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    lull_session_cancel(arg);
    return NULL;
}

static void test_cancel_by_thread(void **state)
{
    (void)state;
    lull_model *m = open_model(LLAMA, "ref", 1); /* slow enough to be in the middle */
    lull_session *s = prompted(m, 2048);
    lull_generate_options g = lull_generate_options_default();
    g.ignore_eog = true;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, s), 0);
    lull_generate_result r;
    OK(lull_generate(s, &g, &r, err));
    pthread_join(thread, NULL);
    assert_int_equal(r.finish, LULL_FINISH_CANCELLED);
    assert_int_equal(lull_session_n_tokens(s), N_PROMPT + r.n_tokens);
    lull_session_cancel(s); /* none is running: the next stops at once */
    OK(lull_generate(s, &g, &r, err));
    assert_int_equal(r.finish, LULL_FINISH_CANCELLED);
    assert_int_equal(r.n_tokens, 0);
    g.max_tokens = 2;
    OK(lull_generate(s, &g, &r, err)); /* once is once */
    assert_int_equal(r.finish, LULL_FINISH_LENGTH);
    lull_session_free(s);
    lull_model_close(m);
}

/* ---- drafts ---------------------------------------------------------------------------------- */

enum { DRAFT_TOKENS = 400, DRAFT_PROMPT = 90 };

typedef struct drafted {
    output o;
    lull_generate_result r;
    int32_t tokens[DRAFT_TOKENS];
    size_t n_tokens;
    float next[2][4096]; /* logits after the last token, and after one more */
} drafted;

/* A prompt that says all three times, so that there is much to guess from. kind: 0 greedy, 1 nearly so, 2
 * warm with penalties, 3 with a stop string, 4 cancelled by the callback. */
static void generate_drafted(lull_model *m, int kind, size_t n_ctx, size_t most, int draft,
                             drafted *d)
{
    int32_t tokens[DRAFT_PROMPT];
    int n_vocab = lull_model_get_info(m).n_vocab;
    fill_tokens(tokens, DRAFT_PROMPT / 3, n_vocab, 77);
    for (int i = DRAFT_PROMPT / 3; i < DRAFT_PROMPT; i++) tokens[i] = tokens[i - DRAFT_PROMPT / 3];
    lull_session *s = new_session(m, n_ctx);
    OK(lull_session_eval(s, tokens, DRAFT_PROMPT, NULL, err));
    d->o = (output){.cancel_at = kind == 4 ? 37 : SIZE_MAX};
    lull_generate_options g = options_for(&d->o, most);
    g.draft = draft;
    g.ignore_eog = true;
    if (kind == 1) g.sampling.temperature = 0.05f;
    if (kind == 2) {
        sample_warm(&g, 3);
        g.sampling.temperature = 0.3f;
        g.sampling.repeat_penalty = 1.05f;
    }
    d->o.cancel_at = kind == 4 ? 37 : SIZE_MAX;
    static const char *const stop[] = {"\x01\x02\x03 never"};
    if (kind == 3) {
        g.stop = stop;
        g.n_stop = 1;
    }
    OK(lull_generate(s, &g, &d->r, err));
    d->n_tokens = lull_session_n_tokens(s);
    memcpy(d->tokens, lull_session_tokens(s), d->n_tokens * sizeof *d->tokens);
    const float *row;
    if (lull_session_room(s) >= 2) {
        OK(lull_session_eval(s, tokens, 1, &row, err));
        memcpy(d->next[0], row, (size_t)n_vocab * sizeof *row);
        /* Sleeping sessions and forks see the pages: what waits is evaluated, and no more. */
        lull_session *fork;
        OK(lull_session_fork(s, SIZE_MAX, &fork, err));
        OK(lull_session_eval(fork, tokens + 1, 1, &row, err));
        memcpy(d->next[1], row, (size_t)n_vocab * sizeof *row);
        lull_session_free(fork);
    }
    lull_session_free(s);
}

/* Guesses change nothing that can be seen: not where they are right, nor where they are wrong, nor where
 * the text ends among them. */
static void test_drafts(void **state)
{
    (void)state;
    static const char *const paths[] = {LLAMA, GEMMA};
    static const int drafts[] = {0, 1, 3, 4, 11};
    static drafted want, got;
    size_t n_drafted = 0, n_accepted = 0;
    for (int k = 0; k < 2; k++) {
        lull_model *m = open_model(paths[k], NULL, 2);
        for (int kind = 0; kind < 5; kind++)
            /* Under sanitizers, which make arithmetic slow, less of it. */
            for (size_t n_ctx = 130; n_ctx <= (CAN_COUNT ? DRAFT_TOKENS : 130); n_ctx += 134)
                for (int i = 0; i < 5; i += CAN_COUNT ? 1 : 2) {
                    size_t most = i % 2 ? SIZE_MAX : 20 + n_ctx % 50;
                    memset(&want, 0, sizeof want);
                    memset(&got, 0, sizeof got);
                    generate_drafted(m, kind, n_ctx, most, -1, &want);
                    generate_drafted(m, kind, n_ctx, most, drafts[i], &got);
                    assert_int_equal(want.r.n_drafted, 0);
                    assert_int_equal(got.r.finish, want.r.finish);
                    assert_int_equal(got.r.n_tokens, want.r.n_tokens);
                    assert_int_equal(got.n_tokens, want.n_tokens);
                    assert_memory_equal(got.tokens, want.tokens, sizeof want.tokens);
                    assert_memory_equal(got.next, want.next, sizeof want.next);
                    assert_int_equal(got.o.n_calls, want.o.n_calls);
                    assert_memory_equal(got.o.text, want.o.text, sizeof want.o.text);
                    n_drafted += got.r.n_drafted;
                    n_accepted += got.r.n_accepted;
                }
        lull_model_close(m);
    }
    print_message("%zu tokens drafted, %zu of them right\n", n_drafted, n_accepted);
    assert_true(n_accepted > 100 && n_drafted > n_accepted + 20);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* 200 tokens after the first 50: no request at all, greedy or with every option. */
static void test_no_allocation(void **state)
{
    (void)state;
    if (!CAN_COUNT) skip();
    long before = atomic_load(&n_requests);
    void *volatile p = malloc(10);
    free(p);
    assert_int_equal(atomic_load(&n_requests), before + 1); /* they are seen */
    static const char *const paths[] = {LLAMA, GEMMA};
    static output o;
    for (int k = 0; k < 2; k++)
        for (int kind = 0; kind < 2; kind++) {
            lull_model *m = open_model(paths[k], NULL, 2);
            lull_session *s = prompted(m, 400);
            const lull_logit_bias bias[] = {{3, 0.5f}};
            const char *stops[] = {"never comes \x01", "nor this"};
            lull_generate_options g = options_for(&o, 251);
            g.ignore_eog = true;
            g.stop = stops;
            g.n_stop = 2;
            if (kind == 1)
                g.sampling = (lull_sampling){.temperature = 1.2f,
                                             .top_k = 250,
                                             .top_p = 0.99f,
                                             .min_p = 0.0001f,
                                             .typical_p = 0.999f,
                                             .repeat_penalty = 1.1f,
                                             .frequency_penalty = 0.1f,
                                             .penalty_window = 64,
                                             .seed = 8,
                                             .bias = bias,
                                             .n_bias = 1};
            OK(lull_generate(s, &g, NULL, err));
            assert_true(o.n_calls >= 251);
            assert_int_equal(o.requests_last - o.requests_first, 0);
            lull_session_free(s);
            lull_model_close(m);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),          cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_refusals),         cmocka_unit_test(test_finish_names),
        cmocka_unit_test(test_resume),           cmocka_unit_test(test_eval_after),
        cmocka_unit_test(test_stop_strings),     cmocka_unit_test(test_stop_held_back),
        cmocka_unit_test(test_stop_tokens),      cmocka_unit_test(test_eog),
        cmocka_unit_test(test_whole_characters), cmocka_unit_test(test_cancel_by_callback),
        cmocka_unit_test(test_cancel_at_stop),   cmocka_unit_test(test_cancel_by_thread),
        cmocka_unit_test(test_drafts),           cmocka_unit_test(test_no_allocation),
    };
    return cmocka_run_group_tests(tests, open_llama, close_llama);
}
