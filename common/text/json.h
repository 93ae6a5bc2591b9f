/* JSON ⇄ value tree; the door to jansson. Reading is strict (no NaN, no duplicate keys,
 * VALUE_DEPTH_MAX). Writing keeps the map's order; reals print with the shortest digits that read
 * back equal, and always with a point or exponent, so that 1.0 stays a real. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/value.h"

MUST_USE enum status json_parse(const char *name, const char *text, size_t bytes,
                                struct arena *arena, struct value *out, struct err *err);
/* `indent` 0: one line. A binary value is written as hex text. */
void json_write(const struct value *value, int indent, struct buf *out);
/* A quoted, escaped JSON string; for writers that stream. */
void json_write_string(const char *text, size_t bytes, struct buf *out);
void json_write_real(double real, struct buf *out);
