/* SPDX-License-Identifier: Apache-2.0 */
/* The task table: lines in, by the state of the task that each belongs to; and the table's life. */
#include "tasklog/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"

enum {
    CHUNKS_PER_TASK = 8,     /* at least so many should fit into the memory that a task may have */
    TIGHT_BYTES_MIN = 16384, /* what a log may hold even when memory is short */
};

/* ---- sums ---- */

void table_uncount(struct tasklog_table *table, const struct task *task)
{
    struct logbuf_sums sums = logbuf_sums(&task->run.log);

    table->memory_bytes -= sums.memory_bytes;
    table->text_bytes -= sums.head_bytes + sums.tail_bytes;
}

void table_count(struct tasklog_table *table, const struct task *task)
{
    struct logbuf_sums sums = logbuf_sums(&task->run.log);

    table->memory_bytes += sums.memory_bytes;
    table->text_bytes += sums.head_bytes + sums.tail_bytes;
}

/* ---- states ---- */

/* To the end of `quiet`: only a line brings text into memory, and the line comes with a call of this. */
static void quiet_add(struct tasklog_table *table, struct task *task)
{
    list_add(&table->quiet, &task->quiet);
    if (table->warm == &table->quiet)
        table->warm = &task->quiet;
}

static void quiet_remove(struct tasklog_table *table, struct task *task)
{
    if (table->warm == &task->quiet)
        table->warm = task->quiet.next;
    list_remove(&task->quiet);
}

static void unlink_task(struct tasklog_table *table, struct task *task)
{
    index_remove(&table->index, task);
    if (!task_has_ended(task))
        table_count_open(table, task, -1);
    list_remove(&task->age);
    quiet_remove(table, task);
    list_remove(&task->show);
}

static void add_open(struct tasklog_table *table, struct task *task, int64_t now_ms)
{
    task->started_ms = task->quiet_ms = now_ms;
    index_add(&table->index, task);
    list_add(&table->age, &task->age);
    quiet_add(table, task);
    if (task->run.run != 0)
        run_pin_before(&table->pins, &task->run.pin);
    table_count_open(table, task, 1);
    table->env.counters.tasks_started++;
}

static void enter_ended(struct tasklog_table *table, struct task *task, int64_t now_ms)
{
    table_count_open(table, task, -1);
    list_remove(&task->age);
    quiet_remove(table, task);
    list_remove(&task->show);
    task->quiet_ms = now_ms;
    list_add(&table->ended, &task->quiet);
}

void table_drop(struct tasklog_table *table, struct task *task)
{
    table_uncount(table, task);
    unlink_task(table, task);
    task_free(task);
}

void table_touch(struct tasklog_table *table, struct task *task, int64_t now_ms)
{
    task->quiet_ms = now_ms;
    quiet_remove(table, task);
    quiet_add(table, task);
}

static void show_later(struct task_link *list, struct task *task, int64_t now_ms)
{
    if (task->show.next)
        return;
    task->show_ms = now_ms;
    list_add(list, &task->show);
}

static void show_live_later(struct tasklog_table *table, struct task *task, int64_t now_ms)
{
    if (table->env.rules.live_interval_ms > 0)
        show_later(&table->live, task, now_ms);
}

void table_forget(struct tasklog_table *table, struct task *task, struct tasklog_results *results)
{
    if (logbuf_bytes(&task->run.log) == 0) {
        table_drop(table, task);
        return;
    }
    table_uncount(table, task);
    unlink_task(table, task);
    task_give_late(task, results);
}

bool table_window_is_over(const struct tasklog_table *table, const struct task *task,
                          int64_t now_ms)
{
    return now_ms - task->quiet_ms >= table->env.rules.late_window_ms;
}

/* ---- taking lines ---- */

int table_end(struct tasklog_table *table, struct task *task, enum run_end end,
              const struct task_line *line, struct control *control, struct tasklog_now now,
              struct tasklog_results *results)
{
    int r = task_end(&table->env, task, end, line, control, now, results);

    if (r == 0)
        enter_ended(table, task, now.mono_ms);
    return r;
}

