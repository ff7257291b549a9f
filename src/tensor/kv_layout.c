#include "kv_layout.h"

enum { PLANE_ALIGN = 4096 };

void lull_kv_layout_init(lull_kv_layout *kv, int n_layer, int n_kv, int d_head,
                         const bool *is_sliding)
{
    *kv = (lull_kv_layout){.n_layer = n_layer, .n_kv = n_kv, .d_head = d_head};
    size_t layer_bytes = 2 * (size_t)n_kv * lull_kv_head_elems(kv) * sizeof(uint16_t);
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
    return 2 * sizeof(uint16_t) * (size_t)kv->n_layer * (size_t)kv->n_kv * (size_t)kv->d_head;
}
