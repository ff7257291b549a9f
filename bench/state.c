/* What state costs: sleeping, waking and forking over growing histories, beside a decode step and the
 * reading of the pages. Prints a table; see README.md here.
 *
 *     bench-state MODEL FOLDER [N_TOKENS]
 *
 * FOLDER is made and left behind: a store per run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lull/lull.h"

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static lull_error err;

static void check(lull_status st, const char *what)
{
    if (st == LULL_OK) return;
    fprintf(stderr, "%s: %s\n", what, err.msg);
    exit(1);
}
#define OK(call) check(call, #call)

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

/* Resident memory that is not of files, in bytes. */
static double anonymous_bytes(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0;
    while (f && fgets(line, sizeof line, f)) sscanf(line, "RssAnon: %lf", &kib);
    if (f) fclose(f);
    return kib * 1024;
}

static double store_bytes(lull_store *store)
{
    lull_store_info info;
    OK(lull_store_get_info(store, &info, &err));
    return (double)(info.segment_bytes + info.catalog_bytes);
}

static void fill(int32_t *tokens, size_t n, int n_vocab)
{
    uint64_t x = 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        tokens[i] = (int32_t)((x >> 33) % (uint64_t)n_vocab);
    }
}

enum { TRIES = 7, N_FORKS = 1000 };

/* A model of its own for each wake, so that nothing is in memory. */
static void measure_wake(const char *path, const char *folder, const char *name, size_t n_tokens)
{
    double wake[TRIES], first[TRIES], step[TRIES];
    for (int i = 0; i < TRIES; i++) {
        lull_model *model;
        lull_store *store;
        lull_session *s;
        const float *logits;
        OK(lull_model_open(path, NULL, &model, &err));
        OK(lull_store_open(folder, NULL, &store, &err));
        double t0 = now_ms();
        OK(lull_wake(model, store, name, NULL, &s, &err));
        double t1 = now_ms();
        OK(lull_session_eval(s, (int32_t[]){17}, 1, &logits, &err));
        double t2 = now_ms();
        for (int k = 0; k < 8; k++) {
            double t3 = now_ms();
            OK(lull_session_eval(s, (int32_t[]){18 + k}, 1, &logits, &err));
            double t = now_ms() - t3;
            if (k == 0 || t < step[i]) step[i] = t;
        }
        wake[i] = t1 - t0;
        first[i] = t2 - t1;
        lull_session_free(s);
        lull_model_close(model);
        lull_store_close(store);
    }
    double w = median(wake, TRIES), f = median(first, TRIES), d = median(step, TRIES);
    printf("wake of %6zu tokens   %8.3f ms, first logits %8.2f ms, a decode step then %7.2f ms\n",
           n_tokens, w, f, d);
}

static void measure_sleep(lull_model *model, lull_store *store, const char *name,
                          const int32_t *more, size_t n_more)
{
    double ms[TRIES], bytes[TRIES];
    size_t page_bytes = (size_t)lull_model_get_info(model).kv_token_bytes * 64;
    size_t n_pages = 0;
    for (int i = 0; i < TRIES; i++) {
        lull_session *s;
        OK(lull_wake(model, store, name, NULL, &s, &err));
        size_t n = lull_session_n_tokens(s);
        n_pages = (n + n_more + 63) / 64 - n / 64;
        int32_t tokens[256];
        memcpy(tokens, more, n_more * sizeof *tokens);
        tokens[0] += i; /* other pages each time */
        OK(lull_session_eval(s, tokens, n_more, NULL, &err));
        double before = store_bytes(store), t0 = now_ms();
        OK(lull_sleep(s, store, &(lull_sleep_options){.name = "more"}, NULL, &err));
        ms[i] = now_ms() - t0;
        bytes[i] = store_bytes(store) - before;
        lull_session_free(s);
    }
    double b = median(bytes, TRIES);
    printf("sleep of %zu more      %8.2f ms, %.0f KiB written, of them %zu new pages of %.0f KiB, "
           "%.1f KiB else\n",
           n_more, median(ms, TRIES), b / 1024, n_pages, (double)page_bytes / 1024,
           (b - (double)(n_pages * page_bytes)) / 1024);
}

