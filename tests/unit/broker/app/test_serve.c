/* Many runs in one broker, which is started again in the midst of them. */
// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/doc.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/store/store.h"
#include "tests/unit/broker/app/serving.h"

#define SLEEPS(n, seconds)                                                                         \
    "version: 1\nname: many\nsteps:\n  work:\n    kind: sleep\n    matrix: {i: {range: [0, " n     \
    ", 1]}}\n    params: {seconds: " seconds ", index: \"${matrix.i}\"}\n"
#define WITH_PARAM                                                                                 \
    "version: 1\nname: one\nparams: {i: 0}\nsteps:\n  work:\n    kind: sleep\n    params: "        \
    "{seconds: 0, index: \"${params.i}\"}\n"

static void runs_go_on_side_by_side(void **state)
{
    struct serving *serving = *state;
    enum { RUNS = 12 };
    char runs[RUNS][APP_RUN_ID_BYTES], param[16];
    serving_open(serving, 2);
    for (int i = 0; i < RUNS; i++) {
        const char *params[] = {param};
        struct app_request request = serving_request(WITH_PARAM);
        snprintf(param, sizeof param, "i=%d", i / 2); /* two want the same */
        request.params = params;
        request.param_count = 1;
        serving_submit(serving, &request, runs[i]);
    }
    int64_t executed = 0;
    for (int i = 0; i < RUNS; i++) {
        AUTO(arena_fini) struct arena arena = {0};
        struct value result;
        serving_finish(serving, runs[i]);
        assert_int_equal(app_result(serving->app, runs[i], false, &arena, &result, NULL), OK);
        assert_string_equal(value_get_text(&result, "state"), "succeeded");
        executed += value_get(value_get(&result, "tasks"), "executed")->integer;
    }
    assert_int_equal(executed, RUNS / 2);
    assert_int_equal(app_step_count(serving->app, runs[0]), 0); /* forgotten; its document stays */
}

static uint32_t count_events(struct serving *serving, const char *run, const char *kind)
{
    uint32_t count = 0;
    struct app_event event = {0};
    while (app_next_event(serving->app, run, event.id, &event))
        count += strcmp(event.event, kind) == 0;
    return count;
}

/* With 10,000 steps the event takes 25 ms, twice a second. */
static void no_progress_is_written_for_nobody(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    struct app_request request = serving_request(WITH_PARAM);
    for (int round = 0; round < 2; round++) {
        serving->is_alone = round == 0;
        serving_open(serving, 1);
        serving_submit(serving, &request, run);
        serving_finish(serving, run);
        assert_int_equal(count_events(serving, run, "run"), 2);
        assert_int_equal(count_events(serving, run, "progress"), round);
        serving_close(serving);
    }
}

static bool is_first_done(struct serving *serving, const char *run)
{
    struct app_step_progress step = {0};
    if (app_step_count(serving->app, run))
        app_step_progress(serving->app, run, 0, &step);
    return step.succeeded >= 1;
}

static bool has_progress(struct serving *serving, const char *run)
{
    return count_events(serving, run, "progress") || app_run_is_over(serving->app, run);
}

static void progress_is_written_while_somebody_watches(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    struct app_request request = serving_request(SLEEPS("3", "0.5"));
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    serving_until(serving, is_first_done, run);
    assert_int_equal(count_events(serving, run, "progress"), 0);
    serving_until(serving, has_progress, run);
    assert_false(app_run_is_over(serving->app, run));
}

static bool is_half_done(struct serving *serving, const char *run)
{
    struct app_step_progress step = {0};
    if (app_step_count(serving->app, run))
        app_step_progress(serving->app, run, 0, &step);
    return step.succeeded >= 20;
}

/* Also before it is stored, there is a document. */
static void expect_live(struct serving *serving, const char *run)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document, load;
    assert_int_equal(app_get(serving->app, run, false, &arena, &document, NULL), OK);
    assert_string_equal(value_get_text(&document, "state"), "running");
    assert_string_equal(value_get_text(&document, "pipeline"), "many");
    assert_int_equal(app_load(serving->app, &arena, &load, NULL), OK);
    assert_true(value_get(&load, "is_running")->boolean);
}

