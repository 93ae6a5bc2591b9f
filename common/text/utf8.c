// SPDX-License-Identifier: Apache-2.0
#include "common/text/utf8.h"

#include <stdint.h>
#include <string.h>

/* The bytes of the character that begins with `lead`, or 0 for none. */
static size_t length_of(uint8_t lead)
{
    return lead < 0x80   ? 1
           : lead < 0xc2 ? 0
           : lead < 0xe0 ? 2
           : lead < 0xf0 ? 3
           : lead < 0xf5 ? 4
                         : 0;
}

/* The second byte has a narrower range behind some leads (RFC 3629's table). */
static bool is_second(uint8_t lead, uint8_t second)
{
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

static bool is_character(const uint8_t *at, size_t length)
{
    if (length > 1 && !is_second(at[0], at[1]))
        return false;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return false;
    return length > 0;
}

bool utf8_is_valid(const char *text, size_t bytes)
{
    const uint8_t *at = (const uint8_t *)text, *end = at + bytes;
    while (at < end) {
        uint64_t eight;
        if (end - at >= 8 && (memcpy(&eight, at, 8), !(eight & 0x8080808080808080u))) {
            at += 8;
            continue;
        }
        size_t length = length_of(*at);
        if ((size_t)(end - at) < length || !is_character(at, length))
            return false;
        at += length;
    }
    return true;
}
