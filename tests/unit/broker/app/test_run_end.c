/* How runs begin and end: what of them can't be kept, and what the state has lost by then. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/app/run.h"
#include "tests/unit/broker/app/serving.h"
#include "tests/unit/broker/state/redis_server.h"

static const char one[] =
    "version: 1\nname: one\nparams: {i: 0}\nsteps:\n  work:\n    kind: sleep\n"
    "    params: {seconds: 0}\n";
static const char sleeper[] =
    "version: 1\nname: sleeper\nsteps: {work: {kind: sleep, params: {seconds: 100}}}\n";
static const char with_axis[] =
    "version: 1\nname: deep\nparams: {i: [1]}\nsteps:\n  work:\n    kind: sleep\n"
    "    matrix: {i: \"${params.i}\"}\n    params: {seconds: 0}\n";

static void expect_refused(struct serving *serving, const char *text, const char *param,
                           const char *word)
{
    char run[APP_RUN_ID_BYTES];
    struct err err = {0};
    struct app_request request = serving_request(text);
    request.params = &param;
    request.param_count = 1;
    assert_int_equal(app_submit(serving->app, &request, run, &err), E_INVALID);
    assert_non_null(strstr(err.text, word));
}

/* "i=[[[…1…]]]" */
static const char *nested(uint32_t levels)
{
    static char text[256];
    memset(text, '[', sizeof text);
    memcpy(text, "i=", 2);
    text[2 + levels] = '1';
    memset(text + 3 + levels, ']', levels);
    text[3 + 2 * levels] = '\0';
    return text;
}

static void what_cannot_be_kept_does_not_begin(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    struct app_request request = serving_request(one);
    serving_open(serving, 1);
    expect_refused(serving, one, nested(63), "nested too deep");
    serving_submit(serving, &request, run); /* nothing of the other goes on */
    serving_finish(serving, run);
    serving_expect(serving, run, "succeeded", 1, 0);
}

static void a_run_is_committed_by_the_next_turn(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    struct err err = {0};
    struct app_request request = serving_request(one);
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    uint64_t order = app_last_order(serving->app);
    assert_false(app_is_committed(serving->app, order));
    assert_int_equal(app_turn(serving->app, 1000, &err), OK);
    assert_true(app_is_committed(serving->app, order));
    serving_finish(serving, run);
}

static const char *latest(struct serving *serving, struct arena *arena)
{
    struct err err = {0};
    struct value result;
    if (app_result(serving->app, "latest", false, arena, &result, &err) != OK)
        fail_msg("%s", err.text);
    return value_get_text(&result, "run");
}

static void the_latest_run_may_be_over_while_others_go_on(void **state)
{
    struct serving *serving = *state;
    char longer[APP_RUN_ID_BYTES], quick[APP_RUN_ID_BYTES], stopped[APP_RUN_ID_BYTES];
    struct err err = {0};
    AUTO(arena_fini) struct arena arena = {0};
    struct app_request first = serving_request(sleeper), second = serving_request(one);
    serving_open(serving, 2);
    serving_submit(serving, &first, longer);
    assert_int_equal(app_turn(serving->app, 0, &err), OK);
    assert_string_equal(latest(serving, &arena), longer);
    serving_submit(serving, &second, quick);
    serving_finish(serving, quick);
    assert_string_equal(latest(serving, &arena), quick);
    assert_int_equal(app_stop(serving->app, "latest", true, stopped, &err), E_CONFLICT);
    assert_int_equal(app_stop(serving->app, "2", true, stopped, &err), E_INVALID); /* of both */
    assert_false(app_run_is_over(serving->app, longer));
    assert_int_equal(app_stop(serving->app, longer, true, stopped, &err), OK);
    serving_finish(serving, longer);
}

