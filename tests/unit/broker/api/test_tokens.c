// SPDX-License-Identifier: Apache-2.0
#include "broker/api/tokens.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/crypto/secret.h"
#include "common/fs.h"

static char home[64];

static int set_up(void **state)
{
    (void)state;
    return fs_make_temp_dir("/tmp/tokens-", home, sizeof home, NULL) != OK;
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove_tree(home, NULL) != OK;
}

static const char *path_of(const char *name)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/%s", home, name);
    return path;
}

static enum api_role role_of(const struct tokens *tokens, const char *scheme, const char *name)
{
    AUTO(buf_fini) struct buf text = buf_init(0), header = buf_init(0);
    assert_int_equal(fs_read(path_of(name), &text, NULL), OK);
    text.count -= buf_text(&text)[text.count - 1] == '\n';
    buf_format(&header, "%s%s", scheme, buf_text(&text));
    return tokens_role(tokens, buf_text(&header));
}

static uint32_t files_in_home(void)
{
    DIR *folder = opendir(home);
    uint32_t count = 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void test_tokens_are_made_once_and_kept(void **state)
{
    (void)state;
    struct tokens *tokens;
    struct stat about;
    AUTO(buf_fini) struct buf before = buf_init(0), after = buf_init(0);
    assert_int_equal(tokens_open(home, &tokens, NULL), OK);
    assert_int_equal(role_of(tokens, "Bearer ", "read.token"), ROLE_READ);
    assert_int_equal(role_of(tokens, "bearer  ", "write.token"), ROLE_WRITE);
    assert_int_equal(role_of(tokens, "Basic ", "write.token"), ROLE_NONE);
    assert_int_equal(role_of(tokens, "", "write.token"), ROLE_NONE);
    assert_int_equal(tokens_role(tokens, NULL), ROLE_NONE);
    assert_int_equal(tokens_role(tokens, "Bearer "), ROLE_NONE);
    tokens_free(tokens);
    assert_int_equal(files_in_home(), 2);
    assert_int_equal(stat(path_of("write.token"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(fs_read(path_of("read.token"), &before, NULL), OK);
    assert_int_equal(tokens_open(home, &tokens, NULL), OK);
    tokens_free(tokens);
    assert_int_equal(fs_read(path_of("read.token"), &after, NULL), OK);
    assert_string_equal(buf_text(&before), buf_text(&after));
}

static enum status open_with(const char *text, mode_t mode, struct err *err)
{
    struct tokens *tokens = NULL;
    unlink(path_of("read.token"));
    assert_int_equal(fs_write(path_of("read.token"), text, strlen(text), NULL), OK);
    assert_int_equal(chmod(path_of("read.token"), mode), 0);
    enum status status = tokens_open(home, &tokens, err);
    if (status == OK) {
        assert_int_equal(role_of(tokens, "Bearer ", "read.token"), ROLE_READ);
        tokens_free(tokens);
    }
    return status;
}

static void test_files_that_hold_no_token(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(open_with("a-token-of-my-own", 0600, &err), OK);
    assert_int_equal(open_with("a-token-of-my-own\n", 0400, &err), OK);
    static const char *const bad[] = {"", "short", "two words in one file",
                                      "\x01\x02\x03-control-bytes"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open_with(bad[i], 0600, &err), E_INVALID);
        assert_non_null(strstr(err.text, "read.token: expected one token of 16"));
    }
    assert_int_equal(open_with("a-token-of-my-own", 0644, &err), E_DENIED);
    assert_non_null(strstr(err.text, "others can read it (mode 644); chmod 600"));
}

static void test_secrets_are_compared_whole(void **state)
{
    (void)state;
    assert_true(secret_is_equal("abc", 3, "abc", 3));
    assert_true(secret_is_equal("", 0, "", 0));
    assert_false(secret_is_equal("abc", 3, "abd", 3));
    assert_false(secret_is_equal("abc", 3, "abcd", 4));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_tokens_are_made_once_and_kept),
        TEST(test_files_that_hold_no_token),
        TEST(test_secrets_are_compared_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
