/* The layout of quantised panels for the activations that a source is compiled for: LULL_ACTIVATION_BITS
 * is 8 or 16. */
#ifndef LULL_KERNELS_PANEL_H
#define LULL_KERNELS_PANEL_H

#include "kernels.h"

#ifndef LULL_ACTIVATION_BITS
#define LULL_ACTIVATION_BITS 8
#endif

#if LULL_ACTIVATION_BITS == 8
enum {
    PANEL_HIGH = LULL_PANEL_HIGH,
    PANEL_S = LULL_PANEL_S,
    PANEL_NEG = LULL_PANEL_NEG,
    PANEL_BLOCK = LULL_PANEL_BLOCK
};
#else
enum {
    PANEL_HIGH = LULL_PANEL16_HIGH,
    PANEL_S = LULL_PANEL16_S,
    PANEL_NEG = LULL_PANEL16_NEG,
    PANEL_BLOCK = LULL_PANEL16_BLOCK
};
#endif

#endif
