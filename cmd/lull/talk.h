/* Talking with a model that thinks and calls tools: what it may call, how it marks both, and one answer
 * taken apart. Not thread-safe. */
#ifndef LULL_CMD_TALK_H
#define LULL_CMD_TALK_H

#include "cmd.h"
#include "lull/reply.h"

enum { LULL_TALK_ROWS = 6 };

typedef enum lull_think {
    LULL_THINK_AUTO, /* as the template has it */
    LULL_THINK_ON,
    LULL_THINK_OFF,
    LULL_THINK_HIDE, /* it thinks, and nobody sees it */
    LULL_THINK_SHOW  /* thoughts are text, with their marks */
} lull_think;

typedef struct lull_talk {
    lull_option rows[LULL_TALK_ROWS];
    const char *tools_file, *tool_choice, *tool_format, *reasoning_format, *think_arg;
    int64_t budget; /* tokens of a thought; -1: any number */

    const lull_model *model; /* kept, from lull_talk_open on */
    lull_think think;
    lull_tool_format tools;
    lull_reasoning_format reasoning;
    json_t *declared; /* owned: the file of tools; NULL: none */
    char *tools_json; /* owned: what templates are given; NULL: no tools */
    char *grammar;    /* owned: LULL_GRAMMAR_PARTS of the call that is asked for; NULL: none is */
} lull_talk;

/* Fill the rows, for run and chat. t stays where it is: rows point into it. */
void lull_talk_init(lull_talk *t);
/* After parsing: formats by the model's template, tools from their file. Failures name option and file. */
LULL_NODISCARD lull_status lull_talk_open(lull_talk *t, const lull_model *model, lull_error *err);
void lull_talk_fini(lull_talk *t);
/* "on", "off", "hide", "show". false: none of them, and nothing has changed. */
bool lull_talk_set_think(lull_talk *t, const char *word);
/* Variables for the chat template, static; NULL: none. */
const char *lull_talk_variables(const lull_talk *t);
/* The tool of this name, as its file has it; NULL: there is none. */
const json_t *lull_talk_find_tool(const lull_talk *t, const char *name);

/* One answer, as it comes. Zero but for on_event and user. */
typedef struct lull_answer {
    bool (*on_event)(void *user, const lull_reply_event *event); /* false: stop */
    void *user;
    lull_reply *reply; /* owned: lull_answer_fini; what was said, by kind */
    lull_generate_result result;
    bool is_over_budget; /* the thought was closed for it */

    /* What was handed out of this answer before it was gone on with: lull_talk_answer_more. */
    size_t n_old_text, n_old_thought, n_old_calls;
    lull_buffer
        tail;      /* owned; text that ended it then, and comes again where it goes on likewise */
    size_t n_tail; /* bytes of it that have come */

    const lull_talk *talk;
    size_t n_thought; /* tokens */
    bool is_stopped, is_cut, is_replaying;
    lull_status failure;
    lull_error *err;
} lull_answer;

/* Generate after the session's last token. opt: kept during the call; its on_text is not used. Failures of
 * lull_generate. */
LULL_NODISCARD lull_status lull_talk_answer(const lull_talk *t, lull_session *s,
                                            const lull_generate_options *opt, lull_answer *out,
                                            lull_error *err);
/* Go on with the session's last generation, as lull_generate_more, be it inside a thought or a call. A
 * thought has no budget here. */
LULL_NODISCARD lull_status lull_talk_answer_more(const lull_talk *t, lull_session *s,
                                                 size_t max_tokens, lull_answer *out,
                                                 lull_error *err);
void lull_answer_fini(lull_answer *a);
/* Its text and thoughts, without what was handed out before: views, as lull_reply_text. */
const char *lull_answer_text(const lull_answer *a, size_t *n_bytes);
const char *lull_answer_thought(const lull_answer *a, size_t *n_bytes);
/* All that as a message of a conversation; NULL: no memory. */
json_t *lull_answer_message(const lull_answer *a);
/* Its calls, as messages have them: [{"id", "type", "function": {"name", "arguments"}}]. Arguments are an
 * object, or their text as the model wrote it, where an object would not hold all of it. */
json_t *lull_answer_calls(const lull_answer *a);

#endif
