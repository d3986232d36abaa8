/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log buffer against a model that simply keeps everything: what is read must be the model's text,
 * of which a middle part of whole messages may be replaced by a note that tells its exact size.
 */
#include "task/logbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/tasks.h"

enum { SMALLEST_CHUNK = 256 };

struct model {
    char *text; /* all messages, joined by newlines */
    size_t bytes, room;
    size_t *starts; /* where each message starts; its newline belongs to it */
    size_t count, starts_room;
    size_t largest;
};

static void model_add(struct model *model, const char *data, size_t bytes)
{
    if (model->count == model->starts_room) {
        model->starts_room = model->starts_room * 2 + 64;
        model->starts = realloc(model->starts, model->starts_room * sizeof(size_t));
        assert_non_null(model->starts);
    }
    while (model->bytes + bytes + 1 > model->room) {
        model->room = model->room * 2 + 1024;
        model->text = realloc(model->text, model->room);
        assert_non_null(model->text);
    }
    model->starts[model->count] = model->bytes;
    if (model->count++ > 0)
        model->text[model->bytes++] = '\n';
    memcpy(model->text + model->bytes, data, bytes);
    model->bytes += bytes;
    if (bytes + 1 > model->largest)
        model->largest = bytes + 1;
}

static void model_done(struct model *model)
{
    free(model->text);
    free(model->starts);
    *model = (struct model){0};
}

static struct logbuf_limits cap(size_t bytes)
{
    return (struct logbuf_limits){.cap_bytes = bytes};
}

static char *copy_of(const struct logbuf *log, size_t *ret_bytes)
{
    size_t bytes = logbuf_bytes(log);
    char *copy = malloc(bytes + 1);

    assert_non_null(copy);
    copy[bytes] = '\x55';
    (void)logbuf_copy(log, NULL, copy);
    assert_int_equal(copy[bytes], '\x55');
    copy[bytes] = '\0';
    *ret_bytes = bytes;
    return copy;
}

/* Which message starts at `at` (behind an empty first one); the number of them if it is the end. */
static size_t message_at(const struct model *model, size_t at)
{
    for (size_t i = model->count; i-- > 0;)
        if (model->starts[i] == at)
            return i;
    assert_int_equal(at, model->bytes);
    return model->count;
}

static void check(const struct logbuf *log, const struct model *model)
{
    size_t bytes, chars = 0;
    char *got = copy_of(log, &bytes);

    if (logbuf_sums(log).missing_messages == 0) {
        assert_int_equal(bytes, model->bytes);
        assert_memory_equal(got, model->text, bytes);
        assert_int_equal(logbuf_sums(log).missing_bytes, 0);
    } else {
        char note[128];
        size_t head = logbuf_sums(log).head_bytes, missing = (size_t)logbuf_sums(log).missing_bytes;
        size_t note_bytes =
            (size_t)snprintf(note, sizeof(note), "\n[... %zu line%s (%zu bytes) missing here ...]",
                             (size_t)logbuf_sums(log).missing_messages,
                             logbuf_sums(log).missing_messages == 1 ? "" : "s", missing);
        size_t tail = model->bytes - head - missing;
        size_t first = message_at(model, head), last = message_at(model, head + missing);
        assert_true(first >= 1); /* the first message is never dropped, nor the last */
        assert_true(last < model->count);
        assert_int_equal(last - first, logbuf_sums(log).missing_messages);
        assert_int_equal(bytes, head + note_bytes + tail);
        assert_memory_equal(got, model->text, head);
        assert_memory_equal(got + head, note, note_bytes);
        assert_memory_equal(got + head + note_bytes, model->text + head + missing, tail);
    }
    for (size_t i = 0; i < bytes; i++)
        chars += ((unsigned char)got[i] & 0xC0) != 0x80;
    assert_int_equal(logbuf_char_count(log), chars);
    assert_true(logbuf_sums(log).memory_bytes >=
                logbuf_sums(log).head_bytes + logbuf_sums(log).tail_bytes);
    free(got);
}

static void add(struct logbuf *log, struct model *model, size_t cap_bytes, const char *data,
                size_t bytes)
{
    /* In pieces, as a stamp, a level and a text come. */
    const struct logbuf_piece pieces[] = {{data, bytes / 3},
                                          {data + bytes / 3, 0},
                                          {data + bytes / 3, bytes - bytes / 3}};

    assert_int_equal(logbuf_append(log, cap(cap_bytes), pieces, 3), 0);
    model_add(model, data, bytes);
}

