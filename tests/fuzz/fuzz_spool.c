/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of the spool against any bytes. The first byte chooses:
 *
 *     even   the rest is what a segment file holds behind its header, as damage may have left it
 *     odd    the rest is entries whose checksum was right: type, length (two bytes), bytes
 *
 * What comes out of either goes into a task table, whose tasks are then ended.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/entry.h"
#include "collector/numbered.h"
#include "tasklog/spool.h"
#include "tasklog/table.h"

enum { SEGMENT_BYTES = 1 << 16, HEADER_BYTES = 32 };

static char folder[64];

static int no_write(void *context, const char *data, size_t bytes, uint64_t *ret_position)
{
    (void)context, (void)data, (void)bytes, (void)ret_position;
    return -1;
}

static int no_read(void *context, uint64_t position, size_t offset, char *buffer, size_t bytes)
{
    (void)context, (void)position, (void)offset, (void)buffer, (void)bytes;
    return -1;
}

static const struct tasklog_spill no_spill = {no_write, no_read, NULL};

struct game {
    struct tasklog_table *table;
    struct tasklog_results results;
};

/* Those whose origin is as long as the news'. */
static const char *judge(void *context, const struct tasklog_sender *sender)
{
    const struct entry *entry = context;

    return strlen(sender->origin) == entry->line.origin_bytes ? entry->detail : NULL;
}

/* What it restores is saved as it was. */
static void play_numbers(const struct entry *entry)
{
    struct numbered *numbered = numbered_new();
    void *data;
    size_t bytes;

    if (numbered_restore(numbered, entry->data, entry->bytes) == 0 &&
        numbered_save(numbered, &data, &bytes) == 0) {
        if (bytes > entry->bytes) /* a stream may be there twice */
            abort();
        free(data);
    }
    numbered_free(numbered);
}

static int play_entry(void *context, tasklog_position position, uint32_t type, const void *data,
                      size_t bytes)
{
    struct game *game = context;
    struct entry entry;

    if (!entry_read(type, data, bytes, &entry))
        return 0;
    switch (entry.type) {
    case ENTRY_LINE:
        entry.line.position = position;
        (void)!tasklog_table_accept(game->table, &entry.line, entry.now, entry.tight,
                                    &game->results);
        break;
    case ENTRY_OMIT:
        (void)!tasklog_table_omit(game->table, &entry.line, entry.line.omitted, true);
        break;
    case ENTRY_CLOSE:
        (void)!tasklog_table_omit(game->table, &entry.line, entry.line.omitted, false);
        (void)!tasklog_table_close(game->table, &entry.line, entry.reason, entry.detail, entry.now,
                                   &game->results);
        break;
    case ENTRY_DONE:
        tasklog_results_remove(&game->results, entry.run, entry.result, entry.end_chars);
        break;
    case ENTRY_TASK:
        (void)!tasklog_table_restore(game->table, entry.data, entry.bytes, position, 0);
        break;
    case ENTRY_RULES:
        entry.rules.marker = entry.marker;
        (void)!tasklog_table_set_rules(game->table, &entry.rules);
        break;
    case ENTRY_PROCESS:
        tasklog_table_identify(game->table, &entry.line, &entry.process);
        break;
    case ENTRY_DEATH:
        (void)!tasklog_table_close_dead(game->table, judge, &entry, entry.now, &game->results);
        break;
    case ENTRY_NOTE:
        (void)!tasklog_table_note(game->table, judge, &entry, entry.now);
        break;
    case ENTRY_NUMBERS:
        play_numbers(&entry);
        break;
    case ENTRY_START:
    case ENTRY_TEXT:
    case ENTRY_TIME:
    case ENTRY_CURSOR:
        break;
    }
    return 0;
}

static void play_entries(struct game *game, const uint8_t *data, size_t bytes)
{
    tasklog_position position = UINT64_C(1) << 32;

    while (bytes >= 3) {
        size_t length = (size_t)data[1] << 8 | data[2];
        uint32_t type = data[0];
        data += 3;
        bytes -= 3;
        if (length > bytes)
            length = bytes;
        uint8_t *copy = malloc(length + 1); /* its end is watched */
        memcpy(copy, data, length);
        play_entry(game, position++, type, copy, length);
        free(copy);
        data += length;
        bytes -= length;
    }
}

/* A segment of one record made by the spool itself, its bytes behind the header replaced. */
static void play_segment(struct game *game, const uint8_t *data, size_t bytes)
{
    const struct tasklog_spool_options options = {.path = folder, .segment_bytes = SEGMENT_BYTES};
    struct tasklog_spool_damage damage;
    struct tasklog_spool *spool;
    char error[TASKLOG_SPOOL_ERROR_BYTES], path[128];
    tasklog_position position;

    if (tasklog_spool_open(&options, error, &spool) < 0 ||
        tasklog_spool_replay(spool, play_entry, game, &damage) < 0)
        abort();
    tasklog_spool_release(spool, UINT64_MAX);
    if (tasklog_spool_reserve(spool, 1, &position) < 0)
        abort();
    tasklog_spool_write(spool, 0, &(const struct tasklog_spool_piece){"x", 1}, 1);
    tasklog_spool_close(spool);
    snprintf(path, sizeof(path), "%s/%012llu.seg", folder, (unsigned long long)(position >> 32));
    int fd = open(path, O_WRONLY);
    if (fd < 0 || pwrite(fd, data, bytes, HEADER_BYTES) != (ssize_t)bytes)
        abort();
    close(fd);
    if (tasklog_spool_open(&options, error, &spool) < 0 ||
        tasklog_spool_replay(spool, play_entry, game, &damage) < 0)
        abort(); /* damage never stops a start */
    tasklog_spool_release(spool, UINT64_MAX);
    tasklog_spool_close(spool);
    unlink(path);
}

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    strcpy(folder,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-spool-XXXXXX" : "/tmp/fuzz-spool-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint8_t seed[16];
    const struct tasklog_rules rules = {.marker = "@task",
                                        .level = 6,
                                        .escape_prefix = '#',
                                        .late_window_ms = 60000,
                                        .live_bytes = 1000,
                                        .task_max_bytes = 4000};
    struct game game = {0};

    if (bytes < 1 || bytes > SEGMENT_BYTES / 2)
        return 0;
    if (tasklog_table_new(&rules, seed, &game.table) < 0)
        return 0;
    tasklog_table_set_spill(game.table, &no_spill);
    if (data[0] % 2 == 0)
        play_segment(&game, data + 1, bytes - 1);
    else
        play_entries(&game, data + 1, bytes - 1);
    (void)tasklog_table_oldest(game.table);
    tasklog_table_drain(game.table, (struct tasklog_now){0, 0}, &game.results);
    for (struct tasklog_result *result = game.results.first; result;
         result = tasklog_results_next(result)) {
        size_t log_bytes = tasklog_result_log_bytes(result);
        if (log_bytes < (1 << 24)) { /* a place may say anything of a text that is elsewhere */
            char *log = malloc(log_bytes + 1);
            (void)!tasklog_result_log_copy(result, &no_spill, log);
            free(log);
        }
    }
    tasklog_results_clear(&game.results);
    tasklog_table_free(game.table);
    return 0;
}
