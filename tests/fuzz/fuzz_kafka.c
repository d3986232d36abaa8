/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reader of the topic's messages: what it takes for a line lies in the message, and is a task's. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/kafka/message.h"
#include "tasklog/tag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_inside(const char *message, size_t size, const char *text, size_t bytes)
{
    if (bytes > 0 && (text < message || text + bytes > message + size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *message = malloc(size > 0 ? size : 1); /* nothing behind it may be read */
    struct tasklog_line line;

    if (size > 0)
        memcpy(message, data, size);
    if (!message_read(message, size, 0, &line)) {
        require_inside(message, size, line.kind, line.kind_bytes);
        require_inside(message, size, line.id, line.id_bytes);
        require_inside(message, size, line.host, line.host_bytes);
        require_inside(message, size, line.text, line.text_bytes);
        if (!tasklog_kind_is_valid(line.kind, line.kind_bytes) ||
            !tasklog_id_is_valid(line.id, line.id_bytes) || line.severity < 0 || line.severity > 7)
            abort();
    }
    free(message);
    return 0;
}
