/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of targets for doors that have no configuration language of their own: INI, a section per
 * target with the parameters of config.h and the kinds it takes, and one section that says what is read, a
 * journal, or a topic of Kafka (then in place of [journal] it is [kafka]):
 *
 *     [journal]
 *     namespace = tasks
 *
 *     [table-comments]
 *     kinds = table_comments column_comments
 *     database = sqlite:/srv/thoth/db.sqlite3
 *     table = thoth_core_sqldb
 *     key = task_id=table_comment_task_id
 *     columns = log=table_comment_log status=table_comment_status
 *         end_time=table_comment_end_time
 *
 * Where a parameter takes several values they are separated by blanks, commas or lines that begin with a
 * blank. Other values may go on in such lines, too; they are joined by a blank.
 */
#ifndef TASKLOG_TARGETS_H
#define TASKLOG_TARGETS_H

#include <stdbool.h>
#include <stddef.h>

#include "tasklog/config.h"

/* Where tasklog-journald has its spools, unless systemd names another folder. */
#define TASKLOG_STATE_FOLDER "/var/lib/tasklog-journald"
/* … and tasklog-kafka. */
#define TASKLOG_KAFKA_STATE_FOLDER "/var/lib/tasklog-kafka"

enum { TASKLOG_TARGETS_MAX = 64, TASKLOG_KINDS_MAX = 256, TASKLOG_PROPERTIES_MAX = 64 };

/* Where to begin when the spool knows nothing yet. */
enum tasklog_since {
    TASKLOG_SINCE_NOW,  /* what is logged from now on */
    TASKLOG_SINCE_BOOT, /* what was logged since the machine was started */
    TASKLOG_SINCE_ALL,  /* all that the journal has */
};

struct tasklog_journal {
    char *namespace_name; /* NULL = the default one */
    char *directory; /* absolute path of journal files to be read instead; NULL = the machine's */
    enum tasklog_since since;
};

struct tasklog_property {
    char *name;
    char *value;
};

struct tasklog_kafka {
    char *brokers; /* all three are there, or none: then the file is for the journal */
    char *topic;
    char *group;
    struct tasklog_property properties[TASKLOG_PROPERTIES_MAX]; /* for librdkafka as they are */
    size_t property_count;
};

struct tasklog_named_target {
    char *name; /* of its section */
    char *kinds[TASKLOG_KINDS_MAX];
    size_t kind_count;
    struct tasklog_config *config; /* checked, its spool set; NULL once somebody took it */
};

struct tasklog_targets {
    struct tasklog_journal journal;
    struct tasklog_kafka kafka;
    struct tasklog_named_target targets[TASKLOG_TARGETS_MAX]; /* at least one */
    size_t count;
};

/*
 * Reads the file. A target without `spool` gets the folder of its name below `state_folder`, NULL = where the
 * door that the file is for has its spools. Opens nothing else.
 *
 * Returns 0, or negative errno with a line in `error` (TASKLOG_ERROR_BYTES) that names file, line and
 * parameter, and what is accepted.
 */
int tasklog_targets_read(const char *path, const char *state_folder, char *error,
                         struct tasklog_targets **ret_targets) __attribute__((warn_unused_result));

void tasklog_targets_free(struct tasklog_targets *targets); /* takes NULL */

/* The target that takes a kind, or NULL. */
struct tasklog_named_target *tasklog_targets_find(struct tasklog_targets *targets, const char *kind,
                                                  size_t kind_bytes);

#endif
