/* SPDX-License-Identifier: Apache-2.0 */
/* Who may log, and how much; see the header. Both memories are sets of a few places each, so that nothing a
 * sender does makes a search long; the seed keeps it from choosing its set. */
#include "gate.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

enum { WAYS = 4, PEER_SETS = GATE_PEERS_MAX / WAYS, REFUSED_SETS = GATE_REFUSED_MAX / WAYS };
#define IS_UID (UINT64_C(1) << 63)

struct peer {
    uint64_t name; /* 0 = the place is free */
    int64_t since_ms;
    uint32_t open;
    uint32_t lines; /* in the second that began then; likewise: */
    uint32_t controls;
};

/* A task that was not let in: by kind and id. */
struct refused {
    uint64_t name;
    uint32_t count; /* 0 = the place is free */
};

struct gate {
    struct gate_rules rules;
    uint64_t seed;
    struct peer peers[PEER_SETS][WAYS];
    struct peer others; /* all for whom there is no place */
    struct refused refused[REFUSED_SETS][WAYS];
    uint8_t next[REFUSED_SETS]; /* which goes when a set is full */
};

int gate_new(const struct gate_rules *rules, uint64_t seed, struct gate **ret_gate)
{
    struct gate *gate = calloc(1, sizeof(*gate));

    if (!gate)
        return -ENOMEM;
    gate->rules = *rules;
    gate->seed = seed;
    *ret_gate = gate;
    return 0;
}

void gate_free(struct gate *gate)
{
    free(gate);
}

/* ---- senders ---- */

uint64_t gate_peer(const struct tasklog_line *line)
{
    if (line->has_uid)
        return IS_UID | line->uid;
    uint64_t hash = (line->from_bytes > 0 ? XXH3_64bits(line->from, line->from_bytes)
                                          : XXH3_64bits(line->host, line->host_bytes)) &
                    ~IS_UID;
    return hash ? hash : 1;
}

static struct peer *peer_set(struct gate *gate, uint64_t name)
{
    return gate->peers[XXH3_64bits_withSeed(&name, sizeof(name), gate->seed) % PEER_SETS];
}

static struct peer *find_peer(struct gate *gate, uint64_t name)
{
    struct peer *set = peer_set(gate, name);

    for (int i = 0; i < WAYS; i++)
        if (set[i].name == name)
            return &set[i];
    return NULL;
}

static bool is_idle(const struct peer *peer, int64_t now_ms)
{
    return peer->name == 0 || (peer->open == 0 && now_ms - peer->since_ms >= GATE_WINDOW_MS);
}

static struct peer *take_peer(struct gate *gate, uint64_t name, int64_t now_ms)
{
    struct peer *peer = find_peer(gate, name), *set = peer_set(gate, name);

    for (int i = 0; i < WAYS && !peer; i++) {
        if (!is_idle(&set[i], now_ms))
            continue;
        set[i] = (struct peer){.name = name, .since_ms = now_ms};
        peer = &set[i];
    }
    if (!peer)
        peer = &gate->others;
    if (now_ms - peer->since_ms >= GATE_WINDOW_MS) {
        peer->since_ms = now_ms;
        peer->lines = peer->controls = 0;
    }
    return peer;
}

/* A sender's first task may have begun while there was no place for it. */
void gate_census(void *context, uint64_t peer_name, int change)
{
    struct gate *gate = context;
    struct peer *peer = find_peer(gate, peer_name);

    if (!peer && change > 0) {
        struct peer *set = peer_set(gate, peer_name);
        for (int i = 0; i < WAYS && !peer; i++)
            if (set[i].name == 0) {
                peer = &set[i];
                peer->name = peer_name;
            }
    }
    if (!peer || (change < 0 && peer->open == 0))
        peer = &gate->others;
    if (change > 0)
        peer->open++;
    else if (peer->open > 0)
        peer->open--;
}

/* ---- tasks that were not let in ---- */

static struct refused *find_refused(struct gate *gate, const struct tasklog_line *line,
                                    struct refused **ret_place)
{
    uint64_t kind = XXH3_64bits_withSeed(line->kind, line->kind_bytes, gate->seed);
    uint64_t name = XXH3_64bits_withSeed(line->id, line->id_bytes, kind);
    size_t number = name % REFUSED_SETS;
    struct refused *set = gate->refused[number], *place = NULL;

    for (int i = 0; i < WAYS; i++) {
        if (set[i].count > 0 && set[i].name == name)
            return &set[i];
        if (set[i].count == 0)
            place = &set[i];
    }
    if (ret_place && !place)
        place = &set[gate->next[number]++ % WAYS];
    if (ret_place) {
        *place = (struct refused){.name = name};
        *ret_place = place;
    }
    return NULL;
}

static void note_refused(struct gate *gate, const struct tasklog_line *line)
{
    struct refused *place, *refused = find_refused(gate, line, &place);

    if (!refused)
        refused = place;
    if (refused->count < UINT32_MAX)
        refused->count++;
}

uint32_t gate_refused_before(struct gate *gate, const struct tasklog_line *line)
{
    struct refused *refused = find_refused(gate, line, NULL);
    uint32_t count = refused ? refused->count : 0;

    if (refused)
        refused->count = 0;
    return count;
}

/* ---- the verdict ---- */

static bool is_trusted(const struct gate_rules *rules, const struct tasklog_line *line)
{
    for (size_t i = 0; i < rules->uid_count && line->has_uid; i++)
        if (rules->uids[i] == line->uid)
            return true;
    return rules->uid_count == 0;
}

static bool is_foreign(const struct gate_rules *rules, const struct tasklog_line *line,
                       const struct tasklog_sight *sight)
{
    return rules->uid_count > 0 && sight->peer != 0 && sight->peer != gate_peer(line) &&
           line->uid != 0;
}

static enum gate_verdict judge_limits(const struct gate_rules *rules, struct peer *peer,
                                      const struct tasklog_sight *sight)
{
    uint32_t *count = sight->is_control ? &peer->controls : &peer->lines;

    /* A running task that is begun anew ends. */
    if (rules->max_tasks > 0 && sight->opens && !sight->is_running &&
        peer->open >= rules->max_tasks)
        return GATE_OVER_TASKS;
    if (rules->max_rate == 0 || sight->ends)
        return GATE_ADMIT;
    if (*count >= rules->max_rate)
        return GATE_OVER_RATE;
    ++*count;
    return GATE_ADMIT;
}

enum gate_verdict gate_judge(struct gate *gate, const struct tasklog_line *line,
                             const struct tasklog_sight *sight, int64_t now_ms)
{
    const struct gate_rules *rules = &gate->rules;

    if (!is_trusted(rules, line))
        return GATE_UNTRUSTED;
    if (is_foreign(rules, line, sight))
        return GATE_FOREIGN;
    if (rules->max_tasks == 0 && rules->max_rate == 0)
        return GATE_ADMIT;
    if (!sight->is_control && line->severity > rules->level)
        return GATE_ADMIT;
    enum gate_verdict verdict =
        judge_limits(rules, take_peer(gate, gate_peer(line), now_ms), sight);
    if (verdict != GATE_ADMIT && sight->opens && !sight->is_running)
        note_refused(gate, line);
    return verdict;
}
