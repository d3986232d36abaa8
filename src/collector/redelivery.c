/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fingerprints of the spool's last lines: a ring in the spool's order, and a hash table with open
 * addressing that leads from a fingerprint to its place in the ring.
 */
#include "redelivery.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SLOTS = REDELIVERY_LINES * 2, HOSTS = 256 };

struct place {
    uint64_t fingerprint; /* 0 = none */
    uint64_t position;    /* in the spool */
    bool ambiguous;       /* the ring has another one like it */
    bool recognised;      /* it has come again */
};

struct redelivery {
    struct place ring[REDELIVERY_LINES];
    uint64_t remembered;    /* how many were; the next goes to this, modulo the ring's size */
    uint32_t slots[SLOTS];  /* place in the ring + 1, 0 = free; may be out of date: compare */
    uint64_t behind[HOSTS]; /* by hash of the host: everything before this is passed */
    bool indexed;
    XXH3_state_t *state;
};

static uint64_t fingerprint(struct redelivery *redelivery, const struct tasklog_line *line)
{
    const struct {
        int64_t time_us;
        uint64_t bytes[4];
        int64_t severity;
    } head = {line->time_us,
              {line->kind_bytes, line->id_bytes, line->host_bytes, line->text_bytes},
              line->severity};

    XXH3_64bits_reset(redelivery->state);
    XXH3_64bits_update(redelivery->state, &head, sizeof(head));
    XXH3_64bits_update(redelivery->state, line->kind, line->kind_bytes);
    XXH3_64bits_update(redelivery->state, line->id, line->id_bytes);
    XXH3_64bits_update(redelivery->state, line->host, line->host_bytes);
    XXH3_64bits_update(redelivery->state, line->text, line->text_bytes);
    uint64_t print = XXH3_64bits_digest(redelivery->state);
    return print ? print : 1;
}

struct redelivery *redelivery_new(void)
{
    struct redelivery *redelivery = calloc(1, sizeof(*redelivery));

    if (!redelivery)
        return NULL;
    redelivery->state = XXH3_createState();
    if (!redelivery->state) {
        free(redelivery);
        return NULL;
    }
    return redelivery;
}

void redelivery_free(struct redelivery *redelivery)
{
    if (!redelivery)
        return;
    XXH3_freeState(redelivery->state);
    free(redelivery);
}

void redelivery_remember(struct redelivery *redelivery, const struct tasklog_line *line)
{
    redelivery->ring[redelivery->remembered++ % REDELIVERY_LINES] =
        (struct place){.fingerprint = fingerprint(redelivery, line), .position = line->position};
}

uint64_t redelivery_oldest(const struct redelivery *redelivery)
{
    uint64_t first =
        redelivery->remembered > REDELIVERY_LINES ? redelivery->remembered % REDELIVERY_LINES : 0;

    return redelivery->remembered > 0 ? redelivery->ring[first].position : UINT64_MAX;
}

/* The slot of a fingerprint, or the free one where it would be. */
static uint32_t *find_slot(struct redelivery *redelivery, uint64_t print)
{
    for (uint64_t i = print;; i++) {
        uint32_t *slot = &redelivery->slots[i % SLOTS];
        if (*slot == 0 || redelivery->ring[*slot - 1].fingerprint == print)
            return slot;
    }
}

/* When the first line comes: all that is to be remembered is in the ring. */
static void build_index(struct redelivery *redelivery)
{
    for (uint32_t i = 0; i < REDELIVERY_LINES; i++) {
        struct place *place = &redelivery->ring[i];
        if (place->fingerprint == 0)
            continue;
        uint32_t *slot = find_slot(redelivery, place->fingerprint);
        if (*slot == 0)
            *slot = i + 1;
        else
            redelivery->ring[*slot - 1].ambiguous = true;
    }
    redelivery->indexed = true;
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
    if (!redelivery->indexed)
        build_index(redelivery);
    uint32_t slot = *find_slot(redelivery, fingerprint(redelivery, line));
    if (slot == 0)
        return false;
    struct place *place = &redelivery->ring[slot - 1];
    uint64_t *behind = &redelivery->behind[XXH3_64bits(line->host, line->host_bytes) % HOSTS];
    uint64_t order = order_of(redelivery, slot - 1);
    bool coarse = line->time_us % 1000000 == 0;
    if (place->ambiguous || place->recognised || (coarse && order <= *behind))
        return false;
    place->recognised = true;
    if (order > *behind)
        *behind = order;
    return true;
}
