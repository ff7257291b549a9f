/* Nothing is lost: a writer is stopped at every write, sync, cut, rename and removal that it makes,
 * SQLite's among them, in every way that a disk or a process can fail; then the store is opened again.
 *
 *   kill      SIGKILL before the call              torn      half of the write, then SIGKILL
 *   power     SIGKILL, and all that was not synced is taken back: files as of their last sync, names
 *             as of their folder's
 *   eio       the call fails once                  full      no room, until a few steps have failed
 *   short     the write is cut short once          sick      from there on every write and sync fails,
 *   dead      every call does                                until a few steps have failed
 *   often     every third call does
 *
 * What was acknowledged must be there with its bytes; what was not is there wholly or not at all; verify
 * finds nothing; and the same comes out of the segments alone. A call that says it failed has changed
 * nothing, and can be made again once its cause is gone, by the same process.
 *
 * The calls are caught by their names: this program's come before the C library's, for libraries, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "store_check.h"

/* From FULL on they last until N_FAILED_STEPS have failed. */
typedef enum fault {
    NONE,
    KILL,
    TORN,
    POWER,
    EIO_ONCE,
    SHORT,
    FULL,
    SICK,
    DEAD,
    OFTEN,
    N_FAULTS
} fault;
static const char *const fault_names[N_FAULTS] = {"none",  "kill", "torn", "power", "eio",
                                                  "short", "full", "sick", "dead",  "often"};
typedef enum call_kind { WRITE, SYNC, OTHER } call_kind;

/* ---- the calls -------------------------------------------------------------------------------- */

static fault armed;
static long fault_at, n_calls; /* the call that fails; calls so far */
static bool is_counting;
static char folder[64], shadow[64]; /* the store; what of it is durable */

static bool is_due(void)
{
    if (!is_counting) return false;
    long call = n_calls++;
    if (armed == OFTEN) return call >= fault_at && (call - fault_at) % 3 == 0;
    return armed >= FULL ? call >= fault_at : call == fault_at;
}

/* Die, or say how the call fails: an errno. */
static int fail_call(call_kind kind)
{
    switch (armed) {
    case KILL:
    case TORN:
    case POWER: raise(SIGKILL); break;
    case FULL: return kind == WRITE ? ENOSPC : 0;
    case SICK: return kind == OTHER ? 0 : EIO;
    case EIO_ONCE:
    case DEAD:
    case OFTEN: return EIO;
    default: break;
    }
    return 0;
}

/* The rest of the program is built with hidden symbols; SQLite's library has to find these. */
#define CAUGHT __attribute__((visibility("default")))
CAUGHT ssize_t pwrite(int fd, const void *data, size_t n, off_t offset);
CAUGHT ssize_t pwrite64(int fd, const void *data, size_t n, off_t offset);
CAUGHT int fdatasync(int fd);
CAUGHT int fsync(int fd);
CAUGHT int ftruncate(int fd, off_t n);
CAUGHT int ftruncate64(int fd, off_t n);
CAUGHT int rename(const char *from, const char *to);
CAUGHT int unlink(const char *path);

ssize_t pwrite64(int fd, const void *data, size_t n, off_t offset)
{
    if (is_due()) {
        if (armed == TORN || (armed == SHORT && n > 1)) {
            ssize_t half = syscall(SYS_pwrite64, fd, data, n / 2, offset);
            if (armed == SHORT) return half;
        }
        errno = fail_call(WRITE);
        if (errno) return -1;
    }
    return syscall(SYS_pwrite64, fd, data, n, offset);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    return pwrite64(fd, data, n, offset);
}

/* Note what a sync has made durable: a file's bytes under its inode, a folder's names with theirs. */
static void note_durable(int fd)
{
    char link[64], path[512], name[512];
    struct stat info;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0 || fstat(fd, &info) < 0) return;
    path[n] = '\0';
    if (strncmp(path, folder, strlen(folder)) != 0) return;
    bool was_counting = is_counting;
    is_counting = false;
    snprintf(name, sizeof name, "%s/%lu", shadow, (unsigned long)info.st_ino);
    if (!S_ISDIR(info.st_mode)) {
        copy_file(path, name);
    } else {
        FILE *out = fopen(name, "w");
        DIR *dir = opendir(path);
        for (struct dirent *e; (e = readdir(dir));)
            if (e->d_name[0] != '.') fprintf(out, "%lu %s\n", (unsigned long)e->d_ino, e->d_name);
        closedir(dir);
        fclose(out);
    }
    is_counting = was_counting;
}

