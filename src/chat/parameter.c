/* A bare parameter, as XML forms have it: text between two tags, which becomes a JSON value. The tool's schema
 * says which: strings stay as they are, and stream; all else is JSON (or Python's True, False, None), and is a
 * string after all when it is not. One newline after the opening tag and one before the closing one
 * belong to the tags, as Qwen's and MiniMax's templates write them. */
#include <string.h>

#include "reply_parser.h"

/* ---- schemas ---------------------------------------------------------------------------------- */

static const json_t *function_of(const json_t *tool)
{
    const json_t *function = json_object_get(tool, "function");
    return function ? function : tool;
}

static const json_t *find_tool(const json_t *tools, const char *name)
{
    size_t i;
    const json_t *tool;
    json_array_foreach(tools, i, tool)
    {
        const char *its_name = json_string_value(json_object_get(function_of(tool), "name"));
        if (its_name && strcmp(its_name, name) == 0) return function_of(tool);
    }
    return NULL;
}

bool lull_tools_know(const json_t *tools, const char *name)
{
    return find_tool(tools, name) != NULL;
}

/* The schema of a tool's parameter; NULL: unknown. */
static const json_t *find_parameter(const json_t *tools, const char *name, const char *key)
{
    const json_t *schema = json_object_get(find_tool(tools, name), "parameters");
    return json_object_get(json_object_get(schema, "properties"), key);
}

/* May a value of this schema be of the type? Sub-schemas of unions count; levels bounds them. */
static bool allows(const json_t *schema, const char *type, int levels)
{
    static const char *const unions[] = {"anyOf", "oneOf", "allOf"};
    size_t i;
    const json_t *item, *types = json_object_get(schema, "type");
    if (json_is_string(types)) return strcmp(json_string_value(types), type) == 0;
    json_array_foreach(types, i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), type) == 0) return true;
    }
    if (types || levels == 0) return false;
    for (size_t k = 0; k < sizeof unions / sizeof *unions; k++) {
        json_array_foreach(json_object_get(schema, unions[k]), i, item)
        {
            if (allows(item, type, levels - 1)) return true;
        }
    }
    json_array_foreach(json_object_get(schema, "enum"), i, item)
    {
        if (json_is_string(item) ? strcmp(type, "string") == 0
                                 : json_is_null(item) && strcmp(type, "null") == 0)
            return true;
    }
    return false;
}

/* ---- values ----------------------------------------------------------------------------------- */

bool lull_parameter_begin(lull_reply *r, bool is_literal)
{
    lull_parameter *p = &r->at.parameter;
    const char *name = r->name.data ? r->name.data : "", *key = r->key.data ? r->key.data : "";
    const json_t *schema = find_parameter(r->tools, name, key);
    p->is_null_allowed = schema && allows(schema, "null", 8);
    p->is_string = !is_literal && (!schema || allows(schema, "string", 8));
    p->is_streamed = p->is_string && !p->is_null_allowed;
    if (!lull_reply_add_key(r)) return false;
    if (p->is_streamed) lull_reply_add_arguments(r, "\"", 1);
    return true;
}

static bool put_byte(lull_reply *r, uint8_t c)
{
    lull_parameter *p = &r->at.parameter;
    if (!lull_utf8_step(&p->utf8, c)) return false;
    if (p->is_streamed)
        lull_reply_add_escaped(r, c);
    else
        lull_buffer_append(&r->scratch, &c, 1);
    return true;
}

bool lull_parameter_step(lull_reply *r, uint8_t c)
{
    lull_parameter *p = &r->at.parameter;
    bool is_first = !p->is_begun;
    p->is_begun = true;
    if (is_first && c == '\n') return true;
    if (p->has_newline && !put_byte(r, '\n')) return false;
    p->has_newline = c == '\n';
    return p->has_newline || put_byte(r, c);
}

static bool is_word(const char *s, size_t n, const char *word)
{
    return n == strlen(word) && memcmp(s, word, n) == 0;
}

bool lull_parameter_end(lull_reply *r)
{
    lull_parameter *p = &r->at.parameter;
    if (p->utf8.n_left > 0) return false;
    if (p->is_streamed) {
        lull_reply_add_arguments(r, "\"", 1);
        return true;
    }
    const char *s = r->scratch.data ? r->scratch.data : "";
    size_t n = r->scratch.n_bytes;
    while (n > 0 && lull_json_is_space((uint8_t)*s)) s++, n--;
    while (n > 0 && lull_json_is_space((uint8_t)s[n - 1])) n--;
    const char *json = NULL;
    if (is_word(s, n, "null") || is_word(s, n, "None")) json = "null";
    if (!p->is_string && is_word(s, n, "True")) json = "true";
    if (!p->is_string && is_word(s, n, "False")) json = "false";
    if (json) {
        lull_reply_add_arguments(r, json, strlen(json));
    } else if (!p->is_string && lull_json_is_value(s, n)) {
        lull_reply_add_arguments(r, s, n);
    } else {
        lull_reply_add_arguments(r, "\"", 1);
        for (size_t i = 0; i < r->scratch.n_bytes; i++)
            lull_reply_add_escaped(r, (uint8_t)r->scratch.data[i]);
        lull_reply_add_arguments(r, "\"", 1);
    }
    return true;
}
