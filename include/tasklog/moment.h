/* SPDX-License-Identifier: Apache-2.0 */
/* A moment as RFC 3339 writes it. */
#ifndef TASKLOG_MOMENT_H
#define TASKLOG_MOMENT_H

#include <stddef.h>
#include <stdint.h>

/* Reads `2026-11-24T10:31:07.123456+01:00`: microseconds since 1970 UTC. The fraction has six digits, the
 * zone may be `Z`. 0 if the text is not that. */
int64_t tasklog_moment_parse(const char *text, size_t bytes);

#endif
