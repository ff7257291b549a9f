/* The bytes of a KV page: 64 consecutive positions, aligned to a multiple of 64, of every layer.
 *
 * A page is split into planes so that a part can be kept, mapped or dropped on its own: plane 0
 * holds the layers with global attention, plane 1 those with a sliding window. Within a plane,
 * layers ascend; a layer is the keys of its KV heads, then their values. Of kind f16 a head's are
 *
 *     K  f16 [d_head][64]   transposed: scores run down lanes of positions
 *     V  f16 [64][d_head]   as is: sums run down lanes of dimensions
 *
 * Of kind q8, where 32 values of a position share a scale, and four codes that are multiplied together
 * stand side by side:
 *
 *     K  u8 [d_head / 4][64][4]  code + 128      then f16 scales [d_head / 32][64]
 *     V  i8 [16][d_head][4]      code; the inner 4 are positions      then f16 scales [d_head / 32][64]
 *
 * A plane is a multiple of 4096 bytes, so that a file can hold it as memory does. */
#ifndef LULL_TENSOR_KV_LAYOUT_H
#define LULL_TENSOR_KV_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lull/numerics.h"

enum {
    LULL_PAGE_POSITIONS = 64,
    LULL_KV_PLANES = 2,
    LULL_MAX_LAYERS = 512,
    LULL_KV_Q8_COLS = 32 /* values under one scale; divides d_head */
};

typedef struct lull_kv_layout {
    lull_kv_kind kind;
    int n_layer, n_kv, d_head;
    uint8_t plane_of[LULL_MAX_LAYERS];  /* 0 global, 1 sliding */
    size_t offset[LULL_MAX_LAYERS];     /* bytes from the start of the layer's plane to its K */
    size_t plane_bytes[LULL_KV_PLANES]; /* 0: no such layer */
} lull_kv_layout;

/* is_sliding [n_layer]; 1 <= n_layer <= LULL_MAX_LAYERS. */
void lull_kv_layout_init(lull_kv_layout *kv, lull_kv_kind kind, int n_layer, int n_kv, int d_head,
                         const bool *is_sliding);

/* Bytes of the codes of kind q8, of K or V of a head; the scales follow. */
static inline size_t lull_kv_q8_codes_bytes(int d_head)
{
    return (size_t)d_head * LULL_PAGE_POSITIONS;
}

/* Bytes of K (as many of V) of one layer and KV head in a page; a multiple of 64. */
static inline size_t lull_kv_head_bytes(const lull_kv_layout *kv)
{
    size_t n = (size_t)kv->d_head * LULL_PAGE_POSITIONS;
    return kv->kind == LULL_KV_F16 ? n * sizeof(uint16_t)
                                   : n + n / LULL_KV_Q8_COLS * sizeof(uint16_t);
}

/* The keys of a KV head in a plane; the values of the same head. */
static inline uint8_t *lull_kv_k(const lull_kv_layout *kv, uint8_t *plane, int layer, int head)
{
    return plane + kv->offset[layer] + (size_t)head * lull_kv_head_bytes(kv);
}
static inline uint8_t *lull_kv_v(const lull_kv_layout *kv, uint8_t *plane, int layer, int head)
{
    return lull_kv_k(kv, plane, layer, kv->n_kv + head);
}

/* Do the first n positions of two planes agree? Of the plane's layers alone. */
bool lull_kv_is_same(const lull_kv_layout *kv, int plane, const uint8_t *a, const uint8_t *b,
                     int n);

size_t lull_kv_page_bytes(const lull_kv_layout *kv);
/* Bytes that one position takes, without the rounding of planes. */
size_t lull_kv_token_bytes(const lull_kv_layout *kv);

/* What a device sees of one sequence: for each plane, a pointer a page; NULL where no layer reads
 * it. */
typedef struct lull_kv_view {
    uint8_t *const *pages[LULL_KV_PLANES];
} lull_kv_view;

#endif
