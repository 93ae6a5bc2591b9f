// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_batch.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/crypto/hash.h"

enum { ARTIFACT_BYTES_MAX = 48 };

void loop_batch_init(struct loop_batch *batch)
{
    *batch = (struct loop_batch){.last_handle = UINT64_MAX};
    struct buf *bufs[] = {&batch->frames,   &batch->keys,  &batch->records,  &batch->aliases,
                          &batch->removals, &batch->runs,  &batch->resolves, &batch->ahead,
                          &batch->scratch,  &batch->wanted};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        *bufs[i] = buf_init(0);
}

void loop_batch_fini(struct loop_batch *batch)
{
    arena_fini(&batch->arena);
    buf_fini(&batch->frames);
    buf_fini(&batch->keys);
    buf_fini(&batch->records);
    buf_fini(&batch->aliases);
    buf_fini(&batch->removals);
    buf_fini(&batch->runs);
    buf_fini(&batch->resolves);
    buf_fini(&batch->ahead);
    buf_fini(&batch->scratch);
    buf_fini(&batch->wanted);
}

bool loop_batch_is_empty(const struct loop_batch *batch)
{
    return !batch->records.count && !batch->aliases.count && !batch->removals.count &&
           !batch->runs.count && !loop_batch_is_removing(batch);
}

void loop_batch_clear(struct loop_batch *batch)
{
    arena_fini(&batch->arena);
    buf_clear(&batch->frames);
    buf_clear(&batch->keys);
    buf_clear(&batch->records);
    buf_clear(&batch->aliases);
    buf_clear(&batch->removals);
    buf_clear(&batch->runs);
    buf_clear(&batch->ahead);
    batch->last_handle = UINT64_MAX;
    batch->is_removing = false;
}

void loop_batch_take_runs(struct loop_batch *batch, struct loop_batch *from)
{
    struct buf runs = batch->runs;
    struct arena arena = batch->arena;
    ASSERT(!runs.count);
    batch->runs = from->runs;
    batch->arena = from->arena;
    from->runs = runs;
    from->arena = arena;
}

#define COUNT_OF(buf, type) (uint32_t)((buf)->count / sizeof(type))
#define ITEMS_OF(buf, type) (const type *)(const void *)(buf)->bytes

void loop_batch_view(const struct loop_batch *batch, struct state_batch *out)
{
    uint32_t ahead_count = COUNT_OF(&batch->ahead, struct id);
    *out = (struct state_batch){.frames = ITEMS_OF(&batch->frames, struct mp_view),
                                .frame_count = COUNT_OF(&batch->frames, struct mp_view),
                                .frame_keys = batch->keys.bytes,
                                .records = ITEMS_OF(&batch->records, struct state_record),
                                .record_count = COUNT_OF(&batch->records, struct state_record),
                                .aliases = ITEMS_OF(&batch->aliases, struct state_alias),
                                .alias_count = COUNT_OF(&batch->aliases, struct state_alias),
                                .removals = ITEMS_OF(&batch->removals, struct id),
                                .removal_count = COUNT_OF(&batch->removals, struct id),
                                .runs = ITEMS_OF(&batch->runs, struct state_run),
                                .run_count = COUNT_OF(&batch->runs, struct state_run),
                                .ahead = ITEMS_OF(&batch->ahead, struct id),
                                .ahead_count = ahead_count <= STATE_AHEAD_MAX ? ahead_count : 0};
}

/* A frame's results come one after the other, so the last frame added is nearly always the one. */
static uint32_t frame_index(struct loop_batch *batch, const struct router_frame *frame,
                            uint64_t handle)
{
    if (batch->last_handle != handle) {
        struct mp_view view = {frame->bytes, frame->count};
        buf_put(&batch->frames, &view, sizeof view);
        buf_put(&batch->keys, frame->public_key, PUBLIC_KEY_BYTES);
        batch->last_handle = handle;
    }
    return COUNT_OF(&batch->frames, struct mp_view) - 1;
}

void loop_batch_record(struct loop_batch *batch, const struct router_frame *frame, uint64_t handle,
                       const struct router_record *record, const struct id *task,
                       const struct id *action, bool replaces)
{
    struct state_record entry = {.task = *task,
                                 .frame = frame_index(batch, frame, handle),
                                 .offset = (uint32_t)(record->bytes - frame->bytes),
                                 .bytes = (uint32_t)record->count};
    ASSERT(record->bytes >= frame->bytes && entry.offset + record->count <= frame->count);
    if (action) {
        entry.has_action = true;
        entry.action = *action;
    }
    if (replaces)
        loop_batch_removal(batch, task);
    buf_put(&batch->records, &entry, sizeof entry);
}

void loop_batch_alias(struct loop_batch *batch, const struct id *task, const struct id *action)
{
    struct state_alias alias = {*task, *action};
    buf_put(&batch->aliases, &alias, sizeof alias);
}

void loop_batch_removal(struct loop_batch *batch, const struct id *task)
{
    buf_put(&batch->removals, task, sizeof *task);
}

