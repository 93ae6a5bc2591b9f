/* The cache: bounded, pinned, suspicious; and the mover that fills it from a store. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/store/tree.h"
#include "proto/limits.h"
#include "tests/unit/worker/runtime/support.h"
#include "worker/runtime/mover.h"

struct world {
    struct arena arena;
    const char *folder, *cache_folder;
    struct mover *mover;
    struct cache *cache;
};

static int setup(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    world->folder = temp_folder(&world->arena);
    world->cache_folder = arena_format(&world->arena, "%s/cache", world->folder);
    const char *store = arena_format(&world->arena, "%s/store", world->folder);
    assert_int_equal(mover_open(store, &world->mover, NULL), OK);
    assert_int_equal(cache_open(world->cache_folder, 100, &world->cache, NULL), OK);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    mover_close(world->mover);
    if (world->cache)
        cache_close(world->cache);
    assert_int_equal(fs_remove_tree(world->folder, NULL), OK);
    arena_fini(&world->arena);
    mem_free(world);
    return 0;
}

/* Puts a blob of `bytes` times `letter` into the store and fetches it: pinned once. */
static struct artifact fetched(struct world *world, char letter, size_t bytes)
{
    struct artifact artifact = {0};
    char content[256], path[CACHE_PATH_BYTES];
    memset(content, letter, bytes);
    assert_int_equal(store_put(mover_store(world->mover), content, bytes, &artifact.id, NULL), OK);
    artifact.bytes = bytes;
    cache_path(world->cache, &artifact.id, path);
    assert_int_equal(mover_fetch(mover_store(world->mover), &artifact, path, NULL), OK);
    cache_add(world->cache, &artifact);
    return artifact;
}

static void the_longest_unused_goes_first_and_what_is_pinned_stays(void **state)
{
    struct world *world = *state;
    struct artifact a = fetched(world, 'a', 40), b = fetched(world, 'b', 40);
    cache_unpin(world->cache, &b.id);
    cache_unpin(world->cache, &a.id);
    assert_true(cache_pin(world->cache, &a.id)); /* a was used last now */
    cache_unpin(world->cache, &a.id);
    struct artifact c = fetched(world, 'c', 40);
    assert_false(cache_pin(world->cache, &b.id));
    assert_true(cache_pin(world->cache, &a.id));
    assert_int_equal(cache_bytes(world->cache), 80);
    struct artifact d = fetched(world, 'd', 40); /* all are pinned: over the limit for a while */
    assert_int_equal(cache_bytes(world->cache), 120);
    cache_unpin(world->cache, &c.id);
    assert_int_equal(cache_bytes(world->cache), 80);
    assert_true(cache_pin(world->cache, &d.id));
}

static void a_cached_file_that_was_changed_is_dropped(void **state)
{
    struct world *world = *state;
    char path[CACHE_PATH_BYTES];
    struct artifact a = fetched(world, 'a', 40);
    cache_unpin(world->cache, &a.id);
    cache_path(world->cache, &a.id, path);
    assert_int_equal(chmod(path, 0644), 0);
    assert_false(cache_pin(world->cache, &a.id));
    assert_false(fs_exists(path));
}

static void a_file_that_is_gone_while_it_is_used_is_fetched_again(void **state)
{
    struct world *world = *state;
    char path[CACHE_PATH_BYTES];
    struct artifact a = fetched(world, 'a', 40);
    cache_path(world->cache, &a.id, path);
    assert_int_equal(unlink(path), 0);
    cache_add(world->cache, &a); /* gone between the fetch and now */
    assert_false(cache_pin(world->cache, &a.id));
    fetched(world, 'a', 40);
    for (int pins = 3; pins; pins--)
        cache_unpin(world->cache, &a.id);
    assert_true(cache_pin(world->cache, &a.id));
    assert_int_equal(cache_bytes(world->cache), 40);
}

static void what_an_earlier_process_left_is_verified_before_use(void **state)
{
    struct world *world = *state;
    char good[CACHE_PATH_BYTES], bad[CACHE_PATH_BYTES];
    struct artifact a = fetched(world, 'a', 40), b = fetched(world, 'b', 40);
    cache_path(world->cache, &a.id, good);
    cache_path(world->cache, &b.id, bad);
    cache_close(TAKE(world->cache));
    assert_int_equal(unlink(bad), 0);
    assert_int_equal(fs_write(bad, "not b", 5, NULL), OK);
    assert_int_equal(cache_open(world->cache_folder, 100, &world->cache, NULL), OK);
    assert_int_equal(cache_bytes(world->cache), 45);
    assert_false(cache_pin(world->cache, &a.id));
    /* While it is verified it is nobody's to evict. */
    assert_int_equal(cache_bytes(world->cache), 5);
    assert_true(fs_exists(good));
    /* Fetching keeps what matches, even without the store, and replaces what does not. */
    struct store *store = mover_store(world->mover);
    assert_int_equal(store_remove(store, &a.id, NULL), OK);
    assert_int_equal(mover_fetch(store, &a, good, NULL), OK);
    assert_int_equal(mover_fetch(store, &b, bad, NULL), OK);
    cache_add(world->cache, &a);
    cache_add(world->cache, &b);
    assert_int_equal(cache_bytes(world->cache), 80);
}

