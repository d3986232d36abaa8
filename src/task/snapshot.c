/* SPDX-License-Identifier: Apache-2.0 */
/*
 *     head │ kind, id, host, origin, peer if there is one, first_error │ counters: value (i64), length (u32), name │
 *     chunks of the head, then of the tail: struct logbuf_place
 */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tasklog/tag.h"

enum { TEXT_BYTES_MAX = 1 << 16 };

struct head {
    int64_t started_ms;
    int64_t quiet_ms;
    uint64_t run;
    int64_t start_us;
    int64_t processed;
    int64_t failed;
    int64_t total;
    int64_t lines;
    int64_t bytes;
    int64_t warnings;
    int64_t errors;
    uint64_t missing_messages;
    uint64_t missing_bytes;
    struct tasklog_process process;
    uint32_t kind_bytes;
    uint32_t id_bytes;
    uint32_t host_bytes;
    uint32_t first_error_bytes; /* 0 = none */
    uint32_t counter_count;
    uint32_t head_chunks;
    uint32_t tail_chunks;
    uint8_t missing;
    uint8_t started;
    uint8_t has_tail;
    uint8_t has_peer;
    uint32_t origin_bytes; /* 0 = none */
    uint32_t omitted;
};

struct writer {
    char *data; /* NULL: only counts */
    size_t used;
};

static void put(struct writer *writer, const void *data, size_t bytes)
{
    if (writer->data && bytes > 0)
        memcpy(writer->data + writer->used, data, bytes);
    writer->used += bytes;
}

static void put_task(struct writer *writer, const struct task *task)
{
    const struct tasklog_result *run = &task->run;
    const struct run_extra extra = run_extra_of(run);
    const struct logbuf *log = &run->log;
    const struct logbuf_sums sums = logbuf_sums(log);
    struct logbuf_place place;
    size_t head_chunks, tail_chunks;

    logbuf_count_chunks(log, &head_chunks, &tail_chunks);
    const struct head head = {
        .started_ms = task->started_ms,
        .quiet_ms = task->quiet_ms,
        .run = run->run,
        .start_us = run->start_us,
        .processed = extra.processed,
        .failed = extra.failed,
        .total = extra.total,
        .lines = (int64_t)run->lines,
        .bytes = (int64_t)run->bytes,
        .warnings = extra.warnings,
        .errors = extra.errors,
        .missing_messages = sums.missing_messages,
        .missing_bytes = sums.missing_bytes,
        .process = extra.process,
        .kind_bytes = run->kind_bytes,
        .id_bytes = run->id_bytes,
        .host_bytes = (uint32_t)strlen(run_host(run)),
        .first_error_bytes = extra.first_error ? (uint32_t)strlen(extra.first_error) : 0,
        .counter_count = (uint32_t)extra.counter_count,
        .head_chunks = (uint32_t)head_chunks,
        .tail_chunks = (uint32_t)tail_chunks,
        .missing = run->missing,
        .origin_bytes = (uint32_t)strlen(run_origin(run)),
        .started = sums.started,
        .has_tail = sums.has_tail,
        .has_peer = extra.peer != 0,
        .omitted = extra.omitted + extra.omitted_new,
    };
    put(writer, &head, sizeof(head));
    put(writer, run_kind(run), head.kind_bytes);
    put(writer, run_id(run), head.id_bytes);
    put(writer, run_host(run), head.host_bytes);
    put(writer, run_origin(run), head.origin_bytes);
    put(writer, &extra.peer, head.has_peer ? sizeof(extra.peer) : 0);
    put(writer, extra.first_error, head.first_error_bytes);
    for (size_t i = 0; i < extra.counter_count; i++) {
        uint32_t bytes = (uint32_t)strlen(extra.counters[i].name);
        put(writer, &extra.counters[i].value, sizeof(int64_t));
        put(writer, &bytes, sizeof(bytes));
        put(writer, extra.counters[i].name, bytes);
    }
    const struct logbuf_chunk *chunk = NULL;
    while ((chunk = logbuf_next_place(log, chunk, &place)) != NULL)
        put(writer, &place, sizeof(place));
}

int snapshot_write(const struct task *task, char **ret_data, size_t *ret_bytes)
{
    struct writer writer = {0};

    put_task(&writer, task);
    writer.data = malloc(writer.used);
    if (!writer.data)
        return -ENOMEM;
    writer.used = 0;
    put_task(&writer, task);
    *ret_data = writer.data;
    *ret_bytes = writer.used;
    return 0;
}

struct reader {
    const char *at;
    size_t left;
};

static const char *get(struct reader *reader, size_t bytes)
{
    const char *at = reader->at;

    if (bytes > reader->left)
        return NULL;
    reader->at += bytes;
    reader->left -= bytes;
    return at;
}

static int read_counters(struct reader *reader, struct run_extra *extra, uint32_t count)
{
    if (count > CONTROL_COUNTERS_MAX)
        return -EBADMSG;
    if (count == 0)
        return 0;
    extra->counters = calloc(count, sizeof(*extra->counters));
    if (!extra->counters)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bytes;
        const char *value = get(reader, sizeof(int64_t)), *length = get(reader, sizeof(bytes));
        if (!value || !length)
            return -EBADMSG;
        memcpy(&extra->counters[i].value, value, sizeof(int64_t));
        memcpy(&bytes, length, sizeof(bytes));
        const char *name = bytes <= CONTROL_NAME_BYTES_MAX ? get(reader, bytes) : NULL;
        if (!name)
            return -EBADMSG;
        extra->counters[i].name = text_copy(name, bytes);
        if (!extra->counters[i].name)
            return -ENOMEM;
        extra->counter_count = i + 1;
    }
    return 0;
}

