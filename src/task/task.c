/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for one task, see the contract, sections 2 and 4. What may fail comes first in each
 * function, what changes the task after it. */
#include "task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEVERITY_ERROR = 3, SEVERITY_WARNING = 4, CLOSING_BYTES_MAX = 128 };

struct task *task_new(const struct tasklog_line *line, uint64_t hash)
{
    struct task *task = calloc(1, sizeof(*task));

    if (!task)
        return NULL;
    task->hash = hash;
    task->run = run_new(line);
    if (!task->run) {
        free(task);
        return NULL;
    }
    return task;
}

void task_free(struct task *task)
{
    if (!task)
        return;
    tasklog_result_free(task->run);
    free(task);
}

static const char *level_name(int severity)
{
    static const char *const names[] = {"EMERGENCY: ", "ALERT: ", "CRITICAL: ", "ERROR: ",
                                        "WARNING: "};
    return severity >= 0 && severity <= SEVERITY_WARNING ? names[severity] : "";
}

/* Appends a message with its stamp. A template's text comes ready made. */
static int append(struct task_env *env, struct logbuf *log, size_t cap_bytes, bool late,
                  int64_t time_us, const char *level, struct text text, struct text formatted)
{
    bool first_of_late = late && logbuf_bytes(log) == 0;
    struct logbuf_piece pieces[4];
    size_t count = 0;

    if (first_of_late)
        pieces[count++] = (struct logbuf_piece){"\n", 1}; /* after what the database has */
    if (!formatted.data) {
        stamp_set(&env->stamp, time_us);
        pieces[count++] = (struct logbuf_piece){env->stamp.text, env->stamp.bytes};
    }
    if (*level)
        pieces[count++] = (struct logbuf_piece){level, strlen(level)};
    if (formatted.data)
        pieces[count++] = (struct logbuf_piece){formatted.data, formatted.bytes};
    else
        pieces[count++] = (struct logbuf_piece){text.data, text.bytes};
    return logbuf_append(log, cap_bytes, pieces, count);
}

static int append_line(struct task_env *env, struct task *task, const struct task_line *line,
                       size_t cap_bytes)
{
    const char *level = env->rules.show_level ? level_name(line->line->severity) : "";

    return append(env, &task->run->log, cap_bytes, task->ended, line->line->time_us, level,
                  line->text, line->formatted);
}

static struct text text_of(const char *data, size_t bytes)
{
    return (struct text){.data = data, .bytes = bytes};
}

static const struct text NO_TEMPLATE;

/* Counts a message in the run's sums. */
static void count_message(struct tasklog_result *run, int severity, size_t bytes)
{
    run->lines++;
    run->bytes += (int64_t)bytes;
    if (severity <= SEVERITY_ERROR)
        run->errors++;
    else if (severity == SEVERITY_WARNING)
        run->warnings++;
}

/* The same, and it may be the first error. 0 or -ENOMEM. */
static int add_message(struct tasklog_result *run, int severity, const char *text, size_t bytes)
{
    int r = severity <= SEVERITY_ERROR ? run_first_error(run, text, bytes) : 0;

    if (r == 0)
        count_message(run, severity, bytes);
    return r;
}

static void forget_first_error(struct tasklog_result *run)
{
    free(run->first_error);
    run->first_error = NULL;
}

static void note_missing(struct task_env *env, struct tasklog_result *run, uint64_t before)
{
    uint64_t missing = run->log.missing_messages - before;

    if (missing > 0) {
        env->counters.missing += missing;
        run->missing = true;
    }
}

int task_log(struct task_env *env, struct task *task, const struct task_line *line,
             size_t cap_bytes)
{
    struct tasklog_result *run = task->run;
    uint64_t missing = run->log.missing_messages;
    bool is_first_error = line->line->severity <= SEVERITY_ERROR && !run->first_error;
    int r = 0;

    if (is_first_error)
        r = run_first_error(run, line->text.data, line->text.bytes);
    if (r == 0)
        r = append_line(env, task, line, cap_bytes);
    if (r < 0) {
        if (is_first_error)
            forget_first_error(run);
        return r;
    }
    count_message(run, line->line->severity, line->text.bytes);
    note_missing(env, run, missing);
    if (task->ended)
        env->counters.late++;
    else if (line->text.altered || line->formatted.altered)
        env->counters.altered++;
    else
        env->counters.lines++;
    return 0;
}

static void count_control(struct task_env *env, const struct control *control)
{
    env->counters.control++;
    if (control->unreadable)
        env->counters.control_unreadable++;
}

