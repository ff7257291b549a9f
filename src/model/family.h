/* What a family's file gets to build with: hyper-parameters by short name, weights by name and
 * shape, and the graph. The first thing that goes wrong is kept in the builder; later calls do
 * nothing, so that a forward pass reads without checks. */
#ifndef LULL_MODEL_FAMILY_H
#define LULL_MODEL_FAMILY_H

#include "model.h"

typedef struct lull_builder {
    lull_model_core *m;
    lull_graph *g;
    bool *is_used; /* [n_tensors] of the file */
    lull_status st;
    lull_error err;
    lull_packed no_matrix; /* what a failed request gives: the shape asked for, without data */
    lull_table no_table;
} lull_builder;

typedef struct lull_family {
    const char *architecture;
    void (*configure)(lull_builder *b, lull_config *c);
    void (*build)(lull_builder *b, const lull_config *c);
} lull_family;

extern const lull_family lull_family_llama, lull_family_gemma3, lull_family_qwen3;

/* Remember a failure; the first one counts. */
void lull_builder_fail(lull_builder *b, lull_status st, const char *fmt, ...) LULL_PRINTF(3, 4);

/* "<architecture>.<key>" as an integer in [min, max], or fallback when absent (a negative
 * fallback: the key is needed). */
int lull_builder_int(lull_builder *b, const char *key, int min, int max, int fallback);
/* The same for a positive finite number; a fallback of 0 or less: the key is needed. */
double lull_builder_number(lull_builder *b, const char *key, double fallback);
/* Fails when the option is there and not neutral: a number other than 0, or a text other than
 * "none". */
void lull_builder_refuse(lull_builder *b, const char *key);

/* Dimensions that every family has, checked against each other and the file's tensors. */
void lull_builder_common(lull_builder *b, lull_config *c);

/* Frequencies base^(-2i/d) / divisor for the first n_dims dimensions of a head; factors [n_dims/2]
 * or NULL divide them further. Adds a rope to the config and returns it. */
const lull_rope *lull_builder_rope(lull_builder *b, lull_config *c, double base, double divisor,
                                   int n_dims, const float *factors, bool is_neox);

/* What linear RoPE scaling divides frequencies by, 1 without; other kinds are refused. */
double lull_builder_linear_rope(lull_builder *b);

/* Tensors, by a printf format of the name: a matrix [n_rows][n_cols] to multiply by, a table of
 * the same to look up, a vector [n] widened to f32. Missing or of another shape is a failure;
 * has_tensor asks. Never NULL: a harmless object after one. */
bool lull_builder_has(lull_builder *b, const char *fmt, ...) LULL_PRINTF(2, 3);
const lull_packed *lull_builder_matrix(lull_builder *b, int n_rows, int n_cols, const char *fmt,
                                       ...) LULL_PRINTF(4, 5);
const lull_table *lull_builder_table(lull_builder *b, int n_rows, int n_cols, const char *name);
const float *lull_builder_vector(lull_builder *b, int n, const char *fmt, ...) LULL_PRINTF(3, 4);

#endif
