/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task table: finds tasks by kind and id (a chained hash table), and knows what is due when.
 * Each waiting time is the same for all tasks, so a list that is only ever appended to is sorted by
 * itself and its head is due first:
 *
 *     age     open tasks by start            maxRuntime
 *     quiet   open tasks by last line        idleTimeout
 *     live    open tasks with news           liveInterval
 *     ended   ended tasks by their end       lateWindow
 *     late    ended tasks with late lines    LATE_FLUSH_MS
 *     text    tasks with text in memory      (first to be moved out when memory is short)
 */
#include "tasklog/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "hash.h"
#include "snapshot.h"
#include "task.h"
#include "tasklog/tag.h"
#include "text.h"

enum {
    BUCKETS_MIN = 64,
    LATE_FLUSH_MS = 200,     /* late lines come in bursts: one statement for all of it */
    CHUNKS_PER_TASK = 8,     /* at least so many should fit into the memory that a task may have */
    TIGHT_BYTES_MIN = 16384, /* what a log may hold even when memory is short */
};

struct tasklog_table {
    struct task_env env;
    struct hash_key key;
    struct task **buckets;
    size_t bucket_count; /* a power of two */
    size_t task_count;   /* open and ended */
    size_t open_count;
    size_t memory_bytes; /* of all tasks' logs */
    size_t text_bytes;   /* the length of all tasks' logs */
    uint64_t last_run;   /* that of the last line that was taken */
    struct task_link age, quiet, live, ended, late, text;
    struct run_pin pins; /* runs and results, by their first line in the spool */
    struct text_buffer text_buffer, formatted_buffer, closing_buffer;
    struct control control;
};

/* ---- lists ---- */

static void list_init(struct task_link *list)
{
    list->prev = list->next = list;
}

