/* The state's contract, over every back end. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "tests/unit/broker/state/commit.h"
#include "tests/unit/broker/state/redis_server.h"

struct fixture {
    char folder[64];
    struct state *state;
    struct commit commit;
};

static int open_state(void **context, const char *scheme)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err;
    char url[80];
    snprintf(f->folder, sizeof f->folder, "/tmp/penstock-state-XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    snprintf(url, sizeof url, "%s:%s", scheme, strcmp(scheme, "mem") ? f->folder : "");
    commit_begin(&f->commit);
    *context = f;
    return state_open(&(struct state_options){.url = url, .mode = STATE_WRITE}, &f->state, &err) ==
                   OK
               ? 0
               : -1;
}

static int open_lmdb(void **context)
{
    return open_state(context, "lmdb");
}

/* One server for all of them, each in a namespace of its own. */
static struct redis_server server;

static int open_redis(void **context)
{
    static int count;
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {0};
    char url[160], journal[96];
    snprintf(f->folder, sizeof f->folder, "/tmp/penstock-state-XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    snprintf(url, sizeof url, "%s?ns=test%d", server.url, ++count);
    snprintf(journal, sizeof journal, "%s/store", f->folder);
    commit_begin(&f->commit);
    *context = f;
    struct state_options options = {.url = url, .mode = STATE_WRITE, .journal_store = journal};
    if (state_open(&options, &f->state, &err) == OK)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return -1;
}

static int open_mem(void **context)
{
    return open_state(context, "mem");
}

static int close_state(void **context)
{
    struct fixture *f = *context;
    commit_fini(&f->commit);
    state_close(f->state);
    if (fs_remove_tree(f->folder, NULL) != OK)
        return -1;
    free(f);
    return 0;
}

static void nothing_is_found_at_first(void **context)
{
    struct fixture *f = *context;
    assert_string_equal(worker_of_task(f->state, 1), "");
    assert_string_equal(worker_of_action(f->state, 1), "");
}

static void a_record_is_found_by_task_and_action(void **context)
{
    struct fixture *f = *context;
    commit_record(&f->commit, 1, 10, "ann", true);
    commit_record(&f->commit, 2, 20, "bob", false);
    commit_now(&f->commit, f->state);
    assert_string_equal(worker_of_task(f->state, 1), "ann");
    assert_string_equal(worker_of_action(f->state, 10), "ann");
    assert_string_equal(worker_of_task(f->state, 2), "bob");
    assert_string_equal(worker_of_action(f->state, 20), "");
}

static void the_first_commit_wins(void **context)
{
    struct fixture *f = *context;
    commit_record(&f->commit, 1, 10, "first", true);
    commit_now(&f->commit, f->state);
    commit_record(&f->commit, 1, 10, "second", true);
    commit_record(&f->commit, 3, 30, "first", true);
    commit_record(&f->commit, 3, 30, "second", true);
    commit_now(&f->commit, f->state);
    assert_string_equal(worker_of_task(f->state, 1), "first");
    assert_string_equal(worker_of_action(f->state, 10), "first");
    assert_string_equal(worker_of_task(f->state, 3), "first");
}

static void an_alias_points_at_the_actions_record(void **context)
{
    struct fixture *f = *context;
    commit_record(&f->commit, 1, 10, "ann", true);
    commit_alias(&f->commit, 2, 10); /* of the same commit */
    commit_now(&f->commit, f->state);
    commit_alias(&f->commit, 3, 10);
    commit_alias(&f->commit, 4, 99); /* nobody knows it */
    commit_now(&f->commit, f->state);
    assert_string_equal(worker_of_task(f->state, 2), "ann");
    assert_string_equal(worker_of_task(f->state, 3), "ann");
    assert_string_equal(worker_of_task(f->state, 4), "");
}

/* What a task was made of may have changed, if what made that was forced to run again. */
static void an_alias_replaces_what_there_was(void **context)
{
    struct fixture *f = *context;
    commit_record(&f->commit, 1, 10, "ann", true);
    commit_record(&f->commit, 2, 20, "bob", true);
    commit_now(&f->commit, f->state);
    commit_alias(&f->commit, 1, 20);
    commit_alias(&f->commit, 2, 20); /* as it is */
    commit_alias(&f->commit, 1, 99); /* nobody knows it */
    commit_now(&f->commit, f->state);
    assert_string_equal(worker_of_task(f->state, 1), "bob");
    assert_string_equal(worker_of_task(f->state, 2), "bob");
    assert_string_equal(worker_of_action(f->state, 10), "ann");
}

static void a_removal_takes_record_and_action(void **context)
{
    struct fixture *f = *context;
    commit_record(&f->commit, 1, 10, "ann", true);
    commit_record(&f->commit, 2, 20, "bob", true);
    commit_now(&f->commit, f->state);
    commit_removal(&f->commit, 1);
    commit_removal(&f->commit, 7); /* was never there */
    commit_now(&f->commit, f->state);
    assert_string_equal(worker_of_task(f->state, 1), "");
    assert_string_equal(worker_of_action(f->state, 10), "");
    assert_string_equal(worker_of_task(f->state, 2), "bob");
}

static void after_a_removal_the_next_record_counts(void **context)
{
    struct fixture *f = *context;
    commit_record(&f->commit, 1, 10, "bad", true);
    commit_now(&f->commit, f->state);
    commit_removal(&f->commit, 1);
    commit_record(&f->commit, 1, 10, "good", true); /* removals come first */
    commit_now(&f->commit, f->state);
    assert_string_equal(worker_of_task(f->state, 1), "good");
    assert_string_equal(worker_of_action(f->state, 10), "good");
}

static enum status count_record(void *context, const struct id *task, const uint8_t *record,
                                size_t bytes, struct err *err)
{
    struct record parsed;
    uint32_t *seen = context;
    TRY(record_parse(record, bytes, &parsed, err));
    for (uint32_t n = 0; n < COMMIT_ITEMS_MAX; n++) {
        struct id id = test_id(n);
        if (id_equal(&id, task))
            seen[n]++;
    }
    return OK;
}

static void every_record_is_visited_once(void **context)
{
    struct fixture *f = *context;
    uint32_t seen[COMMIT_ITEMS_MAX] = {0};
    struct err err;
    for (uint32_t n = 0; n < COMMIT_ITEMS_MAX; n++)
        commit_record(&f->commit, n, n, "w", true);
    commit_now(&f->commit, f->state);
    commit_removal(&f->commit, 5);
    commit_now(&f->commit, f->state);
    assert_int_equal(state_each_record(f->state, count_record, seen, &err), OK);
    for (uint32_t n = 0; n < COMMIT_ITEMS_MAX; n++)
        assert_int_equal(seen[n], n == 5 ? 0 : 1);
}

static enum status stop_at_once(void *context, const struct id *task, const uint8_t *record,
                                size_t bytes, struct err *err)
{
    (void)task, (void)record, (void)bytes;
    ++*(int *)context;
    return err_set(err, E_LIMIT, "enough");
}

static void a_visitor_can_end_the_walk(void **context)
{
    struct fixture *f = *context;
    struct err err;
    int calls = 0;
    commit_record(&f->commit, 1, 1, "w", true);
    commit_record(&f->commit, 2, 2, "w", true);
    commit_now(&f->commit, f->state);
    assert_int_equal(state_each_record(f->state, stop_at_once, &calls, &err), E_LIMIT);
    assert_int_equal(calls, 1);
}

struct many {
    uint32_t *sum, *calls;
};

static void count_found(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    struct many *many = context;
    (void)record, (void)bytes;
    *many->sum += index;
    ++*many->calls;
}

static void look_ups_are_batched_and_name_the_index(void **context)
{
    enum { KEYS = 10000, STEP = 20 };
    struct fixture *f = *context;
    struct id *keys = calloc(KEYS, sizeof *keys);
    struct err err;
    uint32_t sum = 0, calls = 0, want = 0;
    struct many many = {&sum, &calls};
    for (uint32_t n = 0; n < KEYS; n += STEP) {
        commit_record(&f->commit, n, n, "w", false);
        want += n;
    }
    commit_now(&f->commit, f->state);
    for (uint32_t n = 0; n < KEYS; n++)
        keys[n] = test_id(n);
    assert_int_equal(state_find_tasks(f->state, keys, KEYS, count_found, &many, &err), OK);
    assert_int_equal(calls, KEYS / STEP);
    assert_int_equal(sum, want);
    free(keys);
}

static enum status list_run(void *context, const char *id, const uint8_t *document, size_t bytes,
                            struct err *err)
{
    (void)err;
    buf_format(context, "%s=%.*s ", id, (int)bytes, (const char *)document);
    return OK;
}

static const char *list_runs(struct fixture *f, size_t limit, struct buf *out)
{
    struct err err;
    buf_clear(out);
    assert_int_equal(state_each_run(f->state, limit, list_run, out, &err), OK);
    return buf_text(out);
}

static void runs_come_newest_first_and_are_replaced(void **context)
{
    struct fixture *f = *context;
    AUTO(buf_fini) struct buf text = buf_init(0);
    assert_string_equal(list_runs(f, 0, &text), "");
    commit_run(&f->commit, "2026-a", "1");
    commit_run(&f->commit, "2026-c", "3");
    commit_now(&f->commit, f->state);
    commit_run(&f->commit, "2026-b", "2");
    commit_run(&f->commit, "2026-a", "one");
    commit_now(&f->commit, f->state);
    assert_string_equal(list_runs(f, 0, &text), "2026-c=3 2026-b=2 2026-a=one ");
    assert_string_equal(list_runs(f, 2, &text), "2026-c=3 2026-b=2 ");
}

static void an_empty_document_removes_a_run(void **context)
{
    struct fixture *f = *context;
    AUTO(buf_fini) struct buf text = buf_init(0);
    commit_run(&f->commit, "2026-a", "1");
    commit_run(&f->commit, "2026-b", "2");
    commit_run(&f->commit, "2026-c", "3");
    commit_now(&f->commit, f->state);
    commit_run(&f->commit, "2026-c", "");
    commit_run(&f->commit, "2026-x", ""); /* was never there */
    commit_now(&f->commit, f->state);
    assert_string_equal(list_runs(f, 0, &text), "2026-b=2 2026-a=1 ");
    assert_string_equal(list_runs(f, 1, &text), "2026-b=2 ");
    commit_run(&f->commit, "2026-c", "new");
    commit_now(&f->commit, f->state);
    assert_string_equal(list_runs(f, 2, &text), "2026-c=new 2026-b=2 ");
}

static void a_writer_leads_and_epochs_only_rise(void **context)
{
    struct fixture *f = *context;
    struct state_lead lead;
    struct err err;
    uint64_t first = state_epoch(f->state);
    assert_true(first > 0);
    assert_int_equal(state_leader(f->state, &lead, &err), OK);
    assert_true(lead.is_held && lead.holder[0]);
    assert_int_equal(lead.epoch, first);
    assert_int_equal(state_renew(f->state, &err), OK);
    assert_int_equal(state_raise_epoch(f->state, first - 1, &err), OK); /* nothing to do */
    assert_int_equal(state_epoch(f->state), first);
    assert_int_equal(state_raise_epoch(f->state, first + 5, &err), OK);
    assert_int_equal(state_epoch(f->state), first + 6);
    assert_int_equal(state_raise_epoch(f->state, UINT64_MAX, &err), E_LIMIT);
    assert_int_equal(state_epoch(f->state), first + 6);
    commit_record(&f->commit, 1, 10, "ann", true); /* goes on under it */
    commit_patiently(&f->commit, f->state);
    assert_string_equal(worker_of_task(f->state, 1), "ann");
}

static enum status get_run(struct fixture *f, const char *ref, struct buf *out, struct err *err)
{
    char id[STATE_RUN_ID_BYTES];
    buf_clear(out);
    TRY(state_get_run(f->state, ref, id, sizeof id, out, err));
    buf_format(out, "@%s", id);
    return OK;
}

static void a_run_is_found_by_id_prefix_and_latest(void **context)
{
    struct fixture *f = *context;
    struct err err;
    AUTO(buf_fini) struct buf text = buf_init(0);
    assert_int_equal(get_run(f, "latest", &text, &err), E_NOTFOUND);
    commit_run(&f->commit, "20260101-aa", "A");
    commit_run(&f->commit, "20260101-ab", "B");
    commit_run(&f->commit, "20260202-zz", "Z");
    commit_run(&f->commit, "20260202", "short");
    commit_now(&f->commit, f->state);
    assert_int_equal(get_run(f, "latest", &text, &err), OK);
    assert_string_equal(buf_text(&text), "Z@20260202-zz");
    assert_int_equal(get_run(f, "20260101-a", &text, &err), E_INVALID);
    assert_non_null(strstr(err.text, "20260101-aa"));
    assert_non_null(strstr(err.text, "20260101-ab"));
    assert_int_equal(get_run(f, "20260101-ab", &text, &err), OK);
    assert_string_equal(buf_text(&text), "B@20260101-ab");
    assert_int_equal(get_run(f, "20260202", &text, &err), OK); /* exact before prefix */
    assert_string_equal(buf_text(&text), "short@20260202");
    assert_int_equal(get_run(f, "2027", &text, &err), E_NOTFOUND);
    assert_non_null(strstr(err.text, "2027"));
}

static void an_unknown_scheme_is_refused(void **context)
{
    (void)context;
    struct state *state;
    struct err err;
    assert_int_equal(
        state_open(&(struct state_options){.url = "mysql:x", .mode = STATE_WRITE}, &state, &err),
        E_INVALID);
    assert_null(state);
    assert_non_null(strstr(err.text, "mysql:x"));
}

#define ON_LMDB(test)                                                                              \
    {                                                                                              \
#test " (lmdb)", test, open_lmdb, close_state, NULL                                        \
    }
#define ON_MEM(test)                                                                               \
    {                                                                                              \
#test " (mem)", test, open_mem, close_state, NULL                                          \
    }
#define ON_REDIS(test)                                                                             \
    {                                                                                              \
#test " (redis)", test, open_redis, close_state, NULL                                      \
    }
#define ON_EACH(on)                                                                                \
    on(nothing_is_found_at_first), on(a_record_is_found_by_task_and_action),                       \
        on(the_first_commit_wins), on(an_alias_points_at_the_actions_record),                      \
        on(an_alias_replaces_what_there_was), on(a_removal_takes_record_and_action),               \
        on(after_a_removal_the_next_record_counts), on(every_record_is_visited_once),              \
        on(a_visitor_can_end_the_walk), on(look_ups_are_batched_and_name_the_index),               \
        on(runs_come_newest_first_and_are_replaced), on(an_empty_document_removes_a_run),          \
        on(a_run_is_found_by_id_prefix_and_latest), on(a_writer_leads_and_epochs_only_rise)

int main(void)
{
    const struct CMUnitTest tests[] = {ON_EACH(ON_LMDB), ON_EACH(ON_MEM),
                                       cmocka_unit_test(an_unknown_scheme_is_refused)};
    const struct CMUnitTest redis_tests[] = {ON_EACH(ON_REDIS)};
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    if (!redis_server_is_there())
        return failures;
    redis_server_start(&server, (const char *const[]){"--appendonly", "yes", NULL});
    failures += cmocka_run_group_tests(redis_tests, NULL, NULL);
    redis_server_stop(&server);
    return failures;
}
