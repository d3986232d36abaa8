/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer of a topic, and a collector for each target, for as long as the group gives this process the same
 * partitions. Why each task ends as one whole row, whichever process dies, stands in docs/kafka.md.
 */
#ifndef TASKLOG_SRC_KAFKA_DOOR_H
#define TASKLOG_SRC_KAFKA_DOOR_H

#include <stdbool.h>
#include <stddef.h>

#include "tasklog/clock.h"
#include "tasklog/collector.h"
#include "tasklog/targets.h"

struct door;

struct door_hooks {
    struct tasklog_clock clock;
    /* One line for people, of a target or (NULL) of all. Any thread may call. */
    void (*say)(const char *target, int severity, const char *text);
};

struct door_counters {
    struct tasklog_counters sum; /* of all collectors: what is now, and what was since the start */
    size_t partitions;
    bool at_end; /* nothing is left to be read */
};

/* Joins the group. `targets` and `hooks` must live as long as the door. 0, or negative errno with a line in
 * `error` (TASKLOG_ERROR_BYTES). */
int door_open(struct tasklog_targets *targets, const struct door_hooks *hooks, char *error,
              struct door **ret_door) __attribute__((warn_unused_result));

/* Reads on for a moment. 0, or negative errno after something that only a new start may mend, which was said. */
int door_work(struct door *door) __attribute__((warn_unused_result));

void door_count(struct door *door, struct door_counters *ret_counters);

/* Writes what can be written soon, commits, leaves the group. Takes NULL. */
void door_close(struct door *door);

#endif
