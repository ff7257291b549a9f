#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "conversation.h"
#include "file.h"
#include "format.h"
#include "progress.h"
#include "state_cmd.h"
#include "store_cmd.h"

enum { FILE_MAX_BYTES = 1 << 30, READ_STEP = 512 };
/* What an interruption may cost, in milliseconds of reading. */
static const double checkpoint_ms = 15000;
/* What tells an unfinished reading from a state that somebody named so. */
static const char unfinished_tag[] = "unfinished-reading";

typedef struct args {
    const char *model, *name, *separator, *system;
    lull_strings files;
    int64_t n_threads, n_ctx;
    lull_cmd_numerics numerics;
    bool is_chat, special, as_json;
    lull_cmd_state state;
    char unfinished[LULL_NAME_MAX + 1]; /* the name under which an unfinished reading sleeps */
} args;

/* Separators as they are typed: \n and \t, {file} for the name of the file that follows. */
static char *expand_separator(const char *text, const char *file)
{
    lull_buffer b = {0};
    for (const char *p = text; *p;) {
        if (strncmp(p, "{file}", 6) == 0) {
            lull_buffer_append_str(&b, file);
            p += 6;
        } else if (p[0] == '\\' && (p[1] == 'n' || p[1] == 't' || p[1] == '\\')) {
            lull_buffer_append(&b, p[1] == 'n' ? "\n" : p[1] == 't' ? "\t" : "\\", 1);
            p += 2;
        } else {
            lull_buffer_append(&b, p++, 1);
        }
    }
    return lull_buffer_take(&b, NULL);
}

static lull_status append_text(const lull_model *model, const char *text, size_t n_bytes, int flags,
                               lull_cmd_tokens *all, lull_error *err)
{
    lull_cmd_tokens more = {0};
    lull_status st = lull_cmd_tokenize_text(model, text, n_bytes, flags, &more, err);
    if (st != LULL_OK) return st;
    int32_t *ids = realloc(all->ids, (all->n + more.n + 1) * sizeof *ids);
    if (ids) {
        memcpy(ids + all->n, more.ids, more.n * sizeof *ids);
        *all = (lull_cmd_tokens){.ids = ids, .n = all->n + more.n};
    }
    lull_cmd_tokens_fini(&more);
    return ids ? LULL_OK : lull_fail(err, LULL_ENOMEM, "no memory for %zu tokens", all->n);
}

static lull_status append_file(const args *a, const lull_model *model, size_t i, bool is_first,
                               lull_cmd_tokens *all, lull_error *err)
{
    char *text = NULL, *separator = NULL;
    size_t n_bytes = 0;
    lull_status st = LULL_OK;
    const char *file = a->files.v[i];
    /* A name in the separator stands before the first file, too. */
    if (!is_first || strstr(a->separator, "{file}")) {
        separator = expand_separator(a->separator, file);
        if (!separator) return lull_fail(err, LULL_ENOMEM, "no memory for the separator");
        LULL_TRY(append_text(model, separator, strlen(separator), 0, all, err));
    }
    LULL_TRY(lull_file_read(file, FILE_MAX_BYTES, &text, &n_bytes, err));
    LULL_TRY(append_text(model, text, n_bytes, a->special ? LULL_TOKENIZE_SPECIAL : 0, all, err));
done:
    free(text);
    free(separator);
    return st;
}

/* All that is to be read, behind what the session has. */
static lull_status make_tokens(const args *a, const lull_model *model, const lull_session *s,
                               lull_cmd_tokens *all, lull_error *err)
{
    lull_status st = LULL_OK;
    char *before = NULL;
    bool is_new = lull_session_n_tokens(s) == 0;
    if (a->is_chat && is_new) {
        LULL_TRY(lull_conversation_open(model, a->system, &before, err));
        LULL_TRY(append_text(model, before, strlen(before), LULL_TOKENIZE_SPECIAL, all, err));
    }
    for (size_t i = 0; i < a->files.n; i++)
        LULL_TRY(append_file(a, model, i, i == 0 && is_new, all, err));
    if (is_new) LULL_TRY(lull_cmd_add_bos(model, all, err));
    if (all->n == 0) st = lull_fail(err, LULL_EINVAL, "there is nothing in the files to read");
done:
    free(before);
    return st;
}

/* Whether a name is an unfinished reading's, or nobody's. */
static lull_status look_up(lull_store *store, const char *name, bool *is_unfinished, bool *is_free,
                           lull_error *err)
{
    lull_store_state state;
    int64_t id;
    size_t token;
    *is_unfinished = false;
    lull_status st = lull_store_resolve(store, name, &id, &token, err);
    *is_free = st == LULL_ENOTFOUND;
    if (st != LULL_OK) return *is_free ? LULL_OK : st;
    st = lull_store_get(store, id, false, &state, err);
    if (st != LULL_OK) return st;
    for (size_t i = 0; i < state.n_tags; i++)
        if (strcmp(state.tags[i], unfinished_tag) == 0) *is_unfinished = true;
    lull_store_state_fini(&state);
    return LULL_OK;
}

