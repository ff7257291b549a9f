/* A conversation: what was said, and the tokens that a model is to continue. Messages of the user
 * and the assistant in turn, a system message apart. It may begin behind tokens that are no messages,
 * such as documents that were read: its base. Not thread-safe. */
#ifndef LULL_CMD_CONVERSATION_H
#define LULL_CMD_CONVERSATION_H

#include "cmd.h"

typedef struct lull_conversation {
    char *system;           /* owned; NULL: none */
    lull_message *messages; /* [n] owned, their contents too; roles are static strings */
    size_t n, cap;
    size_t n_dropped; /* of the oldest, no longer rendered: they did not fit into the context */
    size_t n_base;    /* tokens of the session before the first message */
    size_t n_said;    /* tokens of the session that say all that was answered; 0: nobody knows */
    bool is_open; /* the base ends inside a message of the user, to which the first one belongs */
} lull_conversation;

/* NULL or "" for none. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_conversation_set_system(lull_conversation *c, const char *text,
                                                        lull_error *err);
/* role: a static string. Invalid UTF-8 of text [n_bytes] is repaired, and so are NUL bytes.
 * LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_conversation_add(lull_conversation *c, const char *role,
                                                 const char *text, size_t n_bytes, lull_error *err);
/* An answer was generated and added: the session says it, with all before, unless it ended at a stop
 * string, which stays in the session. */
void lull_conversation_note_said(lull_conversation *c, const lull_session *s,
                                 lull_finish finish);
/* Take the last message back; nothing when there is none. */
void lull_conversation_pop(lull_conversation *c);
void lull_conversation_clear(lull_conversation *c); /* the system message and the base stay */
void lull_conversation_fini(lull_conversation *c);

/* What is to be evaluated so that the answer that is due comes next. */
typedef struct lull_conversation_plan {
    size_t n_keep;          /* tokens of the session that stay */
    lull_cmd_tokens tokens; /* to follow them; owned: lull_cmd_tokens_fini */
} lull_conversation_plan;

/* The conversation in the form of the file's chat template, or without one as "User: …" and
 * "Assistant:" lines, against what the session has. After an answer all of it stays, as it was generated;
 * otherwise as much as says the same as the template. When that
 * leaves less than an eighth of the context for the answer, the oldest exchanges are dropped until half of
 * it is free, so that it happens seldom: each time, all that is left is evaluated anew.
 *   LULL_EFULL  the last message alone is too long; msg has both numbers
 *   else the failures of lull_chat_render and lull_tokenize */
LULL_NODISCARD lull_status lull_conversation_make_plan(lull_conversation *c,
                                                       const lull_model *model,
                                                       const lull_session *s,
                                                       lull_conversation_plan *out,
                                                       lull_error *err);
/* Bring the session there. Failures of lull_cmd_eval_prompt. */
LULL_NODISCARD lull_status lull_conversation_follow(const lull_conversation_plan *plan,
                                                    lull_session *s, lull_error *err);

/* After messages were taken back: forget the tokens that say them. Failures of lull_chat_render. */
LULL_NODISCARD lull_status lull_conversation_trim(const lull_conversation *c,
                                                  const lull_model *model, lull_session *s,
                                                  lull_error *err);

/* Keep the conversation with the session ("messages", "conversation"), and find it again there. A
 * session without one is the base of a new one. LULL_ENOMEM; LULL_ECORRUPT names what is wrong. */
LULL_NODISCARD lull_status lull_conversation_save(const lull_conversation *c, lull_session *s,
                                                  lull_error *err);
LULL_NODISCARD lull_status lull_conversation_load(lull_conversation *c, const lull_session *s,
                                                  lull_error *err);

/* The texts around a document that is to stand in a message of the user, from the chat template: *before is
 * owned, free(). LULL_ENOTFOUND: the file has no template. */
LULL_NODISCARD lull_status lull_conversation_open(const lull_model *model, const char *system,
                                                  char **before, lull_error *err);

/* Where an answer ends that is not in a template's form. */
#define LULL_CONVERSATION_PLAIN_STOP "\nUser:"

#endif
