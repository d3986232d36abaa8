/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lives of a collector that has a spool and the fake store: each is a process of its own that dies by
 * SIGKILL, but for the last one, which is the test's.
 */
#ifndef TESTS_LIVES_H
#define TESTS_LIVES_H

#include "support/collecting.h"

extern char lives_folder[64]; /* the spool is in it, as "spool" */
extern struct collecting *collecting;

/* For cmocka: nothing was taken, and nothing is left. */
int lives_set_up(void **state);
int lives_tear_down(void **state);

/* A collector with the test's spool, and up to three more parameters (or NULL). */
struct collecting *life_new(const char *a, const char *b, const char *c);

/* The same as `collecting`, started; and freed. */
void life_begin(const char *a, const char *b, const char *c);
void life_end(void);

/* For live_and_die: nothing but a start. */
void life_without_lines(void);

/* One life: does something and is killed. */
void live_and_die(void (*life)(void));

#endif
