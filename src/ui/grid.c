#include "grid.h"

#include <stdarg.h>
#include <string.h>

#include "display.h"
#include "term.h"

enum { COLS_MAX = 16 };

void lull_grid_init(lull_grid *g, const char *align)
{
    *g = (lull_grid){.align = align};
}

static void end_cell(lull_grid *g)
{
    lull_buffer_append(&g->text, "", 1);
    if (!g->text.is_failed) g->n_cells++;
}

void lull_grid_cell(lull_grid *g, const char *fmt, ...)
{
    char cell[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(cell, sizeof cell, fmt, args);
    va_end(args);
    lull_buffer_append_str(&g->text, cell);
    end_cell(g);
}

void lull_grid_cell_text(lull_grid *g, const char *s, size_t n)
{
    lull_display_escape(&g->text, s, n);
    end_cell(g);
}

void lull_grid_print(const lull_grid *g, FILE *f, bool has_heading)
{
    size_t n_cols = strlen(g->align);
    if (n_cols > COLS_MAX) n_cols = COLS_MAX;
    size_t n_rows = g->n_cells / n_cols;
    int widths[COLS_MAX] = {0};
    const char *cell = g->text.data;
    for (size_t i = 0; i < n_rows * n_cols; i++, cell += strlen(cell) + 1) {
        int w = lull_display_width(cell, strlen(cell));
        if (w > widths[i % n_cols]) widths[i % n_cols] = w;
    }
    cell = g->text.data;
    for (size_t row = 0; row < n_rows; row++) {
        bool is_heading = has_heading && row == 0;
        if (is_heading) fputs(lull_style_of(f, LULL_STYLE_BOLD), f);
        for (size_t col = 0; col < n_cols; col++, cell += strlen(cell) + 1) {
            int pad = widths[col] - lull_display_width(cell, strlen(cell));
            bool is_last = col + 1 == n_cols;
            if (g->align[col] == 'r') fprintf(f, "%*s", pad, "");
            fputs(cell, f);
            if (g->align[col] != 'r' && !is_last) fprintf(f, "%*s", pad, "");
            if (!is_last) fputs("  ", f);
        }
        if (is_heading) fputs(lull_style_of(f, LULL_STYLE_OFF), f);
        fputc('\n', f);
    }
}

void lull_grid_fini(lull_grid *g)
{
    lull_buffer_fini(&g->text);
}
