/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The number that a sender on another host gave a line, so that the line is known when it comes a second time:
 * RELP sends again what was not acknowledged when a connection broke, and much of that has arrived.
 * It stands in RFC 5424's structured data, as its first element:
 *
 *     [tasklog@32473 stream="3f0c…" number="42"]
 *
 * A stream is one life of one sender's counter, under a name that no other has. Numbers go up by one and begin
 * again at 0 behind TASKLOG_NUMBERS - 1, as mmsequence's do. Pure.
 */
#ifndef TASKLOG_NUMBER_H
#define TASKLOG_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TASKLOG_NUMBERS = INT32_MAX, TASKLOG_STREAM_BYTES_MAX = 64 };

/* False if there is no such element, or it is not as above; the rest stays untouched then. A stream is never 0. */
bool tasklog_number_parse(const char *data, size_t bytes, uint64_t *ret_stream,
                          uint32_t *ret_number) __attribute__((warn_unused_result));

#endif
