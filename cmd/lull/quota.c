#include "quota.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"

typedef struct unit {
    const char *name;
    double factor;
} unit;

/* A number with a unit, in whole steps of the smallest. */
static bool parse(const char *text, const unit *units, size_t n_units, uint64_t *out)
{
    char *end;
    if (strcmp(text, "none") == 0) {
        *out = 0;
        return true;
    }
    double v = strtod(text, &end);
    if (end == text || !(v > 0)) return false;
    for (size_t i = 0; i < n_units; i++) {
        if (strcmp(end, units[i].name) != 0) continue;
        v *= units[i].factor;
        if (!(v >= 1 && v < 9e18)) return false;
        *out = (uint64_t)v;
        return true;
    }
    return false;
}

bool lull_quota_parse_bytes(const char *text, uint64_t *n_bytes)
{
    static const unit units[] = {
        {"", 1},          {"K", 1 << 10},         {"KiB", 1 << 10},
        {"M", 1 << 20},   {"MiB", 1 << 20},       {"G", 1 << 30},
        {"GiB", 1 << 30}, {"T", 1099511627776.0}, {"TiB", 1099511627776.0},
    };
    return parse(text, units, sizeof units / sizeof *units, n_bytes);
}

bool lull_quota_parse_age(const char *text, uint64_t *ms)
{
    static const unit units[] = {
        {"s", 1e3}, {"min", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}, {"w", 6.048e8}, {"y", 3.15576e10},
    };
    return parse(text, units, sizeof units / sizeof *units, ms);
}

static char *config_path(const char *folder)
{
    lull_buffer b = {0};
    lull_buffer_printf(&b, "%s/config.json", folder);
    return lull_buffer_take(&b, NULL);
}

static lull_status take(const json_t *config, const char *key, const char *path, uint64_t *out,
                        lull_error *err)
{
    const json_t *v = json_object_get(config, key);
    if (v && (!json_is_integer(v) || json_integer_value(v) < 0))
        return lull_fail(err, LULL_ECORRUPT, "%s: %s is not a whole number", path, key);
    *out = (uint64_t)json_integer_value(v);
    return LULL_OK;
}

lull_status lull_quota_load(const char *folder, lull_quota *out, lull_error *err)
{
    enum { CONFIG_MAX_BYTES = 1 << 20 };
    char *path = config_path(folder), *text = NULL;
    size_t n;
    json_t *config = NULL;
    json_error_t why;
    lull_status st = LULL_OK;
    *out = (lull_quota){0};
    if (!path) return lull_fail(err, LULL_ENOMEM, "no memory for a path");
    st = lull_file_read(path, CONFIG_MAX_BYTES, &text, &n, err);
    if (st == LULL_ENOTFOUND) {
        st = LULL_OK;
        goto done;
    }
    if (st != LULL_OK) goto done;
    config = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(config)) {
        st = lull_fail(err, LULL_ECORRUPT, "%s: line %d: %s", path, why.line, why.text);
        goto done;
    }
    LULL_TRY(take(config, "max_bytes", path, &out->max_bytes, err));
    LULL_TRY(take(config, "max_age_ms", path, &out->max_age_ms, err));
done:
    json_decref(config);
    free(text);
    free(path);
    return st;
}

lull_status lull_quota_save(const char *folder, const lull_quota *q, lull_error *err)
{
    char *path = config_path(folder);
    json_t *config = json_pack("{s:I, s:I}", "max_bytes", (json_int_t)q->max_bytes, "max_age_ms",
                               (json_int_t)q->max_age_ms);
    char *text = config ? json_dumps(config, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    lull_status st = path && text ? lull_file_replace(path, text, strlen(text), err)
                                  : lull_fail(err, LULL_ENOMEM, "no memory for the quotas");
    json_decref(config);
    free(text);
    free(path);
    return st;
}
