/* What a worker knows and nobody else may: passwords and tokens that steps ask for by name
 * (`secrets: [DB_PASSWORD]`). They come from the worker's environment (PENSTOCK_SECRET_<NAME>,
 * overwritten there once read) or from files of that name in a folder (a mounted Kubernetes
 * Secret; read anew for each job, since such files are rotated). A job's slot gets those that its
 * task names, its program finds them in its environment, and nothing else of them leaves: not an
 * id, not a log, not a record.
 *
 * A worker offers the names it knows as labels (`secret:DB_PASSWORD=yes`), which the broker asks
 * for, so that a step comes to a worker that has what it needs.
 * Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/task_spec.h"
#include "worker/kinds/kind.h"

struct secrets;

/* `folder` may be NULL. Errors: E_NOTFOUND, E_DENIED the folder; E_INVALID a name that is no
 * variable's, a value that is too short to be masked or too long for an environment; E_LIMIT more
 * than SECRETS_MAX. */
MUST_USE enum status secrets_open(const char *folder, struct secrets **out, struct err *err);
void secrets_free(struct secrets *secrets);
/* The labels, "secret:NAME=yes", sorted. */
const char *const *secrets_labels(const struct secrets *secrets, size_t *count);
/* Those that the task asks for; `*out` is of `arena`, its values are the caller's to free with
 * secrets_forget. `secrets` NULL: there are none. Errors: E_DENIED one that this worker has not,
 * with how to give it; E_INVALID. */
MUST_USE enum status secrets_of(const struct secrets *secrets, const struct task_spec *spec,
                                struct arena *arena, struct kind_secret **out, uint32_t *count,
                                struct err *err);
void secrets_forget(struct kind_secret *items, uint32_t count);

static inline void secrets_free_auto(struct secrets **secrets)
{
    if (*secrets)
        secrets_free(*secrets);
}
