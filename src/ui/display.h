/* Text of unknown origin made fit to be shown: tokens, metadata and what a model writes need not be
 * valid UTF-8, and may hold control characters that would steer the terminal. */
#ifndef LULL_UI_DISPLAY_H
#define LULL_UI_DISPLAY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "buffer.h"

/* Columns that s [n] takes on a terminal; invalid bytes count one each. Needs a UTF-8 locale
 * (lull_term_init_locale). */
int lull_display_width(const char *s, size_t n);

/* Append s [n] in one line of printable characters: line feeds as \n, tabs as \t, a backslash as
 * \\, other control characters and invalid bytes as \xNN. */
void lull_display_escape(lull_buffer *out, const char *s, size_t n);

/* Write s [n]: as it is to a file or a pipe; to a terminal without control characters other than
 * line feed and tab, which could move the cursor or worse. s ends where a character ends. */
void lull_display_write(FILE *f, const char *s, size_t n);

/* Append s [n] as valid UTF-8: each invalid byte becomes U+FFFD. */
void lull_display_repair(lull_buffer *out, const char *s, size_t n);

#endif
