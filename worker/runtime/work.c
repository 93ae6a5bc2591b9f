// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/work.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "worker/kinds/kind.h"
#include "worker/runtime/work_state.h"

/* A TASKS frame that jobs point into. */
struct work_frame {
    size_t jobs;
    uint8_t bytes[];
};

static const struct id *arrival_id_at(const void *context, uint32_t index)
{
    return &((const struct works *)context)->arrivals[index]->move.artifact.id;
}

struct works *works_new(const struct works_options *options)
{
    struct works *works = mem_alloc(sizeof *works);
    works->options = *options;
    works->items = mem_alloc(AGENT_JOBS_MAX * sizeof *works->items);
    works->first_free = AGENT_NONE;
    works->arrival_map = id_map_init(arrival_id_at, works);
    works->ended = buf_init(0);
    works->scratch = buf_init(0);
    works->resolved = buf_init(0);
    works->folders = folders_new(cache_work_folder(options->cache));
    return works;
}

void works_free(struct works *works)
{
    for (uint32_t i = 0; i < works->used; i++)
        if (works->items[i].frame)
            works_release(works, i);
    for (uint32_t i = 0; i < works->arrival_count; i++) {
        buf_fini(&works->arrivals[i]->waiters);
        mem_free(works->arrivals[i]);
    }
    mem_free(works->arrivals);
    id_map_fini(&works->arrival_map);
    buf_fini(&works->ended);
    buf_fini(&works->scratch);
    buf_fini(&works->resolved);
    folders_free(works->folders);
    mem_free(works->items);
    mem_free(works);
}

static uint32_t count_task_refs(const struct task_spec *spec)
{
    uint32_t count = 0;
    struct task_ref_cursor cursor = {0};
    struct task_ref ref;
    while (task_spec_next_ref(spec, &cursor, &ref))
        count += ref.is_task;
    return count;
}

/* Does its kind touch no files, has it no limits to be watched, and takes it no more than its
 * slot's core? A malformed spec, or inputs that are not those of the spec, are found out when it is
 * fetched for. */
static void look_at(struct work *work)
{
    struct task_spec spec;
    struct mp_reader counts;
    const struct task_msg *task = &work->task;
    if (task->timeout_ms || task->memory_bytes || task->cpu_hundredths > CPU_HUNDREDTHS_DEFAULT ||
        msg_resources_begin(&counts, &task->resources) ||
        task_spec_parse(task->spec, task->spec_bytes, &spec, NULL) != OK ||
        count_task_refs(&spec) != task->input_count)
        return;
    const struct kind *kind = kind_find(spec.kind, spec.kind_bytes);
    work->is_light = kind && kind->is_light;
    work->has_outputs = work->is_light && spec.output_count;
}

static uint32_t new_number(struct works *works)
{
    uint32_t job = works->first_free;
    if (job != AGENT_NONE)
        works->first_free = works->items[job].next_free;
    else if (works->used < AGENT_JOBS_MAX)
        job = works->used++;
    return job;
}

static void free_number(struct works *works, uint32_t job)
{
    works->items[job] = (struct work){.next_free = works->first_free};
    works->first_free = job;
}

enum status works_take(struct works *works, const uint8_t *frame, size_t bytes, struct buf *jobs,
                       struct err *err)
{
    struct work_frame *kept = mem_resize(NULL, sizeof *kept + bytes);
    memcpy(kept->bytes, frame, bytes);
    struct mp_reader reader = mp_reader(kept->bytes, bytes);
    uint32_t count = msg_batch_begin(&reader, MSG_TASKS);
    size_t before = jobs->count;
    enum status status = OK;
    for (kept->jobs = 0; kept->jobs < count && !reader.is_bad; kept->jobs++) {
        uint32_t job = new_number(works);
        if (job == AGENT_NONE) {
            status = err_set(err, E_LIMIT, "TASKS: more than %d jobs at once", AGENT_JOBS_MAX);
            break;
        }
        struct work *work = &works->items[job];
        *work = (struct work){.frame = kept};
        buf_put(jobs, &job, sizeof job);
        msg_next_task(&reader, &work->task);
        if (!reader.is_bad)
            look_at(work);
    }
    if (status == OK)
        status = mp_reader_finish(&reader, "TASKS", err);
    if (status == OK && count)
        return OK;
    for (size_t at = before; at < jobs->count; at += sizeof(uint32_t)) {
        uint32_t job;
        memcpy(&job, jobs->bytes + at, sizeof job);
        free_number(works, job);
    }
    jobs->count = before;
    mem_free(kept);
    return status;
}

struct work *works_get(struct works *works, uint32_t job)
{
    ASSERT(job < works->used && works->items[job].frame);
    return &works->items[job];
}

void works_release(struct works *works, uint32_t job)
{
    struct work *work = works_get(works, job);
    if (work->heavy)
        works_forget_heavy(works, work);
    if (!--work->frame->jobs)
        mem_free(work->frame);
    free_number(works, job);
}

/* The artifacts that TASKS brought for the task refs of a light job, which was checked when it was
 * taken in. */
static const struct artifact *resolve_light(struct works *works, const struct task_msg *task)
{
    struct artifact artifact;
    struct mp_reader given = mp_reader(task->inputs, task->inputs_bytes);
    buf_clear(&works->resolved);
    for (uint32_t i = mp_read_array(&given); i > 0; i--) {
        mp_read_artifact(&given, &artifact);
        buf_put(&works->resolved, &artifact, sizeof artifact);
    }
    return (const struct artifact *)(const void *)works->resolved.bytes;
}

