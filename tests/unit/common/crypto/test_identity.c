// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/identity.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "tests/unit/common/temp.h"

static const char text[] =
    "penstock identity 1\n"
    "public-key 03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8\n"
    "secret-key 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

static const char *write_text(struct temp *temp, const char *content, mode_t mode)
{
    const char *path = temp_at(temp, "key");
    unlink(path);
    temp_write_text(path, content);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static void is_what_was_written(void **state)
{
    struct temp *temp = *state;
    const char *path = temp_at(temp, "key");
    struct err err;
    struct stat info;
    AUTO(signer_free) struct signer *made = signer_new();
    AUTO(signer_free) struct signer *read = NULL;
    mode_t before = umask(0);
    assert_int_equal(identity_create(path, made, NULL), OK);
    umask(before);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(identity_read(path, &read, NULL), OK);
    assert_memory_equal(signer_public(read), signer_public(made), SIGN_PUBLIC_BYTES);
    struct id digest = {.bytes = {1, 2, 3}};
    uint8_t signature[SIGN_BYTES];
    signer_sign(read, &digest, signature);
    assert_true(sign_verify(signer_public(made), &digest, signature));
    assert_int_equal(identity_create(path, made, &err), E_CONFLICT); /* none is ever overwritten */
    assert_non_null(strstr(err.text, path));
}

static void the_format_stays(void **state)
{
    struct temp *temp = *state;
    AUTO(signer_free) struct signer *signer = NULL;
    assert_int_equal(identity_read(write_text(temp, text, 0400), &signer, NULL), OK);
    const char *again = temp_at(temp, "again");
    assert_int_equal(identity_create(again, signer, NULL), OK);
    assert_true(temp_holds(again, text, strlen(text)));
}

static void what_others_can_read_is_refused(void **state)
{
    struct temp *temp = *state;
    static const mode_t modes[] = {0644, 0640, 0604, 0620, 0601};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct err err;
        struct signer *signer;
        const char *path = write_text(temp, text, modes[i]);
        assert_int_equal(identity_read(path, &signer, &err), E_DENIED);
        assert_null(signer);
        assert_non_null(strstr(err.text, "chmod 600"));
        assert_null(strstr(err.text, "0001020304")); /* no secret in a message */
    }
}

static void what_is_no_identity_is_refused(void **state)
{
    struct temp *temp = *state;
    char bad[sizeof text + 8];
    struct signer *signer;
    struct err err;
    for (size_t i = 0; i < strlen(text); i++) { /* any byte changed, the file cut anywhere */
        snprintf(bad, sizeof bad, "%s", text);
        bad[i] ^= 1;
        assert_int_equal(identity_read(write_text(temp, bad, 0600), &signer, &err), E_CORRUPT);
        assert_null(strstr(err.text, "0c0d0e0f"));
        bad[i] = 0;
        assert_int_equal(identity_read(write_text(temp, bad, 0600), &signer, NULL), E_CORRUPT);
    }
    snprintf(bad, sizeof bad, "%sx", text);
    assert_int_equal(identity_read(write_text(temp, bad, 0600), &signer, NULL), E_CORRUPT);
    assert_int_equal(identity_read(temp->path, &signer, NULL), E_CORRUPT); /* a folder */
    assert_int_equal(identity_read(temp_at(temp, "none"), &signer, NULL), E_NOTFOUND);
}

static void public_keys_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "03a1", "03A107BFF3CE10BE1D70DD18E74BC09967E4D6309BA50D5F1DDC8664125531B8",
        "0000000000000000000000000000000000000000000000000000000000000000",  /* small order */
        "0200000000000000000000000000000000000000000000000000000000000000"}; /* no point */
    struct id key;
    struct err err;
    assert_int_equal(public_key_parse("--key",
                                      "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc866412"
                                      "5531b8",
                                      &key, NULL),
                     OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(public_key_parse("--broker-key", bad[i], &key, &err), E_INVALID);
        assert_non_null(strstr(err.text, "--broker-key"));
    }
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(is_what_was_written),
        IN_FOLDER(the_format_stays),
        IN_FOLDER(what_others_can_read_is_refused),
        IN_FOLDER(what_is_no_identity_is_refused),
        cmocka_unit_test(public_keys_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
