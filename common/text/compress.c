// SPDX-License-Identifier: Apache-2.0
#include "common/text/compress.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
    STEP_BYTES = 1 << 18,
    GZIP_WINDOW = 15 + 16, /* the largest window, gzip header and checksum */
    ZSTD_WINDOW_LOG = 27,  /* 128 MiB: zstd's own default; a frame that asks for more is refused */
};

enum compression compression_of(const uint8_t *bytes, size_t count)
{
    if (count >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
        return COMPRESSION_GZIP;
    if (count >= 4 && memcmp(bytes, "\x28\xb5\x2f\xfd", 4) == 0)
        return COMPRESSION_ZSTD;
    return COMPRESSION_NONE;
}

/* Room for the next step, at least one byte. */
static enum status make_room(struct buf *out, const char *name, size_t *room, struct err *err)
{
    size_t left = out->max - out->count;
    size_t wanted = left < STEP_BYTES ? left : STEP_BYTES;
    TRY(buf_try_reserve(out, wanted ? wanted : 1, name, err)); /* 0 left: says so */
    *room = out->capacity - out->count < left ? out->capacity - out->count : left;
    return OK;
}

static enum status damaged(const char *name, const char *what, const char *why, struct err *err)
{
    return err_set(err, E_CORRUPT, "%s: damaged or cut short: %s: %s", name, what, why);
}

/* The plain text may fill the maximum exactly: whether more comes, one byte beyond it tells. */
static enum status inflate_step(z_stream *stream, const char *name, struct buf *out, int *result,
                                struct err *err)
{
    uint8_t beyond;
    size_t room = 1;
    bool is_full = out->count == out->max;
    if (!is_full)
        TRY(make_room(out, name, &room, err));
    uInt given = room < STEP_BYTES ? (uInt)room : (uInt)STEP_BYTES;
    stream->next_out = is_full ? &beyond : out->bytes + out->count;
    stream->avail_out = given;
    *result = inflate(stream, Z_NO_FLUSH);
    if (is_full && !stream->avail_out)
        return err_set(err, E_LIMIT, "%s: more than %zu bytes once it is unpacked", name, out->max);
    if (!is_full)
        out->count += given - stream->avail_out;
    return OK;
}

static enum status inflate_all(z_stream *stream, const char *name, const uint8_t *bytes,
                               size_t count, struct buf *out, struct err *err)
{
    const uint8_t *at = bytes, *end = bytes + count;
    for (;;) {
        size_t left = (size_t)(end - at);
        stream->next_in = (Bytef *)(uintptr_t)at;
        stream->avail_in = left < STEP_BYTES ? (uInt)left : (uInt)STEP_BYTES;
        int result;
        TRY(inflate_step(stream, name, out, &result, err));
        at = stream->next_in;
        if (result == Z_STREAM_END) {
            if (compression_of(at, (size_t)(end - at)) != COMPRESSION_GZIP)
                break;
            result = inflateReset(stream); /* another member follows */
        }
        if (result == Z_BUF_ERROR && at == end)
            return damaged(name, "gzip", "it ends in the middle", err);
        if (result != Z_OK && result != Z_BUF_ERROR)
            return damaged(name, "gzip", stream->msg ? stream->msg : "bad data", err);
    }
    for (; at < end; at++) /* tape drives and some writers pad with zeros */
        if (*at)
            return damaged(name, "gzip", "something else follows the last member", err);
    return OK;
}

static enum status gunzip(const char *name, const uint8_t *bytes, size_t count, struct buf *out,
                          struct err *err)
{
    z_stream stream = {0};
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return err_set(err, E_NOMEM, "%s: no memory to unpack it", name);
    enum status status = inflate_all(&stream, name, bytes, count, out, err);
    inflateEnd(&stream);
    return status;
}

static enum status unzstd_all(ZSTD_DStream *stream, const char *name, const uint8_t *bytes,
                              size_t count, struct buf *out, struct err *err)
{
    ZSTD_inBuffer in = {.src = bytes, .size = count};
    for (size_t hint = 1; in.pos < in.size || hint;) {
        uint8_t beyond;
        size_t room = 1, before = in.pos;
        bool is_full = out->count == out->max;
        if (!is_full)
            TRY(make_room(out, name, &room, err));
        ZSTD_outBuffer piece = {.dst = is_full ? &beyond : out->bytes + out->count, .size = room};
        hint = ZSTD_decompressStream(stream, &piece, &in);
        if (ZSTD_isError(hint))
            return damaged(name, "zstd", ZSTD_getErrorName(hint), err);
        if (is_full && piece.pos)
            return err_set(err, E_LIMIT, "%s: more than %zu bytes once it is unpacked", name,
                           out->max);
        if (!is_full)
            out->count += piece.pos;
        if (hint && in.pos == in.size && in.pos == before && !piece.pos)
            return damaged(name, "zstd", "it ends in the middle", err);
    }
    return OK;
}

static enum status unzstd(const char *name, const uint8_t *bytes, size_t count, struct buf *out,
                          struct err *err)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (!stream)
        return err_set(err, E_NOMEM, "%s: no memory to unpack it", name);
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    enum status status = unzstd_all(stream, name, bytes, count, out, err);
    ZSTD_freeDStream(stream);
    return status;
}

enum status decompress(const char *name, const uint8_t *bytes, size_t count, struct buf *out,
                       struct err *err)
{
    size_t before = out->count;
    enum status status = E_INVALID;
    switch (compression_of(bytes, count)) {
    case COMPRESSION_GZIP: status = gunzip(name, bytes, count, out, err); break;
    case COMPRESSION_ZSTD: status = unzstd(name, bytes, count, out, err); break;
    case COMPRESSION_NONE: return err_set(err, E_INVALID, "%s: neither gzip nor zstd", name);
    }
    if (status != OK)
        out->count = before;
    return status;
}
