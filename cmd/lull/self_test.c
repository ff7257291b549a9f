#include "self_test.h"

#include <stdarg.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "format.h"

enum { N_READ = 700, N_NEXT = 20, N_ALL = N_READ + N_NEXT, N_KILLS = 12 };

typedef struct test {
    const char *path;
    int n_threads;
    lull_cmd_numerics numerics;
    char folder[64];
    lull_model *model;
    lull_store *store;
    int32_t tokens[N_ALL];
    size_t n_vocab;
    float *cold;      /* [N_NEXT][n_vocab]: never interrupted, alone */
    lull_buffer told; /* of the promise in progress */
    json_t *lines;    /* array */
    bool as_json, has_failed;
} test;

/* ---- telling -------------------------------------------------------------------------------- */

static void tell(test *t, const char *promise, const char *words, bool is_kept)
{
    const char *told = t->told.data ? t->told.data : "";
    t->has_failed |= !is_kept;
    json_array_append_new(t->lines, json_pack("{s:s, s:s, s:b, s:s}", "promise", promise, "words",
                                              words, "kept", (int)is_kept, "told", told));
    if (!t->as_json)
        printf("%s  %-22s %-7s %s\n", promise, words, is_kept ? "kept" : "BROKEN", told);
    fflush(stdout);
    lull_buffer_clear(&t->told);
}

/* Note what went wrong, and say false. */
static bool LULL_PRINTF(2, 3) wrong(test *t, const char *fmt, ...)
{
    char text[320];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    lull_buffer_printf(&t->told, "%s%s", t->told.n_bytes > 0 ? "; " : "", text);
    return false;
}

/* ---- pieces --------------------------------------------------------------------------------- */

static bool keep_row(void *user, size_t index, const float *logits)
{
    float **rows = user;
    size_t n_vocab = (size_t)(rows[1] - rows[0]);
    memcpy(rows[0] + index * n_vocab, logits, n_vocab * sizeof *logits);
    return true;
}

/* The logits after each of the last N_NEXT tokens; owned, NULL on failure. */
static float *next_rows(const test *t, lull_session *s, lull_error *err)
{
    float *data = malloc(N_NEXT * t->n_vocab * sizeof *data);
    float *rows[2] = {data, data ? data + t->n_vocab : NULL};
    if (!data) {
        (void)lull_fail(err, LULL_ENOMEM, "no memory for logits");
    } else if (lull_session_eval_each(s, t->tokens + N_READ, N_NEXT, keep_row, rows, err) !=
               LULL_OK) {
        free(data);
        data = NULL;
    }
    return data;
}

/* s ends behind the N_READ tokens: does it go on as the cold run did? It is freed. */
static bool is_cold(test *t, lull_session *s, const char *what)
{
    lull_error err;
    float *rows = next_rows(t, s, &err);
    bool is_same = rows && memcmp(rows, t->cold, N_NEXT * t->n_vocab * sizeof *rows) == 0;
    if (!rows)
        (void)wrong(t, "%s: %s", what, err.msg);
    else if (!is_same)
        (void)wrong(t, "%s: other logits", what);
    free(rows);
    lull_session_free(s);
    return is_same;
}

static lull_status open_all(test *t, lull_error *err)
{
    char path[96];
    lull_model_options options = {.n_threads = t->n_threads, .keep_bytes = 1};
    lull_status st = lull_cmd_numerics_parse(&t->numerics, &options.kv, &options.activations, err);
    if (st == LULL_OK) st = lull_model_open(t->path, &options, &t->model, err);
    snprintf(path, sizeof path, "%s/store", t->folder);
    return st == LULL_OK ? lull_store_open(path, NULL, &t->store, err) : st;
}

static void close_all(test *t)
{
    lull_model_close(t->model);
    lull_store_close(t->store);
    t->model = NULL;
    t->store = NULL;
}

/* As another process would find things. */
static bool reopen(test *t)
{
    lull_error err;
    close_all(t);
    return open_all(t, &err) == LULL_OK || wrong(t, "%s", err.msg);
}

