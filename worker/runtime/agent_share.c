/* What running jobs share: cpu, memory, named counts. agent_tick.c asks, this counts. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "worker/runtime/agent_state.h"

void agent_share_init(struct agent *agent)
{
    const struct agent_options *options = &agent->options;
    uint32_t count = options->resource_count;
    ASSERT(count <= RESOURCES_MAX);
    agent->share_count = SHARE_COUNTS + count;
    agent->offered[SHARE_CPU] =
        options->cpu_hundredths ? options->cpu_hundredths : 100 * options->slots;
    agent->offered[SHARE_MEMORY] = options->memory_bytes ? options->memory_bytes : UINT64_MAX;
    if (!count)
        return;
    agent->counts = mem_alloc((size_t)AGENT_JOBS_MAX * count * sizeof *agent->counts);
    agent->resource_names = mem_alloc(count * sizeof *agent->resource_names);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(agent->resource_names[i], NAME_BYTES_MAX + 1, "%s", options->resources[i].name);
        agent->offered[SHARE_COUNTS + i] = options->resources[i].count;
    }
    agent->options.resources = NULL; /* the caller's; the names are copied */
}

void agent_share_fini(struct agent *agent)
{
    mem_free(agent->counts);
    mem_free(agent->resource_names);
}

static uint32_t *counts_of(const struct agent *agent, uint32_t job)
{
    return agent->counts + (size_t)job * agent->options.resource_count;
}

/* What the job takes of a share. */
static uint64_t need_of(const struct agent *agent, uint32_t job, uint32_t share)
{
    if (share == SHARE_CPU)
        return agent->jobs[job].cpu_hundredths;
    if (share == SHARE_MEMORY)
        return agent->jobs[job].memory_bytes;
    return agent->jobs[job].is_light ? 0 : counts_of(agent, job)[share - SHARE_COUNTS];
}

static bool refuse_count(struct agent *agent, const struct resource *asked, uint64_t offered)
{
    snprintf(agent->refusal, sizeof agent->refusal,
             "asks for %s: %u, of which this worker offers %llu; see worker --resource",
             asked->name, asked->count, (unsigned long long)offered);
    return false;
}

static bool ask_counts(struct agent *agent, uint32_t job, const struct agent_event *task)
{
    uint32_t offered = agent->options.resource_count;
    if (offered)
        memset(counts_of(agent, job), 0, offered * sizeof *agent->counts);
    for (uint32_t i = 0; i < task->task.resource_count; i++) {
        const struct resource *asked = &task->task.resources[i];
        uint32_t at = 0;
        while (at < offered && strcmp(agent->resource_names[at], asked->name) != 0)
            at++;
        uint64_t there = at < offered ? agent->offered[SHARE_COUNTS + at] : 0;
        if (asked->count > there)
            return refuse_count(agent, asked, there);
        if (at < offered)
            counts_of(agent, job)[at] = asked->count;
    }
    return true;
}

bool agent_share_ask(struct agent *agent, uint32_t job, const struct agent_event *task)
{
    char asked[32], offered[32];
    if (task->task.cpu_hundredths > agent->offered[SHARE_CPU]) {
        snprintf(agent->refusal, sizeof agent->refusal,
                 "asks for %g cores, of which this worker offers %g; see worker --cpu",
                 task->task.cpu_hundredths / 100.0, (double)agent->offered[SHARE_CPU] / 100);
        return false;
    }
    if (task->task.memory_bytes > agent->offered[SHARE_MEMORY]) {
        snprintf(agent->refusal, sizeof agent->refusal,
                 "asks for %s of memory, of which this worker offers %s; see worker --memory",
                 agent_describe_bytes(task->task.memory_bytes, asked, sizeof asked),
                 agent_describe_bytes(agent->offered[SHARE_MEMORY], offered, sizeof offered));
        return false;
    }
    return task->task.is_light || ask_counts(agent, job, task);
}

/* A slot of light jobs takes a core, or what there is if that is less. Slots are counted when
 * something else is to start, so that light jobs cost nothing here. */
static uint64_t light_cpu(const struct agent *agent)
{
    uint64_t offered = agent->offered[SHARE_CPU];
    return offered < CPU_HUNDREDTHS_DEFAULT ? offered : CPU_HUNDREDTHS_DEFAULT;
}

static bool fits(const struct agent *agent, uint32_t share, uint64_t need, uint32_t beside)
{
    uint64_t used = agent->used[share];
    if (share == SHARE_CPU)
        for (uint32_t i = 0; i < agent->options.slots; i++)
            used += agent->slots[i].phase == SLOT_LIGHT ? light_cpu(agent) : 0;
    uint64_t other = beside == AGENT_NONE ? 0 : need_of(agent, beside, share);
    uint64_t offered = agent->offered[share];
    return used <= offered && other <= offered - used && need <= offered - used - other;
}

bool agent_share_fits(const struct agent *agent, uint32_t job, uint32_t beside)
{
    for (uint32_t share = 0; share < agent->share_count; share++) {
        uint64_t need = need_of(agent, job, share); /* 0: then the other one may lack it */
        if (need && !fits(agent, share, need, beside))
            return false;
    }
    return true;
}

bool agent_share_fits_light(const struct agent *agent, bool is_new, uint32_t beside)
{
    return fits(agent, SHARE_CPU, is_new ? light_cpu(agent) : 0, beside);
}

void agent_share_take(struct agent *agent, uint32_t job)
{
    for (uint32_t share = 0; share < agent->share_count; share++)
        agent->used[share] += need_of(agent, job, share);
}

void agent_share_give_back(struct agent *agent, uint32_t job)
{
    for (uint32_t share = 0; share < agent->share_count; share++) {
        ASSERT(agent->used[share] >= need_of(agent, job, share));
        agent->used[share] -= need_of(agent, job, share);
    }
}

bool agent_share_check(const struct agent *agent, struct err *err)
{
    for (uint32_t share = 0; share < agent->share_count; share++) {
        uint64_t used = 0;
        for (uint32_t i = 0; i < agent->options.slots; i++) {
            const struct slot_state *slot = &agent->slots[i];
            uint32_t job = slot->ring[slot->first]; /* what takes of a share is in a slot alone */
            if (slot->count && (!agent->jobs[job].is_light || agent->jobs[job].is_alone))
                used += need_of(agent, job, share);
        }
        if (used == agent->used[share] && used <= agent->offered[share])
            continue;
        err_set(err, E_INVALID, "share %u: %llu of %llu in use, counted %llu", share,
                (unsigned long long)agent->used[share], (unsigned long long)agent->offered[share],
                (unsigned long long)used);
        return false;
    }
    return true;
}
