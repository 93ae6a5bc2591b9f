// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/care/house.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/app/submission.h"
#include "broker/care/reach.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/store/tree.h"
#include "proto/codec.h"
#include "proto/record.h"

struct err house_err;

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != OK)                                                                          \
            fail_msg("%s", house_err.text);                                                        \
    } while (0)

static const char pipeline_text[] =
    "version: 1\nname: %s\n"
    "sources: {s: s%u.txt}\n"
    "steps:\n"
    "  make: {kind: exec, matrix: {i: {range: [0, %u, 1]}}, inputs: {x: sources.s},\n"
    "    outputs: {o: o}, params: {command: \"make %u ${matrix.i}\"}}\n"
    "  pack: {kind: exec, inputs: {x: sources.s}, outputs: {o: o},\n"
    "    params: {command: \"pack %u\"}}\n"
    "  sum: {kind: exec, inputs: {x: make.o}, outputs: {o: o}, params: {command: \"sum %u\"}}\n"
    "  end: {kind: exec, inputs: {x: sum.o}, outputs: {o: o}, params: {command: \"end %u\"}}\n";

/* ---- the folder ---- */

const char *house_at(struct house *house, const char *name)
{
    return temp_at(house->temp, name);
}

void house_open_state(struct house *house)
{
    const struct state_options options = {.url = house_at(house, "state"), .mode = STATE_WRITE};
    MUST(state_open(&options, &house->state, &house_err));
}

void house_close_state(struct house *house)
{
    state_close(TAKE(house->state));
}

int house_setup(void **state)
{
    struct house *house = mem_alloc(sizeof *house);
    if (temp_setup((void **)&house->temp) != 0)
        return -1;
    house_open_state(house);
    MUST(store_open(house_at(house, "store"), &house->store, &house_err));
    *state = house;
    return 0;
}

int house_teardown(void **state)
{
    struct house *house = *state;
    if (house->state)
        state_close(house->state);
    store_close(house->store);
    int status = temp_teardown((void **)&house->temp);
    mem_free(house);
    return status;
}

/* ---- committing ---- */

static void commit(struct state *state, const struct state_batch *batch)
{
    MUST(state_begin(state, batch, &house_err));
    for (bool is_done = false;;) {
        MUST(state_poll(state, &is_done, &house_err));
        if (is_done)
            return;
        poll(&(struct pollfd){state_fd(state), POLLIN, 0}, 1, -1);
    }
}

static void commit_record(struct house *house, const struct id *task, const struct record *record,
                          const struct artifact *output)
{
    uint8_t bytes[4096];
    const struct record_output outputs[] = {{"o", 1, *output}};
    size_t count = record_encode(record, outputs, bytes, sizeof bytes);
    assert_true(count <= sizeof bytes);
    const struct mp_view frame = {bytes, count};
    struct state_record item = {.task = *task, .has_action = true, .bytes = (uint32_t)count};
    hash_bytes(PERSON_ACTION, record->action, record->action_bytes, &item.action);
    commit(house->state,
           &(struct state_batch){
               .frames = &frame, .frame_count = 1, .records = &item, .record_count = 1});
}

static void commit_document(struct house *house, const char *id, const struct value *document)
{
    size_t bytes = value_encode(document, NULL, 0);
    assert_true(bytes > 0);
    AUTO(mem_free) uint8_t *encoded = mem_alloc(bytes);
    value_encode(document, encoded, bytes);
    const struct state_run run = {id, encoded, bytes};
    commit(house->state, &(struct state_batch){.runs = &run, .run_count = 1});
}

/* ---- a run ---- */

static struct submission *open_submission(struct house *house, const struct house_run *run)
{
    char text[2048], source[32];
    struct diagnostics diagnostics = {.file = "", .text = buf_init(0)};
    struct submission *submission = NULL;
    snprintf(source, sizeof source, "s%u.txt", run->seed);
    temp_write_text(house_at(house, source), source);
    int bytes = snprintf(text, sizeof text, pipeline_text, run->pipeline ? run->pipeline : "p",
                         run->seed, run->width, run->seed, run->seed, run->seed, run->seed);
    const struct app_request request = {
        .file = house_at(house, "p.yaml"), .text = text, .text_bytes = (size_t)bytes};
    enum status status =
        submission_open(&request, house->store, NULL, &diagnostics, &submission, &house_err);
    if (status != OK)
        fail_msg("%s\n%s", house_err.text, buf_text(&diagnostics.text));
    diagnostics_fini(&diagnostics);
    submission->diagnostics = NULL;
    return submission;
}

