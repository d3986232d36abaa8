/* SPDX-License-Identifier: Apache-2.0 */
/* One run: made, copied, counted and summed up. It knows no task table and no rules about time. */
#include "run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stamp.h"
#include "text.h"

enum { SEVERITY_ERROR = 3, SEVERITY_WARNING = 4 };

struct tasklog_result *run_new(size_t struct_bytes, const struct tasklog_line *line)
{
    size_t names_bytes = line->kind_bytes + line->id_bytes + line->host_bytes + 3;
    struct tasklog_result *run = calloc(1, struct_bytes + names_bytes);

    if (!run)
        return NULL;
    run->names_at = (uint8_t)struct_bytes;
    if (line->peer != 0 || line->source_position != 0) {
        if (run_need_extra(run) < 0) {
            free(run);
            return NULL;
        }
        run->extra->peer = line->peer;
        run->extra->source_position = line->source_position;
    }
    run->start_us = line->time_us;
    run->run = run->pin.position = line->position;
    run->kind_bytes = (uint8_t)line->kind_bytes;
    run->id_bytes = (uint8_t)line->id_bytes;
    char *names = (char *)run + struct_bytes;
    memcpy(names, line->kind, line->kind_bytes);
    memcpy(names + line->kind_bytes + 1, line->id, line->id_bytes);
    if (line->host_bytes > 0 && text_is_valid(line->host, line->host_bytes))
        memcpy(names + line->kind_bytes + line->id_bytes + 2, line->host, line->host_bytes);
    return run;
}

static void free_extra(struct run_extra *extra)
{
    if (!extra)
        return;
    free(extra->origin);
    free(extra->first_error);
    for (size_t i = 0; i < extra->counter_count; i++)
        free(extra->counters[i].name);
    free(extra->counters);
    free(extra);
}

static bool copy_counters(const struct run_extra *extra, struct run_extra *copy)
{
    if (extra->counter_count == 0)
        return true;
    copy->counters = calloc(extra->counter_count, sizeof(*copy->counters));
    if (!copy->counters)
        return false;
    for (size_t i = 0; i < extra->counter_count; i++) {
        copy->counters[i].name = strdup(extra->counters[i].name);
        if (!copy->counters[i].name)
            return false;
        copy->counters[i].value = extra->counters[i].value;
        copy->counter_count = i + 1;
    }
    return true;
}

static struct run_extra *copy_extra(const struct run_extra *extra)
{
    struct run_extra *copy = malloc(sizeof(*copy));

    if (!copy)
        return NULL;
    *copy = *extra;
    copy->origin = NULL;
    copy->counters = NULL;
    copy->counter_count = 0;
    copy->first_error = extra->first_error ? strdup(extra->first_error) : NULL;
    if ((extra->first_error && !copy->first_error) || !copy_counters(extra, copy)) {
        free_extra(copy);
        return NULL;
    }
    return copy;
}

static size_t names_bytes_of(const struct tasklog_result *run)
{
    return (size_t)run->kind_bytes + run->id_bytes + strlen(run_host(run)) + 3;
}

static size_t ended_bytes(const struct tasklog_result *run)
{
    return sizeof(*run->ended) + strlen(run->ended->text) + strlen(run_summary(run)) +
           strlen(run_detail(run)) + 3;
}

static struct run_ended *copy_ended(const struct tasklog_result *run)
{
    size_t bytes = ended_bytes(run);
    struct run_ended *copy = malloc(bytes);

    if (copy)
        memcpy(copy, run->ended, bytes);
    return copy;
}

struct tasklog_result *run_copy(const struct tasklog_result *run)
{
    size_t names_bytes = names_bytes_of(run);
    struct tasklog_result *copy = malloc(sizeof(*run) + names_bytes);

    if (!copy)
        return NULL;
    *copy = *run;
    copy->names_at = sizeof(*copy);
    memcpy((char *)copy + sizeof(*copy), run_kind(run), names_bytes);
    copy->next = NULL;
    copy->pin.prev = copy->pin.next = NULL;
    copy->log = (struct logbuf){0};
    copy->extra = NULL;
    if (run->end != RUN_OPEN)
        copy->ended = copy_ended(run);
    if (run->extra)
        copy->extra = copy_extra(run->extra);
    if ((run->extra && !copy->extra) || (run->end != RUN_OPEN && !copy->ended)) {
        tasklog_result_free(copy);
        return NULL;
    }
    return copy;
}

void run_become(struct tasklog_result *run, struct tasklog_result *after)
{
    free_extra(run->extra);
    if (run->end != RUN_OPEN)
        free(run->ended);
    run->extra = after->extra;
    run->ended = after->ended;
    run->end = after->end;
    run->missing = after->missing;
    run->lines = after->lines;
    run->bytes = after->bytes;
    after->extra = NULL;
    after->ended = NULL;
    tasklog_result_free(after);
}

int run_need_extra(struct tasklog_result *run)
{
    if (run->extra)
        return 0;
    run->extra = calloc(1, sizeof(*run->extra));
    if (!run->extra)
        return -ENOMEM;
    run->extra->processed = run->extra->failed = run->extra->total = TASKLOG_ABSENT;
    return 0;
}

