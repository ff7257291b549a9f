/* UTF-8 (Unicode 15, table 3-7). */
#ifndef LULL_BASE_UTF8_H
#define LULL_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at s [n], n >= 1. 0: no character starts here. -1: the text ends within
 * one, so that bytes to come could complete it. */
static inline int lull_utf8_length(const uint8_t *s, size_t n)
{
    uint8_t c = s[0];
    if (c < 0x80) return 1;
    int length = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    /* Overlong forms, surrogates and numbers past U+10FFFF show in the second byte. */
    uint8_t lowest = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint8_t highest = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    for (int i = 1; i < length; i++) {
        if ((size_t)i == n) return -1;
        if (s[i] < lowest || s[i] > highest) return 0;
        lowest = 0x80;
        highest = 0xbf;
    }
    return length;
}

/* The character at s [n], n >= 1, and its bytes in *length; *length is as above, and the result
 * 0, where there is none. */
static inline uint32_t lull_utf8_decode(const uint8_t *s, size_t n, int *length)
{
    *length = lull_utf8_length(s, n);
    if (*length <= 1) return *length == 1 ? s[0] : 0;
    uint32_t c = s[0] & (0x7fu >> *length);
    for (int i = 1; i < *length; i++) c = c << 6 | (s[i] & 0x3f);
    return c;
}

#endif
