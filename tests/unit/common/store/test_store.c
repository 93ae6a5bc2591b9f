/* The store's contract, the same for every back end; then what is special to each. */
// SPDX-License-Identifier: Apache-2.0
#include "common/store/store.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "tests/unit/common/temp.h"

static const char *const back_ends[] = {"%s/store", "file://%s/store2",
                                        "mem:", "fault+%s/store3?on=put&fail=0"};

enum { BACK_ENDS = sizeof back_ends / sizeof *back_ends, LARGE = 1000000 };

static struct err err;
static uint8_t large[LARGE];

static struct store *open_at(struct temp *temp, const char *format)
{
    AUTO(buf_fini) struct buf url = buf_init(0);
    const char *hole = strstr(format, "%s");
    if (hole) {
        buf_put(&url, format, (size_t)(hole - format));
        buf_format(&url, "%s%s", temp->path, hole + 2);
    } else {
        buf_put_text(&url, format);
    }
    struct store *store;
    if (store_open(buf_text(&url), &store, &err) != OK)
        fail_msg("%s", err.text);
    assert_string_equal(store_url(store), buf_text(&url));
    return store;
}

/* Runs one part of the contract on each back end, in a folder of its own. */
static void each(void **state, void (*part)(struct temp *temp, struct store *store))
{
    struct temp *temp = *state;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * 7 + i / 1000);
    for (int i = 0; i < BACK_ENDS; i++) {
        struct store *store = open_at(temp, back_ends[i]);
        part(temp, store);
        store_close(store);
    }
}

static struct id put_text(struct store *store, const char *text)
{
    struct id id;
    if (store_put(store, text, strlen(text), &id, &err) != OK)
        fail_msg("%s", err.text);
    return id;
}

static bool has(struct store *store, const struct id *id)
{
    bool is_there;
    assert_int_equal(store_has(store, id, 1, &is_there, &err), OK);
    return is_there;
}

static void expect_text(struct store *store, const struct id *id, const char *text)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    if (store_get(store, id, &out, &err) != OK)
        fail_msg("%s", err.text);
    assert_string_equal(buf_text(&out), text);
}

static void round_trip(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id id = put_text(store, "abc"), plain;
    hash_bytes(NULL, "abc", 3, &plain);
    assert_true(id_equal(&id, &plain));
    expect_text(store, &id, "abc");
    put_text(store, "abc"); /* again: nothing changes */
    expect_text(store, &id, "abc");
    struct id empty = put_text(store, "");
    expect_text(store, &empty, "");
    AUTO(buf_fini) struct buf out = buf_init(0);
    buf_put_text(&out, "before ");
    assert_int_equal(store_get(store, &id, &out, &err), OK);
    assert_string_equal(buf_text(&out), "before abc");
    assert_int_equal(store_flush(store, &err), OK);
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
            assert_int_equal(store_put_file(store, from, &id, &bytes, &err), OK);
            assert_int_equal(bytes, sizes[i]);
            assert_true(id_equal(&id, &expected));
        }
        assert_int_equal(store_get_file(store, &id, to, &err), OK);
        assert_true(temp_holds(to, large, sizes[i]));
        struct stat info;
        assert_int_equal(stat(to, &info), 0);
        assert_int_equal(info.st_mode & 0600, 0600);
        /* What is taken out is a copy: writing to it does not reach the store. */
        temp_write_text(to, "changed");
        AUTO(buf_fini) struct buf out = buf_init(0);
        assert_int_equal(store_get(store, &id, &out, &err), OK);
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
    struct id absent, id = put_text(store, "abc");
    uint64_t bytes;
    hash_bytes(NULL, "absent", 6, &absent);
    AUTO(buf_fini) struct buf out = buf_init(2);
    const char *to = temp_at(temp, "to2"), *taken = temp_at(temp, "taken");
    assert_int_equal(store_get(store, &absent, &out, &err), E_NOTFOUND);
    assert_non_null(strstr(err.text, "is not in the store"));
    assert_int_equal(store_get_file(store, &absent, to, &err), E_NOTFOUND);
    assert_false(fs_exists(to));
    assert_int_equal(store_get(store, &id, &out, &err), E_LIMIT);
    assert_int_equal(out.count, 0);
    temp_write_text(taken, "mine");
    assert_int_equal(store_get_file(store, &id, taken, &err), E_CONFLICT);
    assert_true(temp_holds(taken, "mine", 4));
    assert_int_equal(store_put_file(store, temp_at(temp, "absent"), &id, &bytes, &err), E_NOTFOUND);
    assert_int_not_equal(store_put_file(store, temp->path, &id, &bytes, &err), OK);
    assert_int_equal(store_get_file(store, &id, temp_at(temp, "no/such"), &err), E_NOTFOUND);
    unlink(taken);
}

