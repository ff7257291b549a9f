/* The store: what is put to sleep wakes with the same bytes, whoever else is at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "catalog.h"
#include "clock.h"
#include "file.h"
#include "store_check.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        lull_status status_ = (call);                                                              \
        if (status_ != LULL_OK) fail_msg("%s: %s: %s", #call, lull_status_name(status_), err.msg); \
    } while (0)
#define FAILS(status, call)                                                                        \
    do {                                                                                           \
        lull_status status_ = (call);                                                              \
        if (status_ != (status))                                                                   \
            fail_msg("%s: %s, not %s", #call, lull_status_name(status_), #status);                 \
    } while (0)

static lull_error err;
static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    temp_folder(folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

/* What another process does in the midst of a call: act, once, just before the lock of a file whose
 * name ends so is taken (LOCK_EX) or given back (LOCK_UN). flock comes here before it goes to the
 * system. */
static struct meanwhile {
    const char *name;
    int operation;
    void (*act)(void);
} meanwhile;

static bool ends_in(int fd, const char *name)
{
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    size_t n_name = strlen(name);
    return n >= (ssize_t)n_name && memcmp(path + n - n_name, name, n_name) == 0;
}

int flock(int fd, int operation)
{
    struct meanwhile now = meanwhile;
    if (now.act && (operation & ~LOCK_NB) == now.operation && ends_in(fd, now.name)) {
        meanwhile.act = NULL;
        now.act();
    }
    return (int)syscall(SYS_flock, fd, operation);
}

/* A disk that goes bad: of the syncs of segments some succeed, then some fail; is_full: from the first
 * failure on there is no room for a new segment. */
static struct disk {
    int n_good, n_bad;
    bool is_full, has_failed;
} disk;

