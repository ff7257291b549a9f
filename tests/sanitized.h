/* Whether this build has a sanitizer, for tests that measure time or count requests for memory, and to
 * leave out repetitions where arithmetic is many times slower. */
#ifndef LULL_TESTS_SANITIZED_H
#define LULL_TESTS_SANITIZED_H

#ifndef __has_feature /* clang's */
#define __has_feature(name) 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { IS_TSAN = 1 };
#else
enum { IS_TSAN = 0 };
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

#endif
