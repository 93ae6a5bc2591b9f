// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_pause.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/loop.h"
#include "common/clock.h"
#include "tests/unit/broker/moody.h"

static void time_stands_still_meanwhile(void **state)
{
    (void)state;
    struct loop_pause pause = {0};
    loop_pause_begin_commit(&pause);
    ms_t then = loop_pause_now(&pause);
    usleep(5000);
    assert_int_equal(loop_pause_now(&pause), then);
    loop_pause_end(&pause);
    assert_false(loop_pause_is_on(&pause));
    assert_true(pause.stalled_ms >= 5);
    assert_true(loop_pause_now(&pause) < clock_ms());
}

/* A commit that fails was a pause from its beginning. */
static void a_failed_commit_counts_from_its_beginning(void **state)
{
    (void)state;
    struct loop_pause pause = {0};
    struct err err = {0};
    loop_pause_begin_commit(&pause);
    ms_t then = loop_pause_now(&pause);
    usleep(5000);
    assert_int_equal(loop_pause_fail(&pause, err_set(&err, E_FULL, "no space left"), &err), OK);
    assert_true(pause.is_waiting && !pause.is_committing);
    assert_int_equal(loop_pause_now(&pause), then);
    assert_int_equal(loop_pause_fail(&pause, err_set(&err, E_FENCED, "another leads"), &err),
                     E_FENCED);
    pause.gives_up = true;
    assert_int_equal(loop_pause_fail(&pause, err_set(&err, E_FULL, "no space left"), &err), E_FULL);
}

static void expect_run(struct moody *moody, const char *ref, const char *expected)
{
    char id[STATE_RUN_ID_BYTES];
    AUTO(buf_fini) struct buf document = buf_init(0);
    assert_int_equal(state_get_run(moody->real, ref, id, sizeof id, &document, NULL), OK);
    assert_string_equal(buf_text(&document), expected);
}

/* The batch that is being committed is the state's until it is done: what comes meanwhile is in the
 * next one. */
static void what_comes_during_a_commit_is_in_the_next(void **state)
{
    (void)state;
    struct moody moody;
    assert_int_equal(moody_open(&moody), OK);
    struct loop_options options = {.state = &moody.base, .wake_fd = -1};
    struct loop *loop = loop_new(&options);
    moody.polls_left = 2;
    loop_put_run(loop, "2026-a", (const uint8_t *)"first", 5);
    assert_int_equal(loop_turn(loop, 0, NULL), OK);
    loop_put_run(loop, "2026-b", (const uint8_t *)"second", 6);
    assert_int_equal(loop_turn(loop, 0, NULL), OK);
    assert_false(loop_is_idle(loop));
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_turn(loop, 0, NULL), OK);
    assert_true(loop_is_idle(loop));
    assert_int_equal(moody.begins, 2);
    expect_run(&moody, "2026-a", "first");
    expect_run(&moody, "2026-b", "second");
    loop_free(loop);
    state_close(moody.real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_stands_still_meanwhile),
        cmocka_unit_test(a_failed_commit_counts_from_its_beginning),
        cmocka_unit_test(what_comes_during_a_commit_is_in_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
