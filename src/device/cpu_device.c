/* The CPU as a device: a team of threads runs the list of steps together and meets after each.
 *
 * A step is cut into pieces that members claim from a counter; which member computes a piece
 * cannot be seen in the result, since pieces are cut where the numerics class has no order (rows,
 * tiles of a matrix, heads, spans of attention). All work memory is planned once; nothing is
 * allocated while steps run. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "clock.h"
#include "device.h"
#include "team.h"

enum {
    PAGE = LULL_PAGE_POSITIONS,
    SPAN_PAGES = 16, /* of the numerics class: spans are summed apart, then joined */
    SPAN_POSITIONS = SPAN_PAGES * PAGE,
    MAX_GROUP = 96,          /* queries that go through the pages together in a prefill */
    MAX_GROUP_ELEMS = 12288, /* and their elements, so that they stay in cache beside the page */
    PHASES = 2,              /* claim counters a step */
    MAX_STEPS = 8 * LULL_MAX_LAYERS + 8, /* of a layer, and around them */
    PIECES_PER_MEMBER = 8,
    WIDE_PIECES_PER_MEMBER = 4,
    TILES_BYTES = 256 << 10,        /* of a matrix that are multiplied by a panel in one go */
    MAX_TOGETHER = 16,              /* tiles in one go */
    WIDEN_FROM = 4 * LULL_PANEL_MAX /* rows for which widening tiles pays */
};

/* The heads of one row go together even where MAX_GROUP_ELEMS would have fewer. */
_Static_assert((int)LULL_MAX_SHARED_HEADS <= MAX_GROUP, "a row's heads fit into a group");

/* A member's own work memory. */
typedef struct member_work {
    float *row;           /* [max_d_in] a row after its norm */
    uint8_t *panel[2];    /* quantised and float panel of one token */
    float *page;          /* [128 max_d_head] a page widened */
    uint8_t *wide[2];     /* wide tiles of two matrices: TILES_BYTES / 2 each, or one tile */
    uint8_t *wide_work;   /* [lull_wide_work_bytes(max_d_in)] */
    float *q, *o, *o_all; /* [max_group][d_head] */
    uint8_t *queries;     /* [max_group] of lull_query_q8_bytes(d_head) */
    float m[MAX_GROUP], l[MAX_GROUP], m_all[MAX_GROUP], l_all[MAX_GROUP];
    int16_t lo[MAX_GROUP], hi[MAX_GROUP];
} member_work;

/* Rows that go through attention together: of one sequence, with at most max_group queries a KV
 * head. */
typedef struct row_block {
    int first, n;
} row_block;

struct lull_device {
    lull_team *team;
    const lull_kernels *kernels;
    lull_device_plan plan;
    uint8_t *memory; /* owned: everything below but claims */
    size_t memory_bytes;
    member_work *works; /* [n_threads] */
    uint8_t *panels[2]; /* quantised and float panels of all rows */
    float *angles;      /* [LULL_MAX_ROPES][max_rows][max_d_head] */
    float *partials;    /* spans of a decode step, see attend_spans */
    row_block *blocks;  /* [max_rows] */
    int max_spans, max_span_pairs;
    atomic_int *claims;    /* [MAX_STEPS][PHASES] owned */
    lull_profile *profile; /* kept; NULL: none is taken */
};

typedef struct run {
    lull_device *d;
    const lull_step *steps;
    int n_steps;
    const lull_batch *batch;
    int n_blocks; /* of rows for attention; 0: by spans */
    atomic_int
        stop_at; /* the step before which all members leave; written by member 0 a step ahead */
} run;

void *lull_memory_reserve(size_t n_bytes)
{
    void *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    madvise(p, n_bytes, MADV_HUGEPAGE); /* advice only */
    return p;
}

bool lull_memory_has_huge_pages(void)
{
    char line[80] = "";
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (!f) return false;
    bool is_read = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    return is_read && (strstr(line, "[always]") || strstr(line, "[madvise]"));
}

