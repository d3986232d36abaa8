/* SPDX-License-Identifier: Apache-2.0 */
/* Reads moments. It is done for each line, so without strptime and timegm. */
#include "tasklog/moment.h"

#include <stdbool.h>
#include <string.h>

#define SHAPE "0000-00-00T00:00:00.000000"
enum { ZONE_AT = sizeof(SHAPE) - 1, ZONE_BYTES = sizeof("+00:00") - 1 };

static bool has_shape(const char *text, const char *shape)
{
    for (; *shape; text++, shape++)
        if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
            return false;
    return true;
}

static int64_t number(const char *digits, size_t count)
{
    int64_t number = 0;

    for (size_t i = 0; i < count; i++)
        number = number * 10 + (digits[i] - '0');
    return number;
}

/* Since 1970. Years begin in March here, so that the day that may be missing is a year's last. */
static int64_t days(int64_t year, int64_t month, int64_t day)
{
    year -= month < 3;
    month += month < 3 ? 9 : -3;
    return year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719469;
}

/* Minutes to the east; false if it is none. */
static bool parse_zone(const char *zone, size_t bytes, int64_t *ret_minutes)
{
    if (bytes == 1 && *zone == 'Z') {
        *ret_minutes = 0;
        return true;
    }
    if (bytes != ZONE_BYTES || (*zone != '+' && *zone != '-') || !has_shape(zone + 1, "00:00"))
        return false;
    int64_t minutes = number(zone + 1, 2) * 60 + number(zone + 4, 2);
    *ret_minutes = *zone == '-' ? -minutes : minutes;
    return true;
}

int64_t tasklog_moment_parse(const char *text, size_t bytes)
{
    int64_t minutes;

    if (bytes <= ZONE_AT || !has_shape(text, SHAPE) ||
        !parse_zone(text + ZONE_AT, bytes - ZONE_AT, &minutes))
        return 0;
    int64_t day = days(number(text, 4), number(text + 5, 2), number(text + 8, 2));
    minutes = day * 24 * 60 + number(text + 11, 2) * 60 + number(text + 14, 2) - minutes;
    return (minutes * 60 + number(text + 17, 2)) * 1000000 + number(text + 20, 6);
}