static struct artifact put_text(struct house *house, const char *text)
{
    struct artifact artifact = {.bytes = strlen(text)};
    MUST(store_put(house->store, text, strlen(text), &artifact.id, &house_err));
    return artifact;
}

/* A tree of two files, one of which all trees share. */
static struct artifact put_tree(struct house *house, const char *text)
{
    struct artifact own = put_text(house, text), shared = put_text(house, "shared by all"), tree;
    struct tree_entry entries[] = {
        {.path = "own", .path_bytes = 3, .bytes = own.bytes, .blob = own.id},
        {.path = "shared", .path_bytes = 6, .bytes = shared.bytes, .blob = shared.id}};
    MUST(tree_put_entries(house->store, entries, 2, &tree, &house_err));
    return tree;
}

static void copy_record(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)index;
    buf_put(context, record, bytes);
}

/* A task that has a record is a hit: nothing is put, nothing written. */
static bool find_hit(struct house *house, const struct id *task, struct artifact *output)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    struct record record;
    struct record_output found;
    size_t cursor = 0;
    MUST(state_find_tasks(house->state, task, 1, copy_record, &bytes, &house_err));
    if (!bytes.count)
        return false;
    MUST(record_parse(bytes.bytes, bytes.count, &record, &house_err));
    assert_true(record_next_output(&record, &cursor, &found));
    *output = found.artifact;
    return true;
}

static void finish_task(struct house *house, const struct graph *graph, uint32_t index,
                        const char *name, struct artifact *outputs)
{
    const struct task_node *task = &graph->tasks[index];
    struct artifact inputs[64];
    struct task_spec spec;
    uint8_t action[2048];
    char hex[ID_HEX_BYTES], text[128];
    if (find_hit(house, &task->id, &outputs[index]))
        return;
    for (uint32_t i = 0; i < task->edge_count; i++)
        inputs[i] = outputs[graph->edges[task->first_edge + i].task];
    MUST(task_spec_parse(task->spec, task->spec_bytes, &spec, &house_err));
    size_t bytes = task_spec_action(&spec, inputs, task->edge_count, action, sizeof action);
    assert_in_range(bytes, 1, sizeof action);
    snprintf(text, sizeof text, "output of %s", id_hex(&task->id, hex));
    outputs[index] = strcmp(name, "pack") == 0 ? put_tree(house, text) : put_text(house, text);
    struct record record = {.action = action,
                            .action_bytes = bytes,
                            .attempt = 1,
                            .has_log = strcmp(name, "end") == 0,
                            .output_count = 1,
                            .worker = "w",
                            .worker_bytes = 1};
    if (record.has_log)
        record.log = put_text(house, "what it wrote");
    commit_record(house, &task->id, &record, &outputs[index]);
}

static bool is_late(const char *step)
{
    return strcmp(step, "end") == 0 || strcmp(step, "pack") == 0;
}

static void finish_tasks(struct house *house, const struct graph *graph, bool is_begun_only)
{
    AUTO(mem_free)
    struct artifact *outputs = mem_alloc((graph->task_count + 1) * sizeof *outputs);
    for (uint32_t i = 0; i < graph->task_count; i++) {
        const char *step = graph->steps[graph_task_step(graph, i)].name;
        if (!is_begun_only || !is_late(step))
            finish_task(house, graph, i, step, outputs);
    }
}

/* What the run reached, in its result or in a blob. */
static void put_tasks(struct house *house, const struct graph *graph, bool in_store,
                      struct arena *arena, struct value *document)
{
    AUTO(buf_fini) struct buf ids = buf_init(0);
    struct value *result = doc_put(arena, document, "result", doc_map());
    struct value *tasks = doc_put(arena, result, "tasks", doc_map());
    doc_put(arena, tasks, "total", value_int(graph->task_count));
    struct value *steps = doc_put(arena, result, "steps", doc_list());
    for (uint32_t i = 0; i < graph->task_count; i++) {
        buf_put(&ids, &graph->tasks[i].id, ID_BYTES);
        if (!in_store)
            doc_put(arena, doc_add(arena, steps, doc_map()), "task",
                    doc_id(arena, &graph->tasks[i].id));
    }
    struct id blob;
    if (!in_store)
        return;
    MUST(store_put(house->store, ids.bytes, ids.count, &blob, &house_err));
    doc_put(arena, document, "task_list", doc_id(arena, &blob));
}

