/* SPDX-License-Identifier: Apache-2.0 */
/* What write(2) leaves to its callers. */
#ifndef TASKLOG_SRC_FILE_H
#define TASKLOG_SRC_FILE_H

#include <stddef.h>

/* Writes all of it, however many calls that takes. 0 or negative errno: then a part may be written. */
int file_write_all(int fd, const char *data, size_t bytes) __attribute__((warn_unused_result));

#endif
