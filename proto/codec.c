// SPDX-License-Identifier: Apache-2.0
#include "proto/codec.h"

#include <math.h>
#include <msgpack.h>
#include <string.h>

#include "proto/limits.h"

/* ---- writer ---- */

/* What msgpack-c makes of a value lands here: copied if it fits, counted either way. */
static int append(void *context, const char *bytes, size_t count)
{
    struct mp_writer *w = context;
    size_t at = w->need;
    w->need += count;
    if (count && w->out && w->need <= w->capacity)
        memcpy(w->out + at, bytes, count);
    return 0;
}

/* Its packing functions are inline, and so is append() in them. */
static msgpack_packer packer(struct mp_writer *w)
{
    return (msgpack_packer){.data = w, .callback = append};
}

void mp_write_nil(struct mp_writer *w)
{
    msgpack_packer to = packer(w);
    msgpack_pack_nil(&to);
}

void mp_write_bool(struct mp_writer *w, bool value)
{
    msgpack_packer to = packer(w);
    value ? msgpack_pack_true(&to) : msgpack_pack_false(&to);
}

void mp_write_uint(struct mp_writer *w, uint64_t value)
{
    msgpack_packer to = packer(w);
    msgpack_pack_uint64(&to, value);
}

void mp_write_int(struct mp_writer *w, int64_t value)
{
    msgpack_packer to = packer(w);
    msgpack_pack_int64(&to, value);
}

void mp_write_real(struct mp_writer *w, double value)
{
    msgpack_packer to = packer(w);
    msgpack_pack_double(&to, value == 0 ? 0 : value); /* −0 has the same identity as 0 */
}

void mp_write_str(struct mp_writer *w, const char *text, size_t bytes)
{
    msgpack_packer to = packer(w);
    msgpack_pack_str(&to, bytes);
    append(w, text, bytes);
}

void mp_write_text(struct mp_writer *w, const char *text)
{
    mp_write_str(w, text, strlen(text));
}

void mp_write_bin(struct mp_writer *w, const void *data, size_t bytes)
{
    msgpack_packer to = packer(w);
    msgpack_pack_bin(&to, bytes);
    append(w, data, bytes);
}

void mp_write_id(struct mp_writer *w, const struct id *id)
{
    mp_write_bin(w, id->bytes, ID_BYTES);
}

void mp_write_array(struct mp_writer *w, uint32_t count)
{
    msgpack_packer to = packer(w);
    msgpack_pack_array(&to, count);
}

void mp_write_map(struct mp_writer *w, uint32_t pairs)
{
    msgpack_packer to = packer(w);
    msgpack_pack_map(&to, pairs);
}

void mp_write_raw(struct mp_writer *w, const void *encoded, size_t bytes)
{
    append(w, encoded, bytes);
}

/* ---- reader ---- */

static size_t left(const struct mp_reader *r)
{
    return (size_t)(r->end - r->at);
}

/* Marks the reader bad for good; what it returns reads as zero. */
static uint64_t bad(struct mp_reader *r)
{
    r->is_bad = true;
    r->at = r->end;
    return 0;
}

/* The next item's first byte. At the end 0xc1, which begins nothing. */
static uint8_t get_tag(struct mp_reader *r)
{
    if (r->at == r->end) {
        bad(r);
        return 0xc1;
    }
    return *r->at++;
}

static uint64_t get_big_endian(struct mp_reader *r, unsigned bytes)
{
    if (left(r) < bytes)
        return bad(r);
    uint64_t value = 0;
    while (bytes--)
        value = value << 8 | *r->at++;
    return value;
}

/* A length or unsigned number of 1 << `log` bytes that must not fit the form below it: `least`. */
static uint64_t get_sized(struct mp_reader *r, unsigned log, uint64_t least)
{
    uint64_t value = get_big_endian(r, 1u << log);
    if (r->is_canonical && value < least)
        return bad(r);
    return value;
}

/* The least number that needs a form of 1 << log bytes, where the form below ends at `first`. */
static uint64_t least_of(unsigned log, uint64_t first)
{
    return log == 0 ? first : (uint64_t)1 << (4u << log);
}

