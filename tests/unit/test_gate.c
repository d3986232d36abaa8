/* SPDX-License-Identifier: Apache-2.0 */
/* The gate by itself: what it lets in, by a clock that is told by hand, and what it remembers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collector/gate.h"
#include "support/collecting.h"

enum { ALICE = 4001, BOB = 4002, BEGIN_MS = 5000000 };

static const struct tasklog_sight OPENS = {.opens = true};
static const struct tasklog_sight RUNS = {.is_running = true};
static const struct tasklog_sight PROGRESS = {.is_running = true, .is_control = true};
static const struct tasklog_sight ENDS = {.is_running = true, .is_control = true, .ends = true};

static struct gate *gate;
static int64_t now_ms;

static int begin(void **state)
{
    (void)state;
    now_ms = BEGIN_MS;
    return 0;
}

static int end(void **state)
{
    (void)state;
    gate_free(gate);
    gate = NULL;
    return 0;
}

static void make(struct gate_rules rules)
{
    rules.level = 6;
    assert_int_equal(gate_new(&rules, 42, &gate), 0);
}

static struct tasklog_line of_uid(uint32_t uid)
{
    struct tasklog_line line = collecting_line("job[1]", "text");

    line.has_uid = true;
    line.uid = uid;
    return line;
}

static struct tasklog_line of_address(const char *address)
{
    struct tasklog_line line = collecting_line("job[1]", "text");

    line.from = address;
    line.from_bytes = strlen(address);
    return line;
}

static enum gate_verdict judge(struct tasklog_line line, struct tasklog_sight sight)
{
    return gate_judge(gate, &line, &sight, now_ms);
}

static struct tasklog_sight owned_by(uint32_t uid)
{
    const struct tasklog_line line = of_uid(uid);

    return (struct tasklog_sight){.is_running = true, .peer = gate_peer(&line)};
}

/* ---- users ---- */

static void a_sender_is_a_user_or_an_address(void **state)
{
    struct tasklog_line alice = of_uid(ALICE), root = of_uid(0), near = of_address("10.0.0.1"),
                        far = of_address("10.0.0.2"), nameless = of_address("");

    (void)state;
    assert_true(gate_peer(&alice) != gate_peer(&root));
    assert_true(gate_peer(&near) != gate_peer(&far));
    assert_true(gate_peer(&nameless) != gate_peer(&far));
    assert_true(gate_peer(&root) != 0);
    near.host = "another name"; /* is only a text */
    assert_true(gate_peer(&near) ==
                gate_peer(&(struct tasklog_line){.from = "10.0.0.1", .from_bytes = 8}));
    /* No address is a user. */
    for (int i = 0; i < 100000; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        struct tasklog_line line = of_address(text);
        assert_true(gate_peer(&line) != gate_peer(&root) && gate_peer(&line) >> 63 == 0);
    }
}

static void only_users_of_the_list_are_let_in(void **state)
{
    static const uint32_t uids[] = {ALICE, UINT32_MAX - 1};

    (void)state;
    make((struct gate_rules){.uids = uids, .uid_count = 2});
    assert_int_equal(judge(of_uid(ALICE), OPENS), GATE_ADMIT);
    assert_int_equal(judge(of_uid(UINT32_MAX - 1), OPENS), GATE_ADMIT);
    assert_int_equal(judge(of_uid(BOB), OPENS), GATE_UNTRUSTED);
    assert_int_equal(judge(of_uid(0), OPENS), GATE_UNTRUSTED);
    assert_int_equal(judge(of_address("10.0.0.1"), OPENS), GATE_UNTRUSTED);
    assert_int_equal(judge(of_address(""), OPENS), GATE_UNTRUSTED);
}

static void a_user_that_is_not_vouched_for_is_none(void **state)
{
    static const uint32_t uids[] = {0};
    struct tasklog_line line = of_uid(0);

    (void)state;
    make((struct gate_rules){.uids = uids, .uid_count = 1});
    assert_int_equal(judge(line, OPENS), GATE_ADMIT);
    line.has_uid = false;
    assert_int_equal(judge(line, OPENS), GATE_UNTRUSTED);
    assert_int_equal(judge((struct tasklog_line){0}, OPENS), GATE_UNTRUSTED);
}

