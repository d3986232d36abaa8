/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A replay (keep.c) of what concerns one task, through a task table of its own that keeps no more of the log
 * than it must: what is shown is what the table puts into it. The clock is that of the records.
 */
#include "tasklog/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "origin.h"
#include "replay_clock.h"
#include "tasklog/table.h"

enum { LOG_BYTES_MAX = 64 << 10 };

struct tasklog_view {
    struct tasklog_view_hooks hooks;
    struct tasklog_spill spill;
    struct tasklog_table *table; /* of one task */
    struct tasklog_line key;     /* its texts are behind this struct */
    bool is_running;
    bool missed;
    uint64_t run; /* of the last line */
    int64_t last_us;
    size_t shown_bytes; /* of this run's log, newlines between messages with it */
    struct replay_clock clock;
    char names[];
};

static void show(struct tasklog_view *view, const char *text, size_t bytes, bool more)
{
    view->shown_bytes += bytes + (more ? 0 : 1);
    view->hooks.text(view->hooks.context, text, bytes, more);
}

static void listen(void *context, const char *text, size_t bytes, bool more)
{
    show(context, text, bytes, more);
}

static void begin(struct tasklog_view *view)
{
    view->is_running = true;
    view->shown_bytes = 0;
    view->hooks.begin(view->hooks.context);
}

static void take_results(struct tasklog_view *view, struct tasklog_results *results)
{
    struct tasklog_result *result;

    while ((result = tasklog_results_pop(results)) != NULL) {
        struct tasklog_report report;
        tasklog_result_view(result, &report);
        if (report.type == TASKLOG_RESULT_FINAL) {
            view->is_running = false;
            view->hooks.end(view->hooks.context, &report);
        }
        tasklog_result_free(result);
    }
}

static bool is_ours(const struct tasklog_view *view, const struct tasklog_line *line)
{
    const struct tasklog_line *key = &view->key;

    return line->kind_bytes == key->kind_bytes && line->id_bytes == key->id_bytes &&
           memcmp(line->kind, key->kind, key->kind_bytes) == 0 &&
           memcmp(line->id, key->id, key->id_bytes) == 0;
}

static int take_line(struct tasklog_view *view, struct entry *entry, uint64_t position)
{
    struct tasklog_now now = replay_clock_at(&view->clock, entry->now);
    struct tasklog_results results = {0};
    bool begins = entry->run == position, was_running = view->is_running;

    if (!is_ours(view, &entry->line))
        return 0;
    /* Its beginning has gone: the database has the row, or the task comes as a record of its own. */
    if (!begins && !view->missed && !tasklog_table_knows(view->table, &entry->line))
        return 0;
    if (!was_running && (begins || !tasklog_table_knows(view->table, &entry->line)))
        begin(view);
    entry->line.position = position;
    int r = tasklog_table_accept(view->table, &entry->line, now, false, &results);
    if (r < 0)
        return r;
    take_results(view, &results);
    if (begins && was_running) /* the old one was ended by a start */
        begin(view);
    view->run = tasklog_table_last_run(view->table);
    view->last_us = entry->now.wall_us;
    return 0;
}

static int take_close(struct tasklog_view *view, const struct entry *entry)
{
    struct tasklog_now now = replay_clock_at(&view->clock, entry->now);
    struct tasklog_results results = {0};

    if (!is_ours(view, &entry->line))
        return 0;
    int r = tasklog_table_omit(view->table, &entry->line, entry->line.omitted, false);
    if (r == 0)
        r = tasklog_table_close(view->table, &entry->line, entry->reason, entry->detail, now,
                                &results);
    take_results(view, &results);
    return r;
}

/* ---- a task that was moved forward ---- */

static void show_lines(struct tasklog_view *view, const char *text, size_t bytes)
{
    while (bytes > 0) {
        const char *newline = memchr(text, '\n', bytes);
        size_t line_bytes = newline ? (size_t)(newline - text) : bytes;
        show(view, text, line_bytes, false);
        text += line_bytes;
        bytes -= line_bytes;
        if (newline) {
            text++;
            bytes--;
        }
    }
}

/* All of the log that has not been shown. What cannot be read any more is question marks. */
static int show_log(struct tasklog_view *view, const struct tasklog_result *result)
{
    size_t bytes = tasklog_result_log_bytes(result), shown = view->shown_bytes;
    char *log = malloc(bytes + 1);

    if (!log)
        return -ENOMEM;
    (void)tasklog_result_log_copy(result, &view->spill, log);
    if (bytes > shown)
        show_lines(view, log + shown, bytes - shown);
    free(log);
    return 0;
}

