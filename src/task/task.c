/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for one task, see the contract, sections 2 and 4. What may fail comes first in each
 * function, what changes the task after it. */
#include "task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEVERITY_WARNING = 4, CLOSING_BYTES_MAX = 400 };

_Static_assert(sizeof(struct task) <= UINT8_MAX, "names_at tells where the names are");

struct task *task_new(const struct tasklog_line *line)
{
    return (struct task *)run_new(sizeof(struct task), line);
}

void task_free(struct task *task)
{
    tasklog_result_free(task ? &task->run : NULL);
}

static const char *level_name(int severity)
{
    static const char *const names[] = {"EMERGENCY: ", "ALERT: ", "CRITICAL: ", "ERROR: ",
                                        "WARNING: "};
    return severity >= 0 && severity <= SEVERITY_WARNING ? names[severity] : "";
}

static struct logbuf_limits limits(const struct task_env *env, size_t cap_bytes)
{
    return (struct logbuf_limits){.cap_bytes = cap_bytes, .chunk_bytes = env->chunk_bytes};
}

enum { MESSAGE_PIECES = 3 };

/* What a message is put together of: its stamp, level and text. A template's text comes ready made. */
static size_t message_pieces(struct task_env *env, int64_t time_us, const char *level,
                             struct text text, struct text formatted,
                             struct logbuf_piece ret_pieces[MESSAGE_PIECES])
{
    size_t count = 0;

    if (!formatted.data) {
        stamp_set(&env->stamp, time_us);
        ret_pieces[count++] = (struct logbuf_piece){env->stamp.text, env->stamp.bytes};
    }
    if (*level)
        ret_pieces[count++] = (struct logbuf_piece){level, strlen(level)};
    if (formatted.data)
        ret_pieces[count++] = (struct logbuf_piece){formatted.data, formatted.bytes};
    else
        ret_pieces[count++] = (struct logbuf_piece){text.data, text.bytes};
    return count;
}

static int append(struct task_env *env, struct logbuf *log, size_t cap_bytes, bool late,
                  int64_t time_us, const char *level, struct text text, struct text formatted)
{
    bool first_of_late = late && logbuf_bytes(log) == 0;
    struct logbuf_piece pieces[1 + MESSAGE_PIECES];
    size_t count = 0;

    if (first_of_late)
        pieces[count++] = (struct logbuf_piece){"\n", 1}; /* after what the database has */
    count += message_pieces(env, time_us, level, text, formatted, pieces + count);
    int r = logbuf_append(log, limits(env, cap_bytes), pieces, count);
    for (size_t i = first_of_late; r == 0 && env->listen && i < count; i++)
        env->listen(env->listen_context, pieces[i].data, pieces[i].bytes, i + 1 < count);
    return r;
}

static int append_line(struct task_env *env, struct task *task, const struct task_line *line,
                       size_t cap_bytes)
{
    const char *level = env->rules.show_level ? level_name(line->line->severity) : "";

    return append(env, &task->run.log, cap_bytes, task_has_ended(task), line->line->time_us, level,
                  line->text, line->formatted);
}

static struct text text_of(const char *data, size_t bytes)
{
    return (struct text){.data = data, .bytes = bytes};
}

static const struct text NO_TEMPLATE;

static void count_line(struct task_env *env, const struct task_line *line)
{
    if (line->text.altered || line->formatted.altered)
        env->counters.altered++;
    else
        env->counters.lines++;
}

static void note_missing(struct task_env *env, struct tasklog_result *run, uint64_t before)
{
    uint64_t missing = logbuf_sums(&run->log).missing_messages - before;

    if (missing > 0) {
        env->counters.missing += missing;
        run->missing = true;
    }
}

size_t task_log_quick(struct task_env *env, struct task *task, const struct task_line *line)
{
    struct logbuf_piece pieces[MESSAGE_PIECES];

    if (task_has_ended(task) || line->line->severity <= SEVERITY_WARNING || env->listen)
        return 0;
    size_t count =
        message_pieces(env, line->line->time_us, "", line->text, line->formatted, pieces);
    size_t bytes = logbuf_append_quick(&task->run.log, pieces, count);
    if (bytes == 0)
        return 0;
    run_count_message(&task->run, line->line->severity, line->text.bytes);
    count_line(env, line);
    return bytes;
}

