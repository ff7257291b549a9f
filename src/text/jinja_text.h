/* Strings with the meaning that Python gives their methods. Text is UTF-8; a byte that is none
 * counts as a character of its own. Functions that return bool give false when the run has failed. */
#ifndef LULL_TEXT_JINJA_TEXT_H
#define LULL_TEXT_JINJA_TEXT_H

#include "jinja_lib.h"

typedef enum lull_jinja_case {
    LULL_JINJA_UPPER_CASE,
    LULL_JINJA_LOWER_CASE,
    LULL_JINJA_CAPITALIZE,
    LULL_JINJA_TITLE_METHOD, /* str.title: after all that has no case */
    LULL_JINJA_TITLE_FILTER  /* after white space and - ( { [ < */
} lull_jinja_case;

bool lull_jinja_change_case(lull_jinja_run *r, lull_jinja_text t, lull_jinja_case how,
                            lull_jinja_value *out);
/* str.isupper and str.islower. */
bool lull_jinja_is_case(lull_jinja_run *r, lull_jinja_text t, lull_jinja_case which, bool *out);
/* Is this a letter (str.isalpha)? Beyond Latin-1 all that is no space, symbol, punctuation or
 * private use by its block. */
bool lull_jinja_is_letter(uint32_t c);
/* These three count steps and go on when there are too many: the run has failed then, and what they give
 * means nothing. Without the characters of set at the ends; set.s NULL: white space. A view of t. */
lull_jinja_text lull_jinja_strip(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text set,
                                 bool at_start, bool at_end);
/* Byte offset of the first occurrence of part at or after `from`; t.n + 1 when there is none. */
size_t lull_jinja_find_text(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text part,
                            size_t from);
/* Of the last occurrence; t.n + 1 when there is none. */
size_t lull_jinja_find_last(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text part);
/* str.rjust, ljust, center and zfill: at least width characters; fill is one. */
typedef enum lull_jinja_pad_where {
    LULL_JINJA_PAD_START,
    LULL_JINJA_PAD_END,
    LULL_JINJA_PAD_BOTH
} lull_jinja_pad_where;
bool lull_jinja_pad(lull_jinja_run *r, lull_jinja_text t, int64_t width, lull_jinja_text fill,
                    lull_jinja_pad_where where, lull_jinja_value *out);
bool lull_jinja_fill_zeros(lull_jinja_run *r, lull_jinja_text t, int64_t width,
                           lull_jinja_value *out);
/* The first count occurrences; all when count < 0. */
bool lull_jinja_replace_text(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text old,
                             lull_jinja_text with, int64_t count, lull_jinja_value *out);
/* str.split and str.rsplit, at most `most` times when that is not negative; separator.s NULL: at
 * runs of white space. */
bool lull_jinja_split(lull_jinja_run *r, lull_jinja_text t, lull_jinja_text separator, int64_t most,
                      bool from_right, lull_jinja_value *out);
bool lull_jinja_split_lines(lull_jinja_run *r, lull_jinja_text t, bool keep_ends,
                            lull_jinja_value *out);
bool lull_jinja_push_text(lull_jinja_run *r, lull_jinja_list *l, const char *s, size_t n);
/* must_be_text: items that are no strings fail, as in str.join; else they are printed. */
bool lull_jinja_join(lull_jinja_run *r, const lull_jinja_list *l, lull_jinja_text separator,
                     bool must_be_text, lull_jinja_value *out);
/* "%s %d" % values: a tuple of them, a dict for "%(name)s", or one. */
bool lull_jinja_format_percent(lull_jinja_run *r, lull_jinja_text t, const lull_jinja_value *values,
                               lull_jinja_value *out);
/* "{} {0} {name}".format(args), without format specifications. */
bool lull_jinja_format_braces(lull_jinja_run *r, lull_jinja_text t, const lull_jinja_args *a,
                              lull_jinja_value *out);

#endif
