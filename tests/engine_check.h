/* What the tests of the engine share: opening the tiny models, and short ways to evaluate. */
#ifndef LULL_TESTS_ENGINE_CHECK_H
#define LULL_TESTS_ENGINE_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu.h"
#include "lull/lull.h"

#define LLAMA LULL_TEST_MODELS "/tiny-llama.gguf"
#define GEMMA LULL_TEST_MODELS "/tiny-gemma3.gguf"
#define QWEN LULL_TEST_MODELS "/tiny-qwen3.gguf"
#define LONG LULL_TEST_MODELS "/tiny-long.gguf"

/* Fails the test with the error's message. */
#define OK(call)                                                                                   \
    do {                                                                                           \
        lull_error err_;                                                                           \
        lull_error *err = &err_;                                                                   \
        if ((call) != LULL_OK) fail_msg("%s: %s", #call, err_.msg);                                \
    } while (0)

/* Expects a status, and words in the message. */
#define FAILS(call, status, words)                                                                 \
    do {                                                                                           \
        lull_error err_ = {0};                                                                     \
        lull_error *err = &err_;                                                                   \
        lull_status st_ = (call);                                                                  \
        if (st_ != (status) || !strstr(err_.msg, words) || err_.code != (status))                  \
            fail_msg("%s: %s, \"%s\"; not %s with \"%s\"", #call, lull_status_name(st_), err_.msg, \
                     lull_status_name(status), words);                                             \
    } while (0)

/* How models keep keys and values; LONG's heads are too small for q8. */
__attribute__((unused)) static lull_kv_kind check_kv;
__attribute__((unused)) static lull_activations check_activations;

/* level NULL: the best here. No page outlives the sessions that hold it, so that what a test
 * evaluates is computed. */
static inline lull_model *open_model(const char *path, const char *level, int n_threads)
{
    lull_model *m;
    lull_model_options o = {.n_threads = n_threads,
                            .cpu_level = level ? level : "",
                            .cache_dir = "",
                            .kv = strcmp(path, LONG) == 0 ? LULL_KV_F16 : check_kv,
                            .activations = check_activations,
                            .keep_bytes = 1};
    OK(lull_model_open(path, &o, &m, err));
    return m;
}

static inline lull_session *new_session(lull_model *m, size_t n_ctx)
{
    lull_session *s;
    lull_session_options o = {.n_ctx = n_ctx};
    OK(lull_session_new(m, &o, &s, err));
    return s;
}

/* Ids without a pattern that a model's weights could share. */
static inline void fill_tokens(int32_t *tokens, size_t n, int n_vocab, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        tokens[i] = (int32_t)((uint64_t)seed * (uint64_t)n_vocab >> 32);
    }
}

#endif
