/* What a stream shows: whether it is a terminal, how wide, and whether colour is wanted. Colour is
 * on for a terminal unless NO_COLOR is set (no-color.org) or TERM is "dumb". */
#ifndef LULL_UI_TERM_H
#define LULL_UI_TERM_H

#include <stdbool.h>
#include <stdio.h>

typedef enum lull_style {
    LULL_STYLE_OFF, /* back to plain */
    LULL_STYLE_BOLD,
    LULL_STYLE_DIM,
    LULL_STYLE_RED,
    LULL_STYLE_GREEN,
    LULL_STYLE_N
} lull_style;

bool lull_term_is_tty(FILE *f);
/* Columns; 80 when f is no terminal or does not tell. */
int lull_term_width(FILE *f);

/* The escape sequence that turns a style on, or "" where f has no colour, so that it can be printed
 * without asking. A static string. */
const char *lull_style_of(FILE *f, lull_style style);

/* Read characters as UTF-8 from here on: the user's locale when it is a UTF-8 one, else C.UTF-8.
 * Only LC_CTYPE, so that numbers keep their decimal point. Call once, before threads. */
void lull_term_init_locale(void);

#endif
