/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are watched, and the dead that are remembered for a moment. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/collector/death.h"
#include "../../src/collector/origin.h"
#include "../../src/collector/watch.h"

enum { PATIENCE_MS = 5000, DEAD_MAX = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tasklog_process dead[DEAD_MAX];
static size_t dead_count;
static struct watch *watch;

static void died(void *context, const struct tasklog_process *process)
{
    (void)context;
    pthread_mutex_lock(&lock);
    if (dead_count < DEAD_MAX)
        dead[dead_count++] = *process;
    pthread_mutex_unlock(&lock);
}

static size_t count_dead(void)
{
    pthread_mutex_lock(&lock);
    size_t count = dead_count;
    pthread_mutex_unlock(&lock);
    return count;
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static void wait_for_dead(size_t count)
{
    for (int ms = 0; count_dead() < count; ms += 5) {
        if (ms > PATIENCE_MS)
            fail_msg("%zu instead of %zu have died", count_dead(), count);
        pause_ms(5);
    }
}

static pid_t start_process(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        pause();
        _exit(0);
    }
    return pid;
}

static void end_process(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static int begin(void **state)
{
    (void)state;
    dead_count = 0;
    return watch_new(died, NULL, &watch);
}

static int end(void **state)
{
    (void)state;
    watch_free(watch);
    return 0;
}

static void a_death_is_told_once(void **state)
{
    pid_t pid = start_process(), other = start_process();
    struct tasklog_process process = {.pid = (uint32_t)pid}, again = process;
    struct tasklog_process living = {.pid = (uint32_t)other};

    (void)state;
    assert_true(watch_add(watch, &process));
    assert_true(process.start != 0 && process.boot != 0);
    assert_true(watch_add(watch, &again));
    assert_memory_equal(&process, &again, sizeof(process));
    assert_true(watch_add(watch, &living));
    end_process(pid);
    wait_for_dead(1);
    pause_ms(50);
    assert_int_equal(count_dead(), 1);
    assert_int_equal(dead[0].pid, pid);
    assert_true(dead[0].start == process.start);
    end_process(other);
    wait_for_dead(2);
}

static void who_is_not_there_is_dead_already(void **state)
{
    pid_t pid = start_process();
    struct tasklog_process process = {.pid = (uint32_t)pid}, other;

    (void)state;
    assert_true(watch_add(watch, &process));
    other = process;
    other.start++; /* its pid is another's by now */
    assert_false(watch_add(watch, &other));
    other = process;
    other.boot++; /* the machine was started again */
    assert_false(watch_add(watch, &other));
    end_process(pid);
    other = (struct tasklog_process){.pid = (uint32_t)pid};
    assert_false(watch_add(watch, &other));
}

/* Neither a pidfd nor a look at the process is to be had: it is not taken for dead. */
static void without_descriptors_it_looks(void **state)
{
    pid_t pid = start_process(), other = start_process();
    struct tasklog_process process = {.pid = (uint32_t)pid}, known = {.pid = (uint32_t)other};
    struct rlimit limit, none;

    (void)state;
    assert_true(watch_add(watch, &known));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(STDIN_FILENO);
    close(lowest);
    none = (struct rlimit){(rlim_t)lowest, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool lives = watch_add(watch, &process);
    pause_ms(1200); /* a look at it */
    size_t count = count_dead();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(lives);
    assert_int_equal(count, 0);
    end_process(pid);
    wait_for_dead(1);
    assert_int_equal(dead[0].pid, pid);
    end_process(other);
    wait_for_dead(2);
}

static size_t count_files(void)
{
    size_t count = 0;

    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void who_names_many_processes_gets_a_part_of_the_descriptors(void **state)
{
    enum { PROCESSES = 40, LIMIT = 80 };
    struct rlimit limit, small;
    pid_t pids[PROCESSES];

    (void)state;
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (pidfd < 0)
        skip(); /* before Linux 5.3, and under an older valgrind, none takes a descriptor */
    close(pidfd);
    watch_free(watch);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    small = (struct rlimit){LIMIT, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    assert_int_equal(watch_new(died, NULL, &watch), 0);
    size_t before = count_files();
    for (size_t i = 0; i < PROCESSES; i++) {
        pids[i] = start_process();
        struct tasklog_process process = {.pid = (uint32_t)pids[i]};
        assert_true(watch_add(watch, &process));
    }
    assert_int_equal(count_files(), before + LIMIT / 8);
    for (size_t i = 0; i < PROCESSES; i++)
        end_process(pids[i]);
    wait_for_dead(PROCESSES); /* the others were looked at */
    assert_int_equal(count_files(), before);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void a_watch_with_many_is_freed_at_once(void **state)
{
    pid_t pids[20];

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        pids[i] = start_process();
        struct tasklog_process process = {.pid = (uint32_t)pids[i]};
        assert_true(watch_add(watch, &process));
    }
    for (size_t i = 0; i < 10; i++)
        end_process(pids[i]);
    wait_for_dead(10);
    watch_free(watch);
    watch = NULL;
    for (size_t i = 10; i < 20; i++)
        end_process(pids[i]);
    assert_int_equal(count_dead(), 10);
}

static void an_origin_is_a_unit_or_one_of_its_processes(void **state)
{
    (void)state;
    assert_true(origin_covers("", "a.service:1"));
    assert_true(origin_covers("a.service", "a.service:1"));
    assert_true(origin_covers("a.service:1", "a.service:1"));
    assert_false(origin_covers("a.service:1", "a.service:12"));
    assert_false(origin_covers("a.service", "a.service2:1"));
    assert_false(origin_covers("a.service", "1000/a.service:1"));
    assert_false(origin_covers("a.service", ""));
}

static void the_dead_are_found_when_they_are_due(void **state)
{
    struct deaths deaths = {0};
    const struct death unit = {.origin = "a.service",
                               .text = "unit",
                               .position = 50,
                               .due_ms = 100};
    const struct death process = {.process = {42, 7, 9}, .text = "process", .due_ms = 200};
    struct tasklog_sender sender = {.origin = "a.service:1", .run = 40};

    (void)state;
    assert_true(deaths_due_ms(&deaths) == INT64_MAX);
    deaths_add(&deaths, &process);
    deaths_add(&deaths, &unit);
    assert_int_equal(deaths_due_ms(&deaths), 100);
    assert_null(deaths_find(&deaths, &sender, 99));
    assert_string_equal(deaths_find(&deaths, &sender, 100)->text, "unit");
    sender.run = 60; /* it has begun after the news */
    assert_null(deaths_find(&deaths, &sender, 100));
    sender = (struct tasklog_sender){.origin = "", .process = {42, 7, 9}, .run = 60};
    assert_null(deaths_find(&deaths, &sender, 199));
    assert_string_equal(deaths_find(&deaths, &sender, 200)->text, "process");
    sender.process.start = 8;
    assert_null(deaths_find(&deaths, &sender, 200));
    deaths_shift(&deaths, 1000);
    assert_int_equal(deaths_due_ms(&deaths), 1100);
    deaths_drop_due(&deaths, 1100);
    assert_int_equal(deaths.count, 1);
    assert_int_equal(deaths_due_ms(&deaths), 1200);
    deaths_done(&deaths);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_death_is_told_once, begin, end),
        cmocka_unit_test_setup_teardown(who_is_not_there_is_dead_already, begin, end),
        cmocka_unit_test_setup_teardown(without_descriptors_it_looks, begin, end),
        cmocka_unit_test_setup_teardown(who_names_many_processes_gets_a_part_of_the_descriptors,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_watch_with_many_is_freed_at_once, begin, end),
        cmocka_unit_test(an_origin_is_a_unit_or_one_of_its_processes),
        cmocka_unit_test(the_dead_are_found_when_they_are_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
