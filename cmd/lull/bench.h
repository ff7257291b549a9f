/* What the files of `lull bench` share: a test, the work that it makes, its profile. */
#ifndef LULL_CMD_BENCH_H
#define LULL_CMD_BENCH_H

#include <jansson.h>

#include "cmd.h"
#include "device.h"
#include "lull/lull.h"
#include "measure.h"

/* n_tokens read at once ("pp512") or one by one ("tg128"), after depth. */
typedef struct lull_bench_test {
    bool is_prefill;
    size_t n_tokens, depth;
    int n_threads;
} lull_bench_test;

enum { LULL_BENCH_NAME_CAP = 32 };
/* "pp512", "tg128"; in buf, which is returned. */
const char *lull_bench_test_name(char buf[LULL_BENCH_NAME_CAP], const lull_bench_test *t);

/* ---- bench_work.c --------------------------------------------------------------------------- */

/* What the machine has to do: the matmuls, and attention. */
typedef struct lull_bench_work {
    double int8_macs, f32_fmas;
    double bytes; /* weights, once a run, and the keys and values that the rows see, once */
} lull_bench_work;

/* Of one repetition of a test; of one step of the program alone, or of all when it is NULL. */
lull_bench_work lull_bench_work_of(const lull_model *m, const lull_bench_test *t,
                                   const lull_step *step);
/* The least time that the machine can take: bound by its multipliers when many tokens are read at
 * once, by its memory when they come one by one. */
double lull_bench_least_ms(const lull_bench_work *w, const lull_bench_test *t,
                           const lull_roofs *roofs);

/* ---- bench_profile.c ------------------------------------------------------------------------ */

/* Where the time of a test goes, by operation. */
typedef struct lull_bench_profile lull_bench_profile;

/* model is kept until the last _end. *out is owned. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_bench_profile_new(lull_model *model, const lull_bench_test *t,
                                                  lull_bench_profile **out, lull_error *err);
void lull_bench_profile_free(lull_bench_profile *p); /* accepts NULL */
/* Around each repetition, which took ms. */
void lull_bench_profile_begin(lull_bench_profile *p);
void lull_bench_profile_end(lull_bench_profile *p, double ms);
/* What the machine allowed meanwhile; after the last _end, before what follows. Copied. */
void lull_bench_profile_set_roofs(lull_bench_profile *p, const lull_roofs *roofs);
/* A table, on standard output. */
void lull_bench_profile_print(const lull_bench_profile *p);
/* Owned: json_decref. */
json_t *lull_bench_profile_json(const lull_bench_profile *p);
/* Draw profiles [n] into an SVG file, a bar each. LULL_EIO. */
LULL_NODISCARD lull_status lull_bench_profile_draw(const char *path, const char *title,
                                                   lull_bench_profile *const *profiles, size_t n,
                                                   lull_error *err);

/* ---- bench_mask.c --------------------------------------------------------------------------- */

LULL_NODISCARD lull_status lull_bench_masks(const char *path, int n_threads,
                                            lull_cmd_numerics numerics, bool as_json, int *rc,
                                            lull_error *err);

#endif