static void a_damaged_run_hides_no_others(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    struct err err = {0};
    AUTO(arena_fini) struct arena arena = {0};
    struct app_filter all = {0}, good = {.state = "succeeded"};
    struct value list;
    struct app_request request = serving_request(one);
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    serving_finish(serving, run);
    loop_put_run(local_of(serving->app)->loop, "20200101t000000000-abcdef", (const uint8_t *)"\xc1",
                 1);
    assert_int_equal(app_turn(serving->app, 0, &err), OK);
    assert_int_equal(app_list(serving->app, &all, &arena, &list, &err), OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(value_get_text(&list.items[1], "state"), "damaged");
    assert_int_equal(app_list(serving->app, &good, &arena, &list, &err), OK);
    assert_int_equal(list.count, 1);
}

/* Each broker that opened such a run would end with it. */
static void a_result_that_cannot_be_kept_is_cut(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    const char *param = nested(61);
    struct app_request request = serving_request(with_axis);
    request.params = &param;
    request.param_count = 1;
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    serving_finish(serving, run);
    serving_close(serving);
    serving_open(serving, 1);
    serving_expect(serving, run, "succeeded", 1, 0);
}

static bool has_ended(struct serving *serving, const char *run)
{
    const struct run *there = runs_find(local_of(serving->app), run);
    return !there || there->is_ended;
}

static struct redis_server redis;

static int setup_with_redis(void **state)
{
    redis_server_start(&redis, NULL); /* forgetful */
    setenv("REDIS_URL", redis.url, 1);
    return serving_setup(state);
}

static int teardown_with_redis(void **state)
{
    int result = serving_teardown(state);
    unsetenv("REDIS_URL");
    redis_server_stop(&redis);
    return result;
}

static const struct value *first_task(struct serving *serving, const char *run, struct arena *arena)
{
    struct err err = {0};
    static struct value result;
    if (app_result(serving->app, run, false, arena, &result, &err) != OK)
        fail_msg("%s", err.text);
    return &value_get(&result, "steps")->items[0];
}

static void what_redis_forgets_at_the_end_of_a_run_is_waited_for(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    struct err err = {0};
    AUTO(arena_fini) struct arena arena = {0};
    struct app_request request = serving_request(one);
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    serving_until(serving, has_ended, run);
    redis_server_kill(&redis);
    for (int i = 0; i < 5; i++)
        assert_int_equal(app_turn(serving->app, 20, &err), OK);
    redis_server_restart(&redis, NULL);
    serving_finish(serving, run);
    serving_expect(serving, run, "succeeded", 1, 0);
    const struct value *task = first_task(serving, run, &arena);
    assert_int_equal(value_get(task, "worker")->type, VALUE_STRING); /* from its record */
}

static void a_record_that_is_lost_is_no_success(void **state)
{
    struct serving *serving = *state;
    static const char *const forget[] = {
        "EVAL", "return redis.call('DEL', unpack(redis.call('KEYS', '*:t:*')))", "0", NULL};
    char run[APP_RUN_ID_BYTES], again[APP_RUN_ID_BYTES];
    struct err err = {0};
    AUTO(arena_fini) struct arena arena = {0};
    struct app_request request = serving_request(one);
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    serving_until(serving, has_ended, run);
    assert_string_equal(redis_server_ask(&redis, forget), "1");
    serving_finish(serving, run);
    serving_expect(serving, run, "failed", 0, 0);
    const struct value *task = first_task(serving, run, &arena);
    assert_string_equal(value_get_text(task, "state"), "failed");
    assert_string_equal(value_get_text(value_get(task, "error"), "code"), "lost");
    assert_int_equal(app_retry(serving->app, run, again, &err), OK);
    serving_finish(serving, run);
    serving_expect(serving, run, "succeeded", 1, 0);
}

/* 10,001 tasks that have ended, and the state forgets the records of three. */
static void lose_three_of_many(struct serving *serving, char run[APP_RUN_ID_BYTES])
{
    static const char many[] =
        "version: 1\nname: many\nsteps:\n  many: {kind: sleep, "
        "matrix: {i: {range: [0, 10001]}}, params: {index: \"${matrix.i}\"}}\n";
    static const char *const forget[] = {
        "EVAL",
        "local k = redis.call('KEYS', '*:t:*') return redis.call('DEL', k[1], k[5000], k[10001])",
        "0", NULL};
    struct app_request request = serving_request(many);
    serving_open(serving, 1);
    serving_submit(serving, &request, run);
    serving_until(serving, has_ended, run);
    assert_string_equal(redis_server_ask(&redis, forget), "3");
}

/* Its result looks no record up. */
static void a_record_that_a_large_run_has_lost_is_no_success(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES], again[APP_RUN_ID_BYTES];
    struct err err = {0};
    struct value result;
    AUTO(arena_fini) struct arena arena = {0};
    lose_three_of_many(serving, run);
    serving_finish(serving, run);
    serving_expect(serving, run, "failed", 9998, 0);
    assert_int_equal(app_result(serving->app, run, false, &arena, &result, &err), OK);
    const struct value *failures = value_get(&result, "failures");
    assert_int_equal(failures->count, 3);
    for (uint32_t i = 0; i < failures->count; i++)
        assert_string_equal(value_get_text(value_get(&failures->items[i], "error"), "code"),
                            "lost");
    assert_int_equal(app_retry(serving->app, run, again, &err), OK);
    serving_finish(serving, run);
    serving_expect(serving, run, "succeeded", 10001, 0);
}

