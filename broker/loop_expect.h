/* What a task's record must say: its action, and its outputs by name. A record of other work must
 * not be kept under the task's id or found by its inputs, whatever a worker says. Actions are
 * remembered by the scheduler's task numbers, for tasks with task inputs alone: any other task's
 * action is its spec. Seen by broker/loop.c alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "proto/codec.h"
#include "proto/record.h"

struct loop_expect {
    struct buf keys; /* struct id each; zero: none */
};

void loop_expect_init(struct loop_expect *expect);
void loop_expect_fini(struct loop_expect *expect);
void loop_expect_put(struct loop_expect *expect, uint32_t task, const struct id *action);
/* `count` numbers from `first` on are of no task any more; they may be another's next. */
void loop_expect_clear(struct loop_expect *expect, uint32_t first, uint32_t count);
/* What is wrong with the record, as the task's failure says it; NULL: nothing. Sets *has_action
 * where the task has task inputs, and then *action to its key. An attempt taken over from before a
 * restart may come without expectation; its action is believed. */
const char *loop_expect_check(const struct loop_expect *expect, uint32_t task, struct mp_view spec,
                              const struct record *record, bool *has_action, struct id *action);
