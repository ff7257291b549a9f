/* A table of aligned columns, for people to read. Cells are added row by row and measured in
 * terminal columns, so that wide characters keep the alignment.
 *
 *     lull_grid g;
 *     lull_grid_init(&g, "rl");                 // one letter a column: left or right
 *     lull_grid_cell(&g, "id");
 *     lull_grid_cell(&g, "text");
 *     ...
 *     lull_grid_print(&g, stdout, true);        // the first row is a heading
 *     lull_grid_fini(&g); */
#ifndef LULL_UI_GRID_H
#define LULL_UI_GRID_H

#include <stdbool.h>
#include <stdio.h>

#include "buffer.h"

typedef struct lull_grid {
    const char *align; /* kept */
    lull_buffer text;  /* every cell, NUL-terminated, in order */
    size_t n_cells;
} lull_grid;

void lull_grid_init(lull_grid *g, const char *align);
void lull_grid_cell(lull_grid *g, const char *fmt, ...) LULL_PRINTF(2, 3);
/* One cell of n bytes as lull_display_escape shows them. */
void lull_grid_cell_text(lull_grid *g, const char *s, size_t n);
/* Prints whole rows only. A cell that memory ran out for is left out, with all after it. */
void lull_grid_print(const lull_grid *g, FILE *f, bool has_heading);
void lull_grid_fini(lull_grid *g);

#endif
