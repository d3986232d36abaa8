/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of the journal: fields, and what they mean. systemd.journal-fields(7) names them. */
#include "entry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasklog/tag.h"

enum { SEVERITY_INFO = 6, NUMBER_DIGITS_MAX = 19 };

struct name {
    const char *text;
    size_t bytes;
};
#define NAME(text)             \
    {                          \
        text, sizeof(text) - 1 \
    }

static const struct name names[ENTRY_FIELD_COUNT] = {
    [ENTRY_IDENTIFIER] = NAME("SYSLOG_IDENTIFIER"),
    [ENTRY_SYSLOG_PID] = NAME("SYSLOG_PID"),
    [ENTRY_TASK_KIND] = NAME("TASK_KIND"),
    [ENTRY_TASK_ID] = NAME("TASK_ID"),
    [ENTRY_MESSAGE] = NAME("MESSAGE"),
    [ENTRY_RAW] = NAME("SYSLOG_RAW"),
    [ENTRY_PRIORITY] = NAME("PRIORITY"),
    [ENTRY_PID] = NAME("_PID"),
    [ENTRY_UID] = NAME("_UID"),
    [ENTRY_HOSTNAME] = NAME("_HOSTNAME"),
    [ENTRY_MACHINE_ID] = NAME("_MACHINE_ID"),
    [ENTRY_TRANSPORT] = NAME("_TRANSPORT"),
    [ENTRY_SOURCE_TIME] = NAME("_SOURCE_REALTIME_TIMESTAMP"),
    [ENTRY_LINE_BREAK] = NAME("_LINE_BREAK"),
    [ENTRY_STREAM_ID] = NAME("_STREAM_ID"),
    [ENTRY_UNIT] = NAME("_SYSTEMD_UNIT"),
    [ENTRY_USER_UNIT] = NAME("_SYSTEMD_USER_UNIT"),
    [ENTRY_MESSAGE_ID] = NAME("MESSAGE_ID"),
    [ENTRY_SUBJECT_UNIT] = NAME("UNIT"),
    [ENTRY_SUBJECT_USER_UNIT] = NAME("USER_UNIT"),
    [ENTRY_OBJECT_UNIT] = NAME("OBJECT_SYSTEMD_UNIT"),
    [ENTRY_OBJECT_USER_UNIT] = NAME("OBJECT_SYSTEMD_USER_UNIT"),
    [ENTRY_OBJECT_UID] = NAME("OBJECT_UID"),
    [ENTRY_COREDUMP_UNIT] = NAME("COREDUMP_UNIT"),
    [ENTRY_COREDUMP_USER_UNIT] = NAME("COREDUMP_USER_UNIT"),
    [ENTRY_COREDUMP_UID] = NAME("COREDUMP_UID"),
    [ENTRY_COREDUMP_PID] = NAME("COREDUMP_PID"),
    [ENTRY_COREDUMP_SIGNAL] = NAME("COREDUMP_SIGNAL_NAME"),
    [ENTRY_UNIT_RESULT] = NAME("UNIT_RESULT"),
    [ENTRY_DROPPED] = NAME("N_DROPPED"),
};

/* ---- fields ---- */

void entry_clear(struct entry *entry)
{
    memset(entry->places, 0, sizeof(entry->places));
    entry->used = 0;
}

void entry_done(struct entry *entry)
{
    free(entry->buffer);
    *entry = (struct entry){0};
}

/* The field of this name, or ENTRY_FIELD_COUNT. */
static enum entry_field find_field(const char *name, size_t bytes)
{
    for (size_t i = 0; i < ENTRY_FIELD_COUNT; i++)
        if (names[i].bytes == bytes && memcmp(names[i].text, name, bytes) == 0)
            return (enum entry_field)i;
    return ENTRY_FIELD_COUNT;
}

int entry_add(struct entry *entry, const char *data, size_t bytes)
{
    const char *equals = memchr(data, '=', bytes);

    if (!equals)
        return 0;
    enum entry_field field = find_field(data, (size_t)(equals - data));
    if (field == ENTRY_FIELD_COUNT || entry->places[field].offset > 0)
        return 0;
    size_t value_bytes = bytes - (size_t)(equals + 1 - data);
    if (entry->size - entry->used < value_bytes + 1) {
        size_t size = (entry->used + value_bytes + 1) * 2 + 1024;
        char *buffer = realloc(entry->buffer, size);
        if (!buffer)
            return -ENOMEM;
        entry->buffer = buffer;
        entry->size = size;
    }
    memcpy(entry->buffer + entry->used, equals + 1, value_bytes);
    entry->buffer[entry->used + value_bytes] = '\0';
    entry->places[field].offset = entry->used + 1;
    entry->places[field].bytes = value_bytes;
    entry->used += value_bytes + 1;
    return 0;
}

