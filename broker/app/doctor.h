/* What the doctor's files share: doctor.c (this machine), doctor_keys.c (who may join, and where).
 * Seen by broker/app/ alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/local.h"

struct doctor {
    struct local *app;
    struct arena *arena;
    struct value *out;
};

/* One more line; `mend` is left out where all is well. */
void doctor_put(struct doctor *doctor, const char *check, bool ok, struct value found,
                const char *mend);
/* doctor_keys.c */
void doctor_keys(struct doctor *doctor);
