/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a value is written as text. Pure: no database, no locale, no clock, no memory of its own.
 *
 * A fraction of zero is left out, as Python's str(datetime) does and therefore Django on SQLite.
 */
#include "value.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <xxhash.h>

enum { SECOND_US = 1000000 };

uint64_t tasklog_value_hash(const struct tasklog_value *value, uint64_t hash)
{
    return value->text != NULL ? XXH3_64bits_withSeed(value->text, value->text_bytes, hash)
                               : XXH3_64bits_withSeed(&value->number, sizeof value->number, hash);
}

bool value_is_text(enum tasklog_type type)
{
    return type == TASKLOG_TEXT || type == TASKLOG_JSON;
}

int64_t value_whole_seconds(int64_t microseconds)
{
    int64_t seconds = microseconds / SECOND_US;
    int64_t rest = microseconds % SECOND_US;

    if (rest >= SECOND_US / 2)
        return seconds + 1;
    return rest <= -SECOND_US / 2 ? seconds - 1 : seconds;
}

static void print_time(char *scratch, int64_t microseconds, enum value_form form)
{
    int64_t fraction = microseconds % SECOND_US;
    time_t seconds = microseconds / SECOND_US;
    char fraction_text[16] = "";
    struct tm tm = {0};

    if (fraction < 0) {
        fraction += SECOND_US;
        seconds--;
    }
    gmtime_r(&seconds, &tm);
    if (fraction != 0)
        snprintf(fraction_text, sizeof fraction_text, ".%06d", (int)fraction);
    if (form == VALUE_DATE)
        snprintf(scratch, VALUE_SCRATCH_BYTES, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday);
    else
        snprintf(scratch, VALUE_SCRATCH_BYTES, "%04d-%02d-%02d %02d:%02d:%02d%s%s",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 fraction_text, form == VALUE_TIME_ZONE ? "+00" : "");
}

static void print_seconds(char *scratch, int64_t microseconds, const char *unit)
{
    uint64_t size = microseconds < 0 ? -(uint64_t)microseconds : (uint64_t)microseconds;
    unsigned fraction = (unsigned)(size % SECOND_US);
    char fraction_text[16] = "";

    if (fraction != 0) {
        int digits = 6;

        while (fraction % 10 == 0) {
            fraction /= 10;
            digits--;
        }
        snprintf(fraction_text, sizeof fraction_text, ".%0*u", digits, fraction);
    }
    snprintf(scratch, VALUE_SCRATCH_BYTES, "%s%" PRIu64 "%s%s", microseconds < 0 ? "-" : "",
             size / SECOND_US, fraction_text, unit);
}

const char *value_text(const struct tasklog_value *value, enum value_form form,
                       char scratch[VALUE_SCRATCH_BYTES])
{
    if (value->is_null)
        return NULL;
    switch (form) {
    case VALUE_TEXT:
        return value->text;
    case VALUE_NUMBER:
        snprintf(scratch, VALUE_SCRATCH_BYTES, "%" PRId64, value->number);
        break;
    case VALUE_TIME:
    case VALUE_TIME_ZONE:
    case VALUE_DATE:
        print_time(scratch, value->number, form);
        break;
    case VALUE_SECONDS:
        print_seconds(scratch, value->number, "");
        break;
    case VALUE_WHOLE_SECONDS:
        snprintf(scratch, VALUE_SCRATCH_BYTES, "%" PRId64, value_whole_seconds(value->number));
        break;
    case VALUE_INTERVAL:
        print_seconds(scratch, value->number, " seconds");
        break;
    case VALUE_FLAG:
        return value->number != 0 ? "1" : "0";
    case VALUE_WORD:
        return value->number != 0 ? "true" : "false";
    }
    return scratch;
}
