/* What gc and fsck share: they work until they are done, and tell of counts and bytes. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/cli/question.h"

/* Drives the application until the answer is there. */
MUST_USE enum status care_wait(struct question *q, struct value *answer);
uint64_t care_count(const struct value *answer, const char *key);
/* "3 files, 1.2 MB" of {"count", "bytes"}. */
const char *care_sum(const struct value *answer, const char *key, struct arena *arena);
