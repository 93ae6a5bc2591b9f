/* Steps to tasks. One pass over the tasks, producers first, so that every id below is known when it
 * is needed. What all tasks of a step share (offsets of a gather, parameters that don't depend on
 * the axis that changes) is made once. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/pipeline/step.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"

/* Of specs: a small run has a small one, a large one few. */
enum { CHUNK_BYTES_MIN = 1 << 12, CHUNK_BYTES_MAX = 1 << 20 };

/* Parameters of one step by combination. Tasks come last axis fastest, so if only leading axes
 * matter equal combinations are neighbours and one is kept; else all are, in a table. */
struct params_cache {
    struct arena scratch;
    uint32_t axes;
    bool is_leading;
    struct params *table; /* by combination; kind NULL: not made yet */
    struct params last;
    uint64_t last_key;
};

struct expander {
    struct pipeline *p; /* a private view; see graph_expand */
    struct graph *graph;
    uint8_t *chunk;                 /* specs are packed into large pieces */
    size_t chunk_left, chunk_bytes; /* chunk_bytes: of the last one */
    uint64_t spec_bytes;
    uint32_t *first_task; /* per step as written */
};

/* The step at hand. */
struct stage {
    const struct step *step;
    struct params_cache cache;
    uint32_t choice[AXES_MAX];
    struct spec_input *inputs;
    uint32_t **gather_offsets;     /* per input: task offsets in gather order */
    uint32_t (*strides)[AXES_MAX]; /* per input: of the producer's axes */
};

/* ---- parameters ---- */

static uint64_t combination_key(const struct step *step, uint32_t axes, const uint32_t *choice)
{
    uint64_t key = 0;
    for (uint32_t i = 0; i < step->axis_count; i++)
        if (axes >> i & 1)
            key = key * step->axes[i]->count + choice[i];
    return key;
}

static void cache_init(struct params_cache *cache, const struct step *step)
{
    uint64_t combinations = 1;
    *cache = (struct params_cache){.axes = step->params_axes, .last_key = UINT64_MAX};
    cache->is_leading = !(cache->axes & (cache->axes + 1));
    for (uint32_t i = 0; i < step->axis_count; i++)
        if (cache->axes >> i & 1)
            combinations *= step->axes[i]->count; /* ≤ the step's tasks */
    if (!cache->is_leading)
        cache->table = mem_alloc(combinations * sizeof *cache->table);
}

static void cache_fini(struct params_cache *cache)
{
    mem_free(cache->table);
    arena_fini(&cache->scratch);
}

static enum status get_params(struct expander *e, struct stage *stage, const struct params **out)
{
    struct params_cache *cache = &stage->cache;
    uint64_t key = combination_key(stage->step, cache->axes, stage->choice);
    struct params *at = cache->table ? &cache->table[key] : &cache->last;
    *out = at;
    if (cache->table ? at->kind != NULL : key == cache->last_key)
        return OK;
    if (!cache->table) {
        arena_clear(&cache->scratch);
        cache->last_key = key;
        return params_build(e->p, stage->step, stage->choice, &cache->scratch, at);
    }
    AUTO(arena_fini) struct arena scratch = {0};
    TRY(params_build(e->p, stage->step, stage->choice, &scratch, at));
    uint8_t *kept = arena_alloc(&cache->scratch, at->count);
    if (at->count)
        memcpy(kept, at->bytes, at->count);
    at->bytes = kept;
    return OK;
}

/* ---- policies ---- */

/* One per step and kind version. */
static uint32_t get_policy(struct graph *graph, const struct step *step, uint32_t first,
                           const char *offer)
{
    for (uint32_t i = first; i < graph->policy_count; i++)
        if (graph->policies[i].kind_version == offer)
            return i;
    if (!(graph->policy_count & (graph->policy_count - 1))) {
        size_t room = graph->policy_count ? 2 * (size_t)graph->policy_count : 1;
        struct task_policy *grown = arena_alloc(&graph->arena, room * sizeof *grown);
        if (graph->policy_count)
            memcpy(grown, graph->policies, graph->policy_count * sizeof *grown);
        graph->policies = grown;
    }
    graph->policies[graph->policy_count] = step->policy;
    graph->policies[graph->policy_count].kind_version = offer;
    return graph->policy_count++;
}

/* ---- inputs ---- */

/* Task offsets of a gather within its producer, in declaration order, last axis fastest. */
static uint32_t *make_offsets(struct arena *arena, const struct step *producer,
                              const struct input *input, const uint32_t *strides)
{
    uint32_t *offsets = arena_alloc(arena, input->gather_count * sizeof *offsets);
    uint32_t choice[AXES_MAX] = {0}, gathered = 0;
    for (uint32_t k = 0; k < producer->axis_count; k++)
        if (input->align[k] == STEP_NONE)
            gathered |= 1u << k;
    for (uint32_t i = 0; i < input->gather_count; i++) {
        for (uint32_t k = 0; k < producer->axis_count; k++)
            offsets[i] += choice[k] * strides[k];
        params_next(producer, gathered, choice);
    }
    return offsets;
}