static void a_task_is_its_users(void **state)
{
    static const uint32_t uids[] = {ALICE, BOB, 0};

    (void)state;
    make((struct gate_rules){.uids = uids, .uid_count = 3});
    assert_int_equal(judge(of_uid(ALICE), owned_by(ALICE)), GATE_ADMIT);
    assert_int_equal(judge(of_uid(BOB), owned_by(ALICE)), GATE_FOREIGN);
    assert_int_equal(judge(of_uid(0), owned_by(ALICE)), GATE_ADMIT);
    assert_int_equal(judge(of_uid(ALICE), owned_by(0)), GATE_FOREIGN);
    assert_int_equal(judge(of_uid(BOB), RUNS), GATE_ADMIT); /* whose it is, is not known */
}

static void without_a_list_tasks_are_nobodys(void **state)
{
    (void)state;
    make((struct gate_rules){.max_rate = 1000});
    assert_int_equal(judge(of_uid(BOB), owned_by(ALICE)), GATE_ADMIT);
}

/* ---- rates ---- */

static void a_rate_is_counted_by_seconds(void **state)
{
    (void)state;
    make((struct gate_rules){.max_rate = 3});
    for (int second = 0; second < 3; second++, now_ms += 1000) {
        for (int i = 0; i < 3; i++)
            assert_int_equal(judge(of_uid(ALICE), RUNS), GATE_ADMIT);
        for (int i = 0; i < 5; i++)
            assert_int_equal(judge(of_uid(ALICE), RUNS), GATE_OVER_RATE);
        now_ms += 999;
        assert_int_equal(judge(of_uid(ALICE), RUNS), GATE_OVER_RATE);
        now_ms -= 999;
    }
}

static void senders_do_not_pay_for_each_other(void **state)
{
    (void)state;
    make((struct gate_rules){.max_rate = 1});
    assert_int_equal(judge(of_uid(ALICE), RUNS), GATE_ADMIT);
    assert_int_equal(judge(of_uid(ALICE), RUNS), GATE_OVER_RATE);
    assert_int_equal(judge(of_uid(BOB), RUNS), GATE_ADMIT);
    assert_int_equal(judge(of_address("10.0.0.1"), RUNS), GATE_ADMIT);
    assert_int_equal(judge(of_address("10.0.0.2"), RUNS), GATE_ADMIT);
    assert_int_equal(judge(of_address("10.0.0.1"), RUNS), GATE_OVER_RATE);
}

static void an_end_is_never_too_much(void **state)
{
    (void)state;
    make((struct gate_rules){.max_rate = 2});
    for (int i = 0; i < 100; i++)
        (void)judge(of_uid(ALICE), RUNS);
    for (int i = 0; i < 100; i++)
        assert_int_equal(judge(of_uid(ALICE), ENDS), GATE_ADMIT);
}

static void control_lines_are_not_lost_among_others_but_can_be_too_many(void **state)
{
    (void)state;
    make((struct gate_rules){.max_rate = 2});
    for (int i = 0; i < 100; i++)
        (void)judge(of_uid(ALICE), RUNS);
    assert_int_equal(judge(of_uid(ALICE), PROGRESS), GATE_ADMIT);
    assert_int_equal(judge(of_uid(ALICE), PROGRESS), GATE_ADMIT);
    assert_int_equal(judge(of_uid(ALICE), PROGRESS), GATE_OVER_RATE);
}

static void what_is_dropped_anyhow_is_no_line(void **state)
{
    struct tasklog_line debug = of_uid(ALICE);

    (void)state;
    debug.severity = 7;
    make((struct gate_rules){.max_rate = 1});
    for (int i = 0; i < 10; i++)
        assert_int_equal(judge(debug, RUNS), GATE_ADMIT);
    assert_int_equal(judge(of_uid(ALICE), RUNS), GATE_ADMIT);
}

/* ---- tasks ---- */

static void open_tasks_are_counted(void **state)
{
    const struct tasklog_line alice = of_uid(ALICE);
    const struct tasklog_sight again = {.opens = true, .is_running = true, .starts = true};

    (void)state;
    make((struct gate_rules){.max_tasks = 2});
    for (int i = 0; i < 2; i++) {
        assert_int_equal(judge(alice, OPENS), GATE_ADMIT);
        gate_census(gate, gate_peer(&alice), 1);
    }
    assert_int_equal(judge(alice, OPENS), GATE_OVER_TASKS);
    assert_int_equal(judge(alice, RUNS), GATE_ADMIT);
    assert_int_equal(judge(alice, again), GATE_ADMIT); /* the old run ends */
    assert_int_equal(judge(of_uid(BOB), OPENS), GATE_ADMIT);
    gate_census(gate, gate_peer(&alice), -1);
    assert_int_equal(judge(alice, OPENS), GATE_ADMIT);
}

