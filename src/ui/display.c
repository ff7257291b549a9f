#include "display.h"

#include <stdbool.h>
#include <wchar.h>

#include "term.h"
#include "utf8.h"

/* The first character of s [n], n >= 1: its bytes, and the code point in *cp. 0 when s does not begin
 * with a whole, valid character. */
static size_t next_char(const char *s, size_t n, uint32_t *cp)
{
    int length;
    *cp = lull_utf8_decode((const uint8_t *)s, n, &length);
    return length > 0 ? (size_t)length : 0;
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
        size_t len = next_char(s, n, &cp);
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
        size_t len = next_char(s, n, &cp);
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
        size_t len = next_char(s, n, &cp);
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
        size_t len = next_char(s, n, &cp);
        if (!len || !is_control(cp) || cp == '\n' || cp == '\t') fwrite(s, 1, len ? len : 1, f);
        if (!len) len = 1;
        s += len, n -= len;
    }
}
