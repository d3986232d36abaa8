/* SPDX-License-Identifier: Apache-2.0 */
/* What the clock does to the tasks of a table: closes, shows and forgets them. */
#include <stdbool.h>
#include <string.h>

#include "body.h"
#include "tasklog/table.h"

enum { LATE_FLUSH_MS = 200 }; /* late lines come in bursts: one statement for all of it */

/* Each of these does the first thing that is due in one list. 1 = did it, 0 = nothing is due,
 * -ENOMEM = it stays due. */
static int tick_age(struct tasklog_table *table, struct tasklog_now now,
                    struct tasklog_results *results)
{
    struct task *task = first_by_age(table);
    int64_t most = table->env.rules.max_runtime_ms;

    if (most == 0 || !task || now.mono_ms - task->started_ms < most)
        return 0;
    return table_close(table, task, RUN_MAX_RUNTIME, now, results);
}

static int tick_quiet(struct tasklog_table *table, struct tasklog_now now,
                      struct tasklog_results *results)
{
    struct task *task = first_quiet(&table->quiet);
    int64_t most = table->env.rules.idle_ms;

    if (most == 0 || !task || now.mono_ms - task->quiet_ms < most)
        return 0;
    return table_close(table, task, RUN_IDLE, now, results);
}

static int tick_live(struct tasklog_table *table, struct tasklog_now now,
                     struct tasklog_results *results)
{
    struct task *task = first_to_show(&table->live);

    if (!task || now.mono_ms - task->show_ms < table->env.rules.live_interval_ms)
        return 0;
    int r = task_show_live(&table->env, task, now, results);
    if (r < 0)
        return r;
    list_remove(&task->show);
    return 1;
}

static int show_late(struct tasklog_table *table, struct task *task,
                     struct tasklog_results *results)
{
    table_uncount(table, task);
    int r = task_show_late(task, results);
    table_count(table, task);
    if (r < 0)
        return r;
    list_remove(&task->show);
    return 1;
}

static int tick_late(struct tasklog_table *table, struct tasklog_now now,
                     struct tasklog_results *results)
{
    struct task *task = first_to_show(&table->late);

    if (!task || now.mono_ms - task->show_ms < LATE_FLUSH_MS)
        return 0;
    return show_late(table, task, results);
}

static int tick_ended(struct tasklog_table *table, struct tasklog_now now,
                      struct tasklog_results *results)
{
    struct task *task = first_quiet(&table->ended);

    if (!task || !table_window_is_over(table, task, now.mono_ms))
        return 0;
    table_forget(table, task, results);
    return 1;
}

int table_close_overdue(struct tasklog_table *table, struct task *task, struct tasklog_now now,
                        struct tasklog_results *results)
{
    const struct tasklog_rules *rules = &table->env.rules;
    int64_t due_ms = now.mono_ms + 1;
    enum run_end end = RUN_OPEN;

    if (rules->max_runtime_ms > 0 && task->started_ms + rules->max_runtime_ms < due_ms) {
        due_ms = task->started_ms + rules->max_runtime_ms;
        end = RUN_MAX_RUNTIME;
    }
    if (rules->idle_ms > 0 && task->quiet_ms + rules->idle_ms < due_ms) {
        due_ms = task->quiet_ms + rules->idle_ms;
        end = RUN_IDLE;
    }
    if (end == RUN_OPEN)
        return 0;
    now.wall_us -= (now.mono_ms - due_ms) * 1000;
    now.mono_ms = due_ms;
    return table_close(table, task, end, now, results);
}

int tasklog_table_close(struct tasklog_table *table, const struct tasklog_line *key,
                        const char *reason, const char *detail, struct tasklog_now now,
                        struct tasklog_results *results)
{
    struct task *task = index_find(&table->index, key);
    enum run_end end = strcmp(reason, "idle") == 0   ? RUN_IDLE
                       : strcmp(reason, "died") == 0 ? RUN_DIED
                                                     : RUN_MAX_RUNTIME;

    if (!task || task_has_ended(task))
        return 0;
    table->env.detail = detail;
    int r = table_close(table, task, end, now, results);
    return r < 0 ? r : 0;
}

void tasklog_table_tick(struct tasklog_table *table, struct tasklog_now now,
                        struct tasklog_results *results)
{
    while (tick_age(table, now, results) > 0)
        ;
    while (tick_quiet(table, now, results) > 0)
        ;
    while (tick_late(table, now, results) > 0)
        ;
    while (tick_ended(table, now, results) > 0)
        ;
}

int tasklog_table_show_late(struct tasklog_table *table, struct tasklog_results *results)
{
    struct task *task;
    int r = 1;

    while (r > 0 && (task = first_to_show(&table->late)) != NULL)
        r = show_late(table, task, results);
    return r < 0 ? r : 0;
}

bool tasklog_table_show(struct tasklog_table *table, struct tasklog_now now,
                        struct tasklog_results *results)
{
    return tick_live(table, now, results) > 0;
}

static void sooner(int64_t *due_ms, int64_t candidate_ms)
{
    if (candidate_ms < *due_ms)
        *due_ms = candidate_ms;
}

int64_t tasklog_table_due_ms(const struct tasklog_table *table, bool live)
{
    const struct tasklog_rules *rules = &table->env.rules;
    const struct task *task;
    int64_t due_ms = INT64_MAX;

    if (rules->max_runtime_ms > 0 && (task = first_by_age(table)) != NULL)
        sooner(&due_ms, task->started_ms + rules->max_runtime_ms);
    if (rules->idle_ms > 0 && (task = first_quiet(&table->quiet)) != NULL)
        sooner(&due_ms, task->quiet_ms + rules->idle_ms);
    if (live && (task = first_to_show(&table->live)) != NULL)
        sooner(&due_ms, task->show_ms + rules->live_interval_ms);
    if ((task = first_to_show(&table->late)) != NULL)
        sooner(&due_ms, task->show_ms + LATE_FLUSH_MS);
    if ((task = first_quiet(&table->ended)) != NULL)
        sooner(&due_ms, task->quiet_ms + rules->late_window_ms);
    return due_ms;
}

static void shift_list(const struct task_link *list, size_t offset, int64_t shift_ms)
{
    for (const struct task_link *link = list->next; link != list; link = link->next) {
        struct task *task = task_of(link, offset);
        task->started_ms += shift_ms;
        task->quiet_ms += shift_ms;
        task->show_ms += shift_ms;
    }
}

void tasklog_table_resume(struct tasklog_table *table, int64_t shift_ms)
{
    shift_list(&table->quiet, offsetof(struct task, quiet), shift_ms);
    shift_list(&table->ended, offsetof(struct task, quiet), shift_ms);
    table->env.counters = (struct tasklog_table_counters){0};
}
