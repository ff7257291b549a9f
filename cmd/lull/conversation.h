/* A conversation: what was said, and the tokens that a model is to continue. A message of the user,
 * then answers of the assistant with results of tools between them, and so on; a system message apart. It
 * may begin behind tokens that are no messages, such as documents that were read: its base. Not
 * thread-safe. */
#ifndef LULL_CMD_CONVERSATION_H
#define LULL_CMD_CONVERSATION_H

#include "cmd.h"

typedef struct lull_conversation {
    char *system;     /* owned; NULL: none */
    json_t *messages; /* owned array of {"role", "content", …}; NULL: none yet */
    size_t n_dropped; /* of the oldest, no longer rendered: they did not fit into the context */
    size_t n_base;    /* tokens of the session before the first message */
    size_t
        n_said; /* tokens of the session that say all up to message n_answered; 0: nobody knows */
    size_t n_answered;
    bool is_open; /* the base ends inside a message of the user, to which the first one belongs */
    const char *tools, *variables; /* kept; as lull_chat_request has them */
} lull_conversation;

size_t lull_conversation_n(const lull_conversation *c);
/* Views; "" where there is no such text. */
const char *lull_conversation_role(const lull_conversation *c, size_t i);
const char *lull_conversation_content(const lull_conversation *c, size_t i);
/* The last message is one that an answer is to follow. */
bool lull_conversation_is_due(const lull_conversation *c);

/* NULL or "" for none. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_conversation_set_system(lull_conversation *c, const char *text,
                                                        lull_error *err);
/* Invalid UTF-8 of text [n_bytes] is repaired, and so are NUL bytes. LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_conversation_add(lull_conversation *c, const char *role,
                                                 const char *text, size_t n_bytes, lull_error *err);
/* A whole message, taken; NULL is LULL_ENOMEM. */
LULL_NODISCARD lull_status lull_conversation_add_message(lull_conversation *c, json_t *message,
                                                         lull_error *err);
/* text as a message holds it. Owned; NULL: no memory. */
json_t *lull_conversation_text(const char *text, size_t n_bytes);
/* An answer was generated and added: the session says it, with all before, unless it ended at a stop
 * string, which stays in the session. */
void lull_conversation_note_said(lull_conversation *c, const lull_session *s, lull_finish finish);
/* Take the last message back; nothing when there is none. */
void lull_conversation_pop(lull_conversation *c);
/* Take back all that follows the last message of the user; and that message, too. */
void lull_conversation_pop_answer(lull_conversation *c);
void lull_conversation_pop_exchange(lull_conversation *c);
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