int fdatasync(int fd)
{
    if (disk.n_good + disk.n_bad > 0 && ends_in(fd, ".seg") && disk.n_good-- <= 0) {
        disk.n_good = 0;
        disk.n_bad--;
        disk.has_failed = true;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int rename(const char *from, const char *to)
{
    if (disk.is_full && disk.has_failed && strstr(from, ".new")) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static lull_store *open_store(void)
{
    lull_store *s;
    OK(lull_store_open(folder, NULL, &s, &err));
    return s;
}

static void assert_wakes(lull_store *s, int64_t id, const made *m)
{
    lull_status st;
    const char *wrong = wake_wrong(s, id, m->tokens, m->n_tokens, &st, &err);
    if (wrong) fail_msg("state #%lld: %s", (long long)id, wrong);
    if (st != LULL_OK) fail_msg("state #%lld: %s", (long long)id, err.msg);
}

/* Lengths around pages' ends; names, tags, cards and history; then all again from another handle. */
static void test_round_trip(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 63, 64, 65, 511, 512, 513, 700, 1100};
    enum { N = sizeof lengths / sizeof *lengths };
    lull_store *s = open_store();
    made *m[N];
    int64_t ids[N];
    for (int i = 0; i < N; i++) {
        char name[32];
        m[i] = make(1, lengths[i] / 2, (uint64_t)i + 10, lengths[i]);
        static const char *const tags[] = {"even", "größer"};
        m[i]->draft.tags = tags;
        m[i]->draft.n_tags = (size_t)i % 3;
        m[i]->draft.parent = i > 0 ? ids[i - 1] : 0;
        snprintf(name, sizeof name, "doc %d", i / 2);
        OK(sleep_made(s, m[i], name, -1, &ids[i], &err));
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < N; i++) {
            lull_store_state got;
            OK(lull_store_get(s, ids[i], true, &got, &err));
            assert_int_equal(got.n_tokens, lengths[i]);
            assert_int_equal(got.parent, i > 0 ? ids[i - 1] : 0);
            assert_string_equal(got.card, "{\"model\":\"a test\"}");
            assert_string_equal(got.session, "{\"position\":1}");
            assert_int_equal(got.n_names, i % 2);
            assert_int_equal(got.n_tags, i % 3);
            assert_true(got.own_bytes <= got.bytes);
            lull_store_state_fini(&got);
            assert_wakes(s, ids[i], m[i]);
            char text[64];
            int n = snprintf(text, sizeof text, "doc %d@{%d}:", i / 2, 1 - i % 2);
            int64_t id;
            size_t token;
            snprintf(text + n, sizeof text - (size_t)n, "%zu", lengths[i]);
            OK(lull_store_resolve(s, text, &id, &token, &err));
            assert_int_equal(id, ids[i]);
            assert_int_equal(token, lengths[i]);
            snprintf(text + n, sizeof text - (size_t)n, "%zu", lengths[i] + 1);
            FAILS(LULL_EINVAL, lull_store_resolve(s, text, &id, &token, &err));
        }
        lull_store_close(s);
        s = open_store();
    }
    for (int i = 0; i < N; i++) unmake(m[i]);
    lull_store_close(s);
}

/* ---- sharing ---------------------------------------------------------------------------------- */

/* A thousand forks of 4,000 tokens, by name and by sleep, cost their page lists. */
static void test_sharing(void **state)
{
    (void)state;
    enum { N_FORKS = 1000 };
    lull_store *s = open_store();
    made *m = make(3, 4000, 3, 4000);
    int64_t base, id;
    OK(sleep_made(s, m, "base", 0, &base, &err));
    uint64_t before = tree_bytes(folder);
    int64_t start_ns = lull_clock_ns();
    for (int i = 0; i < N_FORKS; i++) {
        char name[32];
        snprintf(name, sizeof name, "fork %d", i);
        m->draft.parent = base;
        OK(lull_store_sleep(s, &m->draft, name, 0, &id, &err));
    }
    uint64_t cost = tree_bytes(folder) - before;
    print_message("a fork by sleep: %.3f ms, %d forks of 4000 tokens take %.1f MB\n",
                  (double)(lull_clock_ns() - start_ns) * 1e-6 / N_FORKS, N_FORKS,
                  (double)cost * 1e-6);
    assert_true(cost < 50u << 20);
    assert_wakes(s, id, m);
    lull_store_info info;
    OK(lull_store_get_info(s, &info, &err));
    assert_int_equal(info.n_states, N_FORKS + 1);
    assert_int_equal(info.n_pages, 63);
    lull_store_state got;
    OK(lull_store_get(s, id, true, &got, &err));
    assert_true(got.own_bytes < 16384 && got.bytes > 62 * (PLANE0_BYTES + PLANE1_BYTES));
    lull_store_state_fini(&got);
    unmake(m);
    lull_store_close(s);
}

/* The costs of promise P2, at a model's page sizes; printed, and bounded far above the noise. */
static void test_costs(void **state)
{
    (void)state;
    enum { PLANE = 1 << 20, N = 20 };
    lull_store *s = open_store();
    made *m = make(4, 8000, 4, 8000);
    make_pages(m, 8000, PLANE, 0);
    int64_t id;
    OK(sleep_made(s, m, "long", 0, &id, &err));
    double best_map = 1e9, best_sleep = 1e9;
    for (int i = 0; i < N; i++) {
        lull_store_view views[MAX_PAGES];
        lull_store *other = open_store();
        int64_t start_ns = lull_clock_ns();
        OK(lull_store_map(other, id, views, &err));
        double ms = (double)(lull_clock_ns() - start_ns) * 1e-6;
        if (ms < best_map) best_map = ms;
        lull_store_unpin(other, views, 125);
        lull_store_close(other);
    }
    for (int i = 0; i < 5; i++) {
        for (int k = 8000; k < 8100; k++) m->tokens[k] = i * 100 + k;
        make_pages(m, 8100, PLANE, 0);
        lull_store_info a, b;
        OK(lull_store_get_info(s, &a, &err));
        int64_t start_ns = lull_clock_ns();
        OK(sleep_made(s, m, "long", -1, &id, &err));
        double ms = (double)(lull_clock_ns() - start_ns) * 1e-6;
        if (ms < best_sleep) best_sleep = ms;
        OK(lull_store_get_info(s, &b, &err));
        assert_in_range(b.segment_bytes - a.segment_bytes, 1, 2 * PLANE + 65536);
    }
    print_message("map of 8000 tokens in a new process: %.3f ms\n", best_map);
    print_message("sleep of 100 tokens on 8000 (2 pages of 1 MiB): %.2f ms\n", best_sleep);
    assert_true(best_map < 50);
    unmake(m);
    lull_store_close(s);
}

/* ---- names ------------------------------------------------------------------------------------ */

static void test_names(void **state)
{
    (void)state;
    lull_store *s = open_store();
    made *m = make(5, 70, 5, 70);
    int64_t a, b, id;
    size_t token;
    OK(sleep_made(s, m, "one", 0, &a, &err));
    FAILS(LULL_EEXIST, lull_store_sleep(s, &m->draft, "one", 0, &b, &err));
    assert_non_null(strstr(err.msg, "one"));
    FAILS(LULL_EEXIST, lull_store_sleep(s, &m->draft, "one", a + 5, &b, &err));
    OK(lull_store_sleep(s, &m->draft, "one", a, &b, &err));
    OK(lull_store_resolve(s, "one", &id, &token, &err));
    assert_int_equal(id, b);
    assert_true(token == SIZE_MAX);
    OK(lull_store_resolve(s, "one@{1}", &id, &token, &err));
    assert_int_equal(id, a);
    FAILS(LULL_ENOTFOUND, lull_store_resolve(s, "one@{2}", &id, &token, &err));
    FAILS(LULL_ENOTFOUND, lull_store_resolve(s, "on", &id, &token, &err));
    assert_non_null(strstr(err.msg, "did you mean one"));
    char text[32];
    snprintf(text, sizeof text, "#%lld:64", (long long)a);
    OK(lull_store_resolve(s, text, &id, &token, &err));
    assert_true(id == a && token == 64);
    static const char *const bad[] = {"",     "-a",     "a/b",  "a@b",  "a@{x}", "a:",       "a:b",
                                      "#",    "#0",     "#x",   "a\nb", "\xff",  "\xc2\x80", "a@{1",
                                      "a@1}", "#1@{1}", "a b:", "@{1}", ":5",    "a@{}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lull_status st = lull_store_resolve(s, bad[i], &id, &token, &err);
        if (st != LULL_EINVAL) fail_msg("'%s' gives %s", bad[i], lull_status_name(st));
    }
    char longest[LULL_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[LULL_NAME_MAX + 1] = '\0';
    FAILS(LULL_EINVAL, lull_store_set_name(s, longest, a, -1, &err));
    longest[LULL_NAME_MAX] = '\0';
    OK(lull_store_set_name(s, longest, a, 0, &err));
    FAILS(LULL_EEXIST, lull_store_rename(s, "one", longest, &err));
    FAILS(LULL_ENOTFOUND, lull_store_rename(s, "two", "three", &err));
    FAILS(LULL_ENOTFOUND, lull_store_set_name(s, "n", 999, -1, &err));
    OK(lull_store_rename(s, "one", "two", &err));
    lull_store_move *moves;
    size_t n;
    OK(lull_store_history(s, "two", &moves, &n, &err));
    assert_true(n == 2 && moves[0].state == b && moves[1].state == a);
    free(moves);
    OK(lull_store_set_tag(s, a, "kept", true, &err));
    OK(lull_store_set_tag(s, a, "gone", true, &err));
    OK(lull_store_set_tag(s, a, "gone", false, &err));
    OK(lull_store_remove_name(s, longest, &err));
    FAILS(LULL_ENOTFOUND, lull_store_resolve(s, longest, &id, &token, &err));
    lull_store_state got;
    OK(lull_store_get(s, a, false, &got, &err));
    assert_true(got.n_names == 0 && got.n_tags == 1);
    assert_string_equal(got.tags[0], "kept");
    lull_store_state_fini(&got);
    /* A page that is nowhere. */
    lull_store *other = open_store();
    made *m2 = make(6, 128, 6, 128);
    FAILS(LULL_ENOTFOUND, lull_store_sleep(other, &m2->draft, "none", 0, &id, &err));
    FAILS(LULL_ENOTFOUND, lull_store_resolve(other, "none", &id, &token, &err));
    lull_store_close(other);
    unmake(m2);
    unmake(m);
    lull_store_close(s);
}

/* ---- the catalogue from the segments ---------------------------------------------------------- */

/* All that there is to know of a store, as text. */
static char *describe(lull_store *s)
{
    char *text = NULL;
    size_t n_text = 0, n;
    FILE *f = open_memstream(&text, &n_text);
    int64_t *ids;
    OK(lull_store_list(s, &ids, &n, &err));
    for (size_t i = 0; i < n; i++) {
        lull_store_state got;
        OK(lull_store_get(s, ids[i], true, &got, &err));
        fprintf(f, "#%lld <- %lld: %zu tokens, window %zu, %llu bytes, %llu own, at %llu, %s %s",
                (long long)got.id, (long long)got.parent, got.n_tokens, got.n_window_pages,
                (unsigned long long)got.bytes, (unsigned long long)got.own_bytes,
                (unsigned long long)got.created_ms, got.card, got.session);
        for (size_t k = 0; k < got.n_tags; k++) fprintf(f, " +%s", got.tags[k]);
        for (size_t k = 0; k < got.n_names; k++) {
            lull_store_move *moves;
            size_t n_moves;
            OK(lull_store_history(s, got.names[k], &moves, &n_moves, &err));
            fprintf(f, " %s", got.names[k]);
            for (size_t j = 0; j < n_moves; j++) fprintf(f, "@%lld", (long long)moves[j].state);
            free(moves);
        }
        fprintf(f, "\n");
        lull_store_state_fini(&got);
    }
    free(ids);
    fclose(f);
    return text;
}

static bool print_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    (void)user;
    print_message("%s: %llu: %s\n", file, (unsigned long long)offset, what);
    return true;
}

static void assert_clean(lull_store *s)
{
    size_t n_bad;
    OK(lull_store_verify(s, print_finding, NULL, &n_bad, &err));
    assert_int_equal(n_bad, 0);
}

/* A store with some of everything: several segments, moves, renames, removals, tags, a collection. */
static void fill_store(lull_store *s)
{
    int64_t id, first = 0;
    for (int i = 0; i < 12; i++) {
        made *m = make(9, (size_t)i * 40, 20 + (uint64_t)i, (size_t)i * 50 + 1);
        char name[32];
        snprintf(name, sizeof name, "n%d", i % 5);
        OK(sleep_made(s, m, name, -1, &id, &err));
        if (i == 0) first = id;
        unmake(m);
    }
    OK(lull_store_rename(s, "n1", "renamed", &err));
    OK(lull_store_remove_name(s, "n2", &err));
    OK(lull_store_set_tag(s, id, "last", true, &err));
    OK(lull_store_set_name(s, "n2", first, 0, &err));
    lull_store_gc_report report;
    OK(lull_store_gc(s, &(lull_store_gc_options){.max_bytes = 200000}, &report, &err));
    OK(lull_store_set_name(s, "after", first, 0, &err));
    OK(lull_store_set_tag(s, first, "after", true, &err));
}

static lull_store *open_small(void)
{
    static const lull_store_options options = {.max_segment_bytes = 100000};
    lull_store *s;
    OK(lull_store_open(folder, &options, &s, &err));
    return s;
}

/* The path of a segment; of the only one, if there are no others. */
static void find_segment(char path[512])
{
    snprintf(path, 512, "%s/segments", folder);
    DIR *dir = opendir(path);
    for (struct dirent *e; (e = readdir(dir));)
        if (strstr(e->d_name, ".seg")) snprintf(path, 512, "%s/segments/%.100s", folder, e->d_name);
    closedir(dir);
}

static void in_folder(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", folder, name);
}

static void test_rebuild(void **state)
{
    (void)state;
    char path[128];
    lull_store *s = open_small();
    fill_store(s);
    assert_clean(s);
    char *before = describe(s);
    lull_store_close(s);
    static const char *const losses[] = {"catalog.db", "catalog.db-wal", "catalog.db"};
    for (int i = 0; i < 3; i++) {
        in_folder(path, losses[i]);
        unlink(path);
        if (i == 2) { /* or something else lies there */
            FILE *f = fopen(path, "w");
            fputs("this is not a database, though it is long enough for a look at its header, or "
                  "so it would like to be thought of; a hundred bytes are needed",
                  f);
            fclose(f);
        }
        s = open_small();
        char *after = describe(s);
        assert_string_equal(before, after);
        assert_clean(s);
        free(after);
        lull_store_close(s);
    }
    free(before);
}

/* Segments out of the way, and back. */
static void move_segments(bool is_away)
{
    char here[128], there[128];
    in_folder(here, "segments");
    in_folder(there, "elsewhere");
    assert_int_equal(is_away ? rename(here, there) : rename(there, here), 0);
}

static void bring_segments(void)
{
    move_segments(false);
}

/* When a segment is not there the rows are looked at again, as gc may have rewritten it; if it stays
 * away that is damage, not a state that there is not. */
static void test_missing_segment(void **state)
{
    (void)state;
    made *m = make(1, 0, 1, 200);
    lull_store *s = open_store();
    lull_store_view views[MAX_PAGES + 1];
    int64_t id;
    OK(sleep_made(s, m, "a", 0, &id, &err));
    move_segments(true);
    FAILS(LULL_ECORRUPT, lull_store_map(s, id, views, &err));
    assert_non_null(strstr(err.msg, ".seg"));
    FAILS(LULL_ENOTFOUND, lull_store_map(s, id + 1, views, &err));
    meanwhile = (struct meanwhile){"locks/gc", LOCK_UN, bring_segments}; /* after the first look */
    assert_wakes(s, id, m);
    assert_null(meanwhile.act);
    lull_store_close(s);
    unmake(m);
}

/* ---- syncs that fail --------------------------------------------------------------------------- */

/* A sleep whose pages lie in two segments, of which one or the other fails to sync, and does so again:
 * what was there before is untouched, and nothing of the sleep is there, now or later. */
static void test_bad_syncs(void **state)
{
    (void)state;
    static const struct disk disks[] = {
        {.n_good = 1, .n_bad = 1, .is_full = true}, /* the second segment */
        {.n_good = 1, .n_bad = 2},
        {.n_bad = 2}, /* the first, then the second */
        {.n_bad = 3},
    };
    made *a = make(1, 0, 1, 256), *b = make(2, 0, 2, 320);
    for (size_t i = 0; i < sizeof disks / sizeof *disks; i++) {
        lull_store *s = open_small();
        int64_t a_id, id;
        size_t token;
        OK(sleep_made(s, a, "a", 0, &a_id, &err));
        OK(lull_store_add_pages(s, b->pages, b->n_pages, &err));
        disk = disks[i];
        lull_status st = lull_store_sleep(s, &b->draft, "b", 0, &id, &err);
        disk = (struct disk){0};
        if (st == LULL_OK) fail_msg("disk %zu: the sleep has not failed", i);
        for (int pass = 0; pass < 3; pass++) { /* as it is, opened again, from the segments alone */
            char path[128];
            in_folder(path, "catalog.db");
            assert_wakes(s, a_id, a);
            st = lull_store_resolve(s, "b", &id, &token, &err);
            if (st != LULL_ENOTFOUND) fail_msg("disk %zu: b is there in pass %d", i, pass);
            assert_clean(s);
            lull_store_close(s);
            if (pass == 1) unlink(path);
            s = open_small();
        }
        OK(sleep_made(s, b, "b", 0, &id, &err));
        assert_wakes(s, id, b);
        assert_wakes(s, a_id, a);
        lull_store_close(s);
        remove_tree(folder);
    }
    unmake(a);
    unmake(b);
}

/* A cut takes nothing from what is durable before it, and is not durable itself before a sync. */
static void test_cut(void **state)
{
    (void)state;
    lull_segment seg;
    lull_record a = {.type = LULL_RECORD_NAME, .seq = 1}, b = a;
    static const void *const none[LULL_RECORD_PARTS];
    OK(lull_segment_create(folder, &seg, &err));
    OK(lull_segment_append(&seg, &a, none, &err));
    uint64_t end = seg.end;
    OK(lull_segment_append(&seg, &b, none, &err));
    OK(lull_segment_sync(&seg, folder, &err));
    OK(lull_segment_cut(&seg, end, &err));
    assert_true(seg.end == end && seg.synced == end);
    disk.n_bad = 1;
    FAILS(LULL_EIO, lull_segment_sync(&seg, folder, &err));
    OK(lull_segment_sync(&seg, folder, &err));
    lull_segment_close(&seg);
}

/* ---- exports ---------------------------------------------------------------------------------- */

/* Of a state's names only the one that was asked for. */
static void test_exported_names(void **state)
{
    (void)state;
    char path[128], *bytes;
    in_folder(path, "names.lull");
    lull_store *s = open_store(), *e;
    made *a = make(8, 20, 8, 20);
    int64_t id;
    size_t token, n;
    OK(sleep_made(s, a, "given", 0, &id, &err));
    OK(lull_store_set_name(s, "secret-first", id, 0, &err));
    OK(lull_store_set_name(s, "a-secret", id, 0, &err));
    lull_export_options o = {.names = (const char *[]){"no/name"}};
    FAILS(LULL_EINVAL, lull_store_export(s, &id, 1, &o, path, &err));
    o.names = (const char *[]){"given"};
    OK(lull_store_export(s, &id, 1, &o, path, &err));
    lull_store_close(s);

    OK(lull_store_open_export(path, &e, &err));
    OK(lull_store_resolve(e, "given", &id, &token, &err));
    lull_store_state st;
    OK(lull_store_get(e, id, false, &st, &err));
    assert_int_equal(st.n_names, 1);
    lull_store_state_fini(&st);
    lull_store_close(e);
    OK(lull_file_read(path, 1 << 20, &bytes, &n, &err));
    assert_null(memmem(bytes, n, "secret", 6));
    free(bytes);
    unmake(a);
}

static void test_transfer(void **state)
{
    (void)state;
    char path[128], more[128], other_folder[64];
    in_folder(path, "a.lull");
    in_folder(more, "b.lull");
    lull_store *s = open_store(), *t, *e;
    made *a = make(8, 700, 8, 700), *b = make(8, 700, 9, 1000);
    int64_t ids[2], id, *got;
    size_t n, token;
    OK(sleep_made(s, a, "a", 0, &ids[0], &err));
    OK(lull_store_set_name(s, "also", ids[0], 0, &err));
    OK(lull_store_set_tag(s, ids[0], "tag", true, &err));
    b->draft.parent = ids[0];
    OK(sleep_made(s, b, "b", 0, &ids[1], &err));
    OK(lull_store_export(s, ids, 2, NULL, path, &err));
    OK(lull_store_export(s, &ids[1], 1, &(lull_export_options){.since = ids[0]}, more, &err));
    lull_store_close(s);

    OK(lull_store_open_export(path, &e, &err)); /* woken in place */
    OK(lull_store_resolve(e, "a", &id, &token, &err));
    assert_wakes(e, id, a);
    OK(lull_store_resolve(e, "b", &id, &token, &err));
    assert_wakes(e, id, b);
    FAILS(LULL_EINVAL, lull_store_remove_name(e, "a", &err));
    lull_store_close(e);

    OK(lull_store_open(temp_folder(other_folder), NULL, &t, &err));
    FAILS(LULL_ENOTFOUND, lull_store_import(t, more, false, &got, &n, &err));
    OK(lull_store_import(t, path, false, &got, &n, &err));
    assert_int_equal(n, 2);
    assert_wakes(t, got[0], a);
    assert_wakes(t, got[1], b);
    lull_store_state st;
    OK(lull_store_get(t, got[0], false, &st, &err));
    assert_true(st.n_names == 2 && st.n_tags == 1);
    lull_store_state_fini(&st);
    OK(lull_store_get(t, got[1], false, &st, &err));
    assert_int_equal(st.parent, got[0]);
    lull_store_state_fini(&st);
    free(got);
    lull_store_info before, after;
    OK(lull_store_get_info(t, &before, &err));
    OK(lull_store_import(t, more, false, &got, &n, &err)); /* all its pages are here */
    OK(lull_store_get_info(t, &after, &err));
    assert_int_equal(before.n_pages, after.n_pages);
    assert_wakes(t, got[0], b);
    OK(lull_store_resolve(t, "b-2", &id, &token, &err));
    assert_int_equal(id, got[0]);
    free(got);
    OK(lull_store_import(t, more, true, &got, &n, &err));
    OK(lull_store_resolve(t, "b", &id, &token, &err));
    assert_int_equal(id, got[0]);
    free(got);
    assert_clean(t);
    lull_store_close(t);
    remove_tree(other_folder);
    unmake(a);
    unmake(b);
}

/* ---- collection ------------------------------------------------------------------------------- */

/* Random sleeps, names, removals, leases and collections against a model in memory: what is reachable
 * stays, what is not goes, and the bytes with it. */
static void test_gc(void **state)
{
    (void)state;
    enum { N_NAMES = 6, N_STEPS = 150 };
    uint64_t seed = 20261;
    lull_store *s = open_small();
    made *at[N_NAMES] = {0};
    for (int step = 0; step < N_STEPS; step++) {
        unsigned k = (unsigned)(draw(&seed) >> 40) % N_NAMES;
        char name[16];
        snprintf(name, sizeof name, "g%u", k);
        switch ((draw(&seed) >> 40) % 6) {
        case 0:
        case 1:
        case 2: {
            int64_t id;
            made *m = make(draw(&seed) % 3, (draw(&seed) >> 40) % 300, draw(&seed) >> 1,
                           (draw(&seed) >> 40) % 400);
            OK(sleep_made(s, m, name, -1, &id, &err));
            unmake(at[k]);
            at[k] = m;
            break;
        }
        case 3:
            FAILS(at[k] ? LULL_OK : LULL_ENOTFOUND, lull_store_remove_name(s, name, &err));
            unmake(at[k]);
            at[k] = NULL;
            break;
        case 4: {
            lull_store_gc_options options = {.max_age_ms = draw(&seed) % 2, .is_dry_run = false};
            lull_store_gc_report dry, report;
            options.is_dry_run = true;
            OK(lull_store_gc(s, &options, &dry, &err));
            options.is_dry_run = false;
            OK(lull_store_gc(s, &options, &report, &err));
            lull_store_info info;
            OK(lull_store_get_info(s, &info, &err));
            assert_int_equal(report.bytes_after, info.segment_bytes);
            break;
        }
        case 5:
            lull_store_close(s);
            s = open_small();
            break;
        }
        if (step % 10 != 9) continue;
        assert_clean(s);
        for (unsigned i = 0; i < N_NAMES; i++) {
            int64_t id;
            size_t token;
            snprintf(name, sizeof name, "g%u", i);
            FAILS(at[i] ? LULL_OK : LULL_ENOTFOUND, lull_store_resolve(s, name, &id, &token, &err));
            if (at[i]) assert_wakes(s, id, at[i]);
        }
    }
    /* Without names nothing is left but what is written to. */
    for (unsigned i = 0; i < N_NAMES; i++) {
        char name[16];
        snprintf(name, sizeof name, "g%u", i);
        if (at[i]) OK(lull_store_remove_name(s, name, &err));
        unmake(at[i]);
    }
    lull_store_gc_report report;
    OK(lull_store_gc(s, NULL, &report, &err));
    lull_store_close(s);
    s = open_small();
    OK(lull_store_gc(s, NULL, &report, &err));
    lull_store_info info;
    OK(lull_store_get_info(s, &info, &err));
    assert_true(info.n_states == 0 && info.n_pages == 0);
    assert_true(info.segment_bytes < 3 * 100000);
    lull_store_close(s);
}

/* A store that was only ever one segment gives its room back, too. */
static void test_gc_of_one_segment(void **state)
{
    (void)state;
    lull_store *s = open_store();
    made *m = make(15, 0, 15, 3000), *small = make(16, 0, 16, 10);
    int64_t id;
    OK(sleep_made(s, m, "large", 0, &id, &err));
    OK(sleep_made(s, small, "small", 0, &id, &err));
    OK(lull_store_remove_name(s, "large", &err));
    for (int i = 0; i < 2; i++) { /* once by who has written it; then nothing is left to do */
        lull_store_gc_report dry, report;
        OK(lull_store_gc(s, &(lull_store_gc_options){.is_dry_run = true}, &dry, &err));
        OK(lull_store_gc(s, NULL, &report, &err));
        assert_int_equal(report.n_segments, i == 0);
        assert_int_equal(dry.n_segments, i == 0);
        assert_true(report.bytes_after < 65536);
        assert_wakes(s, id, small);
        assert_clean(s);
        lull_store_close(s);
        s = open_store();
    }
    lull_store_close(s);
    unmake(m);
    unmake(small);
}

/* A number of a page is given out once, whatever has become of the page. */
static void test_page_numbers(void **state)
{
    (void)state;
    lull_catalog *c;
    OK(lull_catalog_open(NULL, LULL_CATALOG_MEMORY, &c, &err));
    int64_t last = 0;
    for (uint8_t i = 0; i < 5; i++) {
        lull_page_row row = {.key = {{i}}, .n_tokens = 1};
        OK(lull_catalog_add_page(c, &row, &err));
        assert_true(row.id > last);
        last = row.id;
        OK(lull_catalog_drop_page(c, last, &err));
    }
    /* A catalogue from before they were counted: the largest that there is has been given out. */
    lull_page_row old = {.id = last + 5, .key = {{9}}, .n_tokens = 1}, row = {.n_tokens = 1};
    OK(lull_catalog_move_page(c, &old, &err));
    OK(lull_catalog_add_page(c, &row, &err));
    assert_int_equal(row.id, last + 6);
    lull_catalog_close(c);
}

static const made *late;
static int64_t late_id;

static void sleep_late(void)
{
    lull_store *s = open_store();
    OK(sleep_made(s, late, "late", 0, &late_id, &err));
    lull_store_close(s);
}

/* What is put to sleep while a collection is between what it took away and the segments that it looks
 * at is none of its business: new pages, or those that it has just removed. */
static void test_gc_overtaken(void **state)
{
    (void)state;
    made *kept = make(1, 0, 1, 700), *removed = make(2, 0, 2, 700), *new = make(3, 0, 3, 600);
    for (int i = 0; i < 2; i++) {
        lull_store *s = open_store();
        int64_t id, removed_id;
        lull_store_gc_report report;
        OK(sleep_made(s, kept, "kept", -1, &id, &err));
        OK(sleep_made(s, removed, "removed", 0, &removed_id, &err));
        OK(lull_store_remove_name(s, "removed", &err));
        late = i == 0 ? new : removed;
        meanwhile = (struct meanwhile){"locks/gc", LOCK_UN, sleep_late};
        OK(lull_store_gc(s, NULL, &report, &err));
        assert_null(meanwhile.act);
        assert_true(report.n_pages > 10);
        assert_wakes(s, late_id, late);
        assert_wakes(s, id, kept);
        assert_clean(s);
        OK(lull_store_remove_name(s, "late", &err));
        lull_store_close(s);
    }
    unmake(kept);
    unmake(removed);
    unmake(new);
}

static lull_store *collector;

static void collect(void)
{
    lull_store_gc_report report;
    OK(lull_store_gc(collector, NULL, &report, &err));
    assert_true(report.n_segments > 0);
}

/* Opening a store looks for what a dead writer has left in a segment, which a collection removes before
 * it is locked: what was in it is not taken in, as there is no file any more. */
static void test_opening_overtaken(void **state)
{
    (void)state;
    made *m = make(1, 0, 1, 700);
    int64_t id;
    lull_store *s = open_store();
    OK(sleep_made(s, m, "m", 0, &id, &err));
    lull_store_close(s);
    collector = open_store();
    char path[512];
    find_segment(path);
    FILE *f =
        fopen(path, "ab"); /* after the collector has opened the store, which would cut it off */
    assert_non_null(f);
    assert_int_equal(fputc('x', f), 'x');
    assert_int_equal(fclose(f), 0);
    OK(lull_store_remove_name(collector, "m", &err));
    meanwhile = (struct meanwhile){strrchr(path, '/'), LOCK_EX, collect};
    s = open_store();
    assert_null(meanwhile.act);
    lull_store_info info;
    OK(lull_store_get_info(s, &info, &err));
    assert_int_equal(info.n_pages, 0);
    OK(sleep_made(s, m, "m", 0, &id, &err));
    assert_wakes(s, id, m);
    assert_clean(s);
    lull_store_close(s);
    lull_store_close(collector);
    unmake(m);
}

/* ---- thinning --------------------------------------------------------------------------------- */

enum { WINDOW = 3 };

/* Does page i of m keep its plane? The branch needs pages from 17 on of the 20 that it shares; a state
 * without a window shares the first 5. */
static bool is_whole(const made *m, size_t i)
{
    size_t n = m->n_pages + (m->draft.n_tail > 0);
    return i < 5 || (i >= 17 && i < 20) || i / WINDOW % 2 == 0 || i + WINDOW + 1 >= n;
}

/* Far behind the window every other block loses its plane, and nothing else does. */
static void test_thinning(void **state)
{
    (void)state;
    static const lull_store_gc_options thin = {.is_thinning = true};
    lull_store_gc_options dry = {.is_thinning = true, .is_dry_run = true};
    lull_store_gc_report report, forecast;
    lull_store *s = open_store(), *other;
    made *first = make(17, 3000, 17, 3000), *m = first,
         *branch = make(17, 20 * 64, 18, 20 * 64 + 20), *plain = make(17, 5 * 64, 19, 400);
    m->draft.n_window_pages = branch->draft.n_window_pages = WINDOW;
    int64_t id, branch_id, plain_id, fork_id, *ids;
    size_t n, token;
    OK(sleep_made(s, m, "m", 0, &id, &err));
    OK(sleep_made(s, branch, "branch", 0, &branch_id, &err));
    OK(sleep_made(s, plain, "plain", 0, &plain_id, &err));
    OK(lull_store_gc(s, NULL, &report, &err));
    assert_int_equal(report.n_thinned, 0);

    lull_store_view views[MAX_PAGES + 1];
    other = open_store();
    OK(lull_store_map(other, id, views, &err)); /* leased: untouched */
    OK(lull_store_gc(s, &thin, &report, &err));
    assert_int_equal(report.n_thinned, 0);
    lull_store_unpin(other, views, 47);
    lull_store_close(other);

    OK(lull_store_gc(s, &dry, &forecast, &err));
    OK(lull_store_gc(s, &thin, &report, &err));
    size_t n_thin = 0;
    for (size_t i = 0; i < m->n_pages; i++) n_thin += !is_whole(m, i);
    assert_true(n_thin > 15 && report.bytes_after < report.bytes_before - 60000);
    assert_int_equal(report.n_thinned, n_thin);
    assert_int_equal(forecast.n_thinned, n_thin);
    for (int pass = 0; pass < 3; pass++) {
        OK(lull_store_map(s, id, views, &err));
        for (size_t i = 0; i < 46; i++)
            assert_true(views[i].planes[0] && !views[i].planes[1] == !is_whole(first, i));
        lull_store_unpin(s, views, m->n_pages + 1);
        assert_wakes(s, id, m);
        assert_wakes(s, branch_id, branch);
        assert_wakes(s, plain_id, plain);
        assert_clean(s);
        if (pass == 0) { /* whoever brings the whole page finds that it is there */
            made *longer = make(17, 3000, 17, 3100);
            longer->draft.n_window_pages = WINDOW;
            OK(sleep_made(s, longer, "m", id, &id, &err));
            m = longer;
        } else if (pass == 1) {
            OK(lull_store_gc(s, &thin, &report, &err));
            assert_int_equal(report.n_thinned, 0);
            assert_int_equal(report.n_segments, 0);
            char path[128], *before = describe(s);
            lull_store_close(s);
            in_folder(path, "catalog.db");
            unlink(path);
            s = open_store();
            char *after = describe(s);
            assert_string_equal(before, after);
            free(before);
            free(after);
        }
    }
    /* The window goes along, and so does what is not there. */
    char path[128], elsewhere[64];
    in_folder(path, "thin.lull");
    OK(lull_store_fork(s, id, 31 * 64 + 5, NULL, "fork", 0, &fork_id, &err));
    OK(lull_store_export(s, (int64_t[]){id, fork_id}, 2, NULL, path, &err));
    OK(lull_store_open(temp_folder(elsewhere), NULL, &other, &err));
    OK(lull_store_import(other, path, false, &ids, &n, &err));
    for (size_t i = 0; i < n; i++) {
        lull_store_state got;
        OK(lull_store_get(other, ids[i], false, &got, &err));
        assert_int_equal(got.n_window_pages, WINDOW);
        lull_store_state_fini(&got);
    }
    assert_wakes(other, ids[0], m);
    OK(lull_store_resolve(other, "fork", &id, &token, &err));
    assert_clean(other);
    free(ids);
    lull_store_close(other);
    remove_tree(elsewhere);
    lull_store_close(s);
    unmake(first);
    unmake(m);
    unmake(branch);
    unmake(plain);
}

/* What another process has woken stays, until it lets go or dies. */
static void test_leases(void **state)
{
    (void)state;
    lull_store *s = open_store();
    made *m = make(11, 200, 11, 200);
    int64_t id;
    OK(sleep_made(s, m, "leased", 0, &id, &err));
    int ready[2], go[2];
    assert_true(pipe(ready) == 0 && pipe(go) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        lull_store_view views[8];
        lull_store *mine;
        char c;
        if (lull_store_open(folder, NULL, &mine, NULL) != LULL_OK) _exit(1);
        if (lull_store_map(mine, id, views, NULL) != LULL_OK) _exit(2);
        if (write(ready[1], "x", 1) != 1 || read(go[0], &c, 1) != 1) _exit(3);
        _exit(0); /* without giving anything back */
    }
    char c;
    lull_store_gc_report report;
    lull_store_info info;
    assert_int_equal(read(ready[0], &c, 1), 1);
    OK(lull_store_remove_name(s, "leased", &err));
    OK(lull_store_get_info(s, &info, &err));
    assert_int_equal(info.n_leases, 1);
    OK(lull_store_gc(s, NULL, &report, &err));
    assert_int_equal(report.n_states, 0);
    assert_wakes(s, id, m);
    int status;
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    /* One's own leases count as well, and are given back with the views. */
    lull_store_view views[8];
    OK(lull_store_map(s, id, views, &err));
    OK(lull_store_gc(s, NULL, &report, &err));
    assert_int_equal(report.n_states, 0);
    lull_store_unpin(s, views, 4);
    OK(lull_store_gc(s, NULL, &report, &err));
    assert_int_equal(report.n_states, 1);
    FAILS(LULL_ENOTFOUND, lull_store_map(s, id, views, &err));
    lull_store_close(s);
    unmake(m);
}

static void look_at_info(void)
{
    lull_store_info info;
    OK(lull_store_get_info(collector, &info, &err));
}

static int lease_fd = -1; /* of another's lease file, locked for a look at it */

static void let_lease_go(void)
{
    close(lease_fd);
}

static void hold_lease(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/locks", folder);
    DIR *dir = opendir(path);
    for (struct dirent *e; (e = readdir(dir));)
        if (strstr(e->d_name, ".lease")) lease_fd = openat(dirfd(dir), e->d_name, O_RDONLY);
    closedir(dir);
    assert_int_equal(flock(lease_fd, LOCK_EX), 0);
    meanwhile = (struct meanwhile){".lease", LOCK_EX, let_lease_go};
}

/* Others count the leases while one is made, and its file is not locked yet: it comes to be, and is one. */
static void test_lease_looked_at(void **state)
{
    (void)state;
    static void (*const looks[])(void) = {look_at_info, hold_lease};
    made *m = make(11, 0, 11, 200);
    for (int i = 0; i < 2; i++) {
        lull_store *s = open_store();
        lull_store_view views[8];
        lull_store_gc_report report;
        lull_store_info info;
        int64_t id;
        collector = open_store();
        OK(sleep_made(s, m, "m", 0, &id, &err));
        meanwhile = (struct meanwhile){".lease", LOCK_EX, looks[i]};
        OK(lull_store_map(s, id, views, &err));
        assert_null(meanwhile.act);
        OK(lull_store_get_info(collector, &info, &err));
        assert_int_equal(info.n_leases, 1);
        OK(lull_store_remove_name(collector, "m", &err));
        OK(lull_store_gc(collector, NULL, &report, &err));
        assert_wakes(collector, id, m);
        lull_store_unpin(s, views, m->n_pages + 1);
        lull_store_close(s);
        lull_store_close(collector);
    }
    unmake(m);
}

/* Closing a store ends what was pinned, and its leases; a folder without a store is not read as one. */
static void test_closing(void **state)
{
    (void)state;
    lull_store *s = open_store(), *t = open_store();
    made *m = make(14, 100, 14, 100);
    lull_store_view views[2], single;
    lull_store_info info;
    int64_t id;
    bool has;
    OK(sleep_made(s, m, "c", 0, &id, &err));
    OK(lull_store_map(t, id, views, &err));
    OK(lull_store_map_pages(t, m->keys, 1, &single, &has, &err));
    OK(lull_store_get_info(s, &info, &err));
    assert_int_equal(info.n_leases, 1);
    lull_store_close(t); /* with views pinned */
    OK(lull_store_get_info(s, &info, &err));
    assert_int_equal(info.n_leases, 0);
    lull_store_close(s);
    unmake(m);

    char path[128];
    static const lull_store_options reading = {.is_read_only = true};
    in_folder(path, "no such folder");
    FAILS(LULL_ENOTFOUND, lull_store_open(path, &reading, &s, &err));
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "there is no store"));
    assert_int_equal(mkdir(path, 0700), 0);
    FAILS(LULL_ENOTFOUND, lull_store_open(path, &reading, &s, &err));
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(rmdir(path), 0); /* nothing was made in it */
    OK(lull_store_open(folder, &reading, &s, &err));
    FAILS(LULL_EINVAL, lull_store_set_name(s, "d", id, -1, &err));
    lull_store_close(s);
}

