/* The store's contract, the same for every back end; then what is special to each. */
// SPDX-License-Identifier: Apache-2.0
#include "common/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "tests/unit/common/store/helpers.h"

static const char *const back_ends[] = {"%s/store", "file://%s/store2",
                                        "mem:", "fault+%s/store3?on=put&fail=0"};

enum { BACK_ENDS = sizeof back_ends / sizeof *back_ends, LARGE = 1000000 };

static uint8_t large[LARGE];

/* Runs one part of the contract on each back end, in a folder of its own. */
static void each(void **state, void (*part)(struct temp *temp, struct store *store))
{
    struct temp *temp = *state;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * 7 + i / 1000);
    for (int i = 0; i < BACK_ENDS; i++) {
        struct store *store = store_open_at(temp, back_ends[i]);
        part(temp, store);
        store_close(store);
    }
}

static void round_trip(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id id = store_put_text(store, "abc"), plain;
    hash_bytes(NULL, "abc", 3, &plain);
    assert_true(id_equal(&id, &plain));
    store_expect_text(store, &id, "abc");
    store_put_text(store, "abc"); /* again: nothing changes */
    store_expect_text(store, &id, "abc");
    struct id empty = store_put_text(store, "");
    store_expect_text(store, &empty, "");
    AUTO(buf_fini) struct buf out = buf_init(0);
    buf_put_text(&out, "before ");
    assert_int_equal(store_get(store, &id, &out, &store_err), OK);
    assert_string_equal(buf_text(&out), "before abc");
    assert_int_equal(store_flush(store, &store_err), OK);
}

static void contract_round_trip(void **state)
{
    each(state, round_trip);
}

static void files(struct temp *temp, struct store *store)
{
    static const size_t sizes[] = {0, 1, 4096, 65536, 262143, 262144, 262145, LARGE};
    const char *from = temp_at(temp, "from"), *to = temp_at(temp, "to");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct id id, expected;
        uint64_t bytes;
        temp_write(from, large, sizes[i]);
        hash_bytes(NULL, large, sizes[i], &expected);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(store_put_file(store, from, &id, &bytes, &store_err), OK);
            assert_int_equal(bytes, sizes[i]);
            assert_true(id_equal(&id, &expected));
        }
        assert_int_equal(store_get_file(store, &id, to, &store_err), OK);
        assert_true(temp_holds(to, large, sizes[i]));
        struct stat info;
        assert_int_equal(stat(to, &info), 0);
        assert_int_equal(info.st_mode & 0600, 0600);
        /* What is taken out is a copy: writing to it does not reach the store. */
        temp_write_text(to, "changed");
        AUTO(buf_fini) struct buf out = buf_init(0);
        assert_int_equal(store_get(store, &id, &out, &store_err), OK);
        assert_int_equal(out.count, sizes[i]);
        assert_int_equal(unlink(to), 0);
    }
}

static void contract_files(void **state)
{
    each(state, files);
}

static void refusals(struct temp *temp, struct store *store)
{
    struct id absent, id = store_put_text(store, "abc");
    uint64_t bytes;
    hash_bytes(NULL, "absent", 6, &absent);
    AUTO(buf_fini) struct buf out = buf_init(2);
    const char *to = temp_at(temp, "to2"), *taken = temp_at(temp, "taken");
    assert_int_equal(store_get(store, &absent, &out, &store_err), E_NOTFOUND);
    assert_non_null(strstr(store_err.text, "is not in the store"));
    assert_int_equal(store_get_file(store, &absent, to, &store_err), E_NOTFOUND);
    assert_false(fs_exists(to));
    assert_int_equal(store_get(store, &id, &out, &store_err), E_LIMIT);
    assert_int_equal(out.count, 0);
    temp_write_text(taken, "mine");
    assert_int_equal(store_get_file(store, &id, taken, &store_err), E_CONFLICT);
    assert_true(temp_holds(taken, "mine", 4));
    assert_int_equal(store_put_file(store, temp_at(temp, "absent"), &id, &bytes, &store_err),
                     E_NOTFOUND);
    assert_int_not_equal(store_put_file(store, temp->path, &id, &bytes, &store_err), OK);
    assert_int_equal(store_get_file(store, &id, temp_at(temp, "no/such"), &store_err), E_NOTFOUND);
    unlink(taken);
}

