/* A progress bar on standard error: share done, rate, time left. It appears only on a terminal, and
 * only when the work takes more than a moment; elsewhere every call does nothing.
 *
 *     lull_progress bar;
 *     lull_progress_init(&bar, "reading", LULL_PROGRESS_TOKENS, n_tokens);
 *     while (...) lull_progress_update(&bar, n_done);
 *     lull_progress_finish(&bar);      // takes the bar off the screen */
#ifndef LULL_UI_PROGRESS_H
#define LULL_UI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum lull_progress_unit { LULL_PROGRESS_BYTES, LULL_PROGRESS_TOKENS } lull_progress_unit;

typedef struct lull_progress {
    const char *label; /* kept; a word or two */
    lull_progress_unit unit;
    uint64_t total;
    double start_ms, drawn_ms; /* drawn_ms is 0 while nothing is on the screen */
    bool is_on;
} lull_progress;

void lull_progress_init(lull_progress *p, const char *label, lull_progress_unit unit,
                        uint64_t total);
/* done of total; may be called as often as one likes. */
void lull_progress_update(lull_progress *p, uint64_t done);
void lull_progress_finish(lull_progress *p);

#endif