static void add_string(struct logbuf *log, struct model *model, size_t cap_bytes, const char *text)
{
    add(log, model, cap_bytes, text, strlen(text));
}

static void done(struct logbuf *log, struct model *model)
{
    logbuf_done(log);
    assert_int_equal(logbuf_sums(log).memory_bytes, 0);
    assert_int_equal(logbuf_bytes(log), 0);
    model_done(model);
}

static void an_empty_log_has_nothing(void **state)
{
    struct logbuf log = {0};
    char byte;

    (void)state;
    assert_int_equal(logbuf_bytes(&log), 0);
    assert_int_equal(logbuf_char_count(&log), 0);
    assert_int_equal(logbuf_copy_end(&log, NULL, 0, &byte), 0);
    (void)logbuf_copy(&log, NULL, &byte);
    logbuf_done(&log);
}

static void messages_are_joined_by_newlines_byte_for_byte(void **state)
{
    static const char *const messages[] = {
        "one", "two\nlines", "", "\n", "  four  ", "", "gr\xC3\xBC\xC3\x9F \xF0\x9F\x90\x98"};
    struct logbuf log = {0};
    struct model model = {0};
    size_t bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        add_string(&log, &model, 1000, messages[i]);
        check(&log, &model);
    }
    char *got = copy_of(&log, &bytes);
    expect_text("joined", got,
                "one\ntwo\nlines\n\n\n\n  four  \n\ngr\xC3\xBC\xC3\x9F \xF0\x9F\x90\x98");
    free(got);
    done(&log, &model);
}

static void empty_messages_are_lines_wherever_they_stand(void **state)
{
    struct logbuf log = {0};
    struct model model = {0};
    size_t bytes;

    (void)state;
    add_string(&log, &model, 1000, "");
    check(&log, &model);
    add_string(&log, &model, 1000, "");
    check(&log, &model);
    add_string(&log, &model, 1000, "third");
    check(&log, &model);
    char *got = copy_of(&log, &bytes);
    expect_text("joined", got, "\n\nthird");
    free(got);
    done(&log, &model);
}

static void a_log_that_fits_has_nothing_missing(void **state)
{
    (void)state;
    for (size_t cap = 1; cap < 3000; cap += 13) {
        struct logbuf log = {0};
        struct model model = {0};
        char message[16];
        for (int i = 0; model.bytes + 8 <= cap || i == 0; i++) {
            snprintf(message, sizeof(message), "line %02d", i % 100);
            add_string(&log, &model, cap, message);
        }
        assert_int_equal(logbuf_sums(&log).missing_messages, 0);
        check(&log, &model);
        done(&log, &model);
    }
}

static void the_note_tells_lines_and_bytes(void **state)
{
    struct logbuf log = {0};
    struct model model = {0};
    char message[200];
    size_t bytes;

    (void)state;
    memset(message, 'x', sizeof(message));
    /* Each message gets a chunk of its own, hence exactly the second is dropped. */
    for (int i = 0; i < 3; i++) {
        memset(message, '1' + i, sizeof(message));
        add(&log, &model, 420, message, sizeof(message));
    }
    check(&log, &model);
    char *got = copy_of(&log, &bytes);
    got[201 + 46] = '\0';
    expect_text("note", got + 198, "11\n[... 1 line (201 bytes) missing here ...]\n3333");
    free(got);
    add(&log, &model, 420, message, sizeof(message));
    got = copy_of(&log, &bytes);
    got[201 + 46] = '\0';
    expect_text("note", got + 198, "11\n[... 2 lines (402 bytes) missing here ...]\n333");
    free(got);
    done(&log, &model);
}

