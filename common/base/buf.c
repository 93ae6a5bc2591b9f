// SPDX-License-Identifier: Apache-2.0
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

void buf_fini(struct buf *buf)
{
    mem_free(buf->bytes);
    *buf = (struct buf){.max = buf->max};
}

enum status buf_try_reserve(struct buf *buf, size_t bytes, const char *what, struct err *err)
{
    if (buf->is_over || bytes > buf->max - buf->count)
        return err_set(err, E_LIMIT, "%s: more than %zu bytes", what, buf->max);
    if (bytes <= buf->capacity - buf->count)
        return OK;
    size_t capacity = buf->count + bytes, grown = buf->capacity + buf->capacity / 2;
    if (capacity < grown)
        capacity = grown;
    void *memory = buf->bytes;
    TRY(mem_try_resize(&memory, capacity, 1, what, err));
    buf->bytes = memory;
    buf->capacity = capacity;
    return OK;
}

uint8_t *buf_reserve(struct buf *buf, size_t bytes)
{
    if (buf->is_over || bytes > buf->max - buf->count) {
        buf->is_over = true;
        return NULL;
    }
    size_t need = buf->count + bytes;
    if (need > buf->capacity || !buf->bytes) {
        size_t capacity = buf->capacity ? buf->capacity : 256;
        while (capacity < need)
            capacity += capacity / 2;
        buf->bytes = mem_resize(buf->bytes, capacity);
        buf->capacity = capacity;
    }
    return buf->bytes + buf->count;
}

void buf_put(struct buf *buf, const void *data, size_t bytes)
{
    uint8_t *room = buf_reserve(buf, bytes);
    if (!room || !bytes)
        return;
    memcpy(room, data, bytes);
    buf->count += bytes;
}

void buf_put_text(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

void buf_put_char(struct buf *buf, char c)
{
    buf_put(buf, &c, 1);
}

void buf_format(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    uint8_t *room = bytes < 0 ? NULL : buf_reserve(buf, (size_t)bytes + 1);
    if (room) {
        vsnprintf((char *)room, (size_t)bytes + 1, format, again);
        buf->count += (size_t)bytes;
    }
    va_end(again);
}

const char *buf_text(struct buf *buf)
{
    size_t max = buf->max;
    bool was_over = buf->is_over;
    buf->max = SIZE_MAX / 2; /* the NUL is not content */
    buf->is_over = false;
    *buf_reserve(buf, 1) = 0;
    buf->max = max;
    buf->is_over = was_over;
    return (const char *)buf->bytes;
}

enum status buf_check(const struct buf *buf, const char *what, struct err *err)
{
    return buf->is_over ? err_set(err, E_LIMIT, "%s: more than %zu bytes", what, buf->max) : OK;
}
