/* What the state in Redis survives: kills, refusals, other writers. Each test has a redis-server of
 * its own. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/state/state_redis.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/unit/broker/state/redis_world.h"

/* ---- restarts and answers that never came ---- */

static void a_killed_server_is_waited_for(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    uint64_t epoch = state_epoch(state);
    redis_world_commit(state, 1, "before");
    redis_server_kill(&redis_world.server);
    assert_int_equal(redis_world_try_commit(state, 2), E_UNREACHABLE);
    assert_int_equal(state_renew(state, &redis_world.err), OK); /* no reason to end */
    redis_server_restart(&redis_world.server, redis_with_aof);
    assert_true(redis_world_commit(state, 2, "after") >= 0);
    assert_string_equal(worker_of_task(state, 1), "before");
    assert_string_equal(worker_of_task(state, 2), "after");
    assert_int_equal(state_epoch(state), epoch); /* it has forgotten nothing */
    state_close(state);
}

/* The server has the commit; the connection broke before it could say so. */
static void a_commit_whose_answer_was_lost_is_begun_again(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    struct commit commit;
    redis_world_commit(state, 1, "first");
    commit_begin(&commit);
    commit.signer = redis_world.signer;
    commit_record(&commit, 1, 1, "second", true);
    commit_removal(&commit, 1); /* what it replaces goes with it */
    commit_record(&commit, 2, 20, "bob", true);
    commit_alias(&commit, 3, 20);
    commit_run(&commit, "2026-a", "A");
    for (int i = 0; i < 3; i++) {
        struct state_batch batch = {
            .removals = commit.removals, .removal_count = 1, .runs = commit.runs, .run_count = 1};
        bool is_done = true;
        assert_int_equal(redis_work_ready(state_redis_of(state), &redis_world.err), OK);
        kill(redis_world.server.pid, SIGSTOP); /* it finds the commit when it goes on */
        assert_int_equal(state_begin(state, &batch, &redis_world.err), OK);
        redis_work_drop(state_redis_of(state), NULL);
        kill(redis_world.server.pid, SIGCONT);
        assert_int_equal(state_poll(state, &is_done, &redis_world.err), E_UNREACHABLE);
        assert_false(is_done);
    }
    for (ms_t until = clock_ms() + 5000; strcmp(ASK("ZCARD", "penstock:runs"), "1") != 0;)
        assert_true(clock_ms() < until);
    commit_patiently(&commit, state);
    commit_fini(&commit);
    assert_string_equal(worker_of_task(state, 1), "second");
    assert_string_equal(worker_of_task(state, 2), "bob");
    assert_string_equal(worker_of_task(state, 3), "bob");
    assert_string_equal(ASK("ZCARD", "penstock:runs"), "1");
    assert_int_equal(state_epoch(state), 1);
    state_close(state);
}

static void a_flushed_script_cache_is_mended(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    ASK("SCRIPT", "FLUSH");
    redis_world_commit(state, 1, "ann");
    assert_string_equal(worker_of_task(state, 1), "ann");
    state_close(state);
}

/* More records than one script takes: each is there, in the right frame. */
static void a_large_batch_goes_in_parts(void **context)
{
    enum { FRAMES = 9, EACH = 400 };
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    static struct commit parts[FRAMES];
    static struct state_record records[FRAMES * EACH];
    struct mp_view frames[FRAMES];
    for (uint32_t f = 0; f < FRAMES; f++) {
        commit_begin(&parts[f]);
        for (uint32_t i = 0; i < EACH; i++)
            commit_record(&parts[f], f * EACH + i, f * EACH + i, "w", i % 2);
        frames[f] = (struct mp_view){parts[f].frame.bytes, parts[f].frame.count};
        memcpy(records + f * EACH, parts[f].records, EACH * sizeof *records);
        for (uint32_t i = 0; i < EACH; i++)
            records[f * EACH + i].frame = f;
    }
    struct state_alias alias = {test_id(99999), test_action(1)};
    struct state_batch batch = {.frames = frames,
                                .frame_count = FRAMES,
                                .records = records,
                                .record_count = FRAMES * EACH,
                                .aliases = &alias,
                                .alias_count = 1};
    bool is_done = false;
    assert_int_equal(state_begin(state, &batch, &redis_world.err), OK);
    while (!is_done)
        assert_int_equal(state_poll(state, &is_done, &redis_world.err), OK);
    for (uint32_t n = 0; n < FRAMES * EACH; n += 37) {
        assert_string_equal(worker_of_task(state, n), "w");
        assert_string_equal(worker_of_action(state, n), n % EACH % 2 ? "w" : "");
    }
    assert_string_equal(worker_of_task(state, 99999), "w");
    for (uint32_t f = 0; f < FRAMES; f++)
        commit_fini(&parts[f]);
    state_close(state);
}

