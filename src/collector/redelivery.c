/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fingerprints of the spool's last lines: a ring in the spool's order, and a hash table with chains
 * that leads from a fingerprint to its newest place in the ring. Older ones with the same fingerprint are in
 * no chain, so that a chain stays short whatever is logged.
 */
#include "redelivery.h"

#include <stdlib.h>
#include <string.h>

#include "fingerprint.h"

enum { HOSTS = 256, LIVES = 15 };

struct place {
    uint64_t fingerprint;
    uint64_t position; /* in the spool */
    uint32_t next;  /* place in the ring + 1 of another one in the same chain, 0 = there is none */
    uint16_t lives; /* a bit for each life in which a line like it was received that has come */
    bool ambiguous; /* the ring has another one like it */
};

struct redelivery {
    struct place ring[REDELIVERY_LINES];
    uint64_t remembered; /* how many were; the next goes to this, modulo the ring's size */
    uint32_t chains[REDELIVERY_LINES]; /* place in the ring + 1 of the first, 0 = there is none */
    uint64_t behind[HOSTS];            /* by hash of the host: everything before this is passed */
    int64_t starts_us[LIVES];          /* of the last lives */
    unsigned start_count;
};

struct redelivery *redelivery_new(void)
{
    return calloc(1, sizeof(struct redelivery));
}

void redelivery_free(struct redelivery *redelivery)
{
    free(redelivery);
}

void redelivery_begin_life(struct redelivery *redelivery, int64_t wall_us)
{
    if (redelivery->start_count == LIVES)
        memmove(redelivery->starts_us, redelivery->starts_us + 1,
                --redelivery->start_count * sizeof(*redelivery->starts_us));
    redelivery->starts_us[redelivery->start_count++] = wall_us;
}

/* How many lives had begun when it was received. */
static unsigned life_of(const struct redelivery *redelivery, int64_t received_us)
{
    unsigned life = 0;

    for (unsigned i = 0; i < redelivery->start_count; i++)
        life += redelivery->starts_us[i] <= received_us;
    return life;
}

static bool is_coarse(const struct tasklog_line *line)
{
    return line->time_us % 1000000 == 0;
}

/* What leads to the newest with this fingerprint, or is the end of the chain where it would be. */
static uint32_t *find_link(struct redelivery *redelivery, uint64_t print)
{
    uint32_t *link = &redelivery->chains[print % REDELIVERY_LINES];

    while (*link > 0 && redelivery->ring[*link - 1].fingerprint != print)
        link = &redelivery->ring[*link - 1].next;
    return link;
}

static void forget_oldest(struct redelivery *redelivery)
{
    uint32_t oldest = (uint32_t)(redelivery->remembered % REDELIVERY_LINES);
    uint32_t *link = find_link(redelivery, redelivery->ring[oldest].fingerprint);

    if (*link == oldest + 1) /* else a newer one like it stands in the chain */
        *link = redelivery->ring[oldest].next;
}

static void remember(struct redelivery *redelivery, const struct tasklog_line *line, uint16_t lives)
{
    uint64_t print = fingerprint_of(line);

    if (redelivery->remembered >= REDELIVERY_LINES)
        forget_oldest(redelivery);
    uint32_t at = (uint32_t)(redelivery->remembered++ % REDELIVERY_LINES);
    uint32_t *link = find_link(redelivery, print);
    bool alike = *link > 0;
    redelivery->ring[at] = (struct place){.fingerprint = print,
                                          .position = line->position,
                                          .next = alike ? redelivery->ring[*link - 1].next : 0,
                                          .lives = lives,
                                          .ambiguous = alike};
    *link = at + 1;
}

void redelivery_remember(struct redelivery *redelivery, const struct tasklog_line *line)
{
    remember(redelivery, line, 0);
}

void redelivery_note(struct redelivery *redelivery, const struct tasklog_line *line)
{
    unsigned life = life_of(redelivery, line->received_us);

    if (line->received_us != 0 && life < redelivery->start_count && !is_coarse(line))
        remember(redelivery, line, (uint16_t)(1U << life));
}

uint64_t redelivery_oldest(const struct redelivery *redelivery)
{
    uint64_t first =
        redelivery->remembered > REDELIVERY_LINES ? redelivery->remembered % REDELIVERY_LINES : 0;

    return redelivery->remembered > 0 ? redelivery->ring[first].position : UINT64_MAX;
}

/* How old a place in the ring is: greater is later. */
static uint64_t order_of(const struct redelivery *redelivery, uint32_t place)
{
    uint64_t first =
        redelivery->remembered > REDELIVERY_LINES ? redelivery->remembered - REDELIVERY_LINES : 0;

    return first + (place + REDELIVERY_LINES - first % REDELIVERY_LINES) % REDELIVERY_LINES + 1;
}

bool redelivery_is_known(struct redelivery *redelivery, const struct tasklog_line *line)
{
    uint32_t at = *find_link(redelivery, fingerprint_of(line));

    if (at == 0)
        return false;
    struct place *place = &redelivery->ring[at - 1];
    uint64_t *behind = &redelivery->behind[XXH3_64bits(line->host, line->host_bytes) % HOSTS];
    uint64_t order = order_of(redelivery, at - 1);
    uint16_t life = (uint16_t)(1U << life_of(redelivery, line->received_us));
    if (place->ambiguous || (place->lives & life) || (is_coarse(line) && order <= *behind))
        return false;
    place->lives |= life;
    if (order > *behind)
        *behind = order;
    return true;
}
