/* The folder as a store: its layout, and its bad days. */
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/fs.h"
#include "tests/unit/common/store/helpers.h"

enum { LARGE = 1000000 };

static uint8_t large[LARGE];

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
    AUTO(store_close) struct store *store = store_open_at(temp, "%s/store");
    struct id id = store_put_text(store, "abc");
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
    assert_int_equal(store_list(store, store_count_blob, &sum, &store_err), OK);
    assert_int_equal(sum, 1003);
}

static void a_corrupt_blob_is_quarantined_and_made_again(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "%s/store");
    char hex[ID_HEX_BYTES], quarantined[128];
    AUTO(buf_fini) struct buf out = buf_init(0);
    for (int by_file = 0; by_file < 2; by_file++) {
        struct id id = store_put_text(store, "precious");
        spoil(blob_path(temp, &id), "pretious");
        enum status status = by_file ? store_get_file(store, &id, temp_at(temp, "to"), &store_err)
                                     : store_get(store, &id, &out, &store_err);
        assert_int_equal(status, E_CORRUPT);
        assert_non_null(strstr(store_err.text, id_hex(&id, hex)));
        assert_non_null(strstr(store_err.text, temp->path));
        assert_int_equal(out.count, 0);
        assert_false(fs_exists(temp_at(temp, "to")));
        assert_false(store_has_one(store, &id));
        snprintf(quarantined, sizeof quarantined, "store/quarantine/%s", hex);
        assert_true(temp_holds(temp_at(temp, quarantined), "pretious", 8));
        store_put_text(store, "precious");
        store_expect_text(store, &id, "precious");
    }
    assert_int_equal(temp_count(temp->path), 1); /* the store alone: no half file beside `to` */
}

static void a_corrupt_manifest_is_quarantined(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "%s/store");
    struct id id;
    char hex[ID_HEX_BYTES], name[128];
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(store_put_manifest(store, "manifest", 8, &id, &store_err), OK);
    snprintf(name, sizeof name, "store/trees/%.2s/%s", id_hex(&id, hex), hex + 2);
    spoil(temp_at(temp, name), "spoiled!");
    assert_int_equal(store_get_manifest(store, &id, &out, &store_err), E_CORRUPT);
    assert_int_equal(store_get_manifest(store, &id, &out, &store_err), E_NOTFOUND);
}

/* A power loss can leave a blob shorter than it was written. */
static void a_torn_blob_is_written_again_by_put(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "%s/store");
    struct id id = store_put_text(store, "precious");
    spoil(blob_path(temp, &id), "");
    store_put_text(store, "precious");
    store_expect_text(store, &id, "precious");
}

/* What is put again is made new, so that who removes what is old does not take it. */
static void an_old_blob_is_made_new_by_put(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "%s/store");
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    const struct timespec fresh[2] = {{.tv_sec = time(NULL) - 60}, {.tv_sec = time(NULL) - 60}};
    struct id id = store_put_text(store, "precious");
    struct stat info;
    assert_int_equal(utimensat(AT_FDCWD, blob_path(temp, &id), times, 0), 0);
    store_put_text(store, "precious");
    assert_int_equal(stat(blob_path(temp, &id), &info), 0);
    assert_true(info.st_mtime > time(NULL) - 30);
    assert_int_equal(utimensat(AT_FDCWD, blob_path(temp, &id), fresh, 0), 0);
    store_put_text(store, "precious");
    assert_int_equal(stat(blob_path(temp, &id), &info), 0);
    assert_int_equal(info.st_mtime, fresh[1].tv_sec);
}

static void works_from_another_folder(void **state)
{
    struct temp *temp = *state;
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(temp->path), 0);
    AUTO(store_close) struct store *store = NULL;
    enum status status = store_open("./relative", &store, &store_err);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(status, OK);
    struct id id = store_put_text(store, "abc");
    store_expect_text(store, &id, "abc");
    assert_false(fs_exists("relative"));
}

static void two_handles_see_each_other(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *one = store_open_at(temp, "%s/store");
    AUTO(store_close) struct store *two = store_open_at(temp, "%s/store");
    struct id a = store_put_text(one, "from one"), b = store_put_text(two, "from two");
    store_put_text(two, "from one");
    store_expect_text(two, &a, "from one");
    store_expect_text(one, &b, "from two");
}

static void old_temporary_files_are_swept(void **state)
{
    struct temp *temp = *state;
    store_close(store_open_at(temp, "%s/store"));
    temp_write_text(temp_at(temp, "store/tmp/new"), "being written by somebody");
    temp_write_text(temp_at(temp, "store/tmp/old"), "left by a killed program");
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, temp_at(temp, "store/tmp/old"), times, 0), 0);
    store_close(store_open_at(temp, "%s/store"));
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
    struct store *store = store_open_at(temp, "%s/disk/store");
    temp_write(temp_at(temp, "large"), large, LARGE);
    struct id id, small = store_put_text(store, "small");
    uint64_t bytes;
    enum status by_memory = store_put(store, large, LARGE, &id, &store_err);
    struct err file_err;
    enum status by_file = store_put_file(store, temp_at(temp, "large"), &id, &bytes, &file_err);
    int left = temp_count(temp_at(temp, "disk/store/tmp"));
    bool is_there = store_has_one(store, &id), is_kept = store_has_one(store, &small);
    store_close(store);
    AUTO(store_close) struct store *outside = store_open_at(temp, "%s/store");
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
    assert_non_null(strstr(store_err.text, "No space left on device"));
    assert_non_null(strstr(store_err.text, temp->path));
}

static void no_memory_is_an_error(void **state)
{
    struct temp *temp = *state;
    static const char *const urls[] = {"%s/store", "mem:"};
    for (size_t i = 0; i < 2; i++) {
        AUTO(store_close) struct store *store = store_open_at(temp, urls[i]);
        struct id id = store_put_text(store, "abc");
        for (size_t k = 1;; k++) {
            AUTO(buf_fini) struct buf out = buf_init(0);
            mem_fail_after(k);
            enum status status = store_get(store, &id, &out, &store_err);
            mem_fail_after(0);
            if (status == OK) {
                assert_true(k > 1);
                break;
            }
            assert_int_equal(status, E_NOMEM);
            assert_int_equal(out.count, 0);
        }
    }
    AUTO(store_close) struct store *store = store_open_at(temp, "mem:");
    struct id id;
    mem_fail_after(1);
    assert_int_equal(store_put(store, "abc", 3, &id, &store_err), E_NOMEM);
    mem_fail_after(0);
    assert_false(store_has_one(store, &id));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)
    const struct CMUnitTest tests[] = {
        TEST(layout_is_as_documented),
        TEST(a_corrupt_blob_is_quarantined_and_made_again),
        TEST(a_corrupt_manifest_is_quarantined),
        TEST(a_torn_blob_is_written_again_by_put),
        TEST(an_old_blob_is_made_new_by_put),
        TEST(works_from_another_folder),
        TEST(two_handles_see_each_other),
        TEST(old_temporary_files_are_swept),
        TEST(a_full_disk_is_an_error_and_leaves_nothing),
        TEST(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