static void measure_forks(lull_model *model, lull_store *store, const char *name, size_t n_tokens)
{
    static lull_session *forks[N_FORKS];
    lull_session *s;
    const float *logits;
    OK(lull_wake(model, store, name, &(lull_wake_options){.n_tokens = n_tokens}, &s, &err));
    OK(lull_session_eval(s, (int32_t[]){17}, 1, &logits, &err));
    double before = anonymous_bytes(), t0 = now_ms();
    for (int i = 0; i < N_FORKS; i++) OK(lull_session_fork(s, SIZE_MAX, &forks[i], &err));
    double ms = now_ms() - t0;
    printf("1,000 forks of %zu    %8.4f ms each, %.1f MB of memory\n", n_tokens, ms / N_FORKS,
           (anonymous_bytes() - before) / 1e6);
    for (int i = 0; i < N_FORKS; i++) lull_session_free(forks[i]);
    lull_session_free(s);
    int64_t id, out;
    size_t token;
    OK(lull_store_resolve(store, name, &id, &token, &err));
    double disk = store_bytes(store);
    t0 = now_ms();
    for (int i = 0; i < N_FORKS; i++) {
        char fork[32];
        snprintf(fork, sizeof fork, "fork-%d", i);
        OK(lull_store_fork(store, id, n_tokens, NULL, fork, -1, &out, &err));
    }
    printf("1,000 forks on disk     %8.4f ms each, %.1f MB\n", (now_ms() - t0) / N_FORKS,
           (store_bytes(store) - disk) / 1e6);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench-state MODEL FOLDER [N_TOKENS]\n");
        return 2;
    }
    size_t n = argc > 3 ? strtoul(argv[3], NULL, 10) : 8000;
    lull_model *model;
    lull_store *store;
    lull_session *s;
    OK(lull_model_open(argv[1], NULL, &model, &err));
    OK(lull_store_open(argv[2], NULL, &store, &err));
    lull_model_info info = lull_model_get_info(model);
    int32_t *tokens = malloc((n + 256) * sizeof *tokens);
    if (!tokens) return 1;
    fill(tokens, n + 256, info.n_vocab - 100);
    OK(lull_session_new(model, &(lull_session_options){.n_ctx = n + 256}, &s, &err));
    size_t lengths[] = {n / 64, n / 8, n / 2, n};
    double read_ms = 0;
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%zu", lengths[i]);
        size_t have = lull_session_n_tokens(s);
        double t0 = now_ms();
        OK(lull_session_eval(s, tokens + have, lengths[i] - have, NULL, &err));
        read_ms += now_ms() - t0;
        t0 = now_ms();
        OK(lull_sleep(s, store, &(lull_sleep_options){.name = name}, NULL, &err));
        printf("sleep of %zu tokens, %zu of them new: %.1f ms\n", lengths[i], lengths[i] - have,
               now_ms() - t0);
    }
    printf("reading %zu tokens took %.0f ms\n", n, read_ms);
    lull_session_free(s);
    lull_model_close(model);
    lull_store_close(store);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%zu", lengths[i]);
        measure_wake(argv[1], argv[2], name, lengths[i]);
    }
    OK(lull_model_open(argv[1], NULL, &model, &err));
    OK(lull_store_open(argv[2], NULL, &store, &err));
    char name[32];
    snprintf(name, sizeof name, "n%zu", n);
    measure_sleep(model, store, name, tokens + n, 100);
    measure_forks(model, store, name, n / 2);
    measure_forks(model, store, name, n);
    lull_model_close(model);
    lull_store_close(store);
    free(tokens);
    return 0;
}