static void contract_refusals(void **state)
{
    each(state, refusals);
}

static enum status count_blob(void *context, const struct id *id, uint64_t bytes, struct err *e)
{
    (void)id;
    *(uint64_t *)context += 1000 + bytes;
    return bytes == 99 ? err_set(e, E_CANCELLED, "enough") : OK;
}

static void house(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id ids[4] = {put_text(store, "a"), put_text(store, "bb"), put_text(store, "ccc")};
    hash_bytes(NULL, "absent", 6, &ids[3]);
    bool is_there[4];
    assert_int_equal(store_has(store, ids, 4, is_there, &err), OK);
    assert_true(is_there[0] && is_there[1] && is_there[2] && !is_there[3]);
    assert_int_equal(store_has(store, NULL, 0, NULL, &err), OK);
    uint64_t sum = 0;
    assert_int_equal(store_list(store, count_blob, &sum, &err), OK);
    assert_int_equal(sum, 3006);
    assert_int_equal(store_remove(store, &ids[0], &err), OK);
    assert_int_equal(store_remove(store, &ids[0], &err), OK); /* absent is fine */
    assert_int_equal(store_quarantine(store, &ids[2], &err), OK);
    assert_int_equal(store_quarantine(store, &ids[3], &err), OK);
    assert_false(has(store, &ids[0]));
    assert_false(has(store, &ids[2]));
    expect_text(store, &ids[1], "bb");
    put_text(store, "ccc"); /* may come back */
    expect_text(store, &ids[2], "ccc");
    char text[100] = {0};
    memset(text, 'x', 99);
    put_text(store, text);
    assert_int_equal(store_list(store, count_blob, &sum, &err), E_CANCELLED);
}

static void contract_house(void **state)
{
    each(state, house);
}

static void manifests(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id tree, blob = put_text(store, "same bytes");
    assert_int_equal(store_put_manifest(store, "same bytes", 10, &tree, &err), OK);
    assert_false(id_equal(&tree, &blob));
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(store_get_manifest(store, &tree, &out, &err), OK);
    assert_string_equal(buf_text(&out), "same bytes");
    assert_int_equal(store_get_manifest(store, &blob, &out, &err), E_NOTFOUND);
    assert_int_equal(store_get(store, &tree, &out, &err), E_NOTFOUND);
    assert_false(has(store, &tree)); /* manifests are no blobs */
    uint64_t sum = 0;
    assert_int_equal(store_list(store, count_blob, &sum, &err), OK);
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
        ids[i] = put_text(store, text);
    }
    for (int i = 0; i < 500; i += 3)
        assert_int_equal(store_remove(store, &ids[i], &err), OK);
    assert_int_equal(store_has(store, ids, 500, is_there, &err), OK);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(is_there[i], i % 3 != 0);
        snprintf(text, sizeof text, "blob %d", i);
        if (is_there[i])
            expect_text(store, &ids[i], text);
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
    assert_int_equal(store_open("gopher://x", &store, &err), E_INVALID);
    assert_non_null(strstr(err.text, "gopher://x: no store is called \"gopher:\""));
    assert_null(store);
    assert_int_equal(store_open("mem:x", &store, &err), E_INVALID);
    temp_write_text(temp_at(temp, "file"), "");
    assert_int_equal(store_open(temp_at(temp, "file"), &store, &err), E_NOTFOUND);
    assert_int_equal(store_open("", &store, &err), E_INVALID);
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
        assert_int_equal(store_open(urls[i], &store, &err), E_INVALID);
        assert_null(store);
    }
}

