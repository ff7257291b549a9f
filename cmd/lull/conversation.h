/* A conversation: what was said, and the tokens that a model is to continue. Messages of the user
 * and the assistant in turn, a system message apart. Not thread-safe. */
#ifndef LULL_CMD_CONVERSATION_H
#define LULL_CMD_CONVERSATION_H

#include "cmd.h"

typedef struct lull_conversation {
    char *system;           /* owned; NULL: none */
    lull_message *messages; /* [n] owned, their contents too; roles are static strings */
    size_t n, cap;
    size_t n_dropped; /* of the oldest, no longer rendered: they did not fit into the context */
} lull_conversation;

/* NULL or "" for none. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_conversation_set_system(lull_conversation *c, const char *text,
                                                        lull_error *err);
/* role: a static string. Invalid UTF-8 of text [n_bytes] is repaired, NUL bytes end it.
 * LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_conversation_add(lull_conversation *c, const char *role,
                                                 const char *text, size_t n_bytes, lull_error *err);
/* Take the last message back; nothing when there is none. */
void lull_conversation_pop(lull_conversation *c);
void lull_conversation_clear(lull_conversation *c); /* the system message stays */
void lull_conversation_fini(lull_conversation *c);

/* The tokens up to the answer that is due, in the form of the file's chat template, or without one
 * as "User: …" and "Assistant:" lines. When they leave less than an eighth of n_ctx for the answer,
 * the oldest exchanges are dropped until half of n_ctx is free, so that it happens seldom: each
 * time, all that is left is evaluated anew. *out is owned: lull_cmd_tokens_fini.
 *   LULL_EFULL  the last message alone is too long; msg has both numbers
 *   else the failures of lull_chat_render and lull_tokenize */
LULL_NODISCARD lull_status lull_conversation_tokens(lull_conversation *c, const lull_model *model,
                                                    size_t n_ctx, lull_cmd_tokens *out,
                                                    lull_error *err);

/* Where an answer ends that is not in a template's form. */
#define LULL_CONVERSATION_PLAIN_STOP "\nUser:"

#endif
