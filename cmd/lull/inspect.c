/* lull inspect: what a GGUF file holds. No model is made of it, so that files of architectures that
 * lull does not run can be looked at, too. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "format.h"
#include "gguf.h"
#include "grid.h"

enum {
    SHORT_ARRAY = 8, /* elements shown without --full */
    SHORT_TEXT = 72  /* bytes of a string shown without --full, to people */
};

/* One metadata value of any type. */
typedef struct value {
    enum { UNSIGNED, SIGNED, REAL, BOOL, TEXT } kind;
    uint64_t u;
    int64_t i;
    double f;
    bool is_f32, b;
    lull_gguf_str s;
} value;

/* The element of a type at *cursor, which moves behind it. */
static value next_value(lull_gguf_type type, const uint8_t **cursor)
{
#define TAKE(c_type, where, value_kind)                                                            \
    do {                                                                                           \
        c_type x;                                                                                  \
        memcpy(&x, *cursor, sizeof x);                                                             \
        *cursor += sizeof x;                                                                       \
        v.where = x;                                                                               \
        v.kind = value_kind;                                                                       \
    } while (0)
    value v = {.is_f32 = type == LULL_GGUF_F32};
    switch (type) {
    case LULL_GGUF_U8: TAKE(uint8_t, u, UNSIGNED); break;
    case LULL_GGUF_U16: TAKE(uint16_t, u, UNSIGNED); break;
    case LULL_GGUF_U32: TAKE(uint32_t, u, UNSIGNED); break;
    case LULL_GGUF_U64: TAKE(uint64_t, u, UNSIGNED); break;
    case LULL_GGUF_I8: TAKE(int8_t, i, SIGNED); break;
    case LULL_GGUF_I16: TAKE(int16_t, i, SIGNED); break;
    case LULL_GGUF_I32: TAKE(int32_t, i, SIGNED); break;
    case LULL_GGUF_I64: TAKE(int64_t, i, SIGNED); break;
    case LULL_GGUF_F32: TAKE(float, f, REAL); break;
    case LULL_GGUF_F64: TAKE(double, f, REAL); break;
    case LULL_GGUF_BOOL: TAKE(uint8_t, b, BOOL); break;
    case LULL_GGUF_STRING:
    case LULL_GGUF_ARRAY: /* an array's elements are never arrays */
    case LULL_GGUF_N_TYPES:
        v.s = lull_gguf_next_str(cursor);
        v.kind = TEXT;
        break;
    }
#undef TAKE
    return v;
}

/* The fewest digits that give the same number again. */
static void append_real(lull_buffer *out, const value *v)
{
    char digits[40];
    for (int precision = 6; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, v->f);
        double back = v->is_f32 ? (double)strtof(digits, NULL) : strtod(digits, NULL);
        if (back == v->f || isnan(v->f)) break;
    }
    lull_buffer_append_str(out, digits);
}

/* A string to show: whole, or its first max_bytes, cut where a character ends, and its length. */
static void append_text(lull_buffer *out, lull_gguf_str s, size_t max_bytes)
{
    if (s.n_bytes <= max_bytes) {
        lull_buffer_append(out, s.data, s.n_bytes);
        return;
    }
    size_t n = max_bytes;
    while (n > 0 && ((unsigned char)s.data[n] & 0xc0) == 0x80) n--;
    lull_buffer_append(out, s.data, n);
    char count[LULL_FORMAT_CAP];
    lull_buffer_printf(out, "... (%s bytes)", lull_format_count(count, s.n_bytes));
}

static void append_value(lull_buffer *out, const value *v, size_t max_bytes)
{
    switch (v->kind) {
    case UNSIGNED: lull_buffer_printf(out, "%" PRIu64, v->u); break;
    case SIGNED: lull_buffer_printf(out, "%" PRId64, v->i); break;
    case REAL: append_real(out, v); break;
    case BOOL: lull_buffer_append_str(out, v->b ? "true" : "false"); break;
    case TEXT: append_text(out, v->s, max_bytes); break;
    }
}

