/* SPDX-License-Identifier: Apache-2.0 */
/* A reader beside the writer of a spool: it sees all that is written, once, whatever becomes of the files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tasklog/follow.h"

enum { SEGMENT = 4096, BYTES_MAX = 1 << 20 };

struct folder {
    char path[64];
    struct tasklog_spool *spool;
    struct tasklog_follow *follow;
    uint32_t written;
    uint32_t seen;
    char payload[BYTES_MAX];
};

static int ignore(void *context, tasklog_position position, uint32_t type, const void *data,
                  size_t bytes)
{
    (void)context;
    (void)position;
    (void)type;
    (void)data;
    (void)bytes;
    return 0;
}

static void open_spool(struct folder *folder)
{
    const struct tasklog_spool_options options = {.path = folder->path, .segment_bytes = SEGMENT};
    struct tasklog_spool_damage damage;
    char error[TASKLOG_SPOOL_ERROR_BYTES];

    assert_int_equal(tasklog_spool_open(&options, error, &folder->spool), 0);
    assert_int_equal(tasklog_spool_replay(folder->spool, ignore, NULL, &damage), 0);
}

static int set_up(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));

    strcpy(folder->path, "/tmp/test-follow-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    open_spool(folder);
    assert_int_equal(tasklog_follow_new(folder->path, &folder->follow), 0);
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    struct folder *folder = *state;
    char command[128];

    tasklog_follow_free(folder->follow);
    tasklog_spool_close(folder->spool);
    snprintf(command, sizeof(command), "rm -r %s", folder->path);
    assert_int_equal(system(command), 0);
    free(folder);
    return 0;
}

/* Records are numbered by their type, and full of it. */
static tasklog_position write_record(struct folder *folder, size_t bytes)
{
    const struct tasklog_spool_piece piece = {folder->payload, bytes};
    tasklog_position position;

    memset(folder->payload, (int)(folder->written & 0xFF), bytes);
    assert_int_equal(tasklog_spool_reserve(folder->spool, bytes, &position), 0);
    tasklog_spool_write(folder->spool, folder->written++, &piece, 1);
    return position;
}

/* How many are there; they must be the next ones. */
static size_t read_records(struct folder *folder)
{
    struct tasklog_follow_record record;
    size_t count = 0;
    int r;

    while ((r = tasklog_follow_next(folder->follow, &record)) == 1) {
        const unsigned char *data = record.data;
        assert_int_equal(record.type, folder->seen++);
        assert_int_equal(data[0], record.type & 0xFF);
        assert_int_equal(data[record.bytes - 1], record.type & 0xFF);
        count++;
    }
    assert_int_equal(r, 0);
    return count;
}

static void records_are_seen_as_they_are_written(void **state)
{
    struct folder *folder = *state;

    assert_int_equal(read_records(folder), 0);
    for (size_t bytes = 1; bytes < 300; bytes++) { /* through a dozen segments */
        write_record(folder, bytes);
        assert_int_equal(read_records(folder), 1);
        assert_int_equal(read_records(folder), 0);
    }
    for (size_t bytes = 1; bytes < 300; bytes++)
        write_record(folder, bytes);
    assert_int_equal(read_records(folder), 299);
    assert_false(tasklog_follow_has_missed(folder->follow));
}

