/* Inputs and outputs of heavy jobs: what is fetched into the cache, the folders of a job, what is
 * published. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "worker/runtime/secrets.h"
#include "worker/runtime/work_state.h"

enum {
    /* Inputs of one job that are fetched at once, on the loop's time. */
    SMALL_MOVES_MAX = 16
};

static void ended(struct works *works, uint32_t job, bool is_publication)
{
    const struct work_heavy *heavy = works_get(works, job)->heavy;
    const struct work_ended entry = {
        .job = job, .is_publication = is_publication, .code = heavy->code, .text = heavy->err.text};
    buf_put(&works->ended, &entry, sizeof entry);
}

/* ---- inputs ---- */

static uint32_t count_refs(const struct task_spec *spec)
{
    uint32_t count = 0;
    struct task_input input;
    for (size_t at = 0; task_spec_next_input(spec, &at, &input);)
        count += input.ref_count;
    return count;
}

/* One input: its references become artifacts, those of tasks by what TASKS brought. */
static void resolve_input(struct work_heavy *heavy, const struct task_input *input,
                          struct mp_reader *given, struct kind_input *out)
{
    struct arena *arena = &heavy->arena;
    out->name = arena_text(arena, input->name, input->name_bytes);
    out->path = input->path ? arena_text(arena, input->path, input->path_bytes) : NULL;
    out->is_gather = input->is_gather;
    out->artifacts = &heavy->artifacts[heavy->artifact_count];
    struct task_ref ref;
    for (size_t at = 0; task_input_next_ref(input, &at, &ref); out->count++) {
        struct artifact *artifact = &heavy->artifacts[heavy->artifact_count++];
        *artifact = ref.artifact;
        if (!ref.is_task)
            continue;
        mp_read_artifact(given, artifact);
        heavy->resolved[heavy->resolved_count++] = *artifact;
    }
}

static enum status resolve(const struct work *work, struct err *err)
{
    struct work_heavy *heavy = work->heavy;
    TRY(task_spec_parse(work->task.spec, work->task.spec_bytes, &heavy->spec, err));
    struct arena *arena = &heavy->arena;
    size_t refs = count_refs(&heavy->spec);
    heavy->inputs = arena_alloc(arena, (heavy->spec.input_count + 1) * sizeof *heavy->inputs);
    heavy->artifacts = arena_alloc(arena, (refs + 1) * sizeof *heavy->artifacts);
    heavy->resolved = arena_alloc(arena, (refs + 1) * sizeof *heavy->resolved);
    heavy->is_pinned = arena_alloc(arena, refs + 1);
    const struct kind *kind = kind_find(heavy->spec.kind, heavy->spec.kind_bytes);
    struct mp_reader given = mp_reader(work->task.inputs, work->task.inputs_bytes);
    bool fits = mp_read_array(&given) == work->task.input_count;
    struct task_input input;
    for (size_t at = 0; task_spec_next_input(&heavy->spec, &at, &input);)
        resolve_input(heavy, &input, &given, &heavy->inputs[heavy->input_count++]);
    if (!fits || heavy->resolved_count != work->task.input_count)
        return err_set(err, E_PROTOCOL, "TASKS: %u resolved inputs for %u references",
                       work->task.input_count, heavy->resolved_count);
    if (kind && kind->is_light) /* with limits: nobody reads its inputs all the same */
        heavy->input_count = heavy->artifact_count = 0;
    return mp_reader_finish(&given, "TASKS: inputs", err);
}

static void fill_paths(struct works *works, struct work_heavy *heavy)
{
    size_t next = 0;
    for (uint32_t i = 0; i < heavy->input_count; i++) {
        struct kind_input *input = &heavy->inputs[i];
        const char **files = arena_alloc(&heavy->arena, ((size_t)input->count + 1) * sizeof *files);
        for (uint32_t k = 0; k < input->count; k++) {
            char path[CACHE_PATH_BYTES];
            cache_path(works->options.cache, &heavy->artifacts[next++].id, path);
            files[k] = arena_text(&heavy->arena, path, strlen(path));
        }
        input->files = files;
    }
}

