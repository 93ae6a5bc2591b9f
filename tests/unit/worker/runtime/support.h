/* What the worker's tests share: a job described by JSON, a temporary folder. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string.h>

#include "common/base/arena.h"
#include "common/fs.h"
#include "common/text/json.h"
#include "proto/codec.h"
#include "proto/task_spec.h"
#include "proto/value.h"

/* Canonical bytes of a specification written as JSON without ids. */
static inline struct mp_view spec_of(struct arena *arena, const char *json)
{
    struct value value;
    if (json_parse("spec", json, strlen(json), arena, &value, NULL) != OK)
        return (struct mp_view){0};
    size_t bytes = value_encode(&value, NULL, 0);
    uint8_t *out = arena_alloc(arena, bytes);
    return (struct mp_view){out, value_encode(&value, out, bytes)};
}

/* A new folder below the system's temporary one; the test removes it with fs_remove_tree. */
static inline const char *temp_folder(struct arena *arena)
{
    char path[4096];
    if (fs_make_temp_dir("/tmp/penstock-test-", path, sizeof path, NULL) != OK)
        return NULL;
    return arena_text(arena, path, strlen(path));
}
