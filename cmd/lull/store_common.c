#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store_cmd.h"

lull_status lull_cmd_store_path(const char *dir, char **path, lull_error *err)
{
    const char *own = getenv("LULL_HOME"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    lull_buffer b = {0};
    *path = NULL;
    if (dir && *dir)
        lull_buffer_append_str(&b, dir);
    else if (own && *own)
        lull_buffer_append_str(&b, own);
    else if (data && *data == '/')
        lull_buffer_printf(&b, "%s/lull", data);
    else if (home && *home == '/')
        lull_buffer_printf(&b, "%s/.local/share/lull", home);
    else
        return lull_fail(err, LULL_ENOTFOUND,
                         "there is no place for states: give --store DIR, or set LULL_HOME");
    *path = lull_buffer_take(&b, NULL);
    return *path ? LULL_OK : lull_fail(err, LULL_ENOMEM, "no memory for a path");
}

lull_status lull_cmd_store_open(const char *dir, bool may_create, lull_store **out, lull_error *err)
{
    char *path;
    *out = NULL;
    lull_status st = lull_cmd_store_path(dir, &path, err);
    if (st != LULL_OK) return st;
    bool is_there = access(path, F_OK) == 0;
    if (!is_there && !may_create)
        st = lull_fail(err, LULL_ENOTFOUND,
                       "%.120s: there is no store: `lull read MODEL FILE --as NAME` makes one",
                       path);
    else
        st = lull_store_open(path, NULL, out, err);
    /* On a disk that is full, or not to be written, one can still read. */
    lull_store_options options = {.is_read_only = true};
    lull_error why;
    if ((st == LULL_EIO || st == LULL_EFULL) && is_there && !may_create &&
        lull_store_open(path, &options, out, &why) == LULL_OK)
        st = LULL_OK;
    free(path);
    return st;
}

bool lull_cmd_is_export(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".lull") == 0 && access(name, F_OK) == 0;
}

lull_status lull_cmd_find_state(const char *dir, const char *name, lull_store **out, int64_t *id,
                                size_t *token, lull_error *err)
{
    lull_status st = LULL_OK;
    int64_t *ids = NULL;
    size_t n;
    *token = SIZE_MAX;
    if (!lull_cmd_is_export(name)) {
        LULL_TRY(lull_cmd_store_open(dir, false, out, err));
        LULL_TRY(lull_store_resolve(*out, name, id, token, err));
        return LULL_OK;
    }
    LULL_TRY(lull_store_open_export(name, out, err));
    LULL_TRY(lull_store_list(*out, &ids, &n, err));
    if (n == 0)
        st = lull_fail(err, LULL_ENOTFOUND, "%s: holds no state", name);
    else
        *id = ids[n - 1];
done:
    lull_free(ids);
    if (st != LULL_OK) {
        lull_store_close(*out);
        *out = NULL;
    }
    return st;
}

int lull_cmd_check_name(const char *verb, const char *what, const char *name)
{
    lull_error err;
    if (lull_name_check(what, name, &err) == LULL_OK) return -1;
    return lull_cli_usage(verb, "%s", err.msg);
}

bool lull_cmd_is_name(const char *name)
{
    lull_error ignored;
    return lull_name_check("name", name, &ignored) == LULL_OK;
}

const char *lull_cmd_state_label(const lull_store_state *st, char buf[LULL_NAME_MAX + 1])
{
    if (st->n_names > 0)
        snprintf(buf, LULL_NAME_MAX + 1, "%s", st->names[0]);
    else
        snprintf(buf, LULL_NAME_MAX + 1, "#%lld", (long long)st->id);
    return buf;
}

