/* SPDX-License-Identifier: Apache-2.0 */
/* The spool: what was written is there again, whatever happens to the files' ends and middles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/full_disk.h"
#include "tasklog/spool.h"

enum { SEGMENT = 4096, RECORDS_MAX = 4096 };

struct folder {
    char path[64];
    bool reserve;
    struct tasklog_spool *spool;
};

struct seen {
    size_t count;
    uint32_t numbers[RECORDS_MAX];
    tasklog_position positions[RECORDS_MAX];
    int answer;
};

static int open_spool(struct folder *folder, char *error)
{
    const struct tasklog_spool_options options = {.path = folder->path,
                                                  .segment_bytes = SEGMENT,
                                                  .reserve = folder->reserve};

    return tasklog_spool_open(&options, error, &folder->spool);
}

static int set_up(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));

    strcpy(folder->path, "/tmp/test-spool-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    no_space = 0;
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    struct folder *folder = *state;
    char command[128];

    tasklog_spool_close(folder->spool);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder->path);
    assert_int_equal(system(command), 0);
    free(folder);
    return 0;
}

/* Record n: n as a number, then n % 300 bytes that depend on n. */
static int look(void *context, tasklog_position position, uint32_t type, const void *data,
                size_t bytes)
{
    struct seen *seen = context;
    uint32_t number;

    assert_true(bytes >= sizeof(number));
    memcpy(&number, data, sizeof(number));
    assert_int_equal(type, number % 7);
    assert_int_equal(bytes, sizeof(number) + number % 300);
    for (size_t i = sizeof(number); i < bytes; i++)
        assert_int_equal(((const unsigned char *)data)[i], (unsigned char)(number + i));
    assert_true(seen->count < RECORDS_MAX);
    seen->positions[seen->count] = position;
    seen->numbers[seen->count++] = number;
    return seen->answer;
}

static struct tasklog_spool_damage replay(struct folder *folder, struct seen *seen)
{
    struct tasklog_spool_damage damage;
    char error[TASKLOG_SPOOL_ERROR_BYTES];

    memset(seen, 0, sizeof(*seen));
    if (!folder->spool)
        assert_int_equal(open_spool(folder, error), 0);
    assert_int_equal(tasklog_spool_replay(folder->spool, look, seen, &damage), 0);
    return damage;
}

static size_t bytes_of(uint32_t number)
{
    return sizeof(number) + number % 300;
}

/* For which there is room. */
static void write_record(struct folder *folder, uint32_t number)
{
    unsigned char data[300];
    struct tasklog_spool_piece pieces[] = {{&number, sizeof(number)}, {data, number % 300}};

    for (size_t i = 0; i < number % 300; i++)
        data[i] = (unsigned char)(number + i + sizeof(number));
    tasklog_spool_write(folder->spool, number % 7, pieces, 2);
}

static tasklog_position put(struct folder *folder, uint32_t number)
{
    tasklog_position position;

    assert_int_equal(tasklog_spool_reserve(folder->spool, bytes_of(number), &position), 0);
    write_record(folder, number);
    return position;
}

static void fill(struct folder *folder, uint32_t first, uint32_t count)
{
    struct seen *seen = calloc(1, sizeof(*seen));

    (void)replay(folder, seen);
    for (uint32_t i = 0; i < count; i++)
        put(folder, first + i);
    free(seen);
}

static void close_spool(struct folder *folder)
{
    tasklog_spool_close(folder->spool);
    folder->spool = NULL;
}

static void assert_seen(const struct seen *seen, uint32_t first, size_t count)
{
    assert_int_equal(seen->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(seen->numbers[i], first + i);
}

static void what_was_written_is_replayed_in_order(void **state)
{
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen));

    fill(folder, 0, 500);
    assert_true(tasklog_spool_segment_count(folder->spool) > 5);
    close_spool(folder);
    struct tasklog_spool_damage damage = replay(folder, seen);
    assert_int_equal(damage.places, 0);
    assert_seen(seen, 0, 500);
    for (size_t i = 1; i < seen->count; i++)
        assert_true(seen->positions[i] > seen->positions[i - 1]);
    put(folder, 500);
    close_spool(folder);
    (void)replay(folder, seen);
    assert_seen(seen, 0, 501);
    free(seen);
}

static void a_killed_process_loses_nothing_that_it_wrote(void **state)
{
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen));
    int status;
    pid_t child = fork();

    if (child == 0) {
        fill(folder, 0, 300);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct tasklog_spool_damage damage = replay(folder, seen);
    assert_int_equal(damage.places, 0);
    assert_seen(seen, 0, 300);
    free(seen);
}