/* NAME.reading, or with a number behind where that is a state of somebody's. */
static lull_status choose_unfinished(args *a, lull_error *err)
{
    enum { SUFFIX_BYTES = sizeof ".reading-99" - 1, MOST = 99 };
    size_t n = strlen(a->name);
    if (n > LULL_NAME_MAX - SUFFIX_BYTES) {
        n = LULL_NAME_MAX - SUFFIX_BYTES;
        while (((unsigned char)a->name[n] & 0xc0) == 0x80) n--; /* whole characters */
    }
    for (int i = 1; i <= MOST; i++) {
        bool is_unfinished, is_free;
        char number[16] = "";
        if (i > 1) snprintf(number, sizeof number, "-%d", i);
        snprintf(a->unfinished, sizeof a->unfinished, "%.*s.reading%s", (int)n, a->name, number);
        lull_status st = look_up(a->state.store, a->unfinished, &is_unfinished, &is_free, err);
        if (st != LULL_OK || is_unfinished || is_free) return st;
    }
    return lull_fail(err, LULL_EEXIST,
                     "%s and the names before it are taken, and this reading would be kept as one "
                     "of them: choose another name",
                     a->unfinished);
}

static lull_status checkpoint(const args *a, lull_session *s, lull_error *err)
{
    const char *tag = unfinished_tag;
    lull_sleep_options options = {.name = a->unfinished, .tags = &tag, .n_tags = 1};
    if (lull_session_n_tokens(s) == 0) return LULL_OK;
    return lull_sleep(s, a->state.store, &options, NULL, err);
}

/* Pages that an earlier, interrupted call has stored are found there; so each call goes on where the last
 * one stopped. */
static lull_status read_tokens(const args *a, lull_session *s, const lull_cmd_tokens *all,
                               bool *has_checkpoint, lull_error *err)
{
    size_t at = 0;
    lull_progress bar;
    lull_status st = LULL_OK;
    if (all->n > lull_session_room(s))
        return lull_fail(
            err, LULL_EFULL,
            "there are %zu tokens to read, and room for %zu in the context of %zu: read "
            "less, or give --ctx",
            all->n, lull_session_room(s), lull_cmd_n_ctx(s));
    LULL_TRY(lull_session_recall(s, all->ids, all->n, &at, err));
    lull_progress_init(&bar, "reading", LULL_PROGRESS_TOKENS, all->n - at);
    size_t first = at;
    double kept_ms = lull_clock_ms();
    while (at < all->n && st == LULL_OK) {
        size_t n = all->n - at < READ_STEP ? all->n - at : READ_STEP;
        st = lull_session_eval(s, all->ids + at, n, NULL, err);
        if (st != LULL_OK) break;
        at += n;
        lull_progress_update(&bar, at - first);
        if (lull_clock_ms() - kept_ms < checkpoint_ms || at == all->n) continue;
        st = checkpoint(a, s, err);
        *has_checkpoint = true;
        kept_ms = lull_clock_ms();
    }
    lull_progress_finish(&bar);
    if (st == LULL_ECANCELLED && lull_interrupt_signal() && at > first) {
        lull_error why;
        if (checkpoint(a, s, &why) == LULL_OK)
            fprintf(stderr,
                    "lull read: interrupted after %zu of %zu tokens; the same command goes on from "
                    "there\n",
                    at, all->n);
        else
            fprintf(stderr, "lull read: interrupted, and nothing was kept: %s\n", why.msg);
    }
done:
    return st;
}

static void remove_checkpoint(const args *a)
{
    bool is_unfinished, is_free;
    lull_error ignored;
    /* It is not there unless an earlier call, or this one, was long. */
    if (look_up(a->state.store, a->unfinished, &is_unfinished, &is_free, &ignored) != LULL_OK ||
        !is_unfinished)
        return;
    if (lull_store_remove_name(a->state.store, a->unfinished, &ignored) != LULL_OK)
        ignored.code = 0;
}

/* What a question about the documents has to know: lull_conversation_load. */
static lull_status note_form(const args *a, lull_session *s, lull_error *err)
{
    lull_status st = lull_session_set_data(s, "messages", NULL, err);
    const char *form = a->is_chat ? "{\"is_open\": true}" : NULL;
    if (st == LULL_OK) st = lull_session_set_data(s, "conversation", form, err);
    return st;
}

static int print_json(const args *a, const lull_session *s, double ms)
{
    json_t *object = json_pack("{s:s, s:I, s:I, s:f}", "name", a->name, "state",
                               (json_int_t)lull_session_state(s), "n_tokens",
                               (json_int_t)lull_session_n_tokens(s), "ms", ms);
    if (object) lull_cmd_put_reuse(object, lull_session_reuse(s), lull_session_n_tokens(s));
    return lull_cmd_print_json(object);
}

