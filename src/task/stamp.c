/* SPDX-License-Identifier: Apache-2.0 */
/* Formats times; see the header. */
#include "stamp.h"

#include <stdio.h>
#include <time.h>

void stamp_set(struct stamp *stamp, int64_t time_us)
{
    int64_t second = time_us / 1000000 - (time_us % 1000000 < 0);
    time_t time = (time_t)second;
    struct tm tm;

    if (stamp->bytes > 0 && stamp->second == second)
        return;
    if (!localtime_r(&time, &tm))
        tm = (struct tm){.tm_year = 70, .tm_mday = 1};
    int bytes =
        snprintf(stamp->text, sizeof(stamp->text), "[%04d-%02d-%02d %02d:%02d:%02d] ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    stamp->bytes = (size_t)bytes < sizeof(stamp->text) ? (size_t)bytes : sizeof(stamp->text) - 1;
    stamp->second = second;
}

size_t stamp_duration(int64_t duration_us, char buffer[DURATION_BYTES_MAX])
{
    long long seconds = (long long)(duration_us / 1000000);
    int bytes;

    if (seconds >= 3600)
        bytes = snprintf(buffer, DURATION_BYTES_MAX, "%lldh %lldm %llds", seconds / 3600,
                         seconds / 60 % 60, seconds % 60);
    else if (seconds >= 60)
        bytes = snprintf(buffer, DURATION_BYTES_MAX, "%lldm %llds", seconds / 60, seconds % 60);
    else
        bytes = snprintf(buffer, DURATION_BYTES_MAX, "%llds", seconds);
    return (size_t)bytes;
}