struct entry_text entry_get(const struct entry *entry, enum entry_field field)
{
    if (entry->places[field].offset == 0)
        return (struct entry_text){NULL, 0};
    return (struct entry_text){entry->buffer + entry->places[field].offset - 1,
                               entry->places[field].bytes};
}

static bool equals(struct entry_text text, const char *value)
{
    return text.data && text.bytes == strlen(value) && memcmp(text.data, value, text.bytes) == 0;
}

bool entry_is(const struct entry *entry, enum entry_field field, const char *value)
{
    return equals(entry_get(entry, field), value);
}

/* A whole number; -1 if it is none. */
static int64_t number_of(struct entry_text text)
{
    int64_t number = 0;

    if (text.bytes == 0 || text.bytes > NUMBER_DIGITS_MAX)
        return -1;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' ||
            __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, text.data[i] - '0', &number))
            return -1;
    }
    return number;
}

int64_t entry_time_us(const struct entry *entry, int64_t received_us)
{
    int64_t source_us = number_of(entry_get(entry, ENTRY_SOURCE_TIME));

    return source_us > 0 ? source_us : received_us;
}

/* ---- lines ---- */

static struct entry_text text_of(const char *data, size_t bytes)
{
    return (struct entry_text){data, bytes};
}

/* Behind "[id]:" of a datagram, or NULL. */
static const char *behind_tag(struct entry_text raw, struct entry_text id)
{
    const char *end = raw.data + raw.bytes;

    for (const char *at = raw.data; (at = memchr(at, '[', (size_t)(end - at))) != NULL; at++) {
        const char *close = at + 1 + id.bytes;
        if (end - at >= (ptrdiff_t)id.bytes + 3 && memcmp(at + 1, id.data, id.bytes) == 0 &&
            close[0] == ']' && close[1] == ':')
            return close + 2 < end && close[2] == ' ' ? close + 3 : close + 2;
    }
    return NULL;
}

/* journald takes blanks from a datagram's end, and ends its text at a NUL; the datagram is there, too, if
 * something was taken. What ends a datagram as such is no text: a NUL, a newline. */
static struct entry_text whole_text(const struct entry *entry)
{
    struct entry_text raw = entry_get(entry, ENTRY_RAW), message = entry_get(entry, ENTRY_MESSAGE);
    struct entry_text id = entry_get(entry, ENTRY_SYSLOG_PID);
    const char *begin = NULL;

    if (raw.data && message.bytes + id.bytes > 0)
        begin = id.data ? behind_tag(raw, id)
                        : memmem(raw.data, raw.bytes, message.data, message.bytes);
    if (!begin)
        return message;
    struct entry_text text = text_of(begin, raw.bytes - (size_t)(begin - raw.data));
    if (text.bytes > 0 && text.data[text.bytes - 1] == '\0')
        text.bytes--;
    if (text.bytes > 0 && text.data[text.bytes - 1] == '\n')
        text.bytes--;
    return text;
}

/* The tag in one piece: as the name of a stream (`systemd-cat -t 'kind[id]'`), or at the beginning of a
 * text that journald found no identifier in, for it takes no blanks in one. */
static const char *read_tag(struct entry_text from, bool is_text, struct entry_line *line)
{
    struct tasklog_tag tag;
    const char *wrong = tasklog_tag_parse(from.data, from.bytes, &tag);

    if (wrong)
        return wrong;
    line->kind = text_of(tag.kind, tag.kind_bytes);
    if (is_text && from.data[tag.used_bytes - 1] != ':')
        return "no colon after the tag";
    line->id = text_of(tag.id, tag.id_bytes);
    if (!is_text)
        return NULL;
    line->text = text_of(from.data + tag.used_bytes, from.bytes - tag.used_bytes);
    if (line->text.bytes > 0 && *line->text.data == ' ') {
        line->text.data++;
        line->text.bytes--;
    }
    return NULL;
}

