/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the topic to the collectors.
 *
 *     join ──▶ assigned: new collectors, read from the committed offsets ──▶ revoked: drop all ──▶ …
 *
 * Concurrency: one thread owns all of it; librdkafka calls back from within its polls, but for what it has to
 * say, which may come from any. A collector's own threads only call `say`.
 */
#include "door.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <librdkafka/rdkafka.h>

#include "client.h"
#include "message.h"
#include "track.h"

enum {
    BATCH = 1024, /* messages given to the collectors at once */
    POLL_MS = 100,
    FULL_POLL_MS = 20,
    LOOK_MS = 1000, /* at the ends of the partitions, so often */
    LOOK_TIMEOUT_MS = 1000,
    COMMITTED_TIMEOUT_MS = 5000,
    COMMIT_MS = 1000,
    STOP_MS = 1000, /* for what waits to be written */
    SAY_MS = 60000,
    TEXT_BYTES = 512,
};
static const int64_t LIVE_US =
    INT64_C(10) * 1000 * 1000; /* read up to then: running tasks are shown */

struct partition {
    int32_t id;
    int64_t base;      /* of its lines' positions */
    int64_t start;     /* where to begin, until that was done; -1 = the group has not read it yet */
    int64_t next;      /* offset behind the last message that was given; -1 = none was */
    int64_t end;       /* offset behind the last one that is being given */
    int64_t eof;       /* there was nothing from this offset on */
    int64_t committed; /* -1 = not by us */
    int64_t sent_us;   /* the latest time that a message has had */
    int64_t end_us;    /* when it was known to be read to its end */
    struct {
        struct track track;
        uint64_t batch; /* in which it was noted last */
    } * tracks;         /* one a target */
};

struct target {
    const char *name;
    struct tasklog_config *config; /* while there is no collector */
    struct tasklog_collector *collector;
    struct tasklog_line *lines; /* BATCH */
    size_t line_count;
    size_t line_next; /* to be given */
    uint64_t given;   /* the number of its last line before the batch */
    struct door *door;
};

struct door {
    struct tasklog_targets *targets;
    const struct door_hooks *hooks;
    rd_kafka_t *kafka;
    struct target *places; /* one a target */
    struct partition *partitions;
    size_t partition_count;
    rd_kafka_message_t *messages[2 * BATCH]; /* polled, not yet given */
    size_t message_count;
    size_t batch_count; /* the first of these are being given */
    uint64_t batch;     /* counts them */
    bool is_paused;
    bool at_end;
    int64_t looked_ms;
    int64_t commit_ms;
    int64_t said_ms;
    uint64_t unsaid;
    int fatal;                      /* negative errno */
    struct tasklog_counters before; /* of the collectors that are gone */
};

static void say(const struct door *door, int severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(const struct door *door, int severity, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    door->hooks->say(NULL, severity, text);
}

static void say_for_collector(void *context, int severity, const char *text)
{
    const struct target *target = context;

    target->door->hooks->say(target->name, severity, text);
}

static struct tasklog_now now_of(const struct door *door)
{
    return tasklog_clock_now(&door->hooks->clock);
}

static struct partition *find_partition(struct door *door, int32_t id)
{
    for (size_t i = 0; i < door->partition_count; i++)
        if (door->partitions[i].id == id)
            return &door->partitions[i];
    return NULL;
}

/* ---- an assignment's life ---- */

/* FNV-1a of topic and partition, in 15 bits and not 0: a place in another log is not compared with this one. */
static int64_t base_of(const char *topic, int32_t partition)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    char text[TEXT_BYTES];
    int bytes = snprintf(text, sizeof(text), "%s/%d", topic, (int)partition);

    for (int i = 0; i < bytes && i < TEXT_BYTES - 1; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    return (int64_t)(1 + hash % 0x7fff) << 48;
}

static void drop_messages(struct door *door)
{
    for (size_t i = 0; i < door->message_count; i++)
        rd_kafka_message_destroy(door->messages[i]);
    door->message_count = 0;
}

static void add_counters(struct tasklog_counters *sum, const struct tasklog_counters *more)
{
    sum->lines += more->lines + more->altered + more->late;
    sum->not_task += more->not_task;
    sum->rows_stored += more->rows_stored;
    sum->open_tasks += more->open_tasks;
    sum->waiting_rows += more->waiting_rows;
}

/* Forgets all that was read: whoever has the partitions next reads it again. */
static void drop_all(struct door *door)
{
    for (size_t i = 0; door->places && i < door->targets->count; i++) {
        struct target *target = &door->places[i];
        struct tasklog_counters counters;
        target->line_count = target->line_next = 0;
        if (!target->collector)
            continue;
        tasklog_collector_count(target->collector, &counters);
        counters.open_tasks = counters.waiting_rows = 0;
        add_counters(&door->before, &counters);
        target->config = tasklog_collector_end(target->collector);
        target->collector = NULL;
    }
    drop_messages(door);
    for (size_t i = 0; i < door->partition_count; i++) {
        for (size_t j = 0; j < door->targets->count; j++)
            track_done(&door->partitions[i].tracks[j].track);
        free(door->partitions[i].tracks);
    }
    free(door->partitions);
    door->partitions = NULL;
    door->partition_count = 0;
    door->at_end = door->is_paused = false;
    door->batch_count = 0;
}

static int new_partitions(struct door *door, const rd_kafka_topic_partition_list_t *list)
{
    door->partitions = calloc((size_t)list->cnt + 1, sizeof(*door->partitions));
    if (!door->partitions)
        return -ENOMEM;
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = &door->partitions[i];
        partition->tracks = calloc(door->targets->count, sizeof(*partition->tracks));
        if (!partition->tracks)
            return -ENOMEM;
        door->partition_count++;
        partition->id = list->elems[i].partition;
        partition->base = base_of(list->elems[i].topic, partition->id);
        partition->start = list->elems[i].offset >= 0 ? list->elems[i].offset : -1;
        partition->next = partition->end = partition->eof = partition->committed = -1;
    }
    return 0;
}

