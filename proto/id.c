// SPDX-License-Identifier: Apache-2.0
#include "proto/id.h"

enum { PREFIX_BYTES_MIN = 8 };

bool id_is_zero(const struct id *id)
{
    static const struct id zero;
    return id_equal(id, &zero);
}

char *id_hex(const struct id *id, char hex[ID_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < ID_BYTES; i++) {
        hex[2 * i] = digits[id->bytes[i] >> 4];
        hex[2 * i + 1] = digits[id->bytes[i] & 15];
    }
    hex[ID_HEX_BYTES - 1] = 0;
    return hex;
}

bool id_is_prefix(const char *text)
{
    size_t bytes = strlen(text);
    return bytes >= PREFIX_BYTES_MIN && bytes < ID_HEX_BYTES &&
           strspn(text, "0123456789abcdef") == bytes;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum status id_parse(const char *text, size_t bytes, struct id *out, struct err *err)
{
    if (bytes != ID_HEX_BYTES - 1)
        return err_set(err, E_INVALID, "an id has 64 hex digits, not %zu", bytes);
    struct id id;
    for (size_t i = 0; i < ID_BYTES; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return err_set(err, E_INVALID, "\"%.64s\" is not an id: 64 digits of 0-9a-f", text);
        id.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *out = id;
    return OK;
}
