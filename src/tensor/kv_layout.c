#include "kv_layout.h"

#include <string.h>

enum { PLANE_ALIGN = 4096 };

void lull_kv_layout_init(lull_kv_layout *kv, lull_kv_kind kind, int n_layer, int n_kv, int d_head,
                         const bool *is_sliding)
{
    *kv = (lull_kv_layout){.kind = kind, .n_layer = n_layer, .n_kv = n_kv, .d_head = d_head};
    size_t layer_bytes = 2 * (size_t)n_kv * lull_kv_head_bytes(kv);
    for (int i = 0; i < n_layer; i++) {
        int plane = is_sliding[i] ? 1 : 0;
        kv->plane_of[i] = (uint8_t)plane;
        kv->offset[i] = kv->plane_bytes[plane];
        kv->plane_bytes[plane] += layer_bytes;
    }
    for (int p = 0; p < LULL_KV_PLANES; p++)
        kv->plane_bytes[p] = (kv->plane_bytes[p] + PLANE_ALIGN - 1) / PLANE_ALIGN * PLANE_ALIGN;
}

size_t lull_kv_page_bytes(const lull_kv_layout *kv)
{
    return kv->plane_bytes[0] + kv->plane_bytes[1];
}

size_t lull_kv_token_bytes(const lull_kv_layout *kv)
{
    return 2 * (size_t)kv->n_layer * (size_t)kv->n_kv * lull_kv_head_bytes(kv) /
           LULL_PAGE_POSITIONS;
}

/* Rows of `row_bytes` of which the first n_bytes count. */
static bool is_same_rows(const uint8_t *a, const uint8_t *b, int n_rows, size_t row_bytes,
                         size_t n_bytes)
{
    for (int i = 0; i < n_rows; i++)
        if (memcmp(a + (size_t)i * row_bytes, b + (size_t)i * row_bytes, n_bytes) != 0)
            return false;
    return true;
}

static bool is_same_scales(const uint8_t *a, const uint8_t *b, int d, int n)
{
    size_t at = lull_kv_q8_codes_bytes(d);
    return is_same_rows(a + at, b + at, d / LULL_KV_Q8_COLS, 2 * LULL_PAGE_POSITIONS,
                        2 * (size_t)n);
}

static bool is_same_head(lull_kv_kind kind, int d, const uint8_t *ka, const uint8_t *kb,
                         const uint8_t *va, const uint8_t *vb, int n)
{
    size_t n_bytes = (size_t)n;
    if (kind == LULL_KV_F16)
        return is_same_rows(ka, kb, d, 2 * LULL_PAGE_POSITIONS, 2 * n_bytes) &&
               memcmp(va, vb, n_bytes * (size_t)d * 2) == 0;
    if (!is_same_rows(ka, kb, d / 4, 4 * LULL_PAGE_POSITIONS, 4 * n_bytes) ||
        !is_same_scales(ka, kb, d, n) || !is_same_scales(va, vb, d, n))
        return false;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < d; i++) {
            size_t at = ((size_t)(j / 4) * (size_t)d + (size_t)i) * 4 + (size_t)(j % 4);
            if (va[at] != vb[at]) return false;
        }
    return true;
}

bool lull_kv_is_same(const lull_kv_layout *kv, int plane, const uint8_t *a, const uint8_t *b, int n)
{
    uint8_t *p = (uint8_t *)(uintptr_t)a, *q = (uint8_t *)(uintptr_t)b; /* only read */
    for (int layer = 0; layer < kv->n_layer; layer++) {
        if (kv->plane_of[layer] != plane) continue;
        for (int head = 0; head < kv->n_kv; head++)
            if (!is_same_head(kv->kind, kv->d_head, lull_kv_k(kv, p, layer, head),
                              lull_kv_k(kv, q, layer, head), lull_kv_v(kv, p, layer, head),
                              lull_kv_v(kv, q, layer, head), n))
                return false;
    }
    return true;
}