static lull_status read_files(args *a, int *rc, lull_error *err)
{
    lull_model *model = NULL;
    lull_session *session = NULL;
    lull_cmd_tokens all = {0};
    lull_status st = LULL_OK;
    bool has_checkpoint = false;
    char time[LULL_FORMAT_CAP], count[LULL_FORMAT_CAP], known[LULL_FORMAT_CAP];
    lull_interrupt_arm();
    LULL_TRY(lull_cmd_open_model(a->model, (int)a->n_threads,
                                 lull_cmd_state_numerics(&a->state, a->numerics), 0, &model, err));
    LULL_TRY(lull_cmd_state_open(&a->state, model, err));
    LULL_TRY(choose_unfinished(a, err));
    LULL_TRY(lull_cmd_state_session(&a->state, model, (size_t)a->n_ctx, &session, err));
    lull_interrupt_watch(session);
    LULL_TRY(make_tokens(a, model, session, &all, err));

    double start = lull_clock_ms();
    LULL_TRY(read_tokens(a, session, &all, &has_checkpoint, err));
    LULL_TRY(note_form(a, session, err));
    double ms = lull_clock_ms() - start;
    lull_reuse r = lull_session_reuse(session);
    if (!a->as_json)
        fprintf(stderr, "read %s tokens in %s, %.0f tok/s; %s were known\n",
                lull_format_count(count, r.computed), lull_format_ms(time, ms),
                ms > 0 ? (double)r.computed / ms * 1000 : 0.0,
                lull_format_count(known, r.from_memory + r.from_disk));
    LULL_TRY(lull_cmd_state_sleep(&a->state, session, err));
    remove_checkpoint(a);
    if (a->as_json) *rc = print_json(a, session, ms);
done:
    lull_cmd_tokens_fini(&all);
    lull_interrupt_watch(NULL);
    lull_session_free(session);
    lull_model_close(model);
    lull_cmd_state_close(&a->state);
    return st;
}

int lull_cmd_read(int argc, char **argv)
{
    args a = {.separator = "\\n\\n"};
    lull_cmd_state_init(&a.state);
    const lull_option options[] = {
        {0, "as", "sleep", LULL_OPT_STRING, &a.name, 0, 0, "NAME", "how the state is to be called"},
        {0, "separator", NULL, LULL_OPT_STRING, &a.separator, 0, 0, "TEXT",
         "what stands between files (default: a blank line); {file} is the name of the next"},
        {0, "chat", NULL, LULL_OPT_FLAG, &a.is_chat, 0, 0, NULL,
         "read them as the beginning of a message of the chat template, which questions end"},
        {0, "system", NULL, LULL_OPT_STRING, &a.system, 0, 0, "TEXT",
         "the system message before that"},
        {0, "special", NULL, LULL_OPT_FLAG, &a.special, 0, 0, NULL,
         "read control tokens in the files"},
        {'c', "ctx", "ctx-size", LULL_OPT_INT, &a.n_ctx, 1, 1e9, "N",
         "positions (default: the model's)"},
        LULL_CMD_THREADS_OPTION(&a.n_threads),
        LULL_CMD_KV_OPTION(&a.numerics.kv),
        LULL_CMD_ACTIVATIONS_OPTION(&a.numerics.activations),
        {0, "json", NULL, LULL_OPT_FLAG, &a.as_json, 0, 0, NULL, "print one JSON object"},
    };
    /* --sleep is called --as here: the rows after it. */
    lull_option state_rows[LULL_STATE_ROWS];
    size_t n_rows = 0;
    for (size_t i = 0; i < LULL_STATE_ROWS; i++)
        if (strcmp(a.state.rows[i].name, "sleep") != 0) state_rows[n_rows++] = a.state.rows[i];
    const lull_cli cli = {
        .verb = "read",
        .operands = "MODEL FILE...",
        .required = "--as NAME",
        .about =
            "Read files, in this order, and keep what the model then knows as a state. - is "
            "standard input. What was read before with the same beginning is not read again, so a "
            "reading that was interrupted goes on where it stopped. --wake reads on from a state.",
        .groups = {{"Options", options, sizeof options / sizeof *options},
                   {"States", state_rows, n_rows}},
        .rest = &a.files};
    int rc = lull_cli_parse(&cli, argc, argv, &a.model);
    if (rc >= 0) return rc;
    if (!a.name) return lull_cli_usage("read", "--as NAME is missing");
    if (a.system && !a.is_chat) return lull_cli_usage("read", "--system needs --chat");
    a.state.sleep = a.name;
    rc = lull_cmd_state_check(&a.state, "read");
    if (rc >= 0) return rc;
    lull_error err;
    rc = LULL_EXIT_OK;
    if (read_files(&a, &rc, &err) != LULL_OK) return lull_cmd_fail("read", &err);
    return rc;
}
