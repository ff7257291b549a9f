#include "display.h"

#include <stdbool.h>
#include <wchar.h>

#include "term.h"

size_t lull_display_next(const char *s, size_t n, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    size_t len = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
    if (u[0] < 0xC2 || u[0] > 0xF4 || len > n) return 0;
    uint32_t c = u[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((u[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (u[i] & 0x3F);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return 0;
    *cp = c;
    return len;
}

static bool is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0);
}

int lull_display_width(const char *s, size_t n)
{
    int width = 0;
    while (n > 0) {
        uint32_t cp = 0;
        size_t len = lull_display_next(s, n, &cp);
        int w = len ? wcwidth((wchar_t)cp) : 1;
        if (w > 0) width += w;
        if (!len) len = 1;
        s += len, n -= len;
    }
    return width;
}

void lull_display_escape(lull_buffer *out, const char *s, size_t n)
{
    while (n > 0) {
        uint32_t cp = 0;
        size_t len = lull_display_next(s, n, &cp);
        if (!len) {
            lull_buffer_printf(out, "\\x%02X", (unsigned char)*s);
            len = 1;
        } else if (cp == '\n') {
            lull_buffer_append_str(out, "\\n");
        } else if (cp == '\t') {
            lull_buffer_append_str(out, "\\t");
        } else if (cp == '\\') {
            lull_buffer_append_str(out, "\\\\");
        } else if (is_control(cp)) {
            for (size_t i = 0; i < len; i++)
                lull_buffer_printf(out, "\\x%02X", (unsigned char)s[i]);
        } else {
            lull_buffer_append(out, s, len);
        }
        s += len, n -= len;
    }
}

void lull_display_repair(lull_buffer *out, const char *s, size_t n)
{
    while (n > 0) {
        uint32_t cp;
        size_t len = lull_display_next(s, n, &cp);
        if (len)
            lull_buffer_append(out, s, len);
        else
            lull_buffer_append_str(out, "\xEF\xBF\xBD");
        if (!len) len = 1;
        s += len, n -= len;
    }
}

void lull_display_write(FILE *f, const char *s, size_t n)
{
    if (!lull_term_is_tty(f)) {
        fwrite(s, 1, n, f);
        return;
    }
    while (n > 0) {
        uint32_t cp;
        size_t len = lull_display_next(s, n, &cp);
        if (!len || !is_control(cp) || cp == '\n' || cp == '\t') fwrite(s, 1, len ? len : 1, f);
        if (!len) len = 1;
        s += len, n -= len;
    }
}