static void a_kill_in_the_middle_of_a_record_is_no_damage(void **state)
{
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen));
    size_t end = 32;
    char path[128];
    int status;
    pid_t child = fork();

    if (child == 0) {
        fill(folder, 0, 10);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    for (size_t number = 0; number < 10; number++)
        end += (16 + 4 + number + 7) / 8 * 8;
    snprintf(path, sizeof(path), "%s/000000000001.seg", folder->path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "part of a payload", 17, (off_t)end + 16), 17);
    close(fd);
    struct tasklog_spool_damage damage = replay(folder, seen);
    assert_int_equal(damage.places, 0);
    assert_seen(seen, 0, 10);
    put(folder, 10);
    close_spool(folder);
    (void)replay(folder, seen);
    assert_seen(seen, 0, 11);
    free(seen);
}

static void a_second_process_is_refused(void **state)
{
    struct folder *folder = *state;
    struct folder other = *folder;
    char error[TASKLOG_SPOOL_ERROR_BYTES];

    fill(folder, 0, 1);
    other.spool = NULL;
    assert_int_equal(open_spool(&other, error), -EBUSY);
    assert_non_null(strstr(error, folder->path));
    assert_non_null(strstr(error, "in use by another process or action"));
}

static void a_folder_that_others_could_change_is_refused(void **state)
{
    struct folder *folder = *state;
    char error[TASKLOG_SPOOL_ERROR_BYTES], part[64];

    assert_int_equal(chmod(folder->path, 0757), 0);
    assert_int_equal(open_spool(folder, error), -EPERM);
    assert_non_null(strstr(error, folder->path));
    assert_non_null(strstr(error, "can be written by everybody (mode 0757)"));
    assert_int_equal(chmod(folder->path, 0755), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(folder->path, 4003, 0), 0);
        assert_int_equal(open_spool(folder, error), -EPERM);
        assert_non_null(strstr(error, "is the folder of uid 4003"));
        snprintf(part, sizeof(part), "logs (uid %u)", geteuid());
        assert_non_null(strstr(error, part));
        assert_int_equal(chown(folder->path, 0, 0), 0);
    }
    assert_int_equal(open_spool(folder, error), 0);
}

/* Nothing there is followed to where another may have put it. */
static void links_in_the_folder_are_not_followed(void **state)
{
    static const char *const names[] = {"lock", "next", "000000000001.seg", "reserve"};
    struct folder *folder = *state;
    char error[TASKLOG_SPOOL_ERROR_BYTES], victim[80], path[80];
    struct tasklog_spool_damage damage;
    tasklog_position position;
    struct seen *seen = malloc(sizeof(*seen));
    struct stat status;

    folder->reserve = true;
    snprintf(victim, sizeof(victim), "%s/victim", folder->path);
    FILE *file = fopen(victim, "w");
    fputs("precious", file);
    fclose(file);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder->path, names[i]);
        unlink(path);
        assert_int_equal(symlink(victim, path), 0);
        seen->count = 0;
        if (open_spool(folder, error) == 0) {
            assert_int_equal(tasklog_spool_replay(folder->spool, look, seen, &damage), 0);
            (void)!tasklog_spool_reserve(folder->spool, 10, &position);
            (void)!tasklog_spool_use_reserve(folder->spool, 0);
        }
        close_spool(folder);
        assert_int_equal(stat(victim, &status), 0);
        assert_int_equal(status.st_size, 8);
        unlink(path);
    }
    free(seen);
}

static void a_position_is_known_before_and_reads_back(void **state)
{
    struct folder *folder = *state;
    char error[TASKLOG_SPOOL_ERROR_BYTES];
    struct tasklog_spool_damage damage;
    struct seen seen;
    tasklog_position positions[100];
    struct tasklog_spool_reader *reader;
    uint32_t number;

    assert_int_equal(tasklog_spool_reader_new(folder->path, &reader), 0);
    assert_int_equal(open_spool(folder, error), 0);
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(tasklog_spool_replay(folder->spool, look, &seen, &damage), 0);
    for (uint32_t i = 0; i < 100; i++)
        positions[i] = put(folder, i);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(tasklog_spool_reader_read(reader, positions[i], 0, &number,
                                                   sizeof(number)),
                         0);
        assert_int_equal(number, i);
    }
    assert_int_equal(tasklog_spool_reader_read(reader, UINT64_C(77) << 32, 0, &number, 4), -ENOENT);
    tasklog_spool_reader_free(reader);
}