static int take_task(struct tasklog_view *view, const struct entry *entry, uint64_t position)
{
    struct tasklog_results results = {0};
    struct tasklog_result *result;
    bool known = view->is_running && tasklog_table_knows(view->table, &view->key);

    if (!tasklog_table_is_of(entry->data, entry->bytes, &view->key) || (known && !view->missed))
        return 0;
    int r = tasklog_table_restore(view->table, entry->data, entry->bytes, position,
                                  view->clock.offset_ms);
    if (r < 0)
        return r == -EBADMSG ? 0 : r;
    if (!known)
        begin(view);
    /* Its text is had by taking it out of the table, where it is put again. */
    tasklog_table_drain(view->table, (struct tasklog_now){.mono_ms = view->clock.last_ms},
                        &results);
    while (r == 0 && (result = tasklog_results_pop(&results)) != NULL) {
        struct tasklog_report report;
        tasklog_result_view(result, &report);
        if (report.type == TASKLOG_RESULT_OPEN)
            r = show_log(view, result);
        tasklog_result_free(result);
    }
    tasklog_results_clear(&results);
    view->missed = false;
    view->run = 0;
    if (r == 0)
        r = tasklog_table_restore(view->table, entry->data, entry->bytes, position,
                                  view->clock.offset_ms);
    return r;
}

/* ---- all else ---- */

/* What was settled has ended, whether that was seen or not. */
static void take_done(struct tasklog_view *view, const struct entry *entry)
{
    (void)replay_clock_at(&view->clock, entry->now);
    if (!view->is_running || view->run == 0 || entry->run != view->run ||
        entry->result != TASKLOG_RESULT_FINAL)
        return;
    view->is_running = false;
    view->hooks.end(view->hooks.context, NULL);
}

static int set_rules(struct tasklog_view *view, struct tasklog_rules rules, const char *marker)
{
    rules.marker = marker;
    rules.task_max_bytes = LOG_BYTES_MAX;
    rules.memory_bytes = 0;
    rules.live_interval_ms = 0;
    return tasklog_table_set_rules(view->table, &rules);
}

int tasklog_view_take(struct tasklog_view *view, uint64_t position, uint32_t type, const void *data,
                      size_t bytes)
{
    struct entry entry;

    if (!entry_read(type, data, bytes, &entry))
        return 0; /* of a later version */
    switch (entry.type) {
    case ENTRY_LINE:
        return take_line(view, &entry, position);
    case ENTRY_CLOSE:
        return take_close(view, &entry);
    case ENTRY_TASK:
        return take_task(view, &entry, position);
    case ENTRY_NOTE:
        return origin_note(view->table, &entry.line, entry.detail,
                           replay_clock_at(&view->clock, entry.now));
    case ENTRY_OMIT: /* of another task: the table does not know it */
        return tasklog_table_omit(view->table, &entry.line, entry.line.omitted, true);
    case ENTRY_DONE:
    case ENTRY_ENDED:
        take_done(view, &entry);
        return 0;
    case ENTRY_RULES:
        return set_rules(view, entry.rules, entry.marker);
    case ENTRY_START:
        replay_clock_start(&view->clock, entry.now);
        return 0;
    case ENTRY_GAP: /* if it took lines meanwhile, it comes as a TASK */
        view->missed = true;
        (void)replay_clock_at(&view->clock, entry.now);
        return 0;
    case ENTRY_TIME:
    case ENTRY_WHOLE:
    case ENTRY_STOP:
    case ENTRY_DEATH: /* the CLOSE of its tasks follows */
        (void)replay_clock_at(&view->clock, entry.now);
        return 0;
    case ENTRY_TEXT:
    case ENTRY_CURSOR:
    case ENTRY_NUMBERS:
    case ENTRY_PROCESS:
        return 0;
    }
    return 0;
}

void tasklog_view_miss(struct tasklog_view *view)
{
    view->missed = true;
}

int64_t tasklog_view_last_us(const struct tasklog_view *view)
{
    return view->last_us;
}

/* ---- life ---- */

int tasklog_view_new(const char *kind, size_t kind_bytes, const char *id, size_t id_bytes,
                     const struct tasklog_view_hooks *hooks, struct tasklog_view **ret_view)
{
    static const uint8_t seed[16]; /* one task collides with nobody */
    const struct tasklog_rules rules = {.marker = "@task",
                                        .level = 6,
                                        .escape_prefix = '#',
                                        .idle_ms = 7200 * INT64_C(1000),
                                        .late_window_ms = 60 * INT64_C(1000),
                                        .task_max_bytes = LOG_BYTES_MAX};
    struct tasklog_view *view = calloc(1, sizeof(*view) + kind_bytes + id_bytes);

    if (!view)
        return -ENOMEM;
    view->hooks = *hooks;
    view->spill = (struct tasklog_spill){.read = hooks->read, .context = hooks->context};
    memcpy(view->names, kind, kind_bytes);
    memcpy(view->names + kind_bytes, id, id_bytes);
    view->key = (struct tasklog_line){.kind = view->names,
                                      .kind_bytes = kind_bytes,
                                      .id = view->names + kind_bytes,
                                      .id_bytes = id_bytes};
    int r = tasklog_table_new(&rules, seed, &view->table);
    if (r < 0) {
        free(view);
        return r;
    }
    tasklog_table_set_spill(view->table, &view->spill);
    tasklog_table_set_listener(view->table, listen, view);
    *ret_view = view;
    return 0;
}

void tasklog_view_free(struct tasklog_view *view)
{
    if (!view)
        return;
    tasklog_table_free(view->table);
    free(view);
}
