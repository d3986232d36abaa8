/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a line through the core, without rsyslog and without a database: as many lines as one is
 * told of as many open tasks, in order or round robin, into a collector with a spool. For a profiler
 * and for counting instructions; prints nanoseconds a line.
 *
 *     core FOLDER TASKS LINES order|interleaved
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tasklog/collector.h"
#include "tasklog/system_clock.h"

static void say(void *context, int severity, const char *text)
{
    (void)context;
    if (severity < 5)
        fprintf(stderr, "core: %s\n", text);
}

static struct tasklog_collector *new_collector(const char *folder)
{
    const struct tasklog_hooks hooks = {.clock = {.now = tasklog_system_now,
                                                  .now_coarse = tasklog_system_now_coarse},
                                        .say = say};
    const char *const parameters[][2] = {{"database", "sqlite:/nowhere/db"},
                                         {"table", "runs"},
                                         {"columns", "log=log"},
                                         {"liveInterval", "0"},
                                         {"spool", folder}};
    struct tasklog_collector *collector;
    struct tasklog_config *config;
    char error[TASKLOG_ERROR_BYTES] = "out of memory";

    if (tasklog_config_new(&config) < 0)
        exit(1);
    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
        if (tasklog_config_set(config, parameters[i][0], parameters[i][1], error) < 0)
            goto failed;
    if (tasklog_config_check(config, error) < 0 ||
        tasklog_collector_new(config, &hooks, error, &collector) < 0 ||
        tasklog_collector_start(collector, error) < 0)
        goto failed;
    return collector;

failed:
    fprintf(stderr, "core: %s\n", error);
    exit(1);
}

static void accept(struct tasklog_collector *collector, unsigned long task)
{
    static char text[] = "line 1234 of a task, with some text to make it as long as lines are";
    static int64_t time_us = 1795516267123456;
    char id[32];
    const struct tasklog_line line = {.kind = "import",
                                      .kind_bytes = 6,
                                      .id = id,
                                      .id_bytes = (size_t)sprintf(id, "run-%lu", task),
                                      .host = "sender",
                                      .host_bytes = 6,
                                      .text = text,
                                      .text_bytes = sizeof(text) - 1,
                                      .time_us = time_us++,
                                      .received_us = time_us,
                                      .severity = 6};

    if (tasklog_collector_accept(collector, &line, 1) != 1)
        exit(1);
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "core: FOLDER TASKS LINES order|interleaved\n");
        return 2;
    }
    unsigned long tasks = strtoul(arguments[2], NULL, 10), lines = strtoul(arguments[3], NULL, 10);
    bool interleaved = strcmp(arguments[4], "interleaved") == 0;
    struct tasklog_collector *collector = new_collector(arguments[1]);
    struct timespec began, ended;

    clock_gettime(CLOCK_MONOTONIC, &began);
    for (unsigned long i = 0; i < tasks * lines; i++)
        accept(collector, interleaved ? i % tasks : i / lines);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    double seconds =
        (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
    printf("%.0f\n", seconds * 1e9 / (double)(tasks * lines));
    tasklog_collector_free(collector);
    return 0;
}
