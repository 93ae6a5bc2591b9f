// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/pipeline/pipeline.h"
#include "broker/pipeline/step.h"
#include "proto/limits.h"

void diagnostics_fini(struct diagnostics *d)
{
    buf_fini(&d->text);
    *d = (struct diagnostics){.text = d->text};
}

/* One mistake that many tasks share is one line. */
static bool is_said(struct diagnostics *d, const char *line)
{
    return d->text.count && strstr(buf_text(&d->text), line);
}

static bool add(struct diagnostics *d, const struct value *at, const char *severity,
                const char *format, va_list args) PRINTF(4, 0);
static bool add(struct diagnostics *d, const struct value *at, const char *severity,
                const char *format, va_list args)
{
    AUTO(buf_fini) struct buf line = buf_init(0);
    buf_put_text(&line, d->file ? d->file : "pipeline");
    if (at && at->line)
        buf_format(&line, ":%u:%u", at->line, at->column);
    buf_format(&line, ": %s", severity);
    char text[4 * ERR_TEXT_BYTES];
    vsnprintf(text, sizeof text, format, args);
    buf_put_text(&line, text);
    buf_put_char(&line, '\n');
    if (!d->text.max)
        d->text = buf_init(0); /* made as {0} */
    if (is_said(d, buf_text(&line)))
        return false;
    if (d->error_count + d->warning_count < DIAGNOSTICS_MAX)
        buf_put(&d->text, line.bytes, line.count);
    return true;
}

void diagnostics_error(struct diagnostics *d, const struct value *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    d->error_count += add(d, at, "", format, args);
    va_end(args);
}

void diagnostics_warning(struct diagnostics *d, const struct value *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    d->warning_count += add(d, at, "warning: ", format, args);
    va_end(args);
}

void diagnostics_failure(struct diagnostics *d, const char *text)
{
    if (!d->text.max)
        d->text = buf_init(0);
    buf_format(&d->text, "%s\n", text);
    d->error_count++;
}

bool diagnostics_is_full(const struct diagnostics *d)
{
    return d->error_count >= DIAGNOSTICS_MAX;
}

/* ---- in the file's order ---- */

struct line {
    const char *text;
    size_t bytes;
    uint64_t place; /* row and column; 0 for a line that names the file alone */
};

/* ":12:5: …" → 12 << 32 | 5 */
static uint64_t read_place(const char *text)
{
    uint64_t place = 0;
    for (int part = 0; part < 2 && *text == ':'; part++) {
        uint32_t number = 0;
        for (text++; *text >= '0' && *text <= '9'; text++)
            number = number * 10 + (uint32_t)(*text - '0');
        place = place << 32 | number;
    }
    return place;
}

/* Stable, and for few lines, most of which come in order. */
static void insert(struct line *lines, size_t count, struct line line)
{
    for (; count && lines[count - 1].place > line.place; count--)
        lines[count] = lines[count - 1];
    lines[count] = line;
}

static void sort_lines(struct diagnostics *d)
{
    struct line lines[DIAGNOSTICS_MAX + 1];
    size_t count = 0, skip = d->file ? strlen(d->file) : 0;
    if (!d->text.count)
        return;
    const char *at = buf_text(&d->text);
    while (*at && count <= DIAGNOSTICS_MAX) {
        size_t bytes = strcspn(at, "\n") + 1;
        insert(lines, count++, (struct line){at, bytes, bytes > skip ? read_place(at + skip) : 0});
        at += bytes;
    }
    AUTO(buf_fini) struct buf sorted = buf_init(0);
    for (size_t i = 0; i < count; i++)
        buf_put(&sorted, lines[i].text, lines[i].bytes);
    buf_clear(&d->text);
    buf_put(&d->text, sorted.bytes, sorted.count);
}

enum status diagnostics_end(struct diagnostics *d)
{
    sort_lines(d);
    uint32_t count = d->error_count + d->warning_count;
    if (count > DIAGNOSTICS_MAX)
        buf_format(&d->text, "… and %u more\n", count - DIAGNOSTICS_MAX);
    return d->error_count ? E_INVALID : OK;
}
