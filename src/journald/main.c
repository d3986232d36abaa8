/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasklog-journald: the journal's door. Reads its file of targets, starts a feed for each, and tells systemd how
 * it is until it is told to stop.
 *
 * Concurrency: this thread starts and stops the feeds and takes the signals; each feed has a thread of its own.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "feed.h"
#include "reader.h"
#include "tasklog/service.h"
#include "tasklog/system_clock.h"

#define CONFIGURATION "/etc/tasklog/journald.conf"

enum { STATUS_MS = 2000, DEAD_MS = 30000, STATUS_BYTES = 1024 };

struct daemon {
    struct tasklog_targets *targets;
    struct feed *feeds[TASKLOG_TARGETS_MAX];
    size_t count;
    bool ready;
    int64_t watchdog_ms; /* 0 = nobody watches */
    char status[STATUS_BYTES];
};

/* Any thread may write to it; systemd wants to be told something. */
static int wake_fd = -1;

static void wake(void)
{
    uint64_t one = 1;

    (void)!write(wake_fd, &one, sizeof(one));
}

static const struct feed_hooks hooks = {.clock = {.now = tasklog_system_now},
                                        .say = service_say,
                                        .begun = wake};

/* ---- systemd ---- */

static bool all_alive(const struct daemon *daemon)
{
    int64_t now_ms = tasklog_system_now(NULL).mono_ms;

    for (size_t i = 0; i < daemon->count; i++)
        if (now_ms > feed_alive_ms(daemon->feeds[i]) + DEAD_MS)
            return false;
    return true;
}

static bool all_begun(const struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->count; i++)
        if (!feed_has_begun(daemon->feeds[i]))
            return false;
    return true;
}

static void print_status(const struct daemon *daemon, char status[STATUS_BYTES])
{
    struct tasklog_counters sum = {0};

    for (size_t i = 0; i < daemon->count; i++) {
        struct tasklog_counters counters;
        feed_count(daemon->feeds[i], &counters);
        sum.open_tasks += counters.open_tasks;
        sum.waiting_rows += counters.waiting_rows;
        sum.rows_stored += counters.rows_stored;
        sum.lines += counters.lines + counters.altered + counters.late;
        sum.letters += counters.letters;
    }
    snprintf(status, STATUS_BYTES,
             "%zu target%s: %llu task%s open, %llu result%s waiting, %llu stored, %llu lines, "
             "%llu dead letters",
             daemon->count, daemon->count == 1 ? "" : "s", (unsigned long long)sum.open_tasks,
             sum.open_tasks == 1 ? "" : "s", (unsigned long long)sum.waiting_rows,
             sum.waiting_rows == 1 ? "" : "s", (unsigned long long)sum.rows_stored,
             (unsigned long long)sum.lines, (unsigned long long)sum.letters);
}

static void tell_systemd(struct daemon *daemon)
{
    char status[STATUS_BYTES];

    if (!daemon->ready && all_begun(daemon)) {
        daemon->ready = true;
        sd_notify(0, "READY=1");
    }
    if (daemon->watchdog_ms > 0 && all_alive(daemon))
        sd_notify(0, "WATCHDOG=1");
    print_status(daemon, status);
    if (strcmp(status, daemon->status) != 0) {
        strcpy(daemon->status, status);
        sd_notifyf(0, "STATUS=%s", status);
    }
}

/* ---- life ---- */

static int start_all(struct daemon *daemon)
{
    struct tasklog_targets *targets = daemon->targets;
    char error[TASKLOG_ERROR_BYTES];
    int r = 0;

    for (; daemon->count < targets->count && r == 0; daemon->count += r == 0) {
        struct tasklog_named_target *target = &targets->targets[daemon->count];
        r = feed_new(target, &targets->journal, &hooks, error, &daemon->feeds[daemon->count]);
        if (r < 0)
            service_say(target->name, LOG_ERR, error);
    }
    for (size_t i = 0; i < daemon->count && r == 0; i++) {
        r = feed_start(daemon->feeds[i], error);
        if (r < 0)
            service_say(feed_name(daemon->feeds[i]), LOG_ERR, error);
    }
    return r;
}

