/* Is an artifact what its record says, was the record made by who signed it, and for that task? A
 * record names no task, since tasks whose actions are equal share one (early cutoff). So its
 * action must be the task's specification, of which the id is the hash, with every task in it
 * replaced by the output that this task's own record has, and so on down to the sources: then it
 * can't have been put in another's place. Who is believed for what is the caller's: a state and a
 * store here (verify_local.c), or a served broker, of which nothing is believed but that it says it
 * (broker/remote/remote_verify.c). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/proof.h"
#include "common/base/ms.h"
#include "proto/task_spec.h"

struct verify_source {
    /* The record of a task, checked. Errors: as proof_open. */
    enum status (*proof)(void *context, const struct id *task, struct proof *out, struct err *err);
    /* Reads and hashes every byte. Errors: E_NOTFOUND; E_CORRUPT. NULL: bytes are not asked for. */
    enum status (*bytes)(void *context, const struct artifact *artifact, struct err *err);
    /* *is_made: a task made it; else it came from outside. */
    enum status (*maker)(void *context, const struct id *artifact, bool *is_made, struct id *task,
                         struct err *err);
    /* As reexecute(). NULL: can't. */
    enum status (*again)(void *context, const struct record *record, struct arena *arena,
                         const char **difference, struct err *err);
    /* What a task is: false, it is not known. NULL: of none. */
    bool (*spec)(void *context, const struct id *task, struct mp_view *out);
    void *context;
    uint32_t records_max; /* then E_LIMIT; 0: as many as there are … */
    ms_t until;           /* … or after this; 0: as long as it takes */
};

struct verify_subject {
    const char *name;
    struct artifact artifact;
    bool has_task;
    struct id task;
};

/* The document of app_verify. */
MUST_USE enum status verify_subject(const struct verify_source *source,
                                    const struct verify_subject *subject,
                                    const struct app_verify *options, struct arena *arena,
                                    struct value *out, struct err *err);
struct local;
/* Are the records of what REF names, and of all that made it, signed and in their places?
 * `is_deep`: also those of tasks that no specification names, which made what came in as a source.
 * Bytes are not asked for. Errors: E_CORRUPT they are not; E_LIMIT too many for a broker that
 * serves; as app_verify. */
MUST_USE enum status verify_records(struct local *app, const char *ref, bool is_deep,
                                    struct arena *arena, struct err *err);
