// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

static void grows_and_keeps(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf buf = buf_init(0);
    for (int i = 0; i < 1000; i++)
        buf_format(&buf, "%d,", i);
    assert_int_equal(buf.count, 3890);
    assert_memory_equal(buf.bytes, "0,1,2,3,4,", 10);
    assert_memory_equal(buf.bytes + buf.count - 4, "999,", 4);
    assert_int_equal(buf_check(&buf, "numbers", NULL), OK);
}

static void is_sticky_past_the_maximum(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf buf = buf_init(8);
    struct err err;
    buf_put_text(&buf, "12345678");
    assert_int_equal(buf_check(&buf, "name", &err), OK);
    buf_put_char(&buf, '9');
    assert_int_equal(buf.count, 8);
    buf_put(&buf, "", 0);
    assert_int_equal(buf_check(&buf, "the name", &err), E_LIMIT);
    assert_string_equal(err.text, "the name: more than 8 bytes");
    assert_string_equal(buf_text(&buf), "12345678");
    assert_int_equal(buf_check(&buf, "name", NULL), E_LIMIT);
    buf_clear(&buf);
    buf_put_text(&buf, "again");
    assert_string_equal(buf_text(&buf), "again");
    assert_int_equal(buf_check(&buf, "name", NULL), OK);
}

static void text_of_an_empty_one_is_empty(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf buf = buf_init(0);
    assert_non_null(buf_reserve(&buf, 0)); /* an address, though nothing is there */
    buf_put(&buf, NULL, 0);
    assert_string_equal(buf_text(&buf), "");
    assert_int_equal(buf.count, 0);
}

static void reserving_what_input_asks_for_can_fail(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf buf = buf_init(100), wide = buf_init(0);
    struct err err;
    buf_put_text(&buf, "abc");
    assert_int_equal(buf_try_reserve(&buf, 98, "blob", &err), E_LIMIT);
    assert_string_equal(err.text, "blob: more than 100 bytes");
    assert_int_equal(buf_try_reserve(&wide, SIZE_MAX, "blob", &err), E_LIMIT);
    mem_fail_after(1);
    assert_int_equal(buf_try_reserve(&wide, 4096, "blob", &err), E_NOMEM);
    assert_non_null(strstr(err.text, "blob"));
    assert_int_equal(buf_try_reserve(&wide, 4096, "blob", &err), OK);
    assert_true(wide.capacity >= 4096);
    assert_int_equal(buf_try_reserve(&buf, 97, "blob", &err), OK);
    assert_string_equal(buf_text(&buf), "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_keeps),
        cmocka_unit_test(is_sticky_past_the_maximum),
        cmocka_unit_test(text_of_an_empty_one_is_empty),
        cmocka_unit_test(reserving_what_input_asks_for_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
