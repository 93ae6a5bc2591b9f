/* What this worker offers a broker: its kind versions, labels and resources, as HELLO carries them.
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "proto/codec.h"
#include "proto/err.h"
#include "proto/limits.h"
#include "proto/task_node.h"

/* Named counts, and where their names are kept. */
struct offer_counts {
    uint32_t count;
    struct resource items[RESOURCES_MAX];
    char names[RESOURCES_MAX][NAME_BYTES_MAX + 1];
};

/* "train.gradient_boosting@1+xgboost-1.7.4" for each line of proto/kinds.def, as an encoded array.
 */
void offer_encode_kinds(struct buf *out);
/* "key=value" texts as an encoded map. Errors: E_INVALID one has no '=', is too long or not UTF-8,
 * or a key is there twice; E_LIMIT more than LABELS_MAX. */
MUST_USE enum status offer_encode_labels(const char *const *labels, size_t count, struct buf *out,
                                         struct err *err);
/* What a message's map of counts says. */
void offer_decode_counts(const struct mp_view *encoded, struct offer_counts *out);
/* "NAME=COUNT" texts, each of which may be several with a comma between, into `out`. Errors:
 * E_INVALID the form, a name that is there twice, a count over RESOURCE_COUNT_MAX; E_LIMIT more
 * than RESOURCES_MAX. */
MUST_USE enum status offer_read_counts(const char *const *texts, size_t count,
                                       struct offer_counts *out, struct err *err);
