/* Runs one handler as a slot would: parameters as a person writes them, files in, files out. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "proto/err.h"

enum { CALL_INPUTS_MAX = 4, CALL_FILES_MAX = 4 };

struct call_input {
    const char *name;
    bool is_tree, is_gather;
    const char *files[CALL_FILES_MAX]; /* relative to the folder; NULL-terminated unless full */
};

struct call {
    const char *kind, *params; /* YAML */
    const char *dir;           /* inputs and outputs are below it */
    const char *outputs[4];    /* sorted, NULL-terminated unless full */
    struct call_input inputs[CALL_INPUTS_MAX];
};

/* Outputs go to dir/OUTPUT_DIR. */
enum status call_run(const struct call *call, const char *output_dir, struct err *err);
/* Fails the test when the run does. */
void call_run_well(const struct call *call, const char *output_dir);
/* Fails the test unless the run fails with this code and text. */
void call_expect_error(const struct call *call, enum status code, const char *text);
void call_write(const char *dir, const char *name, const char *text);
/* The caller's to buf_fini. */
struct buf call_read(const char *dir, const char *name);
