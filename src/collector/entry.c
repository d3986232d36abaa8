/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of the spool, to and from bytes. */
#include "entry.h"

#include <errno.h>
#include <string.h>

#include "tasklog/number.h"
#include "tasklog/tag.h"

#define NO_TEMPLATE UINT32_MAX

struct line_head {
    uint64_t run;
    int64_t mono_ms;
    int64_t wall_us;
    int64_t time_us;
    uint32_t text_bytes;
    uint32_t formatted_bytes; /* NO_TEMPLATE = there is none */
    uint16_t id_bytes;
    uint16_t host_bytes;
    uint8_t kind_bytes;
    uint8_t severity;
    uint8_t tight;
    uint8_t extras; /* what there is behind the texts */
};

enum { EXTRA_SOURCE = 1, EXTRA_NUMBER = 2, TEXT_PIECES = 6 };

/* Of a line that its sender has numbered. */
struct number_record {
    uint64_t stream;
    uint32_t number;
    uint32_t zero;
};

/* Of a line that says more of where it came from; origin and cursor follow, up to the record's end. */
struct source_head {
    uint32_t sender_pid;
    uint16_t origin_bytes;
    uint8_t is_local;
    uint8_t has_peer; /* what follows is there: */
    uint64_t peer;
    uint32_t omitted;
    uint32_t zero;
};
enum { SHORT_SOURCE_BYTES = offsetof(struct source_head, peer) };

struct close_head {
    int64_t mono_ms;
    int64_t wall_us;
    char reason[16];
    uint16_t id_bytes;
    uint16_t kind_bytes;
    uint32_t omitted;
};

struct omit_head {
    uint32_t count;
    uint16_t id_bytes;
    uint16_t kind_bytes;
};

struct process_head {
    uint64_t start;
    uint64_t boot;
    uint32_t pid;
    uint16_t id_bytes;
    uint16_t kind_bytes;
};

struct ended_head {
    uint64_t run;
    int64_t mono_ms;
    int64_t wall_us;
    uint16_t id_bytes;
    uint16_t kind_bytes;
    uint32_t zero;
};

struct news_head {
    int64_t mono_ms;
    int64_t wall_us;
    uint32_t detail_bytes;
    uint32_t origin_bytes;
};

struct done_record {
    uint64_t run;
    int64_t end_chars;
    int64_t mono_ms;
    int64_t wall_us;
    uint32_t result;
    uint32_t zero;
};

struct rules_record {
    int64_t idle_ms;
    int64_t max_runtime_ms;
    int64_t late_window_ms;
    uint64_t task_max_bytes;
    int32_t level;
    int32_t escape_prefix;
    uint32_t show_level;
    uint32_t zero;
    char marker[ENTRY_MARKER_BYTES_MAX + 8]; /* ends with NUL */
};

struct start_record {
    int64_t mono_ms;
    int64_t wall_us;
};

static size_t formatted_bytes(const struct tasklog_line *line)
{
    return line->formatted ? line->formatted_bytes : 0;
}

static size_t source_head_bytes(const struct tasklog_line *line)
{
    uint64_t source = line->cursor_bytes | line->origin_bytes | line->sender_pid | line->is_local;
    uint64_t peer = line->peer | line->omitted;

    if ((source | peer) == 0)
        return 0;
    return peer != 0 ? sizeof(struct source_head) : SHORT_SOURCE_BYTES;
}

static size_t number_bytes(const struct tasklog_line *line)
{
    return line->stream ? sizeof(struct number_record) : 0;
}

size_t entry_line_bytes(const struct tasklog_line *line)
{
    return sizeof(struct line_head) + line->kind_bytes + line->id_bytes + line->host_bytes +
           line->text_bytes + formatted_bytes(line) + number_bytes(line) + source_head_bytes(line) +
           line->origin_bytes + line->cursor_bytes;
}