/* Views outlive the file that they lie in. */
static void test_views_outlive(void **state)
{
    (void)state;
    lull_store *s = open_store(), *t = open_store();
    made *m = make(12, 200, 12, 200);
    int64_t id;
    bool has[3];
    lull_store_view views[3];
    OK(sleep_made(s, m, "v", 0, &id, &err));
    lull_store_close(s);
    OK(lull_store_map_pages(t, m->keys, 3, views, has, &err)); /* not leased */
    assert_true(has[0] && has[1] && has[2]);
    s = open_store();
    OK(lull_store_remove_name(s, "v", &err));
    lull_store_gc_report report;
    OK(lull_store_gc(s, NULL, &report, &err));
    lull_store_close(s);
    s = open_store(); /* the segment was the writer's own; now it is nobody's */
    OK(lull_store_gc(s, NULL, &report, &err));
    for (int i = 0; i < 3; i++) {
        OK(lull_store_check(t, &views[i], &err));
        assert_memory_equal(views[i].planes[0], m->pages[i].planes[0], PLANE0_BYTES);
    }
    lull_store_unpin(t, views, 3);
    OK(lull_store_map_pages(t, m->keys, 3, views, has, &err));
    assert_true(!has[0] && !views[0].planes[0] && !views[0].pin);
    lull_store_close(t);
    lull_store_close(s);
    unmake(m);
}

