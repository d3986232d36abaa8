/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that runs short at the n-th request, for the one test that includes it and is linked with
 *
 *     -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup
 *
 * It counts what this program asks for, not what libraries do. Any thread may ask.
 */
#ifndef TASKLOG_TESTS_SHORT_MEMORY_H
#define TASKLOG_TESTS_SHORT_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static atomic_long short_memory_left = -1; /* requests that are granted; -1 = all */
static atomic_bool short_memory_failed;    /* was one refused since the last fail_after? */

/* Grants so many requests, refuses one, and grants all that follow. */
static inline void short_memory_fail_after(long granted)
{
    atomic_store(&short_memory_failed, false);
    atomic_store(&short_memory_left, granted);
}

/* Grants everything again. Returns whether a request was refused. */
static inline bool short_memory_end(void)
{
    atomic_store(&short_memory_left, -1);
    return atomic_load(&short_memory_failed);
}

static bool short_memory_refuses(void)
{
    long left = atomic_load(&short_memory_left);

    while (left >= 0 && !atomic_compare_exchange_weak(&short_memory_left, &left, left - 1))
        ;
    if (left == 0)
        atomic_store(&short_memory_failed, true);
    return left == 0;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    return short_memory_refuses() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return short_memory_refuses() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    return short_memory_refuses() ? NULL : __real_realloc(block, bytes);
}

char *__wrap_strdup(const char *text)
{
    return short_memory_refuses() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t bytes)
{
    return short_memory_refuses() ? NULL : __real_strndup(text, bytes);
}

#endif