int task_log(struct task_env *env, struct task *task, const struct task_line *line,
             size_t cap_bytes)
{
    struct tasklog_result *run = &task->run;
    uint64_t missing = logbuf_sums(&run->log).missing_messages;
    bool had_error = run_has_first_error(run);
    int r = run_reserve_message(run, line->line->severity, line->text.data, line->text.bytes);

    if (r == 0)
        r = append_line(env, task, line, cap_bytes);
    if (r < 0) {
        if (!had_error)
            run_forget_first_error(run);
        return r;
    }
    run_count_message(run, line->line->severity, line->text.bytes);
    note_missing(env, run, missing);
    if (task_has_ended(task))
        env->counters.late++;
    else
        count_line(env, line);
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
    struct tasklog_result *run = &task->run;
    uint64_t missing = logbuf_sums(&run->log).missing_messages;
    bool had_error = run_has_first_error(run);
    int severity = line->line->severity;
    /* The raw line is kept if it could not be read; whether it could is known after the report. */
    size_t room = STAMP_BYTES_MAX + line->text.bytes + line->formatted.bytes + 32;
    int r = logbuf_reserve(&run->log, limits(env, cap_bytes), room);
    if (r == 0)
        r = run_reserve_message(run, severity, line->text.data, line->text.bytes);
    if (r == 0)
        r = run_report(run, control);
    if (!had_error && (r < 0 || !control->unreadable))
        run_forget_first_error(run);
    if (r < 0)
        return r;
    if (control->unreadable) {
        (void)!append_line(env, task, line, cap_bytes);
        run_count_message(run, severity, line->text.bytes);
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
    case RUN_DIED:
        bytes = snprintf(buffer, CLOSING_BYTES_MAX, "Closed by tasklog: %.300s", env->detail);
        break;
    case RUN_OPEN:
    case RUN_MARKER:
        break;
    }
    return (size_t)bytes;
}

static const char *end_status(const struct tasklog_result *run, const struct control *control)
{
    const struct run_extra extra = run_extra_of(run);

    if (control && control->status[0])
        return control->status;
    return !control || (extra.failed != TASKLOG_ABSENT && extra.failed > 0) ? "FAILED"
                                                                            : "COMPLETED";
}

/* Does the sender say that there are lines which it could not send? */
static bool tells_of_unsent(const struct control *control)
{
    static const char name[] = "unsent";

    for (size_t i = 0; i < control->counter_count; i++) {
        const struct control_counter *counter = &control->counters[i];
        if (counter->name_bytes == sizeof(name) - 1 && counter->value > 0 &&
            memcmp(counter->name, name, sizeof(name) - 1) == 0)
            return true;
    }
    return false;
}

static int add_message(struct tasklog_result *run, int severity, const char *text, size_t bytes)
{
    int r = run_reserve_message(run, severity, text, bytes);

    if (r == 0)
        run_count_message(run, severity, bytes);
    return r;
}

/* A copy of the run as it is after its end, without the log; NULL for want of memory. */
static struct tasklog_result *ended_copy(const struct task_env *env,
                                         const struct tasklog_result *run, enum run_end end,
                                         int64_t end_us, const struct task_line *line,
                                         struct control *control)
{
    struct tasklog_result *after = run_copy(run);

    if (!after)
        return NULL;
    if (control) {
        int severity = line->line->severity;
        if (run_report(after, control) < 0)
            goto failed;
        if (control->unreadable &&
            add_message(after, severity, line->text.data, line->text.bytes) < 0)
            goto failed;
        if (control->text && add_message(after, severity, control->text, control->text_bytes) < 0)
            goto failed;
        if (tells_of_unsent(control))
            after->missing = true;
    }
    if (run_finish(after, end, end_us, end_status(after, control),
                   end == RUN_DIED ? env->detail : "") < 0)
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
    struct logbuf *log = &task->run.log;
    const struct text summary = text_of(run_summary(after), strlen(run_summary(after)));
    int64_t end_us = after->ended->end_us;
    bool late = task_has_ended(task);
    char buffer[CLOSING_BYTES_MAX];
    struct text closing = text_of(buffer, 0);
    size_t room = (size_t)4 * STAMP_BYTES_MAX + summary.bytes;

    if (control && control->text)
        closing = text_of(control->text, control->text_bytes);
    else if (!control)
        closing.bytes = closing_text(env, (enum run_end)after->end, buffer);
    room += closing.bytes;
    if (line)
        room += line->text.bytes + line->formatted.bytes;

    int r = logbuf_reserve(log, limits(env, env->rules.task_max_bytes), room);
    if (r < 0)
        return r;
    /* There is room: nothing can fail from here on. */
    if (control && control->unreadable)
        (void)!append_line(env, task, line, SIZE_MAX);
    if (closing.bytes > 0 || (control && control->text))
        (void)!append(env, log, SIZE_MAX, late, end_us, "", closing, NO_TEMPLATE);
    (void)!append(env, log, SIZE_MAX, late, end_us, "", summary, NO_TEMPLATE);
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
    case RUN_DIED:
        env->counters.ended_died++;
        break;
    }
}

static struct logbuf take_log(struct task *task)
{
    struct logbuf log = task->run.log;

    task->run.log = (struct logbuf){0};
    return log;
}

int task_end(struct task_env *env, struct task *task, enum run_end end,
             const struct task_line *line, struct control *control, struct tasklog_now now,
             struct tasklog_results *results)
{
    int64_t end_us = line ? line->line->time_us : now.wall_us;
    struct tasklog_result *final = ended_copy(env, &task->run, end, end_us, line, control);
    struct tasklog_result *after = final ? run_copy(final) : NULL;