/* A small generator of pseudo-random numbers: the same ones on every machine. */
static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static void fill(char *message, size_t bytes, uint64_t *random)
{
    static const char *const letters[] = {
        "a", "b", "\n", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x90\x98"};

    for (size_t at = 0; at < bytes;) {
        const char *letter = letters[next_random(random) % 6];
        size_t length = strlen(letter) <= bytes - at ? strlen(letter) : 1;
        memcpy(message + at, length == strlen(letter) ? letter : "x", length);
        at += length;
    }
}

static void any_cap_and_any_sizes_keep_head_and_tail_exactly(void **state)
{
    static const size_t caps[] = {1,    2,    10,   100,  255,   256,   257,   500,
                                  1000, 2048, 4096, 5000, 10000, 16384, 65536, 200000};
    static const size_t sizes[] = {1, 5, 80, 300, 5000, 70000};
    static char message[70001];
    uint64_t random = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
            struct logbuf log = {0};
            struct model model = {0};
            while (model.bytes < 5 * caps[i] + 3 * sizes[j] && model.count < 2000) {
                size_t bytes = next_random(&random) % (sizes[j] + 1);
                fill(message, bytes, &random);
                add(&log, &model, caps[i], message, bytes);
                /* A message is never cut: the first may be beyond the cap, and the last. */
                size_t first = caps[i] > model.largest ? caps[i] : model.largest;
                assert_true(logbuf_sums(&log).head_bytes + logbuf_sums(&log).tail_bytes <=
                            first + model.largest + SMALLEST_CHUNK);
                if (model.count % 16 == 0)
                    check(&log, &model);
            }
            check(&log, &model);
            done(&log, &model);
        }
    }
}

static void head_and_tail_get_about_half_each(void **state)
{
    static const size_t caps[] = {5000, 16384, 100000, 1000000, 5000000};

    (void)state;
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        struct logbuf log = {0};
        struct model model = {0};
        char message[64];
        while (model.bytes < 3 * caps[i]) {
            snprintf(message, sizeof(message), "[2026-11-24 10:00:00] line %zu", model.count);
            add_string(&log, &model, caps[i], message);
        }
        assert_in_range(logbuf_sums(&log).head_bytes, caps[i] / 3, caps[i] / 2);
        assert_in_range(logbuf_sums(&log).tail_bytes, caps[i] / 3,
                        caps[i] - logbuf_sums(&log).head_bytes);
        /* Text is what takes the memory, not its chunks. */
        assert_true(logbuf_sums(&log).memory_bytes < caps[i] * 5 / 4 + SMALLEST_CHUNK);
        check(&log, &model);
        done(&log, &model);
    }
}

static void a_million_lines_stay_within_the_cap(void **state)
{
    struct logbuf log = {0};
    const struct logbuf_piece piece = {"0123456789012345678901234567890123456789", 40};
    size_t most = 0;

    (void)state;
    for (int i = 0; i < 1000000; i++) {
        assert_int_equal(logbuf_append(&log, cap(1 << 20), &piece, 1), 0);
        most = logbuf_sums(&log).memory_bytes > most ? logbuf_sums(&log).memory_bytes : most;
    }
    assert_true(most < (1 << 20) * 5 / 4);
    size_t kept = (logbuf_sums(&log).head_bytes + logbuf_sums(&log).tail_bytes + 1) / 41;
    assert_int_equal(logbuf_sums(&log).missing_messages + kept, 1000000);
    assert_int_equal(logbuf_sums(&log).missing_bytes, logbuf_sums(&log).missing_messages * 41);
    logbuf_done(&log);
}

static void a_cap_that_changes_keeps_the_note_exact(void **state)
{
    static const size_t caps[] = {20000, 5000, 1, 100000, 300, 16384, 50000};
    struct logbuf log = {0};
    struct model model = {0};
    uint64_t random = 7;
    char message[400];

    (void)state;
    for (int i = 0; i < 7000; i++) {
        size_t bytes = next_random(&random) % sizeof(message);
        fill(message, bytes, &random);
        add(&log, &model, caps[i / 1000], message, bytes);
        if (i % 100 == 0)
            check(&log, &model);
    }
    check(&log, &model);
    done(&log, &model);
}