void loop_batch_run(struct loop_batch *batch, const char *id, const uint8_t *document, size_t bytes)
{
    struct state_run run = {
        .id = arena_text(&batch->arena, id, strlen(id)),
        .document = (const uint8_t *)arena_text(&batch->arena, (const char *)document, bytes),
        .document_bytes = bytes};
    buf_put(&batch->runs, &run, sizeof run);
}

void loop_batch_want_removals(struct loop_batch *batch, const struct id *tasks, uint32_t count,
                              bool even_known)
{
    ASSERT(!loop_batch_is_removing(batch));
    batch->is_wanting = true;
    batch->even_known = even_known;
    buf_put(&batch->wanted, tasks, count * sizeof *tasks);
}

/* An alias is made of the record that its action has: no removal may come before it. */
bool loop_batch_join_removals(struct loop_batch *batch, const struct sched *sched)
{
    const struct id *tasks = ITEMS_OF(&batch->wanted, struct id);
    if (!batch->is_wanting || batch->aliases.count)
        return false;
    for (uint32_t i = 0; i < COUNT_OF(&batch->wanted, struct id); i++)
        if (batch->even_known || sched_task_find(sched, &tasks[i]) == UINT32_MAX)
            loop_batch_removal(batch, &tasks[i]);
    buf_clear(&batch->wanted);
    batch->is_wanting = false;
    batch->is_removing = true;
    return true;
}

bool loop_batch_is_removing(const struct loop_batch *batch)
{
    return batch->is_wanting || batch->is_removing;
}

struct id loop_batch_action(struct loop_batch *batch, const uint8_t *spec, size_t spec_bytes,
                            const struct artifact *inputs, uint32_t input_count)
{
    struct task_spec parsed;
    struct id action;
    ASSERT(task_spec_parse(spec, spec_bytes, &parsed, NULL) == OK); /* we made it */
    buf_clear(&batch->scratch);
    size_t need = task_spec_action(&parsed, inputs, input_count, NULL, 0);
    uint8_t *room = buf_reserve(&batch->scratch, need);
    ASSERT(need && task_spec_action(&parsed, inputs, input_count, room, need) == need);
    hash_bytes(PERSON_ACTION, room, need, &action);
    return action;
}

void loop_batch_resolve(struct loop_batch *batch, uint32_t task, struct id action)
{
    struct resolve resolve = {task, action};
    buf_put(&batch->resolves, &resolve, sizeof resolve);
}

void loop_batch_look_ahead(struct loop_batch *batch, const struct sched_work *work,
                           const struct artifact *inputs, uint32_t input_count)
{
    if (COUNT_OF(&batch->ahead, struct id) > STATE_AHEAD_MAX)
        return;
    struct id action = loop_batch_action(batch, work->spec, work->spec_bytes, inputs, input_count);
    buf_put(&batch->ahead, &action, sizeof action);
}

void loop_batch_ask_again(struct loop_batch *batch, const struct resolve *items, uint32_t count,
                          const bool *is_found, uint32_t asked)
{
    AUTO(buf_fini) struct buf since = batch->resolves;
    batch->resolves = buf_init(0);
    for (uint32_t i = 0; i < count; i++)
        if (i >= asked || !is_found[i])
            buf_put(&batch->resolves, &items[i], sizeof *items);
    buf_put(&batch->resolves, since.bytes, since.count);
}

struct task_msg loop_batch_task(struct loop_batch *batch, const struct sched_action *action,
                                const struct sched_work *work)
{
    const struct task_policy *policy = work->policy;
    size_t most = 8 + (size_t)action->input_count * ARTIFACT_BYTES_MAX + RESOURCES_BYTES_MAX;
    buf_clear(&batch->scratch);
    struct mp_writer writer = mp_writer(buf_reserve(&batch->scratch, most), most);
    mp_write_array(&writer, action->input_count);
    for (uint32_t i = 0; i < action->input_count; i++)
        mp_write_artifact(&writer, &action->inputs[i]);
    size_t inputs_bytes = writer.need;
    if (policy->resource_count)
        mp_write_resources(&writer, policy->resources, policy->resource_count);
    ASSERT(!mp_writer_is_full(&writer));
    return (struct task_msg){.attempt = {*work->id, action->attempt},
                             .spec = work->spec,
                             .spec_bytes = work->spec_bytes,
                             .inputs = writer.out,
                             .inputs_bytes = inputs_bytes,
                             .input_count = action->input_count,
                             .priority = policy->priority,
                             .timeout_ms = policy->timeout_ms,
                             .memory_bytes = policy->memory_bytes,
                             .cpu_hundredths = policy->cpu_hundredths,
                             .resources = {writer.out + inputs_bytes, writer.need - inputs_bytes}};
}

bool loop_batch_read_outputs(const uint8_t *record, size_t bytes,
                             struct artifact outputs[OUTPUTS_MAX], uint32_t *count)
{
    struct record parsed;
    struct record_output output;
    *count = 0;
    if (record_parse(record, bytes, &parsed, NULL) != OK)
        return false;
    for (size_t cursor = 0; record_next_output(&parsed, &cursor, &output);)
        outputs[(*count)++] = output.artifact;
    return true;
}
