// SPDX-License-Identifier: Apache-2.0
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/csv.h"

enum {
    EXACT_DIGITS = 15,       /* a whole number of 15 digits is an exact double, */
    EXACT_POWER = 22,        /* and so is 10^22: one division rounds once, correctly */
    NUMBER_BYTES_MAX = 1000, /* what is longer is no number that somebody meant */
};

static const double powers[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                               1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                               1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

/* Spaces around a number don't make it a text. */
static void trim(const char **text, size_t *bytes)
{
    while (*bytes && ((*text)[0] == ' ' || (*text)[0] == '\t')) {
        ++*text;
        --*bytes;
    }
    while (*bytes && ((*text)[*bytes - 1] == ' ' || (*text)[*bytes - 1] == '\t'))
        --*bytes;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit on either side of the point: no hexadecimal,
 * no "inf", no "nan". */
static bool is_decimal(const char *at, const char *end)
{
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    const char *whole = at;
    at = skip_digits(at, end);
    size_t digits = (size_t)(at - whole);
    if (at < end && *at == '.') {
        const char *fraction = ++at;
        at = skip_digits(at, end);
        digits += (size_t)(at - fraction);
    }
    if (!digits)
        return false;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '-' || *at == '+'))
            at++;
        const char *exponent = at;
        at = skip_digits(at, end);
        if (at == exponent)
            return false;
    }
    return at == end;
}

static locale_t c_locale;

static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", NULL);
}

/* Any decimal, correctly rounded by the C library, whatever the process's locale says of decimal
 * points. */
static bool read_slowly(const char *text, size_t bytes, double *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char copy[NUMBER_BYTES_MAX + 1];
    if (bytes > NUMBER_BYTES_MAX || !is_decimal(text, text + bytes))
        return false;
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    pthread_once(&once, make_locale);
    double number = strtod_l(copy, NULL, c_locale);
    if (!isfinite(number))
        return false;
    *out = number;
    return true;
}

bool csv_real(const char *text, size_t bytes, double *out)
{
    trim(&text, &bytes);
    const char *at = text, *end = text + bytes;
    bool is_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    uint64_t mantissa = 0;
    const char *first = at;
    for (; at < end && is_digit(*at); at++)
        mantissa = mantissa * 10 + (uint64_t)(*at - '0');
    size_t digits = (size_t)(at - first), fraction = 0;
    if (at < end && *at == '.') {
        const char *point = ++at;
        for (; at < end && is_digit(*at); at++)
            mantissa = mantissa * 10 + (uint64_t)(*at - '0');
        fraction = (size_t)(at - point);
        digits += fraction;
    }
    /* More than 19 digits would have overflowed; leading zeros count, too: they are rare. */
    if (at != end || !digits || digits > EXACT_DIGITS)
        return read_slowly(text, bytes, out);
    double number = (double)mantissa / powers[fraction];
    *out = is_negative ? -number : number;
    return true;
}

bool csv_int(const char *text, size_t bytes, int64_t *out)
{
    trim(&text, &bytes);
    const char *at = text, *end = text + bytes;
    bool is_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (at == end)
        return false;
    int64_t number = 0; /* kept negative: there is one more of those */
    for (; at < end; at++) {
        if (!is_digit(*at) || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_sub_overflow(number, *at - '0', &number))
            return false;
    }
    if (!is_negative && number == INT64_MIN)
        return false;
    *out = is_negative ? number : -number;
    return true;
}