static int sync_fd(int fd)
{
    if (is_due()) {
        errno = fail_call(SYNC);
        if (errno) return -1;
    }
    if (is_counting && armed == POWER) note_durable(fd);
    return 0; /* to tmpfs, or soon to be removed: nothing to wait for */
}

int fdatasync(int fd)
{
    return sync_fd(fd);
}

int fsync(int fd)
{
    return sync_fd(fd);
}

int ftruncate64(int fd, off_t n)
{
    if (is_due()) {
        errno = fail_call(OTHER);
        if (errno) return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, n);
}

int ftruncate(int fd, off_t n)
{
    return ftruncate64(fd, n);
}

int rename(const char *from, const char *to)
{
    if (is_due()) {
        errno = fail_call(OTHER);
        if (errno) return -1;
    }
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    if (is_due()) {
        errno = fail_call(OTHER);
        if (errno) return -1;
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* The store as it would be found after the power came back. */
static void restore(const char *path, unsigned long inode)
{
    char list[512], line[512];
    snprintf(list, sizeof list, "%s/%lu", shadow, inode);
    FILE *f = fopen(list, "r");
    mkdir(path, 0700);
    while (f && fgets(line, sizeof line, f)) {
        unsigned long child;
        char name[256], to[1024], from[512];
        struct stat info;
        if (sscanf(line, "%lu %255[^\n]", &child, name) != 2) abort();
        snprintf(to, sizeof to, "%s/%s", path, name);
        snprintf(from, sizeof from, "%s/%lu", shadow, child);
        if (!strchr(name, '.')) { /* segments, locks; open and gc lie in locks */
            if (strcmp(name, "segments") == 0 || strcmp(name, "locks") == 0) restore(to, child);
        } else if (stat(from, &info) == 0) {
            copy_file(from, to);
        } else {
            fclose(fopen(to, "w")); /* its name was durable, its bytes were not */
        }
    }
    if (f) fclose(f);
}

/* ---- what the writer does --------------------------------------------------------------------- */

enum { N_STEPS = 24, N_NAMES = 4, N_FAILED_STEPS = 3 /* until a lasting fault ends */ };
static const char *const names[N_NAMES] = {"a", "b", "c", "d"};

typedef struct model {
    int step[N_NAMES]; /* that the name's state comes from; -1: no such name */
} model;

static size_t n_thinned; /* pages, in all collections of the process */

static made *made_at(int step)
{
    made *m = make(1 + (uint64_t)(step % 2), (size_t)(step * 37) % 150, 50 + (uint64_t)step,
                   (size_t)(step * 53) % 460);
    m->draft.n_window_pages = 1;
    return m;
}

static bool can_rename(const model *m)
{
    return m->step[0] >= 0 && m->step[3] < 0;
}

/* The outcome of a step, if it succeeds. */
static model after(model m, int step)
{
    switch (step % 8) {
    case 5: m.step[1] = -1; break;
    case 6:
        if (!can_rename(&m)) break;
        m.step[3] = m.step[0];
        m.step[0] = -1;
        break;
    case 4: m.step[3] = -1; break;
    case 7: break;
    default: m.step[step % 3] = step;
    }
    return m;
}

static lull_status run_step(lull_store *s, const model *m, int step, lull_error *err)
{
    lull_store_gc_options options = {.max_bytes = 1, .is_thinning = true}; /* no history */
    lull_store_gc_report report = {0};
    lull_status st;
    switch (step % 8) {
    case 4: return m->step[3] < 0 ? LULL_OK : lull_store_remove_name(s, names[3], err);
    case 5: return m->step[1] < 0 ? LULL_OK : lull_store_remove_name(s, names[1], err);
    case 6: return can_rename(m) ? lull_store_rename(s, names[0], names[3], err) : LULL_OK;
    case 7:
        st = lull_store_gc(s, &options, &report, err);
        n_thinned += report.n_thinned;
        return st;
    default: break;
    }
    made *state = made_at(step);
    int64_t id;
    st = sleep_made(s, state, names[step % 3], -1, &id, err);
    unmake(state);
    return st;
}

/* Does the store hold what the model says? NULL, or what is wrong (static). */
static const char *compare(lull_store *s, const model *m, lull_error *err)
{
    for (int i = 0; i < N_NAMES; i++) {
        int64_t id;
        size_t token;
        lull_status st = lull_store_resolve(s, names[i], &id, &token, err);
        if (m->step[i] < 0) {
            if (st != LULL_ENOTFOUND) return "a name that should not be there";
            continue;
        }
        if (st != LULL_OK) return "a name is lost";
        made *state = made_at(m->step[i]);
        const char *wrong = wake_wrong(s, id, state->tokens, state->n_tokens, &st, err);
        unmake(state);
        if (wrong) return wrong;
        if (st != LULL_OK) return "a state does not wake";
    }
    return NULL;
}

/* One step, whatever has failed before. A failure must leave the store as it was, and as good: once its
 * cause is gone, the step is done again. '+', '-' for a failure whose cause stays, or 0: all wrong. */
static char work_step(lull_store **s, const model *m, int step, int *n_failed)
{
    static const lull_store_options options = {.max_segment_bytes = 120000};
    for (;;) {
        lull_error err;
        lull_status st = *s ? LULL_OK : lull_store_open(folder, &options, s, &err);
        if (st == LULL_OK) st = run_step(*s, m, step, &err);
        if (st == LULL_OK) return '+';
        bool is_over = armed >= FULL ? ++*n_failed % N_FAILED_STEPS == 0 : (*n_failed)++ == 0;
        if ((st != LULL_EIO && st != LULL_EFULL) || (armed < FULL && !is_over)) {
            fprintf(stderr, "step %d: %s: %s\n", step, lull_status_name(st), err.msg);
            return 0;
        }
        is_counting = false;
        const char *wrong = *s ? compare(*s, m, &err) : NULL;
        if (wrong) fprintf(stderr, "step %d has failed and left %s: %s\n", step, wrong, err.msg);
        if (wrong) return 0;
        if (!is_over) {
            is_counting = true;
            return '-';
        }
    }
}

/* Close a store whose disk works again: while it does not, nobody can say whether a commit that has failed
 * will be found. */
static void close_healed(lull_store *s)
{
    bool was_counting = is_counting;
    if (armed >= SICK) is_counting = false;
    lull_store_close(s);
    is_counting = was_counting;
}

/* The child: all steps, in two openings of the store; a byte to the parent after each. 0 at the end. */
static int work(int to_parent)
{
    model m = {{-1, -1, -1, -1}};
    lull_store *s = NULL;
    int n_failed = 0;
    is_counting = true;
    for (int step = 0; step < N_STEPS; step++) {
        if (step == N_STEPS / 2) {
            close_healed(s);
            s = NULL;
        }
        char outcome = work_step(&s, &m, step, &n_failed);
        if (!outcome) return 1;
        if (outcome == '+') m = after(m, step);
        if (write(to_parent, &outcome, 1) != 1) return 2;
    }
    if (armed == NONE) {
        if (n_thinned == 0) return 3;
        char text[32];
        int n = snprintf(text, sizeof text, "%ld", n_calls);
        if (write(to_parent, text, (size_t)n) != n) return 2;
    }
    close_healed(s);
    return 0;
}

static bool print_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    (void)user;
    print_message("verify: %s: %llu: %s\n", file, (unsigned long long)offset, what);
    return true;
}

static const char *tmpfs_folder(char out[64])
{
    strcpy(out, "/dev/shm/lull-crash-XXXXXX");
    return mkdtemp(out) ? out : temp_folder(out);
}

static lull_store *open_after(fault f, long at)
{
    static const lull_store_options options = {.max_segment_bytes = 120000};
    lull_store *s;
    lull_error err;
    if (lull_store_open(folder, &options, &s, &err) != LULL_OK)
        fail_msg("%s at call %ld: open: %s", fault_names[f], at, err.msg);
    return s;
}

static void assert_clean(lull_store *s, fault f, long at)
{
    size_t n_bad;
    lull_error err;
    lull_status st = lull_store_verify(s, print_finding, NULL, &n_bad, &err);
    if (st != LULL_OK || n_bad > 0)
        fail_msg("%s at call %ld: verify: %zu findings", fault_names[f], at, n_bad);
}

/* The store holds what m says, or next does; and again without its catalogue; and can be used. */
static void inspect(fault f, long at, const model *m, const model *next)
{
    lull_error err;
    lull_store *s = open_after(f, at);
    const char *a = compare(s, m, &err), *b = a ? compare(s, next, &err) : NULL;
    if (a && b) fail_msg("%s at call %ld: %s, or %s: %s", fault_names[f], at, a, b, err.msg);
    assert_clean(s, f, at);
    model now = a ? *next : *m;
    lull_status st = run_step(s, &now, 8, &err);
    if (st != LULL_OK) fail_msg("%s at call %ld: a sleep later: %s", fault_names[f], at, err.msg);
    lull_store_close(s);

    char path[128];
    snprintf(path, sizeof path, "%s/catalog.db", folder);
    assert_int_equal(unlink(path), 0);
    now = after(now, 8);
    s = open_after(f, at);
    a = compare(s, &now, &err);
    if (a) fail_msg("%s at call %ld: from the segments: %s: %s", fault_names[f], at, a, err.msg);
    assert_clean(s, f, at);
    lull_store_close(s);
}

/* One writer, one failure. Returns the calls that it made, when none was to fail. */
static long crash(fault f, long at)
{
    int fds[2];
    tmpfs_folder(folder);
    tmpfs_folder(shadow);
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        armed = f;
        fault_at = at;
        _exit(work(fds[1]));
    }
    close(fds[1]);
    char told[256];
    size_t n_told = 0;
    for (ssize_t n; n_told < sizeof told - 1; n_told += (size_t)n)
        if ((n = read(fds[0], told + n_told, sizeof told - 1 - n_told)) <= 0) break;
    told[n_told] = '\0';
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    bool is_killed = WIFSIGNALED(status), may_be_killed = f == KILL || f == TORN || f == POWER;
    if (is_killed ? !may_be_killed || WTERMSIG(status) != SIGKILL : status != 0)
        fail_msg("%s at call %ld: the writer has ended with %d", fault_names[f], at, status);

    if (f == POWER && is_killed) {
        struct stat info;
        assert_int_equal(stat(folder, &info), 0);
        remove_tree(folder);
        restore(folder, (unsigned long)info.st_ino);
    }
    model m = {{-1, -1, -1, -1}};
    int n_steps = 0;
    for (; told[n_steps] == '+' || told[n_steps] == '-'; n_steps++)
        if (told[n_steps] == '+') m = after(m, n_steps);
    model next = is_killed ? after(m, n_steps) : m;
    inspect(f, at, &m, &next);
    remove_tree(folder);
    remove_tree(shadow);
    return n_steps == N_STEPS ? strtol(told + n_steps, NULL, 10) : 0;
}