static int new_collectors(struct door *door)
{
    char error[TASKLOG_ERROR_BYTES];

    for (size_t i = 0; i < door->targets->count; i++) {
        struct target *target = &door->places[i];
        const struct tasklog_hooks hooks = {.clock = door->hooks->clock,
                                            .say = say_for_collector,
                                            .context = target};
        int r = tasklog_collector_new(target->config, &hooks, error, &target->collector);
        if (r == 0) {
            target->config = NULL;
            r = tasklog_collector_start(target->collector, error);
        }
        if (r < 0) {
            door->hooks->say(target->name, LOG_ERR, error);
            return r;
        }
    }
    return 0;
}

/* What of each partition nobody needs any more. */
static void commit(struct door *door, bool wait)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)door->partition_count);
    struct tasklog_span spans[TASKLOG_TARGETS_MAX];

    for (size_t i = 0; i < door->targets->count; i++)
        spans[i] = tasklog_collector_span(door->places[i].collector);
    for (size_t i = 0; i < door->partition_count; i++) {
        struct partition *partition = &door->partitions[i];
        int64_t offset = partition->next;
        for (size_t j = 0; offset >= 0 && j < door->targets->count; j++) {
            int64_t needed =
                track_needed(&partition->tracks[j].track, spans[j].needed, partition->next);
            offset = needed < offset ? needed : offset;
        }
        if (offset < 0 || offset == partition->committed)
            continue;
        rd_kafka_topic_partition_list_add(list, door->targets->kafka.topic, partition->id)->offset =
            offset;
        partition->committed = offset;
    }
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (list->cnt > 0)
        error = rd_kafka_commit(door->kafka, list, !wait);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        say(door, LOG_NOTICE,
            "how far the topic was read could not be committed: %s; whoever reads it next "
            "reads some of it again",
            rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(list);
    door->commit_ms = now_of(door).mono_ms;
}

/* One that fails is tried again with the next. */
static void committed(rd_kafka_t *kafka, rd_kafka_resp_err_t error,
                      rd_kafka_topic_partition_list_t *offsets, void *context)
{
    struct door *door = context;

    (void)kafka;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR || !offsets)
        return;
    for (int i = 0; i < offsets->cnt; i++) {
        struct partition *partition = find_partition(door, offsets->elems[i].partition);
        if (partition)
            partition->committed = -1;
    }
}

static void give_up(struct door *door, rd_kafka_t *kafka)
{
    if (door->partition_count > 0 && !rd_kafka_assignment_lost(kafka)) {
        for (size_t i = 0; i < door->targets->count; i++)
            tasklog_collector_stop(door->places[i].collector,
                                   STOP_MS / (int)door->targets->count + 1);
        commit(door, true);
    }
    drop_all(door);
}