static const char *find_names(const struct entry *entry, struct entry_line *line)
{
    struct entry_text identifier = entry_get(entry, ENTRY_IDENTIFIER);
    struct entry_text kind = entry_get(entry, ENTRY_TASK_KIND);
    struct entry_text id = entry_get(entry, ENTRY_TASK_ID);

    if (!kind.data && !identifier.data)
        return line->is_syslog && !read_tag(line->text, true, line) ? NULL : "";
    line->kind = kind.data ? kind : identifier;
    if (!kind.data && !id.data && memchr(identifier.data, '[', identifier.bytes))
        return read_tag(identifier, false, line);
    if (!id.data)
        id = entry_get(entry, ENTRY_SYSLOG_PID);
    if (!id.data)
        id = entry_get(entry, ENTRY_PID);
    if (!id.data)
        return "no task id";
    line->id = id;
    if (!tasklog_kind_is_valid(line->kind.data, line->kind.bytes))
        return "a kind is 1 to 48 of A-Z a-z 0-9 _ . -";
    if (!tasklog_id_is_valid(id.data, id.bytes))
        return "a task id is 1 to 255 bytes of UTF-8 without ] and control characters";
    return NULL;
}

const char *entry_read_line(const struct entry *entry, struct entry_line *ret_line)
{
    struct entry_line line = {.text = entry_get(entry, ENTRY_MESSAGE)};
    int64_t severity = number_of(entry_get(entry, ENTRY_PRIORITY));
    int64_t pid = number_of(entry_get(entry, ENTRY_PID));
    int64_t uid = number_of(entry_get(entry, ENTRY_UID));

    if (!line.text.data)
        line.text = text_of("", 0);
    line.is_syslog = entry_is(entry, ENTRY_TRANSPORT, "syslog");
    if (line.is_syslog)
        line.text = whole_text(entry);
    line.severity = severity >= 0 && severity <= 7 ? (int)severity : SEVERITY_INFO;
    line.pid = pid > 0 && pid <= INT32_MAX ? (uint32_t)pid : 0;
    line.uid = uid >= 0 && uid < UINT32_MAX ? (uint32_t)uid : UINT32_MAX;
    /* What comes at once after the stream was opened has no process yet, and is cut off where it has. */
    line.goes_on = entry_is(entry, ENTRY_LINE_BREAK, "line-max") ||
                   (entry_is(entry, ENTRY_LINE_BREAK, "pid-change") && pid <= 0);
    const char *wrong = find_names(entry, &line);
    if (wrong)
        ret_line->kind = line.kind;
    else
        *ret_line = line;
    return wrong;
}

/* ---- units ---- */

static const struct entry_text NONE;

/* "uid/unit:pid" of those that there are. */
static void name_origin(struct entry_text unit, struct entry_text uid, struct entry_text pid,
                        char origin[ENTRY_ORIGIN_BYTES])
{
    snprintf(origin, ENTRY_ORIGIN_BYTES, "%.*s%s%.*s%s%.*s", (int)uid.bytes,
             uid.data ? uid.data : "", uid.data ? "/" : "", (int)unit.bytes, unit.data,
             pid.data ? ":" : "", (int)pid.bytes, pid.data ? pid.data : "");
}

struct entry_text entry_origin(const struct entry *entry, char buffer[ENTRY_ORIGIN_BYTES])
{
    struct entry_text user = entry_get(entry, ENTRY_USER_UNIT);
    struct entry_text unit = entry_get(entry, ENTRY_UNIT), pid = entry_get(entry, ENTRY_PID);

    if (!user.data && !unit.data)
        return text_of("", 0);
    if (user.data)
        name_origin(user, entry_get(entry, ENTRY_UID), pid, buffer);
    else
        name_origin(unit, NONE, pid, buffer);
    return text_of(buffer, strlen(buffer));
}

/* Which messages of systemd are news: sd-messages.h. */
#define SUPPRESSED "a596d6fe7bfa4994828e72309e95d61e"
#define UNIT_FAILURE_RESULT "d9b373ed55a64feb8242e02dbe79a49c"
#define COREDUMP "fc2e22bc6ee647b6b90729ab34a250b1"

/* A user's own manager speaks of that user's units; of all else only those speak who are the system's: root,
 * and the handler of core dumps, which is nobody's. */