static void list_add(struct task_link *list, struct task_link *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static void list_remove(struct task_link *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

static struct task *list_first(const struct task_link *list, size_t offset)
{
    return list->next == list ? NULL : (struct task *)((char *)list->next - offset);
}

static struct task *first_by_age(const struct tasklog_table *table)
{
    return list_first(&table->age, offsetof(struct task, age));
}

static struct task *first_quiet(const struct task_link *list)
{
    return list_first(list, offsetof(struct task, quiet));
}

static struct task *first_to_show(const struct task_link *list)
{
    return list_first(list, offsetof(struct task, show));
}

/* ---- the index ---- */

static uint64_t key_hash(const struct tasklog_table *table, const struct tasklog_line *line)
{
    char key[TASKLOG_KIND_BYTES_MAX + 1 + TASKLOG_ID_BYTES_MAX];

    memcpy(key, line->kind, line->kind_bytes);
    key[line->kind_bytes] = '\0';
    memcpy(key + line->kind_bytes + 1, line->id, line->id_bytes);
    return hash_bytes(&table->key, key, line->kind_bytes + 1 + line->id_bytes);
}

static bool is_task_of(const struct task *task, const struct tasklog_line *line, uint64_t hash)
{
    const struct tasklog_result *run = task->run;

    return task->hash == hash && run->kind_bytes == line->kind_bytes &&
           run->id_bytes == line->id_bytes &&
           memcmp(run_kind(run), line->kind, line->kind_bytes) == 0 &&
           memcmp(run_id(run), line->id, line->id_bytes) == 0;
}

static struct task *find(const struct tasklog_table *table, const struct tasklog_line *line,
                         uint64_t hash)
{
    struct task *task = table->buckets[hash & (table->bucket_count - 1)];

    while (task && !is_task_of(task, line, hash))
        task = task->hash_next;
    return task;
}

/* Twice as many buckets, if there is memory for them; if not, the chains grow longer. */
static void grow(struct tasklog_table *table)
{
    size_t count = table->bucket_count * 2;
    struct task **buckets = calloc(count, sizeof(struct task *));

    if (!buckets)
        return;
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct task *task = table->buckets[i];
        while (task) {
            struct task *next = task->hash_next;
            struct task **bucket = &buckets[task->hash & (count - 1)];
            task->hash_next = *bucket;
            *bucket = task;
            task = next;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
}

static void add_to_index(struct tasklog_table *table, struct task *task)
{
    if (table->task_count >= table->bucket_count)
        grow(table);
    struct task **bucket = &table->buckets[task->hash & (table->bucket_count - 1)];
    task->hash_next = *bucket;
    *bucket = task;
    table->task_count++;
}

static void unlink_task(struct tasklog_table *table, struct task *task)
{
    struct task **at = &table->buckets[task->hash & (table->bucket_count - 1)];

    while (*at != task)
        at = &(*at)->hash_next;
    *at = task->hash_next;
    table->task_count--;
    table->text_bytes -= task->text_bytes;
    if (!task->ended)
        table->open_count--;
    list_remove(&task->age);
    list_remove(&task->quiet);
    list_remove(&task->text);
    list_remove(&task->show);
}

/* ---- states ---- */

static void enter_open(struct tasklog_table *table, struct task *task, int64_t now_ms)
{
    task->started_ms = task->quiet_ms = now_ms;
    task->tight_bytes = 0;
    list_remove(&task->age);
    list_remove(&task->quiet);
    list_remove(&task->show);
    list_add(&table->age, &task->age);
    list_add(&table->quiet, &task->quiet);
    if (task->run->run != 0)
        run_pin_before(&table->pins, &task->run->pin);
    table->open_count++;
    table->env.counters.tasks_started++;
}

static void enter_ended(struct tasklog_table *table, struct task *task, int64_t now_ms)
{
    table->open_count--;
    list_remove(&task->age);
    list_remove(&task->quiet);
    list_remove(&task->show);
    task->quiet_ms = now_ms;
    list_add(&table->ended, &task->quiet);
}

static struct task *open_task(struct tasklog_table *table, const struct tasklog_line *line,
                              uint64_t hash, int64_t now_ms)
{
    struct task *task = task_new(line, hash);
    if (!task)
        return NULL;
    add_to_index(table, task);
    enter_open(table, task, now_ms);
    return task;
}

static void close_task(struct tasklog_table *table, struct task *task)
{
    table->memory_bytes -= task->run ? task->run->log.memory_bytes : 0;
    unlink_task(table, task);
    task_free(task);
}

/* A sign of life: the idle time begins anew. */
static void touch(struct tasklog_table *table, struct task *task, int64_t now_ms)
{
    task->quiet_ms = now_ms;
    list_remove(&task->quiet);
    list_add(&table->quiet, &task->quiet);
}

static void show_later(struct task_link *list, struct task *task, int64_t now_ms)
{
    if (task->show.next)
        return;
    task->show_ms = now_ms;
    list_add(list, &task->show);
}

static void show_live_later(struct tasklog_table *table, struct task *task, int64_t now_ms)
{
    if (table->env.rules.live_interval_ms > 0)
        show_later(&table->live, task, now_ms);
}

/* A log of the table's has grown, shrunk or moved to a result. */
static void account(struct tasklog_table *table, struct task *task, size_t before_bytes)
{
    const struct logbuf *log = &task->run->log;

    table->memory_bytes += log->memory_bytes - before_bytes;
    table->text_bytes += log->head_bytes + log->tail_bytes - task->text_bytes;
    task->text_bytes = log->head_bytes + log->tail_bytes;
    if (log->memory_bytes == 0)
        list_remove(&task->text);
    else if (!task->text.next)
        list_add(&table->text, &task->text);
}

/* After the lateWindow: hands out late lines, forgets the task. */
static void forget(struct tasklog_table *table, struct task *task, struct tasklog_results *results)
{
    size_t memory = task->run->log.memory_bytes;

    if (logbuf_bytes(&task->run->log) > 0) {
        task_give_late(task, results);
        table->memory_bytes -= memory;
    }
    close_task(table, task);
}

static bool window_is_over(const struct tasklog_table *table, const struct task *task,
                           int64_t now_ms)
{
    return now_ms - task->quiet_ms >= table->env.rules.late_window_ms;
}

/* ---- taking lines ---- */

static int end_task(struct tasklog_table *table, struct task *task, enum run_end end,
                    const struct task_line *line, struct control *control, struct tasklog_now now,
                    struct tasklog_results *results)
{
    int r = task_end(&table->env, task, end, line, control, now, results);

    if (r == 0)
        enter_ended(table, task, now.mono_ms);
    return r;
}

static int take_start(struct tasklog_table *table, struct task *task, const struct task_line *line,
                      struct tasklog_now now, struct tasklog_results *results)
{
    bool was_open = !task->ended;
    int r = task_restart(&table->env, task, line, &table->control, now, results);

    if (r < 0)
        return r;
    if (was_open)
        table->open_count--;
    enter_open(table, task, now.mono_ms);
    show_live_later(table, task, now.mono_ms);
    return 0;
}

/* A control line of a task that has ended. */
static int take_late_control(struct tasklog_table *table, struct task *task,
                             const struct task_line *line, int64_t now_ms)
{
    const struct control *control = &table->control;
    int r;

    if (control->verb == CONTROL_PROGRESS && !control->unreadable) {
        table->env.counters.late++;
        return 0;
    }
    if (control->verb == CONTROL_END && task->run->end != RUN_MARKER)
        r = task_end_late(&table->env, task, line, &table->control);
    else
        r = task_log(&table->env, task, line, table->env.rules.task_max_bytes);
    if (r == 0)
        show_later(&table->late, task, now_ms);
    return r;
}

static int take(struct tasklog_table *table, struct task *task, const struct task_line *line,
                bool is_control, size_t cap_bytes, struct tasklog_now now,
                struct tasklog_results *results)
{
    int r;

    if (is_control && table->control.verb == CONTROL_START)
        return take_start(table, task, line, now, results);
    if (task->ended) {
        if (is_control)
            return take_late_control(table, task, line, now.mono_ms);
        r = task_log(&table->env, task, line, table->env.rules.task_max_bytes);
        if (r == 0)
            show_later(&table->late, task, now.mono_ms);
        return r;
    }
    if (is_control && table->control.verb == CONTROL_END)
        return end_task(table, task, RUN_MARKER, line, &table->control, now, results);

    if (is_control)
        r = task_progress(&table->env, task, line, &table->control, cap_bytes);
    else
        r = task_log(&table->env, task, line, cap_bytes);
    if (r < 0)
        return r;
    touch(table, task, now.mono_ms);
    show_live_later(table, task, now.mono_ms);
    return 0;
}

/* The first line of a run that the spool has, earlier ones having found it full: a replay will begin
 * the run with this one. */
static void name_run(struct tasklog_table *table, struct tasklog_result *run, uint64_t position)
{
    run->run = run->pin.position = position;
    run_pin_before(&table->pins, &run->pin);
}

/* When memory becomes short, a log's size of that moment is its cap for as long as it is short. */
static size_t cap_of(const struct tasklog_table *table, struct task *task, bool tight)
{
    size_t most = table->env.rules.task_max_bytes;

    if (!tight) {
        task->tight_bytes = 0;
        return most;
    }
    if (task->tight_bytes == 0)
        task->tight_bytes = logbuf_bytes(&task->run->log);
    if (task->tight_bytes < TIGHT_BYTES_MIN)
        task->tight_bytes = TIGHT_BYTES_MIN;
    return task->tight_bytes < most ? task->tight_bytes : most;
}

/* With many tasks, a log grows in small steps, or most of the memory would be room for lines to come. */
static size_t chunk_bytes_of(const struct tasklog_table *table)
{
    size_t all = table->env.rules.memory_bytes;

    return all == 0 ? 0 : all / CHUNKS_PER_TASK / (table->open_count + 1) + 1;
}

/* Repairs the texts of a line and finds out whether it is a control line: 1, 0, or -ENOMEM. */
static int look_at(struct tasklog_table *table, const struct tasklog_line *line,
                   struct task_line *ret_line)
{
    const struct tasklog_rules *rules = &table->env.rules;
    int r = text_repair(line->text, line->text_bytes, rules->escape_prefix, &table->text_buffer,
                        &ret_line->text);

    if (r < 0)
        return r;
    ret_line->line = line;
    ret_line->formatted = (struct text){0};
    if (line->formatted) {
        size_t bytes = line->formatted_bytes;
        if (bytes > 0 && line->formatted[bytes - 1] == '\n')
            bytes--; /* templates end with one; lines are joined by it here */
        r = text_repair(line->formatted, bytes, rules->escape_prefix, &table->formatted_buffer,
                        &ret_line->formatted);
        if (r < 0)
            return r;
    }
    return control_parse(rules->marker, ret_line->text.data, ret_line->text.bytes,
                         &table->closing_buffer, &table->control);
}

int tasklog_table_accept(struct tasklog_table *table, const struct tasklog_line *line,
                         struct tasklog_now now, bool tight, struct tasklog_results *results)
{
    struct task_line seen;
    int is_control = look_at(table, line, &seen);
    uint64_t hash = key_hash(table, line);
    struct task *task = find(table, line, hash);
    bool is_new = false;

    if (is_control < 0)
        return is_control;
    if (task && task->ended && window_is_over(table, task, now.mono_ms)) {
        forget(table, task, results);
        task = NULL;
    }
    if (!is_control && line->severity > table->env.rules.level) {
        table->env.counters.below_level++;
        if (task && !task->ended)
            touch(table, task, now.mono_ms);
        return 0;
    }
    if (!task) {
        task = open_task(table, line, hash, now.mono_ms);
        if (!task)
            return -ENOMEM;
        is_new = true;
        if (is_control && table->control.verb == CONTROL_START)
            table->control.verb = CONTROL_PROGRESS; /* it is started: only the numbers are news */
    }
    size_t before = task->run->log.memory_bytes;
    task->run->log.chunk_bytes = chunk_bytes_of(table);
    int r = take(table, task, &seen, is_control == 1, cap_of(table, task, tight), now, results);
    account(table, task, before);
    if (r == 0 && task->run->run == 0 && line->position != 0)
        name_run(table, task->run, line->position);
    if (r < 0 && is_new) {
        table->env.counters.tasks_started--;
        close_task(table, task);
    }
    if (r < 0)
        return r;
    table->last_run = task->run->run;
    return 1;
}

bool tasklog_table_knows(const struct tasklog_table *table, const struct tasklog_line *line)
{
    return find(table, line, key_hash(table, line)) != NULL;
}

/* ---- what is due ---- */

/* Each of these does the first thing that is due in one list. 1 = did it, 0 = nothing is due,
 * -ENOMEM = it stays due. */
static int close_due(struct tasklog_table *table, struct task *task, enum run_end end,
                     struct tasklog_now now, struct tasklog_results *results)
{
    size_t before = task->run->log.memory_bytes;
    int r = end_task(table, task, end, NULL, NULL, now, results);

    account(table, task, before);
    return r < 0 ? r : 1;
}

static int tick_age(struct tasklog_table *table, struct tasklog_now now,
                    struct tasklog_results *results)
{
    struct task *task = first_by_age(table);
    int64_t most = table->env.rules.max_runtime_ms;

    if (most == 0 || !task || now.mono_ms - task->started_ms < most)
        return 0;
    return close_due(table, task, RUN_MAX_RUNTIME, now, results);
}

static int tick_quiet(struct tasklog_table *table, struct tasklog_now now,
                      struct tasklog_results *results)
{
    struct task *task = first_quiet(&table->quiet);
    int64_t most = table->env.rules.idle_ms;

    if (most == 0 || !task || now.mono_ms - task->quiet_ms < most)
        return 0;
    return close_due(table, task, RUN_IDLE, now, results);
}

static int tick_live(struct tasklog_table *table, struct tasklog_now now,
                     struct tasklog_results *results)
{
    struct task *task = first_to_show(&table->live);

    if (!task || now.mono_ms - task->show_ms < table->env.rules.live_interval_ms)
        return 0;
    int r = task_show_live(&table->env, task, now, results);
    if (r < 0)
        return r;
    list_remove(&task->show);
    return 1;
}

static int tick_late(struct tasklog_table *table, struct tasklog_now now,
                     struct tasklog_results *results)
{
    struct task *task = first_to_show(&table->late);

    if (!task || now.mono_ms - task->show_ms < LATE_FLUSH_MS)
        return 0;
    size_t before = task->run->log.memory_bytes;
    int r = task_show_late(task, results);
    if (r < 0)
        return r;
    list_remove(&task->show);
    account(table, task, before);
    return 1;
}

static int tick_ended(struct tasklog_table *table, struct tasklog_now now,
                      struct tasklog_results *results)
{
    struct task *task = first_quiet(&table->ended);

    if (!task || !window_is_over(table, task, now.mono_ms))
        return 0;
    forget(table, task, results);
    return 1;
}

int tasklog_table_close(struct tasklog_table *table, const struct tasklog_line *key,
                        const char *reason, struct tasklog_now now, struct tasklog_results *results)
{
    struct task *task = find(table, key, key_hash(table, key));
    enum run_end end = strcmp(reason, "idle") == 0 ? RUN_IDLE : RUN_MAX_RUNTIME;

    if (!task || task->ended)
        return 0;
    int r = close_due(table, task, end, now, results);
    return r < 0 ? r : 0;
}

static void shift_list(const struct task_link *list, size_t offset, int64_t shift_ms)
{
    for (const struct task_link *link = list->next; link != list; link = link->next) {
        struct task *task = (struct task *)((char *)link - offset);
        task->started_ms += shift_ms;
        task->quiet_ms += shift_ms;
        task->show_ms += shift_ms;
    }
}

void tasklog_table_resume(struct tasklog_table *table, int64_t shift_ms)
{
    shift_list(&table->quiet, offsetof(struct task, quiet), shift_ms);
    shift_list(&table->ended, offsetof(struct task, quiet), shift_ms);
    table->env.counters = (struct tasklog_table_counters){0};
}

/* The open task whose run holds the oldest position, or NULL if something else holds it. */
static struct task *oldest_open(const struct tasklog_table *table)
{
    const struct run_pin *pin = table->pins.next;

    if (pin == &table->pins)
        return NULL;
    const struct tasklog_result *run =
        (const void *)((const char *)pin - offsetof(struct tasklog_result, pin));
    const struct tasklog_line key = {.kind = run_kind(run),
                                     .kind_bytes = run->kind_bytes,
                                     .id = run_id(run),
                                     .id_bytes = run->id_bytes};
    struct task *task = find(table, &key, key_hash(table, &key));
    return task && task->run == run && !task->ended ? task : NULL;
}

static void move_pin(struct tasklog_table *table, struct run_pin *pin, uint64_t position)
{
    run_unpin(pin);
    pin->position = position;
    run_pin_before(&table->pins, pin);
}

int tasklog_table_forward(struct tasklog_table *table, tasklog_table_keep *keep, void *context)
{
    struct task *task = oldest_open(table);
    uint64_t first, position;
    size_t bytes;
    char *data;

    if (!task)
        return 0;
    size_t before = task->run->log.memory_bytes;
    int r = logbuf_move(&task->run->log, table->env.spill, &first);
    account(table, task, before);
    if (r < 0)
        return r;
    r = snapshot_write(task, &data, &bytes);
    if (r < 0)
        return r;
    r = keep(context, data, bytes, &position);
    free(data);
    if (r < 0)
        return r;
    move_pin(table, &task->run->pin, first != 0 ? first : position);
    return 1;
}

/* Puts a task into a list that is sorted by `time`, from its end: it belongs near it, or rarely not. */
static void add_sorted(struct task_link *list, struct task_link *link, size_t link_offset,
                       size_t time_offset)
{
    int64_t time_ms = *(int64_t *)(void *)((char *)link - link_offset + time_offset);
    struct task_link *at = list;

    while (at->prev != list &&
           *(int64_t *)(void *)((char *)at->prev - link_offset + time_offset) > time_ms)
        at = at->prev;
    list_add(at, link);
}

int tasklog_table_restore(struct tasklog_table *table, const char *data, size_t bytes,
                          uint64_t position, int64_t shift_ms)
{
    struct logbuf_place place;
    struct task *task;
    int r = snapshot_read(data, bytes, &task);

    if (r < 0)
        return r;
    const struct tasklog_line key = {.kind = run_kind(task->run),
                                     .kind_bytes = task->run->kind_bytes,
                                     .id = run_id(task->run),
                                     .id_bytes = task->run->id_bytes};
    task->hash = key_hash(table, &key);
    struct task *known = find(table, &key, task->hash);
    if (known)
        close_task(table, known);
    task->started_ms += shift_ms;
    task->quiet_ms += shift_ms;
    add_to_index(table, task);
    add_sorted(&table->age, &task->age, offsetof(struct task, age),
               offsetof(struct task, started_ms));
    add_sorted(&table->quiet, &task->quiet, offsetof(struct task, quiet),
               offsetof(struct task, quiet_ms));
    table->open_count++;
    const bool has_text = logbuf_next_place(&task->run->log, NULL, &place) != NULL;
    move_pin(table, &task->run->pin, has_text ? place.position : position);
    account(table, task, 0);
    return 0;
}

uint64_t tasklog_table_oldest(const struct tasklog_table *table)
{
    return table->pins.next == &table->pins ? UINT64_MAX : table->pins.next->position;
}

void tasklog_table_tick(struct tasklog_table *table, struct tasklog_now now, bool live,
                        struct tasklog_results *results)
{
    while (tick_age(table, now, results) > 0)
        ;
    while (tick_quiet(table, now, results) > 0)
        ;
    while (tick_late(table, now, results) > 0)
        ;
    while (tick_ended(table, now, results) > 0)
        ;
    while (live && tick_live(table, now, results) > 0)
        ;
}

bool tasklog_table_show(struct tasklog_table *table, struct tasklog_now now,
                        struct tasklog_results *results)
{
    return tick_live(table, now, results) > 0;
}

static void sooner(int64_t *due_ms, int64_t candidate_ms)
{
    if (candidate_ms < *due_ms)
        *due_ms = candidate_ms;
}

int64_t tasklog_table_due_ms(const struct tasklog_table *table, bool live)
{
    const struct tasklog_rules *rules = &table->env.rules;
    const struct task *task;
    int64_t due_ms = INT64_MAX;

    if (rules->max_runtime_ms > 0 && (task = first_by_age(table)) != NULL)
        sooner(&due_ms, task->started_ms + rules->max_runtime_ms);
    if (rules->idle_ms > 0 && (task = first_quiet(&table->quiet)) != NULL)
        sooner(&due_ms, task->quiet_ms + rules->idle_ms);
    if (live && (task = first_to_show(&table->live)) != NULL)
        sooner(&due_ms, task->show_ms + rules->live_interval_ms);
    if ((task = first_to_show(&table->late)) != NULL)
        sooner(&due_ms, task->show_ms + LATE_FLUSH_MS);
    if ((task = first_quiet(&table->ended)) != NULL)
        sooner(&due_ms, task->quiet_ms + rules->late_window_ms);
    return due_ms;
}

/* ---- life ---- */

int tasklog_table_new(const struct tasklog_rules *rules, const uint8_t seed[16],
                      struct tasklog_table **ret_table)
{
    struct tasklog_table *table = calloc(1, sizeof(*table));

    if (!table)
        return -ENOMEM;
    table->env.rules = *rules;
    table->env.rules.marker = strdup(rules->marker);
    table->bucket_count = BUCKETS_MIN;
    table->buckets = calloc(table->bucket_count, sizeof(struct task *));
    if (!table->env.rules.marker || !table->buckets) {
        free((char *)table->env.rules.marker);
        free(table->buckets);
        free(table);
        return -ENOMEM;
    }
    memcpy(&table->key, seed, sizeof(table->key));
    list_init(&table->age);
    list_init(&table->quiet);
    list_init(&table->live);
    list_init(&table->ended);
    list_init(&table->late);
    list_init(&table->text);
    table->pins.prev = table->pins.next = &table->pins;
    *ret_table = table;
    return 0;
}

int tasklog_table_set_rules(struct tasklog_table *table, const struct tasklog_rules *rules)
{
    char *marker = strdup(rules->marker);

    if (!marker)
        return -ENOMEM;
    free((char *)table->env.rules.marker);
    table->env.rules = *rules;
    table->env.rules.marker = marker;
    return 0;
}

void tasklog_table_drain(struct tasklog_table *table, struct tasklog_now now,
                         struct tasklog_results *results)
{
    struct task *task;

    while ((task = first_quiet(&table->ended)) != NULL)
        forget(table, task, results);
    while ((task = first_by_age(table)) != NULL) {
        table->memory_bytes -= task->run->log.memory_bytes;
        unlink_task(table, task);
        task_give_open(task, now, results);
        task_free(task);
    }
}

void tasklog_table_free(struct tasklog_table *table)
{
    struct task *task;

    if (!table)
        return;
    while ((task = first_quiet(&table->ended)) != NULL || (task = first_by_age(table)) != NULL)
        close_task(table, task);
    text_buffer_done(&table->text_buffer);
    text_buffer_done(&table->formatted_buffer);
    text_buffer_done(&table->closing_buffer);
    text_buffer_done(&table->env.live_buffer);
    free((char *)table->env.rules.marker);
    free(table->buckets);
    free(table);
}

void tasklog_table_set_spill(struct tasklog_table *table, const struct tasklog_spill *spill)
{
    table->env.spill = spill;
}

size_t tasklog_table_spill(struct tasklog_table *table, size_t want_bytes)
{
    size_t freed = 0;
    struct task *task;

    while (freed < want_bytes &&
           (task = list_first(&table->text, offsetof(struct task, text))) != NULL) {
        struct logbuf *log = &task->run->log;
        size_t bytes = logbuf_spill(log, table->env.spill, want_bytes - freed);
        freed += bytes;
        table->memory_bytes -= bytes;
        if (log->spilled_bytes == log->head_bytes + log->tail_bytes)
            list_remove(&task->text);
        else if (bytes == 0)
            break; /* it could not be written */
    }
    return freed;
}

size_t tasklog_table_open_count(const struct tasklog_table *table)
{
    return table->open_count;
}

uint64_t tasklog_table_last_run(const struct tasklog_table *table)
{
    return table->last_run;
}

size_t tasklog_table_text(const struct tasklog_table *table)
{
    return table->text_bytes;
}

size_t tasklog_table_memory(const struct tasklog_table *table)
{
    return table->memory_bytes;
}

const struct tasklog_table_counters *tasklog_table_counters(const struct tasklog_table *table)
{
    return &table->env.counters;
}