/* ---- several processes ------------------------------------------------------------------------ */

/* Of processes that race for one name, each with the state that it saw, one wins a round. */
static void test_race(void **state)
{
    (void)state;
    enum { N_PROCESSES = 3, N_WINS = 15 };
    lull_store_close(open_store());
    pid_t pids[N_PROCESSES];
    for (int p = 0; p < N_PROCESSES; p++) {
        if ((pids[p] = fork()) != 0) continue;
        lull_store *s;
        made *m = make(1, 100, 30 + (uint64_t)p, 130);
        if (lull_store_open(folder, NULL, &s, NULL) != LULL_OK) _exit(1);
        int n_wins = 0;
        for (int i = 0; n_wins < N_WINS && i < 10000; i++) {
            int64_t now = 0, id;
            size_t token;
            lull_status st = lull_store_resolve(s, "race", &now, &token, NULL);
            if (st != LULL_OK && st != LULL_ENOTFOUND) _exit(2);
            m->draft.parent = now;
            st = sleep_made(s, m, "race", now, &id, NULL);
            n_wins += st == LULL_OK;
            if (st != LULL_OK && st != LULL_EEXIST) _exit(3);
        }
        lull_store_close(s);
        _exit(n_wins == N_WINS ? 0 : 4);
    }
    for (int p = 0; p < N_PROCESSES; p++) {
        int status;
        waitpid(pids[p], &status, 0);
        assert_int_equal(status, 0);
    }
    lull_store *s = open_store();
    lull_store_move *moves;
    size_t n;
    OK(lull_store_history(s, "race", &moves, &n, &err));
    assert_int_equal(n, N_PROCESSES * N_WINS);
    for (size_t i = 0; i < n; i++) { /* each came upon the one before: nobody was overwritten */
        lull_store_state got;
        OK(lull_store_get(s, moves[i].state, false, &got, &err));
        assert_int_equal(got.parent, i + 1 < n ? moves[i + 1].state : 0);
        lull_store_state_fini(&got);
    }
    free(moves);
    assert_clean(s);
    lull_store_close(s);
}

