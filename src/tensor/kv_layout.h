/* The bytes of a KV page: 64 consecutive positions, aligned to a multiple of 64, of every layer.
 *
 * A page is split into planes so that a part can be kept, mapped or dropped on its own: plane 0
 * holds the layers with global attention, plane 1 those with a sliding window. Within a plane,
 * layers ascend; a layer is
 *
 *     K  [n_kv][d_head][64]  f16   transposed: scores run down lanes of positions
 *     V  [n_kv][64][d_head]  f16   as is: sums run down lanes of dimensions
 *
 * A plane is a multiple of 4096 bytes, so that a file can hold it as memory does. */
#ifndef LULL_TENSOR_KV_LAYOUT_H
#define LULL_TENSOR_KV_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LULL_PAGE_POSITIONS = 64, LULL_KV_PLANES = 2, LULL_MAX_LAYERS = 512 };

typedef struct lull_kv_layout {
    int n_layer, n_kv, d_head;
    uint8_t plane_of[LULL_MAX_LAYERS];  /* 0 global, 1 sliding */
    size_t offset[LULL_MAX_LAYERS];     /* bytes from the start of the layer's plane to its K */
    size_t plane_bytes[LULL_KV_PLANES]; /* 0: no such layer */
} lull_kv_layout;

/* is_sliding [n_layer]; 1 <= n_layer <= LULL_MAX_LAYERS. */
void lull_kv_layout_init(lull_kv_layout *kv, int n_layer, int n_kv, int d_head,
                         const bool *is_sliding);

/* f16 elements of K (as many as of V) of one layer and KV head in a page. */
static inline size_t lull_kv_head_elems(const lull_kv_layout *kv)
{
    return (size_t)kv->d_head * LULL_PAGE_POSITIONS;
}

/* The K [d_head][64] of a KV head in a plane; V [64][d_head] of the same head. */
static inline uint16_t *lull_kv_k(const lull_kv_layout *kv, uint8_t *plane, int layer, int head)
{
    return (uint16_t *)(plane + kv->offset[layer]) + (size_t)head * lull_kv_head_elems(kv);
}
static inline uint16_t *lull_kv_v(const lull_kv_layout *kv, uint8_t *plane, int layer, int head)
{
    return lull_kv_k(kv, plane, layer, kv->n_kv + head);
}

size_t lull_kv_page_bytes(const lull_kv_layout *kv);
/* Bytes that one position takes, without the rounding of planes. */
size_t lull_kv_token_bytes(const lull_kv_layout *kv);

/* What a device sees of one sequence: for each plane, a pointer a page; NULL where no layer reads
 * it. */
typedef struct lull_kv_view {
    uint8_t *const *pages[LULL_KV_PLANES];
} lull_kv_view;

#endif
