// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/agent.h"

#include <inttypes.h>
#include <stdio.h>

const char *agent_describe_bytes(uint64_t bytes, char *out, size_t out_bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    double amount = (double)bytes;
    while (amount >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        amount /= 1024;
        unit++;
    }
    bool is_whole = amount == (double)(uint64_t)amount;
    snprintf(out, out_bytes, "%.*f %s", is_whole || amount >= 10 ? 0 : 1, amount, units[unit]);
    return out;
}

const char *agent_describe_ms(uint64_t ms, char *out, size_t out_bytes)
{
    if (ms < 1000)
        snprintf(out, out_bytes, "%" PRIu64 " ms", ms);
    else if (ms % 1000)
        snprintf(out, out_bytes, "%.1f s", (double)ms / 1000);
    else
        snprintf(out, out_bytes, "%" PRIu64 " s", ms / 1000);
    return out;
}
