/* SPDX-License-Identifier: Apache-2.0 */
/* The table of fields. */
#include "field.h"

#include <stdio.h>
#include <string.h>

const struct field_info field_infos[FIELD_COUNT] = {
    [FIELD_TASK_ID] = {"task_id", TASKLOG_TEXT, true},
    [FIELD_KIND] = {"kind", TASKLOG_TEXT, true},
    [FIELD_HOST] = {"host", TASKLOG_TEXT, true},
    [FIELD_STATUS] = {"status", TASKLOG_TEXT, false},
    [FIELD_LOG] = {"log", TASKLOG_TEXT, false},
    [FIELD_SUMMARY] = {"summary", TASKLOG_TEXT, false},
    [FIELD_START_TIME] = {"start_time", TASKLOG_TIME, true},
    [FIELD_END_TIME] = {"end_time", TASKLOG_TIME, false},
    [FIELD_DURATION] = {"duration", TASKLOG_SECONDS, false},
    [FIELD_PROCESSED] = {"processed", TASKLOG_INTEGER, false},
    [FIELD_FAILED] = {"failed", TASKLOG_INTEGER, false},
    [FIELD_TOTAL] = {"total", TASKLOG_INTEGER, false},
    [FIELD_LINES] = {"lines", TASKLOG_INTEGER, false},
    [FIELD_BYTES] = {"bytes", TASKLOG_INTEGER, false},
    [FIELD_WARNINGS] = {"warnings", TASKLOG_INTEGER, false},
    [FIELD_ERRORS] = {"errors", TASKLOG_INTEGER, false},
    [FIELD_FIRST_ERROR] = {"first_error", TASKLOG_TEXT, false},
    [FIELD_COUNTERS] = {"counters", TASKLOG_JSON, false},
    [FIELD_END_REASON] = {"end_reason", TASKLOG_TEXT, false},
    [FIELD_COMPLETE] = {"complete", TASKLOG_BOOLEAN, false},
    [FIELD_UPDATED_AT] = {"updated_at", TASKLOG_TIME, false},
    [FIELD_POSITION] = {"position", TASKLOG_INTEGER, false},
};

enum field field_by_name(const char *name, size_t name_bytes)
{
    for (int i = 0; i < FIELD_COUNT; i++)
        if (strlen(field_infos[i].name) == name_bytes &&
            memcmp(field_infos[i].name, name, name_bytes) == 0)
            return (enum field)i;
    return FIELD_COUNT;
}

void field_list(bool keys, char *buffer, size_t buffer_bytes)
{
    size_t used = 0;

    buffer[0] = '\0';
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (keys && !field_infos[i].finds_rows)
            continue;
        int bytes = snprintf(buffer + used, buffer_bytes - used, "%s%s", used > 0 ? " " : "",
                             field_infos[i].name);
        if ((size_t)bytes >= buffer_bytes - used) {
            buffer[used] = '\0'; /* half a name would be a wrong one */
            return;
        }
        used += (size_t)bytes;
    }
}
