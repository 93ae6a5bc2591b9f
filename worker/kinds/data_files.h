/* What the data kinds share: inputs read whole, outputs written, parameters decoded. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/schema.h"
#include "worker/data/dataset.h"
#include "worker/kinds/kind.h"

/* Reads file `index` of the input into `out`. Errors: E_INVALID it is a folder; those of fs_read.
 */
MUST_USE enum status data_read_input(const struct kind_input *input, uint32_t index,
                                     struct buf *out, struct err *err);
/* Writes output `name`. */
MUST_USE enum status data_write_output(const struct kind_call *call, const char *name,
                                       const struct buf *bytes, struct err *err);
MUST_USE enum status data_read_dataset(const struct kind_input *input, struct dataset **out,
                                       struct err *err);
/* Errors: E_INVALID an output is asked for that is none of the NULL-terminated `made`; says which
 * there are. */
MUST_USE enum status data_check_outputs(const struct kind_call *call, const char *const *made,
                                        struct err *err);