/* Writers, readers and a collector, for some seconds. */
static void crowd(double seconds)
{
    enum { N_WRITERS = 2, N_READERS = 3 };
    lull_store_close(open_small());
    pid_t pids[N_WRITERS + N_READERS + 1];
    double until_ms = lull_clock_ms() + seconds * 1000;
    for (int p = 0; p < N_WRITERS + N_READERS + 1; p++) {
        if ((pids[p] = fork()) != 0) continue;
        lull_store *s = open_small();
        uint64_t seed = 77 + (uint64_t)p;
        while (lull_clock_ms() < until_ms) {
            char name[16];
            lull_status st;
            if (p < N_WRITERS) {
                made *m = make(draw(&seed) % 4, (draw(&seed) >> 40) % 200, draw(&seed) >> 1,
                               (draw(&seed) >> 40) % 600);
                m->draft.n_window_pages = 1;
                int64_t id;
                snprintf(name, sizeof name, "w%d.%u", p, (unsigned)(draw(&seed) >> 40) % 4);
                do { /* a page that was there may have been collected meanwhile */
                    st = sleep_made(s, m, name, -1, &id, &err);
                } while (st == LULL_ENOTFOUND);
                if (st != LULL_OK) goto bad;
                const char *wrong = wake_wrong(s, id, m->tokens, m->n_tokens, &st, &err);
                if (wrong || st != LULL_OK) goto bad;
                unmake(m);
            } else if (p < N_WRITERS + N_READERS) {
                int64_t id;
                size_t token;
                snprintf(name, sizeof name, "w%u.%u", (unsigned)(draw(&seed) >> 40) % N_WRITERS,
                         (unsigned)(draw(&seed) >> 40) % 4);
                st = lull_store_resolve(s, name, &id, &token, &err);
                if (st == LULL_ENOTFOUND) continue;
                if (st != LULL_OK) goto bad;
                const char *wrong = wake_wrong(s, id, NULL, 0, &st, &err);
                if (st == LULL_ENOTFOUND) continue; /* moved away from, and collected */
                if (wrong || st != LULL_OK) goto bad;
            } else {
                lull_store_gc_report report;
                lull_store_gc_options options = {.max_age_ms = 1, .is_thinning = true};
                st = lull_store_gc(s, &options, &report, &err);
                if (st != LULL_OK) goto bad;
                usleep(20000);
            }
            continue;
        bad:
            fprintf(stderr, "process %d: %s\n", p, err.msg);
            _exit(1);
        }
        lull_store_close(s);
        _exit(0);
    }
    int n_failed = 0;
    for (int p = 0; p < N_WRITERS + N_READERS + 1; p++) {
        int status;
        waitpid(pids[p], &status, 0);
        n_failed += status != 0;
    }
    assert_int_equal(n_failed, 0);
    lull_store *s = open_small();
    assert_clean(s);
    lull_store_close(s);
}

