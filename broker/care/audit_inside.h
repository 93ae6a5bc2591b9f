/* What the halves of the audit share. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/care/audit.h"
#include "proto/task_spec.h"
#include "proto/value.h"

/* A run document's source; false: it is damaged. */
bool audit_read_source(const struct value *source, struct artifact *out);
/* Trees with damaged files are damaged; finds the records, tasks and runs that name what is. What
 * nobody names any more is forgotten. */
MUST_USE enum status audit_blame(struct audit *audit, struct state *state, struct store *store,
                                 struct err *err);
