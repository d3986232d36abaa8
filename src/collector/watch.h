/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches processes that tasks have named, and tells when one has died. A thread is started with the first.
 *
 * Locks: its own one is taken inside the collector's; `died` is called with none.
 */
#ifndef TASKLOG_SRC_WATCH_H
#define TASKLOG_SRC_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "tasklog/table.h"

struct watch;

typedef void watch_died(void *context, const struct tasklog_process *process);

/* 0 or -ENOMEM. */
int watch_new(watch_died *died, void *context, struct watch **ret_watch)
    __attribute__((warn_unused_result));

/* Ends the thread. Takes NULL. */
void watch_free(struct watch *watch);

/*
 * From now on watches the process, of which at least `pid` is known; what was not known is filled in. False
 * if it is dead already, or another one that has its pid by now: `died` is not called for it then.
 */
bool watch_add(struct watch *watch, struct tasklog_process *process);

#endif