int task_progress(struct task_env *env, struct task *task, const struct task_line *line,
                  struct control *control, size_t cap_bytes)
{
    struct tasklog_result *run = task->run;
    uint64_t missing = run->log.missing_messages;
    bool is_first_error = line->line->severity <= SEVERITY_ERROR && !run->first_error;
    /* The raw line is kept if it could not be read; whether it could is known after the report. */
    size_t room = STAMP_BYTES_MAX + line->text.bytes + line->formatted.bytes + 32;
    int r = logbuf_reserve(&run->log, cap_bytes, room);
    if (r == 0 && is_first_error)
        r = run_first_error(run, line->text.data, line->text.bytes);
    if (r == 0)
        r = run_report(run, control);
    if (is_first_error && (r < 0 || !control->unreadable))
        forget_first_error(run);
    if (r < 0)
        return r;
    if (control->unreadable) {
        (void)!append_line(env, task, line, cap_bytes);
        count_message(run, line->line->severity, line->text.bytes);
        note_missing(env, run, missing);
    }
    count_control(env, control);
    return 0;
}

static size_t closing_text(const struct task_env *env, enum run_end end,
                           char buffer[CLOSING_BYTES_MAX])
{
    char duration[DURATION_BYTES_MAX];
    int bytes = 0;

    switch (end) {
    case RUN_IDLE:
        stamp_duration(env->rules.idle_ms * 1000, duration);
        bytes = snprintf(buffer, CLOSING_BYTES_MAX, "Closed by tasklog: no line for %s", duration);
        break;
    case RUN_MAX_RUNTIME:
        stamp_duration(env->rules.max_runtime_ms * 1000, duration);
        bytes = snprintf(buffer, CLOSING_BYTES_MAX, "Closed by tasklog: running for longer than %s",
                         duration);
        break;
    case RUN_RESTARTED:
        bytes = snprintf(buffer, CLOSING_BYTES_MAX,
                         "Closed by tasklog: started again under the same task id");
        break;
    case RUN_OPEN:
    case RUN_MARKER:
        break;
    }
    return (size_t)bytes;
}

static void set_status(struct tasklog_result *run, const struct control *control)
{
    if (control && control->status[0])
        strcpy(run->status, control->status);
    else if (!control || (run->failed != TASKLOG_ABSENT && run->failed > 0))
        strcpy(run->status, "FAILED");
    else
        strcpy(run->status, "COMPLETED");
}

/* A copy of the run as it is after its end, without the log; NULL for want of memory. */
static struct tasklog_result *ended_copy(const struct tasklog_result *run, enum run_end end,
                                         int64_t end_us, const struct task_line *line,
                                         struct control *control)
{
    struct tasklog_result *after = run_copy(run);

    if (!after)
        return NULL;
    after->end = end;
    after->end_us = end_us;
    after->duration_us = run_duration_us(after, end_us);
    if (control) {
        int severity = line->line->severity;
        if (run_report(after, control) < 0)
            goto failed;
        if (control->unreadable &&
            add_message(after, severity, line->text.data, line->text.bytes) < 0)
            goto failed;
        if (control->text && add_message(after, severity, control->text, control->text_bytes) < 0)
            goto failed;
    }
    set_status(after, control);
    free(after->summary);
    after->summary = run_summary(after);
    if (!after->summary)
        goto failed;
    return after;

failed:
    tasklog_result_free(after);
    return NULL;
}

/* Appends what a log ends with: the raw end marker if it could not be read, the closing text, the
 * summary. 0, or -ENOMEM with nothing appended. */
static int append_closing(struct task_env *env, struct task *task,
                          const struct tasklog_result *after, const struct task_line *line,
                          const struct control *control)
{
    struct logbuf *log = &task->run->log;
    char buffer[CLOSING_BYTES_MAX];
    struct text closing = text_of(buffer, 0);
    size_t room = (size_t)4 * STAMP_BYTES_MAX + strlen(after->summary);

    if (control && control->text)
        closing = text_of(control->text, control->text_bytes);
    else if (!control)
        closing.bytes = closing_text(env, after->end, buffer);
    room += closing.bytes;
    if (line)
        room += line->text.bytes + line->formatted.bytes;

    int r = logbuf_reserve(log, env->rules.task_max_bytes, room);
    if (r < 0)
        return r;
    /* There is room: nothing can fail from here on. */
    if (control && control->unreadable)
        (void)!append_line(env, task, line, SIZE_MAX);
    if (closing.bytes > 0 || (control && control->text))
        (void)!append(env, log, SIZE_MAX, task->ended, after->end_us, "", closing, NO_TEMPLATE);
    struct text summary = text_of(after->summary, strlen(after->summary));
    (void)!append(env, log, SIZE_MAX, task->ended, after->end_us, "", summary, NO_TEMPLATE);
    return 0;
}

static void count_end(struct task_env *env, enum run_end end)
{
    switch (end) {
    case RUN_OPEN:
        break;
    case RUN_MARKER:
        env->counters.ended_marker++;
        break;
    case RUN_IDLE:
        env->counters.ended_idle++;
        break;
    case RUN_MAX_RUNTIME:
        env->counters.ended_max_runtime++;
        break;
    case RUN_RESTARTED:
        env->counters.ended_restarted++;
        break;
    }
}

