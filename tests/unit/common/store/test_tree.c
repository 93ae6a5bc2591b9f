// SPDX-License-Identifier: Apache-2.0
#include "common/store/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "tests/unit/common/temp.h"

static struct err err;
static struct id blob_id;

static struct store *open_store(const char *url)
{
    struct store *store;
    if (store_open(url, &store, &err) != OK)
        fail_msg("%s", err.text);
    return store;
}

static void make_folder(struct temp *temp)
{
    assert_int_equal(fs_make_dirs(temp_at(temp, "in/bin"), &err), OK);
    temp_write_text(temp_at(temp, "in/a.txt"), "abc");
    temp_write_text(temp_at(temp, "in/bin/run"), "");
    chmod(temp_at(temp, "in/bin/run"), 0755);
}

/* Python: msgpack.packb([["a.txt", False, 3, blake2b(b"abc")], ["bin/run", True, 0,
 * blake2b(b"")]]), its id with person "penstock tree". */
static const char golden_id[] = "f11bda7b89c9697fe0a1bd1706c81773f5f3dbc3ee78052b74a415b0ed96c7af";
enum { GOLDEN_BYTES = 89 };

static void equals_a_second_implementation(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_store("mem:");
    make_folder(temp);
    struct artifact tree;
    char hex[ID_HEX_BYTES];
    assert_int_equal(tree_put(store, temp_at(temp, "in"), &tree, &err), OK);
    assert_string_equal(id_hex(&tree.id, hex), golden_id);
    assert_true(tree.is_tree);
    assert_int_equal(tree.bytes, 3);
    AUTO(buf_fini) struct buf manifest = buf_init(0);
    assert_int_equal(store_get_manifest(store, &tree.id, &manifest, &err), OK);
    assert_int_equal(manifest.count, GOLDEN_BYTES);
}

static void round_trip(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_store(temp_at(temp, "store"));
    make_folder(temp);
    assert_int_equal(fs_make_dirs(temp_at(temp, "in/deep/er/and"), &err), OK);
    temp_write_text(temp_at(temp, "in/deep/er/and/ä ö.txt"), "text");
    temp_write_text(temp_at(temp, "in/deep/er-x"), "text");
    assert_int_equal(fs_make_dirs(temp_at(temp, "in/empty"), &err), OK);
    struct artifact tree, again;
    assert_int_equal(tree_put(store, temp_at(temp, "in"), &tree, &err), OK);
    assert_int_equal(tree.bytes, 11);
    assert_int_equal(tree_get(store, &tree.id, temp_at(temp, "out"), &err), OK);
    assert_true(temp_holds(temp_at(temp, "out/a.txt"), "abc", 3));
    assert_true(temp_holds(temp_at(temp, "out/deep/er/and/ä ö.txt"), "text", 4));
    assert_true(temp_holds(temp_at(temp, "out/deep/er-x"), "text", 4));
    assert_int_equal(access(temp_at(temp, "out/bin/run"), X_OK), 0);
    assert_false(fs_exists(temp_at(temp, "out/empty"))); /* as documented */
    struct stat info;
    stat(temp_at(temp, "out/a.txt"), &info);
    assert_int_equal(info.st_mode & 0111, 0);
    assert_int_equal(tree_put(store, temp_at(temp, "out"), &again, &err), OK);
    assert_true(id_equal(&tree.id, &again.id));
    AUTO(tree_free) struct tree *parsed = NULL;
    assert_int_equal(tree_open(store, &tree.id, &parsed, &err), OK);
    assert_int_equal(tree_count(parsed), 4);
    struct tree_entry entry = tree_entry(parsed, 1);
    assert_int_equal(entry.path_bytes, 7);
    assert_memory_equal(entry.path, "bin/run", 7);
    assert_true(entry.is_executable);
}

static struct tree_entry entry_of(const char *path)
{
    return (struct tree_entry){
        .path = path, .path_bytes = (uint32_t)strlen(path), .bytes = 3, .blob = blob_id};
}