int table_close(struct tasklog_table *table, struct task *task, enum run_end end,
                struct tasklog_now now, struct tasklog_results *results)
{
    if (table_has_omitted(task)) {
        uint32_t omitted_new = task->run.extra->omitted_new;
        if (table_tell_omitted(table, task, 0, now) < 0)
            return -ENOMEM;
        task->run.extra->omitted_end += omitted_new;
    }
    table_uncount(table, task);
    int r = table_end(table, task, end, NULL, NULL, now, results);
    table_count(table, task);
    return r < 0 ? r : 1;
}

/* Another run under the same id: a new task takes the place of this one. */
static int take_start(struct tasklog_table *table, struct task **task, const struct task_line *line,
                      struct tasklog_now now, struct tasklog_results *results)
{
    bool was_open = !task_has_ended(*task);
    struct task *started;
    int r = task_restart(&table->env, *task, line, &table->control, now, results, &started);

    if (r < 0)
        return r;
    if (was_open)
        table_count_open(table, *task, -1);
    unlink_task(table, *task);
    task_free(*task);
    *task = started;
    add_open(table, started, now.mono_ms);
    show_live_later(table, started, now.mono_ms);
    return 0;
}

/* A control line of a task that has ended. */
static int take_late_control(struct tasklog_table *table, struct task *task,
                             const struct task_line *line, int64_t now_ms)
{
    const struct control *control = &table->control;
    int r;

    if (control->verb == CONTROL_PROGRESS && !control->unreadable) {
        table->env.counters.late++;
        return 0;
    }
    if (control->verb == CONTROL_END && task->run.end != RUN_MARKER)
        r = task_end_late(&table->env, task, line, &table->control);
    else
        r = task_log(&table->env, task, line, table->env.rules.task_max_bytes);
    if (r == 0)
        show_later(&table->late, task, now_ms);
    return r;
}

static int take_late(struct tasklog_table *table, struct task *task, const struct task_line *line,
                     bool is_control, int64_t now_ms)
{
    if (is_control)
        return take_late_control(table, task, line, now_ms);
    int r = task_log(&table->env, task, line, table->env.rules.task_max_bytes);
    if (r == 0)
        show_later(&table->late, task, now_ms);
    return r;
}

/* `task` is another one after a `start`. */
static int take(struct tasklog_table *table, struct task **task, const struct task_line *line,
                bool is_control, size_t cap_bytes, struct tasklog_now now,
                struct tasklog_results *results)
{
    struct control *control = &table->control;
    int r;

    if (is_control && control->verb == CONTROL_START)
        return take_start(table, task, line, now, results);
    run_set_source_position(&(*task)->run, line->line->source_position);
    if (task_has_ended(*task))
        return take_late(table, *task, line, is_control, now.mono_ms);
    if (is_control && control->verb == CONTROL_END)
        return table_end(table, *task, RUN_MARKER, line, control, now, results);

    if (is_control)
        r = task_progress(&table->env, *task, line, control, cap_bytes);
    else
        r = task_log(&table->env, *task, line, cap_bytes);
    if (r < 0)
        return r;
    table_touch(table, *task, now.mono_ms);
    show_live_later(table, *task, now.mono_ms);
    return 0;
}

/* A run of which the spool has nothing, for it was full, and this line can begin it for a replay. It cannot if
 * the run has ended: the replay would take it for a new one. */
static bool begins_run(const struct tasklog_table *table, const struct task *task,
                       const struct tasklog_line *line, bool is_control)
{
    return task->run.run == 0 && line->position != 0 && !task_has_ended(task) &&
           !(is_control && table->control.verb == CONTROL_START);
}

static void name_run(struct tasklog_table *table, struct tasklog_result *run, uint64_t position)
{
    run->run = run->pin.position = position;
    run_pin_before(&table->pins, &run->pin);
}

/* When memory becomes short, a log's size of that moment is its cap for as long as it is short. */
static size_t cap_of(const struct tasklog_table *table, struct task *task, bool tight)
{
    size_t most = table->env.rules.task_max_bytes;

    if (!tight) {
        logbuf_loosen(&task->run.log);
        return most;
    }
    size_t cap = logbuf_tighten(&task->run.log, TIGHT_BYTES_MIN);
    return cap < most ? cap : most;
}

