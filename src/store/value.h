/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a value is written as text, in the form that its column takes. Which form a column takes is
 * the drivers' business.
 */
#ifndef STORE_VALUE_H
#define STORE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "tasklog/store.h"

enum value_form {
    VALUE_TEXT,          /* the text as it is */
    VALUE_NUMBER,        /* 42 */
    VALUE_TIME,          /* 2026-11-24 10:31:07.25 in UTC: what str(datetime) gives in Python */
    VALUE_TIME_ZONE,     /* the same with +00 */
    VALUE_DATE,          /* 2026-11-24 in UTC */
    VALUE_SECONDS,       /* 65.25 */
    VALUE_WHOLE_SECONDS, /* 65, rounded */
    VALUE_INTERVAL,      /* 65.25 seconds */
    VALUE_FLAG,          /* 0 or 1 */
    VALUE_WORD,          /* false or true */
};

enum { VALUE_SCRATCH_BYTES = 64 };

/* Does a value of this type lie in `text` (and not in `number`)? */
bool value_is_text(enum tasklog_type type);

/* Microseconds rounded to whole seconds, half a second away from zero. */
int64_t value_whole_seconds(int64_t microseconds);

/* The value as NUL-terminated text, in `scratch` or its own; NULL stands for SQL's NULL. */
const char *value_text(const struct tasklog_value *value, enum value_form form,
                       char scratch[VALUE_SCRATCH_BYTES]);

#endif
