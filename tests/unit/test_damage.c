/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged spools by the thousand: whatever the harm, the start succeeds, every record that lies before
 * it in its segment comes back, none comes back wrong, and the next start finds nothing to complain of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tasklog/spool.h"

enum { SEGMENT = 2048, SEGMENTS = 3, RECORDS_MAX = 256, PAYLOAD_MAX = 100, ROUNDS = 10000 };

struct image {
    unsigned char data[2 * SEGMENT];
    size_t bytes;
    int gone;
};

struct seen {
    uint32_t numbers[RECORDS_MAX];
    tasklog_position positions[RECORDS_MAX];
    size_t count;
};

struct fixture {
    char path[64];
    struct image good[SEGMENTS];
    struct image hurt[SEGMENTS];
    struct seen all;
    struct seen seen;
    uint64_t random;
};

/* ---- a spool whose records tell what they are ---- */

static size_t payload_bytes(uint32_t number)
{
    return sizeof(number) + number * 37 % PAYLOAD_MAX;
}

static void fill_payload(uint32_t number, unsigned char payload[2 * PAYLOAD_MAX])
{
    memcpy(payload, &number, sizeof(number));
    for (size_t i = sizeof(number); i < payload_bytes(number); i++)
        payload[i] = (unsigned char)(number * 31 + i);
}

static int look(void *context, tasklog_position position, uint32_t type, const void *data,
                size_t bytes)
{
    struct seen *seen = context;
    unsigned char payload[2 * PAYLOAD_MAX];
    uint32_t number;

    assert_true(bytes >= sizeof(number));
    memcpy(&number, data, sizeof(number));
    assert_true(number < RECORDS_MAX);
    fill_payload(number, payload);
    assert_int_equal(type, number % 5);
    assert_int_equal(bytes, payload_bytes(number));
    assert_memory_equal(data, payload, bytes);
    assert_true(seen->count < RECORDS_MAX);
    seen->positions[seen->count] = position;
    seen->numbers[seen->count++] = number;
    return 0;
}

static void put(struct tasklog_spool *spool, uint32_t number)
{
    unsigned char payload[2 * PAYLOAD_MAX];
    const struct tasklog_spool_piece piece = {payload, payload_bytes(number)};
    tasklog_position position;

    fill_payload(number, payload);
    assert_int_equal(tasklog_spool_reserve(spool, piece.bytes, &position), 0);
    tasklog_spool_write(spool, number % 5, &piece, 1);
}

static struct tasklog_spool *start(struct fixture *fixture, struct tasklog_spool_damage *ret_damage)
{
    const struct tasklog_spool_options options = {.path = fixture->path, .segment_bytes = SEGMENT};
    char error[TASKLOG_SPOOL_ERROR_BYTES];
    struct tasklog_spool *spool;

    fixture->seen.count = 0;
    assert_int_equal(tasklog_spool_open(&options, error, &spool), 0);
    assert_int_equal(tasklog_spool_replay(spool, look, &fixture->seen, ret_damage), 0);
    return spool;
}

static void segment_path(const struct fixture *fixture, int segment, char path[128])
{
    snprintf(path, 128, "%s/%012d.seg", fixture->path, segment + 1);
}

static void read_segment(const struct fixture *fixture, int segment, struct image *image)
{
    char path[128];

    segment_path(fixture, segment, path);
    int fd = open(path, O_RDONLY);
    ssize_t bytes = read(fd, image->data, SEGMENT);
    assert_true(bytes > 0);
    image->bytes = (size_t)bytes;
    close(fd);
}

static void write_segment(const struct fixture *fixture, int segment, const struct image *image)
{
    char path[128];

    segment_path(fixture, segment, path);
    if (image->gone) {
        unlink(path);
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, image->data, image->bytes), image->bytes);
    close(fd);
}

