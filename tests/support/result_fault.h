/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be true of every result, whatever made it: shared by the unit tests and the fuzzer. It
 * reads the result through its public face only, and has its own idea of what UTF-8 and JSON are.
 */
#ifndef TASKLOG_TESTS_RESULT_FAULT_H
#define TASKLOG_TESTS_RESULT_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tasklog/result.h"

/* Decodes each character and asks whether it may be: no table, nothing clever. */
static inline bool fault_is_text(const char *data, size_t bytes)
{
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000}; /* by length; no NUL */
    const unsigned char *at = (const unsigned char *)data, *end = at + bytes;

    while (at < end) {
        int length = *at < 0x80 ? 1 : *at < 0xC0 ? 0 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
        if (length == 0 || *at > 0xF7 || end - at < length)
            return false;
        uint32_t code = length == 1 ? *at : *at & (0xFFu >> (length + 1));
        for (int i = 1; i < length; i++) {
            if ((at[i] & 0xC0) != 0x80)
                return false;
            code = code << 6 | (at[i] & 0x3F);
        }
        if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
            return false;
        at += length;
    }
    return true;
}

static inline size_t fault_char_count(const char *data, size_t bytes)
{
    size_t count = 0;

    for (size_t i = 0; i < bytes; i++)
        count += ((unsigned char)data[i] & 0xC0) != 0x80;
    return count;
}

/* `{}` or `{"name": 12, "other": -3}`, exactly so. */
static inline bool fault_is_json(const char *text)
{
    if (strcmp(text, "{}") == 0)
        return true;
    if (*text != '{')
        return false;
    do {
        text++;
        if (*text == ' ')
            text++;
        if (*text++ != '"')
            return false;
        size_t name = strcspn(text, "\"\\");
        if (name == 0 || strncmp(text + name, "\": ", 3) != 0)
            return false;
        text += name + 3;
        text += *text == '-';
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || (digits > 1 && *text == '0'))
            return false;
        text += digits;
    } while (*text == ',');
    return strcmp(text, "}") == 0;
}

static inline const char *fault_of_counters(const struct tasklog_result *result)
{
    size_t need = tasklog_result_counters(result, NULL, 0);
    char *exact = malloc(need + 1), *half = malloc(need / 2 + 1);
    const char *fault = NULL;

    if (tasklog_result_counters(result, exact, need + 1) != need || strlen(exact) != need)
        fault = "the counters' length is wrong";
    else if (!fault_is_json(exact))
        fault = "the counters are not a JSON object of numbers";
    else if (tasklog_result_counters(result, half, need / 2 + 1) != need ||
             strlen(half) != need / 2 || strncmp(half, exact, need / 2) != 0)
        fault = "counters that are cut are not the beginning of the whole";
    free(exact);
    free(half);
    return fault;
}

/* The log ends with a time in brackets and the summary. */
static inline bool fault_ends_with_summary(const char *log, size_t bytes, const char *summary)
{
    size_t tail = strlen(summary);

    if (bytes < tail + 22 || memcmp(log + bytes - tail, summary, tail) != 0)
        return false;
    const char *stamp = log + bytes - tail - 22;
    return *stamp == '[' && stamp[20] == ']' && stamp[21] == ' ' &&
           (stamp == log || stamp[-1] == '\n');
}

static inline const char *fault_of_log(const struct tasklog_result *result,
                                       const struct tasklog_report *report)
{
    size_t bytes = tasklog_result_log_bytes(result);
    char *log = malloc(bytes + 1); /* the byte behind it must stay untouched */
    const char *fault = NULL;

    log[bytes] = '\x55';
    (void)tasklog_result_log_copy(result, NULL, log);
    if (log[bytes] != '\x55')
        fault = "the log is longer than it says";
    else if (!fault_is_text(log, bytes))
        fault = "the log is not valid UTF-8 without NUL";
    else if (tasklog_result_memory(result) < bytes)
        fault = "the log is longer than the memory that the result admits to";
    else if (report->type == TASKLOG_RESULT_FINAL &&
             !fault_ends_with_summary(log, bytes, report->summary))
        fault = "the log does not end with the summary";
    else if (report->type == TASKLOG_RESULT_LATE && (bytes == 0 || log[0] != '\n'))
        fault = "late text does not begin with a newline";
    free(log);
    return fault;
}

static inline const char *fault_of_report(const struct tasklog_report *report)
{
    const char *const texts[] = {report->task_id,   report->kind,    report->host,
                                 report->status,    report->summary, report->first_error,
                                 report->end_reason};
    bool ended = report->type == TASKLOG_RESULT_FINAL || report->type == TASKLOG_RESULT_LATE;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (!texts[i] || !fault_is_text(texts[i], strlen(texts[i])))
            return "a text is not valid UTF-8";
    if (!*report->task_id || !*report->kind || !*report->status)
        return "a text that must not be empty is";
    if (report->lines < 0 || report->bytes < 0 || report->warnings < 0 || report->errors < 0 ||
        report->warnings + report->errors > report->lines)
        return "counts do not fit each other";
    if (report->duration_us < 0)
        return "the duration is negative";
    if ((report->append_at >= 0) != (report->type == TASKLOG_RESULT_LATE))
        return "append_at does not fit the type";
    if (ended != (*report->end_reason != '\0') || ended != (*report->summary != '\0') ||
        ended != (report->end_us != TASKLOG_ABSENT))
        return "end_reason, summary and end_us do not fit the type";
    if (!ended && strcmp(report->status, "RUNNING") != 0)
        return "a running task's status is not RUNNING";
    if (report->complete && strcmp(report->end_reason, "marker") != 0)
        return "complete without an end marker";
    return NULL;
}

/* NULL if all is well, otherwise what is wrong. */
static inline const char *result_fault(const struct tasklog_result *result)
{
    struct tasklog_report report;
    const char *fault;

    tasklog_result_view(result, &report);
    fault = fault_of_report(&report);
    if (!fault)
        fault = fault_of_log(result, &report);
    if (!fault)
        fault = fault_of_counters(result);
    return fault;
}

#endif
