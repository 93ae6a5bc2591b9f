/* Makes what a job left at `path` as the cache would hold it, so that it can be moved there once it
 * is stored: read-only, executable where a tree says so, no empty folders. The program that made it
 * has ended, so nobody writes to it any more; what is written all the same changes its times, and
 * then it is not moved. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* Which file or folder lay at a path, and when it was last changed: the same again is the same
 * bytes. */
struct file_state {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec changed_at;
};

/* An output as it was when it was sealed. */
struct seal {
    bool is_sealed;
    struct file_state seen;
};

/* Not sealed is what somebody else has a name for (a hard link), and folders that a tree can't
 * hold as they are: such an output is published, and fetched like any other. */
struct seal seal_output(const char *path);
/* What lies at `path`, not through a symlink; false: nothing that can be looked at. */
bool file_state_read(const char *path, struct file_state *out);
bool file_state_is_same(const struct file_state *a, const struct file_state *b);
