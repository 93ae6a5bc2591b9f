/* Tab completion for shells: a script made from the table of commands. Options come from a
 * command's own --help when they are asked for, so nothing has to be kept in step. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdio.h>

/* Writes the script for "bash" or "zsh"; returns the exit code: EXIT_USAGE for any other shell. */
int completion_print(const char *shell, FILE *out);
