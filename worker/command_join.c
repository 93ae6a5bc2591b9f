/* `worker --broker ENDPOINT …`: joins a broker and works until told to stop. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include <stdlib.h>

#include "common/log.h"
#include "proto/limits.h"
#include "worker/command.h"
#include "worker/command_sandbox.h"
#include "worker/join.h"
#include "worker/offer.h"

static const char usage[] =
    "usage: worker --broker ENDPOINT [--store URL] [--slots N] …\n"
    "       worker describe [KIND] [--json]      kinds, models, parameters\n"
    "       worker doctor [--json]               what confines programs here, and what is missing\n"
    "       worker debug TASK                    run one task's handler here, in the foreground\n"
    "       worker key FILE                      this worker's identity, made here\n"
    "       worker run-task SPEC                 run one task without a broker\n"
    "\n"
    "Joins a broker and works until it is told to stop: SIGTERM or Ctrl-C once to finish what\n"
    "runs and hand back the rest, twice to stop at once.\n\n";

/* Amounts as they were written; NULL: the default. */
struct amounts {
    const char *cache, *grace, *cpu, *memory;
    int64_t slots;
    struct config_list labels, resources;
};

static void amounts_fini(struct amounts *amounts)
{
    config_list_fini(&amounts->labels);
    config_list_fini(&amounts->resources);
}
DEFINE_AUTO_VALUE(struct amounts, amounts_fini)

static enum status read_amounts(const struct amounts *amounts, struct offer_counts *counts,
                                struct join_options *join, struct err *err)
{
    if (amounts->slots < 0 || amounts->slots > SLOTS_MAX)
        return err_set(err, E_INVALID, "--slots %lld: expected 0 to %d", (long long)amounts->slots,
                       SLOTS_MAX);
    TRY(command_parse_bytes("cache-size", amounts->cache, &join->cache_bytes, err));
    TRY(config_parse_ms("grace", amounts->grace, &join->grace_ms, err));
    if (amounts->cpu)
        TRY(command_parse_cores("cpu", amounts->cpu, &join->cpu_hundredths, err));
    if (amounts->memory)
        TRY(command_parse_bytes("memory", amounts->memory, &join->memory_bytes, err));
    if (amounts->memory &&
        (!join->memory_bytes || join->memory_bytes >> 40 >= MEMORY_TEBIBYTES_MAX))
        return err_set(err, E_INVALID, "--memory \"%s\": expected more than 0 and less than %d TiB",
                       amounts->memory, MEMORY_TEBIBYTES_MAX);
    TRY(offer_read_counts(amounts->resources.items, amounts->resources.count, counts, err));
    join->slots = (uint32_t)amounts->slots;
    join->labels = amounts->labels.items;
    join->label_count = amounts->labels.count;
    join->resources = counts->items;
    join->resource_count = counts->count;
    return OK;
}

int command_join(int argc, char **argv)
{
    char grace[16];
    snprintf(grace, sizeof grace, "%ds", GRACE_MS_DEFAULT / 1000);
    struct join_options join = {.store = ".penstock/store", .cache = ".penstock/cache"};
    AUTO(command_sandbox_fini) struct command_sandbox sandbox = COMMAND_SANDBOX;
    AUTO(amounts_fini) struct amounts amounts = {.cache = "10GiB", .grace = grace};
    AUTO(config_list_fini) struct config_list arguments = {0};
    struct offer_counts counts;
    const struct config_option options[] = {
        {"broker", 'b', CONFIG_TEXT, "PENSTOCK_BROKER", "ENDPOINT", &join.broker,
         "where the broker is: tcp://HOST:PORT or ipc://PATH; its standbys too, with commas"},
        {"broker-key", 0, CONFIG_TEXT, "PENSTOCK_BROKER_KEY", "HEX", &join.broker_key,
         "the public key that the broker must have (broker keys list)"},
        {"key", 0, CONFIG_TEXT, "PENSTOCK_KEY", "FILE", &join.key,
         "this worker's identity: what the broker knows it by, and what it signs results with"},
        {"insecure", 0, CONFIG_FLAG, NULL, NULL, &join.insecure,
         "believe whoever answers, though it may be another machine, and encrypt nothing"},
        {"store", 0, CONFIG_TEXT, "PENSTOCK_STORE", "URL", &join.store,
         "where artifacts live: a folder"},
        {"slots", 0, CONFIG_COUNT, "PENSTOCK_SLOTS", "N", &amounts.slots,
         "tasks at once; 0: as many as there are cores"},
        {"cpu", 0, CONFIG_TEXT, "PENSTOCK_CPU", "CORES", &amounts.cpu,
         "what running tasks may take together; default: one core for each slot"},
        {"memory", 0, CONFIG_TEXT, "PENSTOCK_MEMORY", "SIZE", &amounts.memory,
         "what running tasks may reserve together; default: all that this process may use"},
        {"resource", 0, CONFIG_LIST, "PENSTOCK_RESOURCE", "NAME=COUNT", &amounts.resources,
         "what else `resources` of a step may take, as in gpu=1 or gpu=1,license=2"},
        {"name", 0, CONFIG_TEXT, "PENSTOCK_NAME", "NAME", &join.name,
         "what people see; default: host and process number"},
        {"cache", 0, CONFIG_TEXT, "PENSTOCK_CACHE", "FOLDER", &join.cache,
         "where artifacts and work folders are kept on this machine"},
        {"cache-size", 0, CONFIG_TEXT, "PENSTOCK_CACHE_SIZE", "SIZE", &amounts.cache,
         "above which the longest unused artifacts go"},
        {"labels", 0, CONFIG_LIST, NULL, "KEY=VALUE", &amounts.labels,
         "what `resources.labels` of a step may ask for"},
        {"grace", 0, CONFIG_TEXT, "PENSTOCK_GRACE", "TIME", &amounts.grace,
         "how long running tasks may take to finish after SIGTERM"},
        COMMAND_SANDBOX_OPTIONS(sandbox),
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
    if (err.code != OK || read_amounts(&amounts, &counts, &join, &err) != OK ||
        command_sandbox_read(&sandbox, &join.sandbox, &err) != OK)
        return command_fail(&err);
    join.secrets = sandbox.secrets;
    join.sandbox.hidden = command_sandbox_hidden(&sandbox, join.cache, join.dies_with_parent);
    if (!join.dies_with_parent && !getenv("PENSTOCK_LOG"))
        log_set_level(LOG_INFO); /* whoever started it by hand wants to see that it joined */
    return join_run(&join, &err) == OK ? EXIT_DONE : command_fail(&err);
}
