/* Keeps secrets out of what a program says and leaves. Values are looked for as they are: a program
 * that turns one around, or encodes it, gets it past. Thread: the slot's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "worker/kinds/kind.h"

/* One stream: what may be the beginning of a secret is held back until more is known. */
struct exec_mask {
    const struct kind_secret *secrets;
    uint32_t count;
    struct buf held;
};

static inline void exec_mask_init(struct exec_mask *mask, const struct kind_call *call)
{
    *mask = (struct exec_mask){call->secrets, call->secret_count, buf_init(0)};
}
void exec_mask_fini(struct exec_mask *mask);
/* Appends to `out` what of the stream so far can be told, with each secret's value replaced by
 * [NAME]. `is_end`: nothing more comes. */
void exec_mask_pass(struct exec_mask *mask, const char *text, size_t bytes, bool is_end,
                    struct buf *out);
/* Errors: E_INVALID naming an output that holds a secret, and which. */
MUST_USE enum status exec_search_outputs(const struct kind_call *call, struct err *err);
