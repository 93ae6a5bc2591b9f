/* A slot as its parent sees it: a child process (this same program as `worker slot`, exec'd, not
 * forked) with an empty environment but PATH, no descriptors but the socketpair, no sockets, a
 * session of its own, and the kernel's promise to kill it when its parent dies. Jobs are put into a
 * buffer and written in one go, without blocking.
 *
 * The other end is slot_main() in slot_child.c.
 * Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/types.h>

#include "worker/runtime/sandbox_options.h"
#include "worker/runtime/slot_wire.h"

struct cgroups;
struct slot;

struct slot_options {
    const struct sandbox_options *sandbox;
    struct cgroups *cgroups; /* NULL: none; borrowed as long as the slot lives */
};

/* Starts the process and returns at once; it says SLOT_READY when it can work. */
MUST_USE enum status slot_start(const struct slot_options *options, struct slot **out,
                                struct err *err);
/* Kills it and everything it started, and reaps it. `signal` and `exit_status` (may be NULL) say
 * how it ended: 0 and a status, or the signal that killed it before we did. */
void slot_stop(struct slot *slot, int *signal, int *exit_status);
int slot_fd(const struct slot *slot);
pid_t slot_pid(const struct slot *slot);
/* Bytes resident of it and of everything below it. */
uint64_t slot_resident(const struct slot *slot);
/* Bounds its memory with all below it, for the next job; 0: no longer. False: nobody does that here
 * but whoever watches slot_resident. */
bool slot_limit_memory(struct slot *slot, uint64_t bytes);
/* Was anything of it killed because of that bound since this was asked last? */
bool slot_ran_out(struct slot *slot);

void slot_put(struct slot *slot, const struct slot_job *job);
/* Writes what fits; the rest waits for slot_is_writing() to be polled for writing. A slot that died
 * is not an error here: slot_receive will say so. */
void slot_flush(struct slot *slot);
bool slot_is_writing(const struct slot *slot);

/* Reads what is there. Errors: E_GONE it closed its end; E_PROTOCOL it talks nonsense. Messages
 * read before stay readable. */
MUST_USE enum status slot_receive(struct slot *slot, struct err *err);
/* The next message, a view until the next slot_receive; false: none, or (`*is_bad`) a malformed
 * one. */
bool slot_next(struct slot *slot, struct slot_message *out, bool *is_bad);

/* The child's end: serves jobs on descriptor 3 until it is closed. The arguments are those behind
 * "slot". Returns the process's exit status. */
int slot_main(int argument_count, char **arguments);

/* Runs the job in this very process, for a debugger to look at: what the kind prints goes where
 * this program's output goes. */
MUST_USE enum status slot_run_here(const struct slot_job *job,
                                   const struct sandbox_options *sandbox, struct err *err);

static inline void slot_stop_auto(struct slot **slot)
{
    if (*slot)
        slot_stop(*slot, NULL, NULL);
}