static void entries_make_the_same_tree_in_any_order(void **state)
{
    (void)state;
    AUTO(store_close) struct store *store = open_store("mem:");
    struct tree_entry ordered[] = {entry_of("a"), entry_of("b/c"), entry_of("b0")};
    struct tree_entry mixed[] = {entry_of("b0"), entry_of("a"), entry_of("b/c")};
    struct tree_entry twice[] = {entry_of("b0"), entry_of("a"), entry_of("b0")};
    struct tree_entry inside[] = {entry_of("a"), entry_of("a/b")}, bad = entry_of("../x");
    struct artifact one, two;
    assert_int_equal(tree_put_entries(store, ordered, 3, &one, &err), OK);
    assert_int_equal(tree_put_entries(store, mixed, 3, &two, &err), OK);
    assert_true(id_equal(&one.id, &two.id));
    assert_int_equal(one.bytes, 9);
    AUTO(tree_free) struct tree *tree = NULL;
    assert_int_equal(tree_open(store, &one.id, &tree, &err), OK);
    assert_int_equal(tree_count(tree), 3);
    assert_int_equal(tree_put_entries(store, twice, 3, &two, &err), E_INVALID);
    assert_int_equal(tree_put_entries(store, inside, 2, &two, &err), E_INVALID);
    assert_int_equal(tree_put_entries(store, &bad, 1, &two, &err), E_INVALID);
    assert_int_equal(tree_put_entries(store, NULL, 0, &two, &err), OK);
}

static void an_empty_folder_is_a_tree(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_store("mem:");
    assert_int_equal(mkdir(temp_at(temp, "in"), 0700), 0);
    struct artifact tree;
    assert_int_equal(tree_put(store, temp_at(temp, "in"), &tree, &err), OK);
    assert_int_equal(tree_get(store, &tree.id, temp_at(temp, "out"), &err), OK);
    assert_int_equal(temp_count(temp_at(temp, "out")), 0);
}

static void strange_files_are_refused(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_store("mem:");
    struct artifact tree;
    make_folder(temp);
    assert_int_equal(symlink("a.txt", temp_at(temp, "in/link")), 0);
    assert_int_equal(tree_put(store, temp_at(temp, "in"), &tree, &err), E_INVALID);
    assert_non_null(strstr(err.text, "in/link: a symbolic link"));
    unlink(temp_at(temp, "in/link"));
    temp_write_text(temp_at(temp, "in/\xff.txt"), "");
    assert_int_equal(tree_put(store, temp_at(temp, "in"), &tree, &err), E_INVALID);
    assert_non_null(strstr(err.text, "UTF-8"));
    assert_int_equal(tree_put(store, temp_at(temp, "in/a.txt"), &tree, &err), E_NOTFOUND);
    assert_int_equal(tree_put(store, temp_at(temp, "absent"), &tree, &err), E_NOTFOUND);
}

static void missing_parts_are_found(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_store(temp_at(temp, "store"));
    struct artifact tree;
    struct id blob, absent = {{9}};
    AUTO(buf_fini) struct buf missing = buf_init(0);
    make_folder(temp);
    assert_int_equal(tree_put(store, temp_at(temp, "in"), &tree, &err), OK);
    assert_int_equal(tree_check(store, &tree.id, &missing, &err), OK);
    assert_int_equal(missing.count, 0);
    hash_bytes(NULL, "abc", 3, &blob);
    assert_int_equal(store_remove(store, &blob, &err), OK);
    assert_int_equal(tree_check(store, &tree.id, &missing, &err), OK);
    assert_int_equal(missing.count, ID_BYTES);
    assert_memory_equal(missing.bytes, &blob, ID_BYTES);
    assert_int_equal(tree_get(store, &tree.id, temp_at(temp, "out"), &err), E_NOTFOUND);
    assert_false(fs_exists(temp_at(temp, "out")));
    buf_clear(&missing);
    assert_int_equal(tree_check(store, &absent, &missing, &err), OK);
    assert_memory_equal(missing.bytes, &absent, ID_BYTES);
    assert_int_equal(tree_get(store, &absent, temp_at(temp, "out"), &err), E_NOTFOUND);
    assert_int_equal(tree_get(store, &tree.id, temp_at(temp, "in"), &err), E_CONFLICT);
    assert_true(fs_exists(temp_at(temp, "in/a.txt")));
}

