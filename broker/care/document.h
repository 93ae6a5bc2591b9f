/* What is asked of a run's document in more than one place. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/value.h"

/* Is it going on, or was it interrupted and may go on? */
bool document_is_open(const struct value *document);
/* When it ended; of one that did not: when it began. Since 1970. */
int64_t document_time_us(const struct value *document);
/* `label`: "key=value". */
bool document_has_label(const struct value *document, const char *label);
