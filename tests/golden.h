/* A file of golden values from tests/data, read from front to back. */
#ifndef LULL_TESTS_GOLDEN_H
#define LULL_TESTS_GOLDEN_H

#include <stdlib.h>
#include <string.h>

#include "file.h"

typedef struct golden {
    char *data;
    size_t n_bytes, pos;
} golden;

static inline golden golden_open(const char *name)
{
    golden g = {0};
    lull_error err;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", LULL_TEST_DATA, name);
    if (lull_file_read(path, 16 << 20, &g.data, &g.n_bytes, &err) != LULL_OK)
        fail_msg("%s", err.msg);
    return g;
}

static inline const void *golden_take(golden *g, size_t n)
{
    assert_true(n <= g->n_bytes - g->pos);
    g->pos += n;
    return g->data + g->pos - n;
}

static inline uint32_t golden_u32(golden *g)
{
    uint32_t v;
    memcpy(&v, golden_take(g, sizeof v), sizeof v);
    return v;
}

static inline double golden_f64(golden *g)
{
    double v;
    memcpy(&v, golden_take(g, sizeof v), sizeof v);
    return v;
}

static inline void golden_close(golden *g)
{
    assert_int_equal(g->pos, g->n_bytes);
    free(g->data);
}

#endif
