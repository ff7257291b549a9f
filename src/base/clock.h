/* Monotonic time. */
#ifndef LULL_BASE_CLOCK_H
#define LULL_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t lull_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline double lull_clock_ms(void)
{
    return (double)lull_clock_ns() * 1e-6;
}

#endif