static void rebalanced(rd_kafka_t *kafka, rd_kafka_resp_err_t event,
                       rd_kafka_topic_partition_list_t *list, void *context)
{
    struct door *door = context;

    if (event != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        if (door->partition_count > 0)
            say(door, LOG_NOTICE, "%zu partition%s of topic \"%s\" %s", door->partition_count,
                door->partition_count == 1 ? "" : "s", door->targets->kafka.topic,
                rd_kafka_assignment_lost(kafka) ? "were lost to others" : "are given back");
        give_up(door, kafka);
        (void)rd_kafka_assign(kafka, NULL);
        return;
    }
    drop_all(door);
    /* Known here to notice if it is no longer there; else librdkafka asks for it again. */
    (void)rd_kafka_committed(kafka, list, COMMITTED_TIMEOUT_MS);
    int r = new_partitions(door, list);
    if (r == 0)
        r = new_collectors(door);
    if (r < 0) {
        drop_all(door);
        (void)rd_kafka_assign(kafka, NULL);
        door->fatal = r;
        return;
    }
    say(door, LOG_NOTICE, "%d partition%s of topic \"%s\" to be read", list->cnt,
        list->cnt == 1 ? "" : "s", door->targets->kafka.topic);
    (void)rd_kafka_assign(kafka, list);
    (void)rd_kafka_resume_partitions(kafka, list); /* they may have been paused before */
}

/* ---- messages ---- */

static void reject(struct door *door, const rd_kafka_message_t *message, const char *why)
{
    int64_t now_ms = now_of(door).mono_ms;

    door->before.not_task++;
    if (door->said_ms > 0 && now_ms < door->said_ms + SAY_MS) {
        door->unsaid++;
        return;
    }
    say(door, LOG_WARNING,
        "message %lld of partition %d is not a task's line: %s; dropped, and %llu more like it "
        "before",
        (long long)message->offset, (int)message->partition, why, (unsigned long long)door->unsaid);
    door->said_ms = now_ms;
    door->unsaid = 0;
}

static struct target *target_of(struct door *door, const struct tasklog_line *line)
{
    const struct tasklog_named_target *found =
        tasklog_targets_find(door->targets, line->kind, line->kind_bytes);

    return found ? &door->places[found - door->targets->targets] : NULL;
}

/* The first message that there is should be the one that was to be read next. */
static void tell_deleted(const struct door *door, struct partition *partition, int64_t offset)
{
    if (partition->start >= 0 && offset > partition->start)
        say(door, LOG_ERR,
            "%lld messages of partition %d were deleted before they were read: rows of tasks that "
            "logged them "
            "lack those lines; the topic must keep messages for longer than a task runs",
            (long long)(offset - partition->start), (int)partition->id);
    partition->start = -1;
}

/* Reads a message; its line goes to those that are given to its target. */
static int take_message(struct door *door, const rd_kafka_message_t *message)
{
    struct partition *partition = find_partition(door, message->partition);
    struct tasklog_line line;

    if (!partition)
        return 0;
    tell_deleted(door, partition, message->offset);
    partition->end = message->offset + 1;
    int64_t sent_us = rd_kafka_message_timestamp(message, NULL) * 1000;
    const char *why =
        message_read(message->payload ? message->payload : "", message->len, sent_us, &line);
    if (sent_us > partition->sent_us)
        partition->sent_us = sent_us;
    if (why) {
        reject(door, message, why);
        return 0;
    }
    /* omkafka stamps with whole seconds: idleTimeout counts from the end of that second, never from before. */
    line.received_us = sent_us % 1000000 == 0 ? sent_us + 999999 : sent_us;
    struct target *target = target_of(door, &line);
    if (!target)
        return 0;
    size_t place = (size_t)(target - door->places);
    if (partition->tracks[place].batch != door->batch &&
        track_note(&partition->tracks[place].track, target->given, message->offset) < 0)
        return -ENOMEM;
    partition->tracks[place].batch = door->batch;
    line.source_position = partition->base | message->offset << 1;
    target->lines[target->line_count++] = line;
    return 0;
}

