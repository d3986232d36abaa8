/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that `tasklog run` runs: starts it as if its caller had started it, hands signals on to
 * it, and tells how it ended.
 *
 * Order of calls: job_take_signals, then threads may be made, job_start, job_wait.
 */
#ifndef TASKLOG_SRC_JOB_H
#define TASKLOG_SRC_JOB_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "ending.h"

struct job {
    pid_t pid; /* 0: it could not be started */
    int64_t start_ms;
    int start_error;
    sigset_t taken;    /* the signals that job_wait waits for */
    sigset_t old_mask; /* what the job gets back */
    struct sigaction old_pipe;
    struct sigaction old_child;
};

/* Blocks the signals that are handed on, in this thread and those that it makes. */
void job_take_signals(struct job *job);

/* Runs it with these two as its stdout and stderr. 0, or -errno if there can be no process at all; that
 * a program cannot be executed is told by job_wait. */
int job_start(struct job *job, char *const *arguments, int out_fd, int error_fd);

/* Waits until it has ended; fills in all of the ending but `unsent` and `fields`. */
void job_wait(struct job *job, struct ending *ret_ending);

/* Ends this process by the same signal. Returns if that does not end it. */
void job_die_alike(int signal);

#endif
