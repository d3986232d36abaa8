/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that passes one stream of a job through: reads its pipe, puts the text into the queue, which
 * never waits, and writes it out, unchanged. It ends with the pipe, or when it is told that nobody will
 * wait for more.
 */
#ifndef TASKLOG_SRC_PUMP_H
#define TASKLOG_SRC_PUMP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "queue.h"

struct pump {
    struct queue *queue;
    unsigned stream;
    int from; /* the pipe; closed by the pump */
    int to;   /* our own output */
    int stop_fd; /* an eventfd: when it can be read and `stop` is set, what is in the pipe is the rest */
    atomic_bool *stop;
    int null_fd; /* takes the place of `to` at the end, so that its reader sees that; -1 = nothing does */
    int error; /* errno of a failed write, once it has ended */
    char *buffer;
    pthread_t thread;
};

/* 0 or -errno. */
int pump_start(struct pump *pump);

/* Waits until it has ended; true if it has, false if `timeout_ms` is over before. -1 = waits for ever. */
bool pump_join(struct pump *pump, int timeout_ms);

#endif
