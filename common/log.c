// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

enum { LINE_BYTES = 2048, LEVEL_UNSET = -1 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static atomic_int current_level = LEVEL_UNSET;

static int read_level(void)
{
    const char *word = getenv("PENSTOCK_LOG");
    for (int level = LOG_ERROR; word && level <= LOG_DEBUG; level++)
        if (strcmp(word, level_names[level]) == 0)
            return level;
    return LOG_WARN;
}

void log_set_level(enum log_level level)
{
    atomic_store(&current_level, (int)level);
}

bool log_is_on(enum log_level level)
{
    int now = atomic_load_explicit(&current_level, memory_order_relaxed);
    if (now == LEVEL_UNSET) {
        now = read_level();
        atomic_store(&current_level, now);
    }
    return (int)level <= now;
}

/* snprintf's answer as the bytes that are really there. */
static size_t written(int answer, size_t room)
{
    if (answer < 0)
        return 0;
    return (size_t)answer < room ? (size_t)answer : room - 1;
}

static size_t put_head(char *line, size_t room, enum log_level level, const char *event)
{
    int64_t us = clock_epoch_us();
    time_t seconds = (time_t)(us / 1000000);
    struct tm day;
    gmtime_r(&seconds, &day);
    size_t used = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &day);
    return used + written(snprintf(line + used, room - used, ".%03dZ %s %s",
                                   (int)(us / 1000 % 1000), level_names[level], event),
                          room - used);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_is_on(level))
        return;
    char line[LINE_BYTES];
    const size_t room = sizeof line - 1; /* the line break always fits */
    size_t used = put_head(line, room, level, event);
    if (format[0] && used + 1 < room) {
        line[used++] = ' ';
        va_list args;
        va_start(args, format);
        used += written(vsnprintf(line + used, room - used, format, args), room - used);
        va_end(args);
    }
    line[used++] = '\n';
    /* One write per line, so that lines of several processes don't mix. A log that can't be written
     * has no place to complain to. */
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
}

static bool is_plain(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' ||
            *text == 0x7f)
            return false;
    return true;
}

/* How one byte looks inside quotes; returns the bytes put into `out` (at most 4 and a NUL). */
static size_t escape(unsigned char c, char out[8])
{
    if (c == '\n')
        return (size_t)snprintf(out, 8, "\\n");
    if (c == '\t')
        return (size_t)snprintf(out, 8, "\\t");
    if (c == '"' || c == '\\')
        return (size_t)snprintf(out, 8, "\\%c", c);
    if (c < ' ' || c == 0x7f)
        return (size_t)snprintf(out, 8, "\\x%02x", c);
    out[0] = (char)c;
    return 1;
}

const char *log_quote(const char *text, char *out, size_t out_bytes)
{
    if (out_bytes < 4) {
        if (out_bytes)
            out[0] = 0;
        return out;
    }
    if (is_plain(text)) {
        snprintf(out, out_bytes, "%s", text);
        return out;
    }
    size_t used = 0;
    out[used++] = '"';
    for (; *text; text++) {
        char piece[8];
        size_t bytes = escape((unsigned char)*text, piece);
        if (used + bytes + 2 > out_bytes)
            break;
        memcpy(out + used, piece, bytes);
        used += bytes;
    }
    out[used++] = '"';
    out[used] = 0;
    return out;
}
