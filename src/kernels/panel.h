/* The layout of quantised panels for the activations that a source is compiled for: LULL_ACTIVATION_BITS
 * is 8 or 16. */
#ifndef LULL_KERNELS_PANEL_H
#define LULL_KERNELS_PANEL_H

#include <string.h>

#include "kernels.h"

#ifndef LULL_ACTIVATION_BITS
#define LULL_ACTIVATION_BITS 8
#endif

#if LULL_ACTIVATION_BITS == 8
enum {
    PANEL_HIGH_BYTES = 4, /* of a token, side by side */
    PANEL_HIGH = LULL_PANEL_HIGH,
    PANEL_S = LULL_PANEL_S,
    PANEL_NEG = LULL_PANEL_NEG,
    PANEL_BLOCK = LULL_PANEL_BLOCK
};
#else
enum {
    PANEL_HIGH_BYTES = 32,
    PANEL_HIGH = LULL_PANEL16_HIGH,
    PANEL_S = LULL_PANEL16_S,
    PANEL_NEG = LULL_PANEL16_NEG,
    PANEL_BLOCK = LULL_PANEL16_BLOCK
};
#endif

/* Where token t of n_tokens stands in block b: views into the panel. What there is of each half, or as s
 * and sm, is n_tokens elements apart: neg[0] and neg[n_tokens]. */
typedef struct panel_slot {
    int8_t *low;    /* [32] */
    int8_t *high;   /* [32]; with 8 bits [4], and those of the second half at 4 n_tokens */
    int32_t *group; /* with 8 bits only */
    float *s;
    int32_t *neg;
} panel_slot;

static inline panel_slot panel_slot_at(uint8_t *panel, int b, int n_tokens, int t)
{
    uint8_t *block = panel + (size_t)b * PANEL_BLOCK * (size_t)n_tokens;
    return (panel_slot)
    {
        .low = (int8_t *)block + 32 * t,
        .high = (int8_t *)block + PANEL_HIGH * n_tokens + PANEL_HIGH_BYTES * t,
#if LULL_ACTIVATION_BITS == 8
        .group = (int32_t *)(block + LULL_PANEL_GROUP * n_tokens) + t,
#endif
        .s = (float *)(block + PANEL_S * n_tokens) + t,
        .neg = (int32_t *)(block + PANEL_NEG * n_tokens) + t,
    };
}

/* For a block whose largest |x|, a, is not ordinary; all but group. */
static inline void panel_slot_clear(panel_slot slot, int n_tokens, float a)
{
    memset(slot.low, 0, LULL_BLOCK_COLS);
    memset(slot.high, 0, PANEL_HIGH_BYTES);
#if LULL_ACTIVATION_BITS == 8
    memset(slot.high + 4 * n_tokens, 0, PANEL_HIGH_BYTES);
#endif
    slot.neg[0] = slot.neg[n_tokens] = 0;
    slot.s[0] = lull_odd_scale(a);
    slot.s[n_tokens] = 0;
}

#endif
