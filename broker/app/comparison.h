/* Who won: for every `metrics` step that selects, a table of what it compared, joined with how each
 * candidate was made. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/run.h"

/* May the graph's result have any? Then its tasks are kept until then. */
bool comparison_is_due(const struct graph *graph);
/* Adds "comparisons": [{"step", "metric", "mode", "rows": [{"axes", "settings", "metrics",
 * "seconds", "winner"}]}] to the result; the list is empty where nothing was compared. */
void comparison_add(struct local *app, const struct run *run, struct arena *arena,
                    struct value *result);
