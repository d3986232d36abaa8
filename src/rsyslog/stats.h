/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What impstats shows of the actions: an object for each, and one of the module's own. rsyslog calls an object's
 * notifier when it has read the object, so an action's counters would be as old as the interval between two
 * reports. The module's own object stands before those of its actions in the list, and its notifier looks
 * after theirs.
 */
#ifndef TASKLOG_RSYSLOG_STATS_H
#define TASKLOG_RSYSLOG_STATS_H

#include "rsyslog.h"

#include "statsobj.h"

#include "tasklog/collector.h"

/* Of one action. Zero-initialise it. */
struct stats {
    statsobj_t *object;
    struct tasklog_counters counters; /* as rsyslog last read them */
};

rsRetVal stats_open(void);
void stats_close(void);

/* The module's object, before those of the actions. `read_all` makes all their counters new. */
rsRetVal stats_begin(int action_count, void (*read_all)(void));

/* `stats` must stay where it is until it is removed. */
rsRetVal stats_add(struct stats *stats, const char *name);
void stats_remove(struct stats *stats); /* that were added, or not */

#endif