static void remove_segment(const struct fixture *fixture, int segment)
{
    char path[128];

    segment_path(fixture, segment, path);
    unlink(path);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct tasklog_spool_damage damage;

    strcpy(fixture->path, access("/dev/shm", W_OK) == 0 ? "/dev/shm/test-damage-XXXXXX"
                                                        : "/tmp/test-damage-XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    struct tasklog_spool *spool = start(fixture, &damage);
    for (uint32_t number = 0; tasklog_spool_segment_count(spool) <= SEGMENTS; number++)
        put(spool, number);
    tasklog_spool_close(spool);
    remove_segment(fixture, SEGMENTS);
    for (int i = 0; i < SEGMENTS; i++)
        read_segment(fixture, i, &fixture->good[i]);
    tasklog_spool_close(start(fixture, &damage));
    fixture->all = fixture->seen;
    assert_true(fixture->all.count > 60 && damage.places == 0);
    fixture->random = 88172645463325252u;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", fixture->path);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

/* ---- harm ---- */

static size_t below(struct fixture *fixture, size_t limit)
{
    fixture->random ^= fixture->random << 13;
    fixture->random ^= fixture->random >> 7;
    fixture->random ^= fixture->random << 17;
    return (size_t)(fixture->random >> 11) % limit;
}

/* A stretch of the segment, mostly short. */
static size_t stretch(struct fixture *fixture, const struct image *image, size_t at)
{
    size_t most = below(fixture, 4) == 0 ? SEGMENT : 16, rest = image->bytes - at;
    size_t bytes = 1 + below(fixture, most);

    return bytes < rest ? bytes : rest;
}

static void harm(struct fixture *fixture, struct image *image)
{
    size_t at = below(fixture, image->bytes), bytes = stretch(fixture, image, at);

    switch (below(fixture, 9)) {
    case 0: /* cut */
        image->bytes = at;
        break;
    case 1: /* a bit */
        image->data[at] ^= (unsigned char)(1 << below(fixture, 8));
        break;
    case 2: /* noise */
        for (size_t i = at; i < at + bytes; i++)
            image->data[i] = (unsigned char)below(fixture, 256);
        break;
    case 3: /* blocks that were never written */
        memset(image->data + at, 0, bytes);
        break;
    case 4: /* the blocks of another place in the file, records that were good there */
        memmove(image->data + at, image->data + below(fixture, image->bytes - bytes + 1), bytes);
        break;
    case 5: /* a stretch is left out */
        memmove(image->data + at, image->data + at + bytes, image->bytes - at - bytes);
        image->bytes -= bytes;
        break;
    case 6: /* something behind the end */
        for (size_t i = 0; i < bytes; i++)
            image->data[image->bytes + i] = (unsigned char)below(fixture, 256);
        image->bytes += bytes;
        break;
    case 7: /* another segment's file under this name */
        *image = fixture->good[below(fixture, SEGMENTS)];
        break;
    default:
        image->gone = 1;
    }
}

/* ---- what must be there ---- */

/* How many bytes at a segment's beginning are as they were. */
static size_t unharmed(const struct image *good, const struct image *hurt)
{
    size_t bytes = 0;

    if (hurt->gone)
        return 0;
    while (bytes < good->bytes && bytes < hurt->bytes && good->data[bytes] == hurt->data[bytes])
        bytes++;
    return bytes;
}

static int was_seen(const struct seen *seen, uint32_t number)
{
    for (size_t i = 0; i < seen->count; i++)
        if (seen->numbers[i] == number)
            return 1;
    return 0;
}

static int check_recovered(const struct fixture *fixture)
{
    int before = 0;

    for (size_t i = 0; i < fixture->all.count; i++) {
        int segment = (int)(fixture->all.positions[i] >> 32) - 1;
        size_t end = (size_t)(fixture->all.positions[i] & UINT32_MAX) + 16 +
                     payload_bytes(fixture->all.numbers[i]);
        if (end > unharmed(&fixture->good[segment], &fixture->hurt[segment]))
            continue;
        assert_true(was_seen(&fixture->seen, fixture->all.numbers[i]));
        before++;
    }
    for (size_t i = 1; i < fixture->seen.count; i++) {
        assert_true(fixture->seen.positions[i] > fixture->seen.positions[i - 1]);
        assert_true(fixture->seen.numbers[i] > fixture->seen.numbers[i - 1]);
    }
    return before;
}

/* Starts with the harm that is in `hurt`, goes on writing, and starts again. */
static int check_start(struct fixture *fixture)
{
    struct tasklog_spool_damage damage;
    struct tasklog_spool *spool;
    struct seen first;

    for (int i = 0; i < SEGMENTS; i++)
        write_segment(fixture, i, &fixture->hurt[i]);
    spool = start(fixture, &damage);
    int before = check_recovered(fixture);
    first = fixture->seen;
    put(spool, RECORDS_MAX - 1);
    tasklog_spool_close(spool);
    tasklog_spool_close(start(fixture, &damage));
    assert_int_equal(damage.places, 0);
    assert_int_equal(fixture->seen.count, first.count + 1);
    assert_memory_equal(fixture->seen.numbers, first.numbers, first.count * sizeof(uint32_t));
    assert_int_equal(fixture->seen.numbers[first.count], RECORDS_MAX - 1);
    for (int i = 0; i < SEGMENTS + 2; i++)
        remove_segment(fixture, i);
    return before;
}

static void ten_thousand_damaged_copies_start(void **state)
{
    struct fixture *fixture = *state;
    size_t before = 0;

    for (int round = 0; round < ROUNDS; round++) {
        memcpy(fixture->hurt, fixture->good, sizeof(fixture->hurt));
        for (size_t times = 1 + below(fixture, 3); times > 0; times--) {
            struct image *image = &fixture->hurt[below(fixture, SEGMENTS)];
            if (image->bytes > 0 && image->bytes <= SEGMENT)
                harm(fixture, image);
        }
        before += (size_t)check_start(fixture);
    }
    assert_true(before > fixture->all.count * ROUNDS / 3);
    assert_true(before < fixture->all.count * ROUNDS);
}

static void each_segment_cut_at_each_byte_starts(void **state)
{
    struct fixture *fixture = *state;

    for (int segment = 0; segment < SEGMENTS; segment++) {
        for (size_t cut = 0; cut < fixture->good[segment].bytes; cut++) {
            memcpy(fixture->hurt, fixture->good, sizeof(fixture->hurt));
            fixture->hurt[segment].bytes = cut;
            check_start(fixture);
        }
    }
}

static void each_bit_of_a_segment_flipped_starts(void **state)
{
    struct fixture *fixture = *state;

    for (size_t bit = 0; bit < fixture->good[1].bytes * 8; bit++) {
        memcpy(fixture->hurt, fixture->good, sizeof(fixture->hurt));
        fixture->hurt[1].data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        check_start(fixture);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ten_thousand_damaged_copies_start),
        TEST(each_segment_cut_at_each_byte_starts),
        TEST(each_bit_of_a_segment_flipped_starts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