/* Every store operation fails once: an error comes back, and nothing is left. */
static void every_fault_is_reported(void **state)
{
    struct temp *temp = *state;
    char name[64];
    make_folder(temp);
    for (int k = 1;; k++) {
        snprintf(name, sizeof name, "%s?fail=%d", "store", k);
        AUTO(buf_fini) struct buf url = buf_init(0);
        buf_format(&url, "fault+%s", temp_at(temp, name));
        AUTO(store_close) struct store *store = open_store(buf_text(&url));
        struct artifact tree;
        enum status status = tree_put(store, temp_at(temp, "in"), &tree, &err);
        if (status == OK)
            status = tree_get(store, &tree.id, temp_at(temp, "out"), &err);
        bool is_there = fs_exists(temp_at(temp, "out"));
        assert_int_equal(is_there, status == OK);
        if (status == OK) {
            assert_int_equal(k, 7); /* 3 puts, 3 gets */
            break;
        }
        assert_int_equal(status, E_IO);
        assert_non_null(strstr(err.text, "injected fault"));
    }
}

/* ---- hostile manifests ---- */

static void write_head(struct mp_writer *w, uint32_t count)
{
    mp_write_array(w, count);
}

static void write_entry(struct mp_writer *w, const char *path, size_t bytes)
{
    mp_write_array(w, 4);
    mp_write_str(w, path, bytes);
    mp_write_bool(w, false);
    mp_write_uint(w, 3);
    mp_write_id(w, &blob_id);
}

static enum status open_bytes(struct store *store, const void *bytes, size_t count)
{
    struct id id;
    struct tree *tree;
    assert_int_equal(store_put_manifest(store, bytes, count, &id, &err), OK);
    enum status status = tree_open(store, &id, &tree, &err);
    if (status == OK)
        tree_free(tree);
    else
        assert_null(tree);
    return status;
}

static enum status open_paths(struct store *store, const char *const *paths, uint32_t count)
{
    uint8_t bytes[8192];
    struct mp_writer w = mp_writer(bytes, sizeof bytes);
    write_head(&w, count);
    for (uint32_t i = 0; i < count; i++)
        write_entry(&w, paths[i], strlen(paths[i]));
    assert_false(mp_writer_is_full(&w));
    return open_bytes(store, bytes, w.need);
}

static void hostile_paths_are_corrupt(void **state)
{
    (void)state;
    AUTO(store_close) struct store *store = open_store("mem:");
    static char far[TREE_PATH_BYTES_MAX + 2];
    memset(far, 'x', TREE_PATH_BYTES_MAX + 1);
    const char *const bad[] = {"",      "/",        "/etc/passwd",  "..",    "../x", "a/../b",
                               "a/..",  ".",        "./a",          "a/./b", "a//b", "a/",
                               "a\xff", "\xc0\x80", "\xed\xa0\x80", far};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open_paths(store, &bad[i], 1), E_CORRUPT);
        assert_non_null(strstr(err.text, "manifest of tree "));
    }
    const char *const good[] = {"...", "..a", "a..", ".hidden", "a b/c", "\xc3\xa4", "-rf"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (open_paths(store, &good[i], 1) != OK)
            fail_msg("%s: %s", good[i], err.text);
    far[TREE_PATH_BYTES_MAX] = 0;
    const char *const longest[] = {far};
    assert_int_equal(open_paths(store, longest, 1), OK);
    uint8_t bytes[256];
    struct mp_writer w = mp_writer(bytes, sizeof bytes);
    write_head(&w, 1);
    write_entry(&w, "a\0b", 3);
    assert_int_equal(open_bytes(store, bytes, w.need), E_CORRUPT);
}

