/* What the scheduler itself costs: one run of a million tasks, submitted, assigned, done and
 * committed with no wire, store or state around it. Three shapes: independent tasks, layers of
 * fans, one long chain; for one worker and for a thousand; and all hits. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "broker/sched/sched.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

enum {
    TASKS = 1000000,
    CHAIN_TASKS = 100000,
    FAN = 10,
    BATCH = 500,
    CREDIT = 8000,
    WORKERS = 1000
};

struct load {
    uint32_t count;
    struct task_node *nodes;
    struct task_edge *edges;
    uint32_t edge_count;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static size_t resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (size_t)pages * 4096;
}

/* `fan` 0: no edges; 1: a chain; else each task needs one of the layer before, which is FAN
 * times smaller. */
static struct load make_load(uint32_t count, uint32_t fan)
{
    struct load load = {.count = count};
    load.nodes = mem_alloc(count * sizeof *load.nodes);
    load.edges = mem_alloc(count * sizeof *load.edges);
    struct rng rng = rng_seed(1);
    for (uint32_t i = 0; i < count; i++) {
        load.nodes[i].first_edge = load.edge_count;
        for (uint32_t j = 0; j < ID_BYTES; j += 8) {
            uint64_t word = rng_next(&rng);
            memcpy(load.nodes[i].id.bytes + j, &word, 8);
        }
        if (fan && i > 0) {
            load.nodes[i].edge_count = 1;
            load.edges[load.edge_count++].task = fan == 1 ? i - 1 : (i - 1) / fan;
        }
    }
    return load;
}

static struct sched_event submit_event(const struct load *load)
{
    static const struct task_policy policy = {.retry_limit = 2, .cpu_hundredths = 100};
    return (struct sched_event){.type = SCHED_SUBMIT,
                                .now = 1,
                                .submit = {.nodes = load->nodes,
                                           .node_count = load->count,
                                           .edges = load->edges,
                                           .policies = &policy,
                                           .policy_count = 1}};
}

/* All of it; the longest step, in seconds. */
static double submit_all(struct sched *sched, struct sched_event *submit,
                         struct sched_actions *actions)
{
    struct sched_event *event = submit, tick = {.type = SCHED_TICK, .now = 1};
    struct sched_run_info info = {0};
    double worst = 0;
    for (; !info.is_begun; event = &tick) {
        double begin = seconds();
        sched_step(sched, event, actions);
        double took = seconds() - begin;
        worst = took > worst ? took : worst;
        sched_run_info(sched, 0, &info);
    }
    return worst;
}

/* Actions of a beat, split as the loop does it. */
struct beat {
    struct sched_actions actions;
    uint32_t *assigned; /* a ring of tasks in flight */
    uint32_t first, count, mask;
    uint32_t *resolves, resolve_count;
    bool is_over;
};

static void sort_out(struct beat *beat)
{
    for (size_t i = 0; i < beat->actions.count; i++) {
        const struct sched_action *action = &beat->actions.items[i];
        if (action->type == SCHED_ASSIGN)
            beat->assigned[(beat->first + beat->count++) & beat->mask] = action->task;
        else if (action->type == SCHED_RESOLVE)
            beat->resolves[beat->resolve_count++] = action->task;
        else if (action->type == SCHED_RUN_OVER)
            beat->is_over = true;
    }
    beat->actions.count = 0;
}

