/* `worker --broker ENDPOINT …`: joins a broker and works until told to stop. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/limits.h"
#include "worker/command.h"
#include "worker/join.h"

static const char usage[] =
    "usage: worker --broker ENDPOINT [--store URL] [--slots N] …\n"
    "       worker describe [KIND] [--json]      kinds, models, parameters\n"
    "       worker debug TASK                    run one task's handler here, in the foreground\n"
    "       worker run-task SPEC                 run one task without a broker\n"
    "\n"
    "Joins a broker and works until it is told to stop: SIGTERM or Ctrl-C once to finish what\n"
    "runs and hand back the rest, twice to stop at once.\n\n";

int command_join(int argc, char **argv)
{
    struct join_options join = {
        .broker = NULL, .store = ".penstock/store", .cache = ".penstock/cache"};
    const char *cache_bytes = "10GiB", *grace = "30s";
    AUTO(config_list_fini) struct config_list labels = {0};
    AUTO(config_list_fini) struct config_list arguments = {0};
    int64_t slots = 0;
    const struct config_option options[] = {
        {"broker", 'b', CONFIG_TEXT, "PENSTOCK_BROKER", "ENDPOINT", &join.broker,
         "where the broker is: tcp://HOST:PORT or ipc://PATH"},
        {"store", 0, CONFIG_TEXT, "PENSTOCK_STORE", "URL", &join.store,
         "where artifacts live: a folder, or s3://BUCKET/PREFIX"},
        {"slots", 0, CONFIG_COUNT, "PENSTOCK_SLOTS", "N", &slots,
         "tasks at once; 0: as many as there are cores"},
        {"name", 0, CONFIG_TEXT, "PENSTOCK_NAME", "NAME", &join.name,
         "what people see; default: host and process number"},
        {"cache", 0, CONFIG_TEXT, "PENSTOCK_CACHE", "FOLDER", &join.cache,
         "where artifacts and work folders are kept on this machine"},
        {"cache-size", 0, CONFIG_TEXT, "PENSTOCK_CACHE_SIZE", "SIZE", &cache_bytes,
         "above which the longest unused artifacts go"},
        {"labels", 0, CONFIG_LIST, NULL, "KEY=VALUE", &labels,
         "what `resources.labels` of a step may ask for; may be given many times"},
        {"grace", 0, CONFIG_TEXT, "PENSTOCK_GRACE", "TIME", &grace,
         "how long running tasks may take to finish after SIGTERM"},
        {"die-with-parent", 0, CONFIG_FLAG, NULL, NULL, &join.dies_with_parent,
         "end when the process that started this one ends"},
    };
    int exit_status;
    struct err err = {0};
    if (command_parse(usage, options, sizeof options / sizeof *options, argc, argv, &arguments,
                      &exit_status))
        return exit_status;
    if (arguments.count)
        err_set(&err, E_INVALID, "unknown subcommand \"%s\"; see worker --help",
                arguments.items[0]);
    else if (!join.broker || !*join.broker)
        err_set(&err, E_INVALID,
                "no broker: say --broker ENDPOINT or set PENSTOCK_BROKER (see worker --help)");
    else if (slots < 0 || slots > SLOTS_MAX)
        err_set(&err, E_INVALID, "--slots %lld: expected 0 to %d", (long long)slots, SLOTS_MAX);
    else if (command_parse_bytes("cache-size", cache_bytes, &join.cache_bytes, &err) == OK)
        (void)!config_parse_ms("grace", grace, &join.grace_ms, &err);
    if (err.code != OK)
        return command_fail(&err);
    join.slots = (uint32_t)slots;
    join.labels = labels.items;
    join.label_count = labels.count;
    return join_run(&join, &err) == OK ? EXIT_DONE : command_fail(&err);
}
