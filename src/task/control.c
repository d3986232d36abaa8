/* SPDX-License-Identifier: Apache-2.0 */
/* Reads control lines. The grammar stands in the contract, section 2; `items` are its name=value. */
#include "control.h"

#include <errno.h>
#include <string.h>

#include "tasklog/result.h"

struct cursor {
    const char *at;
    const char *end;
};

/* One name=value. A value in quotes is raw here: its escapes are still in it. */
struct item {
    const char *name;
    size_t name_bytes;
    const char *value;
    size_t value_bytes;
    bool quoted;
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool equals(const char *text, size_t bytes, const char *word)
{
    return strlen(word) == bytes && memcmp(text, word, bytes) == 0;
}

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && is_blank(*cursor->at))
        cursor->at++;
}

static size_t skip_word(struct cursor *cursor)
{
    const char *start = cursor->at;

    while (cursor->at < cursor->end && !is_blank(*cursor->at))
        cursor->at++;
    return (size_t)(cursor->at - start);
}

static bool is_name(const char *text, size_t bytes)
{
    if (bytes == 0 || bytes > CONTROL_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool other = (c >= '0' && c <= '9') || c == '.' || c == '-';
        if (!letter && !(i > 0 && other))
            return false;
    }
    return true;
}

/* Steps over the next item. False if it has not the form name=value; the cursor is behind it then. */
static bool next_item(struct cursor *cursor, struct item *ret_item)
{
    const char *name = cursor->at;

    while (cursor->at < cursor->end && !is_blank(*cursor->at) && *cursor->at != '=')
        cursor->at++;
    size_t name_bytes = (size_t)(cursor->at - name);
    if (cursor->at == cursor->end || *cursor->at != '=') {
        skip_word(cursor);
        return false;
    }
    cursor->at++;

    const char *value = cursor->at;
    bool quoted = value < cursor->end && *value == '"';
    if (quoted) {
        for (cursor->at++; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++)
            if (*cursor->at == '\\' && cursor->at + 1 < cursor->end)
                cursor->at++;
        bool closed = cursor->at < cursor->end;
        *ret_item =
            (struct item){name, name_bytes, value + 1, (size_t)(cursor->at - value - 1), true};
        if (closed)
            cursor->at++;
        /* Anything glued to the closing quote is a typo. */
        if (!closed || skip_word(cursor) > 0)
            return false;
    } else {
        *ret_item = (struct item){name, name_bytes, value, skip_word(cursor), false};
    }
    return is_name(name, name_bytes);
}

/* A whole number, with a sign if `negative` is allowed. */
static bool read_number(const struct item *item, bool negative, int64_t *ret_number)
{
    const char *at = item->value, *end = at + item->value_bytes;
    bool minus = false;
    int64_t number = 0;

    if (at < end && (*at == '-' || *at == '+') && negative)
        minus = *at++ == '-';
    if (at == end)
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_sub_overflow(number, *at - '0', &number)) /* negative: its range is wider */
            return false;
    }
    if (!minus && __builtin_sub_overflow(0, number, &number))
        return false;
    if (number == TASKLOG_ABSENT)
        return false;
    *ret_number = number;
    return true;
}

static bool read_status(const struct item *item, struct control *control)
{
    if (item->value_bytes == 0 || item->value_bytes > CONTROL_STATUS_BYTES_MAX)
        return false;
    for (size_t i = 0; i < item->value_bytes; i++) {
        char c = item->value[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    memcpy(control->status, item->value, item->value_bytes);
    control->status[item->value_bytes] = '\0';
    return true;
}

static bool read_pid(const struct item *item, struct control *control)
{
    int64_t pid;

    if (equals(item->value, item->value_bytes, "self")) {
        control->pid_self = true;
        return true;
    }
    if (!read_number(item, false, &pid) || pid < 1 || pid > INT32_MAX)
        return false;
    control->pid = pid;
    return true;
}

static int read_text(const struct item *item, struct text_buffer *buffer, struct control *control)
{
    int r = text_buffer_reserve(buffer, item->value_bytes + 1); /* an empty text is one, too */
    if (r < 0)
        return r;
    size_t used = 0;
    for (size_t i = 0; i < item->value_bytes; i++) {
        char c = item->value[i];
        bool more = item->quoted && c == '\\' && i + 1 < item->value_bytes;
        if (more && (item->value[i + 1] == '"' || item->value[i + 1] == '\\'))
            c = item->value[++i];
        buffer->data[used++] = c;
    }
    control->text = buffer->data;
    control->text_bytes = used;
    return 0;
}

static bool read_counter(const struct item *item, struct control *control)
{
    int64_t value;

    if (!read_number(item, true, &value) || control->counter_count == CONTROL_COUNTERS_MAX)
        return false;
    control->counters[control->counter_count++] =
        (struct control_counter){item->name, item->name_bytes, value};
    return true;
}

/* 1 = read, 0 = cannot be read, -ENOMEM. Names with a meaning of their own are never counters. */
static int read_item(const struct item *item, struct text_buffer *buffer, struct control *control)
{
    const char *name = item->name;
    size_t bytes = item->name_bytes;

    if (equals(name, bytes, "processed"))
        return read_number(item, false, &control->processed);
    if (equals(name, bytes, "failed"))
        return read_number(item, false, &control->failed);
    if (equals(name, bytes, "total"))
        return read_number(item, false, &control->total);
    if (equals(name, bytes, "pid"))
        return control->verb == CONTROL_START && read_pid(item, control);
    if (equals(name, bytes, "status"))
        return control->verb == CONTROL_END && read_status(item, control);
    if (equals(name, bytes, "text")) {
        if (control->verb != CONTROL_END)
            return 0;
        int r = read_text(item, buffer, control);
        return r < 0 ? r : 1;
    }
    return read_counter(item, control);
}

static bool read_verb(struct cursor *cursor, enum control_verb *ret_verb)
{
    static const char *const verbs[] = {
        [CONTROL_START] = "start", [CONTROL_PROGRESS] = "progress", [CONTROL_END] = "end"};
    const char *word = cursor->at;
    size_t bytes = skip_word(cursor);

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (equals(word, bytes, verbs[i])) {
            *ret_verb = (enum control_verb)i;
            return true;
        }
    }
    return false;
}

int control_parse(const char *marker, const char *line, size_t line_bytes,
                  struct text_buffer *buffer, struct control *ret_control)
{
    enum control_verb verb;

    if (line_bytes == 0 || line[0] != marker[0]) /* nearly all lines */
        return 0;
    size_t marker_bytes = strlen(marker);
    if (line_bytes <= marker_bytes || memcmp(line, marker, marker_bytes) != 0 ||
        !is_blank(line[marker_bytes]))
        return 0;
    struct cursor cursor = {line + marker_bytes, line + line_bytes};
    skip_blanks(&cursor);
    if (!read_verb(&cursor, &verb))
        return 0;

    struct control *control = ret_control;
    control->verb = verb;
    control->unreadable = false;
    control->status[0] = '\0';
    control->processed = control->failed = control->total = control->pid = TASKLOG_ABSENT;
    control->pid_self = false;
    control->process = 0;
    control->text = NULL;
    control->text_bytes = 0;
    control->counter_count = 0;
    for (skip_blanks(&cursor); cursor.at < cursor.end; skip_blanks(&cursor)) {
        struct item item;
        int r = next_item(&cursor, &item) ? read_item(&item, buffer, control) : 0;
        if (r < 0)
            return r;
        if (r == 0)
            control->unreadable = true;
    }
    return 1;
}
