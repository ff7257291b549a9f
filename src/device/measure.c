#include "measure.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "device.h"
#include "roof.h"
#include "team.h"

enum { MAX_STRETCH = 128 << 20 };
enum { MIN_PASSES = 3, BUDGET_NS = 200 * 1000 * 1000, PASS_NS = 5 * 1000 * 1000 };

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

/* amount: what a pass does, all members together. Units a second in the best pass. */
static double best_rate(pass *p, double amount)
{
    int64_t best = INT64_MAX, total = 0;
    for (int i = 0; i < MIN_PASSES || total < BUDGET_NS; i++) {
        int64_t ns = run_pass(p);
        if (ns < best) best = ns;
        total += ns;
    }
    return amount / (double)best * 1e9;
}

static double arithmetic_rate(pass *p, kind what, int per_round)
{
    p->kind = what;
    p->n_rounds = 1024;
    while (run_pass(p) < PASS_NS) p->n_rounds *= 2;
    return best_rate(p, (double)p->n_rounds * per_round * lull_team_n_threads(p->team));
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

lull_status lull_roofs_measure(lull_cpu_level level, const int *n_threads, int n, lull_roofs *out,
                               lull_error *err)
{
    lull_status st = LULL_OK;
    pass p = {.kernels = lull_roof_kernels_of(level)};
    int most = 1;
    for (int i = 0; i < n; i++) most = n_threads[i] > most ? n_threads[i] : most;
    size_t n_bytes = buffer_bytes(most);
    p.memory = lull_memory_reserve(n_bytes);
    if (!p.memory)
        return lull_fail(err, LULL_ENOMEM, "out of memory: %zu bytes to read from", n_bytes);
    madvise(p.memory, n_bytes, MADV_HUGEPAGE); /* page tables are not what is measured */
    for (int i = 0; i < n; i++) {
        out[i] = (lull_roofs){.n_threads = n_threads[i]};
        LULL_TRY(lull_team_new(n_threads[i], &p.team, err));
        const size_t unit = LULL_ROOF_READ_BYTES * (size_t)n_threads[i];
        p.share_bytes = n_bytes / unit * LULL_ROOF_READ_BYTES;
        p.kind = TOUCH; /* each thread what it will read */
        if (i == 0) run_pass(&p);
        p.kind = READ;
        out[i].read_bytes_s = best_rate(&p, (double)p.share_bytes * n_threads[i]);
        out[i].f32_fma_s = arithmetic_rate(&p, FMA, LULL_ROOF_FMAS);
        out[i].int8_mac_s = arithmetic_rate(&p, MULTIPLY, LULL_ROOF_PRODUCTS);
        lull_team_free(p.team);
        p.team = NULL;
    }
done:
    lull_team_free(p.team);
    lull_memory_release(p.memory, n_bytes);
    return st;
}