static void test_crowd(void **state)
{
    (void)state;
    crowd(3);
}

static void test_crowd_full(void **state)
{
    (void)state;
    crowd(60);
}

/* ---- several threads -------------------------------------------------------------------------- */

typedef struct worker {
    lull_store *s; /* one for all */
    int index;
    const char *wrong;
    lull_error err;
} worker;

static void *work(void *user)
{
    enum { N_ROUNDS = 25 };
    worker *w = user;
    char name[16];
    snprintf(name, sizeof name, "t%d", w->index);
    for (int i = 0; i < N_ROUNDS && !w->wrong; i++) {
        int64_t id, named;
        size_t token;
        lull_store_gc_report report;
        lull_store_gc_options options = {.max_age_ms = 1, .is_thinning = true};
        made *m = make(3, 130, (uint64_t)(w->index * 1000 + i), 200 + 10 * (size_t)i);
        m->draft.n_window_pages = 1;
        lull_status st;
        do { /* another thread's collection may take a page between the two calls of a sleep */
            st = sleep_made(w->s, m, name, -1, &id, &w->err);
        } while (st == LULL_ENOTFOUND);
        if (st == LULL_OK) w->wrong = wake_wrong(w->s, id, m->tokens, m->n_tokens, &st, &w->err);
        if (st == LULL_OK) st = lull_store_resolve(w->s, name, &named, &token, &w->err);
        if (st == LULL_OK && named != id) w->wrong = "another state under the name";
        if (st == LULL_OK && i % 8 == 7) st = lull_store_gc(w->s, &options, &report, &w->err);
        if (st != LULL_OK) w->wrong = w->err.msg;
        unmake(m);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    enum { N_THREADS = 4 };
    worker workers[N_THREADS] = {0};
    pthread_t threads[N_THREADS];
    lull_store *s = open_small();
    for (int i = 0; i < N_THREADS; i++) {
        workers[i] = (worker){.s = s, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < N_THREADS; i++)
        if (workers[i].wrong) fail_msg("thread %d: %s", i, workers[i].wrong);
    assert_clean(s);
    lull_store_close(s);
}

/* ---- damage ----------------------------------------------------------------------------------- */

static void flip(const char *path, uint64_t offset, uint8_t mask)
{
    FILE *f = fopen(path, "r+b");
    fseek(f, (long)offset, SEEK_SET);
    int c = fgetc(f);
    fseek(f, (long)offset, SEEK_SET);
    fputc(c ^ mask, f);
    fclose(f);
}

static bool note_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    (void)offset;
    size_t *n_named = user;
    if (strchr(file, '/') && *what) ++*n_named;
    return true;
}

/* The names of fill_store, and the tokens that they wake with. */
enum { N_FILLED = 6 };
static const char *const filled[N_FILLED] = {"n0", "renamed", "n2", "n3", "n4", "after"};

typedef struct tally {
    int n_right, n_refused, n_wrong, n_found;
} tally;

/* Wake all of a damaged copy of the store. Wrong bytes are the one thing that must not be. */
static void look_at(const char *damaged, int32_t *const tokens[N_FILLED],
                    const size_t n_tokens[N_FILLED], tally *t)
{
    lull_store *s;
    const char *why = NULL;
    if (lull_store_open(damaged, NULL, &s, &err) != LULL_OK) {
        assert_true(strlen(err.msg) > 0);
        t->n_refused++;
        return;
    }
    size_t n_bad = 0, n_named = 0;
    lull_status st = lull_store_verify(s, note_finding, &n_named, &n_bad, &err);
    if (st == LULL_OK) assert_int_equal(n_bad, n_named);
    t->n_found += n_bad > 0;
    bool is_right = true;
    for (int i = 0; i < N_FILLED; i++) {
        int64_t id;
        size_t token;
        st = lull_store_resolve(s, filled[i], &id, &token, &err);
        if (st == LULL_OK) why = wake_wrong(s, id, tokens[i], n_tokens[i], &st, &err);
        if (why) {
            t->n_wrong++;
            print_message("%s: %s\n", filled[i], why);
            why = NULL;
        }
        is_right = is_right && st == LULL_OK;
    }
    *(is_right ? &t->n_right : &t->n_refused) += 1;
    lull_store_close(s);
}

static void damage_store(int n_samples, uint64_t seed)
{
    char path[512], copy[64];
    print_message("seed %llu\n", (unsigned long long)seed);
    lull_store *s = open_small();
    fill_store(s);
    int32_t *tokens[N_FILLED];
    size_t n_tokens[N_FILLED];
    for (int i = 0; i < N_FILLED; i++) {
        int64_t id;
        size_t token;
        lull_store_state got;
        OK(lull_store_resolve(s, filled[i], &id, &token, &err));
        OK(lull_store_get(s, id, false, &got, &err));
        n_tokens[i] = got.n_tokens;
        tokens[i] = calloc(got.n_tokens + 64, 4);
        lull_store_view views[32];
        OK(lull_store_map(s, id, views, &err));
        size_t n = got.n_pages + (got.n_tail > 0);
        for (size_t k = 0; k < n; k++)
            memcpy(tokens[i] + 64 * k, views[k].tokens, 4 * (k < got.n_pages ? 64 : got.n_tail));
        lull_store_unpin(s, views, n);
        lull_store_state_fini(&got);
    }
    lull_store_close(s);
    /* The files, and in each: headers and frames byte by byte, by chance; and anywhere. */
    char files[64][300];
    uint64_t sizes[64];
    int n_files = 0;
    snprintf(path, sizeof path, "%s/segments", folder);
    DIR *dir = opendir(path);
    for (struct dirent *e; (e = readdir(dir)) && n_files < 62;)
        if (strstr(e->d_name, ".seg")) snprintf(files[n_files++], 300, "segments/%s", e->d_name);
    closedir(dir);
    snprintf(files[n_files++], 300, "catalog.db");
    for (int i = 0; i < n_files; i++) {
        struct stat info;
        snprintf(path, sizeof path, "%s/%.299s", folder, files[i]);
        assert_int_equal(stat(path, &info), 0);
        sizes[i] = (uint64_t)info.st_size;
    }
    tally t = {0}, c = {0};
    for (int i = 0; i < n_samples; i++) {
        bool is_catalog = i % 2 == 1;
        int file = is_catalog ? n_files - 1 : (int)((draw(&seed) >> 40) % (uint64_t)(n_files - 1));
        uint64_t offset = (draw(&seed) >> 20) % sizes[file];
        if (!is_catalog && draw(&seed) % 2)
            offset = offset / 4096 * 4096 + (draw(&seed) >> 40) % 480;
        temp_folder(copy);
        copy_tree(folder, copy);
        snprintf(path, sizeof path, "%s/%.299s", copy, files[file]);
        flip(path, offset, (uint8_t)(1u << (draw(&seed) >> 40) % 8));
        tally *now = is_catalog ? &c : &t;
        int n_wrong = now->n_wrong;
        look_at(copy, tokens, n_tokens, now);
        if (now->n_wrong > n_wrong)
            print_message("^ %s offset %llu\n", files[file], (unsigned long long)offset);
        remove_tree(copy);
    }
    print_message("segments: %d right, %d refused, %d found by verify; catalogue: %d right, %d "
                  "refused, %d found\n",
                  t.n_right, t.n_refused, t.n_found, c.n_right, c.n_refused, c.n_found);
    assert_int_equal(t.n_wrong + c.n_wrong, 0);
    assert_true(t.n_refused > 0);
    assert_int_equal(c.n_refused, 0); /* the segments are whole: it is made again */
    for (int i = 0; i < N_FILLED; i++) free(tokens[i]);
}

static void test_damage(void **state)
{
    (void)state;
    damage_store(120, 4242);
}

static void test_damage_full(void **state)
{
    (void)state;
    damage_store(6000, 777);
}

static char findings[2000];

static bool keep_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    (void)user, (void)offset;
    size_t n = strlen(findings);
    snprintf(findings + n, sizeof findings - n, "%s: %s\n", file, what);
    return true;
}