static void stop_all(struct daemon *daemon)
{
    sd_notify(0, "STOPPING=1");
    for (size_t i = 0; i < daemon->count; i++)
        feed_stop(daemon->feeds[i]);
    for (size_t i = 0; i < daemon->count; i++)
        feed_free(daemon->feeds[i]);
}

/* Until a signal says that it is enough. */
static void wait_for_end(struct daemon *daemon, int signal_fd)
{
    struct pollfd polled[] = {{.fd = signal_fd, .events = POLLIN},
                              {.fd = wake_fd, .events = POLLIN}};
    int64_t step_ms = STATUS_MS;

    if (daemon->watchdog_ms > 0 && daemon->watchdog_ms / 2 < step_ms)
        step_ms = daemon->watchdog_ms / 2;
    for (;;) {
        uint64_t woken;
        tell_systemd(daemon);
        if (poll(polled, 2, (int)step_ms) < 0 && errno != EINTR)
            return;
        if (polled[0].revents)
            return;
        if (polled[1].revents)
            (void)!read(wake_fd, &woken, sizeof(woken));
    }
}

static int serve(const char *path, const char *state_folder)
{
    struct daemon daemon = {0};
    char error[TASKLOG_ERROR_BYTES];
    uint64_t watchdog_us = 0;
    int signal_fd = -1;
    int r = tasklog_targets_read(path, state_folder, error, &daemon.targets);

    if (r == 0 && daemon.targets->kafka.brokers) {
        snprintf(error, sizeof(error), "%s: is for tasklog-kafka: it has a section [kafka]", path);
        tasklog_targets_free(daemon.targets);
        r = -EINVAL;
    }
    if (r < 0) {
        service_say(NULL, LOG_ERR, error);
        return EXIT_FAILURE;
    }
    signal_fd = service_signals();
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signal_fd < 0 || wake_fd < 0) {
        r = signal_fd < 0 ? signal_fd : -errno;
        service_say(NULL, LOG_ERR, strerror(-r));
    }
    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        daemon.watchdog_ms = (int64_t)(watchdog_us / 1000);
    if (r == 0)
        r = start_all(&daemon);
    if (r == 0)
        wait_for_end(&daemon, signal_fd);
    stop_all(&daemon);
    tasklog_targets_free(daemon.targets);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- arguments ---- */

static int compare_kinds(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_journal(int count, char **arguments)
{
    struct reader_options options = {.out = STDOUT_FILENO};

    if (count < 7) {
        fputs("tasklog-journald: " READER_ARGUMENT " is for its own use\n", stderr);
        return SERVICE_USAGE;
    }
    /* It goes with the process that started it, which is told to stop together with it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    options.journal.namespace_name = arguments[2][0] ? arguments[2] : NULL;
    options.journal.directory = arguments[3][0] ? arguments[3] : NULL;
    options.journal.since = strcmp(arguments[4], "all") == 0    ? TASKLOG_SINCE_ALL
                            : strcmp(arguments[4], "boot") == 0 ? TASKLOG_SINCE_BOOT
                                                                : TASKLOG_SINCE_NOW;
    options.position = arguments[5];
    options.kinds = arguments + 6;
    options.kind_count = (size_t)count - 6;
    qsort(arguments + 6, options.kind_count, sizeof(*arguments), compare_kinds);
    return reader_run(&options);
}

static const char usage[] =
    "usage: tasklog-journald [-c FILE]\n"
    "\n"
    "Gathers the log lines of tasks from the systemd journal and writes "
    "each task's log into a database row.\n"
    "\n"
    "  -c, --config FILE  the targets (default " CONFIGURATION ")\n"
    "  -h, --help         print this\n"
    "\n"
    "Spools lie below $STATE_DIRECTORY (default " TASKLOG_STATE_FOLDER ").\n";

int main(int count, char **arguments)
{
    const char *path = CONFIGURATION;

    if (count > 1 && strcmp(arguments[1], READER_ARGUMENT) == 0)
        return read_journal(count, arguments);
    int status = service_arguments(count, arguments, "tasklog-journald", usage, &path);
    const char *folder = service_state_folder();
    return status == SERVICE_GO_ON ? serve(path, folder ? folder : TASKLOG_STATE_FOLDER) : status;
}
