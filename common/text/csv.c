// SPDX-License-Identifier: Apache-2.0
#include "common/text/csv.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "proto/limits.h"

/* Where separators and line breaks are, told for a block of bytes at a time. */
#if defined(__SSE2__)
enum { BLOCK_BYTES = 16, MASK_SHIFT = 0 }; /* bit i of the mask: byte i */
typedef uint32_t mask_t;

static inline mask_t find_ends(const char *at, char separator)
{
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i separators = _mm_cmpeq_epi8(block, _mm_set1_epi8(separator));
    __m128i breaks = _mm_cmpeq_epi8(block, _mm_set1_epi8('\n'));
    return (mask_t)_mm_movemask_epi8(_mm_or_si128(separators, breaks));
}
#else
enum { BLOCK_BYTES = 8, MASK_SHIFT = 3 }; /* bit 8i + 7: byte i, little-endian */
typedef uint64_t mask_t;

/* The high bit of every byte of `block` that equals `c`, exactly (no carry from one byte to the
 * next). */
static inline uint64_t equal_bytes(uint64_t block, char c)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    uint64_t x = block ^ 0x0101010101010101u * (unsigned char)c;
    return ~(((x & low) + low) | x | low);
}

static inline mask_t find_ends(const char *at, char separator)
{
    uint64_t block;
    memcpy(&block, at, sizeof block);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    block = __builtin_bswap64(block);
#endif
    return equal_bytes(block, separator) | equal_bytes(block, '\n');
}
#endif

/* The next separator or line break: a place that moves on over the text, a block at a time. */
struct scan {
    char *block;
    mask_t ends; /* of the block, without those already taken */
};

static inline mask_t ends_of(const struct csv *csv, const char *at)
{
    if (csv->end - at >= BLOCK_BYTES)
        return find_ends(at, csv->separator);
    char last[BLOCK_BYTES] = {0}; /* NUL is neither a separator nor a line break */
    memcpy(last, at, (size_t)(csv->end - at));
    return find_ends(last, csv->separator);
}

static inline char *next_end(const struct csv *csv, struct scan *scan)
{
    while (!scan->ends) {
        if (csv->end - scan->block <= BLOCK_BYTES)
            return csv->end;
        scan->block += BLOCK_BYTES;
        scan->ends = ends_of(csv, scan->block);
    }
    char *end = scan->block + ((unsigned)__builtin_ctzll(scan->ends) >> MASK_SHIFT);
    scan->ends &= scan->ends - 1;
    return end;
}

struct csv csv_init(const char *name, char *text, size_t bytes, char separator)
{
    struct csv csv = {
        .name = name, .at = text, .end = text + bytes, .separator = separator, .next_line = 1};
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        csv.at += 3;
    return csv;
}

void csv_fini(struct csv *csv)
{
    mem_free(csv->fields);
    *csv = (struct csv){0};
}

static enum status refuse(const struct csv *csv, enum status code, struct err *err,
                          const char *what)
{
    return err_set(err, code, "%s:%llu: %s", csv->name, (unsigned long long)csv->line, what);
}

static uint64_t count_breaks(const char *from, const char *to)
{
    uint64_t count = 0;
    while ((from = memchr(from, '\n', (size_t)(to - from)))) {
        count++;
        from++;
    }
    return count;
}

/* Once, before the first record: text has no NUL bytes, and all of it is looked at faster than
 * piece by piece. */
static enum status refuse_nul(struct csv *csv, struct err *err)
{
    const char *nul = csv->end > csv->at ? memchr(csv->at, 0, (size_t)(csv->end - csv->at)) : NULL;
    if (!nul)
        return OK;
    csv->line = csv->next_line + count_breaks(csv->at, nul);
    return refuse(csv, E_INVALID, err, "a NUL byte; this is not a text file");
}

static enum status grow_fields(struct csv *csv, struct err *err)
{
    if (csv->field_capacity >= COLUMNS_MAX)
        return err_set(err, E_LIMIT, "%s:%llu: more than %d fields", csv->name,
                       (unsigned long long)csv->line, COLUMNS_MAX);
    uint32_t capacity = csv->field_capacity ? csv->field_capacity * 2 : 16;
    csv->fields = mem_resize(csv->fields, capacity * sizeof *csv->fields);
    csv->field_capacity = capacity;
    return OK;
}

