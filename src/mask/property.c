/* The characters of Unicode properties, as PCRE2 knows them: its tables tell of one character at a
 * time, so every character is asked for, in runs. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "regex.h"

/* General categories: the long names of Unicode, PropertyValueAliases.txt, and the short ones. */
static const char *const categories[][2] = {
    {"L", "Letter"},
    {"LC", "Cased_Letter"},
    {"Lu", "Uppercase_Letter"},
    {"Ll", "Lowercase_Letter"},
    {"Lt", "Titlecase_Letter"},
    {"Lm", "Modifier_Letter"},
    {"Lo", "Other_Letter"},
    {"M", "Mark"},
    {"M", "Combining_Mark"},
    {"Mn", "Nonspacing_Mark"},
    {"Mc", "Spacing_Mark"},
    {"Me", "Enclosing_Mark"},
    {"N", "Number"},
    {"Nd", "Decimal_Number"},
    {"Nd", "digit"},
    {"Nl", "Letter_Number"},
    {"No", "Other_Number"},
    {"P", "Punctuation"},
    {"P", "punct"},
    {"Pc", "Connector_Punctuation"},
    {"Pd", "Dash_Punctuation"},
    {"Ps", "Open_Punctuation"},
    {"Pe", "Close_Punctuation"},
    {"Pi", "Initial_Punctuation"},
    {"Pf", "Final_Punctuation"},
    {"Po", "Other_Punctuation"},
    {"S", "Symbol"},
    {"Sm", "Math_Symbol"},
    {"Sc", "Currency_Symbol"},
    {"Sk", "Modifier_Symbol"},
    {"So", "Other_Symbol"},
    {"Z", "Separator"},
    {"Zs", "Space_Separator"},
    {"Zl", "Line_Separator"},
    {"Zp", "Paragraph_Separator"},
    {"C", "Other"},
    {"Cc", "Control"},
    {"Cc", "cntrl"},
    {"Cf", "Format"},
    {"Cs", "Surrogate"},
    {"Co", "Private_Use"},
    {"Cn", "Unassigned"},
};

static const char *find_category(const char *name)
{
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (!strcmp(name, categories[i][0]) || !strcmp(name, categories[i][1]))
            return categories[i][0];
    return NULL;
}

enum { MAX_NAME = 64, RUN = 2048 }; /* characters that are asked for at once */
_Static_assert((LULL_LAST_SCALAR + 1) % RUN == 0, "the last run ends with the last character");

/* A run of those that are not in the class, then one of those that are: maybe empty, both. */
static pcre2_code *compile(const char *form, const char *value)
{
    char class[MAX_NAME + 16], pattern[2 * sizeof class + 16];
    snprintf(class, sizeof class, form, value);
    snprintf(pattern, sizeof pattern, "[^%s]*+([%s]*+)", class, class);
    int code;
    PCRE2_SIZE offset;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, &code, &offset, NULL);
    if (re) (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* without it matching is slower */
    return re;
}

/* The characters of a property. NULL: not known, or no memory. A bare name of a script means to
 * PCRE2 before 10.40 the script itself, from then on its extensions, too. */
static pcre2_code *find_property(const char *name, const char *value)
{
    const char *form = "\\p{%s}";
    if (!strcmp(name, "Script_Extensions") || !strcmp(name, "scx")) {
        form = "\\p{scx:%s}";
    } else if (!strcmp(name, "Script") || !strcmp(name, "sc")) {
        form = "\\p{sc:%s}";
    } else if (!*name || !strcmp(name, "General_Category") || !strcmp(name, "gc")) {
        const char *category = find_category(value);
        if (category && !strcmp(category, "LC")) return compile("\\p{Lu}\\p{Ll}\\p{Lt}", "");
        if (category)
            value = category;
        else if (*name)
            return NULL;
        else if (!strcmp(value, "Any"))
            return compile("\\x{0}-\\x{10ffff}", "");
        else if (!strcmp(value, "ASCII"))
            return compile("\\x{0}-\\x{7f}", "");
        else if (!strcmp(value, "Assigned"))
            return compile("\\P{Cn}", "");
        else if (value[0] == 'X' && strlen(value) == 3) /* PCRE2's own */
            return NULL;
        else
            form = "\\p{sc:%s}"; /* the bare name of a script, as others take it */
    } else {
        return NULL;
    }
    pcre2_code *code = compile(form, value);
    return code || !strcmp(form, "\\p{scx:%s}") ? code : compile("\\p{%s}", value);
}

static char *put_char(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int n_more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    *to++ = (char)((0xff00 >> (n_more + 1) & 0xff) | c >> 6 * n_more);
    while (n_more-- > 0) *to++ = (char)(0x80 | (c >> 6 * n_more & 63));
    return to;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Ask for scalars [first, first + RUN). text [4 * RUN] is work memory. */
static bool add_run(const pcre2_code *code, pcre2_match_data *match, char *text, uint32_t first,
                    lull_charset *s)
{
    char *end = text;
    for (uint32_t i = 0; i < RUN; i++) end = put_char(end, lull_scalar_code(first + i));
    uint32_t scalar = first; /* of the character at `at` */
    for (const char *at = text; at < end;) {
        if (pcre2_match(code, (PCRE2_SPTR)at, (PCRE2_SIZE)(end - at), 0, PCRE2_NO_UTF_CHECK, match,
                        NULL) < 0)
            return false;
        const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(match);
        const char *in = at + offsets[2], *in_end = at + offsets[3];
        for (; at < in; at++) scalar += !is_continuation(*at);
        uint32_t first_in = scalar;
        for (; at < in_end; at++) scalar += !is_continuation(*at);
        if (scalar > first_in)
            lull_charset_add(s, lull_scalar_code(first_in), lull_scalar_code(scalar - 1));
    }
    return true;
}

bool lull_property_add(const char *name, size_t n_bytes, lull_charset *s)
{
    char text[MAX_NAME], *value = text;
    if (n_bytes >= sizeof text || memchr(name, '\0', n_bytes)) return false;
    memcpy(text, name, n_bytes);
    text[n_bytes] = '\0';
    char *equals = strchr(text, '=');
    if (equals) {
        *equals = '\0';
        value = equals + 1;
    }
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    if (!*value || value[strspn(value, letters)] || (equals && !*text)) return false;
    pcre2_code *code = find_property(equals ? text : "", value);
    pcre2_match_data *match = code ? pcre2_match_data_create(2, NULL) : NULL;
    char *work = malloc(4 * RUN);
    bool is_known = code;
    if (match && work)
        for (uint32_t i = 0; i <= LULL_LAST_SCALAR && is_known; i += RUN)
            is_known = add_run(code, match, work, i, s);
    else if (code)
        s->is_failed = true;
    free(work);
    pcre2_match_data_free(match);
    pcre2_code_free(code);
    lull_charset_sort(s);
    return is_known;
}
