/* A team of threads that runs one function together, in the manner of SPMD: every member runs the
 * whole function and meets the others at barriers. Cheaper than handing out tasks: one meeting
 * between two steps of a model, no queue. Members spin briefly when they wait and are parked by
 * the kernel when it takes longer.
 *
 *     static void work(void *ctx, int member, int n_members) { ... lull_team_barrier(team); ... }
 *     lull_team_run(team, work, ctx);  // the caller is member 0; returns when all are done
 *
 * One lull_team_run at a time; the owner serialises. */
#ifndef LULL_BASE_TEAM_H
#define LULL_BASE_TEAM_H

#include "error.h"

typedef struct lull_team lull_team;
typedef void (*lull_team_fn)(void *ctx, int member, int n_members);

/* n_threads >= 1, the caller of lull_team_run included. LULL_ENOMEM, LULL_EIO (no thread could be
 * made). */
LULL_NODISCARD lull_status lull_team_new(int n_threads, lull_team **out, lull_error *err);
void lull_team_free(lull_team *t);
int lull_team_n_threads(const lull_team *t);

void lull_team_run(lull_team *t, lull_team_fn fn, void *ctx);

/* Inside fn: returns when every member has called it. What a member wrote before is visible to all
 * after. */
void lull_team_barrier(lull_team *t);

/* Cores that this process may run on. */
int lull_cpu_count(void);

#endif