static void contract_refusals(void **state)
{
    each(state, refusals);
}

static void house(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id ids[4] = {store_put_text(store, "a"), store_put_text(store, "bb"),
                        store_put_text(store, "ccc")};
    hash_bytes(NULL, "absent", 6, &ids[3]);
    bool is_there[4];
    assert_int_equal(store_has(store, ids, 4, is_there, &store_err), OK);
    assert_true(is_there[0] && is_there[1] && is_there[2] && !is_there[3]);
    assert_int_equal(store_has(store, NULL, 0, NULL, &store_err), OK);
    uint64_t sum = 0;
    assert_int_equal(store_list(store, store_count_blob, &sum, &store_err), OK);
    assert_int_equal(sum, 3006);
    assert_int_equal(store_remove(store, &ids[0], &store_err), OK);
    assert_int_equal(store_remove(store, &ids[0], &store_err), OK); /* absent is fine */
    assert_int_equal(store_quarantine(store, &ids[2], &store_err), OK);
    assert_int_equal(store_quarantine(store, &ids[3], &store_err), OK);
    assert_false(store_has_one(store, &ids[0]));
    assert_false(store_has_one(store, &ids[2]));
    store_expect_text(store, &ids[1], "bb");
    store_put_text(store, "ccc"); /* may come back */
    store_expect_text(store, &ids[2], "ccc");
    char text[100] = {0};
    memset(text, 'x', 99);
    store_put_text(store, text);
    assert_int_equal(store_list(store, store_count_blob, &sum, &store_err), E_CANCELLED);
}

static void contract_house(void **state)
{
    each(state, house);
}

static void manifests(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id tree, blob = store_put_text(store, "same bytes");
    assert_int_equal(store_put_manifest(store, "same bytes", 10, &tree, &store_err), OK);
    assert_false(id_equal(&tree, &blob));
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(store_get_manifest(store, &tree, &out, &store_err), OK);
    assert_string_equal(buf_text(&out), "same bytes");
    assert_int_equal(store_get_manifest(store, &blob, &out, &store_err), E_NOTFOUND);
    assert_int_equal(store_get(store, &tree, &out, &store_err), E_NOTFOUND);
    assert_false(store_has_one(store, &tree)); /* manifests are no blobs */
    uint64_t sum = 0;
    assert_int_equal(store_list(store, store_count_blob, &sum, &store_err), OK);
    assert_int_equal(sum, 1010);
}

static void contract_manifests(void **state)
{
    each(state, manifests);
}

static void many(struct temp *temp, struct store *store)
{
    (void)temp;
    static struct id ids[500];
    static bool is_there[500];
    char text[32];
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof text, "blob %d", i);
        ids[i] = store_put_text(store, text);
    }
    for (int i = 0; i < 500; i += 3)
        assert_int_equal(store_remove(store, &ids[i], &store_err), OK);
    assert_int_equal(store_has(store, ids, 500, is_there, &store_err), OK);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(is_there[i], i % 3 != 0);
        snprintf(text, sizeof text, "blob %d", i);
        if (is_there[i])
            store_expect_text(store, &ids[i], text);
    }
}

static void contract_many(void **state)
{
    each(state, many);
}

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
        TEST(contract_round_trip),
        TEST(contract_files),
        TEST(contract_refusals),
        TEST(contract_house),
        TEST(contract_manifests),
        TEST(contract_many),
        TEST(unknown_schemes_are_refused),
        TEST(bad_fault_urls_are_refused),
        TEST(the_kth_operation_fails),
        TEST(every_kind_of_operation_can_fail),
        TEST(one_bad_read_is_mended_by_a_second),
        TEST(bad_bytes_in_the_store_are_found),
        TEST(a_failing_quarantine_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
