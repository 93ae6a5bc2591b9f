/* Makes what a job left at `path` as the cache would hold it, so that it can be moved there once it
 * is stored: read-only, executable where a tree says so, no empty folders. The program that made it
 * has ended, so nobody writes to it any more; what is written all the same changes its times, and
 * then it is not moved. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <sys/stat.h>

/* A file or folder as it was when it was sealed. */
struct seal {
    bool is_sealed;
    struct stat seen;
};

/* Not sealed is what somebody else has a name for (a hard link), and folders that a tree can't
 * hold as they are: such an output is published, and fetched like any other. */
struct seal seal_output(const char *path);
/* Is it still the same file, of the same size and times? */
bool seal_is_same(const struct stat *a, const struct stat *b);
