/* What the end of a run asks of the store, on a thread of its own. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_end.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"

enum { WAIT_MS = 10000 };

static struct buf nothing; /* to keep */

static void take(struct loop_ender *ender, struct loop_ended *out)
{
    while (!loop_ender_take(ender, out)) {
        struct pollfd fd = {.fd = loop_ender_fd(ender), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
    }
}

static void what_is_missing_is_told_run_by_run(void **state)
{
    (void)state;
    AUTO(store_close) struct store *store = NULL;
    struct artifact artifacts[2] = {{.bytes = 3}, {.bytes = 4}};
    assert_int_equal(store_open("mem:", &store, NULL), OK);
    assert_int_equal(store_put(store, "abc", 3, &artifacts[0].id, NULL), OK);
    hash_bytes(NULL, "gone", 4, &artifacts[1].id);
    struct loop_ender *ender = loop_ender_new(store);
    struct loop_ended ended;
    assert_true(loop_ender_is_idle(ender));
    assert_false(loop_ender_take(ender, &ended));
    loop_ender_check(ender, 7, artifacts, 1);
    loop_ender_check(ender, 8, artifacts, 2);
    take(ender, &ended);
    assert_int_equal(ended.run, 7);
    assert_int_equal(ended.status, OK);
    assert_int_equal(ended.missing_count, 0);
    mem_free(ended.missing);
    take(ender, &ended);
    assert_int_equal(ended.run, 8);
    assert_int_equal(ended.missing_count, 1);
    assert_memory_equal(&ended.missing[0], &artifacts[1].id, sizeof(struct id));
    mem_free(ended.missing);
    assert_false(ended.is_flush);
    loop_ender_free(ender);
}

static void flushes_come_back_for_each_run(void **state)
{
    (void)state;
    AUTO(store_close) struct store *store = NULL;
    assert_int_equal(store_open("mem:", &store, NULL), OK);
    struct loop_ender *ender = loop_ender_new(store);
    struct loop_ended ended;
    uint32_t sum = 0;
    for (uint32_t run = 1; run <= 20; run++)
        loop_ender_flush(ender, run, &nothing);
    for (int i = 0; i < 20; i++) {
        take(ender, &ended);
        assert_true(ended.is_flush && ended.status == OK);
        sum += ended.run;
    }
    assert_int_equal(sum, 210);
    assert_true(loop_ender_is_idle(ender));
    loop_ender_free(ender);
}

/* Also when the store refused it at first. */
static void what_is_kept_of_a_run_is_in_the_store_when_it_is_flushed(void **state)
{
    (void)state;
    AUTO(store_close) struct store *store = NULL;
    assert_int_equal(store_open("fault+mem:?on=put&fail=1&status=disk_full", &store, NULL), OK);
    struct loop_ender *ender = loop_ender_new(store);
    struct buf keep = buf_init(0), got = buf_init(0);
    struct loop_ended ended;
    buf_put_text(&keep, "ids");
    loop_ender_flush(ender, 5, &keep);
    assert_int_equal(keep.count, 0);
    take(ender, &ended);
    assert_true(ended.is_flush && ended.has_kept && ended.status == OK);
    loop_ender_free(ender);
    assert_int_equal(store_get(store, &ended.kept, &got, NULL), OK);
    assert_string_equal(buf_text(&got), "ids");
    buf_fini(&got);
}

static void a_store_that_refuses_is_asked_again_until_it_is_given_up(void **state)
{
    (void)state;
    AUTO(store_close) struct store *store = NULL;
    struct loop_ended ended;
    assert_int_equal(
        store_open("fault+mem:?on=flush&fail=1&times=1000000&status=disk_full", &store, NULL), OK);
    struct loop_ender *ender = loop_ender_new(store);
    loop_ender_flush(ender, 3, &nothing);
    assert_false(loop_ender_take(ender, &ended));
    assert_false(loop_ender_is_idle(ender));
    loop_ender_give_up(ender);
    take(ender, &ended);
    assert_int_equal(ended.status, E_FULL);
    loop_ender_free(ender);
}

static void it_ends_in_the_midst_of_waiting(void **state)
{
    (void)state;
    AUTO(store_close) struct store *store = NULL;
    assert_int_equal(
        store_open("fault+mem:?on=flush&fail=1&times=1000000&status=disk_full", &store, NULL), OK);
    struct loop_ender *ender = loop_ender_new(store);
    loop_ender_flush(ender, 3, &nothing);
    loop_ender_flush(ender, 4, &nothing);
    loop_ender_free(ender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_told_run_by_run),
        cmocka_unit_test(flushes_come_back_for_each_run),
        cmocka_unit_test(what_is_kept_of_a_run_is_in_the_store_when_it_is_flushed),
        cmocka_unit_test(a_store_that_refuses_is_asked_again_until_it_is_given_up),
        cmocka_unit_test(it_ends_in_the_midst_of_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