const char *house_add(struct house *house, const struct house_run *run)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct submission *submission = open_submission(house, run);
    const char *id = arena_format(&house->temp->names, "20260101t%09u-000000", house->run_count++);
    int64_t now_us = clock_epoch_us(), ended_us = now_us - run->ended_days * 86400 * 1000000;
    struct value document = doc_map();
    doc_put(&arena, &document, "id", value_string(id));
    doc_put(&arena, &document, "pipeline", value_string(pipeline_name(submission->pipeline)));
    doc_put(&arena, &document, "state", value_string(run->is_open ? "running" : "succeeded"));
    doc_put(&arena, &document, "begun_us", value_int(ended_us - 1000));
    doc_put(&arena, &document, "ended_us", run->is_open ? value_nil() : value_int(ended_us));
    if (run->label) {
        struct value *labels = doc_put(&arena, &document, "labels", doc_map());
        size_t bytes = strcspn(run->label, "=");
        doc_put(&arena, labels, arena_text(&arena, run->label, bytes),
                value_string(run->label + bytes + 1));
    }
    const struct house_run other = {
        .pipeline = run->pipeline, .seed = run->seed + 1000, .width = 1};
    struct submission *now = run->is_changed ? open_submission(house, &other) : NULL;
    submission_document(now ? now : submission, &arena, &document);
    if (!run->is_open && !run->is_untold)
        put_tasks(house, submission->graph, run->lists_in_store, &arena, &document);
    commit_document(house, id, &document); /* as a broker does: before anything has run */
    finish_tasks(house, submission->graph, run->is_begun_only);
    if (now)
        submission_free(now);
    submission_free(submission);
    return id;
}

/* ---- ages ---- */

static void make_old_below(const char *path)
{
    const struct timespec at = {.tv_sec = time(NULL) - HOUSE_OLD_SECONDS}, times[2] = {at, at};
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        char name[512];
        struct stat info;
        snprintf(name, sizeof name, "%.200s/%.255s", path, entry->d_name);
        if (entry->d_name[0] == '.' || stat(name, &info) != 0)
            continue;
        if (S_ISDIR(info.st_mode))
            make_old_below(name);
        else
            utimensat(AT_FDCWD, name, times, 0);
    }
    if (folder)
        closedir(folder);
}

void house_make_old(struct house *house)
{
    make_old_below(house_at(house, "store"));
}

/* ---- looking ---- */

static enum status get_document(struct house *house, const char *id, struct arena *arena,
                                struct value *out)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    char found[STATE_RUN_ID_BYTES];
    TRY(state_get_run(house->state, id, found, sizeof found, &bytes, &house_err));
    return reach_decode(id, bytes.bytes, bytes.count, arena, out, &house_err);
}

bool house_has_run(struct house *house, const char *id)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    return get_document(house, id, &arena, &document) == OK;
}

static struct submission *restore(struct house *house, const char *id)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    struct submission *submission = NULL;
    struct diagnostics diagnostics = {.file = "", .text = buf_init(0)};
    MUST(get_document(house, id, &arena, &document));
    MUST(submission_restore(&document, &diagnostics, &submission, &house_err));
    diagnostics_fini(&diagnostics);
    submission->diagnostics = NULL;
    return submission;
}

void house_add_tasks(struct house *house, const char *run, struct id_set *out)
{
    struct submission *submission = restore(house, run);
    for (uint32_t i = 0; i < submission->graph->task_count; i++)
        MUST(id_set_add(out, &submission->graph->tasks[i].id, &house_err));
    submission_free(submission);
}

static enum status read_tree(struct store *store, const struct id *id, struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    TRY(tree_peek(store, id, &tree, err));
    for (size_t i = 0; i < tree_count(tree); i++) {
        struct tree_entry entry = tree_entry(tree, i);
        TRY(store_check(store, &entry.blob, false, err));
    }
    return OK;
}

