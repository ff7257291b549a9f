/* What a model says, taken apart while it says it: text, thoughts, tool calls.
 *
 * A tool format is how a family of models writes a call; a reasoning format is how it marks its thoughts. The
 * two are chosen apart. A parser is fed the reply in pieces of any size and hands out events. It works byte by
 * byte inside, so that the events, with adjacent pieces of one thing joined, do not depend on where the
 * reply is cut. What is held back is no more than may be the start of a marker, and white space that a
 * marker may follow.
 *
 *     lull_reply_options o = {.tools = LULL_TOOLS_HERMES, .reasoning = LULL_REASONING_THINK,
 *                             .on_event = on_event};
 *     LULL_TRY(lull_reply_new(&o, &r, err));
 *     while (...) LULL_TRY(lull_reply_feed(r, piece, n_bytes, err));
 *     LULL_TRY(lull_reply_finish(r, err));
 *     ... lull_reply_text(r, &n), lull_reply_call(r, i) ...
 *     lull_reply_free(r);
 *
 * A call that turns out malformed is withdrawn: LULL_REPLY_CALL_FAILED, and its source is text again. Up to its
 * last marker it stays text, the rest is read anew, so that a good call that was swallowed is found.
 * A call is malformed when its syntax is; when its arguments are no JSON object, or not UTF-8; when it
 * nests deeper than LULL_REPLY_DEPTH or is longer than LULL_REPLY_CALL_BYTES; or when the reply ends
 * inside it. An end marker that is missing at the very end is forgiven once the arguments are complete:
 * it often is the token at which generation stopped. Who cannot withdraw what was sent waits for
 * LULL_REPLY_CALL_END.
 *
 * White space: what stands directly before and after a call or a thought is dropped, and so is what stands at
 * both ends of a thought. Two pieces of text with a call or a thought between them are joined by one newline;
 * so are two thoughts. All other text, and the source of a failed call, is kept to the byte.
 *
 * Thoughts in tags that could be plain text (<think> and the like) open only where no text stands since the
 * start, the last call or the last thought; special tokens open them anywhere. A call inside a thought is
 * part of the thought, except for families whose call markers end it (Kimi, Gemma 4).
 *
 * Text and thoughts are bytes as the model made them. Pieces end inside a character only where the fed ones do.
 *
 * Threads: one at a time per parser. */
#ifndef LULL_REPLY_H
#define LULL_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "lull/reply_format.h"
#include "lull/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LULL_REPLY_DEPTH = 64,             /* of brackets in the arguments of a call */
    LULL_REPLY_NAME_BYTES = 256,       /* of a function or parameter name, an id */
    LULL_REPLY_CALL_BYTES = 1 << 20,   /* of the source of one call */
    LULL_REPLY_FIRST_CALL = 90000,     /* ids have room for five digits */
    LULL_REPLY_CALLS = 1024,           /* in one reply; what follows is text */
    LULL_REPLY_TOTAL_BYTES = 256 << 20 /* of a reply */
};

typedef enum lull_reply_event_kind {
    LULL_REPLY_TEXT,
    LULL_REPLY_THOUGHT,
    LULL_REPLY_CALL_BEGIN, /* name and id are known */
    LULL_REPLY_ARGUMENTS,  /* the next bytes of the arguments, as JSON text */
    LULL_REPLY_CALL_END,   /* the call is good */
    LULL_REPLY_CALL_FAILED, /* it is withdrawn; its source follows as text. CALL_BEGIN may not have come */
} lull_reply_event_kind;

typedef struct lull_reply_event {
    lull_reply_event_kind kind;
    int index;         /* of a call: calls that began are counted, also those that failed */
    const char *name;  /* CALL_BEGIN; NUL-terminated */
    const char *id;    /* CALL_BEGIN; NUL-terminated */
    const char *bytes; /* [n_bytes] of TEXT, THOUGHT, ARGUMENTS; not NUL-terminated */
    size_t n_bytes;
} lull_reply_event; /* pointers are views for the time of the callback */

typedef enum lull_thinking {
    LULL_THINKING_CAPTURE, /* THOUGHT events */
    LULL_THINKING_HIDE,    /* thoughts are dropped */
    LULL_THINKING_SHOW     /* thoughts are text, untouched, with their markers */
} lull_thinking;

typedef struct lull_reply_options { /* zeroed: text only */
    lull_tool_format tools;
    lull_reasoning_format reasoning;
    lull_thinking thinking;
    bool starts_in_thought; /* the prompt already opened it: lull_chat_starts_in_thought() */
    /* The tools as the chat template gets them: a JSON array of {"type": "function", "function": {"name",
     * "parameters": schema}} or of the inner objects. Borrowed; NULL: unknown. Their schemas say which
     * parameters of XML forms are strings (all, when unknown). Their names decide, for forms without
     * a marker (Llama 3, pythonic, plain JSON), whether something is a call. */
    const char *tools_json;
    int first_call; /* generated ids count from here: calls of earlier turns; to LULL_REPLY_FIRST_CALL */
    void (*on_event)(void *user, const lull_reply_event *event); /* may be NULL; must not feed r */
    void *user;
} lull_reply_options;

typedef struct lull_reply lull_reply;

/* LULL_EINVAL (an option out of range, tools_json is no array), LULL_ENOMEM. */
LULL_API LULL_NODISCARD lull_status lull_reply_new(const lull_reply_options *options,
                                                   lull_reply **out, lull_error *err);
LULL_API void lull_reply_free(lull_reply *r); /* accepts NULL */

/* The next bytes of the reply, borrowed. Any bytes are well: nothing that a model says is an error.
 *   LULL_ENOMEM  events may be missing; the parser only gives this from now on
 *   LULL_EFULL   the reply is longer than LULL_REPLY_TOTAL_BYTES */
LULL_API LULL_NODISCARD lull_status lull_reply_feed(lull_reply *r, const char *bytes,
                                                    size_t n_bytes, lull_error *err);
/* The reply is over: what was held back is decided. Once; LULL_ENOMEM. */
LULL_API LULL_NODISCARD lull_status lull_reply_finish(lull_reply *r, lull_error *err);

/* Everything so far: views until the next call on r, NUL-terminated. n_bytes may be NULL. */
LULL_API const char *lull_reply_text(const lull_reply *r, size_t *n_bytes);
LULL_API const char *lull_reply_thought(const lull_reply *r, size_t *n_bytes);

typedef struct lull_reply_call_view {
    const char *id, *name, *arguments; /* arguments: a JSON object as text */
    int index;                         /* the one of its events */
} lull_reply_call_view;
LULL_API size_t lull_reply_n_calls(const lull_reply *r); /* the good ones, in their order */
LULL_API lull_reply_call_view lull_reply_call(const lull_reply *r, size_t i);
LULL_API int lull_reply_n_failed(const lull_reply *r);

/* Is the parser inside a thought, or inside a call? For budgets, and for who forces one. */
LULL_API bool lull_reply_in_thought(const lull_reply *r);
LULL_API bool lull_reply_in_call(const lull_reply *r);

#ifdef __cplusplus
}
#endif
#endif
