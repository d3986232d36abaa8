/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasklog-kafka: the door of a topic of Kafka. Reads its file of targets, opens the door, and tells systemd how it
 * is until it is told to stop.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "door.h"
#include "tasklog/service.h"
#include "tasklog/system_clock.h"

#define CONFIGURATION "/etc/tasklog/kafka.conf"

enum { STATUS_MS = 2000, STATUS_BYTES = 256 };

static const struct door_hooks hooks = {.clock = {.now = tasklog_system_now,
                                                  .now_coarse = tasklog_system_now_coarse},
                                        .say = service_say};

static void tell_systemd(struct door *door)
{
    struct door_counters counters;

    door_count(door, &counters);
    sd_notifyf(0,
               "WATCHDOG=1\nSTATUS=%zu partition%s%s: %llu tasks open, %llu results waiting, "
               "%llu stored, %llu lines, %llu messages of no task, %llu dead letters",
               counters.partitions, counters.partitions == 1 ? "" : "s",
               counters.partitions == 0 ? " (waiting for some)"
               : counters.at_end        ? ""
                                        : " (catching up)",
               (unsigned long long)counters.sum.open_tasks,
               (unsigned long long)counters.sum.waiting_rows,
               (unsigned long long)counters.sum.rows_stored, (unsigned long long)counters.sum.lines,
               (unsigned long long)counters.sum.not_task, (unsigned long long)counters.sum.letters);
}

/* Until a signal says that it is enough, or the door cannot go on. */
static int work(struct door *door, int signal_fd)
{
    struct pollfd polled = {.fd = signal_fd, .events = POLLIN};
    int64_t told_ms = 0;
    int r = 0;

    sd_notify(0, "READY=1");
    while (r == 0 && poll(&polled, 1, 0) == 0) {
        int64_t now_ms = tasklog_system_now(NULL).mono_ms;
        if (now_ms >= told_ms + STATUS_MS) {
            tell_systemd(door);
            told_ms = now_ms;
        }
        r = door_work(door);
    }
    sd_notify(0, "STOPPING=1");
    return r;
}

static int serve(const char *path, const char *state_folder)
{
    struct tasklog_targets *targets = NULL;
    struct door *door = NULL;
    char error[TASKLOG_ERROR_BYTES];
    int r = tasklog_targets_read(path, state_folder, error, &targets);

    int signal_fd = service_signals();
    if (r == 0 && signal_fd < 0) {
        r = signal_fd;
        snprintf(error, sizeof(error), "signals cannot be waited for: %s", strerror(-r));
    }
    if (r == 0 && !targets->kafka.brokers) {
        r = -EINVAL;
        snprintf(error, sizeof(error),
                 "%s: there is no section [kafka] with \"brokers\", \"topic\" and \"group\"", path);
    }
    if (r == 0)
        r = door_open(targets, &hooks, error, &door);
    if (r < 0)
        service_say(NULL, LOG_ERR, error);
    else
        r = work(door, signal_fd);
    door_close(door);
    tasklog_targets_free(targets);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const char usage[] =
    "usage: tasklog-kafka [-c FILE]\n"
    "\n"
    "Gathers the log lines of tasks from a topic of Kafka and writes each task's log into\n"
    "a database row. Several of one group share the topic's partitions.\n"
    "\n"
    "  -c, --config FILE  topic and targets (default " CONFIGURATION ")\n"
    "  -h, --help         print this\n"
    "\n"
    "Spools lie below $STATE_DIRECTORY (default " TASKLOG_KAFKA_STATE_FOLDER ").\n";

int main(int count, char **arguments)
{
    const char *path = CONFIGURATION;

    int status = service_arguments(count, arguments, "tasklog-kafka", usage, &path);
    return status == SERVICE_GO_ON ? serve(path, service_state_folder()) : status;
}