static void assert_equal_logs(const struct logbuf *a, const struct logbuf *b)
{
    struct logbuf_sums sums_a = logbuf_sums(a), sums_b = logbuf_sums(b);
    size_t bytes_a, bytes_b;
    char *copy_a = copy_of(a, &bytes_a), *copy_b = copy_of(b, &bytes_b);

    assert_int_equal(sums_a.head_bytes, sums_b.head_bytes);
    assert_int_equal(sums_a.tail_bytes, sums_b.tail_bytes);
    assert_int_equal(sums_a.memory_bytes, sums_b.memory_bytes);
    assert_int_equal(sums_a.missing_messages, sums_b.missing_messages);
    assert_int_equal(sums_a.missing_bytes, sums_b.missing_bytes);
    assert_int_equal(bytes_a, bytes_b);
    assert_memory_equal(copy_a, copy_b, bytes_a);
    free(copy_a);
    free(copy_b);
}

/* As the table does it: at once where that is possible, but not while memory is short. */
static void the_quick_way_makes_the_same_log(void **state)
{
    static const size_t caps[] = {1, 300, 5000, 20000, 200000, 2000000};
    uint64_t random = 11;
    char message[600];
    size_t quick_count = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        struct logbuf slow = {0}, quick = {0};
        bool tight = false;
        for (int line = 0; line < 5000; line++) {
            if (next_random(&random) % 200 == 0)
                tight = !tight;
            size_t bytes = next_random(&random) % sizeof(message);
            fill(message, bytes, &random);
            struct logbuf_piece piece = {message, bytes};
            struct logbuf_limits limits = cap(caps[i]);
            if (tight) {
                size_t most = logbuf_tighten(&slow, 400);
                assert_int_equal(logbuf_tighten(&quick, 400), most);
                limits.cap_bytes = most < caps[i] ? most : caps[i];
            } else {
                logbuf_loosen(&slow);
            }
            assert_int_equal(logbuf_append(&slow, limits, &piece, 1), 0);
            size_t found = 0;
            if (!tight)
                found = logbuf_append_quick(&quick, &piece, 1);
            if (found == 0) {
                if (!tight)
                    logbuf_loosen(&quick);
                assert_int_equal(logbuf_append(&quick, limits, &piece, 1), 0);
            }
            quick_count += found > 0;
            if (line % 50 == 0)
                assert_equal_logs(&slow, &quick);
        }
        assert_equal_logs(&slow, &quick);
        logbuf_done(&slow);
        logbuf_done(&quick);
    }
    assert_true(quick_count > 2000);
}

static void a_reservation_changes_nothing_that_can_be_read(void **state)
{
    static const size_t caps[] = {1, 100, 1000, 10000, 100000};
    static char message[20000];
    uint64_t random = 3;

    (void)state;
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        for (int round = 0; round < 200; round++) {
            struct logbuf log = {0};
            struct model model = {0};
            for (int step = 0; step < 20; step++) {
                /* Reserved for more than comes, for less, or for nothing at all. */
                size_t reserved = next_random(&random) % (round % 2 ? 200 : 3000);
                size_t bytes = next_random(&random) % (round % 3 ? 300 : sizeof(message));
                assert_int_equal(logbuf_reserve(&log, cap(caps[i]), reserved), 0);
                check(&log, &model);
                fill(message, bytes, &random);
                add(&log, &model, caps[i], message, bytes);
                check(&log, &model);
            }
            done(&log, &model);
        }
    }
}

static void repeated_reservations_take_no_more_memory(void **state)
{
    struct logbuf log = {0};
    struct model model = {0};

    (void)state;
    add_string(&log, &model, 10000, "first");
    assert_int_equal(logbuf_reserve(&log, cap(10000), 500), 0);
    size_t memory = logbuf_sums(&log).memory_bytes;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(logbuf_reserve(&log, cap(10000), 500), 0);
    assert_int_equal(logbuf_sums(&log).memory_bytes, memory);
    check(&log, &model);
    done(&log, &model);
}