static void hostile_orders_are_corrupt(void **state)
{
    (void)state;
    AUTO(store_close) struct store *store = open_store("mem:");
    assert_int_equal(open_paths(store, (const char *const[]){"b", "a"}, 2), E_CORRUPT);
    assert_int_equal(open_paths(store, (const char *const[]){"a", "a"}, 2), E_CORRUPT);
    assert_int_equal(open_paths(store, (const char *const[]){"a", "a-", "a/b"}, 3), E_CORRUPT);
    assert_non_null(strstr(err.text, "lies in a file"));
    assert_int_equal(open_paths(store, (const char *const[]){"a", "a/b/c"}, 2), E_CORRUPT);
    assert_int_equal(open_paths(store, (const char *const[]){"a-", "a/b", "a0"}, 3), OK);
}

static void hostile_bytes_are_corrupt(void **state)
{
    (void)state;
    AUTO(store_close) struct store *store = open_store("mem:");
    static const struct {
        const char *bytes;
        size_t count;
    } bad[] = {
        {"", 0},
        {"\xc0", 1},                 /* nil */
        {"\x91", 1},                 /* cut short */
        {"\xdd\xff\xff\xff\xff", 5}, /* four billion files */
        {"\xdd\x00\x00\x00\x00", 5}, /* not the shortest form of none */
        {"\x90\x90", 2},             /* trailing bytes */
        {"\x91\x93\xa1x\xc2\x03", 6},
        {"\x91\x94\xa1x\xc2\x03\xc4\x04gggg", 12}, /* an id of 4 bytes */
        {"\x91\x94\x01\xc2\x03\xc0", 6},
        {"hello", 5},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(open_bytes(store, bad[i].bytes, bad[i].count), E_CORRUPT);
    assert_int_equal(open_bytes(store, "\x90", 1), OK);
}

static void mutated_manifests_never_crash(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_store("mem:");
    make_folder(temp);
    struct artifact tree;
    assert_int_equal(tree_put(store, temp_at(temp, "in"), &tree, &err), OK);
    AUTO(buf_fini) struct buf manifest = buf_init(0);
    assert_int_equal(store_get_manifest(store, &tree.id, &manifest, &err), OK);
    struct rng rng = rng_seed(1);
    int corrupt_count = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[GOLDEN_BYTES];
        memcpy(bytes, manifest.bytes, GOLDEN_BYTES);
        for (uint32_t k = 1 + rng_below(&rng, 3); k > 0; k--)
            bytes[rng_below(&rng, GOLDEN_BYTES)] = (uint8_t)rng_below(&rng, 256);
        size_t count = rng_below(&rng, 4) ? GOLDEN_BYTES : rng_below(&rng, GOLDEN_BYTES);
        corrupt_count += open_bytes(store, bytes, count) == E_CORRUPT;
    }
    assert_in_range(corrupt_count, 6000, 19000); /* the rest hit ids, sizes and names */
}

static void no_memory_is_an_error(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_store(temp_at(temp, "store"));
    make_folder(temp);
    struct artifact tree;
    assert_int_equal(tree_put(store, temp_at(temp, "in"), &tree, &err), OK);
    for (size_t k = 1;; k++) {
        AUTO(tree_free) struct tree *parsed = NULL;
        mem_fail_after(k);
        enum status status = tree_open(store, &tree.id, &parsed, &err);
        mem_fail_after(0);
        if (status == OK) {
            assert_true(k > 2);
            break;
        }
        assert_int_equal(status, E_NOMEM);
        assert_null(parsed);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)
    hash_bytes(NULL, "abc", 3, &blob_id);
    const struct CMUnitTest tests[] = {
        TEST(equals_a_second_implementation),
        TEST(round_trip),
        TEST(entries_make_the_same_tree_in_any_order),
        TEST(an_empty_folder_is_a_tree),
        TEST(strange_files_are_refused),
        TEST(missing_parts_are_found),
        TEST(every_fault_is_reported),
        TEST(hostile_paths_are_corrupt),
        TEST(hostile_orders_are_corrupt),
        TEST(hostile_bytes_are_corrupt),
        TEST(mutated_manifests_never_crash),
        TEST(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
