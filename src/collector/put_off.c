/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of results that wait for their rows; see the header. */
#include "put_off.h"

#include <stdlib.h>

static struct put_off_group **slot_of(struct put_off *put_off, uint64_t keys)
{
    return &put_off->slots[keys % PUT_OFF_SLOTS];
}

struct put_off_group *put_off_find(const struct put_off *put_off, uint64_t keys)
{
    struct put_off_group *group = put_off->slots[keys % PUT_OFF_SLOTS];

    while (group && group->keys != keys)
        group = group->beside;
    return group;
}

struct put_off_group *put_off_group(struct put_off *put_off, uint64_t keys, int64_t since_ms)
{
    struct put_off_group **slot = slot_of(put_off, keys);
    struct put_off_group *group = put_off_find(put_off, keys);

    if (group || put_off->group_count == PUT_OFF_GROUPS_MAX)
        return group;
    group = calloc(1, sizeof(*group));
    if (!group)
        return NULL;
    group->keys = keys;
    group->since_ms = since_ms;
    group->beside = *slot;
    *slot = group;
    put_off->group_count++;
    return group;
}

static void count_again(struct put_off *put_off, const struct put_off_group *group,
                        const struct tasklog_results *before)
{
    put_off->count += group->results.count - before->count;
    put_off->memory_bytes += group->results.memory_bytes - before->memory_bytes;
}

void put_off_push(struct put_off *put_off, struct put_off_group *group,
                  struct tasklog_result *result)
{
    const struct tasklog_results before = group->results;
    struct tasklog_report report;

    tasklog_result_view(result, &report);
    if (report.type != TASKLOG_RESULT_LATE) /* it replaces the row as a whole */
        tasklog_results_remove(&group->results, report.run, TASKLOG_RESULT_LIVE, INT64_MAX);
    tasklog_results_push(&group->results, result);
    count_again(put_off, group, &before);
    put_off->spilled = false;
}

struct put_off_group *put_off_next(struct put_off *put_off, enum put_off_why why)
{
    struct put_off_group *group = put_off->lines[why].first;

    if (!group)
        return NULL;
    put_off->lines[why].first = group->behind;
    if (!group->behind)
        put_off->lines[why].last = NULL;
    group->behind = NULL;
    return group;
}

struct tasklog_result *put_off_pop(struct put_off *put_off, struct put_off_group *group)
{
    const struct tasklog_results before = group->results;
    struct tasklog_result *result = tasklog_results_pop(&group->results);

    count_again(put_off, group, &before);
    return result;
}

void put_off_unpop(struct put_off *put_off, struct put_off_group *group,
                   struct tasklog_result *result)
{
    const struct tasklog_results before = group->results;

    tasklog_results_unpop(&group->results, result);
    count_again(put_off, group, &before);
    put_off->spilled = false;
}

static void free_group(struct put_off *put_off, struct put_off_group *group)
{
    struct put_off_group **at = slot_of(put_off, group->keys);

    while (*at != group)
        at = &(*at)->beside;
    *at = group->beside;
    put_off->group_count--;
    free(group);
}

void put_off_line(struct put_off *put_off, struct put_off_group *group)
{
    if (!group->results.first) {
        free_group(put_off, group);
        return;
    }
    if (group->results.unspilled)
        put_off->spilled = false;
    group->behind = NULL;
    if (put_off->lines[group->why].last)
        put_off->lines[group->why].last->behind = group;
    else
        put_off->lines[group->why].first = group;
    put_off->lines[group->why].last = group;
}

int64_t put_off_since_ms(const struct put_off *put_off)
{
    int64_t since_ms = INT64_MAX;

    for (int why = 0; why < PUT_OFF_LINES; why++) {
        const struct put_off_group *group = put_off->lines[why].first;
        for (; group; group = group->behind)
            since_ms = group->since_ms < since_ms ? group->since_ms : since_ms;
    }
    return since_ms;
}

size_t put_off_spill(struct put_off *put_off, const struct tasklog_spill *spill, size_t want_bytes)
{
    size_t freed = 0;

    for (int why = 0; why < PUT_OFF_LINES && !put_off->spilled; why++) {
        struct put_off_group *group = put_off->lines[why].first;
        for (; group && freed < want_bytes; group = group->behind) {
            freed += tasklog_results_spill(&group->results, spill, want_bytes - freed);
            if (group->results.unspilled) /* enough, or it could not be written */
                want_bytes = 0;
        }
        if (group || want_bytes == 0)
            goto finish;
    }
    put_off->spilled = true;
finish:
    put_off->memory_bytes -= freed;
    return freed;
}

void put_off_empty(struct put_off *put_off, struct tasklog_results *results)
{
    for (int why = 0; why < PUT_OFF_LINES; why++) {
        struct put_off_group *group;
        while ((group = put_off_next(put_off, why)) != NULL) {
            tasklog_results_append(results, &group->results);
            free_group(put_off, group);
        }
    }
    put_off->count = put_off->memory_bytes = 0;
}
