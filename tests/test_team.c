/* The thread team: every member runs, barriers hold, nothing is lost between runs. Meant for the
 * thread sanitizer, too. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "alloc_wrap.h"
#include "team.h"

enum { MAX_MEMBERS = 16, N_PIECES = 1000, N_ROUNDS = 50 };
static const int team_sizes[] = {1, 2, 3, 4, 7, MAX_MEMBERS};
#define FOR_EACH_TEAM(team)                                                                        \
    for (size_t size_ = 0; size_ < sizeof team_sizes / sizeof *team_sizes; size_++)                \
        for (lull_team *team = new_team(team_sizes[size_]); team; lull_team_free(team), team = NULL)

static lull_team *new_team(int n)
{
    lull_team *t;
    lull_error err;
    if (lull_team_new(n, &t, &err) != LULL_OK) fail_msg("%s", err.msg);
    assert_int_equal(lull_team_n_threads(t), n);
    return t;
}

/* ---- runs and barriers ----------------------------------------------------------------------- */

typedef struct work {
    lull_team *team;
    atomic_int next;              /* claims */
    int n_done[N_PIECES];         /* plain: each is written by the member that claimed it */
    int n_runs[MAX_MEMBERS];      /* of a member */
    int value[MAX_MEMBERS];       /* what a member has written before a barrier */
    atomic_int n_wrong, n_inside; /* members between two barriers */
} work;

static void claim_pieces(void *ctx, int member, int n_members)
{
    work *w = ctx;
    w->n_runs[member]++;
    for (int i; (i = atomic_fetch_add_explicit(&w->next, 3, memory_order_relaxed)) < N_PIECES;)
        for (int k = i; k < i + 3 && k < N_PIECES; k++) w->n_done[k]++;
    if (n_members != lull_team_n_threads(w->team)) atomic_fetch_add(&w->n_wrong, 1);
}

/* Every piece exactly once a run, every member exactly once a run, without locks: what a run wrote
 * is visible after it. */
static void test_claims(void **state)
{
    (void)state;
    FOR_EACH_TEAM(team)
    {
        work w = {.team = team};
        for (int run = 1; run <= N_ROUNDS; run++) {
            atomic_store_explicit(&w.next, 0, memory_order_relaxed);
            lull_team_run(team, claim_pieces, &w);
            for (int i = 0; i < N_PIECES; i++) assert_int_equal(w.n_done[i], run);
            for (int i = 0; i < lull_team_n_threads(team); i++) assert_int_equal(w.n_runs[i], run);
        }
        assert_int_equal(atomic_load(&w.n_wrong), 0);
    }
}

static void cross_barriers(void *ctx, int member, int n_members)
{
    work *w = ctx;
    for (int round = 1; round <= N_ROUNDS; round++) {
        w->value[member] = round;
        atomic_fetch_add(&w->n_inside, 1);
        lull_team_barrier(w->team);
        /* All are past the line above, and what they wrote is seen. */
        if (atomic_load(&w->n_inside) != n_members) atomic_fetch_add(&w->n_wrong, 1);
        for (int i = 0; i < n_members; i++)
            if (w->value[i] != round) atomic_fetch_add(&w->n_wrong, 1);
        lull_team_barrier(w->team);
        if (member == 0) atomic_store(&w->n_inside, 0);
        /* A member that is slow, so that the others are parked by the kernel. */
        if (member == round % n_members && round % 10 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        lull_team_barrier(w->team);
    }
}

static void test_barriers(void **state)
{
    (void)state;
    FOR_EACH_TEAM(team)
    {
        work w = {.team = team};
        for (int run = 0; run < 3; run++) lull_team_run(team, cross_barriers, &w);
        assert_int_equal(atomic_load(&w.n_wrong), 0);
    }
}

/* Runs long apart: members are parked in between. */
static void test_pauses(void **state)
{
    (void)state;
    FOR_EACH_TEAM(team)
    {
        work w = {.team = team};
        for (int run = 1; run <= 4; run++) {
            nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
            atomic_store_explicit(&w.next, 0, memory_order_relaxed);
            lull_team_run(team, claim_pieces, &w);
            assert_int_equal(w.n_done[N_PIECES - 1], run);
        }
    }
}

/* Several teams at once, each with its own caller. */
static void *run_own_team(void *arg)
{
    work *w = arg;
    for (int run = 0; run < N_ROUNDS; run++) {
        atomic_store_explicit(&w->next, 0, memory_order_relaxed);
        lull_team_run(w->team, claim_pieces, w);
    }
    return NULL;
}

static void test_side_by_side(void **state)
{
    (void)state;
    enum { N_TEAMS = 3 };
    static work works[N_TEAMS];
    pthread_t callers[N_TEAMS];
    memset(works, 0, sizeof works);
    for (int i = 0; i < N_TEAMS; i++) {
        works[i].team = new_team(3);
        assert_int_equal(pthread_create(&callers[i], NULL, run_own_team, &works[i]), 0);
    }
    for (int i = 0; i < N_TEAMS; i++) {
        pthread_join(callers[i], NULL);
        for (int k = 0; k < N_PIECES; k++) assert_int_equal(works[i].n_done[k], N_ROUNDS);
        lull_team_free(works[i].team);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void test_unused(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) lull_team_free(new_team(1 + i % 5));
    lull_team_free(NULL);
    assert_true(lull_cpu_count() >= 1);
}

/* Each allocation of making a team fails once: LULL_ENOMEM, and the threads made so far end. */
static void test_without_memory(void **state)
{
    (void)state;
    int n_failed = 0;
    for (long n = 0;; n++) {
        lull_team *t = NULL;
        lull_error err;
        fail_request(n);
        lull_status st = lull_team_new(4, &t, &err);
        bool is_hit = has_failed();
        fail_request(-1);
        if (!is_hit) {
            assert_int_equal(st, LULL_OK);
            lull_team_free(t);
            break;
        }
        assert_int_equal(st, LULL_ENOMEM);
        assert_int_equal(err.code, LULL_ENOMEM);
        assert_null(t);
        n_failed++;
    }
    assert_true(n_failed >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims), cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_pauses), cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_unused), cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