/* Numbers that JSON or the library cannot hold exactly (above 2^63, not finite) become strings. */
static json_t *json_of_value(const value *v)
{
    char digits[40];
    switch (v->kind) {
    case UNSIGNED:
        if (v->u <= INT64_MAX) return json_integer((json_int_t)v->u);
        snprintf(digits, sizeof digits, "%" PRIu64, v->u);
        return json_string(digits);
    case SIGNED: return json_integer(v->i);
    case REAL:
        if (isfinite(v->f)) return json_real(v->f);
        snprintf(digits, sizeof digits, "%g", v->f);
        return json_string(digits);
    case BOOL: return json_boolean(v->b);
    case TEXT: return lull_cmd_json_text(v->s.data, v->s.n_bytes);
    }
    return NULL;
}

/* ---- sums by type --------------------------------------------------------------------------- */

typedef struct type_sum {
    uint64_t n_tensors, n_params, n_bytes;
} type_sum;

static uint64_t n_elements(const lull_gguf_tensor *t)
{
    return t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
}

/* sums [LULL_DTYPE_N], then the total in sums[LULL_DTYPE_N]. */
static void sum_types(const lull_gguf *g, type_sum sums[LULL_DTYPE_N + 1])
{
    memset(sums, 0, (LULL_DTYPE_N + 1) * sizeof *sums);
    for (size_t i = 0; i < lull_gguf_n_tensors(g); i++) {
        const lull_gguf_tensor *t = lull_gguf_tensor_at(g, i);
        type_sum *both[] = {&sums[t->dtype], &sums[LULL_DTYPE_N]};
        for (int k = 0; k < 2; k++) {
            both[k]->n_tensors++;
            both[k]->n_params += n_elements(t);
            both[k]->n_bytes += t->n_bytes;
        }
    }
}

static double bits_per_weight(const type_sum *s)
{
    return s->n_params ? 8.0 * (double)s->n_bytes / (double)s->n_params : 0;
}

/* ---- for people ----------------------------------------------------------------------------- */

static void print_metadata(const lull_gguf *g, bool is_full)
{
    lull_grid grid;
    lull_grid_init(&grid, "lll");
    lull_grid_cell(&grid, "key");
    lull_grid_cell(&grid, "type");
    lull_grid_cell(&grid, "value");
    for (size_t i = 0; i < lull_gguf_n_kv(g); i++) {
        const lull_gguf_kv *kv = lull_gguf_kv_at(g, i);
        bool is_array = kv->type == LULL_GGUF_ARRAY;
        const char *elem = lull_gguf_type_name(kv->elem_type);
        lull_buffer text = {0};
        const uint8_t *cursor = kv->raw;
        if (is_array && kv->n > SHORT_ARRAY && !is_full) {
            lull_buffer_printf(&text, "[%" PRIu64 " %s%s]", kv->n, elem,
                               kv->elem_type == LULL_GGUF_STRING ? "s" : "");
        } else {
            if (is_array) lull_buffer_append_str(&text, "[");
            for (uint64_t k = 0; k < kv->n; k++) {
                value v = next_value(kv->elem_type, &cursor);
                if (k > 0) lull_buffer_append_str(&text, ", ");
                append_value(&text, &v, is_full ? SIZE_MAX : SHORT_TEXT);
            }
            if (is_array) lull_buffer_append_str(&text, "]");
        }
        lull_grid_cell_text(&grid, kv->key.data, kv->key.n_bytes);
        lull_grid_cell(&grid, "%s%s", elem, is_array ? "[]" : "");
        lull_grid_cell_text(&grid, text.data ? text.data : "", text.n_bytes);
        lull_buffer_fini(&text);
    }
    lull_grid_print(&grid, stdout, true);
    lull_grid_fini(&grid);
}