/* A message, or NULL. What else comes out of the topic is dealt with. */
static rd_kafka_message_t *poll_message(struct door *door, int wait_ms)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(door->kafka, wait_ms);

    if (!message || message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return message;
    if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        say(door, LOG_WARNING, "topic \"%s\": %s; going on", door->targets->kafka.topic,
            rd_kafka_message_errstr(message));
    struct partition *partition = find_partition(door, message->partition);
    if (partition && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        partition->eof = message->offset;
    rd_kafka_message_destroy(message);
    return NULL;
}

static void pause_all(struct door *door, bool pause)
{
    rd_kafka_topic_partition_list_t *list = NULL;

    if (rd_kafka_assignment(door->kafka, &list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (pause)
        (void)rd_kafka_pause_partitions(door->kafka, list);
    else
        (void)rd_kafka_resume_partitions(door->kafka, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* Reads what was polled. 0 or -ENOMEM. */
static int begin_batch(struct door *door)
{
    int r = 0;

    door->batch++;
    door->batch_count = door->message_count;
    for (size_t i = 0; i < door->targets->count; i++)
        door->places[i].given = tasklog_collector_span(door->places[i].collector).given;
    for (size_t i = 0; i < door->batch_count && r == 0; i++)
        r = take_message(door, door->messages[i]);
    return r;
}

static void end_batch(struct door *door)
{
    for (size_t i = 0; i < door->batch_count; i++)
        rd_kafka_message_destroy(door->messages[i]);
    door->message_count -= door->batch_count;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is pointers that are moved */
    size_t bytes = door->message_count * sizeof(door->messages[0]);
    memmove(door->messages, door->messages + door->batch_count, bytes);
    door->batch_count = 0;
    for (size_t i = 0; i < door->targets->count; i++)
        door->places[i].line_count = door->places[i].line_next = 0;
    for (size_t i = 0; i < door->partition_count; i++) {
        struct partition *partition = &door->partitions[i];
        if (partition->end > partition->next)
            partition->next = partition->end;
        if (door->message_count == 0 && partition->eof > partition->next)
            partition->next = partition->eof;
    }
}

/* Gives the batch's lines, as far as there is room for them. Without room, nothing more is fetched. */
static void give(struct door *door)
{
    bool all = true;

    for (size_t i = 0; i < door->targets->count; i++) {
        struct target *target = &door->places[i];
        if (target->line_next < target->line_count)
            target->line_next +=
                tasklog_collector_accept(target->collector, target->lines + target->line_next,
                                         target->line_count - target->line_next);
        all = all && target->line_next == target->line_count;
    }
    if (all)
        end_batch(door);
    if (all == door->is_paused) {
        door->is_paused = !all;
        pause_all(door, !all);
    }
}

/* ---- the ends of the partitions ---- */

/* Asks the brokers which partitions have been read to their ends, of those that had nothing left just now. The
 * answer holds for the moment of the question, whoever has the partitions by now. */
static void look_at_ends(struct door *door)
{
    const struct tasklog_now now = now_of(door);
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)door->partition_count);

    for (size_t i = 0; i < door->partition_count; i++)
        if (door->partitions[i].next >= 0 && door->partitions[i].next == door->partitions[i].eof)
            rd_kafka_topic_partition_list_add(list, door->targets->kafka.topic,
                                              door->partitions[i].id)
                ->offset = RD_KAFKA_OFFSET_END;
    if (list->cnt > 0 && rd_kafka_offsets_for_times(door->kafka, list, LOOK_TIMEOUT_MS) ==
                             RD_KAFKA_RESP_ERR_NO_ERROR) {
        for (int i = 0; i < list->cnt; i++) {
            struct partition *partition = find_partition(door, list->elems[i].partition);
            if (partition && list->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
                list->elems[i].offset >= 0 && partition->next >= list->elems[i].offset)
                partition->end_us = now.wall_us;
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    door->looked_ms = now.mono_ms;
}

/* Tells the collectors up to when the topic was read. */
static void tell_time(struct door *door)
{
    int64_t now_us = now_of(door).wall_us, until_us = now_us;
    bool at_end = true;

    for (size_t i = 0; i < door->partition_count; i++) {
        const struct partition *partition = &door->partitions[i];
        int64_t read_us =
            partition->sent_us > partition->end_us ? partition->sent_us : partition->end_us;
        until_us = read_us < until_us ? read_us : until_us;
        at_end = at_end && partition->end_us > 0;
    }
    door->at_end = at_end && until_us >= now_us - LIVE_US;
    for (size_t i = 0; i < door->targets->count; i++)
        tasklog_collector_read_until(door->places[i].collector, until_us, door->at_end);
}

/* Fetches, but while there is no room: then it only stays in the group. */
static void fetch(struct door *door)
{
    bool full = door->batch_count > 0;
    size_t most = full ? (size_t)2 * BATCH : BATCH;
    rd_kafka_message_t *message = poll_message(door, full ? FULL_POLL_MS : POLL_MS);

    for (; message; message = door->message_count < most ? poll_message(door, 0) : NULL) {
        if (door->message_count ==
            (size_t)2 * BATCH) { /* a fetch that was stopped goes on all the same */
            rd_kafka_message_destroy(message);
            door->fatal = -ENOBUFS;
            return;
        }
        door->messages[door->message_count++] = message;
    }
}

int door_work(struct door *door)
{
    fetch(door);
    if (door->partition_count == 0 || door->fatal < 0)
        return door->fatal;
    if (door->batch_count == 0 && begin_batch(door) < 0) {
        say(door, LOG_ERR, "out of memory");
        return -ENOMEM;
    }
    give(door);
    int64_t now_ms = now_of(door).mono_ms;
    if (now_ms >= door->looked_ms + LOOK_MS)
        look_at_ends(door);
    tell_time(door);
    /* Not in the middle of a batch, whose lines have been noted, and not all been given. */
    if (door->batch_count == 0 && now_ms >= door->commit_ms + COMMIT_MS)
        commit(door, false);
    return 0;
}

/* ---- life ---- */

static void log_line(const rd_kafka_t *kafka, int severity, const char *facility, const char *text)
{
    const struct door *door = rd_kafka_opaque(kafka);

    (void)facility;
    if (severity <= LOG_WARNING)
        say(door, severity == LOG_WARNING ? LOG_WARNING : LOG_ERR, "%s; going on", text);
}

static void failed(rd_kafka_t *kafka, int error, const char *reason, void *context)
{
    struct door *door = context;
    char text[TEXT_BYTES];

    (void)reason; /* what it can go on after is in what librdkafka logs */
    if (error != RD_KAFKA_RESP_ERR__FATAL)
        return;
    (void)rd_kafka_fatal_error(kafka, text, sizeof(text));
    say(door, LOG_ERR, "this member of the group cannot go on: %s", text);
    door->fatal = -EIO;
}

int door_open(struct tasklog_targets *targets, const struct door_hooks *hooks, char *error,
              struct door **ret_door)
{
    struct door *door = calloc(1, sizeof(*door));
    int r = -ENOMEM;

    snprintf(error, TASKLOG_ERROR_BYTES, "out of memory");
    if (!door)
        return r;
    door->targets = targets;
    door->hooks = hooks;
    door->places = calloc(targets->count, sizeof(*door->places));
    for (size_t i = 0; door->places && i < targets->count; i++) {
        struct target *target = &door->places[i];
        target->door = door;
        target->name = targets->targets[i].name;
        target->config = targets->targets[i].config;
        targets->targets[i].config = NULL;
        target->lines = calloc(BATCH, sizeof(*target->lines));
        if (!target->lines)
            goto finish;
    }
    static const struct client_calls calls = {.log = log_line,
                                              .failed = failed,
                                              .rebalanced = rebalanced,
                                              .committed = committed};
    if (door->places)
        r = client_new(&targets->kafka, &calls, door, error, &door->kafka);

finish:
    if (r < 0)
        door_close(door);
    else
        *ret_door = door;
    return r;
}

void door_count(struct door *door, struct door_counters *ret_counters)
{
    *ret_counters = (struct door_counters){.sum = door->before,
                                           .partitions = door->partition_count,
                                           .at_end = door->at_end};
    for (size_t i = 0; i < door->targets->count; i++) {
        struct tasklog_counters counters;
        if (!door->places[i].collector)
            continue;
        tasklog_collector_count(door->places[i].collector, &counters);
        add_counters(&ret_counters->sum, &counters);
        ret_counters->sum.letters += counters.letters;
    }
}

void door_close(struct door *door)
{
    if (!door)
        return;
    if (door->kafka) {
        drop_messages(door);
        rd_kafka_consumer_close(door->kafka); /* gives the partitions back, by `rebalanced` */
    }
    drop_all(door);
    if (door->kafka)
        rd_kafka_destroy(door->kafka);
    for (size_t i = 0; door->places && i < door->targets->count; i++) {
        tasklog_config_free(door->places[i].config);
        free(door->places[i].lines);
    }
    free(door->places);
    free(door);
}
