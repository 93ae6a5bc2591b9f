/* The store's contract, the same for every back end. S3 takes part where PENSTOCK_TEST_S3 names a
 * bucket ("s3://bucket"), as it does when tests/system/test_s3.py runs this program. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crypto/hash.h"
#include "common/fs.h"
#include "proto/limits.h"
#include "tests/unit/common/store/helpers.h"

enum { LARGE = 1000000 };

static uint8_t large[LARGE];

static int fill_large(void **state)
{
    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * 7 + i / 1000);
    return 0;
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
    store_each(*state, round_trip);
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
    store_each(*state, files);
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
    store_each(*state, refusals);
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
    store_each(*state, house);
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
    assert_int_equal(sum, 1000 + 10 + 1000000 + 10);
    assert_int_equal(store_remove(store, &tree, &store_err), OK); /* is no blob: stays */
    assert_int_equal(store_get_manifest(store, &tree, &out, &store_err), OK);
    assert_int_equal(store_remove_manifest(store, &tree, &store_err), OK);
    assert_int_equal(store_remove_manifest(store, &tree, &store_err), OK);
    assert_int_equal(store_get_manifest(store, &tree, &out, &store_err), E_NOTFOUND);
    store_expect_text(store, &blob, "same bytes");
}

static void contract_manifests(void **state)
{
    store_each(*state, manifests);
}

/* When was it written? By the store's clock, which may differ from ours a little. */
static enum status expect_now(void *context, const struct store_item *item, struct err *err)
{
    (void)err;
    ++*(int *)context;
    assert_in_range(item->modified_s, (uintmax_t)time(NULL) - 60, (uintmax_t)time(NULL) + 60);
    return OK;
}

static void ages(struct temp *temp, struct store *store)
{
    (void)temp;
    struct id id;
    int count = 0;
    store_put_text(store, "abc");
    assert_int_equal(store_put_manifest(store, "abc", 3, &id, &store_err), OK);
    assert_int_equal(store_list(store, expect_now, &count, &store_err), OK);
    assert_int_equal(count, 2);
}

static void contract_ages(void **state)
{
    store_each(*state, ages);
}

static void put_object(struct store *store, const char *key, const char *text)
{
    if (store_put_object(store, key, text, strlen(text), &store_err) != OK)
        fail_msg("%s", store_err.text);
}

