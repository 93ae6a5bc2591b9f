/* YAML (and so JSON) to a value tree, with line and column on each node. Scalars by the YAML 1.2
 * core schema: `on`, `no`, `1:30`, dates are strings. Anchors, aliases and the merge key `<<`
 * (mapping or list of mappings) are expanded; a `<<` whose value is a string, or a list with a
 * string in it, stays an ordinary pair for the tree's reader to expand; expansion is bounded by
 * VALUE_COUNT_MAX, nesting by VALUE_DEPTH_MAX (libyaml has no limit of its own: we stop its
 * parser). Duplicate keys, non-string keys, several documents, NaN and infinity are errors. A tag
 * `!name` other than the core ones is an error that names it. The door to libyaml (event parser).
 * Source: YAML 1.2.2, §10.3 core schema. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/err.h"
#include "proto/value.h"

/* `name` is for messages ("iris.yaml:3:7: …"). The tree lives in `arena`. An empty file, one that
 * is not UTF-8 or holds control bytes (a binary) is E_INVALID and says so. */
MUST_USE enum status yaml_parse(const char *name, const char *text, size_t bytes,
                                struct arena *arena, struct value *out, struct err *err);
