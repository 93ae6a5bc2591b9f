/* Opening stores, and faults on demand; the contract is in test_store_contract.c. */
// SPDX-License-Identifier: Apache-2.0
#include "common/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "tests/unit/common/store/helpers.h"

/* ---- opening ---- */

static void unknown_schemes_are_refused(void **state)
{
    struct temp *temp = *state;
    struct store *store;
    assert_int_equal(store_open("gopher://x", &store, &store_err), E_INVALID);
    assert_non_null(strstr(store_err.text, "gopher://x: no store is called \"gopher:\""));
    assert_null(store);
    assert_int_equal(store_open("mem:x", &store, &store_err), E_INVALID);
    temp_write_text(temp_at(temp, "file"), "");
    assert_int_equal(store_open(temp_at(temp, "file"), &store, &store_err), E_NOTFOUND);
    assert_int_equal(store_open("", &store, &store_err), E_INVALID);
    assert_null(store);
}

static void bad_fault_urls_are_refused(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "fault+mem:?on=fly",      "fault+mem:?fail=x",  "fault+mem:?status=ok",
        "fault+mem:?status=odd",  "fault+mem:?what=1",  "fault+mem:?fail",
        "fault+gopher://?fail=1", "fault+mem:?fail=-1", "fault+mem:?fail&on=put"};
    struct store *store;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        assert_int_equal(store_open(urls[i], &store, &store_err), E_INVALID);
        assert_null(store);
    }
}

/* ---- faults on demand ---- */

static void the_kth_operation_fails(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close)
    struct store *store =
        store_open_at(temp, "fault+%s/store?on=put,get&fail=2&times=2&status=disk_full");
    struct id id = store_put_text(store, "one");
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_true(store_has_one(store, &id)); /* does not count */
    assert_int_equal(store_get(store, &id, &out, &store_err), E_FULL);
    assert_non_null(strstr(store_err.text, "injected fault: get number 2"));
    assert_int_equal(store_put(store, "two", 3, &id, &store_err), E_FULL);
    assert_false(store_has_one(store, &id));
    id = store_put_text(store, "two");
    store_expect_text(store, &id, "two");
}

static void every_kind_of_operation_can_fail(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "fault+%s/store?fail=1&times=0");
    AUTO(buf_fini) struct buf out = buf_init(0);
    struct id id = {{0}};
    uint64_t bytes = 0;
    bool is_there;
    temp_write_text(temp_at(temp, "f"), "x");
    assert_int_equal(store_put(store, "", 0, &id, &store_err), E_IO);
    assert_int_equal(store_put_file(store, temp_at(temp, "f"), &id, &bytes, &store_err), E_IO);
    assert_int_equal(store_get(store, &id, &out, &store_err), E_IO);
    assert_int_equal(store_get_file(store, &id, temp_at(temp, "to"), &store_err), E_IO);
    assert_false(fs_exists(temp_at(temp, "to")));
    assert_int_equal(store_put_manifest(store, "", 0, &id, &store_err), E_IO);
    assert_int_equal(store_get_manifest(store, &id, &out, &store_err), E_IO);
    assert_int_equal(store_has(store, &id, 1, &is_there, &store_err), E_IO);
    assert_int_equal(store_list(store, store_count_blob, &bytes, &store_err), E_IO);
    assert_int_equal(store_remove(store, &id, &store_err), E_IO);
    assert_int_equal(store_quarantine(store, &id, &store_err), E_IO);
    assert_int_equal(store_flush(store, &store_err), E_IO);
    assert_int_equal(store_remove_manifest(store, &id, &store_err), E_IO);
    assert_int_equal(store_put_object(store, "a/b", "", 0, &store_err), E_IO);
    assert_int_equal(store_get_object(store, "a/b", &out, &store_err), E_IO);
    assert_int_equal(store_list_objects(store, "a/", store_count_object, &bytes, &store_err), E_IO);
    assert_int_equal(store_remove_object(store, "a/b", &store_err), E_IO);
    const struct store_presign presign = {.seconds = 1};
    assert_int_equal(store_presign(store, &presign, &out, &store_err), E_IO);
}

/* A bit that turned on the way is read again; nothing is put aside. */
static void one_bad_read_is_mended_by_a_second(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "fault+%s/store?on=get&corrupt=1");
    AUTO(store_close)
    struct store *by_file = store_open_at(temp, "fault+%s/store?on=get&corrupt=1");
    struct id id = store_put_text(store, "abc");
    store_expect_text(store, &id, "abc");
    assert_int_equal(store_get_file(by_file, &id, temp_at(temp, "to"), &store_err), OK);
    assert_true(temp_holds(temp_at(temp, "to"), "abc", 3));
    assert_false(fs_exists(temp_at(temp, "store/quarantine")));
}

static void bad_bytes_in_the_store_are_found(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close)
    struct store *store = store_open_at(temp, "fault+%s/store?on=put&corrupt=1&times=2");
    AUTO(buf_fini) struct buf out = buf_init(0);
    uint64_t bytes;
    struct id id = store_put_text(store, "abc"), other;
    temp_write_text(temp_at(temp, "f"), "a file");
    assert_int_equal(store_put_file(store, temp_at(temp, "f"), &other, &bytes, &store_err), OK);
    assert_int_equal(store_get(store, &id, &out, &store_err), E_CORRUPT);
    assert_int_equal(store_get_file(store, &other, temp_at(temp, "to"), &store_err), E_CORRUPT);
    assert_int_equal(temp_count(temp_at(temp, "store/quarantine")), 2);
    store_put_text(store, "abc");
    store_expect_text(store, &id, "abc");
}

static void objects_can_be_damaged(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close)
    struct store *store = store_open_at(temp, "fault+%s/store?on=put&corrupt=1");
    AUTO(store_close) struct store *reader = store_open_at(temp, "fault+%s/store?on=get&corrupt=2");
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(store_put_object(store, "journal/1", "abc", 3, &store_err), OK);
    assert_int_equal(store_put_object(store, "journal/2", "abc", 3, &store_err), OK);
    assert_int_equal(store_get_object(reader, "journal/1", &out, &store_err), OK);
    assert_int_equal(store_get_object(reader, "journal/2", &out, &store_err), OK);
    assert_string_equal(buf_text(&out), "acc"
                                        "acc");
}

static void a_failing_quarantine_is_told(void **state)
{
    struct temp *temp = *state;
    struct id id;
    AUTO(buf_fini) struct buf out = buf_init(0);
    {
        AUTO(store_close)
        struct store *store = store_open_at(temp, "fault+%s/store?on=put&corrupt=1");
        id = store_put_text(store, "abc");
    }
    AUTO(store_close)
    struct store *store = store_open_at(temp, "fault+%s/store?on=quarantine&fail=1");
    assert_int_equal(store_get(store, &id, &out, &store_err), E_CORRUPT);
    assert_non_null(strstr(store_err.text, "moving it to quarantine/ failed"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)
    const struct CMUnitTest tests[] = {
        TEST(unknown_schemes_are_refused),
        TEST(bad_fault_urls_are_refused),
        TEST(the_kth_operation_fails),
        TEST(every_kind_of_operation_can_fail),
        TEST(one_bad_read_is_mended_by_a_second),
        TEST(bad_bytes_in_the_store_are_found),
        TEST(objects_can_be_damaged),
        TEST(a_failing_quarantine_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
