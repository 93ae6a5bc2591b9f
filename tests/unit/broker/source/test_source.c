// SPDX-License-Identifier: Apache-2.0
#include "broker/source/source.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/source/cache.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/store/tree.h"

static char root[200];
static struct store *store;
static struct err err;

static const char *path_of(const char *name)
{
    static char paths[4][300];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    if (fs_make_temp_dir("/tmp/test_source.", root, sizeof root, &err) != OK)
        return 1;
    return store_open(path_of("store"), &store, &err) == OK ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    return fs_remove_tree(root, &err) == OK ? 0 : 1;
}

static void put_text(const char *name, const char *text)
{
    assert_int_equal(fs_write(path_of(name), text, strlen(text), &err), OK);
}

/* Makes the file look as if it was last changed a minute ago (but for its ctime, which nobody can
 * set). */
static void make_old(const char *name)
{
    struct timespec times[2] = {{.tv_sec = (time_t)(clock_epoch_us() / 1000000) - 60}};
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, path_of(name), times, 0), 0);
}

static enum status resolve(const char *location, struct source_cache *cache, struct artifact *out)
{
    static const struct value at = {.line = 3, .column = 9};
    struct source_need need = {.name = "iris", .location = location, .at = &at};
    return source_resolve(&need, root, store, cache, out, &err);
}

static void expect_error(const char *location, enum status code, const char *text)
{
    struct artifact artifact;
    assert_int_equal(resolve(location, NULL, &artifact), code);
    if (!strstr(err.text, text))
        fail_msg("expected \"%s\" in \"%s\"", text, err.text);
}

static void test_a_file_is_a_blob_in_the_store(void **state)
{
    (void)state;
    put_text("a.csv", "x,y\n1,2\n");
    struct artifact artifact;
    struct id id;
    assert_int_equal(resolve("a.csv", NULL, &artifact), OK);
    hash_bytes(NULL, "x,y\n1,2\n", 8, &id);
    assert_memory_equal(&artifact.id, &id, ID_BYTES);
    assert_int_equal(artifact.bytes, 8);
    assert_false(artifact.is_tree);
    bool has = false;
    assert_int_equal(store_has(store, &id, 1, &has, &err), OK);
    assert_true(has);
}

static void test_a_folder_is_a_tree(void **state)
{
    (void)state;
    assert_int_equal(fs_make_dirs(path_of("lib/sub"), &err), OK);
    put_text("lib/b.py", "b");
    put_text("lib/sub/a.py", "aa");
    struct artifact artifact, again;
    assert_int_equal(resolve("lib", NULL, &artifact), OK);
    assert_true(artifact.is_tree);
    assert_int_equal(artifact.bytes, 3);
    assert_int_equal(tree_put(store, path_of("lib"), &again, &err), OK);
    assert_memory_equal(&artifact.id, &again.id, ID_BYTES);
}

static void test_a_glob_is_a_tree_of_its_matches(void **state)
{
    (void)state;
    assert_int_equal(fs_make_dirs(path_of("data"), &err), OK);
    put_text("data/2.csv", "two");
    put_text("data/1.csv", "one");
    put_text("data/note.txt", "no");
    struct artifact artifact;
    if (resolve("data/*.csv", NULL, &artifact) != OK)
        fail_msg("%s", err.text);
    AUTO(tree_free) struct tree *tree = NULL;
    assert_int_equal(tree_open(store, &artifact.id, &tree, &err), OK);
    assert_int_equal(tree_count(tree), 2);
    struct tree_entry first = tree_entry(tree, 0);
    assert_int_equal(first.path_bytes, 5);
    assert_memory_equal(first.path, "1.csv", 5);
    put_text("data/w[1].csv", "w"); /* a file of that name wins over the pattern */
    assert_int_equal(resolve("data/w[1].csv", NULL, &artifact), OK);
    assert_false(artifact.is_tree);
}

static void test_what_is_missing_is_named(void **state)
{
    (void)state;
    expect_error("none.csv", E_NOTFOUND, "source \"iris\" (line 3, column 9): ");
    expect_error("none.csv", E_NOTFOUND, "/none.csv: there is no such file");
    expect_error("none/*.csv", E_NOTFOUND, "none/*.csv: no file matches");
    expect_error("a/**/b", E_INVALID, "\"**\" has no meaning here");
    expect_error("https://example.org/a", E_UNSUPPORTED,
                 "https://example.org/a: a source is a path");
}