/* ---- look-ups that go with a commit ---- */

/* Commits nothing, and asks for these actions along with it. */
static void commit_and_ask(struct state *state, const struct id *ahead, uint32_t count)
{
    struct state_batch batch = {.ahead = ahead, .ahead_count = count};
    bool is_done = false;
    assert_int_equal(state_begin(state, &batch, &redis_world.err), OK);
    while (!is_done)
        assert_int_equal(state_poll(state, &is_done, &redis_world.err), OK);
}

/* Another client takes every record of an action away. */
static void remove_all_actions(void)
{
    ASK("EVAL", "for _,k in ipairs(redis.call('KEYS','penstock:a:*')) do redis.call('DEL',k) end",
        "0");
}

static void note_found(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    struct record parsed;
    assert_int_equal(record_parse(record, bytes, &parsed, NULL), OK);
    ((uint32_t *)context)[index]++;
}

static void what_was_asked_along_with_a_commit_is_answered_once(void **context)
{
    (void)context;
    struct id ahead[] = {test_action(7), test_action(20), test_action(8), test_action(21)};
    struct id asked[] = {ahead[3], ahead[2], ahead[1], ahead[0]};
    uint32_t found[4] = {0};
    struct state *state = redis_world_open(STATE_WRITE);
    struct commit commit;
    commit_begin(&commit);
    commit_record(&commit, 1, 20, "ann", true);
    commit_record(&commit, 2, 21, "bob", true);
    commit_now(&commit, state);
    commit_fini(&commit);
    commit_and_ask(state, ahead, 4);
    kill(redis_world.server.pid, SIGSTOP); /* it is not asked again */
    assert_int_equal(state_find_actions(state, asked, 4, note_found, found, &redis_world.err), OK);
    kill(redis_world.server.pid, SIGCONT);
    assert_memory_equal(found, ((uint32_t[]){1, 0, 1, 0}), sizeof found);
    remove_all_actions();
    assert_string_equal(worker_of_action(state, 20), ""); /* but for the next look-up it is */
    state_close(state);
}

static void what_was_not_asked_along_with_a_commit_is_asked(void **context)
{
    (void)context;
    struct id ahead[] = {test_action(20)}, asked[] = {test_action(20), test_action(21)};
    uint32_t found[2] = {0};
    struct state *state = redis_world_open(STATE_WRITE);
    struct commit commit;
    commit_begin(&commit);
    commit_record(&commit, 2, 21, "bob", true);
    commit_now(&commit, state);
    commit_fini(&commit);
    commit_and_ask(state, ahead, 1);
    assert_int_equal(state_find_actions(state, asked, 2, note_found, found, &redis_world.err), OK);
    assert_memory_equal(found, ((uint32_t[]){0, 1}), sizeof found);
    state_close(state);
}

static void a_commit_forgets_what_was_asked_along_with_the_last(void **context)
{
    (void)context;
    struct id ahead[] = {test_action(1)};
    struct state *state = redis_world_open(STATE_WRITE);
    commit_and_ask(state, ahead, 1);
    struct commit commit;
    commit_begin(&commit);
    commit_record(&commit, 1, 1, "ann", true);
    commit_now(&commit, state);
    commit_fini(&commit);
    assert_string_equal(worker_of_action(state, 1), "ann");
    state_close(state);
}