static void released_segments_are_gone_and_the_rest_stays(void **state)
{
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen));

    fill(folder, 0, 400);
    close_spool(folder);
    (void)replay(folder, seen);
    uint64_t before = tasklog_spool_bytes(folder->spool);
    tasklog_spool_release(folder->spool, seen->positions[200]);
    assert_true(tasklog_spool_bytes(folder->spool) < before * 2 / 3);
    close_spool(folder);
    (void)replay(folder, seen);
    assert_true(seen->count >= 200 && seen->count < 260);
    assert_int_equal(seen->numbers[seen->count - 1], 399);
    free(seen);
}

static void a_full_disk_is_met_before_anything_is_written(void **state)
{
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen));
    tasklog_position position;
    uint32_t number = 0;

    fill(folder, 0, 1);
    no_space = ENOSPC;
    for (number = 1; number < 100; number++) {
        int r = tasklog_spool_reserve(folder->spool, bytes_of(number), &position);
        if (r == -ENOSPC)
            break;
        put(folder, number);
    }
    assert_true(number > 5 && number < 100);
    no_space = 0;
    put(folder, number);
    close_spool(folder);
    (void)replay(folder, seen);
    assert_seen(seen, 0, number + 1);
    free(seen);
}

static void a_full_segment_has_room_for_one_small_record(void **state)
{
    const uint32_t last = TASKLOG_SPOOL_SPARE - sizeof(last); /* the largest that it is for */
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen));
    tasklog_position position;

    fill(folder, 0, 0);
    assert_int_equal(tasklog_spool_reserve_spare(folder->spool, 4), -ENOSPC); /* no segment yet */
    fill(folder, 0, 1);
    assert_int_equal(tasklog_spool_reserve_spare(folder->spool, TASKLOG_SPOOL_SPARE + 1), -EINVAL);
    no_space = ENOSPC;
    for (uint32_t number = 299; number > 0;) /* less and less, until there is room for nothing */
        if (tasklog_spool_reserve(folder->spool, bytes_of(number), &position) < 0)
            number--;
        else
            write_record(folder, number);
    assert_int_equal(tasklog_spool_reserve_spare(folder->spool, bytes_of(last)), 0);
    write_record(folder, last);
    close_spool(folder);
    struct tasklog_spool_damage damage = replay(folder, seen);
    assert_int_equal(damage.places, 0);
    assert_int_equal(seen->numbers[seen->count - 1], last);
    free(seen);
}

/* Puts records until there is no room; how many. */
static uint32_t put_all(struct folder *folder, uint32_t first)
{
    tasklog_position position;
    uint32_t number = first;

    while (tasklog_spool_reserve(folder->spool, bytes_of(number), &position) == 0)
        write_record(folder, number++);
    return number - first;
}

static void what_is_kept_makes_one_more_segment(void **state)
{
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen));
    uint32_t number = 1;

    folder->reserve = true;
    fill(folder, 0, number);
    assert_int_equal(tasklog_spool_bytes(folder->spool), 2 * SEGMENT);
    close_spool(folder); /* it stays for the next life */
    no_space = ENOSPC;
    (void)replay(folder, seen);
    assert_int_equal(put_all(folder, number), 0);
    assert_int_equal(tasklog_spool_use_reserve(folder->spool, SEGMENT), -ENOSPC);
    assert_int_equal(tasklog_spool_use_reserve(folder->spool, 1000), 0);
    assert_int_equal(tasklog_spool_use_reserve(folder->spool, 0), -ENOSPC);
    uint64_t bytes = tasklog_spool_bytes(folder->spool);
    assert_true(bytes > SEGMENT - 1000 && bytes < SEGMENT);
    uint32_t more = put_all(folder, number);
    assert_true(more > 5);
    number += more;
    no_space = 0;
    put(folder, number++);
    assert_int_equal(tasklog_spool_use_reserve(folder->spool, 0), 0); /* there is another */
    put(folder, number++);
    close_spool(folder);
    struct tasklog_spool_damage damage = replay(folder, seen);
    assert_int_equal(damage.places, 0);
    assert_seen(seen, 0, number);
    free(seen);
}

static void a_record_longer_than_a_segment_gets_a_longer_one(void **state)
{
    struct folder *folder = *state;
    struct tasklog_spool_reader *reader;
    char *big = calloc(1, 100000);
    struct tasklog_spool_piece piece = {big, 100000};
    tasklog_position position;

    fill(folder, 0, 3);
    assert_int_equal(tasklog_spool_reserve(folder->spool, 100000, &position), 0);
    memset(big, 'x', 100000);
    tasklog_spool_write(folder->spool, 1, &piece, 1);
    memset(big, 0, 100000);
    assert_int_equal(tasklog_spool_reader_new(folder->path, &reader), 0);
    assert_int_equal(tasklog_spool_reader_read(reader, position, 99990, big, 10), 0);
    assert_memory_equal(big, "xxxxxxxxxx", 10);
    tasklog_spool_reader_free(reader);
    free(big);
}

