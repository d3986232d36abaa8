/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the soak's tasks log. All of a task follows from (seed, sender, number) and the microsecond in which it
 * began, and these stand in its id: whoever sees its row can tell every byte that must be in it, without a
 * book of what was sent.
 *
 *     index   0 … lines-1   lines, progress, and some that are dropped
 *             lines         the end
 *             lines+1 …     lines after the end
 *
 * A line's time is not the clock's but the task's beginning and a step a line, so that it is known, too; the
 * end's is the clock's. No time is a whole second, for then a line that is sent again cannot be told
 * from a second one that is alike.
 */
#ifndef TESTS_SOAK_PLAN_H
#define TESTS_SOAK_PLAN_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../bench/words.h"

enum {
    SENDERS_MAX = 8,
    PLAN_ID_BYTES = 64,
    PLAN_TEXT_BYTES = 24 * 1024,
    SEVERITY_ERR = 3,
    SEVERITY_WARNING = 4,
    SEVERITY_INFO = 6,
    SEVERITY_DEBUG = 7,
};

enum plan_end { END_PLAIN, END_COUNTS, END_TEXT, END_FAILED, END_STATUS, PLAN_ENDS };

struct plan {
    unsigned sender;
    uint64_t number;
    uint64_t random;
    int64_t start_us;
    unsigned lines; /* messages before the end */
    unsigned late;  /* after it */
    unsigned step_us;
    enum plan_end end;
};

struct plan_line {
    int severity;
    bool is_control;
    bool is_dropped; /* below the level */
    size_t sent_bytes, kept_bytes;
    const char *sent; /* what is logged */
    const char *kept; /* and what the row has of it: borrowed */
};

