/* The half of `metrics` that compares: many reports in, one table and the best model out. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"
#include "proto/value.h"
#include "worker/kinds/kind.h"

/* `select` is the parameter's mapping. Output `metrics` is {select, count, winner, best, table:
 * [{index, …scores}]}, `model` a copy of the winner's. A report without the metric, or with null
 * there, never wins; of equals the first does. */
MUST_USE enum status select_run(const struct kind_call *call, const struct value *select,
                                struct err *err);
