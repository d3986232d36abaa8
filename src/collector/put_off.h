/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results that the database has put off, so that others need not wait for them: in groups that have the
 * same keys, for those must be written in order. Groups stand in one of two lines:
 *
 *     busy   a locked row and the like: many are tried together, soon and often
 *     slow   a statement that takes long: one at a time, each time with more patience, and with a long
 *            rest in between, for everybody else waits meanwhile
 *
 * A group is named by a hash of its keys: two that share one wait for each other, which is harmless.
 * It has no lock; the collector's covers it. It knows no store and no clock.
 */
#ifndef TASKLOG_SRC_PUT_OFF_H
#define TASKLOG_SRC_PUT_OFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasklog/result.h"

enum put_off_why { PUT_OFF_BUSY, PUT_OFF_SLOW, PUT_OFF_LINES };
enum { PUT_OFF_GROUPS_MAX = 8192, PUT_OFF_SLOTS = 4096 };

struct put_off_group {
    struct put_off_group *beside; /* in its slot */
    struct put_off_group *behind; /* in its line */
    uint64_t keys;
    struct tasklog_results results;
    enum put_off_why why;
    int64_t since_ms; /* when the first of its results came to wait */
    int patience_ms;  /* of a slow one: what was not enough; 0 = none was given yet */
};

/* Zero-initialise it. */
struct put_off {
    struct put_off_group *slots[PUT_OFF_SLOTS];
    struct {
        struct put_off_group *first;
        struct put_off_group *last;
    } lines[PUT_OFF_LINES];
    size_t group_count;
    size_t count; /* of results; likewise: */
    size_t memory_bytes;
    bool spilled; /* there is nothing left to move out of memory */
};

/* The group of these keys, or NULL. */
struct put_off_group *put_off_find(const struct put_off *put_off, uint64_t keys);

/* The group of these keys, which is made if there is none and then stands in no line: put_off_line
 * does that. NULL for want of memory or of room. */
struct put_off_group *put_off_group(struct put_off *put_off, uint64_t keys, int64_t since_ms);

/* Puts a result behind the others of its group. What is shown of a running task gives way to what is newer. */
void put_off_push(struct put_off *put_off, struct put_off_group *group,
                  struct tasklog_result *result);

/* Takes the first group out of a line, or the first result out of a group; NULL if there is none. */
struct put_off_group *put_off_next(struct put_off *put_off, enum put_off_why why);
struct tasklog_result *put_off_pop(struct put_off *put_off, struct put_off_group *group);

/* Puts a result back before the others; of several the last one first. */
void put_off_unpop(struct put_off *put_off, struct put_off_group *group,
                   struct tasklog_result *result);

/* Puts a group that is in no line to the end of that of its `why`; one that is empty is freed. */
void put_off_line(struct put_off *put_off, struct put_off_group *group);

/* Since when the oldest has waited, or INT64_MAX. */
int64_t put_off_since_ms(const struct put_off *put_off);

/* As tasklog_results_spill. */
size_t put_off_spill(struct put_off *put_off, const struct tasklog_spill *spill, size_t want_bytes);

/* Moves all results behind those of `results`, and frees the groups, which must all be in a line. */
void put_off_empty(struct put_off *put_off, struct tasklog_results *results);

#endif
