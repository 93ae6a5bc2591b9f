/* A folder that lives as long as a test, and paths in it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>

#include "common/base/arena.h"

struct temp {
    char path[128];
    struct arena names;
};

/* cmocka setup and teardown: *state is a struct temp *. */
int temp_setup(void **state);
int temp_teardown(void **state);
/* "<folder>/name"; lives as long as the folder. */
const char *temp_at(struct temp *temp, const char *name);
void temp_write(const char *path, const void *data, size_t bytes);
void temp_write_text(const char *path, const char *text);
/* Does the file hold exactly these bytes? */
int temp_holds(const char *path, const void *data, size_t bytes);
/* Entries of a folder, without "." and ".."; −1 if there is none. */
int temp_count(const char *path);