static void a_record_may_be_longer_than_any_buffer(void **state)
{
    struct folder *folder = *state;
    const size_t sizes[] = {1,      65519, 65520,         65521, 65536, 200000, 7,
                            131072, 1,     BYTES_MAX - 1, 1,     70000, 70000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        write_record(folder, sizes[i]);
    assert_int_equal(read_records(folder), sizeof(sizes) / sizeof(sizes[0]));
}

static void a_writer_that_comes_again_is_followed(void **state)
{
    struct folder *folder = *state;

    for (int life = 0; life < 20; life++) {
        /* Some segments end where a page does. */
        write_record(folder, SEGMENT - 32 - 16 - (size_t)(life % 3) * 8);
        if (life % 2)
            assert_int_equal(read_records(folder), life == 1 ? 2 : 2);
        tasklog_spool_close(folder->spool); /* cuts the segment */
        if (life % 4 == 3)
            assert_int_equal(read_records(folder), 0);
        open_spool(folder);
    }
    assert_int_equal(folder->seen, 20);
    assert_false(tasklog_follow_has_missed(folder->follow));
}

static void what_is_open_is_read_to_its_end(void **state)
{
    struct folder *folder = *state;

    write_record(folder, 100);
    assert_int_equal(read_records(folder), 1);
    write_record(folder, 100);
    tasklog_position last = write_record(folder, SEGMENT); /* the next segment */
    tasklog_spool_release(folder->spool, last);            /* the first one goes */
    assert_int_equal(read_records(folder), 2);
    assert_false(tasklog_follow_has_missed(folder->follow));
}

static void what_had_gone_is_told(void **state)
{
    struct folder *folder = *state;
    tasklog_position last = 0;

    write_record(folder, 100);
    assert_int_equal(read_records(folder), 1);
    for (int i = 0; i < 5; i++)
        last = write_record(folder, SEGMENT);
    tasklog_spool_release(folder->spool, last);
    folder->seen = folder->written - 1;
    assert_int_equal(read_records(folder), 1);
    assert_true(tasklog_follow_has_missed(folder->follow));
    assert_false(tasklog_follow_has_missed(folder->follow));
}

static void begins_with_what_is_there(void **state)
{
    struct folder *folder = *state;
    tasklog_position last = 0;

    for (int i = 0; i < 5; i++)
        last = write_record(folder, SEGMENT);
    tasklog_spool_release(folder->spool, last);
    folder->seen = folder->written - 1;
    assert_int_equal(read_records(folder), 1);
    assert_false(tasklog_follow_has_missed(folder->follow)); /* nobody promised the rest */
}

static void damage_is_told_and_passed_over(void **state)
{
    struct folder *folder = *state;
    char path[128];

    for (int i = 0; i < 3; i++)
        write_record(folder, 100);
    tasklog_spool_close(folder->spool);
    snprintf(path, sizeof(path), "%s/000000000001.seg", folder->path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "damage", 6, 32 + 120 + 50), 6);
    assert_int_equal(read_records(folder), 1);
    assert_int_equal(read_records(folder), 0); /* it might yet become right */
    close(fd);
    open_spool(folder); /* which cuts the rest off */
    folder->seen = folder->written;
    write_record(folder, 100);
    assert_int_equal(read_records(folder), 1);
    assert_true(tasklog_follow_has_missed(folder->follow));
}

static void payloads_are_read_by_their_position(void **state)
{
    struct folder *folder = *state;
    char buffer[8];

    write_record(folder, 100);
    tasklog_position position = write_record(folder, SEGMENT);
    tasklog_position last = write_record(folder, 100);
    assert_int_equal(tasklog_follow_read(folder->follow, position, 7, buffer, 8), 0);
    assert_memory_equal(buffer, "\1\1\1\1\1\1\1\1", 8);
    assert_int_equal(tasklog_follow_read(folder->follow, position, SEGMENT - 8, buffer, 8), 0);
    assert_int_equal(tasklog_follow_read(folder->follow, last, 1 << 20, buffer, 8), -EIO);
    tasklog_spool_release(folder->spool, last);
    assert_int_equal(tasklog_follow_read(folder->follow, position, 7, buffer, 8), -ENOENT);
}

static void a_spool_is_told_by_its_lock(void **state)
{
    struct folder *folder = *state;
    char path[128];

    assert_int_equal(tasklog_follow_is_spool(folder->path), 1);
    assert_int_equal(tasklog_follow_is_spool("/tmp"), 0);
    assert_int_equal(tasklog_follow_is_spool("/nonexistent"), -ENOENT);
    snprintf(path, sizeof(path), "%s/lock", folder->path);
    assert_int_equal(tasklog_follow_is_spool(path), 0);
}

static void another_process_writes_at_full_speed(void **state)
{
    struct folder *folder = *state;
    enum { COUNT = 20000 };
    pid_t child = fork();

    if (child == 0) {
        for (size_t i = 0; i < COUNT; i++)
            write_record(folder, 1 + i * 7919 % 500);
        _exit(0);
    }
    while (folder->seen < COUNT)
        if (read_records(folder) == 0 && waitpid(child, NULL, WNOHANG) == child) {
            (void)read_records(folder);
            break;
        }
    assert_int_equal(folder->seen, COUNT);
    assert_false(tasklog_follow_has_missed(folder->follow));
    (void)waitpid(child, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_are_seen_as_they_are_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_may_be_longer_than_any_buffer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_writer_that_comes_again_is_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_open_is_read_to_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_had_gone_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(begins_with_what_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_told_and_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(payloads_are_read_by_their_position, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_spool_is_told_by_its_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_process_writes_at_full_speed, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
