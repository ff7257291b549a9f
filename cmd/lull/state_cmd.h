/* What the verbs that evaluate share: a store, what to wake from it, what to sleep as.
 *
 *     lull_cmd_state state;
 *     lull_cmd_state_init(&state);                    // state.rows goes into a group of the lull_cli
 *     ...
 *     LULL_TRY(lull_cmd_state_open(&state, model, err));
 *     LULL_TRY(lull_cmd_state_session(&state, model, n_ctx, &session, err));
 *     ...
 *     LULL_TRY(lull_cmd_state_sleep(&state, session, err));
 *     ...
 *     lull_session_free(session);
 *     lull_model_close(model);
 *     lull_cmd_state_close(&state);                   // last */
#ifndef LULL_CMD_STATE_CMD_H
#define LULL_CMD_STATE_CMD_H

#include "cmd.h"

enum { LULL_STATE_ROWS = 6 };

typedef struct lull_cmd_state {
    lull_option rows[LULL_STATE_ROWS];
    const char *dir;   /* --store; NULL: the default place */
    const char *wake;  /* --wake: NAME, or a .lull file; NULL: none */
    const char *sleep; /* --sleep; NULL: none */
    const char *note;
    lull_strings tags;
    bool re_reads;
    lull_store *store;  /* NULL: there is none */
    lull_store *source; /* the .lull file that --wake names; NULL: none */
} lull_cmd_state;

/* How the model is to compute: as asked, else as the state that is to be woken was computed. What is
 * wrong with the state shows when it is woken. */
lull_cmd_numerics lull_cmd_state_numerics(const lull_cmd_state *st, lull_cmd_numerics asked);

/* st stays where it is: rows point into it. */
void lull_cmd_state_init(lull_cmd_state *st);
/* After parsing: may it sleep under this name, with these tags? -1, or LULL_EXIT_USAGE after a message. */
int lull_cmd_state_check(const lull_cmd_state *st, const char *verb);
/* Open the store, made if something is to sleep, and let the model's prompts begin with what it has.
 * No store is no failure unless something is to wake. */
LULL_NODISCARD lull_status lull_cmd_state_open(lull_cmd_state *st, lull_model *model,
                                               lull_error *err);
/* The woken session, or a new one; n_ctx as in lull_cmd_new_session. */
LULL_NODISCARD lull_status lull_cmd_state_session(const lull_cmd_state *st, lull_model *model,
                                                  size_t n_ctx, lull_session **session,
                                                  lull_error *err);
/* Put the session to sleep if --sleep says so, and tell on standard error. */
LULL_NODISCARD lull_status lull_cmd_state_sleep(const lull_cmd_state *st, lull_session *s,
                                                lull_error *err);
/* The same under any name. */
LULL_NODISCARD lull_status lull_cmd_sleep_as(lull_store *store, lull_session *s, const char *name,
                                             const lull_strings *tags, const char *note,
                                             lull_error *err);
void lull_cmd_state_close(lull_cmd_state *st);

/* A string as a value of lull_session_set_data. */
LULL_NODISCARD lull_status lull_cmd_set_text(lull_session *s, const char *key, const char *text,
                                             lull_error *err);

/* {"reused_tokens": {"memory": n, "disk": n}, "computed_tokens": n} into an object: how n_tokens came to be
 * there, which they add up to. */
void lull_cmd_put_reuse(json_t *object, lull_reuse r, size_t n_tokens);

#endif
