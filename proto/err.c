// SPDX-License-Identifier: Apache-2.0
#include "proto/err.h"

#include <stdio.h>
#include <string.h>

#define STATUS_ROW(name, word, retryable) {word, retryable},
static const struct {
    const char *word;
    bool retryable;
} rows[] = {STATUS_LIST(STATUS_ROW)};

enum status err_setv(struct err *err, enum status code, const char *format, va_list args)
{
    if (err) {
        err->code = code;
        vsnprintf(err->text, sizeof err->text, format, args);
    }
    return code;
}

enum status err_set(struct err *err, enum status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err_setv(err, code, format, args);
    va_end(args);
    return code;
}

enum status err_prefix(struct err *err, const char *format, ...)
{
    if (!err)
        return E_INVALID;
    char old[ERR_TEXT_BYTES];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text - 3, format, args);
    va_end(args);
    size_t used = n < 0 ? 0 : strlen(err->text);
    size_t room = sizeof err->text - used - 3, copied = strnlen(old, sizeof old - 1);
    memcpy(err->text + used, ": ", 2);
    if (copied > room)
        copied = room;
    memcpy(err->text + used + 2, old, copied);
    err->text[used + 2 + copied] = 0;
    return err->code;
}

const char *status_name(enum status code)
{
    return (unsigned)code < STATUS_COUNT ? rows[code].word : "unknown";
}

enum status status_parse(const char *word)
{
    for (unsigned i = 0; i < STATUS_COUNT; i++)
        if (strcmp(rows[i].word, word) == 0)
            return (enum status)i;
    return STATUS_COUNT;
}

bool status_is_retryable(enum status code)
{
    return (unsigned)code < STATUS_COUNT && rows[code].retryable;
}
