/* Finding a submission's tasks, by name and in the state. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/submission.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "proto/schema.h"

enum { STEPS_NAMED = 8 };

uint32_t submission_step(const struct submission *s, const char *name)
{
    for (uint32_t i = 0; i < s->graph->step_count; i++)
        if (strcmp(s->graph->steps[i].name, name) == 0)
            return i;
    return UINT32_MAX;
}

static const char *suggest_step(const struct submission *s, const char *word, struct arena *arena)
{
    const char **names = arena_alloc(arena, (s->graph->step_count + 1) * sizeof *names);
    for (uint32_t i = 0; i < s->graph->step_count; i++)
        names[i] = s->graph->steps[i].name;
    return schema_suggest(word, names);
}

/* "; did you mean "train"?", or the steps there are. */
static const char *step_hint(const struct submission *s, const char *word, struct arena *arena)
{
    const char *near = suggest_step(s, word, arena);
    if (near && strcmp(near, word) != 0)
        return arena_format(arena, "did you mean \"%s\"?", near);
    AUTO(buf_fini) struct buf steps = buf_init(0);
    for (uint32_t i = 0; i < s->graph->step_count && i < STEPS_NAMED; i++)
        buf_format(&steps, "%s%s", i ? ", " : "", s->graph->steps[i].name);
    return arena_format(arena, "its steps: %s%s", buf_text(&steps),
                        s->graph->step_count > STEPS_NAMED ? ", …" : "");
}

enum status submission_no_step(const struct submission *s, const char *name, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    return err_set(err, E_INVALID, "%s: there is no step \"%s\"; %s", s->file, name,
                   step_hint(s, name, &arena));
}

static enum status no_task(const struct submission *s, const char *name, size_t bytes,
                           struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    size_t step_bytes = strcspn(name, "[");
    const char *word = arena_text(&arena, name, step_bytes < bytes ? step_bytes : bytes);
    uint32_t step = submission_step(s, word);
    if (step == UINT32_MAX)
        return err_set(err, E_NOTFOUND, "no task \"%.*s\" in the pipeline %s; %s", (int)bytes, name,
                       pipeline_name(s->pipeline), step_hint(s, word, &arena));
    AUTO(buf_fini) struct buf example = buf_init(0);
    graph_task_name(s->graph, s->graph->steps[step].first_task, &example);
    return err_set(err, E_NOTFOUND, "no task \"%.*s\": the step \"%s\" has %u, as \"%s\"",
                   (int)bytes, name, word, s->graph->steps[step].task_count, buf_text(&example));
}

enum status submission_task(const struct submission *s, const char *name, size_t bytes,
                            uint32_t *out, struct err *err)
{
    const char *open = memchr(name, '[', bytes);
    size_t step_bytes = open ? (size_t)(open - name) : bytes;
    bool is_whole = !open || name[bytes - 1] == ']';
    for (uint32_t i = 0; i < s->graph->step_count && is_whole; i++) {
        const struct graph_step *step = &s->graph->steps[i];
        if (strlen(step->name) != step_bytes || memcmp(step->name, name, step_bytes) != 0)
            continue;
        uint32_t count = open ? graph_find_tasks(s->graph, i, open + 1, bytes - step_bytes - 2, out)
                              : graph_find_tasks(s->graph, i, "", 0, out);
        if (count == 1)
            return OK;
        if (count == 0)
            break;
        AUTO(buf_fini) struct buf example = buf_init(0);
        graph_task_name(s->graph, *out, &example);
        return err_set(err, E_INVALID, "\"%.*s\" names %u tasks; say which, as in \"%s\"",
                       (int)bytes, name, count, buf_text(&example));
    }
    return no_task(s, name, bytes, err);
}

/* ---- looking up ---- */

struct look_up {
    uint32_t first;
    const struct submission_finder *finder;
    struct err *err;
    enum status status;
};

static void found_one(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    struct look_up *look_up = context;
    struct record record;
    enum status status = record_parse(bytes, count, &record, look_up->err);
    if (status != OK)
        look_up->status = status;
    else
        look_up->finder->found(look_up->finder->context, look_up->first + index, &record);
}

enum status submission_look_up(const struct submission *s, struct state *state,
                               const struct submission_finder *finder, struct err *err)
{
    uint32_t total = s->graph->task_count, most = total < STATE_FIND_MAX ? total : STATE_FIND_MAX;
    AUTO(mem_free) struct id *ids = mem_alloc(most * sizeof *ids + 1);
    struct look_up look_up = {.finder = finder, .err = err};
    for (uint32_t first = 0; first < total; first += most) {
        uint32_t count = total - first < most ? total - first : most;
        for (uint32_t i = 0; i < count; i++)
            ids[i] = finder->id_of ? finder->id_of(finder->context, first + i)
                                   : s->graph->tasks[first + i].id;
        look_up.first = first;
        TRY(state_find_tasks(state, ids, count, found_one, &look_up, err));
        if (look_up.status != OK)
            return look_up.status;
    }
    return OK;
}

struct value submission_axes(const struct submission *s, uint32_t task, struct arena *arena)
{
    const struct graph_step *step = &s->graph->steps[graph_task_step(s->graph, task)];
    struct value axes = doc_map();
    for (uint32_t i = 0; i < step->axis_count; i++) {
        const struct value *value = graph_task_axis(s->graph, task, i);
        const struct value *name = value->type == VALUE_MAP ? value_get(value, "name") : value;
        doc_put(arena, &axes, step->axis_names[i], name ? *name : *value);
    }
    return axes;
}
