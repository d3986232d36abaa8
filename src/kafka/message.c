/* SPDX-License-Identifier: Apache-2.0 */
/* Reads RFC 5424, from left to right. */
#include "message.h"

#include <stdbool.h>
#include <string.h>

#include "tasklog/tag.h"

enum { PRIORITY_MAX = 191, HOST_BYTES_MAX = 255 };

struct text {
    const char *at;
    size_t bytes;
};

static bool take_char(struct text *rest, char c)
{
    if (rest->bytes == 0 || *rest->at != c)
        return false;
    rest->at++;
    rest->bytes--;
    return true;
}

/* The word up to the next blank, which is taken, too. */
static bool take_word(struct text *rest, struct text *ret_word)
{
    const char *blank = memchr(rest->at, ' ', rest->bytes);

    if (!blank || blank == rest->at)
        return false;
    *ret_word = (struct text){rest->at, (size_t)(blank - rest->at)};
    rest->bytes -= ret_word->bytes + 1;
    rest->at = blank + 1;
    return true;
}

static bool is_nil(struct text word)
{
    return word.bytes == 1 && *word.at == '-';
}

/* Just so many digits; -1 if there are fewer. */
static int take_digits(struct text *rest, size_t count)
{
    int number = 0;

    if (rest->bytes < count)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (rest->at[i] < '0' || rest->at[i] > '9')
            return -1;
        number = number * 10 + (rest->at[i] - '0');
    }
    rest->at += count;
    rest->bytes -= count;
    return number;
}

static bool take_priority(struct text *rest, int *ret_severity)
{
    int priority = -1;

    if (!take_char(rest, '<'))
        return false;
    for (size_t digits = 1; digits <= 3 && priority < 0; digits++)
        if (rest->bytes > digits && rest->at[digits] == '>')
            priority = take_digits(rest, digits);
    *ret_severity = priority & 7;
    return priority >= 0 && priority <= PRIORITY_MAX && take_char(rest, '>');
}

