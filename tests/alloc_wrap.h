/* Counts what the program asks the system for, and makes the nth request fail. Link with
 *   -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=mmap
 * A program includes this once. Calls from inside libraries (cmocka, the C library) are not seen. */
#ifndef LULL_TESTS_ALLOC_WRAP_H
#define LULL_TESTS_ALLOC_WRAP_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/types.h>

static atomic_long n_requests;   /* since the start; atomic: threads ask, too */
static atomic_long fail_at = -1; /* the request that fails; -1: none */

static bool is_refused(void)
{
    return atomic_fetch_add(&n_requests, 1) == atomic_load(&fail_at);
}

/* Let request n from now on fail (0: the next), or none (-1). */
static inline void fail_request(long n)
{
    atomic_store(&fail_at, n < 0 ? -1 : atomic_load(&n_requests) + n);
}

/* Did the request that was to fail come? */
static inline bool has_failed(void)
{
    return atomic_load(&fail_at) >= 0 && atomic_load(&n_requests) > atomic_load(&fail_at);
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t n)
{
    return is_refused() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t each)
{
    return is_refused() ? NULL : __real_calloc(n, each);
}
void *__wrap_realloc(void *p, size_t n)
{
    return is_refused() ? NULL : __real_realloc(p, n);
}
void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return is_refused() ? NULL : __real_aligned_alloc(align, n);
}
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (!is_refused()) return __real_mmap(at, n, prot, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

#endif
