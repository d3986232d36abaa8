/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays the files in scenarios/: lines, time, and what must come of them. scenarios/README says how
 * they are written. Time goes from one due thing to the next, as in the collector, so that what the
 * table says is due is tried, too.
 */
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/paths.h"
#include "support/tasks.h"

struct scenario {
    char *name;
    char **lines;
    size_t count;
};

struct scenarios {
    struct scenario *items;
    size_t count;
};

struct player {
    struct tasks tasks;
    bool live;
    FILE *out; /* what has happened, each line behind "> " */
};

/* ---- what comes out ---- */

static void print_results(struct player *player)
{
    char *text = tasks_pop_text(&player->tasks), *rest = text, *line;

    while ((line = strsep(&rest, "\n")) != NULL && rest) {
        double elapsed = (double)(player->tasks.now.mono_ms - TASKS_BEGIN_MS) / 1e3;
        if (*line == '|')
            fprintf(player->out, "> %s\n", line);
        else
            fprintf(player->out, "> at %.12gs %s\n", elapsed, line);
    }
    free(text);
}

static void print_counters(struct player *player)
{
    const struct tasklog_table_counters *c = tasklog_table_counters(player->tasks.table);
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"lines", c->lines},
        {"altered", c->altered},
        {"late", c->late},
        {"missing", c->missing},
        {"below_level", c->below_level},
        {"control", c->control},
        {"control_unreadable", c->control_unreadable},
        {"tasks_started", c->tasks_started},
        {"ended_marker", c->ended_marker},
        {"ended_idle", c->ended_idle},
        {"ended_max_runtime", c->ended_max_runtime},
        {"ended_restarted", c->ended_restarted},
    };

    fputs("> counters", player->out);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].value > 0)
            fprintf(player->out, " %s=%" PRIu64, all[i].name, all[i].value);
    fprintf(player->out, " open=%zu\n", tasklog_table_open_count(player->tasks.table));
}

/* ---- what goes in ---- */

/* "1.5s", "-200ms", "2h", "3m", "10" (seconds). */
static int64_t read_ms(const char *text)
{
    char *unit;
    double value = strtod(text, &unit);

    if (unit == text)
        fail_msg("\"%s\" is no time", text);
    if (strcmp(unit, "ms") == 0)
        return (int64_t)value;
    if (strcmp(unit, "m") == 0)
        value *= 60;
    else if (strcmp(unit, "h") == 0)
        value *= 3600;
    else if (strcmp(unit, "s") != 0 && *unit)
        fail_msg("\"%s\" is no time", text);
    return (int64_t)(value * 1000);
}

static void set_rule(struct tasklog_rules *rules, const char *name, const char *value)
{
    if (strcmp(name, "idle") == 0)
        rules->idle_ms = read_ms(value);
    else if (strcmp(name, "maxRuntime") == 0)
        rules->max_runtime_ms = read_ms(value);
    else if (strcmp(name, "live") == 0)
        rules->live_interval_ms = read_ms(value);
    else if (strcmp(name, "late") == 0)
        rules->late_window_ms = read_ms(value);
    else if (strcmp(name, "liveBytes") == 0)
        rules->live_bytes = strtoul(value, NULL, 10);
    else if (strcmp(name, "taskMaxBytes") == 0)
        rules->task_max_bytes = strtoul(value, NULL, 10);
    else if (strcmp(name, "level") == 0)
        rules->level = atoi(value);
    else if (strcmp(name, "showLevel") == 0)
        rules->show_level = strcmp(value, "on") == 0;
    else if (strcmp(name, "escapes") == 0)
        rules->escape_prefix = strcmp(value, "off") == 0 ? -1 : *value;
    else if (strcmp(name, "marker") == 0)
        rules->marker = value;
    else
        fail_msg("there is no rule \"%s\"", name);
}