static bool is_being_checked(struct serving *serving, const char *run)
{
    return runs_get(local_of(serving->app), run)->checked > 0;
}

static bool has_failed(const struct value *steps, const char *task)
{
    for (uint32_t i = 0; i < steps->count; i++)
        if (value_is_text(value_get(&steps->items[i], "task"), task))
            return value_is_text(value_get(&steps->items[i], "state"), "failed");
    return false;
}

/* All its tasks are asked for while its records are looked for: that counts for itself. Others were
 * named as lost then. */
static void a_large_run_names_what_it_has_lost(void **state)
{
    struct serving *serving = *state;
    char run[APP_RUN_ID_BYTES];
    struct err err = {0};
    struct value full, result;
    AUTO(arena_fini) struct arena arena = {0};
    lose_three_of_many(serving, run);
    serving_until(serving, is_being_checked, run);
    assert_int_equal(app_result(serving->app, run, true, &arena, &full, &err), OK);
    assert_int_equal(value_get(value_get(&full, "tasks"), "failed")->integer, 3);
    assert_int_equal(app_result(serving->app, run, false, &arena, &result, &err), OK);
    const struct value *failures = value_get(&result, "failures");
    for (uint32_t i = 0; i < failures->count; i++)
        assert_true(
            has_failed(value_get(&full, "steps"), value_get_text(&failures->items[i], "task")));
    serving_finish(serving, run);
    serving_expect(serving, run, "failed", 9998, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_cannot_be_kept_does_not_begin, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(a_run_is_committed_by_the_next_turn, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(the_latest_run_may_be_over_while_others_go_on,
                                        serving_setup, serving_teardown),
        cmocka_unit_test_setup_teardown(a_damaged_run_hides_no_others, serving_setup,
                                        serving_teardown),
        cmocka_unit_test_setup_teardown(a_result_that_cannot_be_kept_is_cut, serving_setup,
                                        serving_teardown),
    };
    const struct CMUnitTest with_redis[] = {
        cmocka_unit_test_setup_teardown(what_redis_forgets_at_the_end_of_a_run_is_waited_for,
                                        setup_with_redis, teardown_with_redis),
        cmocka_unit_test_setup_teardown(a_record_that_is_lost_is_no_success, setup_with_redis,
                                        teardown_with_redis),
        cmocka_unit_test_setup_teardown(a_record_that_a_large_run_has_lost_is_no_success,
                                        setup_with_redis, teardown_with_redis),
        cmocka_unit_test_setup_teardown(a_large_run_names_what_it_has_lost, setup_with_redis,
                                        teardown_with_redis),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return redis_server_is_there() ? failed + cmocka_run_group_tests(with_redis, NULL, NULL)
                                   : failed;
}
