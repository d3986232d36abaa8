/* SPDX-License-Identifier: Apache-2.0 */
/* Marks of time in a queue; see the header. */
#include "age.h"

#include <string.h>

/* Drops marks that lie closer together than the step, which grows until that makes room. */
static void make_room(struct age *age)
{
    size_t kept = AGE_MARKS;

    while (kept == AGE_MARKS) {
        age->step_ms = 2 * age->step_ms + 1;
        kept = 1;
        for (size_t i = 1; i < AGE_MARKS; i++)
            if (age->marks[i].ms - age->marks[kept - 1].ms >= age->step_ms)
                age->marks[kept++] = age->marks[i];
    }
    age->mark_count = kept;
}

void age_note(struct age *age, uint64_t count, int64_t now_ms)
{
    size_t last = age->mark_count - 1;

    if (count <= age->next)
        return;
    if (age->mark_count == 0 || now_ms - age->marks[last].ms > age->step_ms) {
        if (age->mark_count == AGE_MARKS)
            make_room(age);
        age->marks[age->mark_count].number = age->next;
        age->marks[age->mark_count++].ms = now_ms;
    }
    age->next = count;
}

/* Which mark holds for this number. */
static size_t find_mark(const struct age *age, uint64_t number)
{
    size_t i = age->mark_count;

    while (i > 1 && age->marks[i - 1].number > number)
        i--;
    return i - 1;
}

int64_t age_since_ms(const struct age *age, uint64_t number)
{
    return age->mark_count > 0 ? age->marks[find_mark(age, number)].ms : INT64_MAX;
}

void age_forget(struct age *age, uint64_t number)
{
    size_t first = age->mark_count > 0 ? find_mark(age, number) : 0;

    age->mark_count -= first;
    memmove(age->marks, age->marks + first, age->mark_count * sizeof(age->marks[0]));
    if (age->mark_count < AGE_MARKS / 4)
        age->step_ms /= 2;
    if (number >= age->next)
        age->mark_count = 0;
}
