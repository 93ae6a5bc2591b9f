/* What those need who look after a store: checks that keep nothing, ages, removal of what is old.
 */
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/store/tree.h"
#include "proto/limits.h"
#include "tests/unit/common/store/helpers.h"

enum { LATER = 60, ROUNDS = 3000 };

static struct id put_manifest(struct store *store, const char *text)
{
    struct id id;
    assert_int_equal(store_put_manifest(store, text, strlen(text), &id, &store_err), OK);
    return id;
}

static bool has_manifest(struct store *store, const struct id *id)
{
    return store_check(store, id, true, &store_err) == OK;
}

/* ---- the contract ---- */

static void checks(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id blob = store_put_text(store, "abc"), tree = put_manifest(store, "files"),
              nothing = {{7}};
    assert_int_equal(store_check(store, &blob, false, &store_err), OK);
    assert_int_equal(store_check(store, &tree, true, &store_err), OK);
    assert_int_equal(store_check(store, &tree, false, &store_err), E_NOTFOUND);
    assert_int_equal(store_check(store, &blob, true, &store_err), E_NOTFOUND);
    assert_int_equal(store_check(store, &nothing, false, &store_err), E_NOTFOUND);
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(store_peek_manifest(store, &tree, &out, &store_err), OK);
    assert_string_equal(buf_text(&out), "files");
    assert_int_equal(store_peek_manifest(store, &nothing, &out, &store_err), E_NOTFOUND);
}

static void contract_checks(void **state)
{
    store_each(*state, checks);
}

static void removals(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id blob = store_put_text(store, "abc"), tree = put_manifest(store, "files");
    int64_t now = (int64_t)time(NULL);
    bool is_removed = true;
    assert_int_equal(store_remove_old(store, &blob, false, now - LATER, &is_removed, &store_err),
                     OK);
    assert_false(is_removed);
    assert_int_equal(store_remove_old(store, &tree, true, now - LATER, &is_removed, &store_err),
                     OK);
    assert_false(is_removed);
    assert_true(store_has_one(store, &blob));
    assert_true(has_manifest(store, &tree));
    assert_int_equal(store_remove_old(store, &blob, false, now + LATER, &is_removed, &store_err),
                     OK);
    assert_true(is_removed);
    assert_false(store_has_one(store, &blob));
    assert_true(has_manifest(store, &tree));
    assert_int_equal(store_remove_old(store, &tree, true, now + LATER, &is_removed, &store_err),
                     OK);
    assert_true(is_removed);
    assert_false(has_manifest(store, &tree));
    assert_int_equal(store_remove_old(store, &blob, false, now + LATER, &is_removed, &store_err),
                     OK);
    assert_false(is_removed);
}

static void contract_removals(void **state)
{
    store_each(*state, removals);
}

static void renewals(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id ids[] = {store_put_text(store, "abc"), {{7}}, store_put_text(store, "def")};
    struct id trees[] = {put_manifest(store, "files"), ids[0]};
    bool has[3];
    assert_int_equal(store_renew(store, ids, 3, false, has, &store_err), OK);
    assert_true(has[0] && !has[1] && has[2]);
    assert_int_equal(store_renew(store, trees, 2, true, has, &store_err), OK);
    assert_true(has[0] && !has[1]);
}

static void contract_renewals(void **state)
{
    store_each(*state, renewals);
}

/* ---- a folder ---- */

static const char *path_of(struct temp *temp, const char *folder, const struct id *id)
{
    char hex[ID_HEX_BYTES], name[128];
    id_hex(id, hex);
    snprintf(name, sizeof name, "store/%s/%.2s/%s", folder, hex, hex + 2);
    return temp_at(temp, name);
}

static void set_age(const char *path, int64_t seconds)
{
    const struct timespec at = {.tv_sec = time(NULL) - seconds}, times[2] = {at, at};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void spoil(const char *path)
{
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "X", 1, 0), 1);
    close(fd);
}

static void damage_stays_where_it_is_until_it_is_put_aside(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "%s/store");
    struct id blob = store_put_text(store, "abc"), tree = put_manifest(store, "files");
    AUTO(buf_fini) struct buf out = buf_init(0);
    spoil(path_of(temp, "blobs", &blob));
    spoil(path_of(temp, "trees", &tree));
    assert_int_equal(store_check(store, &blob, false, &store_err), E_CORRUPT);
    assert_non_null(strstr(store_err.text, "does not match its id"));
    assert_int_equal(store_check(store, &tree, true, &store_err), E_CORRUPT);
    assert_int_equal(store_peek_manifest(store, &tree, &out, &store_err), E_CORRUPT);
    assert_true(fs_exists(path_of(temp, "blobs", &blob)));
    assert_true(fs_exists(path_of(temp, "trees", &tree)));
    assert_int_equal(store_quarantine(store, &blob, &store_err), OK);
    assert_int_equal(store_quarantine_manifest(store, &tree, &store_err), OK);
    assert_int_equal(store_check(store, &blob, false, &store_err), E_NOTFOUND);
    assert_int_equal(store_check(store, &tree, true, &store_err), E_NOTFOUND);
}

static void a_damaged_read_is_no_damage(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close)
    struct store *store = store_open_at(temp, "fault+%s/store?on=get&corrupt=1");
    struct id blob = store_put_text(store, "abc");
    assert_int_equal(store_check(store, &blob, false, &store_err), OK);
}