static void missing_and_corrupt_inputs_are_lost(void **state)
{
    struct world *world = *state;
    struct err err = {0};
    struct artifact a = {.id = {{1}}};
    const char *to = arena_format(&world->arena, "%s/a", world->folder);
    assert_int_equal(mover_fetch(mover_store(world->mover), &a, to, &err), E_LOST);
    assert_non_null(strstr(err.text, "missing from the store"));
    char hex[ID_HEX_BYTES];
    assert_int_equal(store_put(mover_store(world->mover), "abc", 3, &a.id, NULL), OK);
    id_hex(&a.id, hex);
    const char *blob =
        arena_format(&world->arena, "%s/store/blobs/%.2s/%s", world->folder, hex, hex + 2);
    assert_int_equal(unlink(blob), 0);
    assert_int_equal(fs_write(blob, "abd", 3, NULL), OK);
    assert_int_equal(mover_fetch(mover_store(world->mover), &a, to, &err), E_LOST);
    assert_non_null(strstr(err.text, "corrupt"));
    assert_false(fs_exists(to));
}

static void further_workers_get_private_folders_that_do_not_pile_up(void **state)
{
    struct world *world = *state;
    struct cache *second, *third;
    char path[CACHE_PATH_BYTES];
    const struct id id = {{0}};
    for (int round = 0; round < 2; round++) {
        assert_int_equal(cache_open(world->cache_folder, 100, &second, NULL), OK);
        assert_int_equal(cache_open(world->cache_folder, 100, &third, NULL), OK);
        cache_path(third, &id, path);
        assert_non_null(strstr(path, "/private-2/"));
        cache_path(second, &id, path);
        assert_non_null(strstr(path, "/private-1/"));
        assert_int_equal(fs_write(path, "x", 1, NULL), OK);
        cache_close(second);
        cache_close(third);
        assert_false(fs_exists(path));
    }
}

/* What a job left: a file of `bytes` times `letter` in a work folder, sealed, with its id. */
static const char *left_behind(struct world *world, char letter, size_t bytes,
                               struct artifact *artifact, struct seal *seal)
{
    char content[256];
    const char *path =
        arena_format(&world->arena, "%s/%c", cache_work_folder(world->cache), letter);
    memset(content, letter, bytes);
    assert_int_equal(fs_write(path, content, bytes, NULL), OK);
    *seal = seal_output(path);
    *artifact = (struct artifact){.bytes = bytes};
    hash_bytes(NULL, content, bytes, &artifact->id);
    return path;
}