static void crash_all(long stride)
{
    long n = crash(NONE, -1), n_points = 0;
    assert_true(n > 100);
    for (fault f = KILL; f < N_FAULTS; f++)
        for (long at = (long)f % stride; at < n; at += stride) {
            crash(f, at);
            n_points++;
        }
    print_message("%ld calls in a run, %ld failures\n", n, n_points);
}

/* ---- a writer that goes on where another died ---------------------------------------------------- */

/* The child: collects once the parent has the store open, too. */
static int collect(int to_parent, int from_parent)
{
    lull_store *s;
    lull_store_gc_options options = {.max_bytes = 1};
    lull_store_gc_report report;
    char go;
    if (lull_store_open(folder, NULL, &s, NULL) != LULL_OK) return 1;
    if (write(to_parent, "", 1) != 1 || read(from_parent, &go, 1) != 1) return 2;
    is_counting = true;
    if (lull_store_gc(s, &options, &report, NULL) != LULL_OK) return 3;
    is_counting = false;
    lull_store_close(s);
    return 0;
}

/* What a collector wrote down and did not commit is no obstacle to what others do: a state that it was
 * about to remove gets a name from a process that has the store open meanwhile. False: the collector
 * has reached its end. */
static bool overtake(long at)
{
    int up[2], down[2], status;
    char byte;
    lull_error err;
    lull_store *s;
    int64_t ids[2], id;
    size_t token;
    tmpfs_folder(folder);
    assert_int_equal(lull_store_open(folder, NULL, &s, &err), LULL_OK);
    made *m[2] = {make(1, 90, 7, 200), make(1, 90, 8, 300)};
    for (int i = 0; i < 2; i++)
        assert_int_equal(sleep_made(s, m[i], "a", -1, &ids[i], &err), LULL_OK);
    lull_store_close(s);
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    armed = KILL;
    fault_at = at;
    pid_t pid = fork();
    if (pid == 0) _exit(collect(up[1], down[0]));
    assert_int_equal(read(up[0], &byte, 1), 1);
    s = open_after(KILL, at);
    assert_int_equal(write(down[1], "", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || status == 0);
    lull_status st = lull_store_set_name(s, "kept", ids[0], 0, &err);
    bool is_there = st == LULL_OK;
    if (st == LULL_ENOTFOUND) st = lull_store_set_name(s, "kept", ids[1], 0, &err);
    if (st != LULL_OK) fail_msg("a collector's death at call %ld: %s", at, err.msg);
    for (int i = 0; i < 2; i++) { /* as it is, and from the segments alone */
        char path[128];
        st = lull_store_resolve(s, "kept", &id, &token, &err);
        const made *want = m[!is_there];
        if (st != LULL_OK || wake_wrong(s, id, want->tokens, want->n_tokens, &st, &err) || st)
            fail_msg("a collector's death at call %ld: %s", at, err.msg);
        lull_store_close(s);
        snprintf(path, sizeof path, "%s/catalog.db", folder);
        unlink(path);
        s = open_after(KILL, at);
        assert_clean(s, KILL, at);
    }
    lull_store_close(s);
    for (int i = 0; i < 2; i++) unmake(m[i]);
    remove_tree(folder);
    for (int i = 0; i < 2; i++) close(up[i]), close(down[i]);
    return WIFSIGNALED(status);
}

static void test_overtake(void **state)
{
    (void)state;
    long at = 0;
    while (overtake(at)) at++;
    assert_true(at > 5);
}

/* A change fails over one segment, from call `at` on, while an older one, which is full, holds a state and
 * a page that waits: the older one is left alone. False: the change has fewer calls. */
static bool fail_second(long at)
{
    static const lull_store_options options = {.max_segment_bytes = 60000};
    lull_store *s;
    lull_error err;
    int64_t id;
    tmpfs_folder(folder);
    assert_int_equal(lull_store_open(folder, &options, &s, &err), LULL_OK);
    made *a = make(1, 0, 7, 84), *b = make(1, 0, 8, 128);
    assert_int_equal(sleep_made(s, a, "a", -1, &id, &err), LULL_OK);
    /* The first page still goes to a's segment. */
    assert_int_equal(lull_store_add_pages(s, b->pages, b->n_pages, &err), LULL_OK);
    assert_int_equal(lull_store_set_name(s, "b", id, 0, &err), LULL_OK);
    armed = SICK;
    fault_at = n_calls + at;
    is_counting = true;
    lull_status outcome = lull_store_set_name(s, "c", id, 0, &err);
    is_counting = false;
    for (int i = 0; i < 2; i++) {
        lull_status st;
        const char *wrong = wake_wrong(s, id, a->tokens, a->n_tokens, &st, &err);
        if (wrong || st) fail_msg("sick at call %ld: %s", at, wrong ? wrong : err.msg);
        assert_clean(s, SICK, at);
        lull_store_close(s);
        s = open_after(SICK, at);
    }
    lull_store_close(s);
    unmake(a);
    unmake(b);
    remove_tree(folder);
    return outcome != LULL_OK;
}

static void test_two_segments(void **state)
{
    (void)state;
    long at = 0;
    while (fail_second(at)) at++;
    assert_true(at > 3);
}

static void test_crash(void **state)
{
    (void)state;
    crash_all(17);
}

static void test_crash_full(void **state)
{
    (void)state;
    crash_all(1);
}

static void test_one(void **state)
{
    int *which = *state;
    crash((fault)which[0], which[1]);
}

/* --full: every call; FAULT CALL: that one. */
int main(int argc, char **argv)
{
    int which[2] = {0};
    if (argc == 3) {
        while (which[0] < N_FAULTS - 1 && strcmp(fault_names[which[0]], argv[1]) != 0) which[0]++;
        which[1] = atoi(argv[2]);
    }
    const struct CMUnitTest quick[] = {cmocka_unit_test(test_crash),
                                       cmocka_unit_test(test_overtake),
                                       cmocka_unit_test(test_two_segments)};
    const struct CMUnitTest full[] = {cmocka_unit_test(test_crash_full)};
    const struct CMUnitTest one[] = {cmocka_unit_test_prestate(test_one, which)};
    if (argc == 3) return cmocka_run_group_tests_name("one crash", one, NULL, NULL);
    if (argc == 2) return cmocka_run_group_tests_name("crashes, full", full, NULL, NULL);
    return cmocka_run_group_tests_name("crashes", quick, NULL, NULL);
}