static bool is_systems(const struct entry *entry)
{
    static const char handler[] = "systemd-coredump@";
    struct entry_text unit = entry_get(entry, ENTRY_UNIT);

    return entry_is(entry, ENTRY_UID, "0") ||
           (unit.bytes >= sizeof(handler) && memcmp(unit.data, handler, sizeof(handler) - 1) == 0);
}

static enum entry_news read_suppressed(const struct entry *entry, struct entry_news_report *report)
{
    struct entry_text unit = entry_get(entry, ENTRY_OBJECT_UNIT);
    struct entry_text user_unit = entry_get(entry, ENTRY_OBJECT_USER_UNIT);
    int64_t count = number_of(entry_get(entry, ENTRY_DROPPED));

    if (!entry_is(entry, ENTRY_TRANSPORT, "driver") || (!unit.data && !user_unit.data))
        return ENTRY_NO_NEWS;
    if (user_unit.data)
        name_origin(user_unit, entry_get(entry, ENTRY_OBJECT_UID), NONE, report->origin);
    else
        name_origin(unit, NONE, NONE, report->origin);
    report->count = count > 0 ? (uint64_t)count : 1;
    return ENTRY_SUPPRESSED;
}

static enum entry_news read_failure(const struct entry *entry, struct entry_news_report *report)
{
    struct entry_text unit = entry_get(entry, ENTRY_SUBJECT_UNIT);
    struct entry_text user_unit = entry_get(entry, ENTRY_SUBJECT_USER_UNIT);
    struct entry_text result = entry_get(entry, ENTRY_UNIT_RESULT);

    if (user_unit.data)
        name_origin(user_unit, entry_get(entry, ENTRY_UID), NONE, report->origin);
    else if (unit.data && is_systems(entry))
        name_origin(unit, NONE, NONE, report->origin);
    else
        return ENTRY_NO_NEWS;
    if (user_unit.data)
        unit = user_unit;
    int unit_bytes = unit.bytes < 200 ? (int)unit.bytes : 200;
    if (equals(result, "oom-kill"))
        snprintf(report->text, sizeof(report->text), "unit %.*s was killed for memory", unit_bytes,
                 unit.data);
    else
        snprintf(report->text, sizeof(report->text), "unit %.*s failed%s%.*s", unit_bytes,
                 unit.data, result.data ? " with result " : "",
                 (int)(result.bytes < 64 ? result.bytes : 64), result.data ? result.data : "");
    return ENTRY_DIED;
}

static enum entry_news read_core_dump(const struct entry *entry, struct entry_news_report *report)
{
    struct entry_text unit = entry_get(entry, ENTRY_COREDUMP_UNIT);
    struct entry_text user_unit = entry_get(entry, ENTRY_COREDUMP_USER_UNIT);
    struct entry_text pid = entry_get(entry, ENTRY_COREDUMP_PID);
    struct entry_text signal = entry_get(entry, ENTRY_COREDUMP_SIGNAL);

    if (!is_systems(entry) || !pid.data || (!unit.data && !user_unit.data))
        return ENTRY_NO_NEWS;
    if (user_unit.data)
        name_origin(user_unit, entry_get(entry, ENTRY_COREDUMP_UID), pid, report->origin);
    else
        name_origin(unit, NONE, pid, report->origin);
    snprintf(report->text, sizeof(report->text), "process %.*s dumped core%s%.*s",
             (int)(pid.bytes < 20 ? pid.bytes : 20), pid.data, signal.data ? " after " : "",
             (int)(signal.bytes < 32 ? signal.bytes : 32), signal.data ? signal.data : "");
    return ENTRY_DIED;
}

enum entry_news entry_read_news(const struct entry *entry, struct entry_news_report *ret_report)
{
    if (entry->places[ENTRY_MESSAGE_ID].offset == 0)
        return ENTRY_NO_NEWS;
    if (entry_is(entry, ENTRY_MESSAGE_ID, SUPPRESSED))
        return read_suppressed(entry, ret_report);
    if (entry_is(entry, ENTRY_MESSAGE_ID, UNIT_FAILURE_RESULT))
        return read_failure(entry, ret_report);
    if (entry_is(entry, ENTRY_MESSAGE_ID, COREDUMP))
        return read_core_dump(entry, ret_report);
    return ENTRY_NO_NEWS;
}
