/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of the journal: those of its fields that matter here, copied out of the journal's mapping,
 * which may be another at the next call. And what it is: a task's line, news of a unit, or nothing.
 * Pure: knows neither journal nor collector.
 */
#ifndef TASKLOG_SRC_JOURNALD_ENTRY_H
#define TASKLOG_SRC_JOURNALD_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum entry_field {
    ENTRY_IDENTIFIER,
    ENTRY_SYSLOG_PID,
    ENTRY_TASK_KIND,
    ENTRY_TASK_ID,
    ENTRY_MESSAGE,
    ENTRY_RAW,
    ENTRY_PRIORITY,
    ENTRY_PID,
    ENTRY_UID,
    ENTRY_HOSTNAME,
    ENTRY_MACHINE_ID,
    ENTRY_TRANSPORT,
    ENTRY_SOURCE_TIME,
    ENTRY_LINE_BREAK,
    ENTRY_STREAM_ID,
    ENTRY_UNIT,
    ENTRY_USER_UNIT,
    ENTRY_MESSAGE_ID,
    ENTRY_SUBJECT_UNIT,
    ENTRY_SUBJECT_USER_UNIT,
    ENTRY_OBJECT_UNIT,
    ENTRY_OBJECT_USER_UNIT,
    ENTRY_OBJECT_UID,
    ENTRY_COREDUMP_UNIT,
    ENTRY_COREDUMP_USER_UNIT,
    ENTRY_COREDUMP_UID,
    ENTRY_COREDUMP_PID,
    ENTRY_COREDUMP_SIGNAL,
    ENTRY_UNIT_RESULT,
    ENTRY_DROPPED,
    ENTRY_FIELD_COUNT
};

struct entry_text {
    const char *data; /* NULL = there is none */
    size_t bytes;
};

/* Zero-initialise it; entry_done frees. */
struct entry {
    struct {
        size_t offset; /* 1 + where it begins in the buffer; 0 = the entry has no such field */
        size_t bytes;
    } places[ENTRY_FIELD_COUNT];
    char *buffer;
    size_t used;
    size_t size;
};

void entry_clear(struct entry *entry);
void entry_done(struct entry *entry);

/* Takes one field, "NAME=value". Of those that come twice the first counts. 0 or -ENOMEM. */
int entry_add(struct entry *entry, const char *data, size_t bytes)
    __attribute__((warn_unused_result));

/* A field's value; it stays until the next entry_add. */
struct entry_text entry_get(const struct entry *entry, enum entry_field field);

bool entry_is(const struct entry *entry, enum entry_field field, const char *value);

/* A task's line, texts into the entry. */
struct entry_line {
    struct entry_text kind;
    struct entry_text id;
    struct entry_text text;
    int severity;
    uint32_t pid;   /* of the sender, as the kernel vouched for it; 0 = not known */
    uint32_t uid;   /* likewise; UINT32_MAX = not known */
    bool is_syslog; /* its text was cut out of a datagram */
    bool goes_on;   /* journald cut it: the rest is in the stream's next entry */
};

/* NULL if it is a line that has a kind and an id, else what is wrong with it: "" when it has nothing to
 * do with tasks. Then `ret_line->kind` may be set, and nothing else. */
const char *entry_read_line(const struct entry *entry, struct entry_line *ret_line);

enum { ENTRY_ORIGIN_BYTES = 320, ENTRY_NEWS_BYTES = 300 };

/* When it was logged, in microseconds since 1970; `received_us` is when journald took it. */
int64_t entry_time_us(const struct entry *entry, int64_t received_us);

/* Who logged it: unit and process, "cron.service:4711", or, of a user's own manager,
 * "1000/backup.service:4711". Empty if it was no unit. */
struct entry_text entry_origin(const struct entry *entry, char buffer[ENTRY_ORIGIN_BYTES]);

/* News of an origin (all processes of a unit, if it names none), from those who may bring them. */
enum entry_news {
    ENTRY_NO_NEWS,
    ENTRY_SUPPRESSED, /* journald dropped `count` of its messages */
    ENTRY_DIED,       /* the unit failed, or the process dumped core, as `text` says */
};

struct entry_news_report {
    char origin[ENTRY_ORIGIN_BYTES];
    char text[ENTRY_NEWS_BYTES];
    uint64_t count;
};

enum entry_news entry_read_news(const struct entry *entry, struct entry_news_report *ret_report);

#endif