static void open_inputs(struct expander *e, struct stage *stage, struct arena *arena)
{
    const struct step *step = stage->step;
    stage->inputs = arena_alloc(arena, step->input_count * sizeof *stage->inputs);
    stage->strides = arena_alloc(arena, step->input_count * sizeof *stage->strides);
    stage->gather_offsets = arena_alloc(arena, step->input_count * sizeof *stage->gather_offsets);
    for (uint32_t i = 0; i < step->input_count; i++) {
        const struct input *input = &step->inputs[i];
        stage->inputs[i] = (struct spec_input){.input = input};
        if (input->step == STEP_NONE) {
            stage->inputs[i].source = &e->p->sources[input->source].artifact;
            continue;
        }
        const struct step *producer = &e->p->steps[input->step];
        for (uint32_t k = producer->axis_count, stride = 1; k-- > 0;) {
            stage->strides[i][k] = stride;
            stride *= producer->axes[k]->count;
        }
        if (input->is_gather)
            stage->gather_offsets[i] = make_offsets(arena, producer, input, stage->strides[i]);
    }
}

static void add_edges(struct expander *e, struct stage *stage, struct task_node *task)
{
    struct graph *graph = e->graph;
    task->first_edge = graph->edge_count;
    for (uint32_t i = 0; i < stage->step->input_count; i++) {
        const struct input *input = &stage->step->inputs[i];
        if (input->step == STEP_NONE)
            continue;
        uint32_t base = e->first_task[input->step];
        for (uint32_t k = 0; k < e->p->steps[input->step].axis_count; k++) {
            if (input->align[k] == STEP_NONE)
                continue;
            uint32_t value = stage->choice[input->align[k]];
            base +=
                stage->strides[i][k] * (input->value_map[k] ? input->value_map[k][value] : value);
        }
        stage->inputs[i].edges = &graph->edges[graph->edge_count];
        for (uint32_t k = 0; k < input->gather_count; k++) {
            uint32_t offset = input->is_gather ? stage->gather_offsets[i][k] : 0;
            graph->edges[graph->edge_count++] = (struct task_edge){base + offset, input->output};
        }
    }
    task->edge_count = graph->edge_count - task->first_edge;
}

/* ---- tasks ---- */

static enum status write_spec(struct expander *e, const struct spec *spec, struct task_node *task)
{
    size_t need = task_spec_write(spec, e->chunk, e->chunk_left);
    if (need > SPEC_BYTES_MAX) {
        diagnostics_error(e->p->d, spec->step->at,
                          "step \"%s\": a task's specification takes %zu "
                          "bytes; at most %d are possible, so gather less",
                          spec->step->name, need, SPEC_BYTES_MAX);
        return E_LIMIT;
    }
    if (need > e->chunk_left) {
        e->chunk_bytes = e->chunk_bytes ? 2 * e->chunk_bytes : CHUNK_BYTES_MIN;
        if (e->chunk_bytes > CHUNK_BYTES_MAX)
            e->chunk_bytes = CHUNK_BYTES_MAX;
        e->chunk_left = need > e->chunk_bytes ? need : e->chunk_bytes;
        e->chunk = arena_alloc(&e->graph->arena, e->chunk_left);
        need = task_spec_write(spec, e->chunk, e->chunk_left);
    }
    task->spec = e->chunk;
    task->spec_bytes = (uint32_t)need;
    e->chunk += need;
    e->chunk_left -= need;
    e->spec_bytes += need;
    if (e->spec_bytes <= SPECS_BYTES_MAX)
        return OK;
    diagnostics_error(e->p->d, spec->step->at,
                      "step \"%s\": the specifications of all tasks pass %d "
                      "bytes, the most that a run may have",
                      spec->step->name, SPECS_BYTES_MAX);
    return E_LIMIT;
}

static enum status expand_tasks(struct expander *e, struct stage *stage, struct graph_step *out)
{
    struct graph *graph = e->graph;
    uint32_t first_policy = graph->policy_count, policy = 0;
    const struct kind_info *kind = NULL;
    for (uint32_t i = 0; i < out->task_count; i++) {
        const struct params *params;
        if (get_params(e, stage, &params) !=
            OK) { /* reported; the others may be wrong in other ways */
            stage->cache.last_key = UINT64_MAX;
            if (diagnostics_is_full(e->p->d))
                return E_INVALID;
        } else {
            struct task_node *task = &graph->tasks[out->first_task + i];
            add_edges(e, stage, task);
            struct spec spec = {stage->step, params, stage->inputs, e->p, graph->tasks};
            TRY(write_spec(e, &spec, task));
            hash_bytes(PERSON_TASK, task->spec, task->spec_bytes, &task->id);
            if (params->kind != kind)
                policy = get_policy(graph, stage->step, first_policy, params->kind->offer);
            out->variant = i ? out->variant : params->kind->variant;
            kind = params->kind;
            task->policy = policy;
            task->step = (uint32_t)(out - graph->steps);
        }
        params_next(stage->step, UINT32_MAX, stage->choice);
    }
    return e->p->d->error_count ? E_INVALID : OK;
}