/* Days from 1970-01-01 in the Gregorian calendar, for years from 0 on. */
static int64_t days_of(int year, int month, int day)
{
    year -= month <= 2; /* years that begin in March have their leap day at the end */
    int64_t days = (int64_t)year * 365 + year / 4 - year / 100 + year / 400;

    return days + (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
}

static bool take_fraction(struct text *rest, int *ret_us)
{
    int us = 0, digits = 0;

    for (; rest->bytes > 0 && *rest->at >= '0' && *rest->at <= '9'; rest->at++, rest->bytes--)
        if (digits < 6) {
            us = us * 10 + (*rest->at - '0');
            digits++;
        }
    if (digits == 0)
        return false;
    for (; digits < 6; digits++)
        us *= 10;
    *ret_us = us;
    return true;
}

static bool take_zone(struct text *rest, int *ret_minutes)
{
    int sign = take_char(rest, '-') ? -1 : 1;

    *ret_minutes = 0;
    if (sign > 0 && take_char(rest, 'Z'))
        return true;
    if (sign > 0 && !take_char(rest, '+'))
        return false;
    int hours = take_digits(rest, 2);
    bool colon = take_char(rest, ':');
    int minutes = take_digits(rest, 2);
    *ret_minutes = sign * (hours * 60 + minutes);
    return hours >= 0 && hours <= 23 && colon && minutes >= 0 && minutes <= 59;
}

/* 2026-11-24T10:31:07.123456+01:00 */
static bool read_time(struct text word, int64_t *ret_us)
{
    int year = take_digits(&word, 4);
    bool good = take_char(&word, '-');
    int month = take_digits(&word, 2);
    good = good && take_char(&word, '-');
    int day = take_digits(&word, 2);
    good = good && take_char(&word, 'T');
    int hour = take_digits(&word, 2);
    good = good && take_char(&word, ':');
    int minute = take_digits(&word, 2);
    good = good && take_char(&word, ':');
    int second = take_digits(&word, 2), us = 0, zone;

    if (!good || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    if (take_char(&word, '.') && !take_fraction(&word, &us))
        return false;
    if (!take_zone(&word, &zone) || word.bytes > 0)
        return false;
    int64_t seconds =
        days_of(year, month, day) * 86400 + (int64_t)hour * 3600 + (int64_t)minute * 60 + second;
    *ret_us = (seconds - (int64_t)zone * 60) * 1000000 + us;
    return true;
}

/* `-`, or elements in brackets, in whose values a bracket may stand. */
static bool take_structured_data(struct text *rest)
{
    if (take_char(rest, '-'))
        return true;
    bool found = false;
    while (take_char(rest, '[')) {
        bool quoted = false;
        for (found = false; rest->bytes > 0 && !found; rest->at++, rest->bytes--) {
            if (quoted && *rest->at == '\\' && rest->bytes > 1) {
                rest->at++;
                rest->bytes--;
            } else if (*rest->at == '"') {
                quoted = !quoted;
            } else {
                found = !quoted && *rest->at == ']';
            }
        }
        if (!found)
            return false;
    }
    return found;
}

/* Kind, id and text when a relay has put the tag before the text. */
static const char *read_tag(struct text rest, bool is_rfc5424, struct tasklog_line *line)
{
    struct tasklog_message message = {.is_rfc5424 = is_rfc5424};
    struct tasklog_tag tag;
    const char *why = tasklog_tag_parse(rest.at, rest.bytes, &tag);

    if (why)
        return why;
    line->kind = tag.kind;
    line->kind_bytes = tag.kind_bytes;
    line->id = tag.id;
    line->id_bytes = tag.id_bytes;
    message.text = rest.at + tag.used_bytes;
    message.text_bytes = rest.bytes - tag.used_bytes;
    tasklog_message_text(&message, &line->text, &line->text_bytes);
    return NULL;
}

static const char *read_names(struct text kind, struct text id, struct text rest,
                              struct tasklog_line *line)
{
    struct tasklog_message message = {.text = rest.at,
                                      .text_bytes = rest.bytes,
                                      .is_rfc5424 = true};

    if (!tasklog_kind_is_valid(kind.at, kind.bytes))
        return "APP-NAME is not a kind, 1 to 48 characters of A-Z a-z 0-9 _ . -";
    if (is_nil(id) || !tasklog_id_is_valid(id.at, id.bytes))
        return "PROCID is not a task id, 1 to 255 bytes of UTF-8 without \"]\"";
    line->kind = kind.at;
    line->kind_bytes = kind.bytes;
    line->id = id.at;
    line->id_bytes = id.bytes;
    tasklog_message_text(&message, &line->text, &line->text_bytes);
    return NULL;
}

const char *message_read(const char *data, size_t bytes, int64_t sent_us,
                         struct tasklog_line *ret_line)
{
    struct text rest = {data, bytes}, time, host, kind, id, message_id;
    struct tasklog_line line = {.time_us = sent_us};

    if (bytes == 0)
        return "it is empty";
    if (!take_priority(&rest, &line.severity) || !take_char(&rest, '1') || !take_char(&rest, ' '))
        return "it does not begin with \"<PRIORITY>1 \", as RFC 5424 has it";
    if (!take_word(&rest, &time) || (!is_nil(time) && !read_time(time, &line.time_us)))
        return "its time is not one of RFC 3339";
    if (!take_word(&rest, &host) || host.bytes > HOST_BYTES_MAX || !take_word(&rest, &kind) ||
        !take_word(&rest, &id) || !take_word(&rest, &message_id) || !take_structured_data(&rest))
        return "its head is not HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA";
    if (!take_char(&rest, ' ') && rest.bytes > 0)
        return "there is no blank behind its STRUCTURED-DATA";
    if (!is_nil(host)) {
        line.host = host.at;
        line.host_bytes = host.bytes;
    }
    const char *why = is_nil(kind)
                          ? read_tag(rest, message_id.bytes == 1 && *message_id.at == '1', &line)
                          : read_names(kind, id, rest, &line);
    if (!why)
        *ret_line = line;
    return why;
}
