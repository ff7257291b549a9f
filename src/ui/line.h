/* Reading lines from a person, with editing and history (libedit), or from a pipe, plainly.
 *
 * On a terminal: the usual keys; Alt-Enter puts a line break into the line, a bracketed paste keeps
 * its line breaks, Tab completes the words of lull_line_set_words, Ctrl-C drops the line, Ctrl-D on
 * an empty line is the end. The history is a text file, a line an entry (\n and \\ are escaped),
 * appended to as it grows, so that several programs can share it. Not thread-safe. */
#ifndef LULL_UI_LINE_H
#define LULL_UI_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

typedef struct lull_line lull_line;

typedef enum lull_line_event {
    LULL_LINE_TEXT,
    LULL_LINE_INTERRUPT, /* Ctrl-C: what was typed is gone */
    LULL_LINE_END        /* Ctrl-D, or the end of the pipe */
} lull_line_event;

/* program: how libedit's own settings file (~/.editrc) calls us. history_path: kept between runs;
 * NULL: none. A history that cannot be read or written is done without. *out is owned:
 * lull_line_free. LULL_ENOMEM, LULL_EIO (the terminal cannot be set up). */
LULL_NODISCARD lull_status lull_line_new(const char *program, const char *history_path,
                                         lull_line **out, lull_error *err);
void lull_line_free(lull_line *l);

/* Standard input and output are a terminal: prompts and editing are on. */
bool lull_line_is_interactive(const lull_line *l);

/* words [n] kept: what Tab completes at the beginning of a line. */
void lull_line_set_words(lull_line *l, const char *const *words, size_t n);

/* prompt: shown on a terminal, in bold, with a blank after it. prefill: put into the line to be edited, NULL for none;
 * ignored in a pipe. On LULL_LINE_TEXT *text is a view of [*n_bytes], NUL-terminated, without the
 * final line feed, until the next call. */
lull_line_event lull_line_read(lull_line *l, const char *prompt, const char *prefill,
                               const char **text, size_t *n_bytes);

/* Add to the history; does nothing in a pipe. */
void lull_line_remember(lull_line *l, const char *text);

#endif
