/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the database drivers share: waiting with a deadline that an interrupt ends, and the words for
 * failures and outcomes. It refuses to know a database, to log and to ask the system for the time.
 */
#include "driver.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "message.h"
#include "value.h"

enum { LONGEST_WAIT_MS = 3600 * 1000, SHOWN_KEY_BYTES = 60 };

int64_t store_now_ms(const struct tasklog_store *store)
{
    return tasklog_clock_now(store->clock).mono_ms;
}

int store_left_ms(const struct tasklog_store *store, int64_t deadline_ms)
{
    int64_t left = deadline_ms - store_now_ms(store);

    if (left < 0)
        return 0;
    return left < LONGEST_WAIT_MS ? (int)left : LONGEST_WAIT_MS;
}

int store_patience_ms(const struct tasklog_store *store, int64_t deadline_ms)
{
    int half_ms = store_left_ms(store, deadline_ms) / 2 + 1;

    return store->patience_ms > 0 && store->patience_ms < half_ms ? store->patience_ms : half_ms;
}

bool store_is_interrupted(const struct tasklog_store *store)
{
    return atomic_load(&(store->leader != NULL ? store->leader : store)->interrupted);
}

int store_wait(struct tasklog_store *store, int fd, short events, int64_t deadline_ms)
{
    struct pollfd fds[2] = {
        {.fd = fd, .events = events},
        {.fd = atomic_load(&store->wake_fd), .events = POLLIN},
    };

    for (;;) {
        /* A poll that waited for all that was left is the deadline, whatever a lent clock says. */
        int r = poll(fds, 2, store_left_ms(store, deadline_ms));

        if (store_is_interrupted(store))
            return store_fail(store, -ECANCELED, "interrupted");
        if (r > 0)
            return fds[0].revents;
        if (r == 0)
            return store_fail(store, -EAGAIN, "no answer in time");
        if (errno != EINTR)
            return store_fail(store, -EAGAIN, "poll: %s", strerror(errno));
    }
}

int store_fail(struct tasklog_store *store, int r, const char *format, ...)
{
    char text[2 * STORE_MESSAGE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    message_line(store->message, sizeof store->message, text);
    return r;
}

void outcome_set(struct tasklog_outcome *outcome, enum tasklog_verdict verdict,
                 const char *sqlstate, const char *format, ...)
{
    char text[2 * TASKLOG_REASON_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    outcome->verdict = verdict;
    outcome->cause = TASKLOG_BUSY;
    snprintf(outcome->sqlstate, sizeof outcome->sqlstate, "%s", sqlstate != NULL ? sqlstate : "");
    message_line(outcome->reason, sizeof outcome->reason, text);
}

static void print_key(char *text, size_t bytes, const struct tasklog_column *column,
                      const struct tasklog_value *value)
{
    char shown[SHOWN_KEY_BYTES];

    if (!value_is_text(column->type)) {
        snprintf(text, bytes, "%s = %lld", column->name, (long long)value->number);
        return;
    }
    message_line(shown, sizeof shown, value->text);
    snprintf(text, bytes, "%s = \"%s\"", column->name, shown);
}

void outcome_set_no_row(struct tasklog_outcome *outcome, const struct tasklog_store *store,
                        const struct tasklog_row *row)
{
    char keys[TASKLOG_REASON_BYTES] = "";
    size_t used = 0;

    for (size_t i = 0; i < store->target.key_count && used < sizeof keys; i++) {
        if (i > 0)
            used += (size_t)snprintf(keys + used, sizeof keys - used, " and ");
        if (used < sizeof keys) {
            print_key(keys + used, sizeof keys - used, &store->target.keys[i], &row->keys[i]);
            used += strlen(keys + used);
        }
    }
    outcome_set(outcome, TASKLOG_NEVER, NULL, "no row with %s in table \"%s\"", keys,
                store->target.table);
}

void outcome_set_no_time(struct tasklog_outcome *outcome)
{
    outcome_set(outcome, TASKLOG_LATER, NULL, "not tried yet: the time for this batch is used up");
    outcome->cause = TASKLOG_UNTRIED;
}

void outcome_set_behind(struct tasklog_outcome *outcome)
{
    outcome_set(outcome, TASKLOG_LATER, NULL,
                "an earlier row with the same keys has to be written first");
    outcome->cause = TASKLOG_UNTRIED;
}

static bool value_same(enum tasklog_type type, const struct tasklog_value *a,
                       const struct tasklog_value *b)
{
    if (!value_is_text(type))
        return a->number == b->number;
    return a->text_bytes == b->text_bytes && memcmp(a->text, b->text, a->text_bytes) == 0;
}

static bool row_same_keys(const struct tasklog_store *store, const struct tasklog_row *a,
                          const struct tasklog_row *b)
{
    for (size_t i = 0; i < store->target.key_count; i++) {
        if (!value_same(store->target.keys[i].type, &a->keys[i], &b->keys[i]))
            return false;
    }
    return true;
}

bool row_is_behind(const struct tasklog_store *store, const struct tasklog_row *rows, size_t i,
                   const struct tasklog_outcome *outcomes)
{
    for (size_t j = 0; j < i; j++) {
        if (outcomes[j].verdict == TASKLOG_LATER && row_same_keys(store, &rows[i], &rows[j]))
            return true;
    }
    return false;
}

size_t row_text_bytes(const struct tasklog_store *store, const struct tasklog_row *row)
{
    size_t bytes = 0;

    for (size_t i = 0; i < store->target.column_count; i++) {
        if (value_is_text(store->target.columns[i].type) && !row->columns[i].is_null)
            bytes += row->columns[i].text_bytes;
    }
    return bytes;
}

bool row_is_too_large(const struct tasklog_store *store, const struct tasklog_row *row,
                      size_t bytes_max, struct tasklog_outcome *outcome)
{
    size_t bytes = row_text_bytes(store, row);

    if (bytes <= bytes_max)
        return false;
    outcome_set(outcome, TASKLOG_NEVER, NULL,
                "its texts have %zu bytes, and the database takes no more than %zu in a row", bytes,
                bytes_max);
    return true;
}