static inline uint64_t plan_mix(uint64_t value)
{
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static inline uint64_t plan_random(uint64_t seed, unsigned sender, uint64_t number)
{
    return plan_mix(plan_mix(seed * SENDERS_MAX + sender) ^ number);
}

/* Which of the two databases it goes to. */
static inline unsigned plan_target(uint64_t random)
{
    return random >> 63;
}

static inline const char *plan_kind(unsigned target)
{
    return target == 0 ? "lite" : "post";
}

/* Rounded so that no line's time is a whole second. */
static inline int64_t plan_start(int64_t now_us)
{
    int64_t ms = now_us / 1000;

    return (ms % 1000 < 900 ? ms : ms - 100) * 1000 + 7;
}

static inline int64_t plan_end_us(int64_t now_us)
{
    return now_us % 1000000 < 20 || now_us % 1000000 > 999000 ? now_us + 2000 : now_us;
}

static inline void plan_task(uint64_t seed, unsigned sender, uint64_t number, int64_t start_us,
                             struct plan *plan)
{
    uint64_t random = plan_random(seed, sender, number);
    unsigned size = random % 1000, more = (unsigned)(random >> 10) & 0xffff;

    *plan =
        (struct plan){.sender = sender, .number = number, .random = random, .start_us = start_us};
    if (size < 700)
        plan->lines = 1 + more % 120;
    else if (size < 950)
        plan->lines = 100 + more % 500;
    else if (size < 998)
        plan->lines = 1000 + more % 3000;
    else
        plan->lines = 20000 + more % 20000;
    plan->late = (random >> 32) % 100 < 3 ? 1 + (random >> 40) % 3 : 0;
    plan->step_us = plan->lines < 200 ? 1000 * (1 + (unsigned)(random >> 45) % 50) : 1;
    plan->end = (enum plan_end)((random >> 52) % 16);
    if (plan->end >= PLAN_ENDS)
        plan->end = END_PLAIN;
}

static inline size_t plan_id(const struct plan *plan, char id[PLAN_ID_BYTES])
{
    return (size_t)snprintf(id, PLAN_ID_BYTES, "run-%u.%" PRIu64 ".%" PRIx64, plan->sender,
                            plan->number, (uint64_t)plan->start_us);
}

static inline bool plan_read_id(const char *id, unsigned *ret_sender, uint64_t *ret_number,
                                int64_t *ret_start_us)
{
    uint64_t start = 0;

    if (sscanf(id, "run-%u.%" SCNu64 ".%" SCNx64, ret_sender, ret_number, &start) != 3)
        return false;
    *ret_start_us = (int64_t)start;
    return *ret_sender < SENDERS_MAX;
}

static inline bool plan_has_counts(const struct plan *plan)
{
    return plan->end == END_COUNTS || plan->end == END_FAILED;
}

/* Before this message one is sent that is no task's. */
static inline bool plan_has_noise(const struct plan *plan, unsigned index)
{
    return plan_mix(plan->random + index) % 2048 == 0;
}

/* Of the end only the clock knows it: see plan_end_us(). */
static inline int64_t plan_time_us(const struct plan *plan, unsigned index, int64_t end_us)
{
    return index < plan->lines ? plan->start_us + (int64_t)index * plan->step_us
                               : end_us + (index - plan->lines);
}

struct plan_odd {
    const char *sent;
    size_t sent_bytes;
    const char *kept;
};

#define PLAN_ODD(sent, kept)         \
    {                                \
        sent, sizeof(sent) - 1, kept \
    }
static const struct plan_odd plan_odd[] = {
    PLAN_ODD("nul \0 in it", "nul \xef\xbf\xbd in it"),
    PLAN_ODD("bad \xff\xfe bytes", "bad \xef\xbf\xbd\xef\xbf\xbd bytes"),
    PLAN_ODD("cut \xf0\x9f\x8e", "cut \xef\xbf\xbd"),
    PLAN_ODD("surrogates \xed\xa0\xbd", "surrogates \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
    PLAN_ODD("\x1b[31mred\x1b[0m \x07 bell", "\x1b[31mred\x1b[0m \x07 bell"),
    PLAN_ODD("'); DROP TABLE app_task; --", "'); DROP TABLE app_task; --"),
    PLAN_ODD("<script>alert(1)</script> \\ \" %s %n", "<script>alert(1)</script> \\ \" %s %n"),
    PLAN_ODD("\xc3\xbc\tand\nmore\n\n  lines \xf0\x9f\x90\x8d",
             "\xc3\xbc\tand\nmore\n\n  lines \xf0\x9f\x90\x8d"),
    PLAN_ODD(
        "Traceback (most recent call last):\n  File \"job.py\", line 7, in run\n    load(rows)\n"
        "ValueError: '\xc3\xa4' is not a number",
        "Traceback (most recent call last):\n  File \"job.py\", line 7, in run\n    load(rows)\n"
        "ValueError: '\xc3\xa4' is not a number"),
    PLAN_ODD("@tasks are no control lines", "@tasks are no control lines"),
};

static inline void plan_end_line(const struct plan *plan, struct plan_line *line, char *buffer)
{
    static const char *const forms[] = {
        [END_PLAIN] = "@task end",
        [END_COUNTS] = "@task end processed=%u failed=0 total=%u rows=7",
        [END_TEXT] = "@task end text=\"that was all\"",
        [END_FAILED] = "@task end processed=%u failed=3 total=%u",
        [END_STATUS] = "@task end status=PARTIAL rows=7",
    };
    line->is_control = true;
    line->sent = buffer;
    line->sent_bytes =
        (size_t)snprintf(buffer, PLAN_TEXT_BYTES, forms[plan->end], plan->lines, plan->lines);
    line->kept = "that was all";
    line->kept_bytes = plan->end == END_TEXT ? strlen(line->kept) : 0;
}

/* The text of a message; `buffer` holds PLAN_TEXT_BYTES. */
static inline void plan_line(const struct plan *plan, unsigned index, struct plan_line *line,
                             char *buffer)
{
    static const char same[] = "the same again and again";
    uint64_t random = plan_mix(plan->random ^ ((uint64_t)index << 20));
    unsigned choice = random % 10000, more = (unsigned)(random >> 20) & 0xffff;

    *line = (struct plan_line){.severity = SEVERITY_INFO, .sent = buffer};
    if (index == plan->lines) {
        plan_end_line(plan, line, buffer);
        return;
    }
    if (choice < 30) {
        const struct plan_odd *odd = &plan_odd[more % (sizeof(plan_odd) / sizeof(*plan_odd))];
        line->sent = odd->sent;
        line->sent_bytes = odd->sent_bytes;
        line->kept = odd->kept;
        line->kept_bytes = strlen(odd->kept);
    } else if (choice < 130) {
        line->sent = same;
        line->sent_bytes = sizeof(same) - 1;
    } else if (choice < 132) {
        line->sent_bytes = (size_t)sprintf(buffer, "line %u ", index);
        memset(buffer + line->sent_bytes, 'x', 20000);
        line->sent_bytes += 20000;
    } else if (choice < 160 && plan_has_counts(plan) && index < plan->lines) {
        line->is_control = true;
        line->sent_bytes = (size_t)sprintf(buffer, "@task progress processed=%u", index);
    } else {
        line->sent_bytes = words_line((unsigned long)plan->number, index, more % 120, buffer);
    }
    if (!line->kept && !line->is_control) {
        line->kept = line->sent;
        line->kept_bytes = line->sent_bytes;
    }
    if (choice >= 9800 && !line->is_control && index < plan->lines) {
        line->severity = SEVERITY_DEBUG;
        line->is_dropped = true;
        line->kept_bytes = 0;
    } else if (choice >= 9600) {
        line->severity = SEVERITY_WARNING;
    } else if (choice >= 9500 || choice < 10) {
        line->severity = SEVERITY_ERR;
    }
}

#endif
