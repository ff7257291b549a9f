/* Quantities as people read them. Each writes to the caller's buffer and returns it, so that it can
 * stand among the arguments of a printf. */
#ifndef LULL_UI_FORMAT_H
#define LULL_UI_FORMAT_H

#include <stdint.h>

enum { LULL_FORMAT_CAP = 32 };

/* Powers of 1024: "512 B", "93.8 MiB", "1.25 GiB". */
const char *lull_format_bytes(char buf[LULL_FORMAT_CAP], uint64_t n_bytes);
/* "0.42 ms", "342 ms", "12.3 s", "2 min 05 s", "3 h 12 min". */
const char *lull_format_ms(char buf[LULL_FORMAT_CAP], double ms);
/* Thousands apart: "1,234,567". */
const char *lull_format_count(char buf[LULL_FORMAT_CAP], uint64_t n);

#endif
