/* SPDX-License-Identifier: Apache-2.0 */
/* One run: made, copied, counted and summed up. It knows no task table and no rules about time. */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stamp.h"
#include "text.h"

struct tasklog_result *run_new(const struct tasklog_line *line)
{
    size_t names = line->kind_bytes + line->id_bytes + line->host_bytes + 3;
    struct tasklog_result *run = calloc(1, sizeof(*run) + names);

    if (!run)
        return NULL;
    strcpy(run->status, "RUNNING");
    run->start_us = line->time_us;
    run->end_us = TASKLOG_ABSENT;
    run->processed = run->failed = run->total = TASKLOG_ABSENT;
    run->append_at = -1;
    run->run = run->pin.position = line->position;
    run->kind_bytes = (uint16_t)line->kind_bytes;
    run->id_bytes = (uint16_t)line->id_bytes;
    memcpy(run->names, line->kind, line->kind_bytes);
    memcpy(run->names + line->kind_bytes + 1, line->id, line->id_bytes);
    if (line->host_bytes > 0 && text_is_valid(line->host, line->host_bytes))
        memcpy(run->names + line->kind_bytes + line->id_bytes + 2, line->host, line->host_bytes);
    return run;
}

/* A string of `bytes` bytes, behind which nothing is looked at. */
static char *copy_bytes(const char *data, size_t bytes)
{
    char *copy = malloc(bytes + 1);

    if (!copy)
        return NULL;
    memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    return copy;
}

static bool copy_counters(const struct tasklog_result *run, struct tasklog_result *copy)
{
    if (run->counter_count == 0)
        return true;
    copy->counters = calloc(run->counter_count, sizeof(*copy->counters));
    if (!copy->counters)
        return false;
    for (size_t i = 0; i < run->counter_count; i++) {
        copy->counters[i].name = strdup(run->counters[i].name);
        if (!copy->counters[i].name)
            return false;
        copy->counters[i].value = run->counters[i].value;
        copy->counter_count = i + 1;
    }
    return true;
}

static bool copy_text(const char *text, char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return !text || *ret_copy;
}

struct tasklog_result *run_copy(const struct tasklog_result *run)
{
    size_t bytes = sizeof(*run) + run->kind_bytes + run->id_bytes + strlen(run_host(run)) + 3;
    struct tasklog_result *copy = malloc(bytes);

    if (!copy)
        return NULL;
    memcpy(copy, run, bytes);
    copy->next = NULL;
    copy->pin.prev = copy->pin.next = NULL;
    copy->log = (struct logbuf){0};
    copy->first_error = NULL;
    copy->summary = NULL;
    copy->counters = NULL;
    copy->counter_count = 0;
    if (!copy_text(run->first_error, &copy->first_error) ||
        !copy_text(run->summary, &copy->summary) || !copy_counters(run, copy)) {
        tasklog_result_free(copy);
        return NULL;
    }
    return copy;
}

static struct run_counter *find_counter(const struct tasklog_result *run, const char *name,
                                        size_t bytes)
{
    for (size_t i = 0; i < run->counter_count; i++) {
        const char *known = run->counters[i].name;
        if (strlen(known) == bytes && memcmp(known, name, bytes) == 0)
            return &run->counters[i];
    }
    return NULL;
}

/* Adds names that are new, with the value 0; all of them or none. */
static int add_names(struct tasklog_result *run, struct control *control)
{
    size_t before = run->counter_count;

    for (size_t i = 0; i < control->counter_count; i++) {
        const struct control_counter *counter = &control->counters[i];
        if (find_counter(run, counter->name, counter->name_bytes))
            continue;
        if (run->counter_count == CONTROL_COUNTERS_MAX) {
            control->unreadable = true;
            continue;
        }
        struct run_counter *grown =
            realloc(run->counters, (run->counter_count + 1) * sizeof(*grown));
        if (!grown)
            goto failed;
        run->counters = grown;
        char *name = copy_bytes(counter->name, counter->name_bytes);
        if (!name)
            goto failed;
        grown[run->counter_count++] = (struct run_counter){name, 0};
    }
    return 0;

failed:
    while (run->counter_count > before)
        free(run->counters[--run->counter_count].name);
    return -ENOMEM;
}