/* ---- the folder ---- */

static const char *blob_path(struct temp *temp, const struct id *id)
{
    char hex[ID_HEX_BYTES], name[128];
    id_hex(id, hex);
    snprintf(name, sizeof name, "store/blobs/%.2s/%s", hex, hex + 2);
    return temp_at(temp, name);
}

static void spoil(const char *path, const char *text)
{
    assert_int_equal(chmod(path, 0644), 0);
    temp_write_text(path, text);
}

static void layout_is_as_documented(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_at(temp, "%s/store");
    struct id id = put_text(store, "abc");
    assert_true(
        temp_holds(temp_at(temp, "store/blobs/bd/"
                                 "dd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
                   "abc", 3));
    struct stat info;
    assert_int_equal(stat(blob_path(temp, &id), &info), 0);
    assert_int_equal(info.st_mode & 0222, 0);
    assert_int_equal(temp_count(temp_at(temp, "store/tmp")), 0);
    /* A stranger's file among the blobs is not taken for one. */
    temp_write_text(temp_at(temp, "store/blobs/bd/README"), "hello");
    uint64_t sum = 0;
    assert_int_equal(store_list(store, count_blob, &sum, &err), OK);
    assert_int_equal(sum, 1003);
}

static void a_corrupt_blob_is_quarantined_and_made_again(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_at(temp, "%s/store");
    char hex[ID_HEX_BYTES], quarantined[128];
    AUTO(buf_fini) struct buf out = buf_init(0);
    for (int by_file = 0; by_file < 2; by_file++) {
        struct id id = put_text(store, "precious");
        spoil(blob_path(temp, &id), "pretious");
        enum status status = by_file ? store_get_file(store, &id, temp_at(temp, "to"), &err)
                                     : store_get(store, &id, &out, &err);
        assert_int_equal(status, E_CORRUPT);
        assert_non_null(strstr(err.text, id_hex(&id, hex)));
        assert_non_null(strstr(err.text, temp->path));
        assert_int_equal(out.count, 0);
        assert_false(fs_exists(temp_at(temp, "to")));
        assert_false(has(store, &id));
        snprintf(quarantined, sizeof quarantined, "store/quarantine/%s", hex);
        assert_true(temp_holds(temp_at(temp, quarantined), "pretious", 8));
        put_text(store, "precious");
        expect_text(store, &id, "precious");
    }
    assert_int_equal(temp_count(temp->path), 1); /* the store alone: no half file beside `to` */
}

static void a_corrupt_manifest_is_quarantined(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_at(temp, "%s/store");
    struct id id;
    char hex[ID_HEX_BYTES], name[128];
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(store_put_manifest(store, "manifest", 8, &id, &err), OK);
    snprintf(name, sizeof name, "store/trees/%.2s/%s", id_hex(&id, hex), hex + 2);
    spoil(temp_at(temp, name), "spoiled!");
    assert_int_equal(store_get_manifest(store, &id, &out, &err), E_CORRUPT);
    assert_int_equal(store_get_manifest(store, &id, &out, &err), E_NOTFOUND);
}

/* A power loss can leave a blob shorter than it was written. */
static void a_torn_blob_is_written_again_by_put(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_at(temp, "%s/store");
    struct id id = put_text(store, "precious");
    spoil(blob_path(temp, &id), "");
    put_text(store, "precious");
    expect_text(store, &id, "precious");
}

static void works_from_another_folder(void **state)
{
    struct temp *temp = *state;
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(temp->path), 0);
    AUTO(store_close) struct store *store = NULL;
    enum status status = store_open("./relative", &store, &err);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(status, OK);
    struct id id = put_text(store, "abc");
    expect_text(store, &id, "abc");
    assert_false(fs_exists("relative"));
}

static void two_handles_see_each_other(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *one = open_at(temp, "%s/store");
    AUTO(store_close) struct store *two = open_at(temp, "%s/store");
    struct id a = put_text(one, "from one"), b = put_text(two, "from two");
    put_text(two, "from one");
    expect_text(two, &a, "from one");
    expect_text(one, &b, "from two");
}