static void what_is_in_quarantine_goes_when_it_is_old(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "%s/store");
    char hex[ID_HEX_BYTES], name[128];
    struct id blob = store_put_text(store, "abc");
    set_age(path_of(temp, "blobs", &blob), 1000 * 24 * 3600);
    struct store_leavings left;
    assert_int_equal(store_sweep(store, (int64_t)time(NULL) + LATER, true, &left, &store_err), OK);
    assert_int_equal(left.count, 0);
    assert_int_equal(store_quarantine(store, &blob, &store_err), OK);
    snprintf(name, sizeof name, "store/quarantine/%s", id_hex(&blob, hex));
    /* Its time begins when it is put there. */
    assert_int_equal(store_sweep(store, (int64_t)time(NULL) - LATER, true, &left, &store_err), OK);
    assert_int_equal(left.count, 0);
    set_age(temp_at(temp, name), 2 * LATER);
    assert_int_equal(store_sweep(store, (int64_t)time(NULL) - LATER, false, &left, &store_err), OK);
    assert_int_equal(left.count, 1);
    assert_int_equal(left.bytes, 3);
    assert_true(fs_exists(temp_at(temp, name)));
    assert_int_equal(store_sweep(store, (int64_t)time(NULL) - LATER, true, &left, &store_err), OK);
    assert_int_equal(left.count, 1);
    assert_false(fs_exists(temp_at(temp, name)));
}

static void renewing_makes_an_old_one_new(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "%s/store");
    struct id blob = store_put_text(store, "abc"), tree = put_manifest(store, "files");
    int64_t before_s = (int64_t)time(NULL) - GC_GRACE_SECONDS;
    bool has = false, is_removed = true;
    set_age(path_of(temp, "blobs", &blob), 10 * GC_GRACE_SECONDS);
    set_age(path_of(temp, "trees", &tree), 10 * GC_GRACE_SECONDS);
    assert_int_equal(store_renew(store, &blob, 1, false, &has, &store_err), OK);
    assert_true(has);
    assert_int_equal(store_renew(store, &tree, 1, true, &has, &store_err), OK);
    assert_true(has);
    assert_int_equal(store_remove_old(store, &blob, false, before_s, &is_removed, &store_err), OK);
    assert_false(is_removed);
    assert_int_equal(store_remove_old(store, &tree, true, before_s, &is_removed, &store_err), OK);
    assert_false(is_removed);
    assert_true(store_has_one(store, &blob));
}

static void renewing_a_tree_makes_its_files_new(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = store_open_at(temp, "%s/store");
    struct id file = store_put_text(store, "abc");
    struct tree_entry entry = {.path = "a", .path_bytes = 1, .bytes = 3, .blob = file};
    struct artifact tree;
    bool has = false, is_removed = true;
    assert_int_equal(tree_put_entries(store, &entry, 1, &tree, &store_err), OK);
    set_age(path_of(temp, "blobs", &file), 10 * GC_GRACE_SECONDS);
    set_age(path_of(temp, "trees", &tree.id), 10 * GC_GRACE_SECONDS);
    assert_int_equal(tree_renew(store, &tree.id, &has, &store_err), OK);
    assert_true(has);
    int64_t before_s = (int64_t)time(NULL) - GC_GRACE_SECONDS;
    assert_int_equal(store_remove_old(store, &file, false, before_s, &is_removed, &store_err), OK);
    assert_false(is_removed);
    assert_int_equal(store_remove_old(store, &tree.id, true, before_s, &is_removed, &store_err),
                     OK);
    assert_false(is_removed);
    assert_int_equal(store_remove(store, &file, &store_err), OK);
    assert_int_equal(tree_renew(store, &tree.id, &has, &store_err), OK);
    assert_false(has);
    assert_int_equal(tree_renew(store, &file, &has, &store_err), OK);
    assert_false(has);
}

/* ---- one puts what another takes away ---- */

struct race {
    struct temp *temp;
    struct id id;
    _Atomic bool is_over;
};

static void *take_away(void *context)
{
    struct race *race = context;
    AUTO(store_close) struct store *store = store_open_at(race->temp, "%s/store");
    bool is_removed;
    while (!atomic_load(&race->is_over))
        if (store_remove_old(store, &race->id, false, (int64_t)time(NULL) - GC_GRACE_SECONDS,
                             &is_removed, &store_err) != OK)
            return store;
    return NULL;
}

/* However the two meet: when the put has returned, the blob is there to stay. */
static void what_was_just_put_is_never_taken(void **state)
{
    struct race race = {.temp = *state};
    AUTO(store_close) struct store *store = store_open_at(race.temp, "%s/store");
    race.id = store_put_text(store, "precious");
    const char *path = path_of(race.temp, "blobs", &race.id);
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, take_away, &race), 0);
    for (int i = 0; i < ROUNDS; i++) {
        utimensat(AT_FDCWD, path, old, 0); /* unless it is gone just now */
        store_put_text(store, "precious");
        bool has = store_has_one(store, &race.id);
        for (int j = 0; j < 10000 && !has; j++) { /* it may lie aside for a last look */
            usleep(1000);
            has = store_has_one(store, &race.id);
        }
        assert_true(has);
    }
    atomic_store(&race.is_over, true);
    void *failed;
    pthread_join(thread, &failed);
    assert_null(failed);
    store_expect_text(store, &race.id, "precious");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)
    const struct CMUnitTest tests[] = {
        TEST(contract_checks),
        TEST(contract_removals),
        TEST(contract_renewals),
        TEST(damage_stays_where_it_is_until_it_is_put_aside),
        TEST(a_damaged_read_is_no_damage),
        TEST(what_is_in_quarantine_goes_when_it_is_old),
        TEST(renewing_makes_an_old_one_new),
        TEST(renewing_a_tree_makes_its_files_new),
        TEST(what_was_just_put_is_never_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