/* With many tasks, a log grows in small steps, or most of the memory would be room for lines to come. */
static size_t chunk_bytes_of(const struct tasklog_table *table)
{
    size_t all = table->env.rules.memory_bytes;

    return all == 0 ? 0 : all / CHUNKS_PER_TASK / (table->open_count + 1) + 1;
}

/* Nearly every line; false if it is not such a one. */
static bool take_quick(struct tasklog_table *table, struct task *task, const struct task_line *line,
                       int64_t now_ms)
{
    size_t bytes = task_log_quick(&table->env, task, line);

    if (bytes == 0)
        return false;
    table->text_bytes += bytes;
    run_set_source_position(&task->run, line->line->source_position);
    table_touch(table, task, now_ms);
    show_live_later(table, task, now_ms);
    return true;
}

static int take_counted(struct tasklog_table *table, struct task **task,
                        const struct task_line *line, bool is_control, bool tight,
                        struct tasklog_now now, struct tasklog_results *results)
{
    table->env.chunk_bytes = chunk_bytes_of(table);
    table_uncount(table, *task);
    int r = take(table, task, line, is_control, cap_of(table, *task, tight), now, results);
    table_count(table, *task);
    return r;
}

/* Repairs the texts of a line and finds out whether it is a control line: 1, 0, or -ENOMEM. */
static int look_at(struct tasklog_table *table, const struct tasklog_line *line,
                   struct task_line *ret_line)
{
    const struct tasklog_rules *rules = &table->env.rules;
    int r = text_repair(line->text, line->text_bytes, rules->escape_prefix, &table->text_buffer,
                        &ret_line->text);

    if (r < 0)
        return r;
    ret_line->line = line;
    ret_line->formatted = (struct text){0};
    if (line->formatted) {
        size_t bytes = line->formatted_bytes;
        if (bytes > 0 && line->formatted[bytes - 1] == '\n')
            bytes--; /* templates end with one; lines are joined by it here */
        r = text_repair(line->formatted, bytes, rules->escape_prefix, &table->formatted_buffer,
                        &ret_line->formatted);
        if (r < 0)
            return r;
    }
    return control_parse(rules->marker, ret_line->text.data, ret_line->text.bytes,
                         &table->closing_buffer, &table->control);
}

/* Of a task that has ended nothing is told: its row is written. */
static int tell_omitted(struct tasklog_table *table, struct task *task,
                        const struct tasklog_line *line, struct tasklog_now now)
{
    /* Those that the line tells of are the new ones, which a replay knows from it alone. */
    if (task_has_ended(task))
        return 0;
    if (task->run.extra)
        task->run.extra->omitted_new = 0;
    return table_tell_omitted(table, task, line->omitted, now);
}

/* The process whose death is to end the task: it can be seen from here, and is known if it is the sender. */
static uint32_t named_process(const struct tasklog_line *line, const struct control *control)
{
    if (control->verb != CONTROL_START || !line->is_local)
        return 0;
    if (control->pid_self)
        return line->sender_pid;
    return control->pid == TASKLOG_ABSENT ? 0 : (uint32_t)control->pid;
}

int tasklog_table_accept(struct tasklog_table *table, const struct tasklog_line *line,
                         struct tasklog_now now, bool tight, struct tasklog_results *results)
{
    struct task_line seen;
    int is_control = look_at(table, line, &seen);
    struct task *task = index_find(&table->index, line);
    bool is_new = false;

