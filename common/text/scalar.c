// SPDX-License-Identifier: Apache-2.0
#include "common/text/scalar.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static size_t count_digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+ ; the base, or 0. */
static int integer_base(const char *text)
{
    if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        const char *digits = text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";
        size_t count = strspn(text + 2, digits);
        return count && !text[2 + count] ? (text[1] == 'o' ? 8 : 16) : 0;
    }
    if (*text == '-' || *text == '+')
        text++;
    size_t count = count_digits(text);
    return count && !text[count] ? 10 : 0;
}

/* [-+]? ( \.[0-9]+ | [0-9]+ (\.[0-9]*)? ) ([eE][-+]?[0-9]+)? */
static bool is_real(const char *text)
{
    if (*text == '-' || *text == '+')
        text++;
    size_t whole = count_digits(text), fraction = 0;
    text += whole;
    if (*text == '.') {
        fraction = count_digits(++text);
        text += fraction;
    }
    if (!whole && !fraction)
        return false;
    if (*text != 'e' && *text != 'E')
        return !*text;
    text++;
    if (*text == '-' || *text == '+')
        text++;
    size_t exponent = count_digits(text);
    return exponent && !text[exponent];
}

static enum status resolve_integer(const char *text, int base, struct value *out, struct err *err)
{
    errno = 0;
    char *end = NULL;
    long long integer = strtoll(base == 10 ? text : text + 2, &end, base);
    if (errno || !end || *end)
        return err_set(err, E_INVALID, "the integer %.40s does not fit 64 bits; quote it for text",
                       text);
    out->type = VALUE_INT;
    out->integer = integer;
    return OK;
}

static enum status resolve_real(const char *text, struct value *out, struct err *err)
{
    double real = strtod(text, NULL);
    if (!isfinite(real))
        return err_set(err, E_INVALID, "the number %.40s is beyond a 64-bit real", text);
    out->type = VALUE_REAL;
    out->real = real;
    return OK;
}

enum status scalar_resolve(const char *text, size_t bytes, struct value *out, struct err *err)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const endless[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                          "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                          ".NaN",  ".NAN",  NULL};
    if (is_one_of(text, endless))
        return err_set(err, E_INVALID, "%s is not a number that can be used; quote it for text",
                       text);
    int base = integer_base(text);
    if (base)
        return resolve_integer(text, base, out, err);
    if (is_real(text))
        return resolve_real(text, out, err);
    if (is_one_of(text, nulls)) {
        out->type = VALUE_NIL;
    } else if (is_one_of(text, trues) || is_one_of(text, falses)) {
        out->type = VALUE_BOOL;
        out->boolean = is_one_of(text, trues);
    } else {
        out->type = VALUE_STRING;
        out->count = (uint32_t)bytes;
        out->text = text;
    }
    return OK;
}

/* Bytes of the UTF-8 sequence at `at`, or 0. Overlong forms, surrogates and what lies beyond
 * U+10FFFF are refused. */
static size_t sequence_bytes(const uint8_t *at, size_t left)
{
    if (at[0] < 0x80)
        return 1;
    size_t count = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || count > left)
        return 0;
    uint8_t low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < count; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return count;
}

size_t scalar_check_text(const char *text, size_t bytes)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t i = 0, n; i < bytes; i += n) {
        bool is_control =
            (at[i] < 0x20 && at[i] != '\t' && at[i] != '\n' && at[i] != '\r') || at[i] == 0x7f;
        n = is_control ? 0 : sequence_bytes(at + i, bytes - i);
        if (!n)
            return i;
    }
    return bytes;
}