static int read_chunks(struct reader *reader, struct logbuf *log, size_t count, bool tail)
{
    for (size_t i = 0; i < count; i++) {
        struct logbuf_place place;
        const char *data = get(reader, sizeof(place));
        if (!data)
            return -EBADMSG;
        memcpy(&place, data, sizeof(place));
        if (!logbuf_place_is_valid(&place))
            return -EBADMSG;
        int r = logbuf_add_place(log, &place, tail);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool has_extra(const struct head *head)
{
    return head->processed != TASKLOG_ABSENT || head->failed != TASKLOG_ABSENT ||
           head->total != TASKLOG_ABSENT || head->warnings != 0 || head->errors != 0 ||
           head->first_error_bytes > 0 || head->counter_count > 0 || head->process.pid != 0 ||
           head->omitted > 0;
}

static int read_extra(struct reader *reader, const struct head *head, struct tasklog_result *run)
{
    const char *error = get(reader, head->first_error_bytes);

    if (!error || head->first_error_bytes > TEXT_BYTES_MAX)
        return -EBADMSG;
    if (!has_extra(head))
        return 0;
    int r = run_need_extra(run);
    if (r < 0)
        return r;
    struct run_extra *extra = run->extra;
    extra->processed = head->processed;
    extra->failed = head->failed;
    extra->total = head->total;
    extra->warnings = head->warnings;
    extra->errors = head->errors;
    extra->process = head->process;
    extra->omitted = head->omitted;
    if (head->first_error_bytes > 0) {
        extra->first_error = text_copy(error, head->first_error_bytes);
        if (!extra->first_error)
            return -ENOMEM;
        if (!text_is_valid(extra->first_error, head->first_error_bytes))
            return -EBADMSG;
    }
    return read_counters(reader, extra, head->counter_count);
}

static int read_run(struct reader *reader, const struct head *head, struct tasklog_result *run)
{
    const struct logbuf_sums sums = {.missing_messages = head->missing_messages,
                                     .missing_bytes = head->missing_bytes,
                                     .started = head->started != 0,
                                     .has_tail = head->has_tail != 0};
    int r = read_extra(reader, head, run);

    if (r == 0)
        r = read_chunks(reader, &run->log, head->head_chunks, false);
    if (r == 0)
        r = read_chunks(reader, &run->log, head->tail_chunks, true);
    if (r == 0)
        r = logbuf_restore(&run->log, &sums);
    if (r == 0 && reader->left > 0)
        r = -EBADMSG;
    run->run = head->run;
    run->lines = head->lines;
    run->bytes = head->bytes;
    run->missing = head->missing != 0;
    return r;
}

/* Within a few thousand years, so that it can be shifted. */
static bool is_time(int64_t time_ms)
{
    const int64_t most_ms = INT64_C(1) << 48;

    return time_ms > -most_ms && time_ms < most_ms;
}

int snapshot_read(const char *data, size_t bytes, struct task **ret_task)
{
    struct reader reader = {data, bytes};
    const char *at = get(&reader, sizeof(struct head));
    struct tasklog_line line = {0};
    struct head head;

    if (!at)
        return -EBADMSG;
    memcpy(&head, at, sizeof(head));
    line.kind_bytes = head.kind_bytes;
    line.id_bytes = head.id_bytes;
    line.host_bytes = head.host_bytes;
    line.time_us = head.start_us;
    line.kind = get(&reader, line.kind_bytes);
    line.id = get(&reader, line.id_bytes);
    line.host = get(&reader, line.host_bytes);
    line.origin_bytes = head.origin_bytes;
    line.origin = get(&reader, line.origin_bytes);
    const char *peer = get(&reader, head.has_peer ? sizeof(line.peer) : 0);
    if (!peer || !line.origin || line.origin_bytes > TASKLOG_ORIGIN_BYTES_MAX || !line.kind ||
        !line.id || !line.host || !is_time(head.started_ms) || !is_time(head.quiet_ms) ||
        (uint64_t)head.lines >> RUN_LINES_BITS || (uint64_t)head.bytes >> RUN_BYTES_BITS ||
        !tasklog_kind_is_valid(line.kind, line.kind_bytes) ||
        !tasklog_id_is_valid(line.id, line.id_bytes))
        return -EBADMSG;
    memcpy(&line.peer, peer, head.has_peer ? sizeof(line.peer) : 0);
    struct task *task = task_new(&line);
    if (!task)
        return -ENOMEM;
    task->started_ms = head.started_ms;
    task->quiet_ms = head.quiet_ms;
    run_set_origin(&task->run, line.origin, line.origin_bytes);
    int r = read_run(&reader, &head, &task->run);
    if (r < 0) {
        task_free(task);
        return r;
    }
    *ret_task = task;
    return 0;
}

bool snapshot_is_of(const char *data, size_t bytes, const struct tasklog_line *key)
{
    struct reader reader = {data, bytes};
    const char *at = get(&reader, sizeof(struct head));
    struct head head;

    if (!at)
        return false;
    memcpy(&head, at, sizeof(head));
    if (head.kind_bytes != key->kind_bytes || head.id_bytes != key->id_bytes)
        return false;
    const char *kind = get(&reader, head.kind_bytes), *id = get(&reader, head.id_bytes);
    return kind && id && memcmp(kind, key->kind, key->kind_bytes) == 0 &&
           memcmp(id, key->id, key->id_bytes) == 0;
}
