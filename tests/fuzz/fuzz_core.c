/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the core: tags, control lines, text repair and the task table, with time that passes. The
 * input is text, one thing a line, so that a corpus can be written by hand:
 *
 *     c…              rules: each letter switches one on
 *     +5              5 seconds pass (a digit: powers of 4 seconds), then a tick
 *     -               memory is short from here on, or no longer
 *     <3>job[1]: …    a line with severity 3, and without <3> one with 6
 *
 * Whatever comes in, every result must be without fault, late text must go where the log ends, every
 * line must be in one counter, and in the end nothing may be left.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/result_fault.h"
#include "tasklog/table.h"
#include "tasklog/tag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* How long the log of a task is in the database. */
struct stored {
    char kind[TASKLOG_KIND_BYTES_MAX + 1];
    char id[TASKLOG_ID_BYTES_MAX + 1];
    size_t chars;
};

enum { STORED_MAX = 256 };

struct game {
    struct tasklog_table *table;
    struct tasklog_results results;
    struct tasklog_now now;
    bool tight;
    bool formatted;
    uint64_t given;
    uint64_t finals;
    size_t stored_count;
};

static struct stored all_stored[STORED_MAX]; /* not in the game: clearing it takes time */

static void require(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fuzz_core: %s\n", what);
    abort();
}

/* ---- what comes out ---- */

static struct stored *stored_of(struct game *game, const struct tasklog_report *report)
{
    struct stored *stored = all_stored;

    for (size_t i = 0; i < game->stored_count; i++, stored++)
        if (strcmp(stored->kind, report->kind) == 0 && strcmp(stored->id, report->task_id) == 0)
            return stored;
    if (game->stored_count == STORED_MAX)
        return NULL;
    game->stored_count++;
    require(strlen(report->kind) < sizeof(stored->kind), "a kind is too long");
    require(strlen(report->task_id) < sizeof(stored->id), "a task id is too long");
    strcpy(stored->kind, report->kind);
    strcpy(stored->id, report->task_id);
    stored->chars = 0;
    return stored;
}

static void check_place(struct game *game, const struct tasklog_result *result,
                        const struct tasklog_report *report)
{
    struct stored *stored = stored_of(game, report);
    size_t bytes = tasklog_result_log_bytes(result);
    char *log = malloc(bytes + 1);

    (void)tasklog_result_log_copy(result, NULL, log);
    size_t chars = fault_char_count(log, bytes);
    free(log);
    if (!stored)
        return;
    if (report->type == TASKLOG_RESULT_FINAL)
        stored->chars = chars;
    if (report->type == TASKLOG_RESULT_LATE) {
        require((size_t)report->append_at == stored->chars, "append_at is not the log's length");
        stored->chars += chars;
    }
}

static void take_results(struct game *game)
{
    struct tasklog_result *result;

    while ((result = tasklog_results_pop(&game->results)) != NULL) {
        struct tasklog_report report;
        const char *fault = result_fault(result);
        require(!fault, fault);
        tasklog_result_view(result, &report);
        require(tasklog_kind_is_valid(report.kind, strlen(report.kind)), "a kind is not valid");
        require(tasklog_id_is_valid(report.task_id, strlen(report.task_id)), "an id is not valid");
        check_place(game, result, &report);
        game->finals += report.type == TASKLOG_RESULT_FINAL;
        tasklog_result_free(result);
    }
    require(game->results.memory_bytes == 0 && game->results.count == 0, "a list's sums are wrong");
}

static void check_counters(const struct game *game)
{
    const struct tasklog_table_counters *c = tasklog_table_counters(game->table);
    uint64_t ended = c->ended_marker + c->ended_idle + c->ended_max_runtime + c->ended_restarted;

    require(c->lines + c->altered + c->late + c->below_level + c->control == game->given,
            "a line is in no counter or in two");
    require(c->control_unreadable <= c->control, "more are unreadable than there are");
    require(ended == game->finals, "an end is not counted, or twice");
}

/* ---- what goes in ---- */

static void play_tick(struct game *game, int64_t ms)
{
    int64_t due_ms = tasklog_table_due_ms(game->table, true), before_ms = game->now.mono_ms;

    game->now.mono_ms += ms;
    game->now.wall_us += ms * 1000;
    tasklog_table_tick(game->table, game->now, &game->results);
    while (tasklog_table_show(game->table, game->now, &game->results))
        ;
    require(due_ms <= game->now.mono_ms || game->results.count == 0,
            "something came before its time");
    require(due_ms >= before_ms || ms == 0 || due_ms <= game->now.mono_ms, "due times went mad");
    require(tasklog_table_due_ms(game->table, true) > game->now.mono_ms, "something is still due");
}