void entry_write_line(struct tasklog_spool *spool, const struct tasklog_line *line,
                      struct tasklog_now now, bool tight, uint64_t run)
{
    size_t source_bytes = source_head_bytes(line);
    const struct line_head head = {
        .run = run,
        .mono_ms = now.mono_ms,
        .wall_us = now.wall_us,
        .time_us = line->time_us,
        .text_bytes = (uint32_t)line->text_bytes,
        .formatted_bytes = line->formatted ? (uint32_t)line->formatted_bytes : NO_TEMPLATE,
        .id_bytes = (uint16_t)line->id_bytes,
        .host_bytes = (uint16_t)line->host_bytes,
        .kind_bytes = (uint8_t)line->kind_bytes,
        .severity = (uint8_t)line->severity,
        .tight = tight,
        .extras =
            (uint8_t)((source_bytes > 0 ? EXTRA_SOURCE : 0) | (line->stream ? EXTRA_NUMBER : 0)),
    };
    const struct number_record number = {.stream = line->stream, .number = line->number};
    struct source_head source;
    if (source_bytes > 0) /* not with most lines */
        source = (struct source_head){.sender_pid = line->sender_pid,
                                      .origin_bytes = (uint16_t)line->origin_bytes,
                                      .is_local = line->is_local,
                                      .has_peer = source_bytes > SHORT_SOURCE_BYTES,
                                      .peer = line->peer,
                                      .omitted = line->omitted};
    const struct tasklog_spool_piece pieces[] = {
        {&head, sizeof(head)},
        {line->kind, line->kind_bytes},
        {line->id, line->id_bytes},
        {line->host, line->host_bytes},
        {line->text, line->text_bytes},
        {line->formatted, formatted_bytes(line)},
        /* Most lines have no more. */
        {&number, number_bytes(line)},
        {&source, source_bytes},
        {line->origin, line->origin_bytes},
        {line->cursor, line->cursor_bytes},
    };

    tasklog_spool_write(spool, ENTRY_LINE, pieces,
                        head.extras ? sizeof(pieces) / sizeof(pieces[0]) : TEXT_PIECES);
}

static int write_entry(struct tasklog_spool *spool, enum entry_type type,
                       const struct tasklog_spool_piece *pieces, size_t count)
{
    tasklog_position position;
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += pieces[i].bytes;
    int r = tasklog_spool_reserve(spool, bytes, &position);
    if (r < 0)
        return r;
    tasklog_spool_write(spool, (uint32_t)type, pieces, count);
    return 0;
}

