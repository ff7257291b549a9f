/* Hexadecimal digits. */
#ifndef LULL_BASE_HEX_H
#define LULL_BASE_HEX_H

/* The value of a digit of either case, -1 for anything else. */
static inline int lull_hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