struct run_extra run_extra_of(const struct tasklog_result *run)
{
    return run->extra ? *run->extra
                      : (struct run_extra){.processed = TASKLOG_ABSENT,
                                           .failed = TASKLOG_ABSENT,
                                           .total = TASKLOG_ABSENT};
}

size_t tasklog_result_memory(const struct tasklog_result *result)
{
    size_t bytes = result->names_at + names_bytes_of(result);
    const struct run_extra *extra = result->extra;

    bytes += logbuf_sums(&result->log).memory_bytes;
    if (result->end != RUN_OPEN)
        bytes += ended_bytes(result);
    if (!extra)
        return bytes;
    bytes += sizeof(*extra) + (extra->first_error ? strlen(extra->first_error) + 1 : 0);
    for (size_t i = 0; i < extra->counter_count; i++)
        bytes += sizeof(extra->counters[i]) + strlen(extra->counters[i].name) + 1;
    return bytes;
}

void tasklog_result_free(struct tasklog_result *result)
{
    if (!result)
        return;
    run_unpin(&result->pin);
    logbuf_done(&result->log);
    free_extra(result->extra);
    if (result->end != RUN_OPEN)
        free(result->ended);
    free(result);
}

static struct run_counter *find_counter(const struct run_extra *extra, const char *name,
                                        size_t bytes)
{
    for (size_t i = 0; i < extra->counter_count; i++) {
        const char *known = extra->counters[i].name;
        if (strlen(known) == bytes && memcmp(known, name, bytes) == 0)
            return &extra->counters[i];
    }
    return NULL;
}

/* Adds names that are new, with the value 0; all of them or none. */
static int add_names(struct run_extra *extra, struct control *control)
{
    size_t before = extra->counter_count;

    for (size_t i = 0; i < control->counter_count; i++) {
        const struct control_counter *counter = &control->counters[i];
        if (find_counter(extra, counter->name, counter->name_bytes))
            continue;
        if (extra->counter_count == CONTROL_COUNTERS_MAX) {
            control->unreadable = true;
            continue;
        }
        struct run_counter *grown =
            realloc(extra->counters, (extra->counter_count + 1) * sizeof(*grown));
        if (!grown)
            goto failed;
        extra->counters = grown;
        char *name = text_copy(counter->name, counter->name_bytes);
        if (!name)
            goto failed;
        grown[extra->counter_count++] = (struct run_counter){name, 0};
    }
    return 0;

failed:
    while (extra->counter_count > before)
        free(extra->counters[--extra->counter_count].name);
    return -ENOMEM;
}

static void add_counters(struct run_extra *extra, struct control *control)
{
    for (size_t i = 0; i < control->counter_count; i++) {
        const struct control_counter *counter = &control->counters[i];
        struct run_counter *sum = find_counter(extra, counter->name, counter->name_bytes);
        int64_t value;
        if (!sum)
            continue;
        if (__builtin_add_overflow(sum->value, counter->value, &value))
            control->unreadable = true;
        else
            sum->value = value;
    }
}

int run_report(struct tasklog_result *run, struct control *control)
{
    if (control->counter_count == 0 && control->processed == TASKLOG_ABSENT &&
        control->failed == TASKLOG_ABSENT && control->total == TASKLOG_ABSENT &&
        control->process == 0)
        return 0;
    int r = run_need_extra(run);
    if (r == 0)
        r = add_names(run->extra, control);
    if (r < 0)
        return r;
    struct run_extra *extra = run->extra;
    add_counters(extra, control);
    if (control->processed != TASKLOG_ABSENT)
        extra->processed = control->processed;
    if (control->failed != TASKLOG_ABSENT)
        extra->failed = control->failed;
    if (control->total != TASKLOG_ABSENT)
        extra->total = control->total;
    if (extra->processed != TASKLOG_ABSENT && extra->failed == TASKLOG_ABSENT)
        extra->failed = 0;
    if (control->process != 0)
        extra->process = (struct tasklog_process){.pid = control->process};
    return 0;
}

bool run_has_first_error(const struct tasklog_result *run)
{
    return run->extra && run->extra->first_error;
}

void run_forget_first_error(struct tasklog_result *run)
{
    if (!run->extra)
        return;
    free(run->extra->first_error);
    run->extra->first_error = NULL;
}

int run_reserve_message(struct tasklog_result *run, int severity, const char *text, size_t bytes)
{
    if (severity > SEVERITY_WARNING)
        return 0;
    int r = run_need_extra(run);
    if (r < 0 || severity > SEVERITY_ERROR || run->extra->first_error)
        return r;
    const char *newline = memchr(text, '\n', bytes);
    size_t line_bytes = newline ? (size_t)(newline - text) : bytes;
    run->extra->first_error = text_copy(text, text_cut(text, line_bytes, FIRST_ERROR_BYTES_MAX));
    return run->extra->first_error ? 0 : -ENOMEM;
}

