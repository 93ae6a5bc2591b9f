/* A growable byte buffer with a maximum fixed at the start: what input can make us allocate is
 * decided where the buffer is made, not where it is filled. `buf_put…` are sticky: after the
 * maximum is passed nothing more is added and buf_check() says so; so a long document is written
 * without a check per call. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

struct buf {
    uint8_t *bytes;
    size_t count, capacity, max;
    bool is_over;
};

/* `max` 0: no maximum but memory. Allocates nothing yet. */
static inline struct buf buf_init(size_t max)
{
    return (struct buf){.max = max ? max : SIZE_MAX / 2};
}
void buf_fini(struct buf *buf);
static inline void buf_clear(struct buf *buf)
{
    buf->count = 0;
    buf->is_over = false;
}
/* Makes room for `bytes` more where their number comes from outside. Errors: E_LIMIT past the
 * maximum, E_NOMEM; both name `what`, and the buffer is unchanged. */
MUST_USE enum status buf_try_reserve(struct buf *buf, size_t bytes, const char *what,
                                     struct err *err);
/* Room for `bytes` more behind `count`, or NULL past the maximum; add to `count` what was used. */
uint8_t *buf_reserve(struct buf *buf, size_t bytes);
void buf_put(struct buf *buf, const void *data, size_t bytes);
void buf_put_text(struct buf *buf, const char *text);
void buf_put_char(struct buf *buf, char c);
void buf_format(struct buf *buf, const char *format, ...) PRINTF(2, 3);
/* The content as a NUL-terminated text, valid until the next change. */
const char *buf_text(struct buf *buf);
/* Errors: E_LIMIT naming `what` and the maximum, if anything did not fit. */
MUST_USE enum status buf_check(const struct buf *buf, const char *what, struct err *err);

DEFINE_AUTO_VALUE(struct buf, buf_fini)