/* It was there, and the commit that failed may be what takes it away. */
static void what_was_asked_along_with_a_commit_that_failed_is_asked_again(void **context)
{
    (void)context;
    bool is_done;
    struct id ahead[] = {test_action(1)};
    struct state *state = redis_world_open(STATE_WRITE);
    struct commit commit;
    commit_begin(&commit);
    commit_record(&commit, 1, 1, "ann", true);
    commit_now(&commit, state);
    commit_fini(&commit);
    commit_and_ask(state, ahead, 1); /* nor does this answer count any more */
    ASK("CONFIG", "SET", "maxmemory", "1");
    struct state_run run = {"2026-a", (const uint8_t *)"A", 1};
    struct state_batch batch = {.runs = &run, .run_count = 1, .ahead = ahead, .ahead_count = 1};
    enum status status = state_begin(state, &batch, &redis_world.err);
    while (status == OK)
        status = state_poll(state, &is_done, &redis_world.err);
    assert_int_equal(status, E_FULL);
    remove_all_actions();
    assert_string_equal(worker_of_action(state, 1), "");
    state_close(state);
}

/* ---- what a server refuses ---- */

static void a_full_server_is_waited_for(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    redis_world_commit(state, 1, "ann");
    ASK("CONFIG", "SET", "maxmemory", "1");
    assert_int_equal(redis_world_try_commit(state, 2), E_FULL);
    redis_world_error_says("maxmemory");
    assert_string_equal(worker_of_task(state, 1), "ann"); /* it still answers */
    assert_string_equal(worker_of_task(state, 2), "");
    ASK("CONFIG", "SET", "maxmemory", "0");
    redis_world_commit(state, 2, "bob");
    assert_string_equal(worker_of_task(state, 2), "bob");
    state_close(state);
}

static void a_replica_is_told_apart(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE), *second;
    redis_world_commit(state, 1, "ann");
    ASK("REPLICAOF", "127.0.0.1", "1");
    assert_int_equal(redis_world_try_commit(state, 2), E_UNREACHABLE);
    redis_world_error_says("replica");
    assert_int_equal(redis_world_try_open(redis_world.server.url, STATE_WRITE, &second),
                     E_UNREACHABLE);
    redis_world_error_says("REDIS_URL");
    ASK("REPLICAOF", "NO", "ONE");
    redis_world_commit(state, 2, "bob");
    assert_string_equal(worker_of_task(state, 1), "ann");
    state_close(state);
}

static int start_with_password(void **context)
{
    (void)context;
    return redis_world_start_with((const char *const[]){"--requirepass", "it's/a:pass@word", NULL});
}

static void a_wrong_password_is_said_at_once(void **context)
{
    (void)context;
    struct state *state;
    char url[256];
    const char *place = strchr(redis_world.server.url, '/') + 2;
    assert_int_equal(redis_world_try_open(redis_world.server.url, STATE_WRITE, &state), E_DENIED);
    redis_world_error_says("asks for a password");
    snprintf(url, sizeof url, "redis+unix://:wrong@%s", place);
    assert_int_equal(redis_world_try_open(url, STATE_WRITE, &state), E_DENIED);
    redis_world_error_says("password or user in REDIS_URL is wrong");
    assert_null(strstr(redis_world.err.text, "wrong@")); /* it is in no message */
    snprintf(url, sizeof url, "redis+unix://:it's%%2Fa:pass@word@%s", place);
    if (redis_world_try_open(url, STATE_WRITE, &state) != OK)
        fail_msg("%s", redis_world.err.text);
    redis_world_commit(state, 1, "ann");
    state_close(state);
    snprintf(url, sizeof url, "redis://:it's%%2Fa:pass@word@127.0.0.1:%u/3?ns=other",
             redis_world.server.port);
    if (redis_world_try_open(url, STATE_WRITE, &state) != OK)
        fail_msg("%s", redis_world.err.text);
    assert_string_equal(worker_of_task(state, 1), ""); /* another database, */
    state_close(state);
}