static void old_temporary_files_are_swept(void **state)
{
    struct temp *temp = *state;
    store_close(open_at(temp, "%s/store"));
    temp_write_text(temp_at(temp, "store/tmp/new"), "being written by somebody");
    temp_write_text(temp_at(temp, "store/tmp/old"), "left by a killed program");
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, temp_at(temp, "store/tmp/old"), times, 0), 0);
    store_close(open_at(temp, "%s/store"));
    assert_true(fs_exists(temp_at(temp, "store/tmp/new")));
    assert_false(fs_exists(temp_at(temp, "store/tmp/old")));
}

static void a_full_disk_is_an_error_and_leaves_nothing(void **state)
{
    struct temp *temp = *state;
    assert_int_equal(mkdir(temp_at(temp, "disk"), 0700), 0);
    if (mount("none", temp_at(temp, "disk"), "tmpfs", 0, "size=512k") != 0) {
        print_message("SKIPPED: mounting a small disk needs root\n");
        skip();
    }
    struct store *store = open_at(temp, "%s/disk/store");
    temp_write(temp_at(temp, "large"), large, LARGE);
    struct id id, small = put_text(store, "small");
    uint64_t bytes;
    enum status by_memory = store_put(store, large, LARGE, &id, &err);
    struct err file_err;
    enum status by_file = store_put_file(store, temp_at(temp, "large"), &id, &bytes, &file_err);
    int left = temp_count(temp_at(temp, "disk/store/tmp"));
    bool is_there = has(store, &id), is_kept = has(store, &small);
    store_close(store);
    AUTO(store_close) struct store *outside = open_at(temp, "%s/store");
    assert_int_equal(store_put(outside, large, LARGE, &id, NULL), OK);
    enum status out_of = store_get_file(outside, &id, temp_at(temp, "disk/to"), &file_err);
    int beside = temp_count(temp_at(temp, "disk"));
    assert_int_equal(umount(temp_at(temp, "disk")), 0);
    assert_int_equal(by_memory, E_FULL);
    assert_int_equal(by_file, E_FULL);
    assert_int_equal(out_of, E_FULL);
    assert_int_equal(left, 0);
    assert_int_equal(beside, 1);
    assert_false(is_there);
    assert_true(is_kept);
    assert_non_null(strstr(err.text, "No space left on device"));
    assert_non_null(strstr(err.text, temp->path));
}

static void no_memory_is_an_error(void **state)
{
    struct temp *temp = *state;
    static const char *const urls[] = {"%s/store", "mem:"};
    for (size_t i = 0; i < 2; i++) {
        AUTO(store_close) struct store *store = open_at(temp, urls[i]);
        struct id id = put_text(store, "abc");
        for (size_t k = 1;; k++) {
            AUTO(buf_fini) struct buf out = buf_init(0);
            mem_fail_after(k);
            enum status status = store_get(store, &id, &out, &err);
            mem_fail_after(0);
            if (status == OK) {
                assert_true(k > 1);
                break;
            }
            assert_int_equal(status, E_NOMEM);
            assert_int_equal(out.count, 0);
        }
    }
    AUTO(store_close) struct store *store = open_at(temp, "mem:");
    struct id id;
    mem_fail_after(1);
    assert_int_equal(store_put(store, "abc", 3, &id, &err), E_NOMEM);
    mem_fail_after(0);
    assert_false(has(store, &id));
}

/* ---- faults on demand ---- */

static void the_kth_operation_fails(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close)
    struct store *store =
        open_at(temp, "fault+%s/store?on=put,get&fail=2&times=2&status=disk_full");
    struct id id = put_text(store, "one");
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_true(has(store, &id)); /* does not count */
    assert_int_equal(store_get(store, &id, &out, &err), E_FULL);
    assert_non_null(strstr(err.text, "injected fault: get number 2"));
    assert_int_equal(store_put(store, "two", 3, &id, &err), E_FULL);
    assert_false(has(store, &id));
    id = put_text(store, "two");
    expect_text(store, &id, "two");
}

