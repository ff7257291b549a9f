/* What the verbs of the store share: where it is, how states are shown. */
#ifndef LULL_CMD_STORE_CMD_H
#define LULL_CMD_STORE_CMD_H

#include "cmd.h"
#include "grid.h"

/* The rows of --store and --json. */
#define LULL_STORE_ROW(to)                                                                         \
    {                                                                                              \
        0, "store", NULL, LULL_OPT_STRING, (to), 0, 0, "DIR",                                      \
            "the folder of states (default: $LULL_HOME, else the user's data folder)"              \
    }
#define LULL_JSON_ROW(to)                                                                          \
    {                                                                                              \
        0, "json", NULL, LULL_OPT_FLAG, (to), 0, 0, NULL, "print JSON"                             \
    }

/* dir, else $LULL_HOME, else $XDG_DATA_HOME/lull, else ~/.local/share/lull: owned, free().
 * LULL_ENOTFOUND: none of them is set. */
LULL_NODISCARD lull_status lull_cmd_store_path(const char *dir, char **path, lull_error *err);
/* For writing, where that is allowed. Without may_create a folder that is not there is LULL_ENOTFOUND,
 * and the message tells how a store is made. */
LULL_NODISCARD lull_status lull_cmd_store_open(const char *dir, bool may_create, lull_store **out,
                                               lull_error *err);
/* Does name mean a .lull file rather than a state? */
bool lull_cmd_is_export(const char *name);
/* The state that a user names: NAME in the store of dir, or the last one of a .lull file. *out is to be
 * closed. *token: as lull_store_resolve. */
LULL_NODISCARD lull_status lull_cmd_find_state(const char *dir, const char *name, lull_store **out,
                                               int64_t *id, size_t *token, lull_error *err);

/* May a state have this name (or tag: `what`)? For new ones, before any work is done. -1, or
 * LULL_EXIT_USAGE after a message. */
int lull_cmd_check_name(const char *verb, const char *what, const char *name);
/* Is it a name, rather than another word for a state? */
bool lull_cmd_is_name(const char *name);

/* As asked, else as the state was computed, if its card says so. */
lull_cmd_numerics lull_cmd_numerics_of_state(const lull_store_state *st, lull_cmd_numerics asked);

/* A state's first name, or #ID. */
const char *lull_cmd_state_label(const lull_store_state *st, char buf[LULL_NAME_MAX + 1]);
enum { LULL_AGE_CAP = 32 };
/* "just now", "5 min", "3 h", "12 days"; since 1970 in milliseconds. */
const char *lull_cmd_age(char buf[LULL_AGE_CAP], uint64_t ms);
/* "2026-05-01T12:30:00Z" */
const char *lull_cmd_time(char buf[LULL_AGE_CAP], uint64_t ms);
/* The model's file name as the state remembers it, else its architecture; buf is NUL-terminated. */
enum { LULL_MODEL_NAME_CAP = 64 };
const char *lull_cmd_state_model(const lull_store_state *st, char buf[LULL_MODEL_NAME_CAP]);

/* name (NULL: of no name), state, n_tokens, parent, bytes, own_bytes, created, card, tags. Owned. */
json_t *lull_cmd_state_json(const lull_store_state *st, const char *name);
/* A text of JSON as a value, null when it is none. Owned. */
json_t *lull_cmd_parse_json(const char *text);

#endif
