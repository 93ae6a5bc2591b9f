/* One thing from outside that a pipeline names: a `sources:` entry, or one of exec's `code` files.
 * broker/pipeline/ lists them, broker/source/ finds their bytes. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/value.h"

struct source_need {
    const char *name;       /* as in `sources.NAME`; for code files the path */
    const char *location;   /* path or glob, relative to the pipeline file */
    const struct value *at; /* for messages */
};