static void test_a_symlink_in_a_folder_is_refused(void **state)
{
    (void)state;
    assert_int_equal(fs_make_dirs(path_of("links"), &err), OK);
    assert_int_equal(symlink("/etc/passwd", path_of("links/x")), 0);
    expect_error("links", E_INVALID, "x");
}

static void test_a_fresh_file_is_not_trusted(void **state)
{
    (void)state;
    put_text("a.csv", "one");
    AUTO(source_cache_free) struct source_cache *cache = source_cache_open(path_of("cache"));
    struct artifact one, two;
    assert_int_equal(resolve("a.csv", cache, &one), OK);
    struct stat now;
    struct id id;
    assert_int_equal(stat(path_of("a.csv"), &now), 0);
    assert_false(source_cache_get(cache, path_of("a.csv"), &now, &id));
    put_text("a.csv", "two");
    assert_int_equal(resolve("a.csv", cache, &two), OK);
    assert_memory_not_equal(&one.id, &two.id, ID_BYTES);
}

static void test_the_cache_survives_and_sees_changes(void **state)
{
    (void)state;
    put_text("a b.csv", "one");
    struct stat now;
    struct id id, found;
    hash_bytes(NULL, "one", 3, &id);
    assert_int_equal(stat(path_of("a b.csv"), &now), 0);
    int64_t later_us = clock_epoch_us() + 10000000;
    {
        AUTO(source_cache_free) struct source_cache *cache = source_cache_open(path_of("cache"));
        source_cache_put(cache, path_of("a b.csv"), &now, later_us, &id);
        assert_int_equal(source_cache_save(cache, &err), OK);
    }
    AUTO(source_cache_free) struct source_cache *cache = source_cache_open(path_of("cache"));
    assert_true(source_cache_get(cache, path_of("a b.csv"), &now, &found));
    assert_memory_equal(&found, &id, ID_BYTES);
    make_old("a b.csv"); /* same bytes, other times */
    assert_int_equal(stat(path_of("a b.csv"), &now), 0);
    assert_false(source_cache_get(cache, path_of("a b.csv"), &now, &found));
}

static void test_a_known_file_is_not_read_but_a_lost_blob_is_put_again(void **state)
{
    (void)state;
    put_text("a.csv", "one");
    struct stat now;
    struct artifact artifact;
    struct id wrong, right;
    hash_bytes(NULL, "other", 5, &wrong);
    hash_bytes(NULL, "one", 3, &right);
    assert_int_equal(store_put(store, "other", 5, &wrong, &err), OK);
    AUTO(source_cache_free) struct source_cache *cache = source_cache_open(path_of("cache"));
    assert_int_equal(stat(path_of("a.csv"), &now), 0);
    /* A lie in the cache shows whether the file was read. */
    source_cache_put(cache, path_of("a.csv"), &now, clock_epoch_us() + 10000000, &wrong);
    assert_int_equal(resolve("a.csv", cache, &artifact), OK);
    assert_memory_equal(&artifact.id, &wrong, ID_BYTES);
    assert_int_equal(store_remove(store, &wrong, &err), OK);
    assert_int_equal(resolve("a.csv", cache, &artifact), OK);
    assert_memory_equal(&artifact.id, &right, ID_BYTES);
}

static void test_a_damaged_cache_is_an_empty_one(void **state)
{
    (void)state;
    put_text("cache", "rubbish\n\n0123 "
                      "x\nffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff 1 2\n");
    put_text("a.csv", "one");
    AUTO(source_cache_free) struct source_cache *cache = source_cache_open(path_of("cache"));
    struct artifact artifact;
    assert_int_equal(resolve("a.csv", cache, &artifact), OK);
    assert_int_equal(source_cache_save(cache, &err), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_is_a_blob_in_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_folder_is_a_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_glob_is_a_tree_of_its_matches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_missing_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_symlink_in_a_folder_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_fresh_file_is_not_trusted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_cache_survives_and_sees_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_known_file_is_not_read_but_a_lost_blob_is_put_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_cache_is_an_empty_one, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
