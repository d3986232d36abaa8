/* SPDX-License-Identifier: Apache-2.0 */
/* A store by script; see the header. One lock covers all of it. */
#include "support/fake_store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 20000, OFFERS_MAX = 16384 };

struct tasklog_store {
    const struct tasklog_target *target;
    const struct tasklog_clock *clock;
    bool is_used; /* a call is running */
    bool is_interrupted;
    char message[256];
};

/* How often a row was offered, to tell the judge: a hash table, empty where the attempt is 0. */
struct offer {
    char id[64];
    char status[32];
    unsigned attempt;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int answer;
    char message[256];
    bool is_blocked;
    fake_judge *judge;
    bool is_slow;
    char poison[64];
    struct fake_row rows[ROWS_MAX];
    size_t row_count;
    struct offer offers[OFFERS_MAX];
    struct fake_calls calls;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void insist(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "the fake store is misused: %s\n", what);
    abort();
}

/* ---- the test's side ---- */

void fake_store_reset(void)
{
    pthread_mutex_lock(&fake.lock);
    insist(fake.calls.stores == 0, "a store was not freed");
    for (size_t i = 0; i < fake.row_count; i++)
        free(fake.rows[i].log);
    fake.answer = 0;
    fake.message[0] = '\0';
    fake.is_blocked = false;
    fake.judge = NULL;
    fake.is_slow = false;
    fake.poison[0] = '\0';
    fake.row_count = 0;
    memset(fake.offers, 0, sizeof(fake.offers));
    fake.calls = (struct fake_calls){0};
    pthread_mutex_unlock(&fake.lock);
}

void fake_store_answer(int r, const char *message)
{
    pthread_mutex_lock(&fake.lock);
    fake.answer = r;
    snprintf(fake.message, sizeof(fake.message), "%s", message);
    pthread_mutex_unlock(&fake.lock);
}