static struct arrival *arrival_of(struct works *works, const struct artifact *artifact)
{
    uint32_t index = id_map_get(&works->arrival_map, &artifact->id);
    if (index != ID_MAP_NONE)
        return works->arrivals[index];
    if (works->arrival_count == works->arrival_capacity) {
        works->arrival_capacity = works->arrival_capacity ? 2 * works->arrival_capacity : 16;
        works->arrivals =
            mem_resize(works->arrivals, works->arrival_capacity * sizeof(struct arrival *));
    }
    struct arrival *arrival = mem_alloc(sizeof *arrival);
    arrival->waiters = buf_init(0);
    arrival->move.artifact = *artifact;
    cache_path(works->options.cache, &artifact->id, arrival->move.path);
    works->arrivals[works->arrival_count] = arrival;
    id_map_put(&works->arrival_map, &artifact->id, works->arrival_count++);
    return arrival;
}

/* Everything that was awaited is here or will never be. */
static void fetched(struct works *works, uint32_t job)
{
    struct work_heavy *heavy = works_get(works, job)->heavy;
    if (heavy->code == OK) {
        fill_paths(works, heavy);
        heavy->code = folders_take(works->folders, &heavy->folder, &heavy->err);
    }
    ended(works, job, false);
}

void works_fetch(struct works *works, uint32_t job)
{
    struct work *work = works_get(works, job);
    struct work_heavy *heavy = work->heavy = mem_alloc(sizeof *heavy);
    heavy->lost = buf_init(0);
    heavy->code = resolve(work, &heavy->err);
    if (heavy->code == OK)
        heavy->code = secrets_of(works->options.secrets, &heavy->spec, &heavy->arena,
                                 &heavy->secrets, &heavy->secret_count, &heavy->err);
    for (uint32_t i = 0; heavy->code == OK && i < heavy->artifact_count; i++) {
        heavy->is_pinned[i] = cache_pin(works->options.cache, &heavy->artifacts[i].id);
        if (heavy->is_pinned[i])
            continue;
        struct arrival *arrival = arrival_of(works, &heavy->artifacts[i]);
        const struct waiter waiter = {job, i};
        bool is_new = !arrival->waiters.count;
        buf_put(&arrival->waiters, &waiter, sizeof waiter);
        heavy->awaited++;
        /* Unknown when 0; a folder may have any number of files, a gather any number of members:
         * all of these may take long. */
        bool is_small = heavy->artifacts[i].bytes && !heavy->artifacts[i].is_tree &&
                        heavy->awaited <= SMALL_MOVES_MAX;
        if (is_new)
            mover_submit(works->options.mover, &arrival->move,
                         is_small ? heavy->artifacts[i].bytes : UINT64_MAX);
    }
    if (!heavy->awaited)
        fetched(works, job);
}

static void note_failure(struct work_heavy *heavy, const struct move *move)
{
    if (move->status == E_LOST)
        buf_put(&heavy->lost, &move->artifact.id, sizeof move->artifact.id);
    if (heavy->code != OK)
        return;
    heavy->code = move->status;
    heavy->err = move->err;
}

static void arrived(struct works *works, struct move *move)
{
    uint32_t index = id_map_get(&works->arrival_map, &move->artifact.id);
    ASSERT(index != ID_MAP_NONE);
    struct arrival *arrival = works->arrivals[index];
    id_map_remove(&works->arrival_map, &move->artifact.id);
    works->arrival_count--;
    if (index != works->arrival_count) { /* the last one takes its place */
        struct arrival *last = works->arrivals[works->arrival_count];
        id_map_remove(&works->arrival_map, &last->move.artifact.id);
        works->arrivals[index] = last;
        id_map_put(&works->arrival_map, &last->move.artifact.id, index);
    }
    const struct waiter *waiters = (const struct waiter *)(const void *)arrival->waiters.bytes;
    if (move->status == OK) /* pinned once for each who waits */
        for (size_t i = 0; i < arrival->waiters.count / sizeof *waiters; i++)
            cache_add(works->options.cache, &move->artifact);
    for (size_t i = 0; i < arrival->waiters.count / sizeof *waiters; i++) {
        struct work_heavy *heavy = works_get(works, waiters[i].job)->heavy;
        heavy->is_pinned[waiters[i].artifact] = move->status == OK;
        if (move->status != OK)
            note_failure(heavy, move);
        if (!--heavy->awaited)
            fetched(works, waiters[i].job);
    }
    buf_fini(&arrival->waiters);
    mem_free(arrival);
}