static bool read_cold(test *t, size_t n_steps, lull_session **out)
{
    lull_error err;
    lull_session_options options = {.n_ctx = N_ALL};
    lull_session *s = NULL;
    lull_status st = lull_session_new(t->model, &options, &s, &err);
    size_t step = (N_READ + n_steps - 1) / n_steps;
    for (size_t i = 0; i < N_READ && st == LULL_OK; i += step)
        st = lull_session_eval(s, t->tokens + i, N_READ - i < step ? N_READ - i : step, NULL, &err);
    *out = s;
    if (st == LULL_OK) return true;
    lull_session_free(s);
    return wrong(t, "%s", err.msg);
}

static bool wake(test *t, lull_store *store, const char *name, bool re_reads, lull_session **out)
{
    lull_error err;
    lull_wake_options options = {.n_ctx = N_ALL, .re_reads = re_reads};
    if (lull_wake(t->model, store, name, &options, out, &err) == LULL_OK) return true;
    return wrong(t, "waking %s: %s", name, err.msg);
}

static bool sleep_as(test *t, lull_session *s, const char *name)
{
    lull_error err;
    lull_sleep_options options = {.name = name};
    if (lull_sleep(s, t->store, &options, NULL, &err) == LULL_OK) return true;
    return wrong(t, "sleeping: %s", err.msg);
}

/* ---- P1: warm equals cold -------------------------------------------------------------------- */

