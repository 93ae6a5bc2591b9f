/* safetensors: named arrays in one file, the interchange format of datasets, predictions and
 * weights.
 *
 *   u64 little endian header bytes | JSON header, spaces up to a multiple of 8 | tensor bytes
 *   header = {"__metadata__":{text: text, …},
 *             "NAME":{"dtype":…,"shape":[…],"data_offsets":[from,to]}, …}
 *
 * Written canonically, so that equal content is equal bytes: metadata first, its keys sorted,
 * tensors sorted by name and laid out in that order without gaps. Read as hostile: header size,
 * JSON, types, shapes, products and offsets are checked before a byte of a tensor is touched. Pure:
 * bytes in, bytes out. Source: https://huggingface.co/docs/safetensors, "Format". */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/value.h"
#include "worker/data/matrix.h"

enum {
    /* 65,536 column names of 64 bytes, doubly quoted, and as many classes. */
    SAFETENSORS_HEADER_BYTES_MAX = 64 << 20,
    SAFETENSORS_COUNT_MAX = 100000,
};

struct safetensors {
    const struct tensor *tensors; /* sorted by name */
    size_t count;
    struct value metadata; /* VALUE_MAP of strings; count 0 when absent */
};

/* Bytes of one element, and of a whole tensor (which must be sound). */
size_t tensor_item_bytes(enum tensor_type type);
size_t tensor_bytes(const struct tensor *tensor);
/* Elements: the product of the shape. */
size_t tensor_count(const struct tensor *tensor);

/* Appends the file. `metadata` is a VALUE_MAP of strings, or NULL. Names must differ from each
 * other and from "__metadata__". Errors: E_INVALID a doubled name or text that is not a string;
 * E_LIMIT. */
MUST_USE enum status safetensors_write(const struct tensor *tensors, size_t count,
                                       const struct value *metadata, struct buf *out,
                                       struct err *err);
/* The tensors' data lie in `bytes` (or, where that would not be aligned to 8, in `arena`). `name`
 * is for messages. Errors: E_CORRUPT, E_LIMIT; E_UNSUPPORTED an element type that we don't have. */
MUST_USE enum status safetensors_read(const char *name, const uint8_t *bytes, size_t count,
                                      struct arena *arena, struct safetensors *out,
                                      struct err *err);
/* NULL when there is none of that name. */
const struct tensor *safetensors_find(const struct safetensors *file, const char *name);
