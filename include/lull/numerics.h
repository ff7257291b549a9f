/* What belongs to a numerics class beside the weights: models that differ in it give other bits, and their
 * states have nothing in common (docs/numerics.md). Names of classes: canon-1, with w for activations of
 * 16 bits and /kv-q8 for keys and values of 8 ("canon-1w/kv-q8"). */
#ifndef LULL_NUMERICS_H
#define LULL_NUMERICS_H

/* How keys and values are kept. */
typedef enum lull_kv_kind {
    LULL_KV_DEFAULT, /* $LULL_KV, else f16 */
    LULL_KV_F16,     /* 16 bits a value */
    LULL_KV_Q8       /* 8 bits and a scale for 32 of them, a little over half */
} lull_kv_kind;

/* How what weights are multiplied with is kept. */
typedef enum lull_activations {
    LULL_ACTIVATIONS_DEFAULT, /* $LULL_ACTIVATIONS, else 8 */
    LULL_ACTIVATIONS_8,       /* 8 bits, outliers 15, and a scale for 32 */
    LULL_ACTIVATIONS_16, /* 15 bits in two bytes and a scale for 32: prompts take longer to read */
    LULL_ACTIVATIONS_N
} lull_activations;

#endif