/* Takes the quoted field at `open` (its first quote), unquotes it in place; `*after` is behind its
 * closing quote. */
static enum status take_quoted(struct csv *csv, char *open, struct csv_field *out, char **after,
                               struct err *err)
{
    char *start = open + 1, *from = start, *to = start;
    for (;;) {
        char *quote = memchr(from, '"', (size_t)(csv->end - from));
        if (!quote)
            return refuse(csv, E_INVALID, err, "a quote is opened and never closed");
        if (to != from)
            memmove(to, from, (size_t)(quote - from));
        to += quote - from;
        from = quote + 1;
        if (from == csv->end || *from != '"')
            break;
        *to++ = '"';
        from++;
    }
    if (from + 1 < csv->end && from[0] == '\r' && from[1] == '\n')
        from++;
    if (from < csv->end && *from != csv->separator && *from != '\n')
        return refuse(csv, E_INVALID, err, "text behind a closing quote");
    if ((uint64_t)(to - start) > FIELD_BYTES_MAX)
        return refuse(csv, E_LIMIT, err, "a field of more than 16 MiB");
    csv->next_line += count_breaks(start, to);
    *out = (struct csv_field){start, (uint32_t)(to - start), true};
    *after = from;
    return OK;
}

/* Splits the record at csv->at; `*count` fields. */
static enum status split(struct csv *csv, uint32_t *count_out, struct err *err)
{
    uint32_t count = 0;
    struct scan scan = {csv->at, ends_of(csv, csv->at)};
    for (char *start = csv->at, *end = start;; start = end + 1) {
        if (count == csv->field_capacity)
            TRY(grow_fields(csv, err));
        if (start < csv->end && *start == '"') {
            TRY(take_quoted(csv, start, &csv->fields[count], &end, err));
            scan = (struct scan){end, ends_of(csv, end)};
            next_end(csv, &scan); /* takes `end` itself */
        } else {
            end = next_end(csv, &scan);
            char *last = end;
            if (last > start && last[-1] == '\r' && (end == csv->end || *end == '\n'))
                last--;
            if ((uint64_t)(last - start) > FIELD_BYTES_MAX)
                return refuse(csv, E_LIMIT, err, "a field of more than 16 MiB");
            csv->fields[count] = (struct csv_field){start, (uint32_t)(last - start), false};
        }
        count++;
        if (end == csv->end || *end == '\n') {
            csv->at = end < csv->end ? end + 1 : end;
            csv->next_line += end < csv->end;
            *count_out = count;
            return OK;
        }
    }
}

enum status csv_next(struct csv *csv, bool *has_record, struct err *err)
{
    *has_record = false;
    if (!csv->field_count)
        TRY(refuse_nul(csv, err));
    while (csv->at < csv->end) {
        uint32_t count = 0;
        csv->line = csv->next_line;
        TRY(split(csv, &count, err));
        if (count == 1 && !csv->fields[0].bytes && !csv->fields[0].is_quoted)
            continue; /* an empty line */
        if (csv->field_count && count != csv->field_count)
            return err_set(err, E_INVALID, "%s:%llu: %u field%s where the header has %u", csv->name,
                           (unsigned long long)csv->line, count, count == 1 ? "" : "s",
                           csv->field_count);
        csv->field_count = count;
        *has_record = true;
        return OK;
    }
    return OK;
}

static bool needs_quotes(const char *text, size_t bytes)
{
    if (!bytes || text[0] == ' ' || text[bytes - 1] == ' ' || (unsigned char)text[0] == 0xef)
        return true; /* spaces at the ends are lost on some readers; 0xef could pass for a
                        byte-order mark */
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == ',' || text[i] == '"' || text[i] == '\n' || text[i] == '\r')
            return true;
    return false;
}

void csv_put_field(struct buf *out, const char *text, size_t bytes, bool is_first)
{
    if (!is_first)
        buf_put_char(out, ',');
    if (!text)
        return;
    if (!needs_quotes(text, bytes)) {
        buf_put(out, text, bytes);
        return;
    }
    buf_put_char(out, '"');
    for (const char *end = text + bytes; text < end;) {
        const char *quote = memchr(text, '"', (size_t)(end - text));
        const char *stop = quote ? quote + 1 : end;
        buf_put(out, text, (size_t)(stop - text));
        if (quote)
            buf_put_char(out, '"');
        text = stop;
    }
    buf_put_char(out, '"');
}
