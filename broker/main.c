/* The broker: expands pipelines into tasks and hands them to workers. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/main.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
