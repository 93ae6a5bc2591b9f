/* In which fields two task specifications differ, in words: why a task is not the one that ran
 * before. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/task_spec.h"
#include "proto/value.h"

/* Appends {"field", "old", "new"} to the list `out` for each difference: "kind", "version",
 * "params.split.seed" (a missing one reads "default"), "inputs.table", "outputs". */
void spec_diff(const struct task_spec *before, const struct task_spec *now, struct arena *arena,
               struct value *out);
