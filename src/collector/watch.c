/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches processes: by a pidfd each, and if there are no more of these to be had, by looking once a second.
 * Who logs chooses how many there are: they may have a part of this process's descriptors, not all.
 *
 * A pid is used again after its process has died, so a process is known by when it was started, too; and
 * after the machine was started again nothing is the same.
 */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

enum { PART_OF_FILES = 8, EVENTS_MAX = 64, LOOK_MS = 1000, STAT_BYTES = 1024 };

struct watched {
    struct tasklog_process process;
    int fd; /* -1: there was none to be had */
};

struct watch {
    watch_died *died;
    void *context;
    uint64_t boot;
    int epoll_fd;
    int stop_fd;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of all below */
    void *tree;           /* struct watched, by pid */
    size_t unwatched;     /* those without a pidfd */
    size_t pidfds;        /* those with one */
    size_t pidfds_max;
};

static int compare(const void *a, const void *b)
{
    const struct tasklog_process *x = &((const struct watched *)a)->process;
    const struct tasklog_process *y = &((const struct watched *)b)->process;

    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* ---- what the kernel says ---- */

static ssize_t read_file(const char *path, char *buffer, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t r;

    if (fd < 0)
        return -errno;
    r = read(fd, buffer, bytes - 1);
    close(fd);
    if (r >= 0)
        buffer[r] = '\0';
    return r;
}

static uint64_t read_boot(void)
{
    char text[64];
    ssize_t bytes = read_file("/proc/sys/kernel/random/boot_id", text, sizeof(text));

    return bytes > 0 ? XXH3_64bits(text, (size_t)bytes) | 1 : 1;
}

#define CANNOT_TELL UINT64_MAX

/* When it was started, in ticks since the boot; 0 = there is no such process. See proc(5). */
static uint64_t read_start(uint32_t pid)
{
    char path[64], text[STAT_BYTES];
    unsigned long long start;

    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    ssize_t bytes = read_file(path, text, sizeof(text));
    if (bytes == -ENOENT || bytes == -ESRCH || bytes == 0)
        return 0;
    if (bytes < 0)
        return CANNOT_TELL;
    const char *at = strrchr(text, ')'); /* its name may have blanks */
    /* NOLINTNEXTLINE(cert-err34-c): the kernel has written it */
    if (!at || sscanf(at + 1,
                      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                      "%*d %llu",
                      &start) != 1)
        return CANNOT_TELL;
    return start + 1; /* never 0 */
}

/* ---- the thread ---- */

/* Takes it out of the tree, and frees it; the lock is held. */
static void forget(struct watch *watch, struct watched *watched)
{
    tdelete(watched, &watch->tree, compare);
    if (watched->fd >= 0) {
        /* A process that was forked from this one may have the pidfd, too: then a close is not enough. */
        epoll_ctl(watch->epoll_fd, EPOLL_CTL_DEL, watched->fd, NULL);
        close(watched->fd);
        watch->pidfds--;
    } else {
        watch->unwatched--;
    }
    free(watched);
}

/* Only the thread takes anything out of the tree while it runs: what it knows of stays. */
static void tell(struct watch *watch, struct watched *watched)
{
    pthread_mutex_lock(&watch->lock);
    const struct tasklog_process process = watched->process;
    forget(watch, watched);
    pthread_mutex_unlock(&watch->lock);
    watch->died(watch->context, &process);
}

static bool is_other(const struct tasklog_process *process, uint64_t start)
{
    return process->start != 0 && start != CANNOT_TELL && process->start != start;
}

struct look {
    struct watched *dead[EVENTS_MAX];
    size_t count;
};

static void look_at(const void *node, VISIT visit, void *context)
{
    struct watched *watched = *(struct watched *const *)node;
    struct look *look = context;

    if ((visit != postorder && visit != leaf) || watched->fd >= 0 || look->count == EVENTS_MAX)
        return;
    uint64_t start = read_start(watched->process.pid);
    if (start == 0 || is_other(&watched->process, start))
        look->dead[look->count++] = watched;
}

static void look_at_unwatched(struct watch *watch)
{
    struct look look = {.count = 0};

    pthread_mutex_lock(&watch->lock);
    if (watch->unwatched > 0)
        twalk_r(watch->tree, look_at, &look);
    pthread_mutex_unlock(&watch->lock);
    for (size_t i = 0; i < look.count; i++)
        tell(watch, look.dead[i]);
}

static void *watch_thread(void *argument)
{
    struct watch *watch = argument;
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int count = epoll_wait(watch->epoll_fd, events, EVENTS_MAX, LOOK_MS);
        for (int i = 0; i < count; i++) {
            if (!events[i].data.ptr)
                return NULL; /* it is time to stop */
            tell(watch, events[i].data.ptr);
        }
        look_at_unwatched(watch);
    }
}