static void what_a_job_left_moves_in_within_the_bound(void **state)
{
    struct world *world = *state;
    char path[CACHE_PATH_BYTES];
    struct stat found;
    struct artifact a, b, c;
    struct seal seal;
    const char *from = left_behind(world, 'a', 60, &a, &seal);
    cache_adopt(world->cache, &a, from, &seal);
    assert_false(fs_exists(from)); /* moved: the store's copy is its own */
    assert_int_equal(cache_bytes(world->cache), 60);
    cache_path(world->cache, &a.id, path);
    assert_int_equal(lstat(path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0444);
    assert_true(cache_pin(world->cache, &a.id));
    from = left_behind(world, 'b', 40, &b, &seal);
    cache_adopt(world->cache, &b, from, &seal);
    from = left_behind(world, 'c', 30, &c, &seal); /* b goes: it is the oldest that nobody uses */
    cache_adopt(world->cache, &c, from, &seal);
    assert_int_equal(cache_bytes(world->cache), 90);
    assert_false(cache_pin(world->cache, &b.id));
    from = left_behind(world, 'd', 101, &b, &seal); /* more than all: nothing goes for it */
    cache_adopt(world->cache, &b, from, &seal);
    assert_true(fs_exists(from));
    assert_int_equal(cache_bytes(world->cache), 90);
    from = left_behind(world, 'a', 60, &b, &seal); /* there already */
    cache_adopt(world->cache, &b, from, &seal);
    assert_int_equal(cache_bytes(world->cache), 90);
}

static void many_small_artifacts_have_a_bound_too(void **state)
{
    struct world *world = *state;
    struct artifact first, artifact;
    struct seal seal;
    const char *from = left_behind(world, 'a', 0, &first, &seal);
    cache_adopt(world->cache, &first, from, &seal);
    for (uint32_t i = 0; i < CACHE_ENTRIES_MAX; i++) {
        assert_true(cache_pin(world->cache, &first.id)); /* used again and again */
        cache_unpin(world->cache, &first.id);
        assert_int_equal(fs_write(from, "", 0, NULL), OK);
        seal = seal_output(from);
        artifact = (struct artifact){0};
        memcpy(artifact.id.bytes, &i, sizeof i);
        cache_adopt(world->cache, &artifact, from, &seal);
    }
    assert_true(cache_pin(world->cache, &first.id));
    assert_true(cache_pin(world->cache, &artifact.id));
    memset(&artifact.id, 0, sizeof artifact.id); /* the one after it was the longest unused */
    assert_false(cache_pin(world->cache, &artifact.id));
    artifact.id.bytes[0] = 1;
    assert_true(cache_pin(world->cache, &artifact.id));
}

static void what_may_change_is_not_taken_in(void **state)
{
    struct world *world = *state;
    struct artifact a, b;
    struct seal seal;
    const char *from = left_behind(world, 'a', 40, &a, &seal);
    assert_int_equal(chmod(from, 0644), 0);
    assert_int_equal(truncate(from, 39), 0); /* after it was sealed */
    cache_adopt(world->cache, &a, from, &seal);
    from = left_behind(world, 'b', 40, &b, &seal);
    const char *other = arena_format(&world->arena, "%s/other", world->folder);
    assert_int_equal(link(from, other), 0);
    seal = seal_output(from); /* somebody else has a name for it */
    assert_false(seal.is_sealed);
    cache_adopt(world->cache, &b, from, &seal);
    assert_int_equal(cache_bytes(world->cache), 0);
    assert_false(cache_pin(world->cache, &a.id) || cache_pin(world->cache, &b.id));
}

/* A tree in the cache is as if it had been fetched: read-only, no empty folders. */
static void a_folder_that_a_job_left_moves_in_as_a_tree(void **state)
{
    struct world *world = *state;
    char path[CACHE_PATH_BYTES];
    struct stat found;
    struct artifact tree;
    const char *from = arena_format(&world->arena, "%s/t", cache_work_folder(world->cache));
    const char *sub = arena_format(&world->arena, "%s/sub", from);
    const char *tool = arena_format(&world->arena, "%s/tool", sub);
    assert_int_equal(fs_make_dirs(sub, NULL), OK);
    assert_false(seal_output(from).is_sealed); /* an empty folder in it */
    assert_int_equal(fs_write(tool, "#!", 2, NULL), OK);
    assert_int_equal(chmod(tool, 0700), 0);
    assert_int_equal(chmod(from, 0500), 0);
    struct seal seal = seal_output(from);
    assert_true(seal.is_sealed);
    assert_int_equal(tree_put(mover_store(world->mover), from, &tree, NULL), OK);
    cache_adopt(world->cache, &tree, from, &seal);
    assert_false(fs_exists(from));
    assert_int_equal(cache_bytes(world->cache), 2);
    assert_true(cache_pin(world->cache, &tree.id));
    cache_path(world->cache, &tree.id, path);
    assert_int_equal(lstat(arena_format(&world->arena, "%s/sub/tool", path), &found), 0);
    assert_int_equal(found.st_mode & 07777, 0555);
}

static void a_large_move_is_done_by_the_thread(void **state)
{
    struct world *world = *state;
    struct move *move = mem_alloc(sizeof *move);
    move->artifact = fetched(world, 'x', 10);
    snprintf(move->path, sizeof move->path, "%s/there", world->folder);
    mover_submit(world->mover, move, UINT64_MAX);
    struct move *taken = NULL;
    for (int i = 0; i < 2000 && !taken; i++) {
        taken = mover_take(world->mover);
        usleep(1000);
    }
    assert_ptr_equal(taken, move);
    assert_int_equal(move->status, OK);
    assert_true(fs_exists(move->path));
    assert_null(mover_take(world->mover));
    mem_free(move);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_longest_unused_goes_first_and_what_is_pinned_stays,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_cached_file_that_was_changed_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_gone_while_it_is_used_is_fetched_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_an_earlier_process_left_is_verified_before_use, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(missing_and_corrupt_inputs_are_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(further_workers_get_private_folders_that_do_not_pile_up,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_job_left_moves_in_within_the_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(many_small_artifacts_have_a_bound_too, setup, teardown),
        cmocka_unit_test_setup_teardown(what_may_change_is_not_taken_in, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_a_job_left_moves_in_as_a_tree, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_large_move_is_done_by_the_thread, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
