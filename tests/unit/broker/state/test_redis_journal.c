/* The journal of the state in Redis: what a server forgets is put back, signed and in order. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/state/redis_journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/state/redis_keeper.h"
#include "broker/state/redis_url.h"
#include "broker/state/segments.h"
#include "common/crypto/hash.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/store/store.h"
#include "tests/unit/broker/state/redis_world.h"

static void check_proof(struct state *state, uint32_t task, const char *worker)
{
    struct id id = test_id(task), digest;
    struct state_proof proof = {.frame = buf_init(0)};
    struct results_msg results;
    struct record record;
    if (state_find_proof(state, &id, &proof, &redis_world.err) != OK)
        fail_msg("%s", redis_world.err.text);
    assert_true(proof.is_signed);
    assert_memory_equal(proof.public_key, signer_public(redis_world.signer), PUBLIC_KEY_BYTES);
    assert_int_equal(
        msg_decode_results(proof.frame.bytes, proof.frame.count, &results, &redis_world.err), OK);
    hash_bytes(PERSON_FRAME, results.body, results.body_bytes, &digest);
    assert_true(sign_verify(proof.public_key, &digest, results.signature));
    assert_int_equal(
        record_parse(proof.frame.bytes + proof.offset, proof.bytes, &record, &redis_world.err), OK);
    assert_int_equal(record.worker_bytes, strlen(worker));
    assert_memory_equal(record.worker, worker, strlen(worker));
    buf_fini(&proof.frame);
}

/* ---- what a server forgets ---- */

static void what_is_forgotten_is_put_back(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    uint64_t epoch = state_epoch(state);
    redis_world_commit(state, 1, "stored");
    redis_world_commit(state, 2, "stored");
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    for (uint32_t n = 3; n < 20; n++) /* these are in the outbox and in memory alone */
        redis_world_commit(state, n, "recent");
    redis_server_kill(&redis_world.server);
    redis_server_restart(&redis_world.server, NULL);
    assert_string_equal(ASK("DBSIZE"), "0");
    redis_world_commit(state, 20, "after");
    assert_string_equal(worker_of_task(state, 1), "stored");
    for (uint32_t n = 3; n < 20; n++)
        assert_string_equal(worker_of_task(state, n), "recent");
    assert_string_equal(worker_of_task(state, 20), "after");
    assert_true(state_epoch(state) > epoch); /* nobody of before may write */
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    state_close(state);
    /* And once more by a broker that remembers nothing itself. */
    redis_server_kill(&redis_world.server);
    redis_server_restart(&redis_world.server, NULL);
    state = redis_world_open(STATE_WRITE);
    struct state_recovered recovered;
    state_recovered(state, &recovered);
    assert_int_equal(recovered.records, 20);
    assert_int_equal(recovered.refused + recovered.damaged, 0);
    assert_string_equal(worker_of_task(state, 1), "stored");
    assert_string_equal(worker_of_task(state, 12), "recent");
    assert_string_equal(worker_of_action(state, 20), "after");
    state_close(state);
}

static void copy_field(const char *field, char out[64])
{
    snprintf(out, 64, "%s", ASK("HGET", "penstock:lead", field));
}

/* A replica that lagged takes over, and the journal meets it first. What is in the store by then,
 * and not in the server, was taken for known as soon as another segment was put. */
static void a_server_that_forgot_is_not_told_of_later_segments(void **context)
{
    (void)context;
    char at[64], stored[64];
    struct state *state = redis_world_open(STATE_WRITE);
    redis_world_commit(state, 1, "known");
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    copy_field("at", at);
    copy_field("stored", stored);
    redis_world_commit(state, 2, "stored");
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    redis_world_commit(state, 3, "recent");
    ASK("EVAL",
        "for _,k in ipairs(redis.call('KEYS','penstock:[at]:*')) do redis.call('DEL',k) end "
        "redis.call('HSET','penstock:lead','at',ARGV[1],'stored',ARGV[2]) "
        "redis.call('DEL','penstock:outbox') redis.call('RPUSH','penstock:outbox','an old one')",
        "0", at, stored);
    assert_int_equal(state_flush(state, &redis_world.err), E_UNREACHABLE);
    redis_world_commit(state, 4, "after");
    assert_string_equal(worker_of_task(state, 2), "stored");
    assert_string_equal(worker_of_task(state, 3), "recent");
    assert_string_equal(worker_of_task(state, 4), "after");
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    state_close(state);
}

