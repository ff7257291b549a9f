#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "format.h"
#include "term.h"

enum { QUIET_MS = 400, REDRAW_MS = 100, BAR_MAX = 40 };

void lull_progress_init(lull_progress *p, const char *label, lull_progress_unit unit,
                        uint64_t total)
{
    const char *term = getenv("TERM");
    *p = (lull_progress){.label = label, .unit = unit, .total = total, .start_ms = lull_clock_ms()};
    p->is_on = lull_term_is_tty(stderr) && term && strcmp(term, "dumb") != 0;
}

void lull_progress_update(lull_progress *p, uint64_t done)
{
    if (!p->is_on || p->total == 0) return;
    double now = lull_clock_ms(), elapsed = now - p->start_ms;
    if (elapsed < QUIET_MS || now - p->drawn_ms < REDRAW_MS) return;
    p->drawn_ms = now;
    if (done > p->total) done = p->total;

    char rate[2 * LULL_FORMAT_CAP], buf[LULL_FORMAT_CAP], left[LULL_FORMAT_CAP + 8] = "";
    double per_s = (double)done / elapsed * 1000;
    if (p->unit == LULL_PROGRESS_BYTES)
        snprintf(rate, sizeof rate, "%s/s", lull_format_bytes(buf, (uint64_t)per_s));
    else
        snprintf(rate, sizeof rate, "%.*f tok/s", per_s < 10 ? 1 : 0, per_s);
    if (done > 0) {
        double left_ms = elapsed * (double)(p->total - done) / (double)done;
        snprintf(left, sizeof left, "%.0f s left", left_ms / 1000);
        if (left_ms >= 59500) snprintf(left, sizeof left, "%s left", lull_format_ms(buf, left_ms));
    }

    char facts[160];
    int share = (int)((double)done * 100 / (double)p->total);
    int n = snprintf(facts, sizeof facts, "%3d %%  %s  %s", share, rate, left);
    int room = lull_term_width(stderr) - 1 - (int)strlen(p->label) - 4 - n;
    int n_bar = room < BAR_MAX ? room : BAR_MAX;
    fprintf(stderr, "\r\033[K%s ", p->label);
    if (n_bar >= 8) {
        int n_full = (int)((double)n_bar * (double)done / (double)p->total);
        fputc('[', stderr);
        for (int i = 0; i < n_bar; i++) fputc(i < n_full ? '#' : '.', stderr);
        fputs("] ", stderr);
    }
    fputs(facts, stderr);
    fflush(stderr);
}

void lull_progress_finish(lull_progress *p)
{
    if (p->is_on && p->drawn_ms > 0) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    p->is_on = false;
}
