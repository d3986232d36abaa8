/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of records in memory that never makes a writer wait; see the header. */
#include "queue.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ALIGNMENT = 32,
    RESERVED_BYTES = 8 * 1024, /* for gaps, ends and lines of our own */
    SIZE_MIN_BYTES = 1024 * 1024,
};

int queue_init(struct queue *queue, size_t size_bytes)
{
    *queue = (struct queue){.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (queue->wake_fd < 0)
        return -errno;
    pthread_mutex_init(&queue->lock, NULL);
    if (size_bytes < SIZE_MIN_BYTES)
        size_bytes = SIZE_MIN_BYTES;
    queue->size_bytes = (size_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    queue->ring = mmap(NULL, queue->size_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (queue->ring == MAP_FAILED) {
        queue->ring = NULL;
        queue->size_bytes = 0;
    }
    return 0;
}

void queue_done(struct queue *queue)
{
    if (queue->ring)
        munmap(queue->ring, queue->size_bytes);
    close(queue->wake_fd);
    pthread_mutex_destroy(&queue->lock);
}

/* Sixteen bytes at a time; a job that writes faster than lines can be sent waits for this. */
typedef unsigned char bytes16 __attribute__((vector_size(16)));

uint64_t queue_count_lines(const char *text, size_t bytes)
{
    const bytes16 newlines = (bytes16){0} + '\n';
    uint64_t lines = 0;

    while (bytes >= sizeof(bytes16)) {
        bytes16 counts = {0}; /* each at most 255 */
        for (unsigned i = 0; i < 255 && bytes >= sizeof(bytes16); i++) {
            bytes16 some;
            memcpy(&some, text, sizeof(some));
            counts -= (bytes16)(some == newlines); /* true is 255, or -1 */
            text += sizeof(some);
            bytes -= sizeof(some);
        }
        for (unsigned i = 0; i < sizeof(counts); i++)
            lines += counts[i];
    }
    for (; bytes > 0; bytes--)
        lines += *text++ == '\n';
    return lines;
}

void queue_wake(struct queue *queue)
{
    const uint64_t one = 1;

    (void)!write(queue->wake_fd, &one, sizeof(one));
}

void queue_awake(struct queue *queue)
{
    uint64_t count;

    (void)!read(queue->wake_fd, &count, sizeof(count));
}

static size_t space_of(size_t bytes)
{
    return (sizeof(struct queue_record) + bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* Under the lock. Room for a record, and for `spare` bytes besides; NULL if there is none. */
static struct queue_record *reserve(struct queue *queue, size_t bytes, size_t spare)
{
    size_t space = space_of(bytes), size = queue->size_bytes;

    if (!queue->ring)
        return NULL;
    size_t at = queue->head % size;
    bool empty = queue->head == queue->tail;
    size_t pad = space > size - at || (empty && at > 0) ? size - at : 0;
    if (empty && pad > 0) {
        /* Nothing lies in it, nobody reads: over to the ring's beginning. */
        queue->head += pad;
        queue->tail = queue->head;
        pad = 0;
    }
    if (queue->head - queue->tail + pad + space + spare > size)
        return NULL;
    if (pad > 0) {
        struct queue_record *rest = (struct queue_record *)(queue->ring + at);
        rest->kind = QUEUE_PAD;
        rest->bytes = (uint32_t)(pad - sizeof(*rest));
        queue->head += pad;
    }
    return (struct queue_record *)(queue->ring + queue->head % size);
}

/* Under the lock. True if the reader must be woken. */
static bool publish(struct queue *queue, struct queue_record *record, enum queue_kind kind,
                    unsigned stream, const char *text, size_t bytes)
{
    bool idle = queue->idle;

    record->kind = kind;
    record->stream = stream;
    record->bytes = (uint32_t)bytes;
    if (bytes > 0)
        memcpy(record->text, text, bytes);
    queue->head += space_of(bytes);
    queue->idle = false;
    return idle;
}

/* Under the lock. Says what is missing. */
static bool put_gap(struct queue *queue, unsigned stream, bool *wake)
{
    struct queue_gap *gap = &queue->gaps[stream];

    if (!gap->any)
        return true;
    struct queue_record *record = reserve(queue, 0, 0);
    if (!record)
        return false;
    record->lines = gap->lines;
    record->open = gap->open;
    *wake |= publish(queue, record, QUEUE_GAP, stream, NULL, 0);
    *gap = (struct queue_gap){0};
    return true;
}

void queue_put(struct queue *queue, unsigned stream, const char *text, size_t bytes)
{
    struct queue_gap *gap = &queue->gaps[stream];
    /* Once something is missing, a good piece of the ring has to be free before it goes on, or the log
     * would be nothing but gaps. */
    size_t spare = RESERVED_BYTES + (gap->any ? queue->size_bytes / 4 : 0);
    bool wake = false, done = false;

    if (bytes == 0)
        return;
    pthread_mutex_lock(&queue->lock);
    /* Twice: the gap's record may lie before the ring's end and the text's behind it. */
    if (reserve(queue, bytes, spare + 2 * sizeof(struct queue_record)) &&
        put_gap(queue, stream, &wake)) {
        struct queue_record *record = reserve(queue, bytes, 0);
        if (record) {
            wake |= publish(queue, record, QUEUE_TEXT, stream, text, bytes);
            done = true;
        }
    }
    pthread_mutex_unlock(&queue->lock);
    if (wake)
        queue_wake(queue);
    if (done)
        return;
    gap->any = true;
    gap->lines += queue_count_lines(text, bytes);
    gap->open = text[bytes - 1] != '\n';
}

void queue_end(struct queue *queue, unsigned stream)
{
    bool wake = false;

    pthread_mutex_lock(&queue->lock);
    if (put_gap(queue, stream, &wake)) {
        struct queue_record *record = reserve(queue, 0, 0);
        if (record)
            wake |= publish(queue, record, QUEUE_END, stream, NULL, 0);
    }
    pthread_mutex_unlock(&queue->lock);
    if (wake)
        queue_wake(queue);
}

bool queue_put_line(struct queue *queue, const char *text, size_t bytes)
{
    bool wake = false;

    pthread_mutex_lock(&queue->lock);
    struct queue_record *record = reserve(queue, bytes, 0);
    if (record)
        wake = publish(queue, record, QUEUE_LINE, 0, text, bytes);
    pthread_mutex_unlock(&queue->lock);
    if (wake)
        queue_wake(queue);
    return record != NULL;
}

const struct queue_record *queue_next(struct queue *queue)
{
    struct queue_record *record = NULL;

    pthread_mutex_lock(&queue->lock);
    while (queue->head != queue->tail) {
        record = (struct queue_record *)(queue->ring + queue->tail % queue->size_bytes);
        if (record->kind != QUEUE_PAD)
            break;
        queue->tail += sizeof(*record) + record->bytes;
        record = NULL;
    }
    queue->idle = record == NULL;
    pthread_mutex_unlock(&queue->lock);
    return record;
}

void queue_pop(struct queue *queue, const struct queue_record *record)
{
    pthread_mutex_lock(&queue->lock);
    queue->tail += space_of(record->bytes);
    pthread_mutex_unlock(&queue->lock);
}