static void describe_axes(struct graph *graph, const struct step *step, struct graph_step *out)
{
    uint32_t count = step->axis_count;
    const char **names = arena_alloc(&graph->arena, count * sizeof *names);
    uint32_t *sizes = arena_alloc(&graph->arena, count * sizeof *sizes);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = step->axes[i]->name;
        sizes[i] = step->axes[i]->count;
    }
    out->axis_count = count;
    out->axis_names = names;
    out->axis_sizes = sizes;
    out->axes = step->axes;
}

static enum status expand_step(struct expander *e, uint32_t index)
{
    struct graph *graph = e->graph;
    const struct step *step = &e->p->steps[index];
    struct graph_step *out = &graph->steps[graph->step_count++];
    *out = (struct graph_step){.name = step->name,
                               .kind = step->kind,
                               .variant = "",
                               .first_task = graph->task_count,
                               .task_count = (uint32_t)step->task_count,
                               .output_count = step->output_count,
                               .outputs = step->outputs};
    describe_axes(graph, step, out);
    e->first_task[index] = graph->task_count;
    graph->task_count += out->task_count;
    AUTO(arena_fini) struct arena arena = {0};
    struct stage stage = {.step = step};
    open_inputs(e, &stage, &arena);
    cache_init(&stage.cache, step);
    enum status status = expand_tasks(e, &stage, out);
    cache_fini(&stage.cache);
    return status;
}

static bool check_sources(const struct pipeline *p)
{
    for (uint32_t i = 0; i < p->source_count; i++)
        if (p->sources[i].is_used && !p->sources[i].is_resolved)
            diagnostics_error(p->d, p->sources[i].at, "the source \"%s\" was not read",
                              p->sources[i].name);
    return !p->d->error_count;
}

static enum status allocate(struct expander *e, struct diagnostics *d)
{
    const struct pipeline *p = e->p;
    struct graph *graph = e->graph;
    uint64_t task_count = 0;
    for (uint32_t i = 0; i < p->step_count; i++)
        task_count += p->steps[i].task_count;
    struct err err = {0};
    void *tasks = NULL, *edges = NULL;
    if (mem_try(task_count, sizeof *graph->tasks, "tasks", &tasks, &err) != OK ||
        mem_try(p->edge_count, sizeof *graph->edges, "inputs of tasks", &edges, &err) != OK) {
        diagnostics_failure(d, err.text);
        mem_free(tasks);
        return E_NOMEM;
    }
    graph->tasks = tasks;
    graph->edges = edges;
    graph->steps = arena_alloc(&graph->arena, p->step_count * sizeof *graph->steps);
    return OK;
}

static enum status expand(struct expander *e)
{
    if (!check_sources(e->p))
        return E_INVALID;
    TRY(allocate(e, e->p->d));
    for (uint32_t i = 0; i < e->p->step_count; i++) {
        enum status status = expand_step(e, e->p->order[i]);
        if (status == E_LIMIT || diagnostics_is_full(e->p->d))
            return E_INVALID;
    }
    return diagnostics_end(e->p->d);
}

enum status graph_expand(const struct pipeline *pipeline, struct diagnostics *d, struct graph **out)
{
    *out = NULL;
    d->error_count = 0; /* those of the parse were the caller's to see */
    AUTO(graph_free) struct graph *graph = mem_alloc(sizeof *graph);
    /* A view with its own diagnostics and memory: the pipeline itself stays as it is. */
    struct pipeline view = *pipeline;
    view.d = d;
    view.arena = (struct arena){0};
    struct expander e = {.p = &view, .graph = graph};
    e.first_task = arena_alloc(&view.arena, view.step_count * sizeof *e.first_task);
    enum status status = expand(&e);
    arena_fini(&view.arena);
    TRY(status);
    *out = TAKE(graph);
    return OK;
}

void graph_forget_tasks(struct graph *graph)
{
    mem_free(TAKE(graph->tasks));
    mem_free(TAKE(graph->edges));
}

void graph_free(struct graph *graph)
{
    mem_free(graph->tasks);
    mem_free(graph->edges);
    arena_fini(&graph->arena);
    mem_free(graph);
}
