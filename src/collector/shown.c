/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign text in messages; see the header. */
#include "shown.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Marks that change the order in which text is shown, or begin a line: one can be taken for another. */
static bool turns_text(uint32_t code)
{
    return code == 0x061C || code == 0x200E || code == 0x200F ||
           (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

/* How many bytes the character at `text` has if it can be shown, otherwise 0. */
static size_t character_bytes(const unsigned char *text, size_t bytes)
{
    static const uint32_t least[] = {0, 0x20, 0xA0, 0x800, 0x10000}; /* by length */
    size_t length = *text < 0x80 ? 1 : *text < 0xE0 ? 2 : *text < 0xF0 ? 3 : 4;
    uint32_t code = length == 1 ? *text : *text & (0xFFu >> (length + 1));

    if (length > bytes || (*text >= 0x80 && *text < 0xC2) || *text > 0xF4)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3F);
    }
    bool is_none = code < least[length] || turns_text(code) || code == 0x7F || code > 0x10FFFF ||
                   (code >= 0xD800 && code <= 0xDFFF);
    return is_none ? 0 : length;
}

struct shown show_text(const char *text, size_t text_bytes)
{
    struct shown shown = {.text = ""};
    size_t used = 0;

    while (text_bytes > 0) {
        size_t bytes = character_bytes((const unsigned char *)text, text_bytes);
        size_t taken = bytes > 0 ? bytes : 1;
        if (used + taken > SHOWN_BYTES_MAX) {
            memcpy(shown.text + used, "...", sizeof("..."));
            break;
        }
        memcpy(shown.text + used, bytes > 0 ? text : "?", taken);
        used += taken;
        text += taken;
        text_bytes -= taken;
    }
    return shown;
}
