/* What state costs: sleeping, waking and forking over growing histories, beside a decode step and the
 * plain reading of the pages. Prints one JSON object for bench/state, which explains the figures.
 *
 *     bench-state MODEL FOLDER [N_TOKENS]
 *
 * FOLDER is made and left behind: a store. */
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

enum { TRIES = 15, N_STEPS = 5, N_FORKS = 1000 };

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct part {
    const uint64_t *words;
    size_t n;
    uint64_t sum;
} part;

static void *read_part(void *arg)
{
    part *p = arg;
    uint64_t sum[4] = {0};
    for (size_t i = 0; i + 4 <= p->n; i += 4)
        for (size_t k = 0; k < 4; k++) sum[k] += p->words[i + k];
    p->sum = sum[0] + sum[1] + sum[2] + sum[3];
    return NULL;
}

/* Bytes a millisecond of a mapped file's first look, by n threads: the largest segment. */
static double mapped_rate(const char *folder, int n_threads)
{
    char path[1024], best[2048] = "";
    off_t n_best = 0;
    snprintf(path, sizeof path, "%s/segments", folder);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char file[2048];
        struct stat info;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (stat(file, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= n_best) continue;
        n_best = info.st_size;
        strcpy(best, file);
    }
    if (dir) closedir(dir);
    double ms[TRIES];
    for (int i = 0; i < TRIES; i++) {
        int fd = open(best, O_RDONLY);
        double t0 = now_ms();
        void *map = mmap(NULL, (size_t)n_best, PROT_READ, MAP_SHARED, fd, 0);
        if (fd < 0 || map == MAP_FAILED) return 0;
        part parts[64];
        pthread_t threads[64];
        size_t n = (size_t)n_best / 8 / (size_t)n_threads / 512 * 512;
        for (int k = 0; k < n_threads; k++) {
            parts[k] = (part){.words = (const uint64_t *)map + (size_t)k * n, .n = n};
            pthread_create(&threads[k], NULL, read_part, &parts[k]);
        }
        for (int k = 0; k < n_threads; k++) pthread_join(threads[k], NULL);
        ms[i] = now_ms() - t0;
        munmap(map, (size_t)n_best);
        close(fd);
    }
    return (double)n_best / median(ms, TRIES);
}

/* The keys and values that going on after n tokens looks at: all of global layers, the window of sliding
 * ones, in whole pages. */
static double needed_bytes(lull_model *model, size_t n)
{
    lull_model_info info = lull_model_get_info(model);
    json_t *card = json_loads(lull_model_card(model), 0, NULL);
    size_t n_sliding =
        json_array_size(json_object_get(json_object_get(card, "kv"), "sliding_layers"));
    json_decref(card);
    double layer = (double)info.kv_token_bytes / info.n_layer;
    size_t window = (size_t)info.n_window + 64 < n ? (size_t)info.n_window + 64 : n;
    return layer * ((double)(info.n_layer - (int)n_sliding) * (double)n +
                    (double)n_sliding * (double)window);
}

/* ---- waking, sleeping, forking --------------------------------------------------------------- */

/* The model keeps no pages and the store is opened anew, so that each wake finds what a new process
 * would. */
static json_t *measure_wake(lull_model *model, const char *folder, const char *name,
                            size_t n_tokens)
{
    double wake[TRIES], first[TRIES], step[TRIES];
    for (int i = 0; i < TRIES; i++) {
        lull_store *store;
        lull_session *s;
        const float *logits;
        OK(lull_store_open(folder, NULL, &store, &err));
        double t0 = now_ms();
        OK(lull_wake(model, store, name, NULL, &s, &err));
        double t1 = now_ms();
        OK(lull_session_eval(s, (int32_t[]){17}, 1, &logits, &err));
        double t2 = now_ms();
        double steps[N_STEPS];
        for (int k = 0; k < N_STEPS; k++) {
            double t3 = now_ms();
            OK(lull_session_eval(s, (int32_t[]){18 + k}, 1, &logits, &err));
            steps[k] = now_ms() - t3;
        }
        step[i] = median(steps, N_STEPS);
        wake[i] = t1 - t0;
        first[i] = t2 - t1;
        lull_session_free(s);
        lull_store_close(store);
    }
    double n_bytes = needed_bytes(model, n_tokens);
    double rate = mapped_rate(folder, lull_model_get_info(model).n_threads);
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "tokens", (json_int_t)n_tokens, "wake_ms",
                     median(wake, TRIES), "first_ms", median(first, TRIES), "step_ms",
                     median(step, TRIES), "bytes", n_bytes, "read_ms",
                     rate > 0 ? n_bytes / rate : 0);
}