int run_report(struct tasklog_result *run, struct control *control)
{
    int r = add_names(run, control);
    if (r < 0)
        return r;
    for (size_t i = 0; i < control->counter_count; i++) {
        const struct control_counter *counter = &control->counters[i];
        struct run_counter *sum = find_counter(run, counter->name, counter->name_bytes);
        int64_t value;
        if (!sum)
            continue;
        if (__builtin_add_overflow(sum->value, counter->value, &value))
            control->unreadable = true;
        else
            sum->value = value;
    }
    if (control->processed != TASKLOG_ABSENT)
        run->processed = control->processed;
    if (control->failed != TASKLOG_ABSENT)
        run->failed = control->failed;
    if (control->total != TASKLOG_ABSENT)
        run->total = control->total;
    if (run->processed != TASKLOG_ABSENT && run->failed == TASKLOG_ABSENT)
        run->failed = 0;
    return 0;
}

int run_first_error(struct tasklog_result *run, const char *text, size_t bytes)
{
    if (run->first_error)
        return 0;
    const char *newline = memchr(text, '\n', bytes);
    size_t line_bytes = newline ? (size_t)(newline - text) : bytes;
    char *copy = copy_bytes(text, text_cut(text, line_bytes, FIRST_ERROR_BYTES_MAX));
    if (!copy)
        return -ENOMEM;
    run->first_error = copy;
    return 0;
}

int64_t run_duration_us(const struct tasklog_result *run, int64_t end_us)
{
    int64_t duration_us;

    if (end_us <= run->start_us || __builtin_sub_overflow(end_us, run->start_us, &duration_us))
        return 0;
    return duration_us;
}

/* COMPLETED -> Completed. */
static void print_first_word(FILE *out, const char *status, bool has_counts)
{
    if (strcmp(status, "FAILED") == 0 && has_counts) {
        fputs("Completed", out);
        return;
    }
    for (const char *c = status; *c; c++) {
        bool upper = *c >= 'A' && *c <= 'Z', lower = *c >= 'a' && *c <= 'z';
        if (c == status && lower)
            fputc(*c - 'a' + 'A', out);
        else
            fputc(c > status && upper ? *c - 'A' + 'a' : *c, out);
    }
}

static void print_count(FILE *out, int64_t count, const char *what)
{
    fprintf(out, "%lld %s%s, ", (long long)count, what, count == 1 ? "" : "s");
}

char *run_summary(const struct tasklog_result *run)
{
    bool has_counts = run->processed != TASKLOG_ABSENT || run->failed != TASKLOG_ABSENT;
    char duration[DURATION_BYTES_MAX];
    char *summary = NULL;
    size_t bytes;
    FILE *out = open_memstream(&summary, &bytes);

    if (!out)
        return NULL;
    print_first_word(out, run->status, has_counts);
    fputs(": ", out);
    if (has_counts) {
        fprintf(out, "%lld successful, %lld failed, ",
                (long long)(run->processed == TASKLOG_ABSENT ? 0 : run->processed),
                (long long)(run->failed == TASKLOG_ABSENT ? 0 : run->failed));
    } else {
        print_count(out, run->lines, "line");
        print_count(out, run->warnings, "warning");
        print_count(out, run->errors, "error");
    }
    for (size_t i = 0; i < run->counter_count; i++)
        fprintf(out, "%s: %lld, ", run->counters[i].name, (long long)run->counters[i].value);
    stamp_duration(run_duration_us(run, run->end_us), duration);
    fprintf(out, "Total time: %s", duration);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(summary);
        return NULL;
    }
    return summary;
}