/* By the tag's upper bits: 0x00 … 0xbf and 0xe0 … 0xff in steps of 16; between them one by one. */
enum mp_type mp_peek(const struct mp_reader *r)
{
    static const uint8_t by_sixteen[16] = {MP_INT, MP_INT, MP_INT, MP_INT,   MP_INT, MP_INT,
                                           MP_INT, MP_INT, MP_MAP, MP_ARRAY, MP_STR, MP_STR,
                                           MP_END, MP_END, MP_INT, MP_INT};
    static const uint8_t by_one[32] = {
        MP_NIL, MP_BAD, MP_BOOL, MP_BOOL, MP_BIN,   MP_BIN,   MP_BIN, MP_BAD,
        MP_BAD, MP_BAD, MP_REAL, MP_REAL, MP_INT,   MP_INT,   MP_INT, MP_INT,
        MP_INT, MP_INT, MP_INT,  MP_INT,  MP_BAD,   MP_BAD,   MP_BAD, MP_BAD,
        MP_BAD, MP_STR, MP_STR,  MP_STR,  MP_ARRAY, MP_ARRAY, MP_MAP, MP_MAP};
    if (r->at == r->end)
        return MP_END;
    uint8_t tag = *r->at;
    if (tag >= 0xc0 && tag < 0xe0)
        return (enum mp_type)by_one[tag - 0xc0];
    return (enum mp_type)by_sixteen[tag >> 4];
}

bool mp_read_nil(struct mp_reader *r)
{
    if (mp_peek(r) != MP_NIL)
        return false;
    r->at++;
    return true;
}

bool mp_read_bool(struct mp_reader *r)
{
    uint8_t tag = get_tag(r);
    if (tag != 0xc2 && tag != 0xc3)
        bad(r);
    return tag == 0xc3;
}

uint64_t mp_read_uint(struct mp_reader *r)
{
    uint8_t tag = get_tag(r);
    if (tag < 0x80)
        return tag;
    if (tag < 0xcc || tag > 0xcf)
        return bad(r);
    return get_sized(r, tag - 0xccu, least_of(tag - 0xccu, 0x80));
}

/* A number in a signed form, 0xd0 … 0xd3: sign-extended; canonical ones are negative and need the
 * form. */
static int64_t get_signed(struct mp_reader *r, unsigned log)
{
    static const int64_t above[] = {-32, INT8_MIN, INT16_MIN, INT32_MIN};
    uint64_t raw = get_big_endian(r, 1u << log);
    unsigned unused = 64 - (8u << log);
    int64_t value = (int64_t)(raw << unused) >> unused;
    if (r->is_canonical && value >= above[log])
        return (int64_t)bad(r);
    return value;
}

int64_t mp_read_int(struct mp_reader *r)
{
    if (r->at == r->end)
        return (int64_t)bad(r);
    uint8_t tag = *r->at;
    if (tag < 0xe0 && (tag < 0xd0 || tag > 0xd3)) {
        uint64_t value = mp_read_uint(r);
        return value > INT64_MAX ? (int64_t)bad(r) : (int64_t)value;
    }
    r->at++;
    return tag >= 0xe0 ? (int8_t)tag : get_signed(r, tag - 0xd0u);
}

