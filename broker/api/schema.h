/* The shapes of what goes in and out, written once (components.c): JSON Schema, as OpenAPI serves
 * it, and what requests are checked against. The subset that is understood: type, properties,
 * required, additionalProperties, items, enum, minimum, maximum, minLength, maxLength, maxItems,
 * $ref. Source: JSON Schema 2020-12, OpenAPI 3.1. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/value.h"

struct schemas;

struct schemas *schemas_new(void);
void schemas_free(struct schemas *schemas);
/* The map of all, by name. */
const struct value *schemas_all(const struct schemas *schemas);
/* Errors: E_INVALID with the place ("params.seed") and what was expected there. */
MUST_USE enum status schemas_check(const struct schemas *schemas, const char *name,
                                   const struct value *value, struct err *err);

/* components.c: the shapes, in YAML, NULL-terminated. */
extern const char *const api_components[];

DEFINE_AUTO(struct schemas *, schemas_free)