    if (is_control < 0)
        return is_control;
    table->index.last = task;
    if (line->source_position != 0 && task && !task_has_ended(task) &&
        table_close_overdue(table, task, now, results) < 0)
        return -ENOMEM;
    if (task && task_has_ended(task) && table_window_is_over(table, task, now.mono_ms)) {
        table_forget(table, task, results);
        task = NULL;
    }
    if (!is_control && line->severity > table->env.rules.level) {
        table->env.counters.below_level++;
        if (task && !task_has_ended(task))
            table_touch(table, task, now.mono_ms);
        return 0;
    }
    uint32_t process = is_control ? named_process(line, &table->control) : 0;
    table->control.process = process;
    if (!task) {
        task = task_new(line);
        if (!task)
            return -ENOMEM;
        add_open(table, task, now.mono_ms);
        is_new = true;
        if (is_control && table->control.verb == CONTROL_START)
            table->control.verb = CONTROL_PROGRESS; /* it is started: only the numbers are news */
    }
    bool is_named = begins_run(table, task, line, is_control == 1);
    int r = 0;
    if (is_named) /* before it is taken: the result of an end bears the name */
        name_run(table, &task->run, line->position);
    if (line->omitted > 0 || table_has_omitted(task))
        r = tell_omitted(table, task, line, now);
    if (r == 0)
        r = !is_control && !tight && take_quick(table, task, &seen, now.mono_ms)
                ? 0
                : take_counted(table, &task, &seen, is_control == 1, tight, now, results);
    if (r < 0 && is_new) {
        table->env.counters.tasks_started--;
        table_drop(table, task);
    } else if (r < 0 && is_named) {
        run_unpin(&task->run.pin);
        task->run.run = 0;
    }
    if (r < 0)
        return r;
    if (!task_has_ended(task))
        run_set_origin(&task->run, line->origin, line->origin_bytes);
    table->last_run = task->run.run;
    table->last_pid = process;
    return 1;
}

bool tasklog_table_knows(const struct tasklog_table *table, const struct tasklog_line *line)
{
    return index_find(&table->index, line) != NULL;
}

/* ---- life ---- */

int tasklog_table_new(const struct tasklog_rules *rules, const uint8_t seed[16],
                      struct tasklog_table **ret_table)
{
    struct tasklog_table *table = calloc(1, sizeof(*table));

    if (!table)
        return -ENOMEM;
    table->env.rules = *rules;
    table->env.rules.marker = strdup(rules->marker);
    if (!table->env.rules.marker || index_init(&table->index, seed) < 0) {
        free((char *)table->env.rules.marker);
        free(table);
        return -ENOMEM;
    }
    list_init(&table->age);
    list_init(&table->quiet);
    list_init(&table->live);
    list_init(&table->ended);
    list_init(&table->late);
    table->warm = &table->quiet;
    table->pins.prev = table->pins.next = &table->pins;
    *ret_table = table;
    return 0;
}

int tasklog_table_set_rules(struct tasklog_table *table, const struct tasklog_rules *rules)
{
    char *marker = strdup(rules->marker);

    if (!marker)
        return -ENOMEM;
    free((char *)table->env.rules.marker);
    table->env.rules = *rules;
    table->env.rules.marker = marker;
    return 0;
}

void tasklog_table_drain(struct tasklog_table *table, struct tasklog_now now,
                         struct tasklog_results *results)
{
    struct task *task;

    while ((task = first_quiet(&table->ended)) != NULL)
        table_forget(table, task, results);
    while ((task = first_by_age(table)) != NULL) {
        table_uncount(table, task);
        unlink_task(table, task);
        task_give_open(task, now, results);
    }
}

void tasklog_table_free(struct tasklog_table *table)
{
    struct task *task;

    if (!table)
        return;
    while ((task = first_quiet(&table->ended)) != NULL || (task = first_by_age(table)) != NULL)
        table_drop(table, task);
    text_buffer_done(&table->text_buffer);
    text_buffer_done(&table->formatted_buffer);
    text_buffer_done(&table->closing_buffer);
    text_buffer_done(&table->env.live_buffer);
    free((char *)table->env.rules.marker);
    index_done(&table->index);
    free(table);
}

void tasklog_table_set_listener(struct tasklog_table *table, tasklog_table_listen *listen,
                                void *context)
{
    table->env.listen = listen;
    table->env.listen_context = context;
}

size_t tasklog_table_open_count(const struct tasklog_table *table)
{
    return table->open_count;
}

size_t tasklog_table_text(const struct tasklog_table *table)
{
    return table->text_bytes;
}

size_t tasklog_table_memory(const struct tasklog_table *table)
{
    return table->memory_bytes;
}

const struct tasklog_table_counters *tasklog_table_counters(const struct tasklog_table *table)
{
    return &table->env.counters;
}
