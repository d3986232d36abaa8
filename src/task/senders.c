/* SPDX-License-Identifier: Apache-2.0 */
/* Who logs for the tasks of a table, and what becomes of tasks whose sender has died. */
#include <errno.h>

#include "body.h"
#include "tasklog/table.h"

uint32_t tasklog_table_last_pid(const struct tasklog_table *table)
{
    return table->last_pid;
}

void tasklog_table_identify(struct tasklog_table *table, const struct tasklog_line *key,
                            const struct tasklog_process *process)
{
    struct task *task = index_find(&table->index, key);

    if (task && task->run.extra && task->run.extra->process.pid == process->pid)
        task->run.extra->process = *process;
}

static const char *judge_task(const struct task *task, tasklog_table_judge *judge, void *context)
{
    const struct tasklog_sender sender = {.kind = run_kind(&task->run),
                                          .task_id = run_id(&task->run),
                                          .origin = run_origin(&task->run),
                                          .process = run_extra_of(&task->run).process,
                                          .run = task->run.run};

    /* cppcheck-suppress returnDanglingLifetime ; a reason is a constant */
    return judge(context, &sender);
}

static struct task *next_by_age(const struct tasklog_table *table, const struct task *task)
{
    const struct task_link *link = task->age.next;

    return link == &table->age ? NULL : task_of(link, offsetof(struct task, age));
}

int tasklog_table_close_dead(struct tasklog_table *table, tasklog_table_judge *judge, void *context,
                             struct tasklog_now now, struct tasklog_results *results)
{
    struct task *next;

    for (struct task *task = first_by_age(table); task; task = next) {
        next = next_by_age(table, task);
        table->env.detail = judge_task(task, judge, context);
        if (table->env.detail && table_close(table, task, RUN_DIED, now, results) < 0)
            return -ENOMEM;
    }
    return 0;
}

int tasklog_table_note(struct tasklog_table *table, tasklog_table_judge *judge, void *context,
                       struct tasklog_now now)
{
    int count = 0;

    for (struct task *task = first_by_age(table); task; task = next_by_age(table, task)) {
        const char *text = judge_task(task, judge, context);
        if (!text)
            continue;
        table_uncount(table, task);
        int r = task_note(&table->env, task, text, now);
        table_count(table, task);
        if (r < 0)
            return r;
        table_touch(table, task, now.mono_ms);
        count++;
    }
    return count;
}