void works_slot_job(struct works *works, uint32_t job, struct slot_job *out)
{
    const struct work *work = works_get(works, job);
    struct work_heavy *heavy = work->heavy;
    *out = (struct slot_job){.is_light = !heavy,
                             .attempt = work->task.attempt.number,
                             .spec = work->task.spec,
                             .spec_bytes = work->task.spec_bytes};
    if (!heavy)
        return;
    out->timeout_ms = work->task.timeout_ms;
    out->memory_bytes = work->task.memory_bytes;
    heavy->is_begun = true;
    out->work_dir = heavy->folder->work_dir;
    out->output_dir = heavy->folder->output_dir;
    out->log_path = heavy->folder->log_path;
    out->inputs = heavy->inputs;
    out->input_count = heavy->input_count;
    out->secrets = heavy->secrets;
    out->secret_count = heavy->secret_count;
}

const char *works_log_path(struct works *works, uint32_t job)
{
    const struct work_heavy *heavy = works_get(works, job)->heavy;
    return heavy && heavy->is_begun && heavy->folder ? heavy->folder->log_path : NULL;
}

/* ---- outputs ---- */

void works_publish(struct works *works, uint32_t job, enum status code, const char *text)
{
    struct work_heavy *heavy = works_get(works, job)->heavy;
    struct publication *publication = &heavy->move.publication;
    heavy->code = code;
    heavy->is_quiet = code == OK; /* of others, who knows what a killed slot left */
    if (code != OK)
        err_set(&heavy->err, code, "%s", text);
    publication->output_dir = heavy->folder->output_dir;
    if (folders_has_log(works->folders, heavy->folder))
        publication->log_path = heavy->folder->log_path;
    if (code == OK && heavy->spec.output_count) {
        const char **names = arena_alloc(&heavy->arena, heavy->spec.output_count * sizeof *names);
        const char *name;
        uint32_t bytes;
        for (size_t at = 0; task_spec_next_output(&heavy->spec, &at, &name, &bytes);)
            names[publication->name_count++] = arena_text(&heavy->arena, name, bytes);
        publication->names = names;
    }
    heavy->move.job = job;
    heavy->move.is_publication = true;
    uint64_t bytes = publish_size(publication, MOVE_SMALL_BYTES + 1);
    mover_submit(works->options.mover, &heavy->move, bytes);
}

/* What the next task here reads is on this machine already. */
static void keep_outputs(struct works *works, const struct publication *publication)
{
    for (uint32_t i = 0; i < publication->output_count; i++) {
        char path[CACHE_PATH_BYTES];
        const struct record_output *output = &publication->outputs[i];
        int bytes = snprintf(path, sizeof path, "%s/%s", publication->output_dir, output->name);
        if (bytes > 0 && (size_t)bytes < sizeof path &&
            id_map_get(&works->arrival_map, &output->artifact.id) == ID_MAP_NONE)
            cache_adopt(works->options.cache, &output->artifact, path, &publication->seals[i]);
    }
}

/* The failure that a job already had stays its failure, whatever became of its log. */
static void published(struct works *works, const struct move *move)
{
    struct work_heavy *heavy = works_get(works, move->job)->heavy;
    if (heavy->code == OK && move->status != OK) {
        heavy->code = move->status;
        heavy->err = move->err;
    }
    if (move->status == OK)
        keep_outputs(works, &move->publication);
    ended(works, move->job, true);
}

void works_forget_heavy(struct works *works, struct work *work)
{
    struct work_heavy *heavy = work->heavy;
    for (uint32_t i = 0; i < heavy->artifact_count; i++)
        if (heavy->is_pinned[i])
            cache_unpin(works->options.cache, &heavy->artifacts[i].id);
    if (heavy->folder)
        folders_give_back(works->folders, heavy->folder, !heavy->is_begun || heavy->is_quiet);
    secrets_forget(heavy->secrets, heavy->secret_count);
    buf_fini(&heavy->lost);
    arena_fini(&heavy->move.publication.arena);
    arena_fini(&heavy->arena);
    mem_free(heavy);
    work->heavy = NULL;
}

void works_tidy(struct works *works)
{
    folders_tidy(works->folders);
}

void works_take_moves(struct works *works)
{
    for (struct move *move; (move = mover_take(works->options.mover));) {
        if (move->is_publication)
            published(works, move);
        else
            arrived(works, move);
    }
}