/* A head, with the task's kind and id behind it. */
static int write_named(struct tasklog_spool *spool, enum entry_type type, const void *head,
                       size_t head_bytes, const char *kind, size_t kind_bytes, const char *id,
                       size_t id_bytes)
{
    const struct tasklog_spool_piece pieces[] = {{head, head_bytes},
                                                 {kind, kind_bytes},
                                                 {id, id_bytes}};

    return write_entry(spool, type, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

int entry_write_close(struct tasklog_spool *spool, const struct tasklog_report *report,
                      struct tasklog_now now)
{
    struct close_head head = {.mono_ms = now.mono_ms,
                              .wall_us = now.wall_us,
                              .id_bytes = (uint16_t)strlen(report->task_id),
                              .kind_bytes = (uint16_t)strlen(report->kind),
                              .omitted = report->omitted};
    const struct tasklog_spool_piece pieces[] = {{&head, sizeof(head)},
                                                 {report->kind, head.kind_bytes},
                                                 {report->task_id, head.id_bytes},
                                                 {report->end_detail, strlen(report->end_detail)}};

    strncpy(head.reason, report->end_reason, sizeof(head.reason) - 1);
    return write_entry(spool, ENTRY_CLOSE, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

int entry_write_done(struct tasklog_spool *spool, const struct tasklog_report *report,
                     struct tasklog_now now)
{
    const struct done_record record = {.run = report->run,
                                       .end_chars = report->end_chars,
                                       .mono_ms = now.mono_ms,
                                       .wall_us = now.wall_us,
                                       .result = (uint32_t)report->type};
    const struct tasklog_spool_piece piece = {&record, sizeof(record)};

    return write_entry(spool, ENTRY_DONE, &piece, 1);
}

int entry_write_ended(struct tasklog_spool *spool, const struct tasklog_report *report,
                      struct tasklog_now now)
{
    const struct ended_head head = {.run = report->run,
                                    .mono_ms = now.mono_ms,
                                    .wall_us = now.wall_us,
                                    .id_bytes = (uint16_t)strlen(report->task_id),
                                    .kind_bytes = (uint16_t)strlen(report->kind)};

    return write_named(spool, ENTRY_ENDED, &head, sizeof(head), report->kind, head.kind_bytes,
                       report->task_id, head.id_bytes);
}

static int write_bytes(struct tasklog_spool *spool, enum entry_type type, const void *data,
                       size_t bytes, tasklog_position *ret_position)
{
    const struct tasklog_spool_piece piece = {data, bytes};
    int r = tasklog_spool_reserve(spool, bytes, ret_position);

    if (r == 0)
        tasklog_spool_write(spool, (uint32_t)type, &piece, 1);
    return r;
}

int entry_write_text(struct tasklog_spool *spool, const char *text, size_t bytes,
                     tasklog_position *ret_position)
{
    return write_bytes(spool, ENTRY_TEXT, text, bytes, ret_position);
}

int entry_write_task(struct tasklog_spool *spool, const char *data, size_t bytes,
                     tasklog_position *ret_position)
{
    return write_bytes(spool, ENTRY_TASK, data, bytes, ret_position);
}

int entry_write_cursor(struct tasklog_spool *spool, const char *cursor, size_t bytes,
                       tasklog_position *ret_position)
{
    return write_bytes(spool, ENTRY_CURSOR, cursor, bytes, ret_position);
}

int entry_write_process(struct tasklog_spool *spool, const struct tasklog_line *key,
                        const struct tasklog_process *process)
{
    const struct process_head head = {.start = process->start,
                                      .boot = process->boot,
                                      .pid = process->pid,
                                      .id_bytes = (uint16_t)key->id_bytes,
                                      .kind_bytes = (uint16_t)key->kind_bytes};

    return write_named(spool, ENTRY_PROCESS, &head, sizeof(head), key->kind, key->kind_bytes,
                       key->id, key->id_bytes);
}

int entry_write_omit(struct tasklog_spool *spool, const struct tasklog_line *key, uint32_t count)
{
    const struct omit_head head = {.count = count,
                                   .id_bytes = (uint16_t)key->id_bytes,
                                   .kind_bytes = (uint16_t)key->kind_bytes};

    return write_named(spool, ENTRY_OMIT, &head, sizeof(head), key->kind, key->kind_bytes, key->id,
                       key->id_bytes);
}

int entry_write_news(struct tasklog_spool *spool, const struct entry *news,
                     tasklog_position *ret_position)
{
    const struct tasklog_line *source = &news->line;
    const struct news_head head = {.mono_ms = news->now.mono_ms,
                                   .wall_us = news->now.wall_us,
                                   .detail_bytes = (uint32_t)strlen(news->detail),
                                   .origin_bytes = (uint32_t)source->origin_bytes};
    const struct tasklog_spool_piece pieces[] = {{&head, sizeof(head)},
                                                 {news->detail, head.detail_bytes},
                                                 {source->origin, source->origin_bytes},
                                                 {source->cursor, source->cursor_bytes}};
    size_t bytes = sizeof(head) + head.detail_bytes + source->origin_bytes + source->cursor_bytes;
    int r = tasklog_spool_reserve(spool, bytes, ret_position);

    if (r == 0)
        tasklog_spool_write(spool, (uint32_t)news->type, pieces,
                            sizeof(pieces) / sizeof(pieces[0]));
    return r;
}

int entry_write_numbers(struct tasklog_spool *spool, const void *data, size_t bytes,
                        tasklog_position *ret_position)
{
    return write_bytes(spool, ENTRY_NUMBERS, data, bytes, ret_position);
}

static int write_now(struct tasklog_spool *spool, enum entry_type type, struct tasklog_now now)
{
    const struct start_record record = {.mono_ms = now.mono_ms, .wall_us = now.wall_us};
    const struct tasklog_spool_piece piece = {&record, sizeof(record)};

    return write_entry(spool, type, &piece, 1);
}

int entry_write_start(struct tasklog_spool *spool, struct tasklog_now now)
{
    return write_now(spool, ENTRY_START, now);
}

int entry_write_time(struct tasklog_spool *spool, struct tasklog_now now)
{
    return write_now(spool, ENTRY_TIME, now);
}

int entry_write_whole(struct tasklog_spool *spool, struct tasklog_now now)
{
    return write_now(spool, ENTRY_WHOLE, now);
}

int entry_write_stop(struct tasklog_spool *spool, struct tasklog_now now)
{
    return write_now(spool, ENTRY_STOP, now);
}

int entry_write_gap(struct tasklog_spool *spool, struct tasklog_now now)
{
    const struct start_record record = {.mono_ms = now.mono_ms, .wall_us = now.wall_us};
    const struct tasklog_spool_piece piece = {&record, sizeof(record)};
    int r = tasklog_spool_reserve_spare(spool, sizeof(record));

    if (r == 0)
        tasklog_spool_write(spool, ENTRY_GAP, &piece, 1);
    return r;
}

int entry_write_rules(struct tasklog_spool *spool, const struct tasklog_rules *rules)
{
    struct rules_record record = {.idle_ms = rules->idle_ms,
                                  .max_runtime_ms = rules->max_runtime_ms,
                                  .late_window_ms = rules->late_window_ms,
                                  .task_max_bytes = rules->task_max_bytes,
                                  .level = rules->level,
                                  .escape_prefix = rules->escape_prefix,
                                  .show_level = rules->show_level};
    const struct tasklog_spool_piece piece = {&record, sizeof(record)};

    memcpy(record.marker, rules->marker, strnlen(rules->marker, ENTRY_MARKER_BYTES_MAX));
    return write_entry(spool, ENTRY_RULES, &piece, 1);
}

/* Takes a text of so many bytes off the front of what is left; false if there is not that much. */
static bool take(const char **at, size_t *left, size_t bytes, const char **ret_text)
{
    if (bytes > *left)
        return false;
    *ret_text = *at;
    *at += bytes;
    *left -= bytes;
    return true;
}

static bool names_are_valid(const struct tasklog_line *line)
{
    return tasklog_kind_is_valid(line->kind, line->kind_bytes) &&
           tasklog_id_is_valid(line->id, line->id_bytes);
}

/* Kind and id, of which the line has the lengths. */
static bool take_names(const char **at, size_t *left, struct tasklog_line *line)
{
    return take(at, left, line->kind_bytes, &line->kind) &&
           take(at, left, line->id_bytes, &line->id) && names_are_valid(line);
}

static bool read_source(const char **at, size_t *left, struct tasklog_line *line)
{
    struct source_head head;
    const char *bytes;

    if (!take(at, left, SHORT_SOURCE_BYTES, &bytes))
        return false;
    memcpy(&head, bytes, SHORT_SOURCE_BYTES);
    line->sender_pid = head.sender_pid;
    line->is_local = head.is_local != 0;
    line->origin_bytes = head.origin_bytes;
    if (head.has_peer) {
        if (!take(at, left, sizeof(head) - SHORT_SOURCE_BYTES, &bytes))
            return false;
        memcpy(&head.peer, bytes, sizeof(head) - SHORT_SOURCE_BYTES);
        line->peer = head.peer;
        line->omitted = head.omitted;
    }
    if (!take(at, left, line->origin_bytes, &line->origin))
        return false;
    line->cursor_bytes = *left;
    return take(at, left, line->cursor_bytes, &line->cursor) &&
           line->origin_bytes <= TASKLOG_ORIGIN_BYTES_MAX &&
           line->cursor_bytes <= TASKLOG_CURSOR_BYTES_MAX;
}

static bool read_number(const char **at, size_t *left, struct tasklog_line *line)
{
    struct number_record record;
    const char *bytes;

    if (!take(at, left, sizeof(record), &bytes))
        return false;
    memcpy(&record, bytes, sizeof(record));
    line->stream = record.stream;
    line->number = record.number;
    return line->stream != 0 && line->number < TASKLOG_NUMBERS;
}

/* Text for people, up to the end. */
static bool read_detail(const char *at, size_t left, struct entry *entry)
{
    if (left > ENTRY_DETAIL_BYTES_MAX || memchr(at, '\0', left))
        return false;
    memcpy(entry->detail, at, left);
    entry->detail[left] = '\0';
    return true;
}

static bool read_line(const char *at, size_t left, struct entry *entry)
{
    struct tasklog_line *line = &entry->line;
    struct line_head head;

    if (left < sizeof(head))
        return false;
    memcpy(&head, at, sizeof(head));
    /* Not from the copy: compilers take both words at once, which has to wait for it, and all stores before. */
    memcpy(&entry->now.mono_ms, at + offsetof(struct line_head, mono_ms), sizeof(int64_t));
    memcpy(&entry->now.wall_us, at + offsetof(struct line_head, wall_us), sizeof(int64_t));
    at += sizeof(head);
    left -= sizeof(head);
    entry->run = head.run;
    entry->tight = head.tight != 0;
    line->kind_bytes = head.kind_bytes;
    line->id_bytes = head.id_bytes;
    line->host_bytes = head.host_bytes;
    line->text_bytes = head.text_bytes;
    line->time_us = head.time_us;
    line->severity = head.severity;
    if (!take(&at, &left, line->kind_bytes, &line->kind) ||
        !take(&at, &left, line->id_bytes, &line->id) ||
        !take(&at, &left, line->host_bytes, &line->host) ||
        !take(&at, &left, line->text_bytes, &line->text))
        return false;
    if (head.formatted_bytes != NO_TEMPLATE) {
        line->formatted_bytes = head.formatted_bytes;
        if (!take(&at, &left, line->formatted_bytes, &line->formatted))
            return false;
    }
    if ((head.extras & EXTRA_NUMBER) && !read_number(&at, &left, line))
        return false;
    if ((head.extras & EXTRA_SOURCE) && !read_source(&at, &left, line))
        return false;
    return left == 0 && names_are_valid(line);
}

static bool read_close(const char *at, size_t left, struct entry *entry)
{
    struct tasklog_line *line = &entry->line;
    struct close_head head;

    if (left < sizeof(head))
        return false;
    memcpy(&head, at, sizeof(head));
    at += sizeof(head);
    left -= sizeof(head);
    entry->now = (struct tasklog_now){.mono_ms = head.mono_ms, .wall_us = head.wall_us};
    memcpy(entry->reason, head.reason, sizeof(entry->reason));
    entry->reason[sizeof(entry->reason) - 1] = '\0';
    *line = (struct tasklog_line){.kind_bytes = head.kind_bytes,
                                  .id_bytes = head.id_bytes,
                                  .omitted = head.omitted};
    return take_names(&at, &left, line) && read_detail(at, left, entry);
}

static bool read_process(const char *at, size_t left, struct entry *entry)
{
    struct tasklog_line *line = &entry->line;
    struct process_head head;
    const char *bytes;

    if (!take(&at, &left, sizeof(head), &bytes))
        return false;
    memcpy(&head, bytes, sizeof(head));
    entry->process =
        (struct tasklog_process){.pid = head.pid, .start = head.start, .boot = head.boot};
    *line = (struct tasklog_line){.kind_bytes = head.kind_bytes, .id_bytes = head.id_bytes};
    return take_names(&at, &left, line) && left == 0;
}

static bool read_ended(const char *at, size_t left, struct entry *entry)
{
    struct tasklog_line *line = &entry->line;
    struct ended_head head;
    const char *bytes;

    if (!take(&at, &left, sizeof(head), &bytes))
        return false;
    memcpy(&head, bytes, sizeof(head));
    entry->run = head.run;
    entry->now = (struct tasklog_now){.mono_ms = head.mono_ms, .wall_us = head.wall_us};
    entry->result = TASKLOG_RESULT_FINAL;
    entry->end_chars = INT64_MAX; /* however its end looks without the lines that are not here */
    *line = (struct tasklog_line){.kind_bytes = head.kind_bytes, .id_bytes = head.id_bytes};
    return take_names(&at, &left, line) && left == 0;
}

static bool read_omit(const char *at, size_t left, struct entry *entry)
{
    struct tasklog_line *line = &entry->line;
    struct omit_head head;
    const char *bytes;

    if (!take(&at, &left, sizeof(head), &bytes))
        return false;
    memcpy(&head, bytes, sizeof(head));
    *line = (struct tasklog_line){.kind_bytes = head.kind_bytes,
                                  .id_bytes = head.id_bytes,
                                  .omitted = head.count};
    return take_names(&at, &left, line) && left == 0;
}

static bool read_news(const char *at, size_t left, struct entry *entry)
{
    struct tasklog_line *line = &entry->line;
    struct news_head head;
    const char *bytes, *detail;

    if (!take(&at, &left, sizeof(head), &bytes))
        return false;
    memcpy(&head, bytes, sizeof(head));
    entry->now = (struct tasklog_now){.mono_ms = head.mono_ms, .wall_us = head.wall_us};
    line->origin_bytes = head.origin_bytes;
    if (!take(&at, &left, head.detail_bytes, &detail) ||
        !take(&at, &left, line->origin_bytes, &line->origin))
        return false;
    line->cursor = at;
    line->cursor_bytes = left;
    return line->origin_bytes <= TASKLOG_ORIGIN_BYTES_MAX && left <= TASKLOG_CURSOR_BYTES_MAX &&
           read_detail(detail, head.detail_bytes, entry);
}

static bool read_done(const void *data, size_t bytes, struct entry *entry)
{
    struct done_record record;

    if (bytes != sizeof(record))
        return false;
    memcpy(&record, data, sizeof(record));
    entry->run = record.run;
    entry->end_chars = record.end_chars;
    entry->now = (struct tasklog_now){.mono_ms = record.mono_ms, .wall_us = record.wall_us};
    entry->result = (enum tasklog_result_type)record.result;
    return true;
}

static bool read_start(const void *data, size_t bytes, struct entry *entry)
{
    struct start_record record;

    if (bytes != sizeof(record))
        return false;
    memcpy(&record, data, sizeof(record));
    entry->now = (struct tasklog_now){.mono_ms = record.mono_ms, .wall_us = record.wall_us};
    return true;
}

static bool read_rules(const void *data, size_t bytes, struct entry *entry)
{
    struct rules_record record;

    if (bytes != sizeof(record))
        return false;
    memcpy(&record, data, sizeof(record));
    memcpy(entry->marker, record.marker, ENTRY_MARKER_BYTES_MAX);
    entry->marker[ENTRY_MARKER_BYTES_MAX] = '\0';
    entry->rules = (struct tasklog_rules){.idle_ms = record.idle_ms,
                                          .max_runtime_ms = record.max_runtime_ms,
                                          .late_window_ms = record.late_window_ms,
                                          .task_max_bytes = (size_t)record.task_max_bytes,
                                          .level = record.level,
                                          .escape_prefix = record.escape_prefix,
                                          .show_level = record.show_level != 0};
    return entry->marker[0] != '\0';
}

bool entry_read(uint32_t type, const void *data, size_t bytes, struct entry *ret_entry)
{
    memset(ret_entry, 0, offsetof(struct entry, reason));
    ret_entry->type = (enum entry_type)type;
    switch (type) {
    case ENTRY_LINE:
        return read_line(data, bytes, ret_entry);
    case ENTRY_CLOSE:
        return read_close(data, bytes, ret_entry);
    case ENTRY_DONE:
        return read_done(data, bytes, ret_entry);
    case ENTRY_RULES:
        return read_rules(data, bytes, ret_entry);
    case ENTRY_START:
    case ENTRY_TIME:
    case ENTRY_GAP:
    case ENTRY_WHOLE:
    case ENTRY_STOP:
        return read_start(data, bytes, ret_entry);
    case ENTRY_TEXT:
        return true;
    case ENTRY_PROCESS:
        return read_process(data, bytes, ret_entry);
    case ENTRY_ENDED:
        return read_ended(data, bytes, ret_entry);
    case ENTRY_OMIT:
        return read_omit(data, bytes, ret_entry);
    case ENTRY_DEATH:
    case ENTRY_NOTE:
        return read_news(data, bytes, ret_entry);
    case ENTRY_CURSOR:
    case ENTRY_TASK:
    case ENTRY_NUMBERS:
        ret_entry->data = data;
        ret_entry->bytes = bytes;
        return type != ENTRY_CURSOR || bytes <= TASKLOG_CURSOR_BYTES_MAX;
    default:
        return false;
    }
}