static void finish_some(struct sched *sched, struct beat *beat, const struct artifact *output)
{
    uint32_t count = beat->count < BATCH ? beat->count : BATCH;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t task = beat->assigned[beat->first++ & beat->mask];
        beat->count--;
        struct sched_task_info info;
        sched_task_info(sched, task, &info);
        struct sched_event event = {.type = SCHED_DONE,
                                    .now = 1,
                                    .done = {.worker = info.worker,
                                             .attempt = {info.id, info.attempts},
                                             .outputs = output,
                                             .output_count = 1}};
        sched_step(sched, &event, &beat->actions);
        sort_out(beat);
    }
    struct sched_event committed = {.type = SCHED_COMMITTED, .now = 1};
    sched_step(sched, &committed, &beat->actions);
    sort_out(beat);
    for (uint32_t i = 0; i < beat->resolve_count; i++) {
        struct sched_event event = {
            .type = SCHED_RESOLVED, .now = 1, .resolved = {.task = beat->resolves[i]}};
        sched_step(sched, &event, &beat->actions);
        sort_out(beat);
    }
    beat->resolve_count = 0;
}

static void join(struct sched *sched, struct beat *beat, uint32_t workers)
{
    for (uint32_t i = 0; i < workers; i++) {
        struct sched_event hello = {.type = SCHED_HELLO,
                                    .now = 1,
                                    .hello = {.worker = i, .slots = 2, .credit = CREDIT / workers}};
        memcpy(hello.hello.instance, &i, sizeof i);
        sched_step(sched, &hello, &beat->actions);
        sort_out(beat);
    }
}

static void run(const char *name, uint32_t count, uint32_t fan, uint32_t workers)
{
    struct load load = make_load(count, fan);
    struct sched *sched = sched_new(&(struct sched_options){.seed = 1});
    struct beat beat = {.assigned = mem_alloc(16384 * 4), .mask = 16383};
    beat.resolves = mem_alloc(count * 4);
    struct sched_event submit = submit_event(&load);
    struct artifact output = {.bytes = 1};
    size_t before = resident_bytes();
    double begin = seconds();
    double worst = submit_all(sched, &submit, &beat.actions);
    double submitted = seconds();
    size_t bytes = resident_bytes() - before;
    sort_out(&beat);
    join(sched, &beat, workers);
    while (beat.count)
        finish_some(sched, &beat, &output);
    double end = seconds();
    printf(
        "%-12s %8u tasks, %4u workers: submit %6.3f s in steps of %5.2f ms at most, %5.3f us from "
        "ready to committed, %5.1f bytes a task\n",
        name, count, workers, submitted - begin, 1e3 * worst, (end - submitted) * 1e6 / count,
        (double)bytes / count);
    struct sched_run_info info;
    sched_run_info(sched, 0, &info);
    if (info.executed != count)
        abort();
    sched_free(sched);
    sched_actions_fini(&beat.actions);
    mem_free(beat.assigned);
    mem_free(beat.resolves);
    mem_free(load.nodes);
    mem_free(load.edges);
}

static void run_hits(uint32_t count)
{
    struct load load = make_load(count, 0);
    struct sched *sched = sched_new(&(struct sched_options){.seed = 1});
    struct sched_actions actions = {0};
    struct artifact output = {.bytes = 1};
    struct sched_known known = {1, &output};
    double begin = seconds();
    for (uint32_t i = 0; i < count; i++) {
        struct sched_event restore = {
            .type = SCHED_RESTORE, .now = 1, .restore = {&load.nodes[i].id, &known, 1}};
        sched_step(sched, &restore, &actions);
    }
    struct sched_event submit = submit_event(&load);
    double worst = submit_all(sched, &submit, &actions);
    printf("%-12s %8u tasks: restore and submit %6.3f s, in steps of %5.2f ms at most\n",
           "all hits", count, seconds() - begin, 1e3 * worst);
    sched_free(sched);
    sched_actions_fini(&actions);
    mem_free(load.nodes);
    mem_free(load.edges);
}

int main(void)
{
    run("independent", TASKS, 0, 1);
    run("fans", TASKS, FAN, 1);
    run("chain", CHAIN_TASKS, 1, 1);
    run("independent", TASKS, 0, WORKERS);
    run("fans", TASKS, FAN, WORKERS);
    run("chain", CHAIN_TASKS, 1, WORKERS); /* all but one worker starve */
    run_hits(TASKS);
    return 0;
}
