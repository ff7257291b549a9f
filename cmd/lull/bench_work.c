#include <stdio.h>

#include "bench.h"
#include "engine.h"

const char *lull_bench_test_name(char buf[LULL_BENCH_NAME_CAP], const lull_bench_test *t)
{
    snprintf(buf, LULL_BENCH_NAME_CAP, "%s%zu", t->is_prefill ? "pp" : "tg", t->n_tokens);
    return buf;
}

/* A run of n rows that follow `depth` positions; n is 0 for what is not run. */
static void add_step(lull_bench_work *w, const lull_model *m, const lull_step *s, size_t depth,
                     size_t n)
{
    const lull_kv_layout *kv = &m->core->kv;
    if (n == 0) return;
    if (s->op == LULL_OP_LINEAR) {
        for (int i = 0; i < s->n_w; i++) {
            double macs = (double)s->w[i]->n_rows * s->w[i]->n_cols * (double)n;
            bool is_quantised = lull_dtype_info_of(s->w[i]->dtype)->block_elems > 1;
            *(is_quantised ? &w->int8_macs : &w->f32_fmas) += macs;
            w->bytes += (double)lull_packed_n_tiles(s->w[i]) * (double)s->w[i]->tile_bytes;
        }
    } else if (s->op == LULL_OP_ATTEND) {
        size_t window = s->n_window ? (size_t)s->n_window : depth + n;
        size_t first = depth + 1 > window ? depth + 1 - window : 0;
        double n_seen = 0; /* positions, summed over the rows */
        for (size_t i = depth + 1; i <= depth + n; i++) n_seen += (double)(i < window ? i : window);
        w->f32_fmas += n_seen * s->n_head * kv->d_head * 2;
        w->bytes += (double)(depth + n - first) * 2 * kv->n_kv * (double)lull_kv_head_bytes(kv) /
                    LULL_PAGE_POSITIONS;
    }
}

lull_bench_work lull_bench_work_of(const lull_model *m, const lull_bench_test *t,
                                   const lull_step *step)
{
    const lull_program *program = &m->core->program;
    const lull_step *from = step ? step : program->steps;
    const lull_step *end = step ? step + 1 : program->steps + program->n_steps;
    /* Cut into runs as lull_session_eval does. */
    size_t most = t->is_prefill ? (size_t)program->max_rows : 1;
    lull_bench_work w = {0};
    for (size_t i = 0; i < t->n_tokens; i += most) {
        size_t n = t->n_tokens - i < most ? t->n_tokens - i : most;
        size_t n_out = !t->is_prefill || i + n == t->n_tokens ? 1 : 0;
        for (const lull_step *s = from; s < end; s++)
            add_step(&w, m, s, t->depth + i, s->is_after_gather ? n_out : n);
    }
    return w;
}

double lull_bench_least_ms(const lull_bench_work *w, const lull_bench_test *t,
                           const lull_roofs *roofs)
{
    double s = t->is_prefill ? w->int8_macs / roofs->int8_mac_s + w->f32_fmas / roofs->f32_fma_s
                             : w->bytes / roofs->read_bytes_s;
    return s * 1000;
}
