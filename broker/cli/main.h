/* The command line. */
// SPDX-License-Identifier: Apache-2.0
#pragma once

#define PENSTOCK_VERSION "0.1.0"

/* Runs the subcommand of argv[1]; returns the exit code. */
int cli_main(int argc, char **argv);
