// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/agent.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

static const struct {
    int number;
    const char *name, *words;
} signals[] = {
    {SIGSEGV, "SIGSEGV", "segmentation fault"},
    {SIGABRT, "SIGABRT", "abort"},
    {SIGKILL, "SIGKILL", "killed from outside, perhaps for want of memory"},
    {SIGBUS, "SIGBUS", "bus error"},
    {SIGFPE, "SIGFPE", "arithmetic error"},
    {SIGILL, "SIGILL", "illegal instruction"},
    {SIGTERM, "SIGTERM", "terminated from outside"},
    {SIGINT, "SIGINT", "interrupted"},
    {SIGPIPE, "SIGPIPE", "broken pipe"},
    {SIGXCPU, "SIGXCPU", "CPU time limit"},
    {SIGXFSZ, "SIGXFSZ", "file size limit"},
    {SIGSYS, "SIGSYS", "forbidden system call"},
};

const char *agent_describe_death(int signal, int exit_status, char *out, size_t out_bytes)
{
    if (!signal) {
        snprintf(out, out_bytes, "exited with status %d", exit_status);
        return out;
    }
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (signals[i].number == signal) {
            snprintf(out, out_bytes, "killed by %s (%s)", signals[i].name, signals[i].words);
            return out;
        }
    snprintf(out, out_bytes, "killed by signal %d", signal);
    return out;
}

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