const char *lull_cmd_age(char buf[LULL_AGE_CAP], uint64_t ms)
{
    static const struct {
        uint64_t seconds;
        const char *unit;
    } units[] = {{365 * 86400, "year"}, {86400, "day"}, {3600, "h"}, {60, "min"}};
    uint64_t now = (uint64_t)time(NULL), then = ms / 1000, age = now > then ? now - then : 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (age < units[i].seconds) continue;
        uint64_t n = age / units[i].seconds;
        bool is_word = units[i].seconds >= 86400;
        snprintf(buf, LULL_AGE_CAP, "%llu %s%s", (unsigned long long)n, units[i].unit,
                 is_word && n != 1 ? "s" : "");
        return buf;
    }
    snprintf(buf, LULL_AGE_CAP, age < 5 ? "just now" : "%llu s", (unsigned long long)age);
    return buf;
}

const char *lull_cmd_time(char buf[LULL_AGE_CAP], uint64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm at;
    if (!gmtime_r(&seconds, &at) || strftime(buf, LULL_AGE_CAP, "%Y-%m-%dT%H:%M:%SZ", &at) == 0)
        snprintf(buf, LULL_AGE_CAP, "?");
    return buf;
}

json_t *lull_cmd_parse_json(const char *text)
{
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    return value ? value : json_null();
}

const char *lull_cmd_state_model(const lull_store_state *st, char buf[LULL_MODEL_NAME_CAP])
{
    json_t *session = lull_cmd_parse_json(st->session), *card = lull_cmd_parse_json(st->card);
    const char *path = json_string_value(json_object_get(session, "model"));
    const char *family =
        json_string_value(json_object_get(json_object_get(card, "kv"), "architecture"));
    const char *name = path && strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    snprintf(buf, LULL_MODEL_NAME_CAP, "%s", name ? name : family ? family : "");
    size_t n = strlen(buf);
    if (n > 5 && strcmp(buf + n - 5, ".gguf") == 0) buf[n - 5] = '\0';
    json_decref(session);
    json_decref(card);
    return buf;
}

lull_cmd_numerics lull_cmd_numerics_of_state(const lull_store_state *st, lull_cmd_numerics asked)
{
    static const struct {
        const char *name;
        lull_cmd_numerics numerics;
    } classes[] = {{"canon-1", {"f16", "8"}},
                   {"canon-1/kv-q8", {"q8", "8"}},
                   {"canon-1w", {"f16", "16"}},
                   {"canon-1w/kv-q8", {"q8", "16"}}};
    json_t *card = lull_cmd_parse_json(st->card);
    const char *name = json_string_value(json_object_get(json_object_get(card, "kv"), "numerics"));
    for (size_t i = 0; name && i < sizeof classes / sizeof *classes; i++) {
        if (strcmp(name, classes[i].name) != 0) continue;
        if (!asked.kv) asked.kv = classes[i].numerics.kv;
        if (!asked.activations) asked.activations = classes[i].numerics.activations;
    }
    json_decref(card);
    return asked;
}

json_t *lull_cmd_state_json(const lull_store_state *st, const char *name)
{
    char created[LULL_AGE_CAP];
    json_t *tags = json_array(), *names = json_array();
    for (size_t i = 0; i < st->n_tags; i++)
        json_array_append_new(tags, lull_cmd_json_text(st->tags[i], strlen(st->tags[i])));
    for (size_t i = 0; i < st->n_names; i++)
        json_array_append_new(names, lull_cmd_json_text(st->names[i], strlen(st->names[i])));
    return json_pack("{s:o, s:o, s:I, s:I, s:o, s:I, s:I, s:s, s:o, s:o}", "name",
                     name ? lull_cmd_json_text(name, strlen(name)) : json_null(), "names", names,
                     "state", (json_int_t)st->id, "n_tokens", (json_int_t)st->n_tokens, "parent",
                     st->parent > 0 ? json_integer(st->parent) : json_null(), "bytes",
                     (json_int_t)st->bytes, "own_bytes", (json_int_t)st->own_bytes, "created",
                     lull_cmd_time(created, st->created_ms), "card", lull_cmd_parse_json(st->card),
                     "tags", tags);
}
