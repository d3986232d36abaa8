/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may log, and how much: the users that the kernel vouches for, the task that is another's, and what one
 * sender may take of what all share. A sender is a user or, where the kernel vouches for none, an
 * address; those are told by a hash.
 *
 * What it remembers is bounded: GATE_PEERS_MAX senders, of which one goes that has no open task and is silent
 * when another comes. Senders beyond that count as one together. Pure: it is told the time, has no lock (the
 * collector's covers it), and says nothing.
 */
#ifndef TASKLOG_SRC_GATE_H
#define TASKLOG_SRC_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/line.h"
#include "tasklog/table.h"

enum { GATE_PEERS_MAX = 1024, GATE_REFUSED_MAX = 4096, GATE_WINDOW_MS = 1000 };

struct gate_rules {
    const uint32_t *uids; /* who may log, which also makes a task the user's that began it */
    size_t uid_count;     /* 0 = everybody, and tasks are nobody's */
    int64_t max_tasks;    /* open tasks of a sender; 0 = any number; likewise: */
    int64_t max_rate;     /* lines of a sender in a second */
    int level;            /* what is less severe is dropped anyhow, and is no line here */
};

enum gate_verdict {
    GATE_ADMIT,
    GATE_UNTRUSTED,  /* its sender is none of the users, or is not known */
    GATE_FOREIGN,    /* another user began the task */
    GATE_OVER_TASKS, /* it would begin one task too many */
    GATE_OVER_RATE,  /* one line too many */
    GATE_VERDICTS
};

struct gate;

/* `rules` is copied, and the users must live as long. 0 or -ENOMEM. */
int gate_new(const struct gate_rules *rules, uint64_t seed, struct gate **ret_gate)
    __attribute__((warn_unused_result));
void gate_free(struct gate *gate); /* takes NULL */

/* The sender of a line, as a number; never 0, and the same in each life of the program. */
uint64_t gate_peer(const struct tasklog_line *line);

/*
 * Judges a line. Root may log into every task, if root may log at all. Control lines have
 * a rate of their own, as high as that of others, and the end of a running task is beyond it: who logs too
 * much loses lines, not the end.
 */
enum gate_verdict gate_judge(struct gate *gate, const struct tasklog_line *line,
                             const struct tasklog_sight *sight, int64_t now_ms);

/* How many lines of a task were refused before this one, which begins it, as far as that is known. It is
 * forgotten with the answer. */
uint32_t gate_refused_before(struct gate *gate, const struct tasklog_line *line);

/* For the table: a run of the sender has begun (1), or ended (-1). `context` is the gate. */
void gate_census(void *context, uint64_t peer, int change);

#endif