/* It put nothing any more, but said that the server had forgotten its commits. */
static void a_fenced_writer_says_so(void **context)
{
    (void)context;
    AUTO(redis_url_fini) struct redis_url url = {0};
    struct store *store;
    struct keeper keeper;
    struct mark last;
    size_t count;
    assert_int_equal(redis_url_parse(redis_world.server.url, &url, NULL), OK);
    assert_int_equal(store_open(redis_world.journal, &store, NULL), OK);
    ASK("HSET", "penstock:lead", "epoch", "5", "writer", "000000000000000a", "at",
        "0000000000000005-0000000000000001-000000000000000a");
    keeper_init(&keeper, &url, store);
    keeper.epoch = 4;
    keeper.writer = 9;
    keeper.put = 3;
    assert_int_equal(keeper_drain(&keeper, &count, &last, &redis_world.err), E_FENCED);
    redis_world_error_says("another broker leads");
    keeper_fini(&keeper);
}

/* Removals and aliases come back in their order; what came twice counts once. */
static void history_is_put_back_in_order(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    struct commit commit;
    redis_world_commit(state, 1, "first");
    commit_begin(&commit);
    commit.signer = redis_world.signer;
    commit_removal(&commit, 1);
    commit_record(&commit, 1, 1, "second", true);
    commit_record(&commit, 2, 20, "bob", true);
    commit_now(&commit, state);
    commit_alias(&commit, 3, 20);
    commit_alias(&commit, 1, 20);
    commit_run(&commit, "2026-a", "A");
    commit_run(&commit, "2026-b", "B");
    commit_now(&commit, state);
    commit_removal(&commit, 3);
    commit_run(&commit, "2026-b", "");
    commit_now(&commit, state);
    commit_fini(&commit);
    state_close(state);
    for (int again = 0; again < 2; again++) {
        ASK("FLUSHALL");
        state = redis_world_open(STATE_WRITE);
        assert_string_equal(worker_of_task(state, 1), "bob");
        assert_string_equal(worker_of_task(state, 3), "");
        assert_string_equal(worker_of_action(state, 1), "second");
        assert_string_equal(worker_of_action(state, 20), "");
        assert_string_equal(ASK("ZCARD", "penstock:runs"), "1");
        state_close(state);
    }
}

/* An emptied server begins to count epochs anew; what is written then comes behind what was before,
 * also when all of it is read again. */
static void an_emptied_servers_journal_goes_on_behind_the_old_one(void **context)
{
    (void)context;
    struct commit commit;
    struct state *state;
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        state = redis_world_open(STATE_WRITE);
        assert_int_equal(state_epoch(state), epoch);
        commit_begin(&commit);
        commit_run(&commit, "2026-a", "running");
        commit_patiently(&commit, state);
        commit_fini(&commit);
        state_close(state);
    }
    ASK("FLUSHALL");
    state = redis_world_open(STATE_WRITE);
    assert_int_equal(state_epoch(state), 4);
    commit_begin(&commit);
    commit_run(&commit, "2026-a", "succeeded");
    commit_patiently(&commit, state);
    commit_fini(&commit);
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    state_close(state);
    ASK("FLUSHALL");
    state = redis_world_open(STATE_WRITE);
    assert_string_equal(ASK("GET", "penstock:run:2026-a"), "succeeded");
    state_close(state);
}

static void encode_run(struct mark mark, struct buf *out)
{
    const struct state_run run = {"2026-a", (const uint8_t *)"running", 7};
    const struct state_batch batch = {.runs = &run, .run_count = 1};
    buf_clear(out);
    entry_encode(mark, &batch, out);
}

static enum status note_epoch(void *context, const struct store_object *object, struct err *err)
{
    struct mark mark;
    (void)err;
    assert_true(segment_read_name("penstock", object->key, &mark));
    buf_format(context, " %d", (int)mark.epoch);
    return OK;
}

/* What this writer has committed and the store has not waits for an epoch above the journal's: put
 * under the one that an emptied server gave, it would be read before what it follows, and no proof
 * would be found in it. */
