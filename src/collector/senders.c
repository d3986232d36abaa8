/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector and those who log: processes that tasks have named are watched, news of others come from the
 * front's source. A task whose sender has died is closed a moment later, when lines that were still on their
 * way have come.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "entry.h"
#include "state.h"

enum {
    GRACE_MS = 1000,          /* for lines that are still on their way */
    GRACE_AT_START_MS = 5000, /* the same, for what comes again after a restart */
};

static void add_process_death(struct tasklog_collector *collector,
                              const struct tasklog_process *process, const char *how, int grace_ms)
{
    int64_t now_ms = collector_now(collector).mono_ms;
    struct death death = {.process = *process, .due_ms = now_ms + grace_ms};

    snprintf(death.text, sizeof(death.text), "process %u %s", process->pid, how);
    deaths_add(&collector->deaths, &death);
}

/* From the thread that watches. */
void collector_process_died(void *context, const struct tasklog_process *process)
{
    struct tasklog_collector *collector = context;

    pthread_mutex_lock(&collector->lock);
    add_process_death(collector, process, "died without an end marker", GRACE_MS);
    collector_wake_timer(collector);
    pthread_mutex_unlock(&collector->lock);
}

void collector_watch(struct tasklog_collector *collector, const struct tasklog_line *line,
                     uint32_t pid)
{
    struct tasklog_process process = {.pid = pid};
    bool lives = watch_add(collector->watch, &process);

    tasklog_table_identify(collector->table, line, &process);
    if (line->position != 0 && entry_write_process(collector->spool, line, &process) < 0)
        collector->unspooled++;
    if (!lives)
        add_process_death(collector, &process, "died without an end marker", GRACE_MS);
}

/* Of each running task that the spool had. */
static const char *watch_again(void *context, const struct tasklog_sender *sender)
{
    struct tasklog_collector *collector = context;
    const struct tasklog_line key = {.kind = sender->kind,
                                     .kind_bytes = strlen(sender->kind),
                                     .id = sender->task_id,
                                     .id_bytes = strlen(sender->task_id)};
    struct tasklog_process process = sender->process;

    if (process.pid == 0)
        return NULL;
    if (!watch_add(collector->watch, &process))
        add_process_death(collector, &sender->process, "died without an end marker",
                          GRACE_AT_START_MS);
    else
        tasklog_table_identify(collector->table, &key, &process);
    return NULL;
}

void collector_watch_all(struct tasklog_collector *collector)
{
    struct tasklog_results none = {0};

    pthread_mutex_lock(&collector->lock);
    (void)!tasklog_table_close_dead(collector->table, watch_again, collector,
                                    collector_now(collector), &none);
    pthread_mutex_unlock(&collector->lock);
}

/* ---- deaths that are due ---- */

static const char *judge_death(void *context, const struct tasklog_sender *sender)
{
    const struct tasklog_collector *collector = context;
    const struct death *death = deaths_find(&collector->deaths, sender, collector->deaths_now_ms);

    return death ? death->text : NULL;
}

void collector_close_dead(struct tasklog_collector *collector, struct tasklog_now now)
{
    struct tasklog_results results = {0};

    if (deaths_due_ms(&collector->deaths) > now.mono_ms)
        return;
    collector->deaths_now_ms = now.mono_ms;
    if (tasklog_table_close_dead(collector->table, judge_death, collector, now, &results) == 0)
        deaths_drop_due(&collector->deaths, now.mono_ms);
    collector_keep_closed(collector, &results, now);
    tasklog_results_append(&collector->queue, &results);
}

/* ---- news of the source ---- */

void collector_hear_death(struct tasklog_collector *collector, const struct tasklog_line *source,
                          const char *how, int64_t now_ms, tasklog_position position)
{
    struct death death = {.position = position, .due_ms = now_ms};

    if (source->origin_bytes > TASKLOG_ORIGIN_BYTES_MAX)
        return;
    if (source->origin_bytes > 0)
        memcpy(death.origin, source->origin, source->origin_bytes);
    if (source->origin_bytes > 0) /* nothing of all of them is still on its way */
        death.due_ms += GRACE_MS;
    snprintf(death.text, sizeof(death.text), "%s", how);
    deaths_add(&collector->deaths, &death);
}

struct note {
    char origin[TASKLOG_ORIGIN_BYTES_MAX + 1];
    const char *text;
};

static const char *judge_note(void *context, const struct tasklog_sender *sender)
{
    const struct note *note = context;

    return death_is_of(note->origin, sender->origin) ? note->text : NULL;
}

int collector_hear_note(struct tasklog_collector *collector, const struct tasklog_line *source,
                        const char *text, struct tasklog_now now)
{
    struct note note = {.text = text};

    if (source->origin_bytes > TASKLOG_ORIGIN_BYTES_MAX)
        return 0;
    if (source->origin_bytes > 0)
        memcpy(note.origin, source->origin, source->origin_bytes);
    int r = tasklog_table_note(collector->table, judge_note, &note, now);
    return r < 0 ? r : 0;
}

/* With the position of what was heard, in the same step. */
static int keep_news(struct tasklog_collector *collector, enum entry_type type,
                     const struct tasklog_line *source, const char *text, struct tasklog_now now,
                     tasklog_position *ret_position)
{
    if (!collector->spool)
        return -ENOTSUP;
    int r = entry_write_news(collector->spool, type, source, text, now, ret_position);
    if (r == 0)
        collector_spool_at(collector, source->cursor, source->cursor_bytes, *ret_position);
    return r;
}

int tasklog_collector_died(struct tasklog_collector *collector, const struct tasklog_line *source,
                           const char *how)
{
    char text[DEATH_TEXT_BYTES];

    snprintf(text, sizeof(text), "%s", how);
    pthread_mutex_lock(&collector->lock);
    struct tasklog_now now = collector_now(collector);
    tasklog_position position;
    int r = keep_news(collector, ENTRY_DEATH, source, text, now, &position);
    if (r == 0) {
        collector_hear_death(collector, source, text, now.mono_ms, position);
        collector_close_dead(collector, now);
        collector_note_age(collector, now.mono_ms);
        if (collector->queue.first)
            pthread_cond_signal(&collector->work);
        collector_wake_timer(collector);
    }
    pthread_mutex_unlock(&collector->lock);
    return r;
}

int tasklog_collector_note(struct tasklog_collector *collector, const struct tasklog_line *source,
                           const char *text, uint64_t count)
{
    char note[DEATH_TEXT_BYTES];

    snprintf(note, sizeof(note), "%s", text);
    pthread_mutex_lock(&collector->lock);
    struct tasklog_now now = collector_now(collector);
    tasklog_position position;
    int r = keep_news(collector, ENTRY_NOTE, source, note, now, &position);
    if (r == 0) {
        /* Without memory for it the tasks that come first have it, and it is counted. */
        (void)!collector_hear_note(collector, source, note, now);
        collector->unread += count;
        collector_wake_timer(collector);
    }
    pthread_mutex_unlock(&collector->lock);
    return r;
}