    if (!after || append_closing(env, task, after, line, control) < 0) {
        tasklog_result_free(final);
        tasklog_result_free(after);
        return -ENOMEM;
    }
    run_become(&task->run, after);
    final->log = take_log(task);
    run_pin_beside(&task->run, final);
    final->ended->end_chars = (int64_t)logbuf_char_count(&final->log);
    task->run.ended->end_chars = final->ended->end_chars;
    final->type = TASKLOG_RESULT_FINAL;
    final->end_unkept = line && line->line->position == 0;
    tasklog_results_push(results, final);
    if (control)
        count_control(env, control);
    count_end(env, end);
    return 0;
}

int task_note(struct task_env *env, struct task *task, const char *text, struct tasklog_now now)
{
    uint64_t missing = logbuf_sums(&task->run.log).missing_messages;
    int r = append(env, &task->run.log, env->rules.task_max_bytes, false, now.wall_us, "",
                   text_of(text, strlen(text)), NO_TEMPLATE);

    if (r < 0)
        return r;
    note_missing(env, &task->run, missing);
    task->run.missing = true;
    return 0;
}

int task_end_late(struct task_env *env, struct task *task, const struct task_line *line,
                  struct control *control)
{
    struct tasklog_result *after =
        ended_copy(env, &task->run, RUN_MARKER, line->line->time_us, line, control);

    if (!after || append_closing(env, task, after, line, control) < 0) {
        tasklog_result_free(after);
        return -ENOMEM;
    }
    run_become(&task->run, after);
    count_control(env, control);
    return 0;
}

/* The new task of a `@task start`, or NULL for want of memory. */
static struct task *start_again(struct task_env *env, const struct task_line *line,
                                struct control *control)
{
    struct task *task = task_new(line->line);
    int r = task ? run_report(&task->run, control) : -ENOMEM;

    if (r == 0 && control->unreadable) {
        r = append_line(env, task, line, env->rules.task_max_bytes);
        if (r == 0)
            r = add_message(&task->run, line->line->severity, line->text.data, line->text.bytes);
    }
    if (r == 0)
        return task;
    task_free(task);
    return NULL;
}

int task_restart(struct task_env *env, struct task *task, const struct task_line *line,
                 struct control *control, struct tasklog_now now, struct tasklog_results *results,
                 struct task **ret_task)
{
    const struct task_line closing = {.line = line->line};
    struct task *started = start_again(env, line, control);
    int r = started ? 0 : -ENOMEM;

    if (r == 0 && !task_has_ended(task))
        r = task_end(env, task, RUN_RESTARTED, &closing, NULL, now, results);
    else if (r == 0 && logbuf_bytes(&task->run.log) > 0)
        r = task_show_late(task, results);
    if (r < 0) {
        task_free(started);
        return r;
    }
    count_control(env, control);
    *ret_task = started;
    return 0;
}

int task_show_live(struct task_env *env, struct task *task, struct tasklog_now now,
                   struct tasklog_results *results)
{
    size_t room = logbuf_bytes(&task->run.log);
    struct tasklog_result *live;

    if (room > env->rules.live_bytes)
        room = env->rules.live_bytes;
    if (text_buffer_reserve(&env->live_buffer, room + 1) < 0)
        return -ENOMEM;
    live = run_copy(&task->run);
    if (!live)
        return -ENOMEM;
    struct logbuf_piece piece = {env->live_buffer.data,
                                 logbuf_copy_end(&task->run.log, env->spill, room,
                                                 env->live_buffer.data)};
    if (logbuf_append(&live->log, (struct logbuf_limits){.cap_bytes = SIZE_MAX}, &piece, 1) < 0) {
        tasklog_result_free(live);
        return -ENOMEM;
    }
    live->type = TASKLOG_RESULT_LIVE;
    live->shown_us = now.wall_us;
    tasklog_results_push(results, live);
    return 0;
}

static void push_late(struct tasklog_result *late, struct tasklog_results *results)
{
    late->type = TASKLOG_RESULT_LATE;
    late->ended->append_at = late->ended->end_chars;
    late->ended->end_chars += (int64_t)logbuf_char_count(&late->log);
    tasklog_results_push(results, late);
}

int task_show_late(struct task *task, struct tasklog_results *results)
{
    struct tasklog_result *late = run_copy(&task->run);

    if (!late)
        return -ENOMEM;
    late->log = take_log(task);
    run_pin_beside(&task->run, late);
    push_late(late, results);
    task->run.ended->end_chars = late->ended->end_chars;
    return 0;
}

void task_give_late(struct task *task, struct tasklog_results *results)
{
    push_late(&task->run, results);
}

void task_give_open(struct task *task, struct tasklog_now now, struct tasklog_results *results)
{
    task->run.type = TASKLOG_RESULT_OPEN;
    task->run.shown_us = now.wall_us;
    tasklog_results_push(results, &task->run);
}
