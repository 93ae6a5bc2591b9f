// SPDX-License-Identifier: Apache-2.0
#include "common/text/xml.h"

#include <stdint.h>
#include <string.h>

#include "common/base/buf.h"
#include "proto/limits.h"

enum { PATH_BYTES_MAX = 4096, ENTITY_BYTES_MAX = 12 };

struct reader {
    const char *name, *start, *at, *end;
    struct buf path, text;
    size_t depth;
    bool is_leaf, is_over; /* is_over: the root is closed */
    xml_visit *visit;
    void *context;
};

static void reader_fini(struct reader *reader)
{
    buf_fini(&reader->path);
    buf_fini(&reader->text);
}
DEFINE_AUTO_VALUE(struct reader, reader_fini)

static enum status broken(const struct reader *reader, const char *what, struct err *err)
{
    return err_set(err, E_CORRUPT, "%s: not the XML that was expected: %s at byte %zu",
                   reader->name, what, (size_t)(reader->at - reader->start));
}

static bool begins(const struct reader *reader, const char *word)
{
    size_t bytes = strlen(word);
    return (size_t)(reader->end - reader->at) >= bytes && memcmp(reader->at, word, bytes) == 0;
}

/* Moves behind the next `word`. */
static bool skip_to(struct reader *reader, const char *word)
{
    const char *found = memmem(reader->at, (size_t)(reader->end - reader->at), word, strlen(word));
    if (found)
        reader->at = found + strlen(word);
    return found != NULL;
}

/* ---- text ---- */

