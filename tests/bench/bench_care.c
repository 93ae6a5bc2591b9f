/* What looking after a large state costs: a run of 1,000,000 tasks, each with a record and an
 * output, in a folder's state and a store in memory (a store's own listing is not measured).
 * `bench_care [FOLDER [TASKS]]`; prints one line per figure: name, value, unit. */
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "broker/app/submission.h"
#include "broker/care/audit.h"
#include "broker/care/collect.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "proto/codec.h"
#include "proto/record.h"
#include "tests/bench/report.h"

enum { FRAME_RECORDS = 1000, RECORD_MAX = 512 };

static void commit(struct state *state, const struct state_batch *batch)
{
    struct err err;
    report_check(state_begin(state, batch, &err), &err);
    for (bool is_done = false; !is_done;) {
        report_check(state_poll(state, &is_done, &err), &err);
        if (!is_done)
            poll(&(struct pollfd){state_fd(state), POLLIN, 0}, 1, -1);
    }
}

static void add_record(struct store *store, const struct task_node *task, struct buf *frame,
                       struct state_record *out)
{
    uint8_t action[256], bytes[RECORD_MAX];
    struct task_spec spec;
    struct record_output output = {.name = "o", .name_bytes = 1, .artifact = {.bytes = ID_BYTES}};
    struct err err;
    report_check(task_spec_parse(task->spec, task->spec_bytes, &spec, &err), &err);
    report_check(store_put(store, task->id.bytes, ID_BYTES, &output.artifact.id, &err), &err);
    struct record record = {.action = action,
                            .action_bytes = task_spec_action(&spec, NULL, 0, action, sizeof action),
                            .attempt = 1,
                            .output_count = 1,
                            .worker = "w",
                            .worker_bytes = 1};
    size_t count = record_encode(&record, &output, bytes, sizeof bytes);
    *out = (struct state_record){
        .task = task->id, .offset = (uint32_t)frame->count, .bytes = (uint32_t)count};
    buf_put(frame, bytes, count);
}

static void add_records(struct state *state, struct store *store, const struct graph *graph)
{
    struct state_record *records = mem_alloc(FRAME_RECORDS * sizeof *records);
    AUTO(buf_fini) struct buf frame = buf_init(0);
    for (uint32_t at = 0; at < graph->task_count;) {
        uint32_t n = 0;
        buf_clear(&frame);
        for (; n < FRAME_RECORDS && at < graph->task_count; n++, at++)
            add_record(store, &graph->tasks[at], &frame, &records[n]);
        const struct mp_view view = {frame.bytes, frame.count};
        commit(state,
               &(struct state_batch){
                   .frames = &view, .frame_count = 1, .records = records, .record_count = n});
    }
    mem_free(records);
}

/* As loop_end.c writes it when a large run ends. */
static struct id put_task_list(struct store *store, const struct graph *graph)
{
    AUTO(buf_fini) struct buf ids = buf_init(0);
    struct id list;
    struct err err;
    for (uint32_t i = 0; i < graph->task_count; i++)
        buf_put(&ids, &graph->tasks[i].id, ID_BYTES);
    report_check(store_put(store, ids.bytes, ids.count, &list, &err), &err);
    return list;
}

static void add_run(struct state *state, struct store *store, const struct submission *submission)
{
    const struct id list = put_task_list(store, submission->graph);
    AUTO(arena_fini) struct arena arena = {0};
    struct value document = doc_map();
    doc_put(&arena, &document, "id", value_string("20260101t000000000-000000"));
    doc_put(&arena, &document, "pipeline", value_string("p"));
    doc_put(&arena, &document, "state", value_string("succeeded"));
    doc_put(&arena, &document, "ended_us", value_int(1));
    submission_document(submission, &arena, &document);
    doc_put(&arena, &document, "task_list", doc_id(&arena, &list));
    size_t bytes = value_encode(&document, NULL, 0);
    uint8_t *encoded = arena_alloc(&arena, bytes);
    value_encode(&document, encoded, bytes);
    const struct state_run run = {"20260101t000000000-000000", encoded, bytes};
    commit(state, &(struct state_batch){.runs = &run, .run_count = 1});
}

static void fill(struct state *state, struct store *store, uint32_t tasks)
{
    AUTO(submission_free) struct submission *submission = NULL;
    AUTO(buf_fini) struct buf text = buf_init(0);
    struct diagnostics diagnostics = {.file = "", .text = buf_init(0)};
    struct err err;
    buf_format(&text,
               "version: 1\nname: p\nsteps:\n  s: {kind: exec, matrix: {i: {range: [0, %u, 1]}}, "
               "outputs: {o: o}, params: {command: \"x ${matrix.i}\"}}\n",
               tasks);
    const struct app_request request = {
        .file = "p.yaml", .text = buf_text(&text), .text_bytes = text.count};
    report_check(submission_open(&request, store, NULL, &diagnostics, &submission, &err), &err);
    add_run(state, store, submission);
    add_records(state, store, submission->graph);
    diagnostics_fini(&diagnostics);
}

static void report_peak(const char *name)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    report(name, (double)usage.ru_maxrss / 1024, "MiB");
}

static void measure_plan(struct state *state, struct store *store, const char *name, bool drops,
                         uint32_t expected)
{
    AUTO(collect_plan_fini) struct collect_plan plan = {0};
    struct err err;
    collect_plan_init(&plan);
    const struct collect_options options = {.has_keep = drops, .now_us = clock_epoch_us()};
    int64_t begun_us = clock_us();
    report_check(collect_make_plan(state, store, &options, &plan, &err), &err);
    report(name, seconds_since(begun_us), "s");
    if (plan.records.count != expected)
        report_fail("gc would not remove what it should");
}

static void measure(struct state *state, struct store *store, uint32_t tasks)
{
    struct err err;
    struct collect_swept swept;
    AUTO(audit_fini) struct audit audit = {0};
    measure_plan(state, store, "gc, mark", false, 0);
    measure_plan(state, store, "gc, mark where all goes", true, tasks);
    const struct collect_sweep sweep = {.now_s = (int64_t)time(NULL)};
    int64_t begun_us = clock_us();
    report_check(collect_sweep(state, store, &sweep, &swept, &err), &err);
    report("gc, sweep", seconds_since(begun_us), "s");
    if (swept.kept.count != tasks + 1) /* and the list */
        report_fail("gc does not see what is named");
    begun_us = clock_us();
    audit_init(&audit);
    report_check(audit_run(&audit, state, store, false, &err), &err);
    report("fsck, presence", seconds_since(begun_us), "s");
    if (!audit_is_clean(&audit) || audit.record_count != tasks)
        report_fail("fsck finds damage where there is none");
    report_peak("peak memory, the store's included");
}

int main(int argc, char **argv)
{
    char folder[512];
    struct state *state;
    struct store *store;
    struct err err;
    uint32_t tasks = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000000;
    snprintf(folder, sizeof folder, "%s/bench-care", argc > 1 ? argv[1] : "/tmp");
    report_check(fs_remove_tree(folder, &err), &err);
    const struct state_options options = {.url = folder, .mode = STATE_WRITE};
    report_check(state_open(&options, &state, &err), &err);
    report_check(store_open("mem:", &store, &err), &err);
    fill(state, store, tasks);
    measure(state, store, tasks);
    state_close(state);
    store_close(store);
    report_check(fs_remove_tree(folder, &err), &err);
    return 0;
}
