/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one run of a task at one moment, ready for the database: the task table makes
 * results, the collector writes them. A result shares nothing with the table it came from.
 */
#ifndef TASKLOG_RESULT_H
#define TASKLOG_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tasklog_result_type {
    TASKLOG_RESULT_LIVE,  /* the task is running: its counts and the end of its log */
    TASKLOG_RESULT_FINAL, /* the task has ended: everything */
    TASKLOG_RESULT_LATE,  /* lines after the end: text to append, and the counts as they are now */
    TASKLOG_RESULT_OPEN,  /* the collector stops while the task runs: its whole log so far */
};

struct tasklog_result;

/* Counts that were never reported. */
#define TASKLOG_ABSENT INT64_MIN

/* A view into a result: texts are NUL-terminated, valid UTF-8, and live as long as it does. */
struct tasklog_report {
    enum tasklog_result_type type;
    const char *task_id;
    const char *kind;
    const char *host;
    const char *status;      /* RUNNING, COMPLETED, FAILED, or the word that the end marker gave */
    const char *summary;     /* without time stamp; "" while the task runs */
    const char *first_error; /* first line of the first message at error or worse, or "" */
    const char *end_reason;  /* marker, idle, max_runtime, restarted; "" while the task runs */
    bool complete;           /* the end marker was seen and no line is missing */
    int64_t start_us;
    int64_t end_us;      /* TASKLOG_ABSENT while the task runs */
    int64_t duration_us; /* never negative */
    int64_t processed;   /* TASKLOG_ABSENT if not reported; likewise: */
    int64_t failed;
    int64_t total;
    int64_t lines;     /* messages logged, control lines not among them */
    int64_t bytes;     /* of these messages' texts as they are stored */
    int64_t warnings;  /* messages with severity warning */
    int64_t errors;    /* messages with severity error or worse */
    int64_t append_at; /* RESULT_LATE: after how many characters of the stored log its text goes;
                          otherwise -1 */
};

void tasklog_result_view(const struct tasklog_result *result, struct tasklog_report *ret_report);

/* The log's text (RESULT_LATE: what is to be appended): its size, and a copy into `buffer`, which must
 * hold that many bytes; no NUL is added. */
size_t tasklog_result_log_bytes(const struct tasklog_result *result);
void tasklog_result_log_copy(const struct tasklog_result *result, char *buffer);

/* The counters as a JSON object, `{"tables": 12}`, in the order in which they first came, and `{}` if
 * there are none. Works like snprintf: returns the length that was needed, always terminates. */
size_t tasklog_result_counters(const struct tasklog_result *result, char *buffer,
                               size_t buffer_bytes);

/* What the result holds in memory, in bytes. */
size_t tasklog_result_memory(const struct tasklog_result *result);

/* Takes NULL. */
void tasklog_result_free(struct tasklog_result *result);

/* Results in the order in which they are to be written. Zero-initialise it. The list owns them. */
struct tasklog_results {
    struct tasklog_result *first;
    struct tasklog_result *last;
    size_t count;
    size_t memory_bytes;
};

void tasklog_results_push(struct tasklog_results *results, struct tasklog_result *result);
struct tasklog_result *tasklog_results_pop(struct tasklog_results *results); /* NULL when empty */
/* Puts what was popped back to the front; to keep the order, the last one popped goes first. */
void tasklog_results_unpop(struct tasklog_results *results, struct tasklog_result *result);
/* Moves all of `from` behind the last of `results`; `from` is empty then. */
void tasklog_results_append(struct tasklog_results *results, struct tasklog_results *from);
void tasklog_results_clear(struct tasklog_results *results); /* frees what is in it */

#endif