void lull_memory_release(void *p, size_t n_bytes)
{
    if (p) munmap(p, n_bytes);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

/* A share of n pieces for every member, several shares each, so that a slow member does not hold
 * up the rest. */
static int share_of(int n, int n_members)
{
    int share = n / (n_members * PIECES_PER_MEMBER);
    return share > 0 ? share : 1;
}

/* The same for tiles that meet n_rows rows. Each share reads the panels of all rows: when there are
 * many, from beyond the member's own caches, so that shares are larger then. */
static int share_of_tiles(int n, int n_members, int n_rows)
{
    if (n_rows < WIDEN_FROM) return share_of(n, n_members);
    int share = ceil_div(n, n_members * WIDE_PIECES_PER_MEMBER);
    return share < MAX_TOGETHER ? share : ceil_div(share, MAX_TOGETHER) * MAX_TOGETHER;
}

/* Claim the next [*from, *to) of n pieces in phase `phase` of a step; false when none are left. */
static bool claim(run *r, int step, int phase, int share, int n, int *from, int *to)
{
    *from = atomic_fetch_add_explicit(&r->d->claims[step * PHASES + phase], share,
                                      memory_order_relaxed);
    *to = min_int(*from + share, n);
    return *from < n;
}

static int max_group(int d_head)
{
    return min_int(MAX_GROUP, MAX_GROUP_ELEMS / d_head);
}

/* ---- linear ---------------------------------------------------------------------------------- */

static bool is_float(lull_dtype t)
{
    return t == LULL_DTYPE_F32 || t == LULL_DTYPE_F16 || t == LULL_DTYPE_BF16;
}

/* Fill a panel of T tokens, of both kinds if the step's matrices need both, with n <= T rows from
 * `first`. */
static void fill_panel(const lull_kernels *k, const lull_step *s, int first, int n, int T,
                       uint8_t *const panel[2], float *scratch)
{
    bool needs[2] = {false, false};
    for (int i = 0; i < s->n_w; i++) needs[is_float(s->w[i]->dtype)] = true;
    if (n < T)
        for (int kind = 0; kind < 2; kind++)
            if (needs[kind]) memset(panel[kind], 0, lull_panel_bytes(T, s->d_in));
    for (int t = 0; t < n; t++) {
        const float *x = s->in + (size_t)(first + t) * (size_t)s->d_in;
        if (s->norm) {
            k->rms_norm(x, s->norm, s->d_in, s->eps, scratch);
            x = scratch;
        }
        if (needs[0]) k->quantize(x, s->d_in, T, t, panel[0]);
        if (needs[1])
            for (int c = 0; c < s->d_in; c++)
                ((float *)panel[1])[(size_t)c * (size_t)T + (size_t)t] = x[c];
    }
}

/* Store a tile's products y [n][16] with rows first .. first+n-1; the rows of the matrix that exist. */
static void store_tile(const lull_kernels *k, const lull_step *s, const lull_packed *w, float *out,
                       int tile, int first, int n, const float *y)
{
    int row0 = tile * LULL_TILE_ROWS, n_valid = min_int(w->n_rows - row0, LULL_TILE_ROWS);
    for (int t = 0; t < n; t++) {
        float *dst = out + (size_t)(first + t) * (size_t)w->n_rows + row0;
        const float *src = y + t * LULL_TILE_ROWS;
        if (s->is_added)
            k->add(dst, src, n_valid);
        else if (n_valid == LULL_TILE_ROWS) /* a constant size is copied in place */
            memcpy(dst, src, LULL_TILE_ROWS * sizeof *dst);
        else
            memcpy(dst, src, (size_t)n_valid * sizeof *dst);
    }
}

/* Tiles that are multiplied by a panel in one go: as many as stay in the second-level cache until
 * the next panel. */
typedef struct tile_group {
    const lull_packed *w;
    int first, n;
    uint8_t *wide; /* the tiles widened; NULL: taken as they are */
} tile_group;

static bool is_widened(const lull_kernels *k, const lull_packed *w, int n_rows)
{
    return n_rows >= WIDEN_FROM && k->wide && k->wide[w->dtype].widen;
}

/* Tiles of a matrix that go together, when n_matrices share the cache and the buffers. */
static int tiles_together(const lull_kernels *k, const lull_packed *w, int n_rows, int n_matrices)
{
    size_t tile_bytes =
        is_widened(k, w, n_rows) ? lull_wide_tile_bytes(w->dtype, w->n_cols) : w->tile_bytes;
    int n = min_int((int)(TILES_BYTES / tile_bytes), MAX_TOGETHER) / n_matrices;
    return n > 0 ? n : 1;
}

static tile_group take_group(const lull_kernels *k, const lull_packed *w, int n_rows, int first,
                             int n, uint8_t *wide)
{
    tile_group g = {.w = w, .first = first, .n = n};
    if (!is_widened(k, w, n_rows)) return g;
    g.wide = wide;
    for (int i = 0; i < n; i++)
        k->wide[w->dtype].widen(w->data + (size_t)(first + i) * w->tile_bytes, w->n_cols,
                                wide + (size_t)i * lull_wide_tile_bytes(w->dtype, w->n_cols));
    return g;
}

/* y [g->n][T][16] = the group's tiles times a panel of n tokens, T being its size. */
static void multiply_group(const lull_kernels *k, const tile_group *g, uint8_t *const panel[2],
                           int n, uint8_t *wide_work, float *y)
{
    const lull_packed *w = g->w;
    int size = lull_panel_size_for(n), y_stride = lull_panel_tokens[size] * LULL_TILE_ROWS;
    if (g->wide && n == LULL_PANEL_MAX) {
        k->wide[w->dtype].dot(g->wide, g->n, panel[0], w->n_cols, wide_work, y);
        return;
    }
    for (int i = 0; i < g->n; i++)
        k->dot[w->dtype][size](w->data + (size_t)(g->first + i) * w->tile_bytes,
                               panel[is_float(w->dtype)], w->n_cols, y + i * y_stride);
}

/* Tiles [from, to) of matrix i times all panels; when the step is gated, of both matrices. */
static void multiply_tiles(const lull_kernels *k, const lull_step *s, int i, int from, int to,
                           int n_rows, uint8_t *const panels[2], size_t panel_stride,
                           member_work *work)
{
    const lull_packed *w = s->w[i], *gated = s->is_gated ? s->w[1] : NULL;
    int n_together = tiles_together(k, w, n_rows, gated ? 2 : 1);
    if (gated) n_together = min_int(n_together, tiles_together(k, gated, n_rows, 2));
    _Alignas(64) float y[2][MAX_TOGETHER * LULL_PANEL_MAX * LULL_TILE_ROWS];
    for (int tile = from; tile < to; tile += n_together) {
        int n = min_int(n_together, to - tile);
        tile_group group = take_group(k, w, n_rows, tile, n, work->wide[0]), group2;
        if (gated) group2 = take_group(k, gated, n_rows, tile, n, work->wide[1]);
        uint8_t *panel[2] = {panels[0], panels[1]};
        for (int first = 0; first < n_rows; first += LULL_PANEL_MAX) {
            int n_tokens = min_int(n_rows - first, LULL_PANEL_MAX);
            int y_stride = lull_panel_tokens[lull_panel_size_for(n_tokens)] * LULL_TILE_ROWS;
            multiply_group(k, &group, panel, n_tokens, work->wide_work, y[0]);
            if (gated) {
                multiply_group(k, &group2, panel, n_tokens, work->wide_work, y[1]);
                k->gated(s->act, y[0], y[1], n * y_stride, y[0]);
            }
            for (int j = 0; j < n; j++)
                store_tile(k, s, w, s->out[i], tile + j, first, n_tokens, y[0] + j * y_stride);
            panel[0] += panel_stride;
            panel[1] += panel_stride;
        }
    }
}

static void run_linear(run *r, int step, int n_rows, int member, int n_members)
{
    lull_device *d = r->d;
    const lull_step *s = &r->steps[step];
    member_work *work = &d->works[member];
    uint8_t *const *panels = d->panels;
    size_t stride = lull_panel_bytes(LULL_PANEL_MAX, s->d_in);
    int from, to;
    if (n_rows == 1) {
        /* Every member makes the panel for itself: cheaper than meeting. */
        fill_panel(d->kernels, s, 0, 1, 1, work->panel, work->row);
        panels = work->panel;
    } else {
        int n_panels = ceil_div(n_rows, LULL_PANEL_MAX);
        while (claim(r, step, 0, 1, n_panels, &from, &to)) {
            uint8_t *panel[2] = {d->panels[0] + (size_t)from * stride,
                                 d->panels[1] + (size_t)from * stride};
            int first = from * LULL_PANEL_MAX, n = min_int(n_rows - first, LULL_PANEL_MAX);
            fill_panel(d->kernels, s, first, n, lull_panel_tokens[lull_panel_size_for(n)], panel,
                       work->row);
        }
        lull_team_barrier(d->team);
    }
    int n_tiles = 0, n_outputs = s->is_gated ? 1 : s->n_w;
    for (int i = 0; i < n_outputs; i++) n_tiles += lull_packed_n_tiles(s->w[i]);
    while (claim(r, step, 1, share_of_tiles(n_tiles, n_members, n_rows), n_tiles, &from, &to)) {
        for (int i = 0, base = 0; i < n_outputs; i++) {
            int n = lull_packed_n_tiles(s->w[i]);
            int first = from - base > 0 ? from - base : 0, end = min_int(n, to - base);
            multiply_tiles(d->kernels, s, i, first, end, n_rows, panels, stride, work);
            base += n;
        }
    }
}

/* ---- keys, values, attention ----------------------------------------------------------------- */

static float *angles_of(const lull_device *d, int rope, int row)
{
    return d->angles +
           ((size_t)rope * (size_t)d->plan.max_rows + (size_t)row) * (size_t)d->plan.max_d_head;
}

/* A head's key and value of a position into its page, at place `at`. */
static void store_head(const lull_kernels *k, const lull_kv_layout *kv, const float *key,
                       const float *value, uint8_t *k_part, uint8_t *v_part, int at)
{
    int d = kv->d_head;
    if (kv->kind == LULL_KV_Q8) {
        k->k_store_q8(key, d, at, k_part);
        k->v_store_q8(value, d, at, v_part);
        return;
    }
    k->kv_store(key, d, (uint16_t *)k_part + at, PAGE);
    k->kv_store(value, d, (uint16_t *)v_part + (size_t)at * (size_t)d, 1);
}

/* in: q [n_head][d_head], in2: k, out[0]: v [n_kv][d_head]. A piece is one head of q, or one of k
 * and v, of one row. */
static void run_store_kv(run *r, int step, int n_members)
{
    const lull_step *s = &r->steps[step];
    const lull_batch *b = r->batch;
    const lull_kv_layout *kv = b->kv;
    const lull_kernels *k = r->d->kernels;
    int n_heads = s->n_head + kv->n_kv, d = kv->d_head, n = b->n_rows * n_heads, from, to;
    while (claim(r, step, 0, share_of(n, n_members), n, &from, &to)) {
        for (int i = from; i < to; i++) {
            int row = i / n_heads, head = i % n_heads;
            const float *cs = angles_of(r->d, s->rope->index, row);
            bool is_q = head < s->n_head;
            if (!is_q) head -= s->n_head;
            float *x = is_q ? s->in + ((size_t)row * (size_t)s->n_head + (size_t)head) * (size_t)d
                            : s->in2 + ((size_t)row * (size_t)kv->n_kv + (size_t)head) * (size_t)d;
            const float *norm = is_q ? s->norm : s->norm2;
            if (norm) k->rms_norm(x, norm, d, s->eps, x);
            int n_rotated = 2 * s->rope->n_pairs;
            k->rope(x, cs, s->rope->n_pairs, s->rope->is_neox, is_q ? s->scale : 1.0f);
            if (is_q) {
                for (int j = n_rotated; j < d; j++) x[j] = x[j] * s->scale;
                continue;
            }
            int pos = b->pos[row], at = pos % PAGE;
            uint8_t *plane = b->views[b->seq[row]].pages[kv->plane_of[s->layer]][pos / PAGE];
            const float *v =
                s->out[0] + ((size_t)row * (size_t)kv->n_kv + (size_t)head) * (size_t)d;
            store_head(k, kv, x, v, lull_kv_k(kv, plane, s->layer, head),
                       lull_kv_v(kv, plane, s->layer, head), at);
        }
    }
}

/* The positions that a row sees of a page: [*lo, *hi) within the page. */
static void seen_of_page(int pos, int n_window, int page, int16_t *lo, int16_t *hi)
{
    int first = n_window > 0 && pos >= n_window ? pos - n_window + 1 : 0;
    int from = first - page * PAGE, to = pos + 1 - page * PAGE;
    *lo = (int16_t)(from < 0 ? 0 : min_int(from, PAGE));
    *hi = (int16_t)(to < 0 ? 0 : min_int(to, PAGE));
}

static int first_page_seen(int pos, int n_window)
{
    return n_window > 0 && pos >= n_window ? (pos - n_window + 1) / PAGE : 0;
}

/* The pages [page, end) of one KV head for n_rows rows from `row` (positions ascending) and
 * n_heads query heads from `head`: queries in q [n_rows n_heads][d]. State m, l, o is set up and
 * filled. */
static void attend_pages(run *r, const lull_step *s, int row, int n_rows, int n_heads, int kv_head,
                         int page, int end, member_work *work, const float *q, float *m, float *l,
                         float *o)
{
    const lull_batch *b = r->batch;
    const lull_kv_layout *kv = b->kv;
    int d = kv->d_head, n_q = n_rows * n_heads;
    for (int t = 0; t < n_q; t++) {
        m[t] = -INFINITY;
        l[t] = 0;
    }
    memset(o, 0, sizeof *o * (size_t)n_q * (size_t)d);
    uint8_t *const *pages = b->views[b->seq[row]].pages[kv->plane_of[s->layer]];
    size_t query_bytes = lull_query_q8_bytes(d);
    for (int t = 0; kv->kind == LULL_KV_Q8 && t < n_q; t++)
        r->d->kernels->query_q8(q + (size_t)t * (size_t)d, d,
                                work->queries + (size_t)t * query_bytes);
    for (; page < end; page++) {
        int next = page + 1 < end ? page + 1 : page;
        for (int t = 0; t < n_q; t++)
            seen_of_page(b->pos[row + t / n_heads], s->n_window, page, &work->lo[t], &work->hi[t]);
        const uint8_t *k_part = lull_kv_k(kv, pages[page], s->layer, kv_head),
                      *v_part = lull_kv_v(kv, pages[page], s->layer, kv_head),
                      *next_k = lull_kv_k(kv, pages[next], s->layer, kv_head),
                      *next_v = lull_kv_v(kv, pages[next], s->layer, kv_head);
        if (kv->kind == LULL_KV_Q8)
            r->d->kernels->attend_q8(&(lull_attend_q8_args){.queries = work->queries,
                                                            .k = k_part,
                                                            .v = v_part,
                                                            .next_k = next_k,
                                                            .next_v = next_v,
                                                            .lo = work->lo,
                                                            .hi = work->hi,
                                                            .m = m,
                                                            .l = l,
                                                            .o = o,
                                                            .o_stride = (size_t)d,
                                                            .n_q = n_q,
                                                            .d = d});
        else
            r->d->kernels->attend(&(lull_attend_args){.q = q,
                                                      .q_stride = (size_t)d,
                                                      .k = (const uint16_t *)k_part,
                                                      .v = (const uint16_t *)v_part,
                                                      .next_k = (const uint16_t *)next_k,
                                                      .next_v = (const uint16_t *)next_v,
                                                      .lo = work->lo,
                                                      .hi = work->hi,
                                                      .m = m,
                                                      .l = l,
                                                      .o = o,
                                                      .o_stride = (size_t)d,
                                                      .n_q = n_q,
                                                      .d = d,
                                                      .work = work->page});
    }
}

static void write_mean(const float *o, float l, int d, float *out)
{
    float inverse = 1.0f / l;
    for (int i = 0; i < d; i++) out[i] = o[i] * inverse;
}

/* Many rows: a piece is a block of rows and a KV head, which walks through its pages span by span.
 */
static void attend_blocks(run *r, int step, int n_blocks, member_work *work)
{
    const lull_step *s = &r->steps[step];
    const lull_batch *b = r->batch;
    const lull_kv_layout *kv = b->kv;
    int d = kv->d_head, n_heads = s->n_head / kv->n_kv, n = n_blocks * kv->n_kv, i, to;
    while (claim(r, step, 0, 1, n, &i, &to)) {
        row_block block = r->d->blocks[n_blocks - 1 - i / kv->n_kv]; /* long ones first */
        int head = i % kv->n_kv, n_q = block.n * n_heads;
        for (int t = 0; t < n_q; t++) {
            size_t row = (size_t)(block.first + t / n_heads),
                   h = (size_t)(head * n_heads + t % n_heads);
            memcpy(work->q + (size_t)t * (size_t)d,
                   s->in + (row * (size_t)s->n_head + h) * (size_t)d, sizeof(float) * (size_t)d);
            work->m_all[t] = -INFINITY;
            work->l_all[t] = 0;
        }
        memset(work->o_all, 0, sizeof(float) * (size_t)n_q * (size_t)d);
        int page = first_page_seen(b->pos[block.first], s->n_window);
        int end = b->pos[block.first + block.n - 1] / PAGE + 1;
        while (page < end) {
            int span_end = min_int((page / SPAN_PAGES + 1) * SPAN_PAGES, end);
            attend_pages(r, s, block.first, block.n, n_heads, head, page, span_end, work, work->q,
                         work->m, work->l, work->o);
            for (int t = 0; t < n_q; t++)
                r->d->kernels->attend_join(&work->m_all[t], &work->l_all[t],
                                           work->o_all + (size_t)t * (size_t)d, work->m[t],
                                           work->l[t], work->o + (size_t)t * (size_t)d, d);
            page = span_end;
        }
        for (int t = 0; t < n_q; t++) {
            size_t row = (size_t)(block.first + t / n_heads),
                   h = (size_t)(head * n_heads + t % n_heads);
            write_mean(work->o_all + (size_t)t * (size_t)d, work->l_all[t], d,
                       s->out[0] + (row * (size_t)s->n_head + h) * (size_t)d);
        }
    }
}

/* Few rows: a piece is a row, a KV head (or a part of its query heads) and a span; the spans are
 * joined afterwards. A partial result is [d] sums, then m and l. */
static void attend_spans(run *r, int step, int n_members, member_work *work)
{
    const lull_step *s = &r->steps[step];
    const lull_batch *b = r->batch;
    const lull_kv_layout *kv = b->kv;
    lull_device *dev = r->d;
    int d = kv->d_head, group = s->n_head / kv->n_kv, from, to;
    int first_span = INT32_MAX, end_span = 0;
    for (int row = 0; row < b->n_rows; row++) {
        first_span = min_int(first_span, first_page_seen(b->pos[row], s->n_window) / SPAN_PAGES);
        int end = b->pos[row] / SPAN_POSITIONS + 1;
        end_span = end > end_span ? end : end_span;
    }
    int n_spans = end_span - first_span, n_pairs = b->n_rows * kv->n_kv;
    int n_parts = min_int(group, ceil_div(2 * n_members, n_pairs * n_spans)),
        part_heads = ceil_div(group, n_parts);
    n_parts = ceil_div(group, part_heads);
    size_t partial = (size_t)d + 16, n = (size_t)n_pairs * (size_t)n_spans * (size_t)n_parts;
    while (claim(r, step, 0, 1, (int)n, &from, &to)) {
        int part = from % n_parts, span = first_span + from / n_parts % n_spans,
            pair = from / (n_parts * n_spans);
        int row = pair / kv->n_kv, head = pair % kv->n_kv, h0 = part * part_heads;
        int n_heads = min_int(part_heads, group - h0);
        int page = first_page_seen(b->pos[row], s->n_window), end = b->pos[row] / PAGE + 1;
        page = page > span * SPAN_PAGES ? page : span * SPAN_PAGES;
        end = min_int(end, (span + 1) * SPAN_PAGES);
        const float *q =
            s->in + ((size_t)row * (size_t)s->n_head + (size_t)(head * group + h0)) * (size_t)d;
        attend_pages(r, s, row, 1, n_heads, head, page, end, work, q, work->m, work->l, work->o);
        for (int t = 0; t < n_heads; t++) {
            float *dst = dev->partials + (((size_t)pair * (size_t)group + (size_t)(h0 + t)) *
                                              (size_t)dev->max_spans +
                                          (size_t)(span - first_span)) *
                                             partial;
            memcpy(dst, work->o + (size_t)t * (size_t)d, sizeof(float) * (size_t)d);
            dst[d] = work->m[t];
            dst[d + 1] = work->l[t];
        }
    }
    lull_team_barrier(dev->team);
    while (claim(r, step, 1, 1, b->n_rows * s->n_head, &from, &to)) {
        float *all = dev->partials + (size_t)from * (size_t)dev->max_spans * partial;
        for (int i = 1; i < n_spans; i++) {
            const float *next = all + (size_t)i * partial;
            dev->kernels->attend_join(&all[d], &all[d + 1], all, next[d], next[d + 1], next, d);
        }
        write_mean(all, all[d + 1], d, s->out[0] + (size_t)from * (size_t)d);
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void run_embed(run *r, int step, int n_members)
{
    const lull_step *s = &r->steps[step];
    const lull_batch *b = r->batch;
    int from, to, d = s->table->n_cols;
    while (claim(r, step, 0, share_of(b->n_rows, n_members), b->n_rows, &from, &to)) {
        for (int row = from; row < to; row++) {
            float *x = s->out[0] + (size_t)row * (size_t)d;
            lull_dequantize(s->table->dtype,
                            s->table->data + (size_t)b->tokens[row] * s->table->row_bytes,
                            (size_t)d, x);
            if (s->scale != 1.0f)
                for (int i = 0; i < d; i++) x[i] = x[i] * s->scale;
            for (int i = 0; i < b->n_ropes; i++)
                lull_rope_angles(b->pos[row], b->ropes[i]->inv_freq, b->ropes[i]->n_pairs, 1.0f,
                                 angles_of(r->d, i, row));
        }
    }
}

static void run_rows(run *r, int step, int n_rows, int member, int n_members)
{
    const lull_step *s = &r->steps[step];
    const lull_kernels *k = r->d->kernels;
    int from, to;
    size_t d = (size_t)s->d_in;
    while (claim(r, step, 0, share_of(n_rows, n_members), n_rows, &from, &to)) {
        for (int row = from; row < to; row++) {
            float *out = s->out[0] + (size_t)row * d;
            if (s->op == LULL_OP_GATHER) {
                memcpy(out, s->in + (size_t)r->batch->out_rows[row] * d, d * sizeof *out);
                continue;
            }
            float *h = r->d->works[member].row;
            k->rms_norm(s->in + (size_t)row * d, s->norm, s->d_in, s->eps, h);
            k->add(out, h, s->d_in);
        }
    }
}

/* Rows in blocks for attend_blocks; 0 when there are so few (row, KV head) pairs that spans must
 * be shared out to keep all members at work. */
static int cut_blocks(lull_device *d, const lull_batch *b, int n_head)
{
    if (b->n_rows * b->kv->n_kv <= d->max_span_pairs) return 0;
    int group = n_head / b->kv->n_kv, n = 0, most = max_group(b->kv->d_head) / group;
    if (most == 0) most = 1; /* group <= LULL_MAX_SHARED_HEADS <= MAX_GROUP */
    for (int row = 0; row < b->n_rows; row++) {
        bool is_new = n == 0 || b->seq[row] != b->seq[row - 1] || d->blocks[n - 1].n == most;
        if (is_new) d->blocks[n++] = (row_block){row, 0};
        d->blocks[n - 1].n++;
    }
    return n;
}

/* Times at a step's beginning, at the end of a member's work, and behind the barrier. */
static void note_times(const run *r, int step, int member, const int64_t times[3])
{
    lull_profile *p = r->d->profile;
    ptrdiff_t at = r->steps + step - p->steps;
    if (at < 0 || at >= p->n_steps) return;
    atomic_fetch_add_explicit(&p->waited_ns[at], times[2] - times[1], memory_order_relaxed);
    if (member == 0) p->wall_ns[at] += times[2] - times[0];
}

/* Arithmetic as kernels.h has it: rounding to nearest, denormals kept. The caller's own way may be
 * another. */
#if defined(__x86_64__)
typedef unsigned float_mode;

static float_mode enter_float_mode(void)
{
    float_mode saved = _mm_getcsr();
    _mm_setcsr(0x1f80); /* the default, with all exceptions masked */
    return saved;
}

static void leave_float_mode(float_mode saved)
{
    _mm_setcsr(saved);
}
#elif defined(__aarch64__)
typedef uint64_t float_mode;

static void leave_float_mode(float_mode saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved) : "memory");
}

static float_mode enter_float_mode(void)
{
    float_mode saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    leave_float_mode(0); /* the default; NaNs keep their payload, halves are those of IEEE 754 */
    return saved;
}
#else
typedef int float_mode;

static float_mode enter_float_mode(void)
{
    return 0;
}

static void leave_float_mode(float_mode saved)
{
    (void)saved;
}
#endif

static void run_member(void *ctx, int member, int n_members)
{
    run *r = ctx;
    const lull_batch *b = r->batch;
    const bool is_timed = r->d->profile != NULL;
    int64_t times[3] = {is_timed ? lull_clock_ns() : 0};
    float_mode saved = enter_float_mode();
    for (int i = 0; i < atomic_load_explicit(&r->stop_at, memory_order_relaxed); i++) {
        const lull_step *s = &r->steps[i];
        int n_rows = s->is_after_gather ? b->n_out : b->n_rows;
        switch (s->op) {
        case LULL_OP_EMBED: run_embed(r, i, n_members); break;
        case LULL_OP_LINEAR: run_linear(r, i, n_rows, member, n_members); break;
        case LULL_OP_STORE_KV: run_store_kv(r, i, n_members); break;
        case LULL_OP_ATTEND:
            if (r->n_blocks > 0)
                attend_blocks(r, i, r->n_blocks, &r->d->works[member]);
            else
                attend_spans(r, i, n_members, &r->d->works[member]);
            break;
        case LULL_OP_NORM_ADD:
        case LULL_OP_GATHER: run_rows(r, i, n_rows, member, n_members); break;
        }
        /* A step ahead, so that a member that reads stop_at late still leaves where the others do.
         */
        if (member == 0 && b->is_cancelled &&
            atomic_load_explicit(b->is_cancelled, memory_order_relaxed))
            atomic_store_explicit(&r->stop_at, i + 1, memory_order_relaxed);
        if (is_timed) times[1] = lull_clock_ns();
        lull_team_barrier(r->d->team);
        if (!is_timed) continue;
        times[2] = lull_clock_ns();
        note_times(r, i, member, times);
        times[0] = times[2];
    }
    leave_float_mode(saved);
}

lull_status lull_device_run(lull_device *d, const lull_step *steps, int n_steps,
                            const lull_batch *batch)
{
    assert(n_steps <= MAX_STEPS);
    run r = {.d = d, .steps = steps, .n_steps = n_steps, .batch = batch};
    atomic_init(&r.stop_at, n_steps);
    for (int i = 0; i < n_steps * PHASES; i++)
        atomic_store_explicit(&d->claims[i], 0, memory_order_relaxed);
    for (int i = 0; i < n_steps; i++)
        if (steps[i].op == LULL_OP_ATTEND) {
            r.n_blocks = cut_blocks(d, batch, steps[i].n_head);
            break;
        }
    lull_team_run(d->team, run_member, &r);
    return atomic_load_explicit(&r.stop_at, memory_order_relaxed) == n_steps ? LULL_OK
                                                                             : LULL_ECANCELLED;
}

void lull_device_set_profile(lull_device *d, lull_profile *profile)
{
    d->profile = profile;
}

void lull_device_parallel(lull_device *d, void (*fn)(void *ctx, int member, int n_members),
                          void *ctx)
{
    lull_team_run(d->team, fn, ctx);
}

/* ---- memory and life ------------------------------------------------------------------------- */

/* Hands out parts of a block that is measured first (base NULL) and then taken. */
typedef struct cutter {
    uint8_t *base;
    size_t used;
} cutter;

static void *cut(cutter *c, size_t n_bytes)
{
    void *p = c->base ? c->base + c->used : NULL;
    c->used += (n_bytes + 63) / 64 * 64;
    return p;
}

static void lay_out(lull_device *d, cutter *c)
{
    const lull_device_plan *p = &d->plan;
    size_t head = sizeof(float) * (size_t)p->max_d_head;
    int n_shared = p->max_head / p->n_kv, n_group = max_group(p->max_d_head);
    size_t group = head * (size_t)(n_group > n_shared ? n_group : n_shared);
    int n_threads = lull_team_n_threads(d->team);
    d->works = cut(c, sizeof *d->works * (size_t)n_threads);
    for (int i = 0; i < n_threads; i++) {
        member_work w = {.row = cut(c, sizeof(float) * (size_t)p->max_d_in)};
        for (int kind = 0; kind < 2; kind++)
            w.panel[kind] = cut(c, lull_panel_bytes(1, p->max_d_in));
        w.page = cut(c, 2 * PAGE * head);
        size_t widest = 0;
        for (lull_dtype t = 0; t < LULL_DTYPE_N; t++) {
            size_t n = lull_wide_tile_bytes(t, p->max_d_in);
            widest = n > widest ? n : widest;
        }
        if (d->kernels->wide) {
            /* In one piece, since a matrix alone takes both. */
            size_t half = widest > TILES_BYTES / 2 ? widest : TILES_BYTES / 2;
            w.wide[0] = cut(c, 2 * half);
            if (c->base) w.wide[1] = w.wide[0] + half;
            w.wide_work = cut(c, lull_wide_work_bytes(p->max_d_in));
        }
        w.q = cut(c, group);
        w.o = cut(c, group);
        w.o_all = cut(c, group);
        w.queries = cut(c, (size_t)(n_group > n_shared ? n_group : n_shared) *
                               lull_query_q8_bytes(p->max_d_head));
        if (c->base) d->works[i] = w;
    }
    size_t n_panels = (size_t)ceil_div(p->max_rows, LULL_PANEL_MAX);
    for (int kind = 0; kind < 2; kind++)
        d->panels[kind] = cut(c, n_panels * lull_panel_bytes(LULL_PANEL_MAX, p->max_d_in));
    d->angles = cut(c, LULL_MAX_ROPES * (size_t)p->max_rows * head);
    d->max_span_pairs = 4 * n_threads;
    d->max_spans = ceil_div(p->max_positions, SPAN_POSITIONS);
    size_t heads = (size_t)d->max_span_pairs * (size_t)(p->max_head / p->n_kv);
    d->partials = cut(c, heads * (size_t)d->max_spans * (head + 16 * sizeof(float)));
    d->blocks = cut(c, sizeof *d->blocks * (size_t)p->max_rows);
}

lull_status lull_device_plan_memory(lull_device *d, const lull_device_plan *plan, lull_error *err)
{
    lull_device before = *d;
    d->plan = *plan;
    cutter c = {0};
    lay_out(d, &c);
    uint8_t *memory = lull_memory_reserve(c.used);
    if (!memory) {
        *d = before;
        return lull_fail(err, LULL_ENOMEM, "out of memory: %zu bytes of work memory", c.used);
    }
    lull_memory_release(before.memory, before.memory_bytes);
    d->memory = memory;
    d->memory_bytes = c.used;
    c = (cutter){.base = memory};
    lay_out(d, &c);
    return LULL_OK;
}

lull_status lull_device_new_cpu(lull_cpu_level level, lull_activations activations, int n_threads,
                                lull_device **out, lull_error *err)
{
    *out = NULL;
    lull_device *d = calloc(1, sizeof *d);
    if (!d) return lull_fail(err, LULL_ENOMEM, "out of memory for the device");
    lull_status st = LULL_OK;
    d->kernels = lull_kernels_of(level, activations);
    d->claims = calloc(MAX_STEPS * PHASES, sizeof *d->claims);
    if (!d->claims) {
        st = lull_fail(err, LULL_ENOMEM, "out of memory for the device");
        goto done;
    }
    LULL_TRY(lull_team_new(n_threads, &d->team, err));
done:
    if (st != LULL_OK) {
        lull_device_free(d);
        return st;
    }
    *out = d;
    return LULL_OK;
}

void lull_device_free(lull_device *d)
{
    if (!d) return;
    lull_team_free(d->team);
    lull_memory_release(d->memory, d->memory_bytes);
    free(d->claims);
    free(d);
}

lull_cpu_level lull_device_level(const lull_device *d)
{
    return d->kernels->level;
}

lull_activations lull_device_activations(const lull_device *d)
{
    return d->kernels->activations;
}

int32_t lull_device_top(const lull_device *d, const float *x, int n)
{
    return d->kernels->top(x, n);
}

int lull_device_n_threads(const lull_device *d)
{
    return lull_team_n_threads(d->team);
}

size_t lull_device_work_bytes(const lull_device *d)
{
    return d->memory_bytes;
}