static void nothing_is_put_under_an_epoch_below_the_journals(void **context)
{
    (void)context;
    AUTO(redis_url_fini) struct redis_url url = {0};
    AUTO(store_close) struct store *store = NULL;
    AUTO(buf_fini) struct buf entry = buf_init(0), epochs = buf_init(0);
    const struct mark other = {7, 5, 1}, ours = {3, 9, 1};
    struct redis_journal *journal;
    struct redis_back back;
    char name[SEGMENT_NAME_BYTES];
    enum status status;
    assert_int_equal(redis_url_parse(redis_world.server.url, &url, NULL), OK);
    assert_int_equal(store_open(redis_world.journal, &store, NULL), OK);
    encode_run(other, &entry);
    segment_name("penstock", other, name);
    assert_int_equal(store_put_object(store, name, entry.bytes, entry.count, NULL), OK);
    ASK("HSET", "penstock:lead", "epoch", "4", "writer", "0000000000000009");
    const struct redis_journal_options options = {
        .url = &url, .store = redis_world.journal, .epoch = 4, .writer = ours.writer};
    assert_int_equal(redis_journal_open(&options, &journal, NULL), OK);
    encode_run(ours, &entry);
    redis_journal_added(journal, ours, (struct mp_view){entry.bytes, entry.count});
    redis_journal_put_back(journal, 4);
    while (!redis_journal_is_back(journal, &back, &status, NULL))
        usleep(1000);
    assert_int_equal(status, OK);
    assert_int_equal(back.epoch_seen, other.epoch);
    redis_journal_close(journal); /* it brings over what it may */
    assert_int_equal(store_list_objects(store, "journal/", note_epoch, &epochs, NULL), OK);
    assert_string_equal(buf_text(&epochs), " 7");
    assert_string_equal(ASK("LLEN", "penstock:outbox"), "1");
}

/* Ours would have to be higher still, which no server could count. */
static void an_epoch_beyond_counting_is_a_strangers(void **context)
{
    (void)context;
    AUTO(store_close) struct store *store = NULL;
    AUTO(buf_fini) struct buf entry = buf_init(0);
    const struct mark names[] = {{UINT64_MAX, 5, 1}, {7, 5, 1}};
    assert_int_equal(store_open(redis_world.journal, &store, NULL), OK);
    encode_run((struct mark){UINT64_MAX, 5, 1}, &entry);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[SEGMENT_NAME_BYTES];
        segment_name("penstock", names[i], name);
        assert_int_equal(store_put_object(store, name, entry.bytes, entry.count, NULL), OK);
    }
    struct state *state = redis_world_open(STATE_WRITE);
    assert_int_equal(state_epoch(state), 8);
    redis_world_commit(state, 1, "ann");
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    state_close(state);
}

/* As gc does, an hour later. */
static struct state_merged merge(void)
{
    AUTO(store_close) struct store *store = NULL;
    struct state_merged merged;
    assert_int_equal(store_open(redis_world.journal, &store, NULL), OK);
    const struct segments segments = {store, "penstock"};
    assert_int_equal(segments_merge(&segments, INT64_MAX, true, &merged, NULL), OK);
    return merged;
}

/* Read by a server that is empty, and by one that has most of it. */
static void a_merged_journal_is_put_back_as_well(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE), *reader = redis_world_open(STATE_READ);
    struct state_merged merged;
    for (uint32_t n = 1; n <= 8; n++) {
        redis_world_commit(state, n, "ann");
        assert_int_equal(state_flush(state, &redis_world.err), OK);
    }
    assert_int_equal(state_merge_journal(reader, true, &merged, &redis_world.err), OK);
    assert_int_equal(merged.removed, 0); /* too young */
    merged = merge();
    assert_true(merged.segments >= 8 && merged.removed == merged.segments - 1);
    redis_world_commit(state, 9, "bob"); /* it goes on */
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    check_proof(reader, 3, "ann");
    check_proof(reader, 9, "bob");
    state_close(reader);
    state_close(state);
    for (int is_empty = 0; is_empty < 2; is_empty++) {
        struct state_recovered recovered;
        if (is_empty)
            ASK("FLUSHALL");
        state = redis_world_open(STATE_WRITE);
        state_recovered(state, &recovered);
        assert_int_equal(recovered.records, is_empty ? 9 : 0);
        assert_int_equal(recovered.damaged + recovered.refused, 0);
        assert_string_equal(worker_of_task(state, 8), "ann");
        assert_string_equal(worker_of_task(state, 9), "bob");
        state_close(state);
    }
}