static bool put_character(struct buf *out, uint32_t c)
{
    if (!c || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return false;
    if (c < 0x80) {
        buf_put_char(out, (char)c);
        return true;
    }
    if (c >= 0x10000)
        buf_put_char(out, (char)(0xf0 | c >> 18));
    if (c >= 0x800)
        buf_put_char(out, (char)(c >= 0x10000 ? 0x80 | (c >> 12 & 0x3f) : 0xe0 | c >> 12));
    buf_put_char(out, (char)(c >= 0x800 ? 0x80 | (c >> 6 & 0x3f) : 0xc0 | c >> 6));
    buf_put_char(out, (char)(0x80 | (c & 0x3f)));
    return true;
}

static bool put_number(struct buf *out, const char *digits, const char *end)
{
    bool is_hex = *digits == 'x';
    uint32_t c = 0;
    digits += is_hex;
    if (digits == end)
        return false;
    for (; digits < end; digits++) {
        char d = *digits;
        uint32_t value = d >= '0' && d <= '9'             ? (uint32_t)(d - '0')
                         : is_hex && d >= 'a' && d <= 'f' ? (uint32_t)(d - 'a' + 10)
                         : is_hex && d >= 'A' && d <= 'F' ? (uint32_t)(d - 'A' + 10)
                                                          : 99;
        if (value == 99)
            return false;
        c = c * (is_hex ? 16 : 10) + value;
    }
    return put_character(out, c);
}

static bool put_entity(struct reader *reader)
{
    static const struct {
        const char *word;
        char c;
    } known[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (begins(reader, known[i].word)) {
            buf_put_char(&reader->text, known[i].c);
            reader->at += strlen(known[i].word);
            return true;
        }
    size_t room = (size_t)(reader->end - reader->at);
    const char *end = memchr(reader->at, ';', room < ENTITY_BYTES_MAX ? room : ENTITY_BYTES_MAX);
    if (!end || !begins(reader, "&#") || !put_number(&reader->text, reader->at + 2, end))
        return false;
    reader->at = end + 1;
    return true;
}

static enum status read_text(struct reader *reader, struct err *err)
{
    while (reader->at < reader->end && *reader->at != '<') {
        if (*reader->at == '&') {
            if (!put_entity(reader))
                return broken(reader, "an unknown entity", err);
            continue;
        }
        if (!*reader->at)
            return broken(reader, "a zero byte", err);
        buf_put_char(&reader->text, *reader->at++);
    }
    return OK;
}

/* ---- elements ---- */

static size_t name_bytes(const struct reader *reader)
{
    size_t bytes = 0;
    while (reader->at + bytes < reader->end && reader->at[bytes] && reader->at[bytes] != '<' &&
           !strchr(" \t\r\n/>=\"'", reader->at[bytes]))
        bytes++;
    return bytes;
}

static enum status close_element(struct reader *reader, struct err *err)
{
    TRY(reader->visit(reader->context, buf_text(&reader->path),
                      reader->is_leaf ? buf_text(&reader->text) : NULL, err));
    const char *slash = memrchr(reader->path.bytes, '/', reader->path.count);
    reader->path.count = slash ? (size_t)(slash - (const char *)reader->path.bytes) : 0;
    reader->is_leaf = false;
    buf_clear(&reader->text);
    reader->is_over = --reader->depth == 0;
    return OK;
}

static enum status read_close(struct reader *reader, struct err *err)
{
    if (!reader->depth)
        return broken(reader, "an end that nothing began", err);
    reader->at += 2;
    if (!reader->depth)
        return broken(reader, "an end that nothing began", err);
    size_t bytes = name_bytes(reader);
    const char *slash = memrchr(reader->path.bytes, '/', reader->path.count);
    const char *open = slash ? slash + 1 : (const char *)reader->path.bytes;
    size_t open_bytes = reader->path.count - (size_t)(open - (const char *)reader->path.bytes);
    if (bytes != open_bytes || memcmp(open, reader->at, bytes) != 0)
        return broken(reader, "an end that nothing began", err);
    if (!skip_to(reader, ">"))
        return broken(reader, "an end", err);
    return close_element(reader, err);
}

/* Behind the name, to '>'; attributes may hold one in quotes. */
static bool skip_attributes(struct reader *reader, bool *is_empty)
{
    for (; reader->at < reader->end && *reader->at != '>'; reader->at++) {
        char quote = *reader->at;
        if (quote != '"' && quote != '\'')
            continue;
        reader->at = memchr(reader->at + 1, quote, (size_t)(reader->end - reader->at - 1));
        if (!reader->at) {
            reader->at = reader->end;
            return false;
        }
    }
    *is_empty = reader->at < reader->end && reader->at[-1] == '/';
    return reader->at++ < reader->end;
}

static enum status read_open(struct reader *reader, struct err *err)
{
    reader->at++;
    size_t bytes = name_bytes(reader);
    if (!bytes || reader->is_over || ++reader->depth > VALUE_DEPTH_MAX ||
        reader->path.count + bytes + 1 > PATH_BYTES_MAX)
        return broken(reader, "an element", err);
    if (reader->path.count)
        buf_put_char(&reader->path, '/');
    buf_put(&reader->path, reader->at, bytes);
    reader->at += bytes;
    reader->is_leaf = true;
    buf_clear(&reader->text);
    bool is_empty;
    if (!skip_attributes(reader, &is_empty))
        return broken(reader, "an element without end", err);
    return is_empty ? close_element(reader, err) : OK;
}

static enum status read_data(struct reader *reader, struct err *err)
{
    reader->at += strlen("<![CDATA[");
    const char *end = memmem(reader->at, (size_t)(reader->end - reader->at), "]]>", 3);
    if (!end || !reader->depth || memchr(reader->at, 0, (size_t)(end - reader->at)))
        return broken(reader, "character data", err);
    buf_put(&reader->text, reader->at, (size_t)(end - reader->at));
    reader->at = end + 3;
    return OK;
}

static enum status read_markup(struct reader *reader, struct err *err)
{
    if (begins(reader, "<?"))
        return skip_to(reader, "?>") ? OK : broken(reader, "an instruction", err);
    if (begins(reader, "<!--"))
        return skip_to(reader, "-->") ? OK : broken(reader, "a comment", err);
    if (begins(reader, "<![CDATA["))
        return read_data(reader, err);
    if (begins(reader, "<!"))
        return broken(reader, "a document type", err);
    return begins(reader, "</") ? read_close(reader, err) : read_open(reader, err);
}

enum status xml_walk(const char *name, const char *text, size_t bytes, xml_visit *visit,
                     void *context, struct err *err)
{
    text = text ? text : "";
    AUTO(reader_fini)
    struct reader reader = {.name = name,
                            .start = text,
                            .at = text,
                            .end = text + bytes,
                            .path = buf_init(0),
                            .text = buf_init(0),
                            .visit = visit,
                            .context = context};
    if (begins(&reader, "\xef\xbb\xbf"))
        reader.at += 3;
    while (reader.at < reader.end)
        TRY(*reader.at == '<' ? read_markup(&reader, err) : read_text(&reader, err));
    return reader.is_over ? OK : broken(&reader, "an early end", err);
}
