/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector and its gate: what becomes of a line that is not let in. It is counted, its task's log is to
 * tell of it, and people are told now and then. The lock is held in all but the last.
 */
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "entry.h"
#include "shown.h"
#include "state.h"

enum { REFUSALS_PER_MINUTE = 1, SENDER_BYTES = 120, WHY_BYTES = 200 };

int collector_gate_open(struct tasklog_collector *collector, uint64_t seed)
{
    const struct tasklog_config *config = collector->config;
    const struct gate_rules rules = {.uids = config->trusted_uids,
                                     .uid_count = config->trusted_count,
                                     .max_tasks = config->sender_max_tasks,
                                     .max_rate = config->sender_max_rate,
                                     .level = config->rules.level};

    if (!tasklog_config_tells_senders(config))
        return 0;
    int r = gate_new(&rules, seed, &collector->gate);
    if (r == 0 && rules.max_tasks > 0)
        tasklog_table_set_census(collector->table, gate_census, collector->gate);
    return r;
}

int collector_gate_look(struct tasklog_collector *collector, struct tasklog_line *line,
                        struct tasklog_now now, struct tasklog_sight *ret_sight)
{
    int r = tasklog_table_look(collector->table, line, now, ret_sight);

    if (r < 0)
        return r;
    line->peer = ret_sight->opens ? gate_peer(line) : 0; /* others have that of their task */
    line->omitted = ret_sight->is_running ? ret_sight->omitted_new : 0;
    return 0;
}

/* ---- what is said ---- */

static void name_sender(const struct tasklog_line *line, char text[SENDER_BYTES])
{
    if (line->has_uid)
        snprintf(text, SENDER_BYTES, "uid %u", line->uid);
    else if (line->from_bytes > 0)
        snprintf(text, SENDER_BYTES, "address %s", show_text(line->from, line->from_bytes).text);
    else
        snprintf(text, SENDER_BYTES, "host %s", show_text(line->host, line->host_bytes).text);
}

static void say_why(const struct tasklog_collector *collector, enum gate_verdict verdict,
                    char text[WHY_BYTES])
{
    const struct tasklog_config *config = collector->config;

    switch (verdict) {
    case GATE_UNTRUSTED:
        snprintf(text, WHY_BYTES, "trustedUids does not name it");
        break;
    case GATE_FOREIGN:
        snprintf(text, WHY_BYTES, "the task is another user's, who began it");
        break;
    case GATE_OVER_TASKS:
        snprintf(text, WHY_BYTES, "it has as many open tasks as senderMaxTasks allows, %lld",
                 (long long)config->sender_max_tasks);
        break;
    case GATE_OVER_RATE:
        snprintf(text, WHY_BYTES, "it logs more than senderMaxRate allows, %lld lines a second",
                 (long long)config->sender_max_rate);
        break;
    case GATE_ADMIT:
    case GATE_VERDICTS:
        break;
    }
}

static void prepare_refusal(struct tasklog_collector *collector, const struct tasklog_line *line,
                            enum gate_verdict verdict, uint64_t held)
{
    char sender[SENDER_BYTES], why[WHY_BYTES] = "", more[64] = "";

    name_sender(line, sender);
    say_why(collector, verdict, why);
    if (held > 0)
        snprintf(more, sizeof(more), ", and %llu more like it before", (unsigned long long)held);
    snprintf(collector->refusal, sizeof(collector->refusal),
             "a line of \"%.*s[%s]\" from %s is refused: %s; dropped%s", (int)line->kind_bytes,
             line->kind, show_text(line->id, line->id_bytes).text, sender, why, more);
}

/* Once: what is to be done about it. True if that is what there is to say. */
static bool prepare_advice(struct tasklog_collector *collector, const struct tasklog_line *line)
{
    bool trusts = collector->config->trusted_count > 0;
    const char *advice = collector->hooks.uid_advice;

    if (line->has_uid || collector->said_no_uid || (!trusts && !line->is_local))
        return false;
    collector->said_no_uid = true;
    snprintf(collector->refusal, sizeof(collector->refusal),
             "a line of \"%.*s[%s]\" comes without a user that the kernel vouches for, %s%s%s",
             (int)line->kind_bytes, line->kind, show_text(line->id, line->id_bytes).text,
             trusts
                 ? "and trustedUids is set: dropped, as all such lines will be"
                 : "so that all of this host's senders share one senderMaxTasks and senderMaxRate",
             advice ? "; " : "", advice ? advice : "");
    return true;
}

static void prepare(struct tasklog_collector *collector, const struct tasklog_line *line,
                    enum gate_verdict verdict, int64_t now_ms)
{
    struct rate *rate = &collector->refusal_rates[verdict];
    uint64_t held;

    if (verdict == GATE_UNTRUSTED && !line->has_uid && prepare_advice(collector, line))
        return;
    if (collector->refusal[0]) /* another is to be said first */
        rate->held++;
    else if (rate_allows(rate, REFUSALS_PER_MINUTE, now_ms, &held))
        prepare_refusal(collector, line, verdict, held);
}

/* ---- the verdict ---- */

/* That there is such a line at all is in the spool before a kill can make the row complete. */
static void omit(struct tasklog_collector *collector, const struct tasklog_line *line,
                 const struct tasklog_sight *sight)
{
    bool is_first = sight->omitted == 0;

    if (is_first && collector->spool && entry_write_omit(collector->spool, line, 1) < 0)
        collector->unspooled++;
    (void)!tasklog_table_omit(collector->table, line, 1, is_first);
}

bool collector_gate_admits(struct tasklog_collector *collector, const struct tasklog_line *given,
                           struct tasklog_line *line, const struct tasklog_sight *sight,
                           int64_t now_ms)
{
    struct gate *gate = collector->gate;
    enum gate_verdict verdict = gate_judge(gate, given, sight, now_ms);

    collector->refused[verdict]++;
    if (verdict == GATE_ADMIT) {
        if (collector->config->trusted_count == 0 && !collector->refusal[0])
            (void)prepare_advice(collector, given);
        if (sight->opens && !sight->is_running) {
            uint32_t before = gate_refused_before(gate, given);
            line->omitted = sight->starts ? 0 : before;
        }
        return true;
    }
    if (sight->is_running && (verdict == GATE_OVER_RATE || verdict == GATE_OVER_TASKS))
        omit(collector, given, sight);
    prepare(collector, given, verdict, now_ms);
    return false;
}

void collector_gate_say(struct tasklog_collector *collector)
{
    char text[sizeof(collector->refusal)];

    pthread_mutex_lock(&collector->lock);
    memcpy(text, collector->refusal, sizeof(text));
    collector->refusal[0] = '\0';
    pthread_mutex_unlock(&collector->lock);
    if (text[0])
        collector_say(collector, LOG_WARNING, "%s", text);
}
