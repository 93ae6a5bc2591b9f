/* What this worker offers a broker: its kind versions, labels and resources, as HELLO carries them.
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "proto/err.h"

/* "train.gradient_boosting@1+xgboost-1.7.4" for each line of proto/kinds.def, as an encoded array.
 */
void offer_encode_kinds(struct buf *out);
/* "key=value" texts as an encoded map. Errors: E_INVALID one has no '=' or is too long, or a key is
 * there twice. */
MUST_USE enum status offer_encode_labels(const char *const *labels, size_t count, struct buf *out,
                                         struct err *err);
uint32_t offer_cores(void);
uint64_t offer_memory(void);