static void the_end_of_a_log_is_its_last_whole_lines(void **state)
{
    static const struct {
        const char *log;
        size_t max_bytes;
        const char *expected;
    } cases[] = {
        {"one\ntwo\nthree", 100, "one\ntwo\nthree"},
        {"one\ntwo\nthree", 13, "one\ntwo\nthree"},
        {"one\ntwo\nthree", 12, "two\nthree"},
        {"one\ntwo\nthree", 10, "two\nthree"},
        {"one\ntwo\nthree", 9, "two\nthree"}, /* it fits exactly */
        {"one\ntwo\nthree", 8, "three"},
        {"one\ntwo\nthree", 6, "three"},
        {"one\ntwo\nthree", 5, "three"},
        {"one\ntwo\nthree", 4, "hree"},
        {"one\ntwo\nthree", 1, "e"},
        {"one\ntwo\nthree", 0, ""},
        /* A last line that is too long is cut between characters. */
        {"x\ngr\xC3\xBC\xC3\x9F", 6, "gr\xC3\xBC\xC3\x9F"},
        {"x\ngr\xC3\xBC\xC3\x9F", 5, "r\xC3\xBC\xC3\x9F"},
        {"x\ngr\xC3\xBC\xC3\x9F", 4, "\xC3\xBC\xC3\x9F"},
        {"x\ngr\xC3\xBC\xC3\x9F", 3, "\xC3\x9F"},
        {"x\ngr\xC3\xBC\xC3\x9F", 2, "\xC3\x9F"},
        {"x\ngr\xC3\xBC\xC3\x9F", 1, ""},
        {"\xF0\x9F\x90\x98", 3, ""},
        {"\xF0\x9F\x90\x98", 4, "\xF0\x9F\x90\x98"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct logbuf log = {0};
        const struct logbuf_piece piece = {cases[i].log, strlen(cases[i].log)};
        char *buffer = malloc(cases[i].max_bytes + 1);
        assert_non_null(buffer);
        assert_int_equal(logbuf_append(&log, cap(SIZE_MAX), &piece, 1), 0);
        size_t bytes = logbuf_copy_end(&log, NULL, cases[i].max_bytes, buffer);
        assert_true(bytes <= cases[i].max_bytes);
        buffer[bytes] = '\0';
        expect_text(cases[i].log, buffer, cases[i].expected);
        free(buffer);
        logbuf_done(&log);
    }
}

/* What the end is by its definition: from the first line's start that leaves it short enough. */
static const char *model_end(const char *text, size_t bytes, size_t max_bytes)
{
    const char *at = text + bytes - max_bytes;

    if (max_bytes >= bytes)
        return text;
    for (const char *line = at; line < text + bytes; line++)
        if (line[-1] == '\n')
            return line;
    while (at < text + bytes && ((unsigned char)*at & 0xC0) == 0x80)
        at++;
    return at;
}

static void the_end_may_begin_in_any_chunk_or_in_the_note(void **state)
{
    static const size_t caps[] = {600, 3000, 100000};
    uint64_t random = 11;
    char message[120];

    (void)state;
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        struct logbuf log = {0};
        struct model model = {0};
        size_t bytes;
        while (model.bytes < 8000) {
            size_t length = 1 + next_random(&random) % (sizeof(message) - 1);
            fill(message, length, &random);
            message[length - 1] = '.';
            add(&log, &model, caps[i], message, length);
        }
        char *all = copy_of(&log, &bytes), *end = malloc(bytes + 11);
        assert_non_null(end);
        for (size_t max = 0; max < bytes + 10; max++) {
            const char *expected = model_end(all, bytes, max);
            size_t got = logbuf_copy_end(&log, NULL, max, end);
            assert_int_equal(got, (size_t)(all + bytes - expected));
            assert_memory_equal(end, expected, got);
        }
        free(end);
        free(all);
        done(&log, &model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_log_has_nothing),
        cmocka_unit_test(messages_are_joined_by_newlines_byte_for_byte),
        cmocka_unit_test(empty_messages_are_lines_wherever_they_stand),
        cmocka_unit_test(a_log_that_fits_has_nothing_missing),
        cmocka_unit_test(the_note_tells_lines_and_bytes),
        cmocka_unit_test(any_cap_and_any_sizes_keep_head_and_tail_exactly),
        cmocka_unit_test(head_and_tail_get_about_half_each),
        cmocka_unit_test(a_million_lines_stay_within_the_cap),
        cmocka_unit_test(a_cap_that_changes_keeps_the_note_exact),
        cmocka_unit_test(the_quick_way_makes_the_same_log),
        cmocka_unit_test(a_reservation_changes_nothing_that_can_be_read),
        cmocka_unit_test(repeated_reservations_take_no_more_memory),
        cmocka_unit_test(the_end_of_a_log_is_its_last_whole_lines),
        cmocka_unit_test(the_end_may_begin_in_any_chunk_or_in_the_note),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
