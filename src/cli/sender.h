/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that sends what a job has written: takes it from the queue, line by line, waits while the
 * socket is full or away, and says at the end how the job ended and how many lines did not go out.
 *
 * Start it with sender_start; sender_finish tells it how the job ended, and waits for it. In between the
 * struct is the thread's.
 */
#ifndef TASKLOG_SRC_SENDER_H
#define TASKLOG_SRC_SENDER_H

#include <pthread.h>
#include <stdatomic.h>

#include "channel.h"
#include "ending.h"
#include "frame.h"
#include "queue.h"
#include "splitter.h"

/* What a message of the batch is made of. */
struct sender_item {
    const char *text;
    size_t bytes;
    int severity;
    bool is_line;              /* the last part of a line, or all of it */
    struct splitter *splitter; /* that gave it; NULL: a line of our own */
};

struct sender {
    struct queue *queue;
    struct channel *channel;
    struct frame *frame;
    const char *marker;
    int severity[QUEUE_STREAMS];

    pthread_t thread;
    atomic_int_fast64_t deadline_ms; /* for lines; INT64_MAX while the job runs */
    int64_t end_deadline_ms;         /* for the end marker; set before the other */
    int64_t nobody_deadline_ms;      /* for all, where nobody has ever read; likewise */
    struct ending ending;            /* likewise, all but unsent and fields */

    struct splitter splitters[QUEUE_STREAMS];
    struct frame_message batch[CHANNEL_BATCH];
    struct sender_item items[CHANNEL_BATCH];
    size_t batch_count;
    int64_t second;  /* what the clock said as the record was taken */
    bool discarding; /* the time for lines is over */
    char *own_end;   /* what the job's own end marker said */
    char *own_line;  /* a line that was made in place of the job's */
    uint64_t unsent_lines;
    uint64_t sent_lines;
    bool end_sent;
};

/* The pointers are borrowed. 0 or -errno. */
int sender_start(struct sender *sender, struct queue *queue, struct channel *channel,
                 struct frame *frame, const char *marker, size_t part_bytes);

/*
 * The job has ended, and everything it wrote was put into the queue. Sends the rest, in `timeout_ms` at
 * most, and the end. Afterwards `end_sent`, `sent_lines` and `unsent_lines` are the caller's to read.
 */
void sender_finish(struct sender *sender, const struct ending *ending, int64_t timeout_ms);
void sender_done(struct sender *sender);

#endif