/* `lull logits` in a process of its own. */
static bool is_cold_elsewhere(test *t)
{
    char out[96], store[96], tokens[N_NEXT * 12] = "", self[] = "/proc/self/exe";
    for (size_t i = 0; i < N_NEXT; i++)
        snprintf(tokens + strlen(tokens), 12, "%s%d", i > 0 ? "," : "", t->tokens[N_READ + i]);
    snprintf(out, sizeof out, "%s/rows.npy", t->folder);
    snprintf(store, sizeof store, "%s/store", t->folder);
    const lull_cmd_numerics *n = &t->numerics;
    pid_t pid = fork();
    if (pid == 0) { /* "" is the default */
        execl(self, "lull", "logits", t->path, "--kv", n->kv ? n->kv : "", "--activations",
              n->activations ? n->activations : "", "--store", store, "--wake", "whole", "--tokens",
              tokens, "-o", out, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return wrong(t, "a new process: exit status %d", status);
    size_t n_bytes = N_NEXT * t->n_vocab * sizeof(float);
    float *rows = malloc(n_bytes);
    FILE *f = fopen(out, "rb");
    bool is_same = rows && f && fseek(f, -(long)n_bytes, SEEK_END) == 0 &&
                   fread(rows, 1, n_bytes, f) == n_bytes && memcmp(rows, t->cold, n_bytes) == 0;
    if (f) fclose(f);
    free(rows);
    return is_same || wrong(t, "a new process: other logits");
}

static bool transfer(test *t)
{
    char file[96], empty[96];
    lull_error err;
    lull_store *store = NULL, *in_place = NULL;
    lull_session *s;
    int64_t id, *ids = NULL;
    size_t token, n;
    snprintf(file, sizeof file, "%s/whole.lull", t->folder);
    snprintf(empty, sizeof empty, "%s/empty", t->folder);
    lull_status st = lull_store_resolve(t->store, "whole", &id, &token, &err);
    if (st == LULL_OK) st = lull_store_export(t->store, &id, 1, NULL, file, &err);
    if (st == LULL_OK) st = lull_store_open(empty, NULL, &store, &err);
    if (st == LULL_OK) st = lull_store_import(store, file, false, &ids, &n, &err);
    if (st == LULL_OK) st = lull_store_open_export(file, &in_place, &err);
    lull_free(ids);
    bool is_kept = st == LULL_OK || wrong(t, "export and import: %s", err.msg);
    if (is_kept)
        is_kept = wake(t, store, "whole", false, &s) && is_cold(t, s, "imported") &&
                  wake(t, in_place, "whole", false, &s) && is_cold(t, s, "woken in place");
    is_kept = reopen(t) && is_kept; /* the model may have pages of both */
    lull_store_close(store);
    lull_store_close(in_place);
    return is_kept;
}

static bool warm_is_cold(test *t)
{
    lull_session *s, *fork = NULL, *fork_of_fork = NULL;
    lull_error err;
    bool is_kept = read_cold(t, 1, &s);
    if (!is_kept) return false;
    t->cold = next_rows(t, s, &err);
    lull_session_free(s);
    if (!t->cold) return wrong(t, "%s", err.msg);
    is_kept = read_cold(t, 9, &s) && sleep_as(t, s, "whole") && is_cold(t, s, "in nine pieces");
    is_kept =
        is_kept && reopen(t) && wake(t, t->store, "whole", false, &s) && is_cold(t, s, "woken");
    is_kept = is_kept && is_cold_elsewhere(t);
    /* A fork of a fork at an inner token, which then reads the rest. */
    if (is_kept && wake(t, t->store, "whole", false, &s)) {
        lull_status st = lull_session_fork(s, 600, &fork, &err);
        if (st == LULL_OK) st = lull_session_fork(fork, 333, &fork_of_fork, &err);
        if (st == LULL_OK)
            st = lull_session_eval(fork_of_fork, t->tokens + 333, N_READ - 333, NULL, &err);
        is_kept = st == LULL_OK ? is_cold(t, fork_of_fork, "a fork of a fork")
                                : wrong(t, "forking: %s", err.msg);
        lull_session_free(fork);
        lull_session_free(s);
    }
    /* Evicted, since nothing is kept in memory, and found again by a prompt. */
    if (is_kept) {
        lull_model_use_store(t->model, t->store);
        is_kept = read_cold(t, 1, &s);
        if (is_kept && lull_session_reuse(s).from_disk < N_READ / 64 * 64 - 64)
            is_kept = wrong(t, "a prompt found nothing in the store");
        is_kept = is_kept && is_cold(t, s, "from the store");
        lull_model_use_store(t->model, NULL);
    }
    is_kept = is_kept && transfer(t);
    if (is_kept) {
        lull_store_gc_report report;
        lull_store_gc_options options = {.is_thinning = true};
        is_kept = lull_store_gc(t->store, &options, &report, &err) == LULL_OK ||
                  wrong(t, "gc: %s", err.msg);
        is_kept = is_kept && wake(t, t->store, "whole", false, &s) && is_cold(t, s, "after gc");
    }
    if (is_kept)
        lull_buffer_printf(&t->told,
                           "in pieces, woken, in a new process, forked, evicted, exported, "
                           "imported, after gc: %d x %zu logits the same",
                           N_NEXT, t->n_vocab);
    return is_kept;
}

/* ---- P2: state is cheap ---------------------------------------------------------------------- */

static bool is_cheap(test *t)
{
    lull_session *s, *fork;
    lull_store_info before, after;
    lull_error err;
    char a[LULL_FORMAT_CAP], b[LULL_FORMAT_CAP], c[LULL_FORMAT_CAP], d[LULL_FORMAT_CAP];
    if (!reopen(t)) return false;
    double t0 = lull_clock_ms();
    if (!wake(t, t->store, "whole", false, &s)) return false;
    double woken_ms = lull_clock_ms() - t0;
    t0 = lull_clock_ms();
    lull_status st = lull_session_fork(s, SIZE_MAX, &fork, &err);
    double forked_ms = lull_clock_ms() - t0;
    if (st == LULL_OK) st = lull_session_eval(fork, t->tokens + N_READ, N_NEXT, NULL, &err);
    if (st == LULL_OK) st = lull_store_get_info(t->store, &before, &err);
    t0 = lull_clock_ms();
    bool is_kept = st == LULL_OK ? sleep_as(t, fork, "more") : wrong(t, "%s", err.msg);
    double slept_ms = lull_clock_ms() - t0;
    if (is_kept && lull_store_get_info(t->store, &after, &err) != LULL_OK)
        is_kept = wrong(t, "%s", err.msg);
    lull_session_free(fork);
    lull_session_free(s);
    if (!is_kept) return false;
    uint64_t written = after.segment_bytes - before.segment_bytes;
    uint64_t page = lull_model_get_info(t->model).kv_token_bytes * 64;
    is_kept = woken_ms < 20 && forked_ms < 2 && written <= 2 * page + 128 * 1024;
    lull_buffer_printf(&t->told, "wake %s, fork %s, sleep of %d new tokens %s and %s",
                       lull_format_ms(a, woken_ms), lull_format_ms(b, forked_ms), N_NEXT,
                       lull_format_ms(c, slept_ms), lull_format_bytes(d, written));
    return is_kept;
}

/* ---- P3: never silently wrong ---------------------------------------------------------------- */

static int flip_byte(const char *path, const struct stat *info, int type, struct FTW *at)
{
    enum { FIRST_PLANE = 3 * 4096 }; /* behind the header and the first record's frame */
    uint8_t byte = 0;
    (void)at;
    if (type != FTW_F || !strstr(path, ".seg") || info->st_size <= FIRST_PLANE + 100) return 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool is_flipped = fd >= 0 && pread(fd, &byte, 1, FIRST_PLANE + 99) == 1;
    byte ^= 16;
    is_flipped = is_flipped && pwrite(fd, &byte, 1, FIRST_PLANE + 99) == 1;
    if (fd >= 0) close(fd);
    return is_flipped ? 1 : 0; /* one is enough */
}

static bool is_never_wrong(test *t)
{
    lull_judgement j;
    lull_error err;
    lull_session *s;
    json_t *card = json_loads(lull_model_card(t->model), 0, NULL);
    json_t *kv = json_object_get(card, "kv");
    const char *key;
    json_t *value;
    void *next;
    size_t n_fields = 0;
    bool is_kept = kv != NULL;
    json_object_foreach_safe(kv, next, key, value)
    {
        json_incref(value);
        json_object_set_new(kv, key, json_string("another"));
        char *text = json_dumps(card, JSON_COMPACT);
        if (lull_judge(t->model, text ? text : "", &j, &err) != LULL_OK ||
            j.verdict == LULL_VERDICT_SAME || strcmp(j.fields[0].name, key) != 0)
            is_kept = wrong(t, "a card with another %s is not told apart", key);
        free(text);
        json_object_set_new(kv, key, value);
        n_fields++;
    }
    json_decref(card);
    close_all(t);
    char segments[96];
    snprintf(segments, sizeof segments, "%s/store/segments", t->folder);
    if (nftw(segments, flip_byte, 8, FTW_PHYS) != 1) is_kept = wrong(t, "no byte could be flipped");
    if (open_all(t, &err) != LULL_OK) return wrong(t, "%s", err.msg);
    if (!wake(t, t->store, "whole", false, &s)) return false;
    lull_status st = lull_session_eval(s, t->tokens, 1, NULL, &err);
    if (st != LULL_ECORRUPT) is_kept = wrong(t, "a flipped byte was not found");
    lull_session_free(s);
    is_kept = wake(t, t->store, "whole", true, &s) && is_cold(t, s, "read again") && is_kept;
    if (is_kept)
        lull_buffer_printf(
            &t->told, "%zu fields of the card told apart; a flipped byte found, and read again",
            n_fields);
    return is_kept;
}

/* ---- P4: nothing is lost --------------------------------------------------------------------- */

/* A writer that sleeps until it is killed; a byte to the pipe after each acknowledged sleep. */
static void write_until_killed(test *t, int n_child, int to_parent)
{
    char name[32];
    lull_error err;
    lull_session *s;
    lull_sleep_options options = {.name = name};
    if (open_all(t, &err) != LULL_OK || !read_cold(t, 1, &s)) _exit(1);
    for (int i = 0;; i++) {
        snprintf(name, sizeof name, "killed-%d-%d", n_child, i);
        lull_session_truncate(s, N_READ - (size_t)(i % 600));
        if (lull_sleep(s, t->store, &options, NULL, &err) != LULL_OK) _exit(2);
        if (write(to_parent, "+", 1) != 1) _exit(3);
        if (lull_session_n_tokens(s) == N_READ - 599) _exit(0);
    }
}

static bool are_all_there(test *t, int n_child, size_t n_acknowledged)
{
    for (size_t i = 0; i < n_acknowledged; i++) {
        char name[48];
        lull_session *s;
        snprintf(name, sizeof name, "killed-%d-%zu", n_child, i);
        if (!wake(t, t->store, name, false, &s)) return false;
        size_t n = lull_session_n_tokens(s);
        bool is_same = n == N_READ - i % 600 &&
                       memcmp(lull_session_tokens(s), t->tokens, n * sizeof *t->tokens) == 0;
        lull_session_free(s);
        if (!is_same) return wrong(t, "%s is not what was put to sleep", name);
    }
    return true;
}

static bool is_nothing_lost(test *t)
{
    size_t n_all = 0, n_bad = 0;
    bool is_kept = true;
    lull_error err;
    close_all(t);
    for (int i = 0; i < N_KILLS && is_kept; i++) {
        int fds[2];
        char told[1024];
        size_t n = 0;
        if (pipe(fds) != 0) return wrong(t, "no pipe");
        pid_t pid = fork();
        if (pid == 0) {
            close(fds[0]);
            write_until_killed(t, i, fds[1]);
        }
        close(fds[1]);
        /* Some sleeps, then a moment that is never the same. */
        while (n < 3 + (size_t)i && read(fds[0], told, 1) == 1) n++;
        usleep((useconds_t)(i * 397 % 3000));
        kill(pid, SIGKILL);
        for (ssize_t got; (got = read(fds[0], told, sizeof told)) > 0;) n += (size_t)got;
        close(fds[0]);
        waitpid(pid, NULL, 0);
        if (open_all(t, &err) != LULL_OK) return wrong(t, "after a kill: %s", err.msg);
        is_kept = are_all_there(t, i, n);
        if (n == 0) is_kept = wrong(t, "a writer could not write");
        n_all += n;
        close_all(t);
    }
    if (open_all(t, &err) != LULL_OK) return wrong(t, "%s", err.msg);
    /* The byte that was flipped before is the one finding. */
    if (lull_store_verify(t->store, NULL, NULL, &n_bad, &err) != LULL_OK || n_bad > 1)
        is_kept = wrong(t, "verify has %zu findings", n_bad);
    if (is_kept)
        lull_buffer_printf(&t->told, "%d writers killed; all of %zu acknowledged states are there",
                           N_KILLS, n_all);
    return is_kept;
}

/* ---- all ------------------------------------------------------------------------------------ */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

static lull_status set_up(test *t, lull_error *err)
{
    const char *parent = getenv("TMPDIR");
    lull_status st = LULL_OK;
    int n = snprintf(t->folder, sizeof t->folder, "%s/lull-self-XXXXXX", parent ? parent : "/tmp");
    if (n < 0 || (size_t)n >= sizeof t->folder || !mkdtemp(t->folder)) {
        t->folder[0] = '\0';
        return lull_fail(err, LULL_EIO, "cannot make a folder in %.60s: %s",
                         parent ? parent : "/tmp", strerror(errno));
    }
    st = open_all(t, err);
    if (st != LULL_OK) return st;
    t->n_vocab = (size_t)lull_model_get_info(t->model).n_vocab;
    uint32_t x = 1;
    for (size_t i = 0; i < N_ALL; i++) {
        x = x * 1664525 + 1013904223;
        t->tokens[i] = (int32_t)((uint64_t)x * t->n_vocab >> 32);
    }
    return LULL_OK;
}

int lull_self_test(const char *model, int n_threads, lull_cmd_numerics numerics, bool as_json)
{
    static test t;
    lull_error err;
    t = (test){.path = model,
               .n_threads = n_threads,
               .numerics = numerics,
               .as_json = as_json,
               .lines = json_array()};
    lull_status st = set_up(&t, &err);
    if (st == LULL_OK) {
        bool is_usable = warm_is_cold(&t);
        tell(&t, "P1", "warm equals cold", is_usable);
        if (is_usable) {
            tell(&t, "P2", "state is cheap", is_cheap(&t));
            tell(&t, "P3", "never silently wrong", is_never_wrong(&t));
            tell(&t, "P4", "nothing is lost", is_nothing_lost(&t));
        }
    }
    close_all(&t);
    free(t.cold);
    lull_buffer_fini(&t.told);
    if (t.folder[0]) nftw(t.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (st != LULL_OK) {
        json_decref(t.lines);
        return lull_cmd_fail("verify", &err);
    }
    if (as_json && lull_cmd_print_json(t.lines) != LULL_EXIT_OK) return LULL_EXIT_FAILED;
    if (!as_json) json_decref(t.lines);
    return t.has_failed ? LULL_EXIT_FAILED : LULL_EXIT_OK;
}
