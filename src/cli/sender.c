/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that sends a job's lines; see the header.
 *
 * Concurrency: one thread runs sender_thread. What sender_finish hands to it is written before
 * `deadline_ms`, which is atomic, and read after it. Everything else comes through the queue.
 */
#include "sender.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <unistd.h>

#include "cli.h"

/* Where nobody has ever read the socket, the wait at the end is no longer than this. */
enum { NOBODY_TIMEOUT_MS = 1000, PART_BYTES_MIN = 256, NICENESS = 10 };

static int64_t deadline(struct sender *sender)
{
    return atomic_load(&sender->deadline_ms);
}

/* How long a wait may be; 0 = it is over. */
static int64_t left_ms(struct sender *sender, int64_t until_ms)
{
    if (until_ms == INT64_MAX)
        return INT64_MAX;
    if (!sender->channel->was_open && until_ms > sender->nobody_deadline_ms)
        until_ms = sender->nobody_deadline_ms;
    int64_t left = until_ms - cli_now_ms();
    return left > 0 ? left : 0;
}

/* --- One batch ---------------------------------------------------------------------------------- */

/* Sends messages, waiting where it must. Returns how many; it is fewer when the time is over, or, with
 * `too_long`, when the next one is. */
static size_t send_messages(struct sender *sender, const struct frame_message *messages,
                            size_t count, bool *too_long)
{
    size_t sent = 0;
    int error;

    *too_long = false;
    while (!sender->discarding) {
        sent += channel_send(sender->channel, messages + sent, count - sent, &error);
        if (sent == count)
            break;
        if (error == -EMSGSIZE) {
            *too_long = true;
            break;
        }
        queue_awake(sender->queue); /* before the deadline is read: its coming must wake us */
        int64_t left = left_ms(sender, deadline(sender));
        if (left == 0)
            sender->discarding = true;
        else
            channel_wait(sender->channel, sender->queue->wake_fd, left);
    }
    return sent;
}

/* The system takes less in one datagram than we thought: in smaller parts, this and all others. */
static bool send_smaller(struct sender *sender, const struct sender_item *item)
{
    const char *text = item->text;
    size_t left = item->bytes, limit = left;
    struct frame_message message;
    bool too_long;

    while (left > 0) {
        size_t bytes = splitter_cut(text, left, limit);
        frame_make(sender->frame, sender->second, item->severity, text, bytes, &message);
        if (send_messages(sender, &message, 1, &too_long) == 1) {
            text += bytes;
            left -= bytes;
        } else if (too_long && limit / 2 >= PART_BYTES_MIN) {
            limit /= 2;
        } else {
            return false;
        }
    }
    for (unsigned i = 0; i < QUEUE_STREAMS; i++)
        if (sender->splitters[i].part_bytes > limit)
            sender->splitters[i].part_bytes = limit;
    return true;
}

static void lose(struct sender *sender, const struct sender_item *item)
{
    if (item->is_line)
        sender->unsent_lines++;
    else if (item->splitter)
        splitter_lose(item->splitter);
}

static void flush(struct sender *sender)
{
    size_t at = 0;
    bool too_long;

    while (at < sender->batch_count) {
        size_t sent =
            send_messages(sender, sender->batch + at, sender->batch_count - at, &too_long);
        for (; sent > 0; sent--)
            sender->sent_lines += sender->items[at++].is_line;
        if (at == sender->batch_count)
            break;
        const struct sender_item *item = &sender->items[at++];
        if (too_long && send_smaller(sender, item))
            sender->sent_lines += item->is_line;
        else
            lose(sender, item);
    }
    sender->batch_count = 0;
}

static void add(struct sender *sender, const struct sender_item *item)
{
    size_t at = sender->batch_count++;

    sender->items[at] = *item;
    frame_make(sender->frame, sender->second, item->severity, item->text, item->bytes,
               &sender->batch[at]);
    if (sender->batch_count == CHANNEL_BATCH)
        flush(sender);
}

/* --- Lines -------------------------------------------------------------------------------------- */

/* A job's own start becomes a progress; true if `part` was one and is done with. */
static bool take_control(struct sender *sender, int severity, const struct splitter_part *part)
{
    const char *fields;
    size_t bytes;
    enum ending_line found = ending_read(sender->marker, part->text, part->bytes, &fields, &bytes);

    if (found == ENDING_OTHER || !ending_fields_are_whole(fields, bytes))
        return found == ENDING_END; /* cut off in the middle: it ends nothing, and says nothing */
    if (found == ENDING_END) {
        char *copy = strndup(fields, bytes);
        if (copy) {
            free(sender->own_end);
            sender->own_end = copy;
        }
        return true;
    }
    char *line = NULL;
    if (asprintf(&line, "%s progress %.*s", sender->marker, (int)bytes, fields) < 0)
        return true;
    flush(sender);
    add(sender, &(struct sender_item){line, strlen(line), severity, false, NULL});
    flush(sender);
    free(line);
    return true;
}

