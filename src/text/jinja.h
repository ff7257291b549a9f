/* Chat templates: the part of Jinja2 that they use, with its semantics (trim_blocks, lstrip_blocks,
 * undefined names). A template is parsed once and rendered many times; rendering is bounded in
 * depth, steps and output, so that a hostile template ends in an error. Immutable once parsed:
 * render from any thread.
 *
 *     lull_jinja *t;
 *     LULL_TRY(lull_jinja_parse(src, n, &t, err));
 *     LULL_TRY(lull_jinja_render(t, vars, &text, &n_bytes, err));  // vars: a JSON object
 */
#ifndef LULL_TEXT_JINJA_H
#define LULL_TEXT_JINJA_H

#include <jansson.h>
#include <stddef.h>

#include "error.h"

typedef struct lull_jinja lull_jinja;

/* src [n_bytes] borrowed. LULL_EUNSUPPORTED: a syntax error or an unknown tag, filter or test; msg
 * gives line and column. LULL_EFULL: it is too long or nested too deeply. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_jinja_parse(const char *src, size_t n_bytes, lull_jinja **out,
                                            lull_error *err);
void lull_jinja_free(lull_jinja *t);

/* vars: a JSON object (messages, tools, add_generation_prompt, bos_token, eos_token, …), borrowed;
 * its key order is kept. *text is owned (free()), NUL-terminated. Failures, with line and column:
 *   LULL_EINVAL        raise_exception() was called; msg ends with its text
 *   LULL_EUNSUPPORTED  an operation on the wrong type, an attribute of what is undefined
 *   LULL_EFULL         a bound was reached: depth, steps, output or memory
 *   LULL_ENOMEM */
LULL_NODISCARD lull_status lull_jinja_render(const lull_jinja *t, const json_t *vars, char **text,
                                             size_t *n_bytes, lull_error *err);

#endif
