/* SPDX-License-Identifier: Apache-2.0 */
/* What the sub-commands share: the clock, and how they speak. */
#include "cli.h"

#include <stdarg.h>
#include <stdbool.h>
#include <time.h>

#include "tasklog/system_clock.h"

const struct tasklog_clock cli_clock = {.now = tasklog_system_now};

int64_t cli_now_ms(void)
{
    return tasklog_system_now(NULL).mono_ms;
}

int64_t cli_now_s(void)
{
    return tasklog_system_now(NULL).wall_us / 1000000;
}

void cli_error(const char *format, ...)
{
    va_list arguments;

    fputs("tasklog: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* U+202A to U+202E and U+2066 to U+2069: what follows is shown in another order than it has. */
static bool turns_text(const unsigned char *c)
{
    return c[0] == 0xE2 && ((c[1] == 0x80 && c[2] >= 0xAA && c[2] <= 0xAE) ||
                            (c[1] == 0x81 && c[2] >= 0xA6 && c[2] <= 0xA9));
}

void cli_print_text(FILE *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F)
            fprintf(out, "^%c", c ^ 0x40);
        else if (bytes - i >= 3 && turns_text((const unsigned char *)text + i)) {
            fprintf(out, "<U+%04X>", 0x2000u | (text[i + 1] & 0x3Fu) << 6 | (text[i + 2] & 0x3Fu));
            i += 2;
        } else if (c == 0xC2 && i + 1 < bytes && (unsigned char)text[i + 1] < 0xA0)
            fprintf(out, "<%02X>", (unsigned char)text[++i]); /* a control character of C1 */
        else
            fputc(c, out);
    }
}

void cli_print_time(FILE *out, int64_t time_us)
{
    time_t seconds = (time_t)(time_us / 1000000);
    char text[32] = "";
    struct tm tm;

    if (localtime_r(&seconds, &tm))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    fputs(text, out);
}