static void a_user_without_rights_is_told_so(void **context)
{
    (void)context;
    struct state *state;
    char url[160];
    ASK("ACL", "SETUSER", "ann", "on", ">secret", "~penstock:*", "+@read", "+@connection");
    snprintf(url, sizeof url, "redis://ann:secret@127.0.0.1:%u", redis_world.server.port);
    assert_int_equal(redis_world_try_open(url, STATE_WRITE, &state), E_DENIED);
    redis_world_error_says("ACL SETUSER");
    /* What that message says is enough. */
    ASK("ACL", "SETUSER", "ann", "+@write", "+@scripting", "+info", "+time");
    if (redis_world_try_open(url, STATE_WRITE, &state) != OK)
        fail_msg("%s", redis_world.err.text);
    redis_world_commit(state, 1, "ann");
    assert_string_equal(worker_of_task(state, 1), "ann");
    state_close(state);
}

static void a_newer_namespace_is_left_alone(void **context)
{
    (void)context;
    struct state *state;
    ASK("HSET", "penstock:lead", "format", "99");
    assert_int_equal(redis_world_try_open(redis_world.server.url, STATE_WRITE, &state), E_VERSION);
    redis_world_error_says("format 99");
    assert_int_equal(redis_world_try_open(redis_world.server.url, STATE_READ, &state), E_VERSION);
    redis_world_error_says("?ns=");
    assert_string_equal(ASK("HGET", "penstock:lead", "epoch"), "");
}

/* ---- other writers ---- */

static void a_second_writer_is_kept_out(void **context)
{
    (void)context;
    struct state *first = redis_world_open(STATE_WRITE), *second;
    struct state_lead lead;
    /* A lease that is longer than a lease lasts is not waited for. */
    ASK("HINCRBY", "penstock:lead", "until", "60000");
    assert_int_equal(redis_world_try_open(redis_world.server.url, STATE_WRITE, &second),
                     E_CONFLICT);
    redis_world_error_says("tcp://here:7000");
    struct state *reader = redis_world_open(STATE_READ);
    assert_int_equal(state_leader(reader, &lead, &redis_world.err), OK);
    assert_true(lead.is_held);
    assert_string_equal(lead.holder, "tcp://here:7000");
    assert_int_equal(lead.epoch, state_epoch(first));
    state_close(first); /* gives it back */
    assert_int_equal(state_leader(reader, &lead, &redis_world.err), OK);
    assert_false(lead.is_held);
    second = redis_world_open(STATE_WRITE);
    assert_int_equal(state_epoch(second), lead.epoch + 1);
    state_close(second);
    state_close(reader);
}

static void a_standby_is_told_at_once(void **context)
{
    (void)context;
    struct state *first = redis_world_open(STATE_WRITE), *second;
    struct state *reader = redis_world_open(STATE_READ);
    struct state_lead lead;
    struct state_options options = {
        .url = redis_world.server.url, .mode = STATE_WRITE, .waits_not = true, .epoch_min = 9};
    assert_int_equal(state_open(&options, &second, &redis_world.err), E_CONFLICT);
    assert_int_equal(state_leader(reader, &lead, &redis_world.err), OK);
    assert_in_range(lead.left_ms, 1, LEAD_MS);
    assert_false(state_is_cut_off(reader));
    assert_false(state_is_cut_off(first));
    state_redis_of(first)->renewed_at -= LEAD_MS; /* it stood still as long */
    assert_true(state_is_cut_off(first));
    for (int i = 0; i < 1000 && state_is_cut_off(first); i++, usleep(1000))
        assert_int_equal(state_renew(first, &redis_world.err), OK);
    assert_false(state_is_cut_off(first)); /* nobody took it */
    state_close(first);
    assert_int_equal(state_open(&options, &second, &redis_world.err), OK);
    assert_int_equal(state_epoch(second), 10);
    state_close(second);
    state_close(reader);
}

