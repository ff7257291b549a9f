#include "term.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool lull_term_is_tty(FILE *f)
{
    return isatty(fileno(f)) == 1;
}

static bool has_color(FILE *f)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    if (no_color && *no_color) return false;
    if (!term || strcmp(term, "dumb") == 0) return false;
    return lull_term_is_tty(f);
}

int lull_term_width(FILE *f)
{
    struct winsize w;
    if (ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col > 0) return w.ws_col;
    return 80;
}

const char *lull_style_of(FILE *f, lull_style style)
{
    static const char *const sequences[LULL_STYLE_N] = {"\033[0m", "\033[1m", "\033[2m", "\033[31m",
                                                        "\033[32m"};
    return has_color(f) ? sequences[style] : "";
}

void lull_term_init_locale(void)
{
    if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}