static int read_severity(const char *name)
{
    static const char *const names[] = {"emerg",   "alert",  "crit", "err",
                                        "warning", "notice", "info", "debug"};

    for (int i = 0; i < 8; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    fail_msg("there is no severity \"%s\"", name);
    return -1;
}

/* Turns %0A into its byte, in place. Returns the length. */
static size_t decode(char *text)
{
    size_t used = 0;
    unsigned value;

    for (const char *at = text; *at; at++) {
        if (*at == '%' && sscanf(at + 1, "%2x", &value) == 1) {
            text[used++] = (char)value;
            at += 2;
        } else {
            text[used++] = *at;
        }
    }
    text[used] = '\0';
    return used;
}

/* "job[1]/err text" */
static void play_line(struct player *player, char *command)
{
    struct tasks *tasks = &player->tasks;
    char *text = strchr(command, ']');
    int severity = INFO;

    if (!text)
        fail_msg("not understood: %s", command);
    text++;
    char *slash = *text == '/' ? text : NULL;
    text += strcspn(text, " ");
    if (*text)
        *text++ = '\0';
    if (slash) {
        *slash = '\0';
        severity = read_severity(slash + 1);
    }
    size_t bytes = decode(text);
    struct tasklog_line line = tasks_line(tasks, command, severity, text);
    line.text_bytes = bytes;
    assert_true(
        tasklog_table_accept(tasks->table, &line, tasks->now, tasks->tight, &tasks->results) >= 0);
}

/* Time goes on, from one due thing to the next. */
static void play_time(struct player *player, int64_t ms)
{
    struct tasks *tasks = &player->tasks;
    int64_t until_ms = tasks->now.mono_ms + ms, due_ms;

    while ((due_ms = tasklog_table_due_ms(tasks->table, player->live)) <= until_ms) {
        if (due_ms > tasks->now.mono_ms)
            tasks_pass_ms(tasks, due_ms - tasks->now.mono_ms);
        tasklog_table_tick(tasks->table, tasks->now, &tasks->results);
        while (player->live && tasklog_table_show(tasks->table, tasks->now, &tasks->results))
            ;
        print_results(player);
        if (tasklog_table_due_ms(tasks->table, player->live) <= tasks->now.mono_ms)
            fail_msg("what was due is still due after it was done");
    }
    tasks_pass_ms(tasks, until_ms - tasks->now.mono_ms);
}

static void play_command(struct player *player, char *command)
{
    struct tasks *tasks = &player->tasks;

    if (*command == '+') {
        char *time = strsep(&command, " ");
        play_time(player, read_ms(time + 1));
        if (!command)
            return;
    }
    if (strcmp(command, "counters") == 0)
        print_counters(player);
    else if (strcmp(command, "drain") == 0)
        tasklog_table_drain(tasks->table, tasks->now, &tasks->results);
    else if (strcmp(command, "live off") == 0)
        player->live = false;
    else if (strcmp(command, "live on") == 0)
        player->live = true;
    else if (strncmp(command, "wall ", 5) == 0)
        tasks->now.wall_us += read_ms(command + 5) * 1000;
    else
        play_line(player, command);
    print_results(player);
}

/* The scenario once more, with what really happened in the place of what should. */
static char *play(const struct scenario *scenario)
{
    struct player player = {.live = true};
    char *rules = NULL, *text = NULL, *rest, *rule;
    size_t bytes, at = 0;

    tasks_init(&player.tasks);
    player.out = open_memstream(&text, &bytes);
    assert_non_null(player.out);
    if (scenario->count > 0 && strncmp(scenario->lines[0], "rules ", 6) == 0) {
        fprintf(player.out, "%s\n", scenario->lines[at]);
        rest = rules = strdup(scenario->lines[at++] + 6);
        while ((rule = strsep(&rest, " ")) != NULL) {
            char *value = strchr(rule, '=');
            assert_non_null(value);
            *value = '\0';
            set_rule(&player.tasks.rules, rule, value + 1);
        }
    }
    tasks_open(&player.tasks);
    for (; at < scenario->count; at++) {
        if (*scenario->lines[at] == '>')
            continue;
        fprintf(player.out, "%s\n", scenario->lines[at]);
        char *command = strdup(scenario->lines[at]);
        play_command(&player, command);
        free(command);
    }
    tasks_close(&player.tasks);
    assert_int_equal(fclose(player.out), 0);
    free(rules);
    return text;
}

static void run_scenario(void **state)
{
    const struct scenario *scenario = *state;
    char *expected = NULL, *got = play(scenario);
    size_t bytes;
    FILE *out = open_memstream(&expected, &bytes);

    assert_non_null(out);
    for (size_t i = 0; i < scenario->count; i++)
        fprintf(out, "%s\n", scenario->lines[i]);
    assert_int_equal(fclose(out), 0);
    expect_text(scenario->name, got, expected);
    free(expected);
    free(got);
}

/* ---- the files ---- */

static void read_file(const char *path, struct scenarios *all)
{
    FILE *file = fopen(path, "r");
    char line[4096];

    if (!file) {
        perror(path);
        exit(1);
    }
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (*line == '#' || !*line)
            continue;
        if (strncmp(line, "== ", 3) == 0) {
            all->items = realloc(all->items, (all->count + 1) * sizeof(*all->items));
            all->items[all->count++] = (struct scenario){.name = strdup(line + 3)};
            continue;
        }
        struct scenario *scenario = &all->items[all->count - 1];
        scenario->lines = realloc(scenario->lines, (scenario->count + 1) * sizeof(char *));
        scenario->lines[scenario->count++] = strdup(line);
    }
    fclose(file);
}

static void free_all(struct scenarios *all)
{
    for (size_t i = 0; i < all->count; i++) {
        for (size_t j = 0; j < all->items[i].count; j++)
            free(all->items[i].lines[j]);
        free(all->items[i].lines);
        free(all->items[i].name);
    }
    free(all->items);
}

static int is_scenario_file(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot && strcmp(dot, ".txt") == 0;
}

int main(void)
{
    struct scenarios all = {0};
    struct dirent **entries;
    char folder[256];
    int count =
        scandir(beside(folder, __FILE__, "scenarios"), &entries, is_scenario_file, alphasort);

    if (count <= 0) {
        perror(folder);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        read_file(path, &all);
        free(entries[i]);
    }
    free(entries);

    struct CMUnitTest *tests = calloc(all.count, sizeof(*tests));
    for (size_t i = 0; i < all.count; i++)
        tests[i] = (struct CMUnitTest){.name = all.items[i].name,
                                       .test_func = run_scenario,
                                       .initial_state = &all.items[i]};
    int failed = _cmocka_run_group_tests("scenarios", tests, all.count, NULL, NULL);
    free(tests);
    free_all(&all);
    return failed;
}