static void a_dead_writers_lease_is_waited_for(void **context)
{
    (void)context;
    struct state *first = redis_world_open(STATE_WRITE); /* and never renewed: as good as dead */
    ms_t begun = clock_ms();
    struct state *second = redis_world_open(STATE_WRITE);
    assert_in_range(clock_ms() - begun, LEAD_MS / 2, LEAD_MS + 2000);
    redis_world_commit(second, 1, "new");
    /* The old one wakes up: it is fenced, whatever it tries. */
    assert_int_equal(redis_world_try_commit(first, 2), E_FENCED);
    redis_world_error_says("lost its lease");
    assert_int_equal(state_renew(first, &redis_world.err), E_FENCED);
    assert_int_equal(redis_world_try_commit(first, 2), E_FENCED);
    assert_string_equal(worker_of_task(second, 2), "");
    state_close(first); /* takes nothing away from the new one */
    redis_world_commit(second, 3, "new");
    assert_string_equal(ASK("HGET", "penstock:lead", "epoch"), "2");
    state_close(second);
}

static void a_lease_is_renewed_by_the_loop(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    struct state_lead lead;
    struct state *reader = redis_world_open(STATE_READ);
    for (ms_t end = clock_ms() + LEAD_MS + LEAD_MS / 2; clock_ms() < end;) {
        usleep(50000);
        assert_int_equal(state_renew(state, &redis_world.err), OK);
    }
    assert_int_equal(state_leader(reader, &lead, &redis_world.err), OK);
    assert_true(lead.is_held);
    state_close(reader);
    state_close(state);
}

/* Answers came with the lease's; the commit is not over before it was polled. */
static void a_commit_that_is_not_polled_keeps_the_epoch(void **context)
{
    (void)context;
    struct state *state = redis_world_open(STATE_WRITE);
    const struct state_run run = {"r-1", (const uint8_t *)"\x80", 1};
    const struct state_batch batch = {.runs = &run, .run_count = 1};
    bool is_done = false;
    assert_int_equal(state_begin(state, &batch, &redis_world.err), OK);
    for (int i = 0; i < 20; i++, usleep(5000))
        assert_int_equal(state_renew(state, &redis_world.err), OK);
    assert_int_equal(state_raise_epoch(state, 100, &redis_world.err), E_UNREACHABLE);
    while (!is_done)
        assert_int_equal(state_poll(state, &is_done, &redis_world.err), OK);
    assert_int_equal(state_raise_epoch(state, 100, &redis_world.err), OK);
    assert_int_equal(state_epoch(state), 101);
    state_close(state);
}

#define WITH(test, begin) cmocka_unit_test_setup_teardown(test, begin, redis_world_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_killed_server_is_waited_for, redis_world_start),
        WITH(a_commit_whose_answer_was_lost_is_begun_again, redis_world_start),
        WITH(a_flushed_script_cache_is_mended, redis_world_start),
        WITH(a_large_batch_goes_in_parts, redis_world_start),
        WITH(what_was_asked_along_with_a_commit_is_answered_once, redis_world_start),
        WITH(what_was_not_asked_along_with_a_commit_is_asked, redis_world_start),
        WITH(a_commit_forgets_what_was_asked_along_with_the_last, redis_world_start),
        WITH(what_was_asked_along_with_a_commit_that_failed_is_asked_again, redis_world_start),
        WITH(a_full_server_is_waited_for, redis_world_start),
        WITH(a_replica_is_told_apart, redis_world_start),
        WITH(a_wrong_password_is_said_at_once, start_with_password),
        WITH(a_user_without_rights_is_told_so, redis_world_start),
        WITH(a_newer_namespace_is_left_alone, redis_world_start),
        WITH(a_second_writer_is_kept_out, redis_world_start),
        WITH(a_standby_is_told_at_once, redis_world_start),
        WITH(a_dead_writers_lease_is_waited_for, redis_world_start),
        WITH(a_lease_is_renewed_by_the_loop, redis_world_start),
        WITH(a_commit_that_is_not_polled_keeps_the_epoch, redis_world_start),
    };
    return redis_server_is_there() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
