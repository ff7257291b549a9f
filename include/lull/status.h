/* Statuses and errors: how every lull function reports what went wrong.
 *
 * A function that can fail returns lull_status: LULL_OK (0) or a negative value with a name below.
 * Details go to an optional last parameter, a lull_error in the caller's storage: one line of text
 * that names the place (file, offset, field, option) and what to do. Nothing is global, nothing is
 * printed, nothing aborts.
 *
 *     lull_error err;
 *     lull_model *model;
 *     if (lull_model_open("model.gguf", NULL, &model, &err) != LULL_OK)
 *         fprintf(stderr, "%s\n", err.msg);
 */
#ifndef LULL_STATUS_H
#define LULL_STATUS_H

#if defined(__GNUC__)
#define LULL_API __attribute__((visibility("default")))
#define LULL_NODISCARD __attribute__((warn_unused_result))
#define LULL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define LULL_API
#define LULL_NODISCARD
#define LULL_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lull_status {
    LULL_OK = 0,
    LULL_EINVAL = -1,       /* an argument is out of range or contradicts another */
    LULL_ENOMEM = -2,       /* memory ran out; the object is as it was before the call */
    LULL_EIO = -3,          /* the operating system refused a read, write or map */
    LULL_ENOTFOUND = -4,    /* no such file, tensor, key or name */
    LULL_ECORRUPT = -5,     /* bytes of a file contradict its format; msg names offset and field */
    LULL_EUNSUPPORTED = -6, /* well formed, but of a kind that this build does not run */
    LULL_EFULL = -7,        /* no room: context positions, a bound, the disk */
    LULL_ECANCELLED = -8,   /* lull_session_cancel() was called or a callback asked to stop */
    LULL_ENUMERIC = -9,     /* the model computed a logit that is not finite */
    LULL_EEXIST = -10,      /* a name is taken, or does not stand where the caller thought */
    LULL_EMISMATCH = -11    /* a state is of another model, or of other arithmetic */
} lull_status;

/* Filled on failure only; msg is NUL-terminated UTF-8, one line, without a trailing full stop. */
typedef struct lull_error {
    lull_status code;
    char msg[240];
} lull_error;

/* The name of a status, such as "LULL_ECORRUPT"; a static string, never NULL. */
LULL_API const char *lull_status_name(lull_status status);

#ifdef __cplusplus
}
#endif
#endif
