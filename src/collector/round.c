/* SPDX-License-Identifier: Apache-2.0 */
/* What the writer takes and puts back; see the header. */
#include "round.h"

#include "row.h"

enum {
    LOOKS_MAX = 16 * ROUND_ROWS_MAX, /* at results of the queue that only join a group */
    BUSY_FIRST_MS = 100,
    BUSY_MOST_MS = 1000,
    BUSY_SHARE = 4, /* the database's time goes to others so many times as long */
    SLOW_LEAST_MS = 1000,
    SLOW_SHARE = 10,
    SLOW_PATIENCE_MAX_MS = 15000,
    STOPPING_MS = 200,
};

static bool is_due(const struct round *round, const struct tasklog_collector *collector,
                   enum put_off_why why, int64_t now_ms)
{
    return collector->put_off.lines[why].first && now_ms >= round->pauses[why].until_ms;
}

int64_t round_due_ms(const struct round *round, const struct tasklog_collector *collector)
{
    int64_t due_ms = INT64_MAX;

    for (int why = 0; why < PUT_OFF_LINES; why++)
        if (collector->put_off.lines[why].first && round->pauses[why].until_ms < due_ms)
            due_ms = round->pauses[why].until_ms;
    return due_ms;
}

void round_hurry(struct round *round, int64_t now_ms)
{
    for (int why = 0; why < PUT_OFF_LINES; why++)
        if (round->pauses[why].until_ms > now_ms)
            round->pauses[why].until_ms = now_ms;
}

/* The queue and the lines take turns; at a stop the queue goes first. */
static enum round_source choose(const struct round *round,
                                const struct tasklog_collector *collector, int64_t now_ms)
{
    bool busy = is_due(round, collector, PUT_OFF_BUSY, now_ms);
    bool slow = is_due(round, collector, PUT_OFF_SLOW, now_ms);
    bool others_turn = round->source == ROUND_QUEUE && !collector->stopping;

    if ((!busy && !slow) || (collector->queue.first && !others_turn))
        return ROUND_QUEUE;
    if (busy && slow)
        return round->line == ROUND_BUSY ? ROUND_SLOW : ROUND_BUSY;
    return busy ? ROUND_BUSY : ROUND_SLOW;
}

static void add(struct round *round, struct tasklog_collector *collector,
                struct tasklog_result *result, size_t *bytes, int64_t since_ms)
{
    size_t memory_bytes = tasklog_result_memory(result);
    size_t log_bytes = tasklog_result_log_bytes(result); /* that of a log in the spool is greater */

    round->results[round->count++] = result;
    *bytes += log_bytes > memory_bytes ? log_bytes : memory_bytes;
    collector->writing_bytes += memory_bytes;
    if (since_ms < collector->writing_since_ms)
        collector->writing_since_ms = since_ms;
}

static bool has_room(const struct round *round, size_t bytes)
{
    return round->count < round->limit && bytes < ROUND_BYTES_MAX;
}

/* Results whose keys have been put off go behind those. */
static void take_queue(struct round *round, struct tasklog_collector *collector)
{
    size_t bytes = 0;

    for (int looks = 0; looks < LOOKS_MAX && has_room(round, bytes) && collector->queue.first;
         looks++) {
        int64_t since_ms = age_since_ms(&collector->age, collector->queue_left++);
        struct tasklog_result *result = tasklog_results_pop(&collector->queue);
        uint64_t keys = row_keys(collector->config, result);
        struct put_off_group *group = put_off_find(&collector->put_off, keys);
        if (group) {
            put_off_push(&collector->put_off, group, result);
            continue;
        }
        round->groups[round->count] = NULL;
        round->keys[round->count] = keys;
        round->since_ms[round->count] = since_ms;
        add(round, collector, result, &bytes, since_ms);
    }
}

static void take_line(struct round *round, struct tasklog_collector *collector)
{
    enum put_off_why why = round->source == ROUND_SLOW ? PUT_OFF_SLOW : PUT_OFF_BUSY;
    size_t most = why == PUT_OFF_SLOW ? 1 : round->limit, bytes = 0;
    struct put_off_group *group;

    while (round->count < most && has_room(round, bytes) &&
           (group = put_off_next(&collector->put_off, why)) != NULL) {
        while (round->count < most && has_room(round, bytes) && group->results.first) {
            round->groups[round->count] = group;
            add(round, collector, put_off_pop(&collector->put_off, group), &bytes, group->since_ms);
        }
        if (group->patience_ms > round->patience_ms)
            round->patience_ms = group->patience_ms;
    }
}

void round_take(struct round *round, struct tasklog_collector *collector, int64_t now_ms)
{
    round->source = choose(round, collector, now_ms);
    round->count = 0;
    round->patience_ms = ROUND_PATIENCE_MS;
    collector->writing_bytes = 0;
    if (round->source == ROUND_QUEUE) {
        age_forget(&collector->age, collector->queue_left);
        take_queue(round, collector);
    } else {
        round->line = round->source;
        take_line(round, collector);
    }
    collector->writing_count = round->count;
}

bool round_is_put_off(const struct round *round, size_t i)
{
    return round->results[i] && round->outcomes[i].verdict == TASKLOG_LATER &&
           round->outcomes[i].cause != TASKLOG_UNTRIED;
}