static void expect_object(struct store *store, const char *key, const char *text)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    buf_put_text(&out, "> ");
    if (store_get_object(store, key, &out, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_string_equal(buf_text(&out) + 2, text);
}

/* Appends " key=bytes". */
static enum status write_object(void *context, const struct store_object *object, struct err *err)
{
    assert_in_range(object->modified_s, (uintmax_t)time(NULL) - 60, (uintmax_t)time(NULL) + 60);
    buf_format(context, " %s=%d", object->key, (int)object->bytes);
    return object->bytes == 99 ? err_set(err, E_CANCELLED, "enough") : OK;
}

static void expect_listing(struct store *store, const char *prefix, const char *text)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    if (store_list_objects(store, prefix, write_object, &out, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_string_equal(buf_text(&out), text);
}

static void expect_listing_after(struct store *store, const char *after, const char *text)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    const struct store_range range = {"journal/", after};
    if (store_list_range(store, &range, write_object, &out, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_string_equal(buf_text(&out), text);
}

static void objects(struct temp *temp, struct store *store)
{
    (void)temp;
    AUTO(buf_fini) struct buf out = buf_init(4);
    expect_listing(store, "journal/", "");
    put_object(store, "journal/1-0", "one");
    put_object(store, "journal/1-0", "another"); /* replaced */
    put_object(store, "journal/1-5", "");
    put_object(store, "journal/10-0", "ten");
    put_object(store, "journal/1/x", "below"); /* '-' < '/' < '0' */
    put_object(store, "records/1", "r");
    put_object(store, "journals/1", "no journal");
    expect_object(store, "journal/1-0", "another");
    expect_object(store, "journal/1-5", "");
    assert_int_equal(store_get_object(store, "journal/2", &out, &store_err), E_NOTFOUND);
    assert_non_null(strstr(store_err.text, "journal/2 is not in the store"));
    assert_int_equal(store_get_object(store, "journal/1", &out, &store_err), E_NOTFOUND);
    assert_int_equal(store_get_object(store, "journal/1-0", &out, &store_err), E_LIMIT);
    assert_int_equal(out.count, 0);
    expect_listing(store, "journal/", " journal/1-0=7 journal/1-5=0 journal/1/x=5 journal/10-0=3");
    expect_listing(store, "journal/1-", " journal/1-0=7 journal/1-5=0");
    expect_listing(store, "journal/1/", " journal/1/x=5");
    expect_listing(store, "nothing/at/", "");
    expect_listing_after(store, "journal/1-0", " journal/1-5=0 journal/1/x=5 journal/10-0=3");
    expect_listing_after(store, "journal/1-4", " journal/1-5=0 journal/1/x=5 journal/10-0=3");
    expect_listing_after(store, "journal/2", "");
    assert_int_equal(store_remove_object(store, "journal/1-0", &store_err), OK);
    assert_int_equal(store_remove_object(store, "journal/1-0", &store_err), OK);
    assert_int_equal(store_remove_object(store, "no/such", &store_err), OK);
    expect_listing(store, "journal/1-", " journal/1-5=0");
    uint64_t sum = 0; /* objects are no blobs */
    assert_int_equal(store_list(store, store_count_blob, &sum, &store_err), OK);
    assert_int_equal(sum, 0);
    assert_int_equal(store_flush(store, &store_err), OK);
    char text[100] = {0};
    put_object(store, "stop/1", memset(text, 'x', 99));
    assert_int_equal(store_list_objects(store, "stop/", write_object, &out, &store_err),
                     E_CANCELLED);
}

static void contract_objects(void **state)
{
    store_each(*state, objects);
}

static void object_keys(struct temp *temp, struct store *store)
{
    static const char *const bad[] = {"",        "x",     "/x/y",    "x//y",    "x/",
                                      "x/..",    "../x",  "x/./y",   "x/a b",   "x/\xc3\xa4",
                                      "x/y?z=1", "tmp/x", "blobs/x", "trees/x", "quarantine/x"};
    static const char *const bad_prefixes[] = {"", "x", "blobs/", "x/../", "x/?"};
    (void)temp;
    AUTO(buf_fini) struct buf out = buf_init(0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(store_put_object(store, bad[i], "", 0, &store_err), E_INVALID);
        assert_int_equal(store_get_object(store, bad[i], &out, &store_err), E_INVALID);
        assert_int_equal(store_remove_object(store, bad[i], &store_err), E_INVALID);
    }
    for (size_t i = 0; i < sizeof bad_prefixes / sizeof *bad_prefixes; i++)
        assert_int_equal(store_list_objects(store, bad_prefixes[i], write_object, &out, &store_err),
                         E_INVALID);
    char key[OBJECT_KEY_BYTES_MAX + 2] = "x/";
    memset(key + 2, 'y', OBJECT_KEY_BYTES_MAX - 1);
    assert_int_equal(store_put_object(store, key, "", 0, &store_err), E_INVALID);
    for (int i = 100; i < OBJECT_KEY_BYTES_MAX; i += 100)
        key[i] = '/';
    key[OBJECT_KEY_BYTES_MAX] = 0;
    put_object(store, key, "long");
    expect_object(store, key, "long");
}

static void contract_object_keys(void **state)
{
    store_each(*state, object_keys);
}

/* What a key of ours allows is allowed to whoever has the URL. Here that it is made or refused;
 * that it works is shown by tests/system. */
static void presigned(struct temp *temp, struct store *store)
{
    (void)temp;
    AUTO(buf_fini) struct buf url = buf_init(0);
    struct store_presign presign = {.id = store_put_text(store, "abc"), .seconds = 60};
    bool has_urls = strncmp(store_url(store), "s3:", 3) == 0;
    enum status status = store_presign(store, &presign, &url, &store_err);
    assert_int_equal(status, has_urls ? OK : E_UNSUPPORTED);
    assert_int_equal(url.count != 0, has_urls);
    presign.seconds = 0;
    assert_int_equal(store_presign(store, &presign, &url, &store_err), E_INVALID);
    presign.seconds = PRESIGN_SECONDS_MAX + 1;
    assert_int_equal(store_presign(store, &presign, &url, &store_err), E_INVALID);
}

static void contract_presigned(void **state)
{
    store_each(*state, presigned);
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
    store_each(*state, many);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)
    const struct CMUnitTest tests[] = {
        TEST(contract_round_trip), TEST(contract_files),       TEST(contract_refusals),
        TEST(contract_house),      TEST(contract_manifests),   TEST(contract_ages),
        TEST(contract_objects),    TEST(contract_object_keys), TEST(contract_presigned),
        TEST(contract_many),
    };
    return cmocka_run_group_tests(tests, fill_large, NULL);
}
