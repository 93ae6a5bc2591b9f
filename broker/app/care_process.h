/* The process that looks on behalf of the broker: this program again, with the same settings, as a
 * reader. It dies with the broker. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/care.h"

struct care_process;

MUST_USE enum status care_process_start(const struct local *app, const struct care_request *request,
                                        struct care_process **out, struct err *err);
/* Has it ended? Then what it answered, in the arena, and chose. Errors: what it failed with. */
MUST_USE enum status care_process_poll(struct care_process *process, struct arena *arena,
                                       struct value *answer, struct care_choice *choice,
                                       bool *is_over, struct err *err);
/* Ends it if it still runs. */
void care_process_stop(struct care_process *process);
