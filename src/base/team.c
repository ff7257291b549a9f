/* The barrier and the start signal are both a 32-bit word that its waiters watch: first by
 * spinning, then through futex(2). A word is only ever increased, so a waiter that missed its
 * wake-up sees the new value. */
#include "team.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* About 50 µs: longer than a step of a small model keeps one member waiting for another. */
enum { N_SPINS = 2000 };

/* A word with its count of parked waiters; each on its own cache line. */
typedef struct signal_word {
    _Alignas(64) atomic_uint value;
    atomic_uint n_parked;
} signal_word;

struct lull_team {
    signal_word start;  /* increased by one a run */
    signal_word passed; /* increased by one a barrier */
    _Alignas(64) atomic_int n_arrived;
    int n_threads, n_started;
    bool is_crowded; /* more members than cores: spinning would keep the others from running */
    lull_team_fn fn;
    void *ctx;
    atomic_bool is_ending;
    pthread_t *threads; /* owned [n_threads - 1] */
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void word_wait(signal_word *w, unsigned seen, bool is_crowded)
{
    for (int i = is_crowded ? N_SPINS - 20 : 0; i < N_SPINS; i++) {
        if (atomic_load_explicit(&w->value, memory_order_acquire) != seen) return;
        if (is_crowded)
            sched_yield();
        else
            pause_briefly();
    }
    /* The order of "count me, look again" here and "raise, look for waiters" in word_raise is
     * sequentially consistent, so that one of the two sees the other. */
    atomic_fetch_add(&w->n_parked, 1);
    while (atomic_load(&w->value) == seen)
        syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&w->n_parked, 1);
}

static void word_raise(signal_word *w)
{
    atomic_fetch_add(&w->value, 1);
    if (atomic_load(&w->n_parked) > 0)
        syscall(SYS_futex, &w->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void lull_team_barrier(lull_team *t)
{
    if (t->n_threads == 1) return;
    unsigned seen = atomic_load_explicit(&t->passed.value, memory_order_acquire);
    if (atomic_fetch_add_explicit(&t->n_arrived, 1, memory_order_acq_rel) == t->n_threads - 1) {
        atomic_store_explicit(&t->n_arrived, 0, memory_order_relaxed);
        word_raise(&t->passed);
    } else {
        word_wait(&t->passed, seen, t->is_crowded);
    }
}

typedef struct member_start {
    lull_team *team;
    int member;
} member_start;

static void *member_main(void *arg)
{
    member_start me = *(member_start *)arg;
    free(arg);
    lull_team *t = me.team;
    for (unsigned seen = 0;; seen++) {
        word_wait(&t->start, seen, t->is_crowded);
        if (atomic_load(&t->is_ending)) return NULL;
        t->fn(t->ctx, me.member, t->n_threads);
        lull_team_barrier(t);
    }
}

void lull_team_run(lull_team *t, lull_team_fn fn, void *ctx)
{
    t->fn = fn;
    t->ctx = ctx;
    if (t->n_threads > 1) word_raise(&t->start);
    fn(ctx, 0, t->n_threads);
    lull_team_barrier(t);
}

int lull_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

lull_status lull_team_new(int n_threads, lull_team **out, lull_error *err)
{
    *out = NULL;
    lull_team *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    if (!t) return lull_fail(err, LULL_ENOMEM, "out of memory for a thread team");
    memset(t, 0, sizeof *t);
    t->n_threads = n_threads;
    t->is_crowded = n_threads > lull_cpu_count();
    t->threads = calloc((size_t)n_threads, sizeof *t->threads);
    lull_status st =
        t->threads ? LULL_OK : lull_fail(err, LULL_ENOMEM, "out of memory for threads");
    for (int i = 1; i < n_threads && st == LULL_OK; i++) {
        member_start *me = malloc(sizeof *me);
        if (!me) {
            st = lull_fail(err, LULL_ENOMEM, "out of memory for threads");
            break;
        }
        *me = (member_start){t, i};
        int code = pthread_create(&t->threads[i - 1], NULL, member_main, me);
        if (code) {
            free(me);
            st = lull_fail(err, LULL_EIO, "cannot start thread %d of %d: %s", i + 1, n_threads,
                           strerror(code));
            break;
        }
        t->n_started++;
    }
    if (st != LULL_OK) {
        lull_team_free(t);
        return st;
    }
    *out = t;
    return LULL_OK;
}

void lull_team_free(lull_team *t)
{
    if (!t) return;
    atomic_store(&t->is_ending, true);
    word_raise(&t->start);
    for (int i = 0; i < t->n_started; i++) pthread_join(t->threads[i], NULL);
    free(t->threads);
    free(t);
}

int lull_team_n_threads(const lull_team *t)
{
    return t->n_threads;
}
