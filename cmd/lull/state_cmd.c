#include "state_cmd.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "format.h"
#include "store_cmd.h"

void lull_cmd_state_init(lull_cmd_state *st)
{
    memset(st, 0, sizeof *st);
    const lull_option rows[LULL_STATE_ROWS] = {
        {0, "wake", NULL, LULL_OPT_STRING, &st->wake, 0, 0, "NAME",
         "go on from a state: NAME, NAME@{n}, NAME:TOKEN, or a .lull file"},
        {0, "sleep", NULL, LULL_OPT_STRING, &st->sleep, 0, 0, "NAME", "keep the state at the end"},
        {0, "note", NULL, LULL_OPT_STRING, &st->note, 0, 0, "TEXT", "a remark to sleep with"},
        {0, "tag", NULL, LULL_OPT_STRINGS, &st->tags, 0, 0, "TAG",
         "a tag to sleep with; may be repeated"},
        {0, "re-read", NULL, LULL_OPT_FLAG, &st->re_reads, 0, 0, NULL,
         "if the state is another model's, or damaged, evaluate its tokens again"},
        {0, "store", NULL, LULL_OPT_STRING, &st->dir, 0, 0, "DIR",
         "the folder of states (default: $LULL_HOME, else the user's data folder)"},
    };
    memcpy(st->rows, rows, sizeof rows);
}

int lull_cmd_state_check(const lull_cmd_state *st, const char *verb)
{
    int rc = st->sleep ? lull_cmd_check_name(verb, "name", st->sleep) : -1;
    for (size_t i = 0; i < st->tags.n && rc < 0; i++)
        rc = lull_cmd_check_name(verb, "tag", st->tags.v[i]);
    return rc;
}

lull_cmd_numerics lull_cmd_state_numerics(const lull_cmd_state *st, lull_cmd_numerics asked)
{
    lull_store *store;
    lull_store_state state;
    int64_t id;
    size_t token;
    lull_error err;
    if (!st->wake || lull_cmd_find_state(st->dir, st->wake, &store, &id, &token, &err) != LULL_OK)
        return asked;
    if (lull_store_get(store, id, false, &state, &err) == LULL_OK) {
        asked = lull_cmd_numerics_of_state(&state, asked);
        lull_store_state_fini(&state);
    }
    lull_store_close(store);
    return asked;
}

lull_status lull_cmd_state_open(lull_cmd_state *st, lull_model *model, lull_error *err)
{
    bool is_file = st->wake && lull_cmd_is_export(st->wake);
    bool is_needed = st->sleep || (st->wake && !is_file);
    lull_error why = {0};
    lull_status status = LULL_OK;
    if (is_file) status = lull_store_open_export(st->wake, &st->source, err);
    if (status != LULL_OK) return status;
    status = lull_cmd_store_open(st->dir, st->sleep != NULL, &st->store, &why);
    if (status != LULL_OK && is_needed) {
        *err = why;
        return status;
    }
    if (st->store) lull_model_use_store(model, st->store);
    return LULL_OK;
}

lull_status lull_cmd_state_session(const lull_cmd_state *st, lull_model *model, size_t n_ctx,
                                   lull_session **session, lull_error *err)
{
    if (!st->wake) return lull_cmd_new_session(model, n_ctx, session, err);
    lull_wake_options options = {.n_ctx = n_ctx, .re_reads = st->re_reads};
    if (!st->source) return lull_wake(model, st->store, st->wake, &options, session, err);
    /* The last state of the file: what was exported, where others are its history. */
    int64_t *ids = NULL;
    size_t n = 0;
    char name[32];
    lull_status status = lull_store_list(st->source, &ids, &n, err);
    if (status == LULL_OK && n == 0)
        status = lull_fail(err, LULL_ENOTFOUND, "%s: holds no state", st->wake);
    if (status == LULL_OK) {
        snprintf(name, sizeof name, "#%lld", (long long)ids[n - 1]);
        status = lull_wake(model, st->source, name, &options, session, err);
    }
    lull_free(ids);
    return status;
}

lull_status lull_cmd_set_text(lull_session *s, const char *key, const char *text, lull_error *err)
{
    json_t *value = text ? lull_cmd_json_text(text, strlen(text)) : NULL;
    char *json = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    if (text && !json) return lull_fail(err, LULL_ENOMEM, "no memory for a text");
    lull_status status = lull_session_set_data(s, key, json, err);
    free(json);
    return status;
}

lull_status lull_cmd_sleep_as(lull_store *store, lull_session *s, const char *name,
                              const lull_strings *tags, const char *note, lull_error *err)
{
    double start = lull_clock_ms();
    int64_t id = 0;
    char count[LULL_FORMAT_CAP], time[LULL_FORMAT_CAP];
    lull_sleep_options options = {.name = name};
    if (tags) {
        options.tags = tags->v;
        options.n_tags = tags->n;
    }
    lull_status status = note ? lull_cmd_set_text(s, "note", note, err) : LULL_OK;
    if (status == LULL_OK) status = lull_sleep(s, store, &options, &id, err);
    if (status != LULL_OK) return status;
    fprintf(stderr, "asleep as %s (#%lld): %s tokens, in %s\n", name, (long long)id,
            lull_format_count(count, lull_session_n_tokens(s)),
            lull_format_ms(time, lull_clock_ms() - start));
    return LULL_OK;
}

lull_status lull_cmd_state_sleep(const lull_cmd_state *st, lull_session *s, lull_error *err)
{
    if (!st->sleep) return LULL_OK;
    return lull_cmd_sleep_as(st->store, s, st->sleep, &st->tags, st->note, err);
}

void lull_cmd_state_close(lull_cmd_state *st)
{
    lull_store_close(st->source);
    lull_store_close(st->store);
    st->source = st->store = NULL;
}

void lull_cmd_put_reuse(json_t *object, lull_reuse r, size_t n_tokens)
{
    /* Of what was woken, something may have been forgotten again. */
    uint64_t reused = n_tokens > r.computed ? n_tokens - r.computed : 0;
    uint64_t memory = r.from_memory < reused ? r.from_memory : reused;
    json_object_set_new(object, "reused_tokens",
                        json_pack("{s:I, s:I}", "memory", (json_int_t)memory, "disk",
                                  (json_int_t)(reused - memory)));
    json_object_set_new(object, "computed_tokens", json_integer((json_int_t)r.computed));
}