/* The task's run becomes `after`; the log moves to `taker`. */
static void replace_run(struct task *task, struct tasklog_result *after,
                        struct tasklog_result *taker)
{
    taker->log = task->run->log;
    task->run->log = (struct logbuf){0};
    run_pin_beside(task->run, after);
    tasklog_result_free(task->run);
    task->run = after;
}

int task_end(struct task_env *env, struct task *task, enum run_end end,
             const struct task_line *line, struct control *control, struct tasklog_now now,
             struct tasklog_results *results)
{
    int64_t end_us = line ? line->line->time_us : now.wall_us;
    struct tasklog_result *final = NULL;
    struct tasklog_result *after = ended_copy(task->run, end, end_us, line, control);

    if (after)
        final = run_copy(after);
    if (!final || append_closing(env, task, after, line, control) < 0) {
        tasklog_result_free(final);
        tasklog_result_free(after);
        return -ENOMEM;
    }
    replace_run(task, after, final);
    run_pin_beside(after, final);
    task->ended = true;
    task->stored_chars = (int64_t)logbuf_char_count(&final->log);
    final->end_chars = task->stored_chars;
    final->type = TASKLOG_RESULT_FINAL;
    tasklog_results_push(results, final);
    if (control)
        count_control(env, control);
    count_end(env, end);
    return 0;
}

int task_end_late(struct task_env *env, struct task *task, const struct task_line *line,
                  struct control *control)
{
    struct tasklog_result *after =
        ended_copy(task->run, RUN_MARKER, line->line->time_us, line, control);

    if (!after || append_closing(env, task, after, line, control) < 0) {
        tasklog_result_free(after);
        return -ENOMEM;
    }
    replace_run(task, after, after);
    count_control(env, control);
    return 0;
}

int task_restart(struct task_env *env, struct task *task, const struct task_line *line,
                 struct control *control, struct tasklog_now now, struct tasklog_results *results)
{
    struct tasklog_result *run = run_new(line->line);
    const struct task_line closing = {.line = line->line};
    int r = run ? run_report(run, control) : -ENOMEM;

    if (r == 0 && control->unreadable) {
        struct task started = {.run = run};
        r = append_line(env, &started, line, env->rules.task_max_bytes);
        if (r == 0)
            r = add_message(run, line->line->severity, line->text.data, line->text.bytes);
    }
    if (r == 0 && task->ended && logbuf_bytes(&task->run->log) > 0)
        r = task_show_late(task, results);
    else if (r == 0 && !task->ended)
        r = task_end(env, task, RUN_RESTARTED, &closing, NULL, now, results);
    if (r < 0) {
        tasklog_result_free(run);
        return r;
    }
    tasklog_result_free(task->run);
    task->run = run;
    task->ended = false;
    count_control(env, control);
    return 0;
}

int task_show_live(struct task_env *env, struct task *task, struct tasklog_now now,
                   struct tasklog_results *results)
{
    size_t room = logbuf_bytes(&task->run->log);
    struct tasklog_result *live;

    if (room > env->rules.live_bytes)
        room = env->rules.live_bytes;
    if (text_buffer_reserve(&env->live_buffer, room + 1) < 0)
        return -ENOMEM;
    live = run_copy(task->run);
    if (!live)
        return -ENOMEM;
    struct logbuf_piece piece = {env->live_buffer.data,
                                 logbuf_copy_end(&task->run->log, env->spill, room,
                                                 env->live_buffer.data)};
    if (logbuf_append(&live->log, SIZE_MAX, &piece, 1) < 0) {
        tasklog_result_free(live);
        return -ENOMEM;
    }
    live->type = TASKLOG_RESULT_LIVE;
    live->duration_us = run_duration_us(live, now.wall_us);
    tasklog_results_push(results, live);
    return 0;
}

static void push_late(struct task *task, struct tasklog_result *late,
                      struct tasklog_results *results)
{
    late->type = TASKLOG_RESULT_LATE;
    late->append_at = task->stored_chars;
    task->stored_chars += (int64_t)logbuf_char_count(&late->log);
    late->end_chars = task->stored_chars;
    if (late != task->run)
        run_pin_beside(task->run, late);
    tasklog_results_push(results, late);
}

int task_show_late(struct task *task, struct tasklog_results *results)
{
    struct tasklog_result *late = run_copy(task->run);

    if (!late)
        return -ENOMEM;
    late->log = task->run->log;
    task->run->log = (struct logbuf){0};
    push_late(task, late, results);
    return 0;
}

void task_give_late(struct task *task, struct tasklog_results *results)
{
    push_late(task, task->run, results);
    task->run = NULL;
}

void task_give_open(struct task *task, struct tasklog_now now, struct tasklog_results *results)
{
    struct tasklog_result *run = task->run;

    task->run = NULL;
    run->type = TASKLOG_RESULT_OPEN;
    run->duration_us = run_duration_us(run, now.wall_us);
    tasklog_results_push(results, run);
}
