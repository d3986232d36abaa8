/* SPDX-License-Identifier: Apache-2.0 */
/* Senders that have died. */
#include "death.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void deaths_add(struct deaths *deaths, const struct death *death)
{
    if (deaths->count == deaths->size) {
        size_t size = deaths->size ? deaths->size * 2 : 16;
        struct death *items = realloc(deaths->items, size * sizeof(*items));
        if (!items)
            return;
        deaths->items = items;
        deaths->size = size;
    }
    deaths->items[deaths->count++] = *death;
}

void deaths_done(struct deaths *deaths)
{
    free(deaths->items);
    *deaths = (struct deaths){0};
}

int64_t deaths_due_ms(const struct deaths *deaths)
{
    int64_t due_ms = INT64_MAX;

    for (size_t i = 0; i < deaths->count; i++)
        if (deaths->items[i].due_ms < due_ms)
            due_ms = deaths->items[i].due_ms;
    return due_ms;
}

void deaths_shift(struct deaths *deaths, int64_t shift_ms)
{
    for (size_t i = 0; i < deaths->count; i++) {
        deaths->items[i].due_ms += shift_ms;
    }
}

static bool is_of(const struct death *death, const struct tasklog_sender *sender)
{
    const struct tasklog_process *dead = &death->process, *named = &sender->process;

    if (dead->pid == 0)
        return sender->run < death->position && origin_covers(death->origin, sender->origin);
    return dead->pid == named->pid && dead->start == named->start && dead->boot == named->boot;
}

const struct death *deaths_find(const struct deaths *deaths, const struct tasklog_sender *sender,
                                int64_t now_ms)
{
    for (size_t i = 0; i < deaths->count; i++)
        if (deaths->items[i].due_ms <= now_ms && is_of(&deaths->items[i], sender))
            return &deaths->items[i];
    return NULL;
}

void deaths_drop_due(struct deaths *deaths, int64_t now_ms)
{
    size_t left = 0;

    for (size_t i = 0; i < deaths->count; i++)
        if (deaths->items[i].due_ms > now_ms)
            deaths->items[left++] = deaths->items[i];
    deaths->count = left;
}