static void print_tensors(const lull_gguf *g)
{
    lull_grid grid;
    lull_grid_init(&grid, "llrrr");
    const char *heading[] = {"tensor", "type", "shape", "bytes", "offset"};
    for (int i = 0; i < 5; i++) lull_grid_cell(&grid, "%s", heading[i]);
    for (size_t i = 0; i < lull_gguf_n_tensors(g); i++) {
        const lull_gguf_tensor *t = lull_gguf_tensor_at(g, i);
        char shape[100] = "", count[LULL_FORMAT_CAP];
        for (int k = 0; k < t->n_dims; k++) {
            size_t n = strlen(shape);
            snprintf(shape + n, sizeof shape - n, "%s%" PRIu64, k ? " x " : "", t->dims[k]);
        }
        lull_grid_cell_text(&grid, t->name.data, t->name.n_bytes);
        lull_grid_cell(&grid, "%s", lull_dtype_info_of(t->dtype)->name);
        lull_grid_cell(&grid, "%s", shape);
        lull_grid_cell(&grid, "%s", lull_format_count(count, t->n_bytes));
        lull_grid_cell(&grid, "%s", lull_format_count(count, t->offset));
    }
    lull_grid_print(&grid, stdout, true);
    lull_grid_fini(&grid);
}

static void print_types(const lull_gguf *g)
{
    type_sum sums[LULL_DTYPE_N + 1];
    sum_types(g, sums);
    lull_grid grid;
    lull_grid_init(&grid, "lrrrr");
    const char *heading[] = {"type", "tensors", "parameters", "bytes", "bits a weight"};
    for (int i = 0; i < 5; i++) lull_grid_cell(&grid, "%s", heading[i]);
    for (int t = 0; t <= LULL_DTYPE_N; t++) {
        const type_sum *s = &sums[t];
        bool is_total = t == LULL_DTYPE_N;
        if (s->n_tensors == 0 && !is_total) continue;
        char count[LULL_FORMAT_CAP];
        lull_grid_cell(&grid, "%s", is_total ? "total" : lull_dtype_info_of((lull_dtype)t)->name);
        lull_grid_cell(&grid, "%" PRIu64, s->n_tensors);
        lull_grid_cell(&grid, "%s", lull_format_count(count, s->n_params));
        lull_grid_cell(&grid, "%s", lull_format_bytes(count, s->n_bytes));
        lull_grid_cell(&grid, "%.2f", bits_per_weight(s));
    }
    lull_grid_print(&grid, stdout, true);
    lull_grid_fini(&grid);
}

static void print_all(const lull_gguf *g, bool is_full)
{
    char bytes[LULL_FORMAT_CAP];
    printf("%s: GGUF version %" PRIu32 ", %s\n\n", lull_gguf_path(g), lull_gguf_version(g),
           lull_format_bytes(bytes, lull_gguf_file(g)->n_bytes));
    print_metadata(g, is_full);
    putchar('\n');
    print_tensors(g);
    putchar('\n');
    print_types(g);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* {"type": "uint32", "value": 1}; arrays {"type": "array", "elem_type": "string", "n": 2, "value":
 * ["a", "b"]}, long ones without the value unless is_full. */
static json_t *json_of_kv(const lull_gguf_kv *kv, bool is_full)
{
    const uint8_t *cursor = kv->raw;
    if (kv->type != LULL_GGUF_ARRAY) {
        value v = next_value(kv->type, &cursor);
        return json_pack("{s:s, s:o}", "type", lull_gguf_type_name(kv->type), "value",
                         json_of_value(&v));
    }
    json_t *out = json_pack("{s:s, s:s, s:I}", "type", "array", "elem_type",
                            lull_gguf_type_name(kv->elem_type), "n", (json_int_t)kv->n);
    if (kv->n > SHORT_ARRAY && !is_full) return out;
    json_t *values = json_array();
    bool ok = values != NULL;
    for (uint64_t i = 0; i < kv->n && ok; i++) {
        value v = next_value(kv->elem_type, &cursor);
        ok = json_array_append_new(values, json_of_value(&v)) == 0;
    }
    if (ok && json_object_set_new(out, "value", values) == 0) return out;
    if (!ok) json_decref(values);
    json_decref(out);
    return NULL;
}

static json_t *json_of_tensor(const lull_gguf_tensor *t)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->n_dims; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->dims[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s%, s:s, s:o, s:I, s:I}", "name", t->name.data, t->name.n_bytes, "type",
                     lull_dtype_info_of(t->dtype)->name, "shape", shape, "bytes",
                     (json_int_t)t->n_bytes, "offset", (json_int_t)t->offset);
}

