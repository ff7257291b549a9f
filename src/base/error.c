#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

lull_status lull_fail(lull_error *err, lull_status code, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        vsnprintf(err->msg, sizeof err->msg, fmt, args);
        va_end(args);
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
    }
    return "LULL_E?";
}
