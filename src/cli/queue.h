/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job has written and nobody has sent yet: a ring of records in memory, with a cap. Putting
 * never waits; what does not fit is left out, its lines are counted, and a record says where it is
 * missing.
 *
 *     writers:  queue_put, one thread for each stream        reader:  queue_next, queue_pop, one thread
 *
 * Records are laid one behind the other, each with a head, and never across the ring's end. A queue
 * that runs empty starts over at the ring's beginning, so a job that writes little touches few pages.
 * `lock` covers used, free and idle positions; the bytes of a record that was put are the reader's
 * until it is popped.
 */
#ifndef TASKLOG_SRC_QUEUE_H
#define TASKLOG_SRC_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUEUE_STREAMS = 2 };

enum queue_kind {
    QUEUE_TEXT, /* of a stream, as it came */
    QUEUE_GAP,  /* text of a stream is missing here */
    QUEUE_END,  /* of a stream */
    QUEUE_LINE, /* one whole line of our own */
    QUEUE_PAD,  /* nothing: the rest of the ring */
};

struct queue_record {
    uint32_t kind; /* enum queue_kind */
    uint32_t stream;
    uint32_t bytes;
    uint32_t open;   /* QUEUE_GAP: what follows goes on with a line whose beginning is missing */
    uint64_t lines;  /* QUEUE_GAP: how many line ends are missing */
    uint64_t unused; /* the text behind it is aligned */
    char text[];
};

/* What is missing of one stream since its last record; its writer's alone. */
struct queue_gap {
    uint64_t lines;
    bool any;
    bool open;
};

struct queue {
    pthread_mutex_t lock;
    char *ring; /* NULL: there is no memory, everything is missing */
    size_t size_bytes;
    uint64_t head; /* where the next record goes; grows for ever */
    uint64_t tail; /* where the oldest record is */
    bool idle;     /* the reader has found nothing and waits for wake_fd */
    int wake_fd;   /* an eventfd: can be read when there is something new */
    struct queue_gap gaps[QUEUE_STREAMS];
};

/* `size_bytes` is rounded up. 0, or -errno; without memory there is a queue all the same. */
int queue_init(struct queue *queue, size_t size_bytes);
void queue_done(struct queue *queue);

/* Text of a stream, any bytes; QUEUE_TEXT_BYTES_MAX at most. */
enum { QUEUE_TEXT_BYTES_MAX = 256 * 1024 };
void queue_put(struct queue *queue, unsigned stream, const char *text, size_t bytes);

/* The stream is over; nothing more is put into it. There is always room for this. */
void queue_end(struct queue *queue, unsigned stream);

/* One line of our own. There is room for a few short ones. False if not. */
bool queue_put_line(struct queue *queue, const char *text, size_t bytes);

/* Wakes the reader up, whatever it waits for. */
void queue_wake(struct queue *queue);

/* The oldest record, or NULL if there is none: then wait until wake_fd can be read. */
const struct queue_record *queue_next(struct queue *queue);
void queue_pop(struct queue *queue, const struct queue_record *record);

/* Forgets that wake_fd can be read. */
void queue_awake(struct queue *queue);

/* How many newlines there are. */
uint64_t queue_count_lines(const char *text, size_t bytes);

#endif