static void assert_found(lull_store *s, const char *name)
{
    size_t n_bad;
    findings[0] = '\0';
    OK(lull_store_verify(s, keep_finding, NULL, &n_bad, &err));
    if (n_bad == 0 || !strstr(findings, name)) fail_msg("%s is not in: %s", name, findings);
}

/* What the catalogue does not list is looked at, too: a segment whose header was damaged when the
 * catalogue was made again, and pages that lie in a segment that there is none of. */
static void test_verify_unlisted(void **state)
{
    (void)state;
    char path[512], catalog[128], copy[128];
    made *m = make(1, 0, 1, 500);
    int64_t id;
    lull_store *s = open_small();
    in_folder(catalog, "catalog.db");
    in_folder(copy, "copy");
    OK(sleep_made(s, m, "m", 0, &id, &err));
    assert_clean(s);
    lull_store_close(s);

    lull_catalog *c; /* a page's segment */
    OK(lull_catalog_open(catalog, LULL_CATALOG_WRITE, &c, &err));
    lull_page_row page;
    lull_state_row row;
    OK(lull_catalog_find_page(c, &m->keys[0], &page, &err));
    OK(lull_catalog_get_state(c, id, &row, &err));
    assert_int_not_equal(page.segment, row.segment);
    lull_state_row_fini(&row);
    snprintf(path, sizeof path, "%s/segments/%016" PRIx64 ".seg", folder, page.segment);
    copy_file(path, copy);
    OK(lull_catalog_drop_segment(c, page.segment, &err));
    lull_catalog_close(c);
    assert_int_equal(unlink(path), 0);
    s = open_small();
    assert_found(s, strrchr(path, '/'));
    lull_store_close(s);

    copy_file(copy, path);
    s = open_small(); /* the file is found, and listed again */
    assert_clean(s);
    assert_wakes(s, id, m);
    lull_store_close(s);
    flip(path, 100, 1);
    assert_int_equal(unlink(catalog), 0);
    s = open_small();
    assert_found(s, strrchr(path, '/'));
    lull_store_close(s);
    unmake(m);
}

