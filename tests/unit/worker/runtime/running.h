/* Slots as real processes: this test's own program again, as `slot`. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/types.h>

#include "common/base/arena.h"
#include "worker/runtime/slot.h"

enum { PATIENCE_MS = 20000 };

/* A slot that has said that it is ready. */
struct slot *slot_started(const struct sandbox_options *sandbox);
/* The next message; false when the slot has closed its end. */
bool slot_says(struct slot *slot, struct slot_message *out);
/* A job of exec in `folder`, whose parts are made. The parameters are JSON. */
struct slot_job exec_job(struct arena *arena, const char *folder, const char *outputs,
                         const char *params);
/* Its answer; `text` (ERR_TEXT_BYTES) gets a failure's, else "". */
enum status slot_runs(struct slot *slot, const struct slot_job *job, char *text);
/* The number that a program writes to the file, once it has. */
pid_t written_pid(const char *path);
/* Waits until the process is no more, or a zombie. */
void assert_ends(pid_t pid);
