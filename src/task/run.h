/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a result: one run of a task, as it gathers. The task table owns and fills it while
 * the task is open and gives it away, as a result, when the task has ended.
 */
#ifndef TASKLOG_SRC_RUN_H
#define TASKLOG_SRC_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.h"
#include "logbuf.h"
#include "tasklog/line.h"
#include "tasklog/result.h"

enum run_end { RUN_OPEN, RUN_MARKER, RUN_IDLE, RUN_MAX_RUNTIME, RUN_RESTARTED };

enum { FIRST_ERROR_BYTES_MAX = 255 };

struct run_counter {
    char *name;
    int64_t value;
};

/* A place in the table's list of all that the spool must keep, in the order of its positions. */
struct run_pin {
    struct run_pin *prev;
    struct run_pin *next; /* NULL: in no list */
    uint64_t position;
};

struct tasklog_result {
    struct run_pin pin;
    struct tasklog_result *next; /* in a list of results */
    enum tasklog_result_type type;
    enum run_end end;
    bool missing; /* a line of it is not in the log */
    char status[CONTROL_STATUS_BYTES_MAX + 1];
    int64_t start_us;
    int64_t end_us;      /* TASKLOG_ABSENT while it runs */
    int64_t duration_us; /* as of the end, or of the moment it was shown */
    int64_t processed;
    int64_t failed;
    int64_t total;
    int64_t lines;
    int64_t bytes;
    int64_t warnings;
    int64_t errors;
    int64_t append_at;
    int64_t end_chars;
    uint64_t run;      /* names it in the spool: where the line that started it lies */
    char *first_error; /* or NULL */
    char *summary;     /* or NULL */
    struct run_counter *counters;
    size_t counter_count;
    struct logbuf log;
    uint16_t kind_bytes;
    uint16_t id_bytes;
    char names[]; /* kind NUL id NUL host NUL */
};

static inline const char *run_kind(const struct tasklog_result *run)
{
    return run->names;
}

static inline const char *run_id(const struct tasklog_result *run)
{
    return run->names + run->kind_bytes + 1;
}

static inline const char *run_host(const struct tasklog_result *run)
{
    return run_id(run) + run->id_bytes + 1;
}

static inline void run_pin_before(struct run_pin *at, struct run_pin *pin)
{
    pin->prev = at->prev;
    pin->next = at;
    at->prev->next = pin;
    at->prev = pin;
}

static inline void run_unpin(struct run_pin *pin)
{
    if (!pin->next)
        return;
    pin->prev->next = pin->next;
    pin->next->prev = pin->prev;
    pin->prev = pin->next = NULL;
}

/* Lets another result of the same run hold the spool's lines, too. */
static inline void run_pin_beside(struct tasklog_result *run, struct tasklog_result *other)
{
    other->pin.position = run->pin.position;
    if (run->pin.next)
        run_pin_before(&run->pin, &other->pin);
}

/* A run that starts with this line (which is not yet taken), or NULL for want of memory. */
struct tasklog_result *run_new(const struct tasklog_line *line);

/* A copy of everything but the log, which is empty; NULL for want of memory. */
struct tasklog_result *run_copy(const struct tasklog_result *run);

/* Takes over what a control line reports, its status not among it. It is all or nothing: 0 (with
 * control->unreadable set if there were too many counters), or -ENOMEM. */
int run_report(struct tasklog_result *run, struct control *control)
    __attribute__((warn_unused_result));

/* Remembers the first error's first line; later ones change nothing. 0 or -ENOMEM. */
int run_first_error(struct tasklog_result *run, const char *text, size_t bytes)
    __attribute__((warn_unused_result));

/* What the run has to say of itself in one line, by its status, counts and end_us, without a time
 * stamp; to be freed; NULL for want of memory. */
char *run_summary(const struct tasklog_result *run);

/* From its start to `end_us`; never negative, though clocks may be. */
int64_t run_duration_us(const struct tasklog_result *run, int64_t end_us);

#endif
