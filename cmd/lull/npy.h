/* Writing a NumPy file of f32 [n_rows][n_cols] row by row (format 1.0, numpy.lib.format). The rows
 * go to a temporary file beside the target, which is renamed when it is whole: a failure leaves
 * nothing behind. A target that is no regular file (/dev/null, a pipe) is written in place. */
#ifndef LULL_CMD_NPY_H
#define LULL_CMD_NPY_H

#include <stddef.h>
#include <stdio.h>

#include "error.h"

typedef struct lull_npy {
    FILE *file;
    char *path, *temp_path; /* owned; temp_path is NULL when written in place */
} lull_npy;

/* Asks the file system for the whole length at once, so that a full disk is known at the start.
 *   LULL_EIO     the file cannot be created, or the disk is full; msg names the path
 *   LULL_ENOMEM
 * On failure *w is zeroed and nothing is left behind. */
LULL_NODISCARD lull_status lull_npy_create(lull_npy *w, const char *path, size_t n_rows,
                                           size_t n_cols, lull_error *err);
/* The next row [n_cols]; LULL_EIO. */
LULL_NODISCARD lull_status lull_npy_write(lull_npy *w, const float *row, size_t n_cols,
                                          lull_error *err);
/* Put the file in place; LULL_EIO. Ends w in any case. */
LULL_NODISCARD lull_status lull_npy_commit(lull_npy *w, lull_error *err);
/* Give up: removes the temporary file. Accepts a zeroed or ended w. */
void lull_npy_discard(lull_npy *w);

#endif
