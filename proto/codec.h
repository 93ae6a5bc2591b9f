/* Struct ⇄ MessagePack. The forms that are written are msgpack-c's, through its packer; reading is
 * our own, since msgpack-c allocates containers by the size that a peer claims. Neither side
 * allocates. The door to msgpack-c.
 *
 * The writer fills a given buffer, shortest forms only; when it does not fit, `need` goes on
 * counting and nothing more is written, so one call measures and a second writes. The reader keeps
 * a sticky error: read every field, check once (mp_reader_finish). Container sizes are checked
 * against the bytes left. A reader takes every valid form of a frame; with `is_canonical` set it
 * takes only the one that has an identity (design: §2): shortest forms, no float32, no −0, NaN or
 * infinity, and what mp_read_any steps over has its keys sorted. Source:
 * https://github.com/msgpack/msgpack/blob/master/spec.md */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/id.h"

/* An encoded item inside a larger one. */
struct mp_view {
    const uint8_t *bytes;
    size_t count;
};

struct mp_writer {
    uint8_t *out;
    size_t capacity;
    size_t need; /* bytes written, or that would have been */
};

static inline struct mp_writer mp_writer(uint8_t *out, size_t capacity)
{
    return (struct mp_writer){out, capacity, 0};
}
static inline bool mp_writer_is_full(const struct mp_writer *w)
{
    return w->need > w->capacity;
}
void mp_write_nil(struct mp_writer *w);
void mp_write_bool(struct mp_writer *w, bool value);
void mp_write_uint(struct mp_writer *w, uint64_t value);
void mp_write_int(struct mp_writer *w, int64_t value);
void mp_write_real(struct mp_writer *w, double value); /* float64; −0 becomes 0 */
void mp_write_str(struct mp_writer *w, const char *text, size_t bytes);
void mp_write_text(struct mp_writer *w, const char *text); /* NUL-terminated */
void mp_write_bin(struct mp_writer *w, const void *data, size_t bytes);
void mp_write_id(struct mp_writer *w, const struct id *id); /* bin 32 */
void mp_write_array(struct mp_writer *w, uint32_t count);
void mp_write_map(struct mp_writer *w, uint32_t pairs);
void mp_write_raw(struct mp_writer *w, const void *encoded, size_t bytes);

struct mp_reader {
    const uint8_t *at, *end;
    bool is_bad;
    bool is_canonical;
};

/* What comes next. MP_END: nothing; MP_BAD: what is never ours (extensions, 0xc1). */
enum mp_type { MP_END, MP_BAD, MP_NIL, MP_BOOL, MP_INT, MP_REAL, MP_STR, MP_BIN, MP_ARRAY, MP_MAP };

static inline struct mp_reader mp_reader(const uint8_t *bytes, size_t count)
{
    /* No arithmetic on the NULL of an empty view. */
    return (struct mp_reader){bytes, count ? bytes + count : bytes, false, false};
}
static inline struct mp_reader mp_reader_canonical(const uint8_t *bytes, size_t count)
{
    return (struct mp_reader){bytes, count ? bytes + count : bytes, false, true};
}
/* Of the next item, which is not consumed. */
enum mp_type mp_peek(const struct mp_reader *r);
/* Are the bytes well-formed UTF-8 (RFC 3629)? */
bool mp_is_utf8(const char *text, size_t bytes);
/* Orders strings as canonical maps order their keys: by bytes, a prefix first. */
int mp_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes);
bool mp_read_nil(struct mp_reader *r); /* consumes a nil if one is next */
bool mp_read_bool(struct mp_reader *r);
uint64_t mp_read_uint(struct mp_reader *r);
int64_t mp_read_int(struct mp_reader *r);
double mp_read_real(struct mp_reader *r);
const char *mp_read_str(struct mp_reader *r, uint32_t *bytes); /* a view, not NUL-terminated */
const uint8_t *mp_read_bin(struct mp_reader *r, size_t *bytes);
void mp_read_id(struct mp_reader *r, struct id *out);
uint32_t mp_read_array(struct mp_reader *r);
uint32_t mp_read_map(struct mp_reader *r);
/* Steps over one item of at most VALUE_DEPTH_MAX levels. */
struct mp_view mp_read_any(struct mp_reader *r);
/* OK when nothing was bad and every byte was consumed; else E_PROTOCOL naming `what`. */
MUST_USE enum status mp_reader_finish(const struct mp_reader *r, const char *what, struct err *err);