/* A page that is found damaged is written again by whoever has it. */
static void test_heal(void **state)
{
    (void)state;
    lull_store *s = open_store();
    made *m = make(13, 200, 13, 200);
    int64_t id;
    OK(sleep_made(s, m, "h", 0, &id, &err));
    lull_store_close(s);
    char path[512];
    find_segment(path);
    flip(path, 4096 + 4096 + 17, 4); /* the first page's first plane */
    s = open_store();
    lull_status st;
    assert_null(wake_wrong(s, id, NULL, 0, &st, &err));
    assert_int_equal(st, LULL_ECORRUPT);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "offset 8192"));
    bool has;
    OK(lull_store_has_pages(s, m->keys, 1, &has, &err));
    assert_false(has);
    size_t n_bad;
    OK(lull_store_verify(s, NULL, NULL, &n_bad, &err));
    assert_int_equal(n_bad, 1);
    OK(sleep_made(s, m, "h", -1, &id, &err));
    assert_wakes(s, id, m);
    assert_clean(s); /* the damaged record is still there, and nobody's */
    lull_store_close(s);
    unmake(m);
}

/* An export with one byte changed is refused, or right. */
static void test_damage_export(void **state)
{
    (void)state;
    char path[128], bad[128], other[64];
    in_folder(path, "a.lull");
    in_folder(bad, "bad.lull");
    lull_store *s = open_store(), *t;
    made *m = make(8, 300, 8, 300);
    int64_t id, *got;
    size_t n;
    OK(sleep_made(s, m, "x", 0, &id, &err));
    OK(lull_store_export(s, &id, 1, NULL, path, &err));
    lull_store_close(s);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    OK(lull_store_open(temp_folder(other), NULL, &t, &err));
    uint64_t seed = 99;
    int n_refused = 0;
    for (int i = 0; i < 400; i++) {
        uint64_t offset = (draw(&seed) >> 20) % (uint64_t)info.st_size;
        if (i % 2) offset = offset / 4096 * 4096 + (draw(&seed) >> 40) % 480;
        copy_file(path, bad);
        if (i % 10 == 9)
            assert_int_equal(truncate(bad, (off_t)offset), 0);
        else
            flip(bad, offset, (uint8_t)(1u << (draw(&seed) >> 40) % 8));
        lull_store_info before, after;
        OK(lull_store_get_info(t, &before, &err));
        lull_status st = lull_store_import(t, bad, false, &got, &n, &err);
        if (st == LULL_OK) {
            assert_int_equal(n, 1);
            assert_wakes(t, got[0], m);
            free(got);
            continue;
        }
        n_refused++;
        assert_non_null(strstr(err.msg, "bad.lull"));
        OK(lull_store_get_info(t, &after, &err));
        assert_int_equal(before.n_states, after.n_states);
        assert_int_equal(before.n_names, after.n_names);
    }
    assert_true(n_refused > 150);
    assert_clean(t);
    lull_store_close(t);
    remove_tree(other);
    unmake(m);
}

/* For store_format.py: a store in `where` and an export beside it, and what they hold, by name. */
static int make_for_decoder(const char *where)
{
    lull_store *s;
    int64_t ids[N_FILLED];
    snprintf(folder, sizeof folder, "%.60s", where);
    if (lull_store_open(folder, NULL, &s, &err) != LULL_OK) return 1;
    fill_store(s);
    for (int i = 0; i < N_FILLED; i++) {
        size_t token, n;
        int32_t *tokens;
        if (lull_store_resolve(s, filled[i], &ids[i], &token, &err) != LULL_OK ||
            lull_store_get_tokens(s, ids[i], &tokens, &n, &err) != LULL_OK)
            return 1;
        printf("%s\t%lld\t%zu\t%d\n", filled[i], (long long)ids[i], n, n ? tokens[n - 1] : 0);
        free(tokens);
    }
    char path[128];
    in_folder(path, "a.lull");
    lull_status st = lull_store_export(s, ids, 2, NULL, path, &err);
    lull_store_close(s);
    return st != LULL_OK;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--make") == 0) return make_for_decoder(argv[2]);
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)
    const struct CMUnitTest quick[] = {
        TEST(test_round_trip),
        TEST(test_sharing),
        TEST(test_costs),
        TEST(test_names),
        TEST(test_rebuild),
        TEST(test_missing_segment),
        TEST(test_bad_syncs),
        TEST(test_cut),
        TEST(test_exported_names),
        TEST(test_transfer),
        TEST(test_gc),
        TEST(test_gc_of_one_segment),
        TEST(test_page_numbers),
        TEST(test_gc_overtaken),
        TEST(test_opening_overtaken),
        TEST(test_thinning),
        TEST(test_leases),
        TEST(test_lease_looked_at),
        TEST(test_race),
        TEST(test_crowd),
        TEST(test_views_outlive),
        TEST(test_closing),
        TEST(test_threads),
        TEST(test_damage),
        TEST(test_verify_unlisted),
        TEST(test_heal),
        TEST(test_damage_export),
    };
    const struct CMUnitTest full[] = {TEST(test_crowd_full), TEST(test_damage_full)};
    if (argc > 1 && strcmp(argv[1], "--full") == 0)
        return cmocka_run_group_tests_name("store, full", full, NULL, NULL);
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("store", quick, NULL, NULL);
}
