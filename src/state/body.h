/* The bodies of records that are not pages: numbers as 8 bytes, little-endian; strings as their length
 * and their bytes. What each holds is in docs/format-store.md.
 *
 * Reading checks every length against what is left; a reader that has failed gives zeros and empty
 * strings, so that a caller checks once, at the end. */
#ifndef LULL_STATE_BODY_H
#define LULL_STATE_BODY_H

#include "buffer.h"
#include "catalog.h"

enum { LULL_WINDOW_PAGES_MAX = INT32_MAX };

void lull_body_put(lull_buffer *b, uint64_t v);
void lull_body_put_text(lull_buffer *b, const char *text);

typedef struct lull_body {
    const uint8_t *at; /* view */
    size_t n_left;
    bool is_bad;
} lull_body;
uint64_t lull_body_get(lull_body *b);
/* A count of things of at least each_bytes that follow: 0 and bad when there is no room for them. */
size_t lull_body_get_count(lull_body *b, size_t each_bytes);
/* Text of 1 to LULL_NAME_MAX bytes without a NUL, or bad. */
void lull_body_get_name(lull_body *b, char name[LULL_NAME_MAX + 1]);

/* What a STATE record says. Views into the body, but for name. */
typedef struct lull_state_body {
    int64_t parent;
    size_t n_window_pages;
    const uint8_t *keys; /* [n_pages][32] full pages; the tail's key is the record's */
    size_t n_pages;
    const char *card, *session;
    size_t card_bytes, session_bytes;
    bool has_name;
    char name[LULL_NAME_MAX + 1];
    size_t n_tags;
    lull_body tags; /* n_tags names follow */
} lull_state_body;
void lull_state_body_put(lull_buffer *b, const lull_store_draft *draft, const char *name);
bool lull_state_body_get(const uint8_t *bytes, size_t n_bytes, lull_state_body *out);

/* NAME: `name` now stands at `state`; or is called `to`; or is gone. */
typedef enum lull_name_op { LULL_NAME_SET = 1, LULL_NAME_RENAME, LULL_NAME_REMOVE } lull_name_op;

#endif