static void every_kind_of_operation_can_fail(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_at(temp, "fault+%s/store?fail=1&times=0");
    AUTO(buf_fini) struct buf out = buf_init(0);
    struct id id = {{0}};
    uint64_t bytes = 0;
    bool is_there;
    temp_write_text(temp_at(temp, "f"), "x");
    assert_int_equal(store_put(store, "", 0, &id, &err), E_IO);
    assert_int_equal(store_put_file(store, temp_at(temp, "f"), &id, &bytes, &err), E_IO);
    assert_int_equal(store_get(store, &id, &out, &err), E_IO);
    assert_int_equal(store_get_file(store, &id, temp_at(temp, "to"), &err), E_IO);
    assert_false(fs_exists(temp_at(temp, "to")));
    assert_int_equal(store_put_manifest(store, "", 0, &id, &err), E_IO);
    assert_int_equal(store_get_manifest(store, &id, &out, &err), E_IO);
    assert_int_equal(store_has(store, &id, 1, &is_there, &err), E_IO);
    assert_int_equal(store_list(store, count_blob, &bytes, &err), E_IO);
    assert_int_equal(store_remove(store, &id, &err), E_IO);
    assert_int_equal(store_quarantine(store, &id, &err), E_IO);
    assert_int_equal(store_flush(store, &err), E_IO);
}

/* A bit that turned on the way is read again; nothing is put aside. */
static void one_bad_read_is_mended_by_a_second(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_at(temp, "fault+%s/store?on=get&corrupt=1");
    AUTO(store_close) struct store *by_file = open_at(temp, "fault+%s/store?on=get&corrupt=1");
    struct id id = put_text(store, "abc");
    expect_text(store, &id, "abc");
    assert_int_equal(store_get_file(by_file, &id, temp_at(temp, "to"), &err), OK);
    assert_true(temp_holds(temp_at(temp, "to"), "abc", 3));
    assert_false(fs_exists(temp_at(temp, "store/quarantine")));
}

static void bad_bytes_in_the_store_are_found(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close)
    struct store *store = open_at(temp, "fault+%s/store?on=put&corrupt=1&times=2");
    AUTO(buf_fini) struct buf out = buf_init(0);
    uint64_t bytes;
    struct id id = put_text(store, "abc"), other;
    temp_write_text(temp_at(temp, "f"), "a file");
    assert_int_equal(store_put_file(store, temp_at(temp, "f"), &other, &bytes, &err), OK);
    assert_int_equal(store_get(store, &id, &out, &err), E_CORRUPT);
    assert_int_equal(store_get_file(store, &other, temp_at(temp, "to"), &err), E_CORRUPT);
    assert_int_equal(temp_count(temp_at(temp, "store/quarantine")), 2);
    put_text(store, "abc");
    expect_text(store, &id, "abc");
}

static void a_failing_quarantine_is_told(void **state)
{
    struct temp *temp = *state;
    struct id id;
    AUTO(buf_fini) struct buf out = buf_init(0);
    {
        AUTO(store_close) struct store *store = open_at(temp, "fault+%s/store?on=put&corrupt=1");
        id = put_text(store, "abc");
    }
    AUTO(store_close) struct store *store = open_at(temp, "fault+%s/store?on=quarantine&fail=1");
    assert_int_equal(store_get(store, &id, &out, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "moving it to quarantine/ failed"));
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
        TEST(layout_is_as_documented),
        TEST(a_corrupt_blob_is_quarantined_and_made_again),
        TEST(a_corrupt_manifest_is_quarantined),
        TEST(a_torn_blob_is_written_again_by_put),
        TEST(works_from_another_folder),
        TEST(two_handles_see_each_other),
        TEST(old_temporary_files_are_swept),
        TEST(a_full_disk_is_an_error_and_leaves_nothing),
        TEST(no_memory_is_an_error),
        TEST(the_kth_operation_fails),
        TEST(every_kind_of_operation_can_fail),
        TEST(one_bad_read_is_mended_by_a_second),
        TEST(bad_bytes_in_the_store_are_found),
        TEST(a_failing_quarantine_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