static void an_open_run_goes_on_after_a_restart(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES], small[APP_RUN_ID_BYTES];
    struct app_request request = serving_request(SLEEPS("40", "0.01"));
    struct app_request first = serving_request(SLEEPS("5", "0.01"));
    serving_open(serving, 2);
    serving_submit(serving, &first, small);
    serving_finish(serving, small);
    serving_submit(serving, &request, run);
    expect_live(serving, run);
    serving_until(serving, is_half_done, run);
    expect_live(serving, run);
    serving_close(serving);
    serving_open(serving, 2);
    assert_false(app_run_is_over(serving->app, run));
    serving_finish(serving, run);
    serving_expect(serving, run, "succeeded", 35, 5); /* counts go on over the restart */
    serving_close(serving);
    serving_open(serving, 0);
    assert_true(app_run_is_over(serving->app, run));
    serving_expect(serving, run, "succeeded", 35, 5);
}

static void a_stopped_run_stays_so(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES], again[APP_RUN_ID_BYTES], stopped[APP_RUN_ID_BYTES];
    struct err err = {0};
    struct app_request request = serving_request(SLEEPS("40", "0.01"));
    serving_open(serving, 2);
    serving_submit(serving, &request, run);
    serving_until(serving, is_half_done, run);
    assert_int_equal(app_stop(serving->app, run, false, stopped, &err), OK);
    assert_int_equal(app_turn(serving->app, 0, &err), OK);
    serving_close(serving);
    serving_open(serving, 2);
    serving_finish(serving, run);
    AUTO(arena_fini) struct arena arena = {0};
    struct value result;
    assert_int_equal(app_result(serving->app, run, false, &arena, &result, &err), OK);
    assert_string_equal(value_get_text(&result, "state"), "cancelled");
    assert_int_equal(app_stop(serving->app, run, false, stopped, &err), E_CONFLICT);
    /* Until somebody wants it again. */
    assert_int_equal(app_retry(serving->app, run, again, &err), OK);
    assert_string_equal(run, again);
    assert_int_equal(app_retry(serving->app, run, again, &err), E_CONFLICT);
    serving_finish(serving, run);
    serving_expect(serving, run, "succeeded", 40, 0);
    assert_int_equal(app_retry(serving->app, run, again, &err), E_CONFLICT);
}

static void a_key_begins_one_run(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES], again[APP_RUN_ID_BYTES];
    struct err err = {0};
    const char *params[] = {"i=7"};
    struct app_request request = serving_request(WITH_PARAM);
    request.idempotency_key = "k-1";
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    serving_submit(serving, &request, again);
    assert_string_equal(run, again);
    serving_finish(serving, run);
    serving_close(serving);
    serving_open(serving, 0); /* it is remembered */
    serving_submit(serving, &request, again);
    assert_string_equal(run, again);
    request.params = params;
    request.param_count = 1;
    assert_int_equal(app_submit(serving->app, &request, again, &err), E_CONFLICT);
    assert_non_null(strstr(err.text, run));
    request.idempotency_key = "k-2";
    serving_submit(serving, &request, again);
    assert_string_not_equal(run, again);
}

static void labels_and_names_find_a_run(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES], other[APP_RUN_ID_BYTES];
    struct err err = {0};
    const char *labels[] = {"team=vision", "stage=test"}, *wrong[] = {"team"};
    struct app_request request = serving_request(WITH_PARAM);
    AUTO(arena_fini) struct arena arena = {0};
    struct value list;
    serving_open(serving, 1);
    serving_submit(serving, &request, other);
    request.name = "nightly";
    request.labels = labels;
    request.label_count = 2;
    serving_submit(serving, &request, run);
    serving_finish(serving, run);
    serving_finish(serving, other);
    struct app_filter filters[] = {{.labels = labels, .label_count = 2},
                                   {.name = "nightly"},
                                   {.limit = 1, .state = "succeeded"}};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        assert_int_equal(app_list(serving->app, &filters[i], &arena, &list, &err), OK);
        assert_int_equal(list.count, 1);
        assert_string_equal(value_get_text(&list.items[0], "run"), run);
    }
    struct app_filter none = {.state = "failed"};
    assert_int_equal(app_list(serving->app, &none, &arena, &list, &err), OK);
    assert_int_equal(list.count, 0);
    request.labels = wrong;
    request.label_count = 1;
    assert_int_equal(app_submit(serving->app, &request, run, &err), E_INVALID);
    assert_non_null(strstr(err.text, "team"));
}

