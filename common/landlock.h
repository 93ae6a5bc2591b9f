/* Has this kernel Landlock, which confines programs (worker/runtime/sandbox.h)? Where it has not,
 * a process that holds secrets closes itself to the programs that run as its user. */
// SPDX-License-Identifier: Apache-2.0
#pragma once

/* Before its second version it keeps programs from moving files across folders. */
enum { LANDLOCK_VERSION_MIN = 2 };

int landlock_version(void); /* 0: none, with errno */
/* Where Landlock does not keep programs out of this process's memory and environment, it is closed
 * to all of its user. */
void landlock_close_self(void);