static void what_was_refused_of_a_task_is_known_when_it_begins(void **state)
{
    struct tasklog_line one = of_uid(ALICE), two = of_uid(ALICE);

    (void)state;
    two.id = "2";
    make((struct gate_rules){.max_rate = 1});
    assert_int_equal(judge(one, OPENS), GATE_ADMIT);
    for (int i = 0; i < 7; i++)
        assert_int_equal(judge(two, OPENS), GATE_OVER_RATE);
    assert_int_equal(gate_refused_before(gate, &one), 0);
    assert_int_equal(gate_refused_before(gate, &two), 7);
    assert_int_equal(gate_refused_before(gate, &two), 0);
}

/* ---- memory ---- */

static void name_address(struct tasklog_line *line, char text[16], unsigned number)
{
    snprintf(text, 16, "10.%u.%u.%u", number >> 16 & 255, number >> 8 & 255, number & 255);
    *line = of_address(text);
}

static void a_flood_of_senders_is_bounded_and_passes(void **state)
{
    struct tasklog_line line;
    unsigned admitted = 0;
    char text[16];

    (void)state;
    make((struct gate_rules){.max_rate = 1});
    for (unsigned i = 0; i < 100000; i++) { /* within one second: most of them share one place */
        name_address(&line, text, i);
        admitted += judge(line, RUNS) == GATE_ADMIT;
    }
    assert_in_range(admitted, GATE_PEERS_MAX / 2, GATE_PEERS_MAX + 1);
    now_ms += 1000;
    assert_int_equal(judge(of_uid(ALICE), RUNS), GATE_ADMIT);
    assert_int_equal(judge(of_uid(ALICE), RUNS), GATE_OVER_RATE);
}

static void who_has_open_tasks_is_not_forgotten_for_a_flood(void **state)
{
    const struct tasklog_line alice = of_uid(ALICE);
    struct tasklog_line line;
    char text[16];

    (void)state;
    make((struct gate_rules){.max_tasks = 1});
    assert_int_equal(judge(alice, OPENS), GATE_ADMIT);
    gate_census(gate, gate_peer(&alice), 1);
    for (unsigned i = 0; i < 100000; i++, now_ms += i % 64 == 0 ? 1000 : 0) {
        name_address(&line, text, i);
        (void)judge(line, OPENS);
    }
    assert_int_equal(judge(alice, OPENS), GATE_OVER_TASKS);
}

static void tasks_of_senders_beyond_the_memory_are_counted_too(void **state)
{
    struct tasklog_line line;
    unsigned opened = 0;
    char text[16];

    (void)state;
    make((struct gate_rules){.max_tasks = 1});
    for (unsigned i = 0; i < 100000; i++) {
        name_address(&line, text, i);
        if (judge(line, OPENS) != GATE_ADMIT)
            continue;
        gate_census(gate, gate_peer(&line), 1);
        opened++;
    }
    assert_in_range(opened, GATE_PEERS_MAX / 2, GATE_PEERS_MAX + 1);
    for (unsigned i = 0; i < 100000; i++) { /* more ends than beginnings */
        name_address(&line, text, i);
        gate_census(gate, gate_peer(&line), -1);
    }
    name_address(&line, text, 100001);
    assert_int_equal(judge(line, OPENS), GATE_ADMIT);
}

static void a_flood_of_refused_tasks_is_bounded(void **state)
{
    struct tasklog_line line = of_uid(ALICE);
    char id[16];

    (void)state;
    make((struct gate_rules){.max_rate = 1});
    (void)judge(line, RUNS);
    line.id = id;
    for (int i = 0; i < 100000; i++) {
        line.id_bytes = (size_t)snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(judge(line, OPENS), GATE_OVER_RATE);
    }
    assert_int_equal(gate_refused_before(gate, &line), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_sender_is_a_user_or_an_address),
        TEST(only_users_of_the_list_are_let_in),
        TEST(a_user_that_is_not_vouched_for_is_none),
        TEST(a_task_is_its_users),
        TEST(without_a_list_tasks_are_nobodys),
        TEST(a_rate_is_counted_by_seconds),
        TEST(senders_do_not_pay_for_each_other),
        TEST(an_end_is_never_too_much),
        TEST(control_lines_are_not_lost_among_others_but_can_be_too_many),
        TEST(what_is_dropped_anyhow_is_no_line),
        TEST(open_tasks_are_counted),
        TEST(what_was_refused_of_a_task_is_known_when_it_begins),
        TEST(a_flood_of_senders_is_bounded_and_passes),
        TEST(who_has_open_tasks_is_not_forgotten_for_a_flood),
        TEST(tasks_of_senders_beyond_the_memory_are_counted_too),
        TEST(a_flood_of_refused_tasks_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