static bool is_slow(const struct round *round, size_t i)
{
    return round_is_put_off(round, i) && round->outcomes[i].cause == TASKLOG_SLOW;
}

static void be_more_patient(struct put_off_group *group)
{
    int patience_ms = group->patience_ms ? group->patience_ms : ROUND_PATIENCE_MS;

    group->why = PUT_OFF_SLOW;
    group->patience_ms =
        patience_ms < SLOW_PATIENCE_MAX_MS / 2 ? 2 * patience_ms : SLOW_PATIENCE_MAX_MS;
}

/* From the queue to a group: what was put off, and what is behind it. False if there is no room. */
static bool put_off(struct round *round, struct tasklog_collector *collector, size_t i,
                    int64_t now_ms)
{
    struct put_off_group *group = put_off_find(&collector->put_off, round->keys[i]);

    if (!group && !round_is_put_off(round, i))
        return true;
    if (group) {
        put_off_push(&collector->put_off, group, round->results[i]);
    } else {
        group = put_off_group(&collector->put_off, round->keys[i], round->since_ms[i]);
        if (!group)
            return false;
        if (is_slow(round, i))
            be_more_patient(group);
        if (!collector->put_off.lines[group->why].first) {
            round->pauses[group->why].delay_ms = BUSY_FIRST_MS;
            round->pauses[group->why].until_ms =
                now_ms + (group->why == PUT_OFF_SLOW ? SLOW_LEAST_MS : BUSY_FIRST_MS);
        }
        put_off_push(&collector->put_off, group, round->results[i]);
        put_off_line(&collector->put_off, group);
    }
    round->results[i] = NULL;
    return true;
}

static bool return_queue(struct round *round, struct tasklog_collector *collector, bool is_judged,
                         int64_t now_ms)
{
    bool is_full = false;

    for (size_t i = 0; is_judged && i < round->count; i++)
        if (round->results[i] && !put_off(round, collector, i, now_ms))
            is_full = true;
    for (size_t i = round->count; i-- > 0;) {
        if (!round->results[i])
            continue;
        tasklog_results_unpop(&collector->queue, round->results[i]);
        collector->queue_left--;
    }
    return is_full;
}

/* How long the line rests, so that what cannot be written does not use up the time of the others. */
static void pause_line(struct round *round, enum put_off_why why, bool put_off_again, bool got_on,
                       int64_t took_ms, int64_t now_ms)
{
    int64_t rest_ms = 0, delay_ms = 0;

    if (put_off_again && why == PUT_OFF_SLOW) {
        delay_ms = SLOW_LEAST_MS;
        rest_ms = SLOW_SHARE * took_ms;
    } else if (put_off_again) {
        delay_ms = got_on ? BUSY_FIRST_MS : 2 * round->pauses[why].delay_ms;
        delay_ms = delay_ms < BUSY_MOST_MS ? delay_ms : BUSY_MOST_MS;
        rest_ms = BUSY_SHARE * took_ms;
    }
    round->pauses[why].delay_ms = delay_ms > 0 ? delay_ms : BUSY_FIRST_MS;
    round->pauses[why].until_ms = now_ms + (rest_ms > delay_ms ? rest_ms : delay_ms);
}

static void return_line(struct round *round, struct tasklog_collector *collector, bool is_judged,
                        int64_t took_ms, int64_t now_ms)
{
    bool put_off_again = false, got_on = false;

    for (size_t i = round->count; i-- > 0;) {
        put_off_again = put_off_again || round_is_put_off(round, i);
        got_on = got_on || !round->results[i];
        if (round->results[i])
            put_off_unpop(&collector->put_off, round->groups[i], round->results[i]);
    }
    for (size_t i = 0; i < round->count;) {
        struct put_off_group *group = round->groups[i];
        bool slow = false;
        for (; i < round->count && round->groups[i] == group; i++)
            slow = slow || is_slow(round, i);
        if (is_judged && slow) {
            if (!collector->put_off.lines[PUT_OFF_SLOW].first)
                round->pauses[PUT_OFF_SLOW].until_ms = now_ms + SLOW_LEAST_MS;
            be_more_patient(group);
        } else if (is_judged) {
            group->why = PUT_OFF_BUSY;
            group->patience_ms = 0;
        }
        put_off_line(&collector->put_off, group);
    }
    if (is_judged)
        pause_line(round, round->source == ROUND_SLOW ? PUT_OFF_SLOW : PUT_OFF_BUSY, put_off_again,
                   got_on, took_ms, now_ms);
}

bool round_return(struct round *round, struct tasklog_collector *collector, bool is_judged,
                  int64_t took_ms, int64_t now_ms)
{
    bool is_full = false;

    if (round->source == ROUND_QUEUE)
        is_full = return_queue(round, collector, is_judged, now_ms);
    else
        return_line(round, collector, is_judged, took_ms, now_ms);
    round->count = 0;
    collector->writing_count = collector->writing_bytes = 0;
    collector->writing_since_ms = INT64_MAX;
    if (collector->stopping)
        round_hurry(round, now_ms + STOPPING_MS);
    return is_full;
}
