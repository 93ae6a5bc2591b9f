/* The worker's subcommands. Each takes argc and argv as main() does, its own name first, and
 * returns the process's exit status (design: §11). Results go to stdout, everything else to stderr.
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#include "common/config.h"
#include "proto/err.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_TASK_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3,
    EXIT_DAMAGED = 4,
    EXIT_INTERRUPTED = 130
};

int command_join(int argc, char **argv);
int command_describe(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_debug(int argc, char **argv);
int command_key(int argc, char **argv);
int command_run_task(int argc, char **argv);

/* Prints "worker: TEXT" and returns the exit status that fits the code. */
int command_fail(const struct err *err);
/* Reads flags; true when the command is over already (help was asked for, or wrong usage), with
 * *exit_status set. */
bool command_parse(const char *usage, const struct config_option *options, size_t option_count,
                   int argc, char **argv, struct config_list *arguments, int *exit_status);
/* "10G", "64MiB", "1000": bytes. Errors: E_INVALID. */
MUST_USE enum status command_parse_bytes(const char *name, const char *text, uint64_t *out,
                                         struct err *err);
/* "2", "0.5", "500m": hundredths of cores. Errors: E_INVALID. */
MUST_USE enum status command_parse_cores(const char *name, const char *text, uint32_t *out,
                                         struct err *err);
