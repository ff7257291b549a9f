/* "format": the languages of dates, times, addresses and names. Where a document admits what
 * common readers refuse, less is written here; what is written is always of the format. */
#include <string.h>

#include "schema_private.h"

/* RFC 3339, section 5.6, from the year 1 on, in the Gregorian calendar. */
#define YEAR "(?:\\d{3}[1-9]|\\d{2}[1-9]0|\\d[1-9]00|[1-9]000)"
#define FOURTH "(?:0[48]|[2468][048]|[13579][26])"
#define LEAP_YEAR "(?:\\d\\d" FOURTH "|" FOURTH "00)"
#define DATE                                                                                       \
    "(?:" YEAR                                                                                     \
    "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)"          \
    "|02-(?:0[1-9]|1\\d|2[0-8]))|" LEAP_YEAR "-02-29)"
#define HOUR_MINUTE "(?:[01]\\d|2[0-3]):[0-5]\\d"
#define TIME HOUR_MINUTE ":[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-]" HOUR_MINUTE ")"

/* RFC 3339, appendix A. */
#define DURATION_TIME "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)"
#define DURATION                                                                                   \
    "P(?:\\d+W|" DURATION_TIME                                                                     \
    "|(?:\\d+D|\\d+M(?:\\d+D)?|\\d+Y(?:\\d+M(?:\\d+D)?)?)(?:" DURATION_TIME ")?)"

#define HEX "[0-9A-Fa-f]"
#define UUID HEX "{8}-" HEX "{4}-" HEX "{4}-" HEX "{4}-" HEX "{12}"

/* RFC 3986, section 3.2.2. */
#define BYTE "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 BYTE "(?:\\." BYTE "){3}"
#define H16 HEX "{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                       \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?::(?:" H16 ":){4}" LS32      \
    "|(?:(?:" H16 ":){0,1}" H16 ")?::(?:" H16 ":){3}" LS32 "|(?:(?:" H16 ":){0,2}" H16             \
    ")?::(?:" H16 ":){2}" LS32 "|(?:(?:" H16 ":){0,3}" H16 ")?::" H16 ":" LS32 "|(?:(?:" H16       \
    ":){0,4}" H16 ")?::" LS32 "|(?:(?:" H16 ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16   \
    ")?::)"

/* RFC 1123 names without two hyphens in a row, so that none is in another encoding; of 223
 * characters at most. */
#define ALNUM "[A-Za-z0-9]"
#define LABEL63 ALNUM "(?:[A-Za-z0-9-]{0,61}" ALNUM ")?"
#define LABEL31 ALNUM "(?:[A-Za-z0-9-]{0,29}" ALNUM ")?"
#define HOSTNAME "(?:" LABEL63 "(?:\\." LABEL63 "){0,2}|" LABEL31 "(?:\\." LABEL31 "){0,6})"
#define ATEXT "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
#define EMAIL ATEXT "(?:\\.?" ATEXT "){0,31}@(?:" ALNUM "+(?:-" ALNUM "+)*\\.)+[A-Za-z]{2,24}"

#define PERCENT "%" HEX HEX
#define PCHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|" PERCENT ")"
#define SEGMENTS "(?:/" PCHAR "*)*"
#define AUTHORITY                                                                                  \
    "(?:(?:[A-Za-z0-9._~-]|" PERCENT ")+(?::(?:[A-Za-z0-9._~-]|" PERCENT ")*)?@)?" ALNUM           \
    "(?:[A-Za-z0-9.-]*" ALNUM ")?(?::\\d{1,5})?"
#define TAIL "(?:\\?(?:" PCHAR "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?"
#define ROOTED "/(?:" PCHAR "+" SEGMENTS ")?"
#define URI                                                                                        \
    "[A-Za-z][A-Za-z0-9+.-]*:(?://" AUTHORITY SEGMENTS "|//" ROOTED "|" ROOTED "|" PCHAR           \
    "+" SEGMENTS ")" TAIL
#define REFERENCE                                                                                  \
    "(?:" URI "|(?://" AUTHORITY SEGMENTS "|" ROOTED "|(?:[A-Za-z0-9._~!$&'()*+,;=@-]|" PERCENT    \
    ")+" SEGMENTS ")?" TAIL ")"

static const struct format {
    const char *name, *regex;
    lull_format_kind kind;
} formats[] = {
    {"date", DATE, LULL_FORMAT_EXACT},
    {"time", TIME, LULL_FORMAT_NEAR},
    {"date-time", DATE "T" TIME, LULL_FORMAT_NEAR},
    {"duration", DURATION, LULL_FORMAT_NEAR},
    {"uuid", UUID, LULL_FORMAT_EXACT},
    {"ipv4", IPV4, LULL_FORMAT_EXACT},
    {"ipv6", IPV6, LULL_FORMAT_EXACT},
    {"hostname", HOSTNAME, LULL_FORMAT_STRICT},
    {"email", EMAIL, LULL_FORMAT_STRICT},
    {"uri", URI, LULL_FORMAT_STRICT},
    {"uri-reference", REFERENCE, LULL_FORMAT_STRICT},
    {"json-pointer", "(?:/(?:[^/~]|~[01])*)*", LULL_FORMAT_EXACT},
};

lull_status lull_format_find(lull_compiler *c, uint32_t schema, const char *name,
                             const lull_regular **out, lull_format_kind *kind)
{
    lull_status st = LULL_OK;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, name) != 0) continue;
        *kind = formats[i].kind;
        LULL_TRY(lull_schema_whole(c, formats[i].regex, out));
        if (strcmp(name, "hostname") == 0) {
            const lull_regular *doubled, *others;
            LULL_TRY(lull_schema_pattern(c, schema, "format", "--", 2, &doubled));
            LULL_TRY(lull_schema_not(c, doubled, &others));
            LULL_TRY(lull_schema_both(c, *out, others, out));
        }
        return LULL_OK;
    }
    return lull_schema_fail(
        c, LULL_EUNSUPPORTED, schema, "format",
        "\"%s\" is not one of the formats known here (date, time, date-time, duration, uuid, "
        "email, uri, hostname, ipv4, ipv6, json-pointer); leave it out or write a "
        "\"pattern\"",
        name);
done:
    return st;
}