/* No path that stands in a request is opened: not the source's, not a code file's. */
static void no_path_of_a_request_is_opened(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    struct err err = {0};
    assert_int_equal(fs_write("passwd", "root:x", 6, &err), OK); /* beside the broker */
    static const char *const texts[] = {
        "version: 1\nname: evil\nsources: {s: /etc/passwd}\nsteps:\n  a:\n    kind: exec\n    "
        "inputs: {x: sources.s}\n    outputs: {o: o}\n    params: {command: \"cat $x > o\"}\n",
        "version: 1\nname: evil\nsteps:\n  a:\n    kind: exec\n    outputs: {o: o}\n    params: "
        "{command: \"true\", code: [passwd]}\n",
        "version: 1\nname: evil\ninclude: /etc/passwd\nsteps: {a: {kind: sleep}}\n",
    };
    serving_open(serving, 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct app_request request = serving_request(texts[i]);
        err.text[0] = '\0';
        assert_int_equal(app_submit(serving->app, &request, run, &err), E_INVALID);
        assert_null(strstr(app_diagnostics(serving->app), "root:"));
        if (i < 2 && !strstr(app_diagnostics(serving->app), "not opened here"))
            fail_msg("%s: %s", err.text, app_diagnostics(serving->app));
    }
    assert_int_equal(remove("passwd"), 0);
    /* Named, but not in the store: neither is it looked for anywhere else. */
    AUTO(arena_fini) struct arena arena = {0};
    struct value sources = doc_list();
    struct value *item = doc_add(&arena, &sources, doc_map());
    doc_put(&arena, item, "name", value_string("s"));
    doc_put(&arena, item, "id",
            value_string("00000000000000000000000000000000000000000000000000000000000000ab"));
    struct app_request request = serving_request(texts[0]);
    request.sources = &sources;
    assert_int_equal(app_submit(serving->app, &request, run, &err), E_NOTFOUND);
    assert_non_null(strstr(app_diagnostics(serving->app), "not in the store"));
}

static void another_run_of_the_same(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES], other[APP_RUN_ID_BYTES];
    struct err err = {0};
    const char *params[] = {"i=3"};
    struct app_request request = serving_request(WITH_PARAM), changes = {0};
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    serving_finish(serving, run);
    assert_int_equal(app_resubmit(serving->app, run, &changes, other, &err), OK);
    assert_string_not_equal(run, other);
    serving_finish(serving, other);
    serving_expect(serving, other, "succeeded", 0, 1);
    changes.params = params;
    changes.param_count = 1;
    assert_int_equal(app_resubmit(serving->app, run, &changes, other, &err), OK);
    serving_finish(serving, other);
    serving_expect(serving, other, "succeeded", 1, 0);
    assert_int_equal(app_resubmit(serving->app, "nothing", &changes, other, &err), E_NOTFOUND);
}

/* What the store lacks is asked for, put there, and then named. */
static void sources_are_uploaded_and_named(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES], url[128], store_url[128];
    struct err err = {0};
    static const char text[] =
        "version: 1\nname: up\nsources: {s: somewhere/else.txt}\nsteps:\n  a:\n    kind: exec\n    "
        "inputs: {x: sources.s}\n    outputs: {o: o}\n    params: {command: \"cat ${inputs.x} > "
        "o\"}\n";
    struct id id;
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(store_close) struct store *store = NULL;
    struct value wanted = doc_list(), uploads;
    hash_bytes(NULL, "abc", 3, &id);
    struct value *item = doc_add(&arena, &wanted, doc_map());
    doc_put(&arena, item, "name", value_string("s"));
    doc_put(&arena, item, "id", doc_id(&arena, &id));
    doc_put(&arena, item, "bytes", value_int(3));
    doc_put(&arena, item, "is_tree", value_bool(false));
    serving_open(serving, 1);
    assert_int_equal(app_uploads(serving->app, &wanted, &arena, &uploads, &err), OK);
    assert_int_equal(uploads.count, 1);
    char hex[ID_HEX_BYTES];
    snprintf(url, sizeof url, "/v1/blobs/%s", id_hex(&id, hex));
    assert_string_equal(value_get_text(&uploads.items[0], "url"), url);
    snprintf(store_url, sizeof store_url, "%s/store", serving->home);
    assert_int_equal(store_open(store_url, &store, &err), OK);
    assert_int_equal(store_put(store, "abc", 3, &id, &err), OK);
    assert_int_equal(app_uploads(serving->app, &wanted, &arena, &uploads, &err), OK);
    assert_int_equal(uploads.count, 0);
    struct app_request request = serving_request(text);
    request.sources = &wanted;
    serving_submit(serving, &request, run);
    serving_finish(serving, run);
    serving_expect(serving, run, "succeeded", 1, 0);
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(app_export(serving->app, "a.o", NULL, &out, &err), OK);
    assert_string_equal(buf_text(&out), "abc");
}

