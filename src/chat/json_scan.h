/* An incremental check of JSON (RFC 8259): one byte in, a verdict out. It keeps no text. Strings must be UTF-8 and
 * their escaped surrogates paired, so that what passes can be loaded by any reader; brackets nest
 * LULL_JSON_DEPTH deep at most. */
#ifndef LULL_CHAT_JSON_SCAN_H
#define LULL_CHAT_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

enum { LULL_JSON_DEPTH = 64 };

typedef enum lull_json_verdict {
    LULL_JSON_MORE,
    LULL_JSON_DONE, /* this byte is the value's last */
    LULL_JSON_PAST, /* a number ended before this byte, which is not part of it */
    LULL_JSON_BAD
} lull_json_verdict;

/* UTF-8 (RFC 3629), byte by byte. Zeroed is the start; n_left 0 is between characters. */
typedef struct lull_utf8 {
    uint8_t n_left, low, high; /* continuation bytes to come; the range of the next */
} lull_utf8;
bool lull_utf8_step(lull_utf8 *u, uint8_t c); /* false: not UTF-8 */

typedef struct lull_json_scan {
    uint64_t is_object; /* a bit per open bracket, the outermost lowest */
    uint8_t depth, state, n_hex;
    bool is_key;        /* the string is an object's key */
    const char *word;   /* what is to come of true, false, null */
    uint16_t hex, high; /* of \u; a high surrogate that waits for its low one */
    lull_utf8 utf8;
} lull_json_scan; /* zeroed: before a value */

lull_json_verdict lull_json_scan_step(lull_json_scan *s, uint8_t c);

/* Is all of this one JSON value, white space around it allowed? */
bool lull_json_is_value(const char *text, size_t n_bytes);

/* What stands between the quotes of a JSON string that passed, without its escapes. */
void lull_json_unescape(const char *text, size_t n_bytes, lull_buffer *out);
/* A character as UTF-8; at most 0x10ffff. Returns its length. */
size_t lull_utf8_put(uint32_t character, char out[4]);

static inline bool lull_json_is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

#endif