/* The action of the job's spec, in the scratch buffer; its size in `*bytes`. */
static const uint8_t *action_of(struct works *works, const struct work *work, size_t *bytes)
{
    const struct task_msg *task = &work->task;
    struct task_spec spec;
    *bytes = task->spec_bytes;
    if (!task->input_count || task_spec_parse(task->spec, task->spec_bytes, &spec, NULL) != OK)
        return task->spec;
    const struct artifact *resolved =
        work->heavy ? work->heavy->resolved : resolve_light(works, task);
    size_t need = task_spec_action(&spec, resolved, task->input_count, NULL, 0);
    uint8_t *at = buf_reserve(&works->scratch, need);
    *bytes = task_spec_action(&spec, resolved, task->input_count, at, need);
    works->scratch.count += need;
    return at;
}

/* The outputs of a light job: each the empty blob, which is put there before the first record says
 * so. A second attempt may be there because it got lost: then once more. */
static enum status list_empty(struct works *works, const struct work *work,
                              struct record_output out[OUTPUTS_MAX], uint32_t *count,
                              struct err *err)
{
    struct task_spec spec;
    TRY(task_spec_parse(work->task.spec, work->task.spec_bytes, &spec, err));
    if (!works->has_empty || work->task.attempt.number > 1)
        TRY(store_put(mover_store(works->options.mover), "", 0, &works->empty.id, err));
    works->has_empty = true;
    struct record_output *at = out;
    for (size_t next = 0; task_spec_next_output(&spec, &next, &at->name, &at->name_bytes); at++)
        at->artifact = works->empty;
    *count = (uint32_t)(at - out);
    return OK;
}

static enum status write_record(struct works *works, const struct work *work,
                                struct result_msg *out, struct err *err)
{
    struct record record = {.attempt = work->task.attempt.number,
                            .begun_us = work->begun_us,
                            .took_us = work->took_us,
                            .worker = works->options.worker_name,
                            .worker_bytes = (uint32_t)strlen(works->options.worker_name)};
    struct record_output empty[OUTPUTS_MAX + 1]; /* one more, which the iterator may touch */
    const struct record_output *outputs = empty;
    if (work->has_outputs)
        TRY(list_empty(works, work, empty, &record.output_count, err));
    if (work->heavy) {
        const struct publication *published = &work->heavy->move.publication;
        record.has_log = published->has_log;
        record.log = published->log;
        record.output_count = published->output_count;
        record.values = published->values;
        record.values_bytes = published->values_bytes;
        outputs = published->outputs;
    }
    buf_clear(&works->scratch);
    /* The action goes first into the scratch buffer, the record behind it: room for both, so that
     * neither moves. */
    size_t room = 2 * (work->task.spec_bytes + work->task.inputs_bytes) + record.values_bytes +
                  (size_t)record.output_count * 256 + 1024;
    (void)!buf_reserve(&works->scratch, room);
    record.action = action_of(works, work, &record.action_bytes);
    size_t left = works->scratch.capacity - works->scratch.count;
    out->record = works->scratch.bytes + works->scratch.count;
    out->record_bytes =
        record_encode(&record, outputs, works->scratch.bytes + works->scratch.count, left);
    if (out->record_bytes > RECORD_BYTES_MAX)
        return err_set(err, E_LIMIT, "the record would have %zu bytes, over %d", out->record_bytes,
                       RECORD_BYTES_MAX);
    ASSERT(out->record_bytes && out->record_bytes <= left);
    return OK;
}

/* What a program said may be cut or of another encoding; the wire wants UTF-8. */
static void put_plain_text(struct buf *out, const char *text)
{
    size_t bytes = strnlen(text, ERR_TEXT_BYTES - 1);
    bool is_plain = mp_is_utf8(text, (uint32_t)bytes);
    (void)!buf_reserve(out, bytes + 1);
    for (size_t i = 0; i < bytes; i++)
        buf_put_char(out, !is_plain && (unsigned char)text[i] >= 0x80 ? '?' : text[i]);
}

static void put_lost(struct buf *out, const struct work_heavy *heavy, uint32_t count)
{
    size_t room = (size_t)count * (ID_BYTES + 2);
    struct mp_writer writer = mp_writer(buf_reserve(out, room + 1), room);
    for (uint32_t i = 0; i < count; i++)
        mp_write_id(&writer, (const struct id *)(const void *)heavy->lost.bytes + i);
    out->count += writer.need;
}

enum status works_result(struct works *works, uint32_t job, enum status code, const char *text,
                         struct result_msg *out, struct err *err)
{
    const struct work *work = works_get(works, job);
    *out = (struct result_msg){.attempt = work->task.attempt, .code = code};
    if (code == OK)
        return write_record(works, work, out, err);
    buf_clear(&works->scratch);
    put_plain_text(&works->scratch, text);
    out->text_bytes = (uint32_t)works->scratch.count;
    if (work->heavy) {
        const struct publication *published = &work->heavy->move.publication;
        out->has_log = published->has_log;
        out->log = published->log;
        out->lost_count =
            code == E_LOST ? (uint32_t)(work->heavy->lost.count / sizeof(struct id)) : 0;
        put_lost(&works->scratch, work->heavy, out->lost_count);
    }
    out->text = (const char *)works->scratch.bytes;
    out->lost = works->scratch.bytes + out->text_bytes;
    out->lost_bytes = works->scratch.count - out->text_bytes;
    return OK;
}

bool works_next_ended(struct works *works, struct work_ended *out)
{
    if (works->ended_at == works->ended.count) {
        buf_clear(&works->ended);
        works->ended_at = 0;
        works_take_moves(works);
        if (!works->ended.count)
            return false;
    }
    memcpy(out, works->ended.bytes + works->ended_at, sizeof *out);
    works->ended_at += sizeof *out;
    return true;
}