static bool has_worker(struct serving *serving, const char *run)
{
    (void)run;
    AUTO(arena_fini) struct arena arena = {0};
    struct value workers;
    return app_workers(serving->app, &arena, &workers, NULL) == OK && workers.count == 1;
}

static void workers_are_listed(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    AUTO(arena_fini) struct arena arena = {0};
    struct value workers;
    struct app_request request = serving_request(SLEEPS("4", "0.01"));
    serving_open(serving, 3);
    serving_submit(serving, &request, run);
    serving_until(serving, has_worker, run);
    assert_int_equal(app_workers(serving->app, &arena, &workers, NULL), OK);
    assert_string_equal(value_get_text(&workers.items[0], "name"), "local");
    assert_int_equal(value_get(&workers.items[0], "slots")->integer, 3);
    assert_true(value_get(&workers.items[0], "kinds")->count > 5);
    serving_finish(serving, run);
}

/* What a task writes is followed while it runs, and is the same when it has ended. */
struct follower {
    struct app_log at;
    struct buf text;
};

static struct follower follower;

static bool has_read_first(struct serving *serving, const char *run)
{
    char task[2 * APP_RUN_ID_BYTES];
    snprintf(task, sizeof task, "%s/talk", run);
    assert_int_equal(app_logs(serving->app, task, &follower.at, &follower.text, NULL), OK);
    return strstr(buf_text(&follower.text), "first\n") != NULL;
}

static bool has_read_all(struct serving *serving, const char *run)
{
    has_read_first(serving, run);
    return follower.at.is_final;
}

static void the_output_of_a_running_task_is_followed(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    struct app_request request = serving_request(
        "version: 1\nname: talk\nsteps:\n  talk:\n    kind: exec\n    outputs: {o: o}\n    "
        "params: {command: \"echo first; sleep 1; echo second >&2; echo done > o\"}\n");
    follower = (struct follower){.text = buf_init(0)};
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    serving_until(serving, has_read_first, run);
    assert_false(follower.at.is_final);
    assert_null(strstr(buf_text(&follower.text), "second"));
    serving_until(serving, has_read_all, run);
    assert_string_equal(buf_text(&follower.text), "first\nsecond\n");
    serving_finish(serving, run);
    follower.at = (struct app_log){0};
    buf_clear(&follower.text);
    assert_true(has_read_all(serving, run)); /* and read later */
    assert_string_equal(buf_text(&follower.text), "first\nsecond\n");
    buf_fini(&follower.text);
}

enum { AT_ONCE = 100 };

/* The same 40 tasks again and again: each run finds all of them. */
static void run_many(struct serving *serving, int rounds)
{
    struct app_request request = serving_request(SLEEPS("40", "0"));
    static char runs[AT_ONCE][APP_RUN_ID_BYTES];
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < AT_ONCE; i++)
            serving_submit(serving, &request, runs[i]);
        for (int i = 0; i < AT_ONCE; i++)
            serving_finish(serving, runs[i]);
    }
    for (int turn = 0; turn < 10; turn++) /* the last of them are forgotten */
        assert_int_equal(app_turn(serving->app, 1, NULL), OK);
}

/* A hundred at once, again and again: what they had is given back. Before it is looked at, the list
 * of events is full. */
static void memory_is_flat_over_many_runs(void **state)
{
    struct serving *serving = *state;
    serving_open(serving, 2);
    run_many(serving, 2);
    size_t before = mallinfo2().uordblks;
    run_many(serving, 3);
    size_t after = mallinfo2().uordblks;
    if (after > before + AT_ONCE * 3 * 200) /* 200 bytes a run would be a leak */
        fail_msg("%zu bytes before three hundred runs, %zu after", before, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_go_on_side_by_side, serving_setup, serving_teardown),
        cmocka_unit_test_setup_teardown(no_progress_is_written_for_nobody, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(progress_is_written_while_somebody_watches, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(an_open_run_goes_on_after_a_restart, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(a_stopped_run_stays_so, serving_setup, serving_teardown),
        cmocka_unit_test_setup_teardown(a_key_begins_one_run, serving_setup, serving_teardown),
        cmocka_unit_test_setup_teardown(labels_and_names_find_a_run, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(no_path_of_a_request_is_opened, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(sources_are_uploaded_and_named, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(the_output_of_a_running_task_is_followed, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(memory_is_flat_over_many_runs, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(workers_are_listed, serving_setup, serving_teardown),
        cmocka_unit_test_setup_teardown(another_run_of_the_same, serving_setup, serving_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
