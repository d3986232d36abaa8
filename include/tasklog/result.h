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

/*
 * Where text of logs can be put when memory is short, and read from again. What was put there stays as
 * long as the position from which the run's lines are needed is not given up (tasklog_table_oldest).
 */
struct tasklog_spill {
    /* 0 with the position in `ret_position`, or negative errno. */
    int (*write)(void *context, const char *data, size_t bytes, uint64_t *ret_position);
    /* 0 or negative errno. */
    int (*read)(void *context, uint64_t position, size_t offset, char *buffer, size_t bytes);
    void *context;
};

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
    const char *end_reason; /* marker, idle, max_runtime, restarted, died; "" while the task runs */
    const char *end_detail; /* died: how, for people; otherwise "" */
    bool complete; /* the end marker was seen, it told of no `unsent` lines, and none is missing */
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
    uint64_t run;      /* the position of the line that started it, in the spool */
    int64_t end_chars; /* how many characters the log has with this result (FINAL and LATE) */
    uint32_t omitted;  /* refused lines that the log's end tells of, and the spool does not yet */
    int64_t position; /* source_position of its last line, odd if it has ended; or TASKLOG_ABSENT */
};

void tasklog_result_view(const struct tasklog_result *result, struct tasklog_report *ret_report);

/* The log's text (RESULT_LATE: what is to be appended): its size, and a copy into `buffer`, which must
 * hold that many bytes; no NUL is added. `spill` reads what is not in memory; NULL if nothing ever left
 * it. Text that cannot be read is question marks in the copy; then the answer is a negative errno. */
size_t tasklog_result_log_bytes(const struct tasklog_result *result);
int tasklog_result_log_copy(const struct tasklog_result *result, const struct tasklog_spill *spill,
                            char *buffer);

/* The counters as a JSON object, `{"tables": 12}`, in the order in which they first came, and `{}` if
 * there are none. Works like snprintf: returns the length that was needed, always terminates. */
size_t tasklog_result_counters(const struct tasklog_result *result, char *buffer,
                               size_t buffer_bytes);

/* What the result holds in memory, in bytes. */
size_t tasklog_result_memory(const struct tasklog_result *result);

/* The database has it, or never will: the spool need not keep its lines any longer. Before this, a
 * result that came from a table may only be freed with the table's lock held. */
void tasklog_result_unpin(struct tasklog_result *result);

/* The spool, from which lines are taken again after a crash, does not know that the run has ended: the line that
 * ended it has no position there, or the decision could not be written. */
bool tasklog_result_end_is_unkept(const struct tasklog_result *result);
void tasklog_result_set_end_unkept(struct tasklog_result *result);

/* Gives the memory of its log back; it cannot be written any more. */
void tasklog_result_drop_log(struct tasklog_result *result);

/* Takes NULL. */
void tasklog_result_free(struct tasklog_result *result);

/* Results in the order in which they are to be written. Zero-initialise it. The list owns them. */
struct tasklog_results {
    struct tasklog_result *first;
    struct tasklog_result *last;
    struct tasklog_result *unspilled; /* those before it have nothing left to spill */
    size_t count;
    size_t memory_bytes;
};

void tasklog_results_push(struct tasklog_results *results, struct tasklog_result *result);
struct tasklog_result *tasklog_results_next(const struct tasklog_result *result); /* or NULL */
struct tasklog_result *tasklog_results_pop(struct tasklog_results *results); /* NULL when empty */
/* Puts what was popped back to the front; to keep the order, the last one popped goes first. */
void tasklog_results_unpop(struct tasklog_results *results, struct tasklog_result *result);
/* Moves all of `from` behind the last of `results`; `from` is empty then. */
void tasklog_results_append(struct tasklog_results *results, struct tasklog_results *from);
void tasklog_results_clear(struct tasklog_results *results); /* frees what is in it */
/* Moves text out of memory until about `want_bytes` have been given back. Returns how many were: 0 if
 * there was nothing to move, or it could not be. */
size_t tasklog_results_spill(struct tasklog_results *results, const struct tasklog_spill *spill,
                             size_t want_bytes);
/* Frees the results of a run that the database is known to have: those of this type up to that many
 * characters of log. */
void tasklog_results_remove(struct tasklog_results *results, uint64_t run,
                            enum tasklog_result_type type, int64_t end_chars);

#endif