static enum status damage_first(void *context, const char *path, bool is_executable, uint64_t bytes,
                                struct err *why)
{
    (void)is_executable, (void)why;
    char name[512];
    snprintf(name, sizeof name, "%s/journal/penstock/%s", redis_world.journal, path);
    FILE *file = fopen(name, "r+");
    assert_non_null(file);
    fseek(file, (long)bytes / 2, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, (long)bytes / 2, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    ++*(int *)context;
    return E_LIMIT; /* enough */
}

static void a_damaged_segment_is_left_out_and_told(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    char folder[256];
    int damaged = 0;
    redis_world_commit(state, 1, "ann");
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    redis_world_commit(state, 2, "bob");
    state_close(state);
    snprintf(folder, sizeof folder, "%s/journal/penstock", redis_world.journal);
    assert_int_equal(fs_walk(folder, damage_first, &damaged, NULL), E_LIMIT);
    assert_int_equal(damaged, 1);
    ASK("FLUSHALL");
    state = redis_world_open(STATE_WRITE);
    struct state_recovered recovered;
    state_recovered(state, &recovered);
    assert_int_equal(recovered.damaged, 1);
    assert_int_equal(recovered.records, 1);
    assert_string_equal(worker_of_task(state, 2), "bob");
    state_close(state);
}

/* Whoever can write in the store can't invent a result. */
static void an_unsigned_record_is_not_put_back(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    commit_one(state, 1, "nobody");
    redis_world_commit(state, 2, "bob");
    assert_string_equal(worker_of_task(state, 1), "nobody");
    state_close(state);
    ASK("FLUSHALL");
    state = redis_world_open(STATE_WRITE);
    struct state_recovered recovered;
    state_recovered(state, &recovered);
    assert_int_equal(recovered.refused, 1);
    assert_string_equal(worker_of_task(state, 1), "");
    assert_string_equal(worker_of_task(state, 2), "bob");
    state_close(state);
}

/* ---- proof ---- */

static void a_records_signed_frame_is_found(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    redis_world_commit(state, 1, "ann");
    assert_int_equal(state_flush(state, &redis_world.err), OK); /* in the store */
    redis_world_commit(state, 2, "bob");                        /* in the outbox */
    check_proof(state, 1, "ann");
    check_proof(state, 2, "bob");
    struct state *reader = redis_world_open(STATE_READ);
    check_proof(reader, 1, "ann");
    struct id unknown = test_id(77);
    struct state_proof proof = {.frame = buf_init(0)};
    assert_int_equal(state_find_proof(reader, &unknown, &proof, &redis_world.err), E_NOTFOUND);
    state_close(reader);
    state_close(state);
}

/* What was seen on the way is remembered, until its objects are merged. */
static void many_proofs_are_found_in_any_order(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE), *reader = redis_world_open(STATE_READ);
    for (uint32_t n = 1; n <= 8; n++) {
        redis_world_commit(state, n, "ann");
        assert_int_equal(state_flush(state, &redis_world.err), OK);
    }
    const uint32_t order[] = {8, 1, 5, 5, 2, 7};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        check_proof(reader, order[i], "ann");
    merge();
    redis_world_commit(state, 9, "bob");
    assert_int_equal(state_flush(state, &redis_world.err), OK);
    check_proof(reader, 3, "ann");
    check_proof(reader, 9, "bob");
    check_proof(reader, 1, "ann");
    state_close(reader);
    state_close(state);
}

#define WITH(test, begin) cmocka_unit_test_setup_teardown(test, begin, redis_world_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(what_is_forgotten_is_put_back, redis_world_start_forgetful),
        WITH(a_server_that_forgot_is_not_told_of_later_segments, redis_world_start),
        WITH(a_fenced_writer_says_so, redis_world_start),
        WITH(history_is_put_back_in_order, redis_world_start),
        WITH(an_emptied_servers_journal_goes_on_behind_the_old_one, redis_world_start),
        WITH(nothing_is_put_under_an_epoch_below_the_journals, redis_world_start),
        WITH(an_epoch_beyond_counting_is_a_strangers, redis_world_start),
        WITH(a_merged_journal_is_put_back_as_well, redis_world_start),
        WITH(a_damaged_segment_is_left_out_and_told, redis_world_start),
        WITH(an_unsigned_record_is_not_put_back, redis_world_start),
        WITH(many_proofs_are_found_in_any_order, redis_world_start),
        WITH(a_records_signed_frame_is_found, redis_world_start),
    };
    return redis_server_is_there() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
