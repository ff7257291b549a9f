#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "device.h"
#include "roof.h"
#include "team.h"

enum { MAX_STRETCH = 128 << 20 };
enum { N_PASSES = 2, PASS_NS = 3 * 1000 * 1000, N_READINGS = 15 };

typedef enum kind { TOUCH, READ, FMA, MULTIPLY } kind;

/* One pass: every member does its share of `kind` between two barriers. */
typedef struct pass {
    lull_team *team;
    const lull_roof_kernels *kernels;
    kind kind;
    uint8_t *memory;
    size_t share_bytes; /* of memory, a member */
    size_t n_rounds;    /* a member */
    int64_t start_ns, end_ns;
    volatile double sink; /* where results go to be ignored */
} pass;

/* In stretches, so that the two streams of a stretch are not too far apart for the TLB. */
static double read_all(const lull_roof_kernels *kernels, const uint8_t *p, size_t n_bytes)
{
    double sum = 0;
    for (size_t n; n_bytes > 0; p += n, n_bytes -= n) {
        n = n_bytes < MAX_STRETCH ? n_bytes : MAX_STRETCH;
        sum += kernels->read(p, n);
    }
    return sum;
}

static void run_member(void *ctx, int member, int n_members)
{
    (void)n_members;
    pass *p = ctx;
    uint8_t *share = p->memory + (size_t)member * p->share_bytes;
    double result = 0;
    lull_team_barrier(p->team);
    if (member == 0) p->start_ns = lull_clock_ns();
    switch (p->kind) {
    case TOUCH: memset(share, 1, p->share_bytes); break;
    case READ: result = read_all(p->kernels, share, p->share_bytes); break;
    case FMA: result = (double)p->kernels->fma(p->n_rounds); break;
    case MULTIPLY: result = p->kernels->multiply(p->n_rounds); break;
    }
    lull_team_barrier(p->team);
    if (member != 0) return;
    p->end_ns = lull_clock_ns();
    p->sink = result;
}

static int64_t run_pass(pass *p)
{
    lull_team_run(p->team, run_member, p);
    int64_t ns = p->end_ns - p->start_ns;
    return ns > 0 ? ns : 1;
}

/* Bytes of the last cache that this core shares with others; 0 where the system does not tell. What
 * sysconf(3) says of it is far too much on virtual machines. */
static size_t cache_bytes(void)
{
    char path[80];
    size_t largest = 0;
    for (int i = 0; i < 8; i++) {
        unsigned long kib;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        FILE *f = fopen(path, "re");
        if (!f) break;
        if (fscanf(f, "%luK", &kib) == 1 && kib << 10 > largest) largest = kib << 10;
        fclose(f);
    }
    return largest;
}

/* So much that caches hold next to nothing of it when it is read again from its beginning, even if
 * each thread has a cache of its own. */
static size_t buffer_bytes(int n_threads)
{
    const size_t least = MAX_STRETCH, most = (size_t)1 << 30;
    size_t n = 2 * cache_bytes() * (size_t)n_threads;
    return n < least ? least : n > most ? most : n;
}

struct lull_gauge {
    pass pass;
    size_t n_bytes;                /* of pass.memory */
    size_t n_rounds[MULTIPLY + 1]; /* of a pass, by kind */
};

/* Units a second in the best of a few passes; amount: what a pass does, all members together. */
static double best_rate(pass *p, double amount)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < N_PASSES; i++) {
        int64_t ns = run_pass(p);
        best = ns < best ? ns : best;
    }
    return amount / (double)best * 1e9;
}

static double arithmetic_rate(lull_gauge *g, kind what, int per_round)
{
    pass *p = &g->pass;
    p->kind = what;
    p->n_rounds = g->n_rounds[what] ? g->n_rounds[what] : 1024;
    while (g->n_rounds[what] == 0 && run_pass(p) < PASS_NS) p->n_rounds *= 2;
    g->n_rounds[what] = p->n_rounds;
    return best_rate(p, (double)p->n_rounds * per_round * lull_team_n_threads(p->team));
}

lull_status lull_gauge_new(lull_cpu_level level, int n_threads, lull_gauge **out, lull_error *err)
{
    lull_status st = LULL_OK;
    lull_gauge *g = *out = calloc(1, sizeof *g);
    if (!g) return lull_fail(err, LULL_ENOMEM, "out of memory for a gauge");
    pass *p = &g->pass;
    p->kernels = lull_roof_kernels_of(level);
    g->n_bytes = buffer_bytes(n_threads);
    p->memory = lull_memory_reserve(g->n_bytes);
    if (!p->memory)
        LULL_TRY(lull_fail(err, LULL_ENOMEM, "out of memory: %zu bytes to read from", g->n_bytes));
    LULL_TRY(lull_team_new(n_threads, &p->team, err));
    const size_t unit = LULL_ROOF_READ_BYTES * (size_t)n_threads;
    p->share_bytes = g->n_bytes / unit * LULL_ROOF_READ_BYTES;
    p->kind = TOUCH; /* each thread what it will read */
    run_pass(p);
done:
    if (st != LULL_OK) {
        lull_gauge_free(g);
        *out = NULL;
    }
    return st;
}

void lull_gauge_free(lull_gauge *g)
{
    if (!g) return;
    lull_team_free(g->pass.team);
    lull_memory_release(g->pass.memory, g->n_bytes);
    free(g);
}

lull_roofs lull_gauge_read(lull_gauge *g)
{
    pass *p = &g->pass;
    lull_roofs r = {.n_threads = lull_team_n_threads(p->team)};
    p->kind = READ;
    r.read_bytes_s = best_rate(p, (double)p->share_bytes * r.n_threads);
    r.f32_fma_s = arithmetic_rate(g, FMA, LULL_ROOF_FMAS);
    r.int8_mac_s = arithmetic_rate(g, MULTIPLY, LULL_ROOF_PRODUCTS);
    return r;
}

static void keep_larger(double *a, double b)
{
    if (b > *a) *a = b;
}

lull_status lull_roofs_measure(lull_cpu_level level, const int *n_threads, int n, lull_roofs *out,
                               lull_error *err)
{
    for (int i = 0; i < n; i++) {
        lull_gauge *g;
        lull_status st = lull_gauge_new(level, n_threads[i], &g, err);
        if (st != LULL_OK) return st;
        out[i] = lull_gauge_read(g);
        for (int k = 1; k < N_READINGS; k++) {
            lull_roofs now = lull_gauge_read(g);
            keep_larger(&out[i].read_bytes_s, now.read_bytes_s);
            keep_larger(&out[i].f32_fma_s, now.f32_fma_s);
            keep_larger(&out[i].int8_mac_s, now.int8_mac_s);
        }
        lull_gauge_free(g);
    }
    return LULL_OK;
}
