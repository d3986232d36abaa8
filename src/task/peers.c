/* SPDX-License-Identifier: Apache-2.0 */
/* Who began a task, and what was refused of it. Who may do what is decided elsewhere. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "body.h"
#include "tasklog/table.h"

enum { TOLD_BYTES = 120 };

void tasklog_table_set_census(struct tasklog_table *table, tasklog_table_census *census,
                              void *context)
{
    table->census = census;
    table->census_context = context;
}

void table_count_open(struct tasklog_table *table, const struct task *task, int change)
{
    uint64_t peer = run_peer(&task->run);

    table->open_count += (size_t)change;
    if (peer != 0 && table->census)
        table->census(table->census_context, peer, change);
}

int tasklog_table_look(struct tasklog_table *table, const struct tasklog_line *line,
                       struct tasklog_now now, struct tasklog_sight *ret_sight)
{
    const struct task *task = index_find(&table->index, line);
    int is_control = control_parse(table->env.rules.marker, line->text, line->text_bytes,
                                   &table->closing_buffer, &table->control);
    struct tasklog_sight sight = {.is_control = is_control > 0};

    if (is_control < 0)
        return is_control;
    if (task && task_has_ended(task) && table_window_is_over(table, task, now.mono_ms))
        task = NULL;
    sight.starts = sight.is_control && table->control.verb == CONTROL_START;
    sight.opens = !task || sight.starts;
    if (task) {
        const struct run_extra extra = run_extra_of(&task->run);
        sight.is_running = !task_has_ended(task);
        sight.ends = sight.is_running && sight.is_control && table->control.verb == CONTROL_END;
        sight.peer = extra.peer;
        sight.omitted = extra.omitted;
        sight.omitted_new = extra.omitted_new;
    }
    *ret_sight = sight;
    return 0;
}

int tasklog_table_omit(struct tasklog_table *table, const struct tasklog_line *key, uint32_t count,
                       bool is_kept)
{
    struct task *task = index_find(&table->index, key);

    if (count == 0 || !task || task_has_ended(task))
        return 0;
    int r = run_need_extra(&task->run);
    if (r < 0)
        return r;
    uint32_t *sum = is_kept ? &task->run.extra->omitted : &task->run.extra->omitted_new;
    *sum = *sum > UINT32_MAX - count ? UINT32_MAX : *sum + count;
    task->run.missing = true;
    return 0;
}

int table_tell_omitted(struct tasklog_table *table, struct task *task, uint32_t more,
                       struct tasklog_now now)
{
    const struct run_extra extra = run_extra_of(&task->run);
    unsigned long long count = (unsigned long long)extra.omitted + extra.omitted_new + more;
    char text[TOLD_BYTES];

    snprintf(text, sizeof(text),
             "[... %llu line%s missing here: the sender went beyond its limit ...]", count,
             count == 1 ? " is" : "s are");
    table_uncount(table, task);
    int r = task_note(&table->env, task, text, now);
    table_count(table, task);
    if (r == 0 && task->run.extra)
        task->run.extra->omitted = task->run.extra->omitted_new = 0;
    return r;
}
