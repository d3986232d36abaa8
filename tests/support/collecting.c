/* SPDX-License-Identifier: Apache-2.0 */
/* A collector for tests; see the header. */
#include "support/collecting.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/steady_clock.h"
#include "tasklog/tag.h"

enum { MESSAGES_MAX = 1000 };

#define LINE_TIME_US INT64_C(1795514400000000) /* 2026-11-24 10:00:00 UTC */

struct message {
    int severity;
    char *text;
};

struct collecting {
    struct tasklog_collector *collector;
    pthread_mutex_t lock; /* covers the messages */
    struct message messages[MESSAGES_MAX];
    size_t message_count;
};

static void remember(void *context, int severity, const char *text)
{
    struct collecting *collecting = context;

    pthread_mutex_lock(&collecting->lock);
    if (collecting->message_count < MESSAGES_MAX)
        collecting->messages[collecting->message_count++] =
            (struct message){severity, strdup(text)};
    pthread_mutex_unlock(&collecting->lock);
}

/* ---- life ---- */

struct tasklog_config *collecting_config(const char *const *parameters)
{
    struct tasklog_config *config;
    char error[TASKLOG_ERROR_BYTES], name[32];

    assert_int_equal(tasklog_config_new(&config), 0);
    for (; *parameters; parameters++) {
        size_t name_bytes = strcspn(*parameters, "=");
        if (strcmp(*parameters, "shared") == 0) {
            tasklog_config_set_shared(config);
            continue;
        }
        snprintf(name, sizeof(name), "%.*s", (int)name_bytes, *parameters);
        if (tasklog_config_set(config, name, *parameters + name_bytes + 1, error) < 0)
            fail_msg("%s", error);
    }
    if (tasklog_config_check(config, error) < 0)
        fail_msg("%s", error);
    return config;
}

struct collecting *collecting_new(const char *const *parameters, const struct tasklog_clock *clock)
{
    struct collecting *collecting = calloc(1, sizeof(*collecting));
    char error[TASKLOG_ERROR_BYTES];

    setenv("TZ", "UTC", 1);
    tzset();
    assert_non_null(collecting);
    pthread_mutex_init(&collecting->lock, NULL);
    const struct tasklog_hooks hooks = {.clock = *clock, .say = remember, .context = collecting};
    if (tasklog_collector_new(collecting_config(parameters), &hooks, error,
                              &collecting->collector) < 0)
        fail_msg("%s", error);
    return collecting;
}

void collecting_start(struct collecting *collecting)
{
    char error[TASKLOG_ERROR_BYTES];

    assert_int_equal(tasklog_collector_start(collecting->collector, error), 0);
}

void collecting_free(struct collecting *collecting)
{
    if (!collecting)
        return;
    tasklog_collector_free(collecting->collector);
    for (size_t i = 0; i < collecting->message_count; i++)
        free(collecting->messages[i].text);
    pthread_mutex_destroy(&collecting->lock);
    free(collecting);
}

struct tasklog_collector *collecting_collector(const struct collecting *collecting)
{
    return collecting->collector;
}

struct tasklog_counters collecting_counters(const struct collecting *collecting)
{
    struct tasklog_counters counters;

    tasklog_collector_count(collecting->collector, &counters);
    return counters;
}

/* ---- lines ---- */

struct tasklog_line collecting_line(const char *tag, const char *text)
{
    struct tasklog_tag parsed;

    if (tasklog_tag_parse(tag, strlen(tag), &parsed))
        abort(); /* the test's own mistake; not always on the thread that may fail */
    return (struct tasklog_line){
        .kind = parsed.kind,
        .kind_bytes = parsed.kind_bytes,
        .id = parsed.id,
        .id_bytes = parsed.id_bytes,
        .host = "web1",
        .host_bytes = 4,
        .text = text,
        .text_bytes = strlen(text),
        .time_us = LINE_TIME_US,
        .severity = 6,
    };
}

bool collecting_try(struct collecting *collecting, const char *tag, const char *text)
{
    struct tasklog_line line = collecting_line(tag, text);

    return tasklog_collector_accept(collecting->collector, &line, 1) == 1;
}

void collecting_give(struct collecting *collecting, const char *tag, const char *text)
{
    if (!collecting_try(collecting, tag, text))
        fail_msg("the line \"%.60s\" of %s is not taken", text, tag);
}

/* ---- messages ---- */

size_t collecting_said(struct collecting *collecting, const char *part)
{
    size_t count = 0;

    pthread_mutex_lock(&collecting->lock);
    for (size_t i = 0; i < collecting->message_count; i++)
        count += strstr(collecting->messages[i].text, part) != NULL;
    pthread_mutex_unlock(&collecting->lock);
    return count;
}

static void print_messages(struct collecting *collecting)
{
    pthread_mutex_lock(&collecting->lock);
    for (size_t i = 0; i < collecting->message_count; i++)
        print_message("said: <%d> %s\n", collecting->messages[i].severity,
                      collecting->messages[i].text);
    pthread_mutex_unlock(&collecting->lock);
}

static struct message find_message(struct collecting *collecting, const char *part)
{
    struct message found = {0};

    pthread_mutex_lock(&collecting->lock);
    for (size_t i = 0; i < collecting->message_count && !found.text; i++)
        if (strstr(collecting->messages[i].text, part))
            found = collecting->messages[i];
    pthread_mutex_unlock(&collecting->lock);
    if (!found.text) {
        print_messages(collecting);
        fail_msg("nobody said \"%s\"", part);
    }
    return found;
}

const char *collecting_message(struct collecting *collecting, const char *part)
{
    return find_message(collecting, part).text;
}

int collecting_severity(struct collecting *collecting, const char *part)
{
    return find_message(collecting, part).severity;
}

/* ---- waiting ---- */

int64_t collecting_deadline_ms(void)
{
    return steady_now_ms() + COLLECTING_PATIENCE_MS;
}

void collecting_pause(struct collecting *collecting, int64_t until_ms, const char *what,
                      const char *file, int line)
{
    if (steady_now_ms() >= until_ms) {
        print_messages(collecting);
        print_message("this never came: %s\n", what);
        _fail(file, line);
    }
    steady_sleep_ms(1);
}