static void send_part(struct sender *sender, unsigned stream, const struct splitter_part *part)
{
    int severity = sender->severity[stream];
    size_t marker_bytes = strlen(sender->marker);

    if (part->is_first && part->is_last && part->bytes > marker_bytes &&
        memcmp(part->text, sender->marker, marker_bytes) == 0 &&
        take_control(sender, severity, part))
        return;
    if (part->bytes == 0 && !part->is_first) { /* its line ended with the part before */
        sender->sent_lines++;
        return;
    }
    add(sender, &(struct sender_item){part->text, part->bytes, severity, part->is_last,
                                      &sender->splitters[stream]});
    if (part->held || !part->is_last)
        flush(sender); /* it must be gone, or known as lost, before the splitter goes on */
}

static void send_text(struct sender *sender, const struct queue_record *record)
{
    struct splitter *splitter = &sender->splitters[record->stream];
    struct splitter_part part;

    splitter_feed(splitter, record->text, record->bytes);
    while (splitter_next(splitter, &part))
        send_part(sender, record->stream, &part);
}

static void send_record(struct sender *sender, const struct queue_record *record)
{
    struct splitter_part part;

    sender->second = cli_now_s();
    switch ((enum queue_kind)record->kind) {
    case QUEUE_TEXT:
        send_text(sender, record);
        break;
    case QUEUE_GAP:
        splitter_gap(&sender->splitters[record->stream], record->lines, record->open != 0);
        break;
    case QUEUE_END:
        if (splitter_end(&sender->splitters[record->stream], &part))
            send_part(sender, record->stream, &part);
        break;
    case QUEUE_LINE:
        add(sender, &(struct sender_item){record->text, record->bytes, LOG_INFO, false, NULL});
        break;
    case QUEUE_PAD:
        break;
    }
    flush(sender); /* the batch points into the record */
}

/* --- The end ------------------------------------------------------------------------------------ */

static uint64_t count_unsent(struct sender *sender)
{
    uint64_t lines = sender->unsent_lines;

    for (unsigned i = 0; i < QUEUE_STREAMS; i++) {
        lines += sender->splitters[i].lost_lines;
        lines += sender->queue->gaps[i].lines + sender->queue->gaps[i].open;
    }
    return lines;
}

static void send_end(struct sender *sender)
{
    sender->unsent_lines = sender->ending.unsent = count_unsent(sender);
    sender->ending.fields = sender->own_end;

    char *line = ending_write(sender->marker, &sender->ending);
    if (!line)
        return;
    frame_make(sender->frame, cli_now_s(), LOG_INFO, line, strlen(line), &sender->batch[0]);
    for (;;) {
        int error;
        if (channel_send(sender->channel, sender->batch, 1, &error) == 1) {
            sender->end_sent = true;
            break;
        }
        int64_t left = left_ms(sender, sender->end_deadline_ms);
        if (left == 0 || error == -EMSGSIZE)
            break;
        channel_wait(sender->channel, -1, left);
    }
    free(line);
}

static void *sender_thread(void *context)
{
    struct sender *sender = context;

    /* Where processors are scarce, the job and what it writes go first. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    for (;;) {
        bool finishing = deadline(sender) != INT64_MAX; /* before looking whether there is more */
        const struct queue_record *record = queue_next(sender->queue);

        if (finishing && left_ms(sender, deadline(sender)) == 0)
            sender->discarding = true;
        if (record) {
            send_record(sender, record);
            queue_pop(sender->queue, record);
        } else if (finishing) {
            break;
        } else {
            (void)poll(&(struct pollfd){sender->queue->wake_fd, POLLIN, 0}, 1, -1);
            queue_awake(sender->queue);
        }
    }
    send_end(sender);
    return NULL;
}

int sender_start(struct sender *sender, struct queue *queue, struct channel *channel,
                 struct frame *frame, const char *marker, size_t part_bytes)
{
    sender->queue = queue;
    sender->channel = channel;
    sender->frame = frame;
    sender->marker = marker;
    sender->severity[0] = LOG_INFO;
    sender->severity[1] = LOG_WARNING;
    atomic_init(&sender->deadline_ms, INT64_MAX);
    for (unsigned i = 0; i < QUEUE_STREAMS; i++)
        splitter_init(&sender->splitters[i], part_bytes);
    return -pthread_create(&sender->thread, NULL, sender_thread, sender);
}

void sender_finish(struct sender *sender, const struct ending *ending, int64_t timeout_ms)
{
    int64_t now = cli_now_ms();

    sender->ending = *ending;
    sender->nobody_deadline_ms = now + NOBODY_TIMEOUT_MS;
    sender->end_deadline_ms = now + timeout_ms;
    atomic_store(&sender->deadline_ms, now + timeout_ms - timeout_ms / 4);
    queue_wake(sender->queue);
    pthread_join(sender->thread, NULL);
}

void sender_done(struct sender *sender)
{
    for (unsigned i = 0; i < QUEUE_STREAMS; i++)
        splitter_done(&sender->splitters[i]);
    free(sender->own_end);
}
