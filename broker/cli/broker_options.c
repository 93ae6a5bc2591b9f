// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/broker_options.h"

#include "proto/limits.h"

void broker_options_add(struct command_line *line, struct broker_options *o, const char *slots_help)
{
    const struct config_option options[] = {
        {"slots", 'j', CONFIG_COUNT, "PENSTOCK_SLOTS", "N", &o->slots, slots_help},
        {"min-workers", 0, CONFIG_COUNT, "PENSTOCK_MIN_WORKERS", "N", &o->workers_min,
         "give out nothing before N workers have joined, the local one counted"},
        {"lease", 0, CONFIG_TEXT, "PENSTOCK_LEASE", "TIME", &o->lease,
         "how long a worker may be silent until its tasks go to others (default 15s)"},
    };
    o->slots = -1;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(line, options[i]);
}

enum status broker_options_take(const struct broker_options *o, struct app_options *out,
                                struct err *err)
{
    if (o->slots > SLOTS_MAX)
        return err_set(err, E_INVALID, "--slots %lld is not in 0 … %d", (long long)o->slots,
                       SLOTS_MAX);
    if (o->workers_min > WORKERS_MAX)
        return err_set(err, E_INVALID, "--min-workers %lld is not in 0 … %d",
                       (long long)o->workers_min, WORKERS_MAX);
    out->has_slots = o->slots >= 0;
    out->slots = o->slots >= 0 ? (uint32_t)o->slots : 0;
    out->workers_min = o->workers_min > 0 ? (uint32_t)o->workers_min : 0;
    if (!o->lease)
        return OK;
    TRY(config_parse_ms("lease", o->lease, &out->lease_ms, err));
    if (out->lease_ms < LEASE_MS_MIN || out->lease_ms > LEASE_MS_MAX)
        return err_set(err, E_INVALID, "--lease %s is not in %d s … %d min", o->lease,
                       LEASE_MS_MIN / 1000, LEASE_MS_MAX / 60000);
    return OK;
}