static enum status read_artifact(struct store *store, const struct artifact *artifact,
                                 struct err *err)
{
    return artifact->is_tree ? read_tree(store, &artifact->id, err)
                             : store_check(store, &artifact->id, false, err);
}

static enum status check_record(struct house *house, const struct id *task, struct err *err)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    struct record record;
    struct record_output output;
    char hex[ID_HEX_BYTES];
    TRY(state_find_tasks(house->state, task, 1, copy_record, &bytes, err));
    if (!bytes.count)
        return err_set(err, E_NOTFOUND, "task %s has no record", id_hex(task, hex));
    TRY(record_parse(bytes.bytes, bytes.count, &record, err));
    for (size_t cursor = 0; record_next_output(&record, &cursor, &output);)
        TRY(read_artifact(house->store, &output.artifact, err));
    return record.has_log ? store_check(house->store, &record.log.id, false, err) : OK;
}

bool house_is_whole(struct house *house, const char *id, bool is_begun_only)
{
    struct submission *submission = restore(house, id);
    const struct graph *graph = submission->graph;
    enum status status = OK;
    for (size_t i = 0; i < submission->need_count && status == OK; i++)
        status = read_artifact(house->store, &submission->sources[i], &house_err);
    for (uint32_t i = 0; i < graph->task_count && status == OK; i++)
        if (!is_begun_only || !is_late(graph->steps[graph_task_step(graph, i)].name))
            status = check_record(house, &graph->tasks[i].id, &house_err);
    submission_free(submission);
    return status == OK;
}

static enum status count_record(void *context, const struct id *task, const uint8_t *record,
                                size_t bytes, struct err *err)
{
    (void)task, (void)record, (void)bytes, (void)err;
    ++*(uint32_t *)context;
    return OK;
}

uint32_t house_record_count(struct house *house)
{
    uint32_t count = 0;
    MUST(state_each_record(house->state, count_record, &count, &house_err));
    return count;
}

static enum status count_item(void *context, const struct store_item *item, struct err *err)
{
    (void)item, (void)err;
    ++*(uint32_t *)context;
    return OK;
}

uint32_t house_blob_count(struct house *house)
{
    uint32_t count = 0;
    MUST(store_list(house->store, count_item, &count, &house_err));
    return count;
}

struct artifact house_output(struct house *house, const char *run, const char *task)
{
    struct submission *submission = restore(house, run);
    struct artifact output;
    uint32_t index;
    MUST(submission_task(submission, task, strlen(task), &index, &house_err));
    assert_true(find_hit(house, &submission->graph->tasks[index].id, &output));
    submission_free(submission);
    return output;
}

const char *house_path(struct house *house, const struct id *id, bool is_tree)
{
    char hex[ID_HEX_BYTES], name[128];
    id_hex(id, hex);
    snprintf(name, sizeof name, "store/%s/%.2s/%s", is_tree ? "trees" : "blobs", hex, hex + 2);
    return house_at(house, name);
}

/* ---- collecting ---- */

void house_remove(struct house *house, const struct collect_plan *plan, const struct id_set *spared,
                  uint32_t at_once)
{
    for (uint32_t i = 0; i < plan->run_count; i++) {
        const struct state_run run = {plan->runs[i], (const uint8_t *)"", 0};
        commit(house->state, &(struct state_batch){.runs = &run, .run_count = 1});
    }
    struct id batch[64];
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->records.count; i++) {
        if (!spared || !id_set_has(spared, &plan->records.ids[i]))
            batch[count++] = plan->records.ids[i];
        if (count == at_once || (count && i + 1 == plan->records.count)) {
            commit(house->state, &(struct state_batch){.removals = batch, .removal_count = count});
            count = 0;
        }
    }
    if (count)
        commit(house->state, &(struct state_batch){.removals = batch, .removal_count = count});
}

struct collect_swept house_collect(struct house *house, const struct collect_options *options)
{
    AUTO(collect_plan_fini) struct collect_plan plan = {0};
    struct collect_swept swept;
    collect_plan_init(&plan);
    MUST(collect_make_plan(house->state, house->store, options, &plan, &house_err));
    house_remove(house, &plan, NULL, 10);
    const struct collect_sweep sweep = {.now_s = (int64_t)time(NULL), .removes = true};
    MUST(collect_sweep(house->state, house->store, &sweep, &swept, &house_err));
    return swept;
}
