/* How keys and values are kept. A kind belongs to the numerics class: states of different kinds have
 * nothing in common (docs/numerics.md, section 7). */
#ifndef LULL_KV_H
#define LULL_KV_H

typedef enum lull_kv_kind {
    LULL_KV_DEFAULT, /* $LULL_KV, else f16 */
    LULL_KV_F16,     /* 16 bits a value: class canon-1 */
    LULL_KV_Q8 /* 8 bits and a scale for 32 of them, a little over half: class canon-1/kv-q8 */
} lull_kv_kind;

#endif