/* What one small durable write takes here. */
static double sync_ms(const char *folder)
{
    char path[1024], bytes[4096] = {1};
    double ms[TRIES];
    snprintf(path, sizeof path, "%s/sync-test", folder);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    for (int i = 0; i < TRIES; i++) {
        double t0 = now_ms();
        if (pwrite(fd, bytes, sizeof bytes, i * 4096) < 0 || fdatasync(fd) != 0) return -1;
        ms[i] = now_ms() - t0;
    }
    close(fd);
    unlink(path);
    return median(ms, TRIES);
}

static json_t *measure_sleep(lull_model *model, lull_store *store, const char *name,
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
    return json_pack("{s:I, s:f, s:f, s:I, s:I}", "tokens", (json_int_t)n_more, "ms",
                     median(ms, TRIES), "bytes", median(bytes, TRIES), "pages", (json_int_t)n_pages,
                     "page_bytes", (json_int_t)page_bytes);
}

static json_t *measure_forks(lull_model *model, lull_store *store, const char *name,
                             size_t n_tokens)
{
    static lull_session *forks[N_FORKS];
    lull_session *s;
    const float *logits;
    OK(lull_wake(model, store, name, &(lull_wake_options){.n_tokens = n_tokens}, &s, &err));
    OK(lull_session_eval(s, (int32_t[]){17}, 1, &logits, &err));
    double before = anonymous_bytes(), t0 = now_ms();
    for (int i = 0; i < N_FORKS; i++) OK(lull_session_fork(s, SIZE_MAX, &forks[i], &err));
    double memory_ms = (now_ms() - t0) / N_FORKS, memory = anonymous_bytes() - before;
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
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f}", "tokens", (json_int_t)n_tokens, "forks",
                     (json_int_t)N_FORKS, "memory_ms", memory_ms, "memory_bytes", memory, "disk_ms",
                     (now_ms() - t0) / N_FORKS, "disk_bytes", store_bytes(store) - disk);
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
    json_t *result = json_object(), *sleeps = json_array(), *wakes = json_array();
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
        json_array_append_new(sleeps,
                              json_pack("{s:I, s:I, s:f}", "tokens", (json_int_t)lengths[i], "new",
                                        (json_int_t)(lengths[i] - have), "ms", now_ms() - t0));
    }
    lull_session_free(s);
    /* All of it at once, as a file of its own would be written. */
    char all[1024];
    snprintf(all, sizeof all, "%s-all", argv[2]);
    lull_store *other;
    OK(lull_store_open(all, NULL, &other, &err));
    char name[32];
    snprintf(name, sizeof name, "n%zu", n);
    OK(lull_wake(model, store, name, NULL, &s, &err));
    OK(lull_session_eval(s, (int32_t[]){17}, 1, NULL, &err));
    double t0 = now_ms();
    OK(lull_sleep(s, other, &(lull_sleep_options){.name = name}, NULL, &err));
    json_object_set_new(result, "sleep_whole_ms", json_real(now_ms() - t0));
    lull_session_free(s);
    lull_model_close(model);
    lull_store_close(other);
    lull_store_close(store);
    OK(lull_model_open(argv[1], &(lull_model_options){.keep_bytes = 1}, &model, &err));
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "n%zu", lengths[i]);
        json_array_append_new(wakes, measure_wake(model, argv[2], name, lengths[i]));
    }
    lull_model_close(model);
    OK(lull_model_open(argv[1], NULL, &model, &err));
    OK(lull_store_open(argv[2], NULL, &store, &err));
    snprintf(name, sizeof name, "n%zu", n);
    json_object_set_new(result, "prefill_ms", json_real(read_ms));
    json_object_set_new(result, "sleeps", sleeps);
    json_object_set_new(result, "wakes", wakes);
    json_object_set_new(result, "sync_ms", json_real(sync_ms(argv[2])));
    json_object_set_new(result, "sleep_more", measure_sleep(model, store, name, tokens + n, 100));
    json_object_set_new(result, "forks", measure_forks(model, store, name, n / 2));
    json_object_set_new(result, "forks_of_all", measure_forks(model, store, name, n));
    json_dumpf(result, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(result);
    lull_model_close(model);
    lull_store_close(store);
    free(tokens);
    return 0;
}