void run_count_message(struct tasklog_result *run, int severity, size_t bytes)
{
    run->lines++;
    run->bytes += (int64_t)bytes;
    if (severity <= SEVERITY_ERROR)
        run->extra->errors++;
    else if (severity == SEVERITY_WARNING)
        run->extra->warnings++;
}

static int64_t duration_until_us(const struct tasklog_result *run, int64_t end_us)
{
    int64_t duration_us;

    if (end_us <= run->start_us || __builtin_sub_overflow(end_us, run->start_us, &duration_us))
        return 0;
    return duration_us;
}

int64_t run_duration_us(const struct tasklog_result *run)
{
    return duration_until_us(run, run->end == RUN_OPEN ? run->shown_us : run->ended->end_us);
}

const char *run_summary(const struct tasklog_result *run)
{
    return run->end == RUN_OPEN ? "" : run->ended->text + strlen(run->ended->text) + 1;
}

const char *run_detail(const struct tasklog_result *run)
{
    const char *summary = run_summary(run);

    return run->end == RUN_OPEN ? "" : summary + strlen(summary) + 1;
}

void run_set_origin(struct tasklog_result *run, const char *origin, size_t bytes)
{
    const char *known = run_origin(run);

    if (bytes == 0 || (strlen(known) == bytes && memcmp(known, origin, bytes) == 0) ||
        run_need_extra(run) < 0)
        return;
    char *copy = text_copy(origin, bytes);
    if (!copy)
        return;
    free(run->extra->origin);
    run->extra->origin = copy;
}

/* A line that is put together; RUN_SUMMARY_BYTES_MAX is enough for all that there may be. */
struct sentence {
    size_t bytes;
    char text[RUN_SUMMARY_BYTES_MAX];
};

static void __attribute__((format(printf, 2, 3)))
print(struct sentence *out, const char *format, ...)
{
    size_t room = sizeof(out->text) - out->bytes;
    va_list arguments;

    va_start(arguments, format);
    int bytes = vsnprintf(out->text + out->bytes, room, format, arguments);
    va_end(arguments);
    if (bytes > 0)
        out->bytes += (size_t)bytes < room ? (size_t)bytes : room - 1;
}

/* COMPLETED -> Completed. */
static void print_first_word(struct sentence *out, const char *status, bool has_counts)
{
    char word[CONTROL_STATUS_BYTES_MAX + 1];
    size_t bytes = 0;

    for (const char *c = status; *c && bytes < sizeof(word) - 1; c++) {
        bool upper = *c >= 'A' && *c <= 'Z', lower = *c >= 'a' && *c <= 'z';
        if (c == status && lower)
            word[bytes++] = (char)(*c - 'a' + 'A');
        else
            word[bytes++] = (char)(c > status && upper ? *c - 'A' + 'a' : *c);
    }
    word[bytes] = '\0';
    print(out, "%s: ", has_counts && strcmp(status, "FAILED") == 0 ? "Completed" : word);
}

static void print_count(struct sentence *out, int64_t count, const char *what)
{
    print(out, "%lld %s%s, ", (long long)count, what, count == 1 ? "" : "s");
}

static void print_summary(struct sentence *out, const struct tasklog_result *run,
                          const char *status, int64_t end_us)
{
    const struct run_extra extra = run_extra_of(run);
    bool has_counts = extra.processed != TASKLOG_ABSENT || extra.failed != TASKLOG_ABSENT;
    char duration[DURATION_BYTES_MAX];

    print_first_word(out, status, has_counts);
    if (has_counts) {
        print(out, "%lld successful, %lld failed, ",
              (long long)(extra.processed == TASKLOG_ABSENT ? 0 : extra.processed),
              (long long)(extra.failed == TASKLOG_ABSENT ? 0 : extra.failed));
    } else {
        print_count(out, (int64_t)run->lines, "line");
        print_count(out, extra.warnings, "warning");
        print_count(out, extra.errors, "error");
    }
    for (size_t i = 0; i < extra.counter_count; i++)
        print(out, "%s: %lld, ", extra.counters[i].name, (long long)extra.counters[i].value);
    stamp_duration(duration_until_us(run, end_us), duration);
    print(out, "Total time: %s", duration);
}

int run_finish(struct tasklog_result *run, enum run_end end, int64_t end_us, const char *status,
               const char *detail)
{
    struct sentence summary;
    size_t status_bytes = strlen(status);

    summary.bytes = 0;
    print_summary(&summary, run, status, end_us);
    size_t detail_bytes = strlen(detail);
    struct run_ended *ended =
        malloc(sizeof(*ended) + status_bytes + summary.bytes + detail_bytes + 3);
    if (!ended)
        return -ENOMEM;
    ended->end_us = end_us;
    ended->append_at = ended->end_chars = -1;
    memcpy(ended->text, status, status_bytes + 1);
    memcpy(ended->text + status_bytes + 1, summary.text, summary.bytes + 1);
    memcpy(ended->text + status_bytes + summary.bytes + 2, detail, detail_bytes + 1);
    if (run->end != RUN_OPEN) {
        ended->end_chars = run->ended->end_chars;
        free(run->ended);
    }
    run->ended = ended;
    run->end = (uint8_t)end;
    return 0;
}
