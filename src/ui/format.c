#include "format.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

const char *lull_format_bytes(char buf[LULL_FORMAT_CAP], uint64_t n_bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double x = (double)n_bytes;
    int unit = 0;
    while (x >= 1023.5 && unit < 6) x /= 1024, unit++;
    int decimals = unit == 0 || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2;
    snprintf(buf, LULL_FORMAT_CAP, "%.*f %s", decimals, x, units[unit]);
    return buf;
}

const char *lull_format_ms(char buf[LULL_FORMAT_CAP], double ms)
{
    double s = ms / 1000;
    if (ms < 9.995)
        snprintf(buf, LULL_FORMAT_CAP, "%.2f ms", ms);
    else if (ms < 999.5)
        snprintf(buf, LULL_FORMAT_CAP, "%.0f ms", ms);
    else if (s < 9.995)
        snprintf(buf, LULL_FORMAT_CAP, "%.2f s", s);
    else if (s < 59.95)
        snprintf(buf, LULL_FORMAT_CAP, "%.1f s", s);
    else if (s < 3599.5)
        snprintf(buf, LULL_FORMAT_CAP, "%.0f min %02.0f s", floor(round(s) / 60),
                 fmod(round(s), 60));
    else
        snprintf(buf, LULL_FORMAT_CAP, "%.0f h %02.0f min", floor(s / 3600),
                 floor(fmod(s, 3600) / 60));
    return buf;
}

const char *lull_format_count(char buf[LULL_FORMAT_CAP], uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *p = buf;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) *p++ = ',';
        *p++ = digits[i];
    }
    *p = '\0';
    return buf;
}
