// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "worker/command.h"
#include "worker/models/model.h"
#include "worker/runtime/slot.h"

static int slot(int argc, char **argv)
{
    return slot_main(argc - 1, argv + 1);
}

static int version(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("penstock worker 0.1.0");
    return EXIT_DONE;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    bool needs_libraries; /* those that kind versions name */
} commands[] = {
    {"slot", slot, false}, /* a slot's parent has checked */
    {"describe", command_describe, false},
    {"doctor", command_doctor, false},
    {"debug", command_debug, true},
    {"key", command_key, false},
    {"run-task", command_run_task, true},
    {"--version", version, false},
};

int main(int argc, char **argv)
{
    struct err err = {0};
    size_t count = sizeof commands / sizeof *commands, found = count;
    for (size_t i = 0; argc > 1 && i < count; i++)
        if (!strcmp(argv[1], commands[i].name))
            found = i;
    bool needs_libraries = found == count || commands[found].needs_libraries;
    if (needs_libraries && model_library_check(&err) != OK)
        return command_fail(&err);
    if (found == count)
        return command_join(argc, argv);
    return commands[found].run(argc - 1, argv + 1);
}