/* ---- adding ---- */

/* Our threads take no signals: those are for the front's own. */
static bool start_thread(struct watch *watch)
{
    sigset_t all, before;

    if (watch->started)
        return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    watch->started = pthread_create(&watch->thread, NULL, watch_thread, watch) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return watch->started;
}

/* A new one, in the tree; the lock is held. Without memory it is not watched. */
static void add(struct watch *watch, const struct tasklog_process *process, int fd)
{
    struct watched *watched = malloc(sizeof(*watched));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watched};

    if (watched)
        *watched = (struct watched){*process, fd};
    if (!watched || !tsearch(watched, &watch->tree, compare)) {
        free(watched);
        if (fd >= 0)
            close(fd);
        return;
    }
    if (fd >= 0 && (watch->pidfds >= watch->pidfds_max ||
                    epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)) {
        close(fd);
        watched->fd = -1;
    }
    watch->unwatched += watched->fd < 0;
    watch->pidfds += watched->fd >= 0;
}

bool watch_add(struct watch *watch, struct tasklog_process *process)
{
    if (process->boot != 0 && process->boot != watch->boot)
        return false;
    process->boot = watch->boot;
    /* The pidfd first: what is read after it is the same process's, or the pidfd will tell. */
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)process->pid, 0);
    bool is_dead = fd < 0 && errno == ESRCH;
    uint64_t start = is_dead ? 0 : read_start(process->pid);
    if (start == 0 || is_other(process, start)) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (start != CANNOT_TELL)
        process->start = start;

    const struct watched key = {.process = *process};
    pthread_mutex_lock(&watch->lock);
    if (!tfind(&key, &watch->tree, compare) && start_thread(watch))
        add(watch, process, fd);
    else if (fd >= 0)
        close(fd);
    pthread_mutex_unlock(&watch->lock);
    return true;
}

/* ---- life ---- */

int watch_new(watch_died *died, void *context, struct watch **ret_watch)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    struct epoll_event stop = {.events = EPOLLIN};
    struct rlimit files;

    if (!watch)
        return -ENOMEM;
    watch->died = died;
    watch->context = context;
    watch->boot = read_boot();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        watch->pidfds_max = (size_t)files.rlim_cur / PART_OF_FILES;
    watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch->stop_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&watch->lock, NULL);
    if (watch->epoll_fd < 0 || watch->stop_fd < 0 ||
        epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, watch->stop_fd, &stop) < 0) {
        watch_free(watch);
        return -ENOMEM;
    }
    *ret_watch = watch;
    return 0;
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    if (watch->started) {
        uint64_t one = 1;
        (void)!write(watch->stop_fd, &one, sizeof(one));
        pthread_join(watch->thread, NULL);
    }
    while (watch->tree)
        forget(watch, *(struct watched **)watch->tree);
    if (watch->epoll_fd >= 0)
        close(watch->epoll_fd);
    if (watch->stop_fd >= 0)
        close(watch->stop_fd);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}
