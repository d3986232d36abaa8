/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to files; see the header. */
#include "file.h"

#include <errno.h>
#include <unistd.h>

int file_write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            bytes -= (size_t)n;
        }
    }
    return 0;
}
