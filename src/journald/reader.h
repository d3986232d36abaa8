/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that reads the journal for one target and tells what it finds in frames. It is a process of
 * its own because libsystemd before 255 may die of SIGBUS when a journal is rotated: then it is started
 * again from where the gatherer stands, and nothing is lost.
 */
#ifndef TASKLOG_SRC_JOURNALD_READER_H
#define TASKLOG_SRC_JOURNALD_READER_H

#include <stddef.h>

#include "tasklog/targets.h"

/* The first argument of this program when it is that process; then namespace, directory, since, position and
 * kinds. */
#define READER_ARGUMENT "--read-journal"

struct reader_options {
    struct tasklog_journal journal;
    const char *position; /* where to begin; "" = where `since` says */
    char *const *kinds;   /* sorted by strcmp */
    size_t kind_count;
    int out; /* the pipe */
};

/* Reads until the pipe's other end is closed, or something fails, which is said on standard error. Returns
 * an exit status. */
int reader_run(const struct reader_options *options);

#endif
