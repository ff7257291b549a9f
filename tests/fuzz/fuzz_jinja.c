/* Any bytes as a chat template, rendered over messages of every shape: an error or a text, within the bounds of
 * the interpreter. */
#include <stdint.h>
#include <stdlib.h>

#include <jansson.h>

#include "jinja.h"

static const char variables[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"},"
    " {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Grüße\"}]},"
    " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"a\", \"function\":"
    " {\"name\": \"f\", \"arguments\": {\"x\": [1, 2.5, true, null, \"\\\\n\"]}}}]},"
    " {\"role\": \"tool\", \"content\": \"42\"}],"
    " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}}],"
    " \"add_generation_prompt\": true, \"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static json_t *vars;
    lull_jinja *template;
    char *text = NULL;
    size_t n;
    lull_error err;
    if (!vars) vars = json_loads(variables, 0, NULL);
    if (!vars) abort();
    if (lull_jinja_parse((const char *)data, n_bytes, &template, &err) != LULL_OK) return 0;
    if (lull_jinja_render(template, vars, &text, &n, &err) == LULL_OK && text[n] != '\0') abort();
    free(text);
    lull_jinja_free(template);
    return 0;
}
