/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a result: one run of a task, as it gathers. The task table fills it while the task is open
 * and gives it away, as a result, when the task has ended.
 *
 * There may be a million open runs, most of which do nothing but log: what only some need, or only those
 * that have ended, is made when it is needed.
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
#include "tasklog/table.h"

enum { RUN_LINES_BITS = 40, RUN_BYTES_BITS = 49 };

enum run_end { RUN_OPEN, RUN_MARKER, RUN_IDLE, RUN_MAX_RUNTIME, RUN_RESTARTED, RUN_DIED };

enum {
    FIRST_ERROR_BYTES_MAX = 255,
    RUN_SUMMARY_BYTES_MAX = CONTROL_COUNTERS_MAX * (CONTROL_NAME_BYTES_MAX + 32) + 512
};

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

/* Made when something is reported, for the first warning or error, and if lines tell their origin, who sent
 * them or their position in a source. */
struct run_extra {
    int64_t processed; /* TASKLOG_ABSENT if not reported; likewise: */
    int64_t failed;
    int64_t total;
    int64_t warnings;
    int64_t errors;
    char *first_error; /* or NULL */
    struct run_counter *counters;
    size_t counter_count;
    struct tasklog_process process;
    char *origin;            /* of the last line that had one, or NULL; a copy has none */
    uint64_t peer;           /* who began the run; 0 = not known */
    int64_t source_position; /* of its last line; 0 = there is none, nor had its first one any */
    uint32_t omitted;        /* refused lines of it that its log does not tell of yet */
    uint32_t omitted_new;    /* more of them, of which the spool knows nothing either */
    uint32_t omitted_end;    /* of the latter, those that the log tells of at its end */
};

/* Made at the end. */
struct run_ended {
    int64_t end_us;
    int64_t append_at; /* of a late result; otherwise -1 */
    int64_t
        end_chars; /* how long the log is in the database, with this result (a task's: with its last) */
    char text[]; /* status NUL summary NUL detail NUL */
};

struct tasklog_result {
    struct run_pin pin;
    struct tasklog_result *next; /* in a list of results; a task's: in a chain of the index */
    uint64_t run;                /* names it in the spool: where the line that started it lies */
    int64_t start_us;
    uint64_t lines
        : RUN_LINES_BITS; /* 12 days at a million a second; in two words, so that it takes less: */
    uint64_t hash_bits : 10; /* a task's: for the index */
    uint64_t kind_bytes : 6;
    uint64_t id_bytes : 8;
    uint64_t bytes : RUN_BYTES_BITS; /* half a petabyte */
    uint64_t names_at : 8;   /* where its names are, counted from here: kind NUL id NUL host NUL */
    uint64_t type : 2;       /* enum tasklog_result_type */
    uint64_t end : 3;        /* enum run_end */
    uint64_t missing : 1;    /* a line of it is not in the log */
    uint64_t end_unkept : 1; /* it has ended, and the spool does not know */
    struct run_extra *extra; /* or NULL */
    union {
        struct run_ended *ended; /* if `end` says so */
        int64_t shown_us;        /* of an open run that is shown: when */
    };
    struct logbuf log;
};

static inline const char *run_kind(const struct tasklog_result *run)
{
    return (const char *)run + run->names_at;
}

static inline const char *run_id(const struct tasklog_result *run)
{
    return run_kind(run) + run->kind_bytes + 1;
}

static inline const char *run_host(const struct tasklog_result *run)
{
    return run_id(run) + run->id_bytes + 1;
}

static inline const char *run_status(const struct tasklog_result *run)
{
    return run->end == RUN_OPEN ? "RUNNING" : run->ended->text;
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

/* A run that starts with this line (which is not yet taken), as the first member of a struct of so many
 * bytes, all else of which is zero; or NULL for want of memory. The run's names lie behind that struct, and
 * tasklog_result_free frees all of it. */
struct tasklog_result *run_new(size_t struct_bytes, const struct tasklog_line *line);

/* A copy of everything but the log, which is empty; NULL for want of memory. */
struct tasklog_result *run_copy(const struct tasklog_result *run);

/* Makes the run what `after`, a copy of it with more to say, is, but for log and names. Frees `after`. */
void run_become(struct tasklog_result *run, struct tasklog_result *after);

/* Takes over what a control line reports, its status not among it. It is all or nothing: 0 (with
 * control->unreadable set if there were too many counters), or -ENOMEM. */
int run_report(struct tasklog_result *run, struct control *control)
    __attribute__((warn_unused_result));

/* Makes sure that a message can be counted, and remembers the first line of the first error, which
 * `run_forget_first_error` takes back. 0 or -ENOMEM. */
int run_reserve_message(struct tasklog_result *run, int severity, const char *text, size_t bytes)
    __attribute__((warn_unused_result));
void run_count_message(struct tasklog_result *run, int severity, size_t bytes);
bool run_has_first_error(const struct tasklog_result *run);
void run_forget_first_error(struct tasklog_result *run);

/* What the run reported, was warned of and failed in: all zero or absent if there is nothing. */
struct run_extra run_extra_of(const struct tasklog_result *run);

/* Makes run->extra if there is none. 0 or -ENOMEM. */
int run_need_extra(struct tasklog_result *run) __attribute__((warn_unused_result));

/* Ends the run: end, time, and as text the status, what the run has to say of itself in one line, and the
 * detail of the end. If it had an end before, this one takes its place. 0 or -ENOMEM. */
int run_finish(struct tasklog_result *run, enum run_end end, int64_t end_us, const char *status,
               const char *detail) __attribute__((warn_unused_result));

/* The line of a run that has ended; "" while it runs. */
const char *run_summary(const struct tasklog_result *run);
const char *run_detail(const struct tasklog_result *run);

static inline uint64_t run_peer(const struct tasklog_result *run)
{
    return run->extra ? run->extra->peer : 0;
}

static inline void run_set_source_position(struct tasklog_result *run, int64_t position)
{
    if (run->extra)
        run->extra->source_position = position;
}

static inline const char *run_origin(const struct tasklog_result *run)
{
    return run->extra && run->extra->origin ? run->extra->origin : "";
}

/* Remembers where a line came from; without memory for that, where an earlier one did. */
void run_set_origin(struct tasklog_result *run, const char *origin, size_t bytes);

/* How long it has taken, or had when it was shown. Never negative, though clocks may be. */
int64_t run_duration_us(const struct tasklog_result *run);

#endif