double mp_read_real(struct mp_reader *r)
{
    uint8_t tag = get_tag(r);
    if (tag == 0xca && !r->is_canonical) {
        uint32_t bits = (uint32_t)get_big_endian(r, 4);
        float narrow;
        memcpy(&narrow, &bits, sizeof narrow);
        return (double)narrow;
    }
    if (tag != 0xcb)
        return (double)bad(r);
    uint64_t bits = get_big_endian(r, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (r->is_canonical && (!isfinite(value) || (value == 0 && bits != 0)))
        return (double)bad(r);
    return value;
}

const char *mp_read_str(struct mp_reader *r, uint32_t *bytes)
{
    *bytes = 0;
    uint8_t tag = get_tag(r);
    uint64_t count = 0;
    if (tag >= 0xa0 && tag < 0xc0)
        count = tag & 31u;
    else if (tag >= 0xd9 && tag <= 0xdb)
        count = get_sized(r, tag - 0xd9u, least_of(tag - 0xd9u, 32));
    else
        bad(r);
    if (r->is_bad || count > left(r)) {
        bad(r);
        return (const char *)r->end;
    }
    const char *text = (const char *)r->at;
    r->at += count;
    *bytes = (uint32_t)count;
    return text;
}

const uint8_t *mp_read_bin(struct mp_reader *r, size_t *bytes)
{
    *bytes = 0;
    uint8_t tag = get_tag(r);
    uint64_t count = 0;
    if (tag >= 0xc4 && tag <= 0xc6)
        count = get_sized(r, tag - 0xc4u, least_of(tag - 0xc4u, 0));
    else
        bad(r);
    if (r->is_bad || count > left(r)) {
        bad(r);
        return r->end;
    }
    const uint8_t *data = r->at;
    r->at += count;
    *bytes = count;
    return data;
}

void mp_read_id(struct mp_reader *r, struct id *out)
{
    size_t bytes;
    const uint8_t *data = mp_read_bin(r, &bytes);
    if (bytes == ID_BYTES) {
        memcpy(out->bytes, data, ID_BYTES);
        return;
    }
    bad(r);
    memset(out, 0, sizeof *out);
}

/* Every item takes at least a byte, so a count beyond the bytes left is a lie. */
static uint32_t get_count(struct mp_reader *r, uint8_t fixed, uint8_t sized, unsigned item_bytes)
{
    uint8_t tag = get_tag(r);
    uint64_t count = 0;
    if ((tag & 0xf0) == fixed)
        count = tag & 15u;
    else if (tag == sized || tag == sized + 1)
        count = get_sized(r, tag - sized + 1u, least_of(tag == sized ? 0 : 2, 16));
    else
        bad(r);
    return count > left(r) / item_bytes ? (uint32_t)bad(r) : (uint32_t)count;
}

uint32_t mp_read_array(struct mp_reader *r)
{
    return get_count(r, 0x90, 0xdc, 1);
}

uint32_t mp_read_map(struct mp_reader *r)
{
    return get_count(r, 0x80, 0xde, 2);
}

static void skip_string(struct mp_reader *r)
{
    uint32_t bytes;
    const char *text = mp_read_str(r, &bytes);
    if (r->is_canonical && !mp_is_utf8(text, bytes))
        bad(r);
}

static void skip(struct mp_reader *r, unsigned depth);

static void skip_map(struct mp_reader *r, unsigned depth)
{
    const char *last = NULL;
    uint32_t last_bytes = 0;
    for (uint32_t n = mp_read_map(r); n > 0 && !r->is_bad; n--) {
        if (!r->is_canonical) {
            skip(r, depth);
            skip(r, depth);
            continue;
        }
        uint32_t bytes;
        const char *key = mp_read_str(r, &bytes);
        if (!mp_is_utf8(key, bytes) || (last && mp_compare(last, last_bytes, key, bytes) >= 0))
            bad(r);
        last = key;
        last_bytes = bytes;
        skip(r, depth);
    }
}

static void skip(struct mp_reader *r, unsigned depth)
{
    size_t bytes;
    if (depth == 0) {
        bad(r);
        return;
    }
    switch (mp_peek(r)) {
    case MP_NIL: r->at++; break;
    case MP_BOOL: r->at++; break;
    case MP_INT:
        if (*r->at == 0xcf && !r->is_canonical)
            mp_read_uint(r); /* above INT64_MAX: fine in a frame, never in a document */
        else
            mp_read_int(r);
        break;
    case MP_REAL: mp_read_real(r); break;
    case MP_STR: skip_string(r); break;
    case MP_BIN: mp_read_bin(r, &bytes); break;
    case MP_MAP: skip_map(r, depth - 1); break;
    case MP_ARRAY:
        for (uint32_t n = mp_read_array(r); n > 0 && !r->is_bad; n--)
            skip(r, depth - 1);
        break;
    case MP_END:
    case MP_BAD: bad(r); break;
    }
}

struct mp_view mp_read_any(struct mp_reader *r)
{
    const uint8_t *begin = r->at;
    skip(r, VALUE_DEPTH_MAX + 1);
    if (r->is_bad)
        return (struct mp_view){r->end, 0};
    return (struct mp_view){begin, (size_t)(r->at - begin)};
}

enum status mp_reader_finish(const struct mp_reader *r, const char *what, struct err *err)
{
    if (r->is_bad)
        return err_set(err, E_PROTOCOL, "%s: malformed MessagePack", what);
    if (r->at != r->end)
        return err_set(err, E_PROTOCOL, "%s: %zu bytes behind its end", what, left(r));
    return OK;
}

/* ---- text ---- */

int mp_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t shorter = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = shorter ? memcmp(a, b, shorter) : 0;
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* The continuation bytes that a lead byte asks for, and the bounds of the first of them, which
 * exclude overlong forms, surrogates and what is above U+10FFFF. 4: not a lead byte. */
static unsigned utf8_tail(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead < 0x80)
        return 0;
    if (lead < 0xc2 || lead > 0xf4)
        return 4;
    return lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
}

bool mp_is_utf8(const char *text, size_t bytes)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + bytes;
    while (p < end) {
        uint8_t low, high;
        if (*p < 0x80) { /* mostly */
            p++;
            continue;
        }
        unsigned tail = utf8_tail(*p++, &low, &high);
        if (tail == 4 || (size_t)(end - p) < tail)
            return false;
        for (; tail > 0; tail--, low = 0x80, high = 0xbf)
            if (*p < low || *p++ > high)
                return false;
    }
    return true;
}
