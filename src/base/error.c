#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Messages quote what files and users wrote: nothing of it may steer a terminal. A character cut in
 * two by the end of the buffer goes. */
static void clean(char *msg)
{
    size_t n = strlen(msg);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)msg[i] < 32 || msg[i] == 127) msg[i] = '?';
    size_t start = n;
    while (start > 0 && n - start < 3 && ((unsigned char)msg[start - 1] & 0xc0) == 0x80) start--;
    unsigned char lead = start > 0 ? (unsigned char)msg[start - 1] : 0;
    size_t needed = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (n - start < needed) msg[start - 1] = '\0';
}

lull_status lull_fail(lull_error *err, lull_status code, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        vsnprintf(err->msg, sizeof err->msg, fmt, args);
        va_end(args);
        clean(err->msg);
    }
    return code;
}

void lull_error_prefix(lull_error *err, const char *fmt, ...)
{
    if (!err) return;
    char old[sizeof err->msg];
    memcpy(old, err->msg, sizeof old);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    int room = (int)sizeof err->msg - n;
    if (n >= 0 && room > 3) snprintf(err->msg + n, (size_t)room, ": %.*s", room - 3, old);
    clean(err->msg);
}

const char *lull_status_name(lull_status status)
{
    switch (status) {
    case LULL_OK: return "LULL_OK";
    case LULL_EINVAL: return "LULL_EINVAL";
    case LULL_ENOMEM: return "LULL_ENOMEM";
    case LULL_EIO: return "LULL_EIO";
    case LULL_ENOTFOUND: return "LULL_ENOTFOUND";
    case LULL_ECORRUPT: return "LULL_ECORRUPT";
    case LULL_EUNSUPPORTED: return "LULL_EUNSUPPORTED";
    case LULL_EFULL: return "LULL_EFULL";
    case LULL_ECANCELLED: return "LULL_ECANCELLED";
    case LULL_ENUMERIC: return "LULL_ENUMERIC";
    case LULL_EEXIST: return "LULL_EEXIST";
    case LULL_EMISMATCH: return "LULL_EMISMATCH";
    }
    return "LULL_E?";
}