static void play_line(struct game *game, const char *text, size_t bytes)
{
    struct tasklog_line line = {.host = "web1", .host_bytes = 4, .severity = 6};
    struct tasklog_tag tag;

    if (bytes >= 3 && text[0] == '<' && text[1] >= '0' && text[1] <= '7' && text[2] == '>') {
        line.severity = text[1] - '0';
        text += 3;
        bytes -= 3;
    }
    const char *fault = tasklog_tag_parse(text, bytes, &tag);
    if (fault) {
        require(*fault != '\0', "a fault has no name");
        return;
    }
    require(tag.used_bytes <= bytes, "a tag is longer than its text");
    require(tasklog_kind_is_valid(tag.kind, tag.kind_bytes), "a kind was taken that is not valid");
    require(tasklog_id_is_valid(tag.id, tag.id_bytes), "an id was taken that is not valid");
    line.kind = tag.kind;
    line.kind_bytes = tag.kind_bytes;
    line.id = tag.id;
    line.id_bytes = tag.id_bytes;
    line.text = text + tag.used_bytes;
    line.text_bytes = bytes - tag.used_bytes;
    if (line.text_bytes > 0 && *line.text == ' ') {
        line.text++;
        line.text_bytes--;
    }
    if (game->formatted) {
        line.formatted = text;
        line.formatted_bytes = bytes;
    }
    line.time_us = game->now.wall_us;
    require(tasklog_table_accept(game->table, &line, game->now, game->tight, &game->results) >= 0,
            "a line was refused");
    game->given++;
}

static void play(struct game *game, const char *text, size_t bytes)
{
    if (bytes == 2 && text[0] == '+' && text[1] >= '0' && text[1] <= '9')
        play_tick(game, 1000LL << (2 * (text[1] - '0')));
    else if (bytes == 1 && text[0] == '+')
        play_tick(game, 100);
    else if (bytes == 1 && text[0] == '-')
        game->tight = !game->tight;
    else
        play_line(game, text, bytes);
    take_results(game);
    check_counters(game);
}

/* The first line, if it begins with "c", says which rules there are. */
static struct tasklog_rules read_rules(struct game *game, const char *text, size_t bytes)
{
    struct tasklog_rules rules = {.marker = "@task",
                                  .level = 6,
                                  .escape_prefix = '#',
                                  .idle_ms = 7200 * 1000,
                                  .live_interval_ms = 5000,
                                  .late_window_ms = 60 * 1000,
                                  .live_bytes = 64 << 10,
                                  .task_max_bytes = 64 << 20};

    for (size_t i = 1; i < bytes && text[0] == 'c'; i++) {
        switch (text[i]) {
        case 'm':
            rules.marker = "#!";
            break;
        case 'l':
            rules.level = 7;
            break;
        case 's':
            rules.show_level = true;
            break;
        case 'e':
            rules.escape_prefix = -1;
            break;
        case 'i':
            rules.idle_ms = 10 * 1000;
            break;
        case 'r':
            rules.max_runtime_ms = 60 * 1000;
            break;
        case 'v':
            rules.live_interval_ms = 0;
            break;
        case 'w':
            rules.late_window_ms = 0;
            break;
        case 'b':
            rules.live_bytes = 40;
            break;
        case 'x':
            rules.task_max_bytes = 200;
            break;
        case 'y':
            rules.task_max_bytes = 1;
            break;
        case 'f':
            game->formatted = true;
            break;
        default:
            break;
        }
    }
    return rules;
}

static void finish(struct game *game)
{
    tasklog_table_drain(game->table, game->now, &game->results);
    require(tasklog_table_memory(game->table) == 0, "memory is left after a drain");
    require(tasklog_table_open_count(game->table) == 0, "tasks are left after a drain");
    require(tasklog_table_due_ms(game->table, true) == INT64_MAX, "something is due after a drain");
    tasklog_table_free(game->table);
    take_results(game);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    setenv("TZ", "UTC", 1);
    tzset();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[16] = "the fuzzer's own";
    struct game game = {.now = {.mono_ms = 1000000, .wall_us = INT64_C(1795514400000000)}};
    const char *at = (const char *)data, *end = at + size;
    bool first = true;

    do {
        const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        size_t bytes = (size_t)((newline ? newline : end) - at);
        /* A copy, for nothing behind a line may be read. */
        char *line = malloc(bytes > 0 ? bytes : 1);
        if (bytes > 0)
            memcpy(line, at, bytes);
        if (first) {
            struct tasklog_rules rules = read_rules(&game, line, bytes);
            require(tasklog_table_new(&rules, seed, &game.table) == 0, "there is no table");
        }
        if (!first || bytes == 0 || *line != 'c')
            play(&game, line, bytes);
        first = false;
        free(line);
        at += bytes + 1;
    } while (at < end);
    finish(&game);
    return 0;
}
