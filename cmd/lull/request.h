/* A conversation that is given as files: messages, tools, a template, variables. */
#ifndef LULL_CMD_REQUEST_H
#define LULL_CMD_REQUEST_H

#include "cmd.h"

typedef struct lull_cmd_request {
    const char *messages, *tools, *template; /* paths; NULL: not given */
    lull_strings vars;                       /* NAME=VALUE */
    char *texts[4];                          /* owned: what r has views of */
    lull_chat_request r;                     /* once loaded */
} lull_cmd_request;

/* Rows of a table of options. */
#define LULL_REQUEST_ROWS(to)                                                                      \
    {'m',                                                                                          \
     "messages",                                                                                   \
     NULL,                                                                                         \
     LULL_OPT_STRING,                                                                              \
     &(to)->messages,                                                                              \
     0,                                                                                            \
     0,                                                                                            \
     "FILE",                                                                                       \
     "the conversation, a JSON array; - is standard input"},                                       \
        {0,                                                                                        \
         "tools",                                                                                  \
         NULL,                                                                                     \
         LULL_OPT_STRING,                                                                          \
         &(to)->tools,                                                                             \
         0,                                                                                        \
         0,                                                                                        \
         "FILE",                                                                                   \
         "the tools that the model may call, a JSON array"},                                       \
        {0,                                                                                        \
         "template",                                                                               \
         NULL,                                                                                     \
         LULL_OPT_STRING,                                                                          \
         &(to)->template,                                                                          \
         0,                                                                                        \
         0,                                                                                        \
         "FILE",                                                                                   \
         "a Jinja template, instead of the model's own"},                                          \
    {                                                                                              \
        0, "var", NULL, LULL_OPT_STRINGS, &(to)->vars, 0, 0, "NAME=VALUE",                         \
            "a variable of the template: JSON, else a string; may be given again"                  \
    }

/* After parsing: -1, or LULL_EXIT_USAGE after a message. */
int lull_cmd_check_request(const char *verb, const lull_cmd_request *q);
/* Read the files; model: for whether it has a template. LULL_ENOTFOUND: neither it nor the request has
 * one. LULL_EINVAL names file and place; else as lull_file_read. Finish it in any case. */
LULL_NODISCARD lull_status lull_cmd_load_request(lull_cmd_request *q, const lull_model *model,
                                                 const char *model_path, lull_error *err);
void lull_cmd_request_fini(lull_cmd_request *q);
/* After a failure of lull_chat_render_json: put the file that it is about in front. */
void lull_cmd_name_file(const lull_cmd_request *q, lull_error *err);

#endif