static json_t *json_of_sum(const char *type, const type_sum *s)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:f}", "type", type, "tensors", (json_int_t)s->n_tensors,
                     "params", (json_int_t)s->n_params, "bytes", (json_int_t)s->n_bytes,
                     "bits_per_weight", bits_per_weight(s));
}

/* The whole file as one object; NULL when memory ran out. */
static json_t *json_of_file(const lull_gguf *g, bool is_full)
{
    type_sum sums[LULL_DTYPE_N + 1];
    sum_types(g, sums);
    json_t *metadata = json_object(), *tensors = json_array(), *types = json_array();
    json_t *path = lull_cmd_json_text(lull_gguf_path(g), strlen(lull_gguf_path(g)));
    bool ok = metadata && tensors && types && path;
    for (size_t i = 0; i < lull_gguf_n_kv(g) && ok; i++) {
        const lull_gguf_kv *kv = lull_gguf_kv_at(g, i);
        char *key = strndup(kv->key.data, kv->key.n_bytes);
        ok = key && json_object_set_new(metadata, key, json_of_kv(kv, is_full)) == 0;
        free(key);
    }
    for (size_t i = 0; i < lull_gguf_n_tensors(g) && ok; i++)
        ok = json_array_append_new(tensors, json_of_tensor(lull_gguf_tensor_at(g, i))) == 0;
    for (int t = 0; t < LULL_DTYPE_N && ok; t++)
        if (sums[t].n_tensors)
            ok = json_array_append_new(
                     types, json_of_sum(lull_dtype_info_of((lull_dtype)t)->name, &sums[t])) == 0;
    if (!ok) {
        json_decref(metadata);
        json_decref(tensors);
        json_decref(types);
        json_decref(path);
        return NULL;
    }
    const type_sum *total = &sums[LULL_DTYPE_N];
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "path", path, "version",
                     (json_int_t)lull_gguf_version(g), "bytes",
                     (json_int_t)lull_gguf_file(g)->n_bytes, "params", (json_int_t)total->n_params,
                     "tensor_bytes", (json_int_t)total->n_bytes, "types", types, "metadata",
                     metadata, "tensors", tensors);
}

int lull_cmd_inspect(int argc, char **argv)
{
    const char *path;
    bool as_json = false, is_full = false;
    const lull_option options[] = {
        {0, "full", NULL, LULL_OPT_FLAG, &is_full, 0, 0, NULL,
         "show long strings and arrays whole"},
        {0, "json", NULL, LULL_OPT_FLAG, &as_json, 0, 0, NULL, "print one JSON object"},
    };
    const lull_cli cli = {
        .verb = "inspect",
        .operands = "FILE",
        .about = "Show what a GGUF file holds: metadata, tensors, and the sizes by type.",
        .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &path);
    if (rc >= 0) return rc;

    lull_error err;
    lull_gguf *g;
    if (lull_gguf_open(path, &g, &err) != LULL_OK) return lull_cmd_fail("inspect", &err);
    if (as_json) {
        rc = lull_cmd_print_json(json_of_file(g, is_full));
    } else {
        print_all(g, is_full);
        rc = LULL_EXIT_OK;
    }
    lull_gguf_close(g);
    return rc;
}
