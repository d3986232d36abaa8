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
#include "origin.h"
#include "state.h"

enum {
    GRACE_MS = 1000,          /* for lines that are still on their way */
    GRACE_AT_START_MS = 5000, /* the same, for what comes again after a restart */
};

static void add_process_death(struct tasklog_collector *collector,
                              const struct tasklog_process *process, int grace_ms)
{
    int64_t now_ms = collector_now(collector).mono_ms;
    struct death death = {.process = *process, .due_ms = now_ms + grace_ms};

    snprintf(death.text, sizeof(death.text), "process %u died without an end marker", process->pid);
    deaths_add(&collector->deaths, &death);
}

/* From the thread that watches. */
void collector_process_died(void *context, const struct tasklog_process *process)
{
    struct tasklog_collector *collector = context;

    pthread_mutex_lock(&collector->lock);
    add_process_death(collector, process, GRACE_MS);
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
        add_process_death(collector, &process, GRACE_MS);
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
        add_process_death(collector, &sender->process, GRACE_AT_START_MS);
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

struct moment {
    const struct deaths *deaths;
    int64_t now_ms;
};

static const char *judge_death(void *context, const struct tasklog_sender *sender)
{
    const struct moment *moment = context;
    const struct death *death = deaths_find(moment->deaths, sender, moment->now_ms);

    return death ? death->text : NULL;
}

void collector_close_dead(struct tasklog_collector *collector, struct tasklog_now now)
{
    struct moment moment = {&collector->deaths, now.mono_ms};
    struct tasklog_results results = {0};

    if (deaths_due_ms(&collector->deaths) > now.mono_ms)
        return;
    if (tasklog_table_close_dead(collector->table, judge_death, &moment, now, &results) == 0)
        deaths_drop_due(&collector->deaths, now.mono_ms);
    collector_keep_closed(collector, &results, now);
    tasklog_results_append(&collector->queue, &results);
}

/* ---- news of the source ---- */

int collector_hear(struct tasklog_collector *collector, const struct entry *news,
                   tasklog_position position)
{
    struct death death = {.position = position, .due_ms = news->now.mono_ms};

    collector_spool_at(collector, news->line.cursor, news->line.cursor_bytes, position);
    if (news->type == ENTRY_NOTE)
        return origin_note(collector->table, &news->line, news->detail, news->now);
    origin_of(&news->line, death.origin);
    if (death.origin[0]) /* nothing of all of them is still on its way */
        death.due_ms += GRACE_MS;
    snprintf(death.text, sizeof(death.text), "%.*s", DEATH_TEXT_BYTES - 1, news->detail);
    deaths_add(&collector->deaths, &death);
    return 0;
}

/* Takes news, with their cursor in the same step. */
static int take_news(struct tasklog_collector *collector, enum entry_type type,
                     const struct tasklog_line *source, const char *text, uint64_t count)
{
    struct entry news = {.type = type, .line = *source};
    tasklog_position position;

    snprintf(news.detail, DEATH_TEXT_BYTES, "%s", text);
    pthread_mutex_lock(&collector->lock);
    news.now = collector_now(collector);
    int r = collector->spool ? entry_write_news(collector->spool, &news, &position) : -ENOTSUP;
    if (r == 0) {
        /* Without memory for a note the tasks that come first have it, and it is counted. */
        (void)!collector_hear(collector, &news, position);
        collector->unread += count;
        collector_close_dead(collector, news.now);
        collector_note_age(collector, news.now.mono_ms);
        if (collector->queue.first)
            pthread_cond_signal(&collector->work);
        collector_wake_timer(collector);
    }
    pthread_mutex_unlock(&collector->lock);
    return r;
}

int tasklog_collector_died(struct tasklog_collector *collector, const struct tasklog_line *source,
                           const char *how)
{
    return take_news(collector, ENTRY_DEATH, source, how, 0);
}

int tasklog_collector_note(struct tasklog_collector *collector, const struct tasklog_line *source,
                           const char *text, uint64_t count)
{
    return take_news(collector, ENTRY_NOTE, source, text, count);
}
