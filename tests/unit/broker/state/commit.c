// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/state/commit.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crypto/hash.h"
#include "common/crypto/sign.h"
#include "proto/limits.h"
#include "proto/record.h"

struct id test_id(uint32_t n)
{
    struct id id;
    hash_bytes(NULL, &n, sizeof n, &id);
    return id;
}

static size_t write_action(uint32_t m, uint8_t out[32])
{
    struct mp_writer w = mp_writer(out, 32);
    mp_write_map(&w, 1);
    mp_write_text(&w, "n");
    mp_write_uint(&w, m);
    return w.need;
}

struct id test_action(uint32_t m)
{
    uint8_t action[32];
    size_t bytes = write_action(m, action);
    struct id id;
    hash_bytes(PERSON_ACTION, action, bytes, &id);
    return id;
}

void commit_begin(struct commit *commit)
{
    *commit = (struct commit){.frame = buf_init(0)};
}

void commit_fini(struct commit *commit)
{
    buf_fini(&commit->frame);
}

void commit_record(struct commit *commit, uint32_t task, uint32_t action, const char *worker,
                   bool with_action)
{
    uint8_t action_bytes[32];
    struct id id = test_id(task);
    struct record record = {.action = action_bytes,
                            .action_bytes = write_action(action, action_bytes),
                            .attempt = 1,
                            .worker = worker,
                            .worker_bytes = (uint32_t)strlen(worker)};
    commit_made(commit, &id, &record, NULL);
    commit->records[commit->record_count - 1].has_action = with_action;
    commit->records[commit->record_count - 1].action = test_action(action);
}

void commit_made(struct commit *commit, const struct id *task, const struct record *record,
                 const struct record_output *outputs)
{
    uint8_t bytes[256];
    size_t count = record_encode(record, outputs, bytes, sizeof bytes);
    assert_true(count <= sizeof bytes && commit->record_count < COMMIT_ITEMS_MAX);
    commit->records[commit->record_count++] = (struct state_record){
        .task = *task, .offset = (uint32_t)commit->frame.count, .bytes = (uint32_t)count};
    buf_put(&commit->frame, bytes, count);
}

void commit_alias(struct commit *commit, uint32_t task, uint32_t action)
{
    commit->aliases[commit->alias_count++] =
        (struct state_alias){test_id(task), test_action(action)};
}

void commit_removal(struct commit *commit, uint32_t task)
{
    commit->removals[commit->removal_count++] = test_id(task);
}

void commit_run(struct commit *commit, const char *id, const char *document)
{
    commit->runs[commit->run_count++] =
        (struct state_run){id, (const uint8_t *)document, strlen(document)};
}

/* The records as results of a frame, as a worker sends it; they lie elsewhere then. */
static void sign_frame(struct commit *commit)
{
    static uint8_t body[COMMIT_ITEMS_MAX * 512], frame[sizeof body + 256];
    struct mp_writer b = mp_writer(body, sizeof body), w = mp_writer(frame, sizeof frame);
    uint8_t signature[SIGNATURE_BYTES];
    struct id digest;
    mp_write_array(&b, commit->record_count);
    for (uint32_t i = 0; i < commit->record_count; i++) {
        struct state_record *record = &commit->records[i];
        struct result_msg result = {.attempt = {record->task, 1},
                                    .record = commit->frame.bytes + record->offset,
                                    .record_bytes = record->bytes};
        msg_write_result(&b, &result);
        record->offset = (uint32_t)b.need - record->bytes; /* it is the last thing of its entry */
    }
    hash_bytes(PERSON_FRAME, body, b.need, &digest);
    signer_sign(commit->signer, &digest, signature);
    struct results_msg message = {7, signature, body, b.need};
    msg_write_results(&w, &message);
    assert_false(mp_writer_is_full(&b) || mp_writer_is_full(&w));
    for (uint32_t i = 0; i < commit->record_count; i++)
        commit->records[i].offset += (uint32_t)(w.need - b.need);
    buf_clear(&commit->frame);
    buf_put(&commit->frame, frame, w.need);
}

enum status commit_try(struct commit *commit, struct state *state, struct err *err)
{
    if (commit->signer && commit->record_count && !commit->is_signed)
        sign_frame(commit);
    commit->is_signed = commit->signer != NULL;
    struct mp_view frame = {commit->frame.bytes, commit->frame.count};
    struct state_batch batch = {.frames = &frame,
                                .frame_count = commit->record_count ? 1 : 0,
                                .frame_keys = commit->signer ? signer_public(commit->signer) : NULL,
                                .records = commit->records,
                                .record_count = commit->record_count,
                                .aliases = commit->aliases,
                                .alias_count = commit->alias_count,
                                .removals = commit->removals,
                                .removal_count = commit->removal_count,
                                .runs = commit->runs,
                                .run_count = commit->run_count};
    TRY(state_begin(state, &batch, err));
    bool is_done = false;
    for (;;) {
        TRY(state_poll(state, &is_done, err));
        if (is_done)
            return OK;
        poll(&(struct pollfd){state_fd(state), POLLIN, 0}, 1, 100);
    }
}

void commit_now(struct commit *commit, struct state *state)
{
    struct err err = {0};
    if (commit_try(commit, state, &err) != OK)
        fail_msg("%s", err.text);
    const struct signer *signer = commit->signer;
    commit_fini(commit);
    commit_begin(commit);
    commit->signer = signer;
}

int commit_patiently(struct commit *commit, struct state *state)
{
    enum { TRIES_MAX = 2000, PAUSE_US = 5000 };
    struct err err = {0};
    enum status status = commit_try(commit, state, &err);
    int tries = 0;
    for (; (status == E_UNREACHABLE || status == E_FULL || status == E_IO) && tries < TRIES_MAX;
         tries++) {
        usleep(PAUSE_US);
        status = commit_try(commit, state, &err);
    }
    if (status != OK)
        fail_msg("%s", err.text);
    const struct signer *signer = commit->signer;
    commit_fini(commit);
    commit_begin(commit);
    commit->signer = signer;
    return tries;
}

void commit_one(struct state *state, uint32_t task, const char *worker)
{
    struct commit commit;
    commit_begin(&commit);
    commit_record(&commit, task, task, worker, true);
    commit_now(&commit, state);
    commit_fini(&commit);
}

static char found_worker[NAME_BYTES_MAX + 1];

static void take_worker(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    (void)context;
    struct record record;
    assert_int_equal(index, 0);
    assert_int_equal(record_parse(bytes, count, &record, NULL), OK);
    snprintf(found_worker, sizeof found_worker, "%.*s", (int)record.worker_bytes, record.worker);
}

const char *worker_of_task(struct state *state, uint32_t task)
{
    struct id id = test_id(task);
    struct err err = {0};
    found_worker[0] = '\0';
    if (state_find_tasks(state, &id, 1, take_worker, NULL, &err) != OK)
        fail_msg("%s", err.text);
    return found_worker;
}

const char *worker_of_action(struct state *state, uint32_t action)
{
    struct id id = test_action(action);
    struct err err = {0};
    found_worker[0] = '\0';
    if (state_find_actions(state, &id, 1, take_worker, NULL, &err) != OK)
        fail_msg("%s", err.text);
    return found_worker;
}
