/* SPDX-License-Identifier: Apache-2.0 */
/* The queue before the sender: in order, never waits, and what is missing is counted to the line. */
#include "cli/queue.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/splitter.h"

enum { SMALL_BYTES = 1024 * 1024 };

static void records_come_out_as_they_were_put(void **state)
{
    struct queue queue;
    const struct queue_record *record;

    (void)state;
    assert_int_equal(queue_init(&queue, SMALL_BYTES), 0);
    assert_null(queue_next(&queue));
    assert_true(queue_put_line(&queue, "start", 5));
    queue_put(&queue, 0, "out\n", 4);
    queue_put(&queue, 1, "", 0);
    queue_put(&queue, 1, "err", 3);
    queue_end(&queue, 1);

    static const struct {
        enum queue_kind kind;
        unsigned stream;
        const char *text;
    } expected[] = {{QUEUE_LINE, 0, "start"},
                    {QUEUE_TEXT, 0, "out\n"},
                    {QUEUE_TEXT, 1, "err"},
                    {QUEUE_END, 1, ""}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        record = queue_next(&queue);
        assert_non_null(record);
        assert_int_equal(record->kind, expected[i].kind);
        assert_int_equal(record->stream, expected[i].stream);
        assert_int_equal(record->bytes, strlen(expected[i].text));
        assert_memory_equal(record->text, expected[i].text, record->bytes);
        queue_pop(&queue, record);
    }
    assert_null(queue_next(&queue));
    queue_done(&queue);
}

static void lines_are_counted(void **state)
{
    char text[10000];

    (void)state;
    for (size_t step = 1; step < 300; step += 7) {
        uint64_t lines = 0;
        for (size_t i = 0; i < sizeof(text); i++) {
            text[i] = i % step == 0 ? '\n' : (char)i == '\n' ? 'x' : (char)i;
            lines += i % step == 0;
        }
        assert_int_equal(queue_count_lines(text, sizeof(text)), lines);
    }
}

static void what_does_not_fit_is_a_gap_and_the_end_still_fits(void **state)
{
    struct queue queue;
    static char text[64 * 1024];
    const struct queue_record *record;
    unsigned taken = 0;

    (void)state;
    memset(text, '\n', sizeof(text));
    text[sizeof(text) - 1] = 'x';
    assert_int_equal(queue_init(&queue, SMALL_BYTES), 0);
    for (unsigned i = 0; i < 100; i++)
        queue_put(&queue, 0, text, sizeof(text));
    queue_end(&queue, 0);
    queue_end(&queue, 1);
    while ((record = queue_next(&queue)) != NULL && record->kind == QUEUE_TEXT) {
        taken++;
        queue_pop(&queue, record);
    }
    assert_in_range(taken, 10, 16);
    assert_non_null(record);
    assert_int_equal(record->kind, QUEUE_GAP);
    assert_int_equal(record->lines, (100 - taken) * (sizeof(text) - 1));
    assert_true(record->open);
    queue_pop(&queue, record);
    record = queue_next(&queue);
    assert_int_equal(record->kind, QUEUE_END);
    queue_done(&queue);
}

static void a_queue_without_memory_counts_everything(void **state)
{
    struct queue queue;

    (void)state;
    assert_int_equal(queue_init(&queue, SIZE_MAX / 2), 0);
    queue_put(&queue, 1, "a\nb\nc", 5);
    queue_end(&queue, 1);
    assert_null(queue_next(&queue));
    assert_int_equal(queue.gaps[1].lines, 2);
    assert_true(queue.gaps[1].open);
    queue_done(&queue);
}

/* Two writers that are faster than the reader. */
struct writer {
    struct queue *queue;
    unsigned stream;
    pthread_t thread;
};

enum { LINES = 60000 };

static void *write_lines(void *context)
{
    struct writer *writer = context;
    static const char filler[] = "0123456789012345678901234567890123456789";
    char text[512];
    size_t bytes = 0;

    for (unsigned i = 0; i < LINES; i++) {
        bytes += (size_t)snprintf(text + bytes, sizeof(text) - bytes, "%u %.*s\n", i, (int)(i % 40),
                                  filler);
        size_t cut = bytes > 300 ? 300 : 0; /* pieces end in the middle of lines */
        if (cut > 0) {
            queue_put(writer->queue, writer->stream, text, cut);
            memmove(text, text + cut, bytes - cut);
            bytes -= cut;
        }
    }
    queue_put(writer->queue, writer->stream, text, bytes);
    queue_end(writer->queue, writer->stream);
    return NULL;
}

static void of_two_writers_each_line_comes_whole_and_in_order_or_is_counted(void **state)
{
    struct queue queue;
    struct writer writers[QUEUE_STREAMS];
    struct splitter splitters[QUEUE_STREAMS];
    struct splitter_part part;
    unsigned came[QUEUE_STREAMS] = {0}, ended = 0;
    long last[QUEUE_STREAMS] = {-1, -1};

    (void)state;
    assert_int_equal(queue_init(&queue, SMALL_BYTES), 0);
    for (unsigned i = 0; i < QUEUE_STREAMS; i++) {
        splitter_init(&splitters[i], 1024);
        writers[i] = (struct writer){.queue = &queue, .stream = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_lines, &writers[i]), 0);
    }
    while (ended < QUEUE_STREAMS) {
        const struct queue_record *record = queue_next(&queue);
        if (!record)
            continue;
        struct splitter *splitter = &splitters[record->stream];
        if (record->kind == QUEUE_GAP)
            splitter_gap(splitter, record->lines, record->open != 0);
        if (record->kind == QUEUE_END)
            ended++;
        if (record->kind == QUEUE_TEXT)
            splitter_feed(splitter, record->text, record->bytes);
        while (splitter_next(splitter, &part)) {
            char *end, line[128];
            assert_in_range(part.bytes, 2, sizeof(line) - 1);
            memcpy(line, part.text, part.bytes);
            line[part.bytes] = '\0';
            long number = strtol(line, &end, 10);
            assert_true(number > last[record->stream]);
            assert_int_equal(part.bytes, (size_t)(end - line) + 1 + (size_t)number % 40);
            last[record->stream] = number;
            came[record->stream]++;
        }
        queue_pop(&queue, record);
    }
    for (unsigned i = 0; i < QUEUE_STREAMS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_int_equal(came[i] + splitters[i].lost_lines, LINES);
        splitter_done(&splitters[i]);
    }
    queue_done(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_out_as_they_were_put),
        cmocka_unit_test(lines_are_counted),
        cmocka_unit_test(what_does_not_fit_is_a_gap_and_the_end_still_fits),
        cmocka_unit_test(a_queue_without_memory_counts_everything),
        cmocka_unit_test(of_two_writers_each_line_comes_whole_and_in_order_or_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