void fake_store_block(bool blocked)
{
    pthread_mutex_lock(&fake.lock);
    fake.is_blocked = blocked;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

void fake_store_judge(fake_judge *judge)
{
    pthread_mutex_lock(&fake.lock);
    fake.judge = judge;
    pthread_mutex_unlock(&fake.lock);
}

void fake_store_slow(bool slow)
{
    pthread_mutex_lock(&fake.lock);
    fake.is_slow = slow;
    pthread_mutex_unlock(&fake.lock);
}

void fake_store_poison(const char *id)
{
    pthread_mutex_lock(&fake.lock);
    snprintf(fake.poison, sizeof(fake.poison), "%s", id);
    pthread_mutex_unlock(&fake.lock);
}

size_t fake_store_kept_count(void)
{
    pthread_mutex_lock(&fake.lock);
    size_t count = fake.row_count;
    pthread_mutex_unlock(&fake.lock);
    return count;
}

const struct fake_row *fake_store_kept(size_t index)
{
    insist(index < fake_store_kept_count(), "the test asks for a row that was not kept");
    return &fake.rows[index];
}

size_t fake_store_kept_of(const char *id, const char *status)
{
    size_t count = 0;

    pthread_mutex_lock(&fake.lock);
    for (size_t i = 0; i < fake.row_count; i++)
        count += (!id || strcmp(fake.rows[i].id, id) == 0) &&
                 (!status || strcmp(fake.rows[i].status, status) == 0);
    pthread_mutex_unlock(&fake.lock);
    return count;
}

struct fake_calls fake_store_calls(void)
{
    pthread_mutex_lock(&fake.lock);
    struct fake_calls calls = fake.calls;
    pthread_mutex_unlock(&fake.lock);
    return calls;
}

/* ---- the store's side ---- */

int __wrap_tasklog_store_new(const struct tasklog_target *target, const struct tasklog_clock *clock,
                             char *error, size_t error_bytes, struct tasklog_store **ret_store);
void __wrap_tasklog_store_free(struct tasklog_store *store);
int __wrap_tasklog_store_open(struct tasklog_store *store, int timeout_ms);
int __wrap_tasklog_store_write(struct tasklog_store *store, const struct tasklog_row *rows,
                               size_t count, int timeout_ms, struct tasklog_outcome *ret_outcomes);
void __wrap_tasklog_store_set_patience(struct tasklog_store *store, int patience_ms);
void __wrap_tasklog_store_interrupt(struct tasklog_store *store);
const char *__wrap_tasklog_store_message(const struct tasklog_store *store);
const char *__wrap_tasklog_store_name(const struct tasklog_store *store);

int __wrap_tasklog_store_new(const struct tasklog_target *target, const struct tasklog_clock *clock,
                             char *error, size_t error_bytes, struct tasklog_store **ret_store)
{
    if (strcmp(target->table, "refused") == 0) {
        snprintf(error, error_bytes, "the fake store refuses this table");
        return -EINVAL;
    }
    struct tasklog_store *store = calloc(1, sizeof(*store));
    if (!store)
        return -ENOMEM;
    store->target = target;
    store->clock = clock;
    pthread_mutex_lock(&fake.lock);
    fake.calls.stores++;
    pthread_mutex_unlock(&fake.lock);
    *ret_store = store;
    return 0;
}

void __wrap_tasklog_store_free(struct tasklog_store *store)
{
    if (!store)
        return;
    pthread_mutex_lock(&fake.lock);
    insist(!store->is_used, "freed while it is used");
    fake.calls.stores--;
    pthread_mutex_unlock(&fake.lock);
    free(store);
}

void __wrap_tasklog_store_set_patience(struct tasklog_store *store, int patience_ms)
{
    insist(!store->is_used, "told while it is used");
    insist(patience_ms > 0 && patience_ms <= 15000, "a strange patience");
    pthread_mutex_lock(&fake.lock);
    fake.calls.patience_ms = patience_ms;
    pthread_mutex_unlock(&fake.lock);
}

void __wrap_tasklog_store_interrupt(struct tasklog_store *store)
{
    pthread_mutex_lock(&fake.lock);
    store->is_interrupted = true;
    fake.calls.interrupts++;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

const char *__wrap_tasklog_store_message(const struct tasklog_store *store)
{
    return store->message;
}

const char *__wrap_tasklog_store_name(const struct tasklog_store *store)
{
    (void)store;
    return "fake database \"fake\"";
}

/* Begins a call: counts it, waits while it is blocked. The lock is held. Returns its answer. */
static int begin(struct tasklog_store *store, int timeout_ms)
{
    insist(!store->is_used, "used by two threads at once");
    insist(timeout_ms > 0 && timeout_ms <= 60000, "a strange time-out");
    store->is_used = true;
    fake.calls.timeout_ms = timeout_ms;
    if (fake.calls.call_count < sizeof(fake.calls.called_ms) / sizeof(fake.calls.called_ms[0]))
        fake.calls.called_ms[fake.calls.call_count++] = tasklog_clock_now(store->clock).mono_ms;
    fake.calls.is_blocked = fake.is_blocked;
    while (fake.is_blocked && !store->is_interrupted)
        pthread_cond_wait(&fake.changed, &fake.lock);
    fake.calls.is_blocked = false;
    store->message[0] = '\0';
    if (store->is_interrupted) {
        snprintf(store->message, sizeof(store->message), "interrupted");
        return -ECANCELED;
    }
    memcpy(store->message, fake.message, sizeof(store->message));
    return fake.answer;
}

static void end(struct tasklog_store *store)
{
    store->is_used = false;
    pthread_mutex_unlock(&fake.lock);
}

int __wrap_tasklog_store_open(struct tasklog_store *store, int timeout_ms)
{
    pthread_mutex_lock(&fake.lock);
    fake.calls.opens++;
    int r = begin(store, timeout_ms);
    end(store);
    return r;
}

static const struct tasklog_value *value_of(const struct tasklog_store *store,
                                            const struct tasklog_row *row, const char *column)
{
    for (size_t i = 0; i < store->target->column_count; i++)
        if (strcmp(store->target->columns[i].name, column) == 0)
            return &row->columns[i];
    insist(false, "there is no such column");
    return NULL;
}

static unsigned next_attempt(const char *id, const char *status)
{
    size_t at = 0;

    for (const char *c = id; *c; c++)
        at = at * 31 + (unsigned char)*c;
    for (size_t looks = 0; looks < OFFERS_MAX; looks++, at++) {
        struct offer *offer = &fake.offers[at % OFFERS_MAX];
        if (offer->attempt == 0) {
            snprintf(offer->id, sizeof(offer->id), "%s", id);
            snprintf(offer->status, sizeof(offer->status), "%s", status);
        }
        if (strcmp(offer->id, id) == 0 && strcmp(offer->status, status) == 0)
            return ++offer->attempt;
    }
    insist(false, "too many rows for a judge");
    return 0;
}

static void keep(const struct tasklog_store *store, const struct tasklog_row *row)
{
    const struct tasklog_value *log = value_of(store, row, "log");

    insist(fake.row_count < ROWS_MAX, "too many rows");
    struct fake_row *kept = &fake.rows[fake.row_count];
    snprintf(kept->id, sizeof(kept->id), "%s", row->keys[0].text);
    snprintf(kept->status, sizeof(kept->status), "%s", value_of(store, row, "status")->text);
    kept->log = malloc(log->text_bytes + 1);
    insist(kept->log != NULL, "out of memory");
    memcpy(kept->log, log->text, log->text_bytes + 1);
    kept->append_at = row->append_at;
    kept->batch = fake.calls.writes;
    fake.row_count++;
}

static bool same_key_waits(const struct tasklog_row *rows, size_t i,
                           const struct tasklog_outcome *outcomes)
{
    for (size_t j = 0; j < i; j++)
        if (outcomes[j].verdict == TASKLOG_LATER &&
            strcmp(rows[j].keys[0].text, rows[i].keys[0].text) == 0)
            return true;
    return false;
}

static void decide(const struct tasklog_store *store, const struct tasklog_row *rows, size_t i,
                   struct tasklog_outcome *outcomes)
{
    const char *id = rows[i].keys[0].text;
    const char *status = value_of(store, &rows[i], "status")->text;

    outcomes[i] = (struct tasklog_outcome){.verdict = TASKLOG_KEPT};
    if (fake.judge && same_key_waits(rows, i, outcomes)) {
        outcomes[i].verdict = TASKLOG_LATER;
        outcomes[i].cause = TASKLOG_UNTRIED;
    } else if (fake.judge) {
        outcomes[i].verdict = fake.judge(id, status, next_attempt(id, status));
        outcomes[i].cause = fake.is_slow ? TASKLOG_SLOW : TASKLOG_BUSY;
    }
    if (outcomes[i].verdict == TASKLOG_KEPT)
        keep(store, &rows[i]);
    else
        snprintf(outcomes[i].reason, sizeof(outcomes[i].reason), "reason %s", id);
    if (outcomes[i].verdict == TASKLOG_NEVER)
        strcpy(outcomes[i].sqlstate, "22001");
}

int __wrap_tasklog_store_write(struct tasklog_store *store, const struct tasklog_row *rows,
                               size_t count, int timeout_ms, struct tasklog_outcome *ret_outcomes)
{
    size_t bytes = 0;

    insist(count > 0, "nothing to write");
    pthread_mutex_lock(&fake.lock);
    fake.calls.writes++;
    if (count > fake.calls.most_rows)
        fake.calls.most_rows = count;
    for (size_t i = 0; i < count; i++)
        bytes += value_of(store, &rows[i], "log")->text_bytes;
    if (bytes > fake.calls.most_bytes)
        fake.calls.most_bytes = bytes;
    int r = begin(store, timeout_ms);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (strcmp(rows[i].keys[0].text, fake.poison) == 0) {
            snprintf(store->message, sizeof(store->message), "the session ended");
            r = -EAGAIN;
        }
    }
    for (size_t i = 0; r == 0 && i < count; i++)
        decide(store, rows, i, ret_outcomes);
    end(store);
    return r;
}
