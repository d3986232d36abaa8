/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a config, for the files of the collector. */
#ifndef TASKLOG_SRC_SETTINGS_H
#define TASKLOG_SRC_SETTINGS_H

#include <stdint.h>

#include "field.h"
#include "tasklog/config.h"
#include "tasklog/store.h"
#include "tasklog/table.h"

enum { MAPPINGS_MAX = 64, UIDS_MAX = 64 };

/* `field=column` of a parameter. */
struct mapping {
    enum field field;
    char *column;
};

struct mapping_list {
    struct mapping items[MAPPINGS_MAX];
    size_t count;
};

struct tasklog_config {
    char *database;
    char *table;
    char *marker;
    enum tasklog_mode mode;
    struct mapping_list keys;
    struct mapping_list columns;
    struct tasklog_rules rules; /* its marker is the one above */
    char *spool;                /* its folder; NULL = not said, "" = off */
    bool spool_sync;
    uint32_t trusted_uids[UIDS_MAX]; /* who may log; none = everybody */
    size_t trusted_count;
    int64_t sender_max_tasks; /* open ones of a sender, 0 = any number */
    int64_t sender_max_rate;  /* lines of a sender in a second, likewise */
    bool is_shared;           /* the front's source keeps its lines, and others may read it, too */
    /* Made of the above by the check: */
    struct tasklog_target target;
    struct tasklog_column target_keys[MAPPINGS_MAX];
    struct tasklog_column target_columns[MAPPINGS_MAX];
};

#endif
