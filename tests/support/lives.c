/* SPDX-License-Identifier: Apache-2.0 */
/* Lives of a collector; see the header. */
#include "support/lives.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/fake_store.h"
#include "support/steady_clock.h"

char lives_folder[64];
struct collecting *collecting;

int lives_set_up(void **state)
{
    (void)state;
    strcpy(lives_folder, "/tmp/test-lives-XXXXXX");
    assert_non_null(mkdtemp(lives_folder));
    fake_store_reset();
    return 0;
}

int lives_tear_down(void **state)
{
    char command[96];

    (void)state;
    fake_store_block(false);
    life_end();
    fake_store_reset();
    snprintf(command, sizeof(command), "rm -rf '%s'", lives_folder);
    return system(command);
}

struct collecting *life_new(const char *a, const char *b, const char *c)
{
    char spool[96];
    const char *const all[] = {"database=dbname=fake",
                               "table=tasks",
                               "columns=log=log",
                               "columns=status=status",
                               "liveInterval=0",
                               spool,
                               a,
                               b,
                               c};
    const char *parameters[sizeof(all) / sizeof(all[0]) + 1] = {NULL};
    size_t count = 0;

    snprintf(spool, sizeof(spool), "spool=%s/spool", lives_folder);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i])
            parameters[count++] = all[i];
    return collecting_new(parameters, &steady_clock);
}

void life_begin(const char *a, const char *b, const char *c)
{
    collecting = life_new(a, b, c);
    collecting_start(collecting);
}

void life_end(void)
{
    collecting_free(collecting);
    collecting = NULL;
}

void life_without_lines(void)
{
    life_begin(NULL, NULL, NULL);
}

void live_and_die(void (*life)(void))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        life();
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
