/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into rsyslogd: counts the calls of one function that concern files below one folder, and
 * makes some of them fail, as a bad disk would.
 *
 *     FAIL_FOLDER    the folder
 *     FAIL_FUNCTION  which function, by its name in C
 *     FAIL_FROM      the first call that fails, counted from 0; without it none does
 *     FAIL_COUNT     how many fail from there on
 *     FAIL_ERRNO     as what, a number
 *     FAIL_LOG       one line goes there for each call: "call" or "failed"
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;

static int lies_below(const char *path)
{
    const char *folder = getenv("FAIL_FOLDER");

    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

/* Is it one of ours, a file of that descriptor (and name in it)? The room that is kept for a stop is not: a disk
 * that refuses it has cost nothing yet. */
static int is_ours(int fd, const char *name)
{
    static const char reserve[] = "/reserve";
    char link[64], path[PATH_MAX];

    if (name && name[0] == '/')
        return lies_below(name);
    if (name && strcmp(name, reserve + 1) == 0)
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof(path) - 1);
    if (bytes < 0)
        return 0;
    path[bytes] = '\0';
    if ((size_t)bytes >= strlen(reserve) && strcmp(path + bytes - strlen(reserve), reserve) == 0)
        return 0;
    return lies_below(path);
}

static void note(const char *what)
{
    const char *log = getenv("FAIL_LOG");
    int fd =
        log ? (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;

    if (fd >= 0) {
        (void)!syscall(SYS_write, fd, what, strlen(what));
        close(fd);
    }
}

/* The error that this call is to fail with, 0 = none. */
static int fault(const char *function, int fd, const char *name)
{
    const char *wanted = getenv("FAIL_FUNCTION"), *from = getenv("FAIL_FROM");
    int before = errno, error = 0;

    if (wanted && strcmp(wanted, function) == 0 && is_ours(fd, name)) {
        long number = atomic_fetch_add(&calls, 1);
        if (from && number >= atol(from) && number < atol(from) + atol(getenv("FAIL_COUNT")))
            error = atoi(getenv("FAIL_ERRNO"));
        note(error ? "failed\n" : "call\n");
    }
    errno = before;
    return error;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRAP(type, name, parameters, arguments, fd, path) \
    type name parameters                                  \
    {                                                     \
        int error = fault(#name, fd, path);               \
        if (error) {                                      \
            errno = error;                                \
            return -1;                                    \
        }                                                 \
        return REAL(name) arguments;                      \
    }

WRAP(int, fsync, (int fd), (fd), fd, NULL)
WRAP(int, fdatasync, (int fd), (fd), fd, NULL)
WRAP(int, ftruncate, (int fd, off_t bytes), (fd, bytes), fd, NULL)
WRAP(ssize_t, write, (int fd, const void *data, size_t bytes), (fd, data, bytes), fd, NULL)
WRAP(int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags), fd, name)
WRAP(int, mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode), fd, name)
WRAP(int, mkdir, (const char *name, mode_t mode), (name, mode), -1, name)
WRAP(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new),
     from, old)
WRAP(int, linkat, (int from, const char *old, int to, const char *new, int flags),
     (from, old, to, new, flags), from, old)

int posix_fallocate(int fd, off_t offset, off_t bytes)
{
    int error = fault("posix_fallocate", fd, NULL);

    return error ? error : REAL(posix_fallocate)(fd, offset, bytes);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    int error = fd >= 0 ? fault("mmap", fd, NULL) : 0;

    if (error) {
        errno = error;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
}

int openat(int folder, const char *name, int flags, ...)
{
    int error = fault("openat", folder, name);
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    if (error) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_openat, folder, name, flags, mode);
}

int open(const char *name, int flags, ...)
{
    int error = fault("open", -1, name);
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    if (error) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}