static void first_file(const struct folder *folder, char path[128])
{
    snprintf(path, 128, "%s/000000000001.seg", folder->path);
}

/* Copies of one segment, each cut at another byte: all records before the cut come back. */
static void a_segment_cut_anywhere_gives_all_before_the_cut(void **state)
{
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen)), *whole = calloc(1, sizeof(*whole));
    char path[128], *data = malloc(SEGMENT);

    fill(folder, 0, 12);
    close_spool(folder);
    (void)replay(folder, whole);
    close_spool(folder);
    first_file(folder, path);
    int fd = open(path, O_RDONLY);
    ssize_t bytes = read(fd, data, SEGMENT);
    close(fd);
    for (ssize_t cut = 0; cut < bytes; cut++) {
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, data, (size_t)cut), cut);
        close(fd);
        (void)replay(folder, seen);
        size_t expected = 0;
        while (expected < whole->count && (ssize_t)(whole->positions[expected] & UINT32_MAX) + 16 +
                                                  4 + (ssize_t)expected % 300 <=
                                              cut)
            expected++;
        assert_seen(seen, 0, expected);
        put(folder, 99); /* it can be used on */
        close_spool(folder);
        char other[128];
        for (int i = 2; i < 4; i++) {
            snprintf(other, sizeof(other), "%s/00000000000%d.seg", folder->path, i);
            unlink(other);
        }
    }
    free(seen);
    free(whole);
    free(data);
}

static void a_flipped_bit_costs_only_what_follows_in_its_segment(void **state)
{
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen)), *whole = calloc(1, sizeof(*whole));
    char path[128];

    fill(folder, 0, 200);
    close_spool(folder);
    (void)replay(folder, whole);
    close_spool(folder);
    size_t first = 0;
    while (whole->positions[first] >> 32 == 1)
        first++;
    first_file(folder, path);
    int fd = open(path, O_RDWR);
    off_t at = (off_t)(whole->positions[5] & UINT32_MAX) + 18;
    char byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    struct tasklog_spool_damage damage = replay(folder, seen);
    assert_int_equal(damage.places, 1);
    assert_true(damage.bytes > 0);
    assert_int_equal(seen->count, 5 + 200 - first);
    assert_int_equal(seen->numbers[4], 4);
    assert_int_equal(seen->numbers[5], first);
    close_spool(folder);
    damage = replay(folder, seen); /* it has been put aside: the next start is clean */
    assert_int_equal(damage.places, 0);
    char aside[128];
    snprintf(aside, sizeof(aside), "%s/damaged", folder->path);
    assert_int_equal(access(aside, F_OK), 0);
    free(seen);
    free(whole);
}

static void a_visitor_can_end_the_replay(void **state)
{
    struct folder *folder = *state;
    struct seen *seen = calloc(1, sizeof(*seen));
    struct tasklog_spool_damage damage;
    char error[TASKLOG_SPOOL_ERROR_BYTES];

    fill(folder, 0, 10);
    close_spool(folder);
    assert_int_equal(open_spool(folder, error), 0);
    seen->answer = -ENOMEM;
    assert_int_equal(tasklog_spool_replay(folder->spool, look, seen, &damage), -ENOMEM);
    assert_int_equal(seen->count, 1);
    free(seen);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_replayed_in_order),
        TEST(a_killed_process_loses_nothing_that_it_wrote),
        TEST(a_kill_in_the_middle_of_a_record_is_no_damage),
        TEST(a_second_process_is_refused),
        TEST(a_folder_that_others_could_change_is_refused),
        TEST(links_in_the_folder_are_not_followed),
        TEST(a_position_is_known_before_and_reads_back),
        TEST(released_segments_are_gone_and_the_rest_stays),
        TEST(a_full_segment_has_room_for_one_small_record),
        TEST(a_full_disk_is_met_before_anything_is_written),
        TEST(what_is_kept_makes_one_more_segment),
        TEST(a_record_longer_than_a_segment_gets_a_longer_one),
        TEST(a_segment_cut_anywhere_gives_all_before_the_cut),
        TEST(a_flipped_bit_costs_only_what_follows_in_its_segment),
        TEST(a_visitor_can_end_the_replay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
