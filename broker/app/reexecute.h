/* Does a task make the same bytes again? Its action, which names every input by its bytes, is given
 * to `worker run-task` in a cache of its own; nothing that is there already is used but inputs. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/local.h"

/* *difference (in the arena): "" if all outputs are the same, else which is not, with both ids.
 * Errors: the task failed this time, or could not be run here. */
MUST_USE enum status reexecute(struct local *app, const struct record *record, struct arena *arena,
                               const char **difference, struct err *err);
