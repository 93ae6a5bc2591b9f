/* Folders that are used again: whatever a job did to one, the next finds it as new, or another. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/folders.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "tests/unit/common/temp.h"
#include "worker/kinds/kind.h"

static struct folder *taken(struct folders *folders)
{
    struct folder *folder;
    struct err err = {0};
    if (folders_take(folders, &folder, &err) != OK)
        fail_msg("%s", err.text);
    return folder;
}

static const char *in(struct temp *temp, const char *folder, const char *name)
{
    return arena_format(&temp->names, "%s/%s", folder, name);
}

static ino_t number_of(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    return info.st_ino;
}

static void assert_as_new(struct temp *temp, const struct folder *folder)
{
    struct stat info;
    const struct {
        const char *path;
        int entries;
        mode_t mode;
    } folders[] = {{folder->path, 4, 0700},
                   {folder->work_dir, 1, 0700},
                   {in(temp, folder->work_dir, KIND_TEMP_FOLDER), 0, 0700},
                   {in(temp, folder->path, KIND_SPARE_FOLDER), 0, 0755},
                   {folder->output_dir, 0, 0700}};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        assert_int_equal(temp_count(folders[i].path), folders[i].entries);
        assert_int_equal(lstat(folders[i].path, &info), 0);
        assert_int_equal(info.st_mode, S_IFDIR | folders[i].mode);
    }
    assert_int_equal(lstat(folder->log_path, &info), 0);
    assert_int_equal(info.st_mode, S_IFREG | 0600);
    assert_int_equal(info.st_size, 0);
    assert_int_equal(info.st_nlink, 1);
}

static void an_untouched_folder_is_used_again(void **state)
{
    struct temp *temp = *state;
    AUTO(folders_free) struct folders *folders = folders_new(temp->path);
    struct folder *first = taken(folders), *second = taken(folders);
    assert_string_not_equal(first->path, second->path);
    ino_t number = number_of(first->work_dir);
    folders_give_back(folders, first, true);
    struct folder *again = taken(folders);
    assert_int_equal(number_of(again->work_dir), number);
    assert_as_new(temp, again);
    folders_give_back(folders, again, true);
    folders_give_back(folders, second, true);
}

/* As a job with inputs does. */
static void use_spare(struct temp *temp, const struct folder *folder)
{
    const char *inputs = in(temp, folder->work_dir, "inputs");
    assert_int_equal(rename(in(temp, folder->path, KIND_SPARE_FOLDER), inputs), 0);
    temp_write_text(in(temp, inputs, "table"), "t");
    assert_int_equal(chmod(inputs, 0500), 0);
}

static void a_used_one_is_emptied(void **state)
{
    struct temp *temp = *state;
    AUTO(folders_free) struct folders *folders = folders_new(temp->path);
    struct folder *folder = taken(folders);
    ino_t work = number_of(folder->work_dir), log = number_of(folder->log_path);
    for (int round = 0; round < 3; round++) {
        if (round == 0)
            assert_int_equal(mkdir(in(temp, folder->work_dir, "inputs"), 0500), 0);
        else
            use_spare(temp, folder);
        assert_int_equal(mkdir(in(temp, folder->work_dir, ".tmp/.hidden"), 0), 0);
        temp_write_text(in(temp, folder->work_dir, "junk"), "x");
        temp_write_text(in(temp, folder->output_dir, "model"), "y");
        temp_write_text(in(temp, folder->path, "beside"), "z");
        assert_false(folders_has_log(folders, folder));
        int fd = open(folder->log_path, O_WRONLY | O_APPEND);
        assert_int_equal(write(fd, "words", 5), 5);
        close(fd);
        assert_true(folders_has_log(folders, folder));
        assert_int_equal(chmod(folder->output_dir, 0500), 0);
        assert_int_equal(chmod(folder->log_path, 0644), 0);
        folders_give_back(folders, folder, true);
        folder = taken(folders);
        assert_int_equal(number_of(folder->work_dir), work);
        assert_int_equal(number_of(folder->log_path), log);
        assert_as_new(temp, folder);
    }
    folders_give_back(folders, folder, true);
}

static void spoil_log_link(struct temp *temp, const struct folder *folder)
{
    assert_int_equal(unlink(folder->log_path), 0);
    assert_int_equal(symlink(temp_at(temp, "victim"), folder->log_path), 0);
}

static void spoil_log_name(struct temp *temp, const struct folder *folder)
{
    assert_int_equal(link(folder->log_path, temp_at(temp, "second-name")), 0);
}

static void spoil_log_pipe(struct temp *temp, const struct folder *folder)
{
    (void)temp;
    assert_int_equal(unlink(folder->log_path), 0);
    assert_int_equal(mkfifo(folder->log_path, 0600), 0);
}

static void spoil_work(struct temp *temp, const struct folder *folder)
{
    assert_int_equal(rename(folder->work_dir, in(temp, folder->path, "elsewhere")), 0);
    assert_int_equal(mkdir(folder->work_dir, 0700), 0);
    assert_int_equal(mkdir(in(temp, folder->work_dir, KIND_TEMP_FOLDER), 0700), 0);
}

static void spoil_work_link(struct temp *temp, const struct folder *folder)
{
    const char *spare = in(temp, folder->path, KIND_SPARE_FOLDER);
    assert_int_equal(rename(spare, in(temp, folder->path, "elsewhere")), 0);
    assert_int_equal(fs_remove_tree(folder->work_dir, NULL), OK);
    assert_int_equal(symlink(temp_at(temp, "somebodys"), folder->work_dir), 0);
}

static void spoil_temp(struct temp *temp, const struct folder *folder)
{
    const char *path = in(temp, folder->work_dir, KIND_TEMP_FOLDER);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink(temp->path, path), 0);
}

static void spoil_spare(struct temp *temp, const struct folder *folder)
{
    use_spare(temp, folder);
    assert_int_equal(fs_remove_tree(in(temp, folder->work_dir, "inputs"), NULL), OK);
    assert_int_equal(symlink(temp->path, in(temp, folder->work_dir, "inputs")), 0);
}

static void spoil_attributes(struct temp *temp, const struct folder *folder)
{
    if (setxattr(folder->output_dir, "user.mark", "x", 1, 0)) /* a file system without them */
        spoil_temp(temp, folder);
}

static void spoil_everything(struct temp *temp, const struct folder *folder)
{
    (void)temp;
    assert_int_equal(rename(folder->path, temp_at(temp, "gone")), 0);
}

static void what_would_show_costs_the_folder(void **state)
{
    static void (*const spoils[])(struct temp *, const struct folder *) = {
        spoil_log_link, spoil_log_name, spoil_log_pipe,   spoil_work,      spoil_work_link,
        spoil_temp,     spoil_spare,    spoil_attributes, spoil_everything};
    struct temp *temp = *state;
    temp_write_text(temp_at(temp, "victim"), "untouched");
    assert_int_equal(mkdir(temp_at(temp, "somebodys"), 0700), 0);
    assert_int_equal(mkdir(temp_at(temp, "somebodys/inputs"), 0700), 0);
    temp_write_text(temp_at(temp, "somebodys/inputs/victim"), "untouched");
    const char *root = temp_at(temp, "root");
    assert_int_equal(mkdir(root, 0700), 0);
    AUTO(folders_free) struct folders *folders = folders_new(root);
    for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++) {
        struct folder *folder = taken(folders);
        const char *path = in(temp, folder->path, ".");
        spoils[i](temp, folder);
        folders_give_back(folders, folder, true);
        folders_tidy(folders);
        assert_int_not_equal(access(path, F_OK), 0);
        folder = taken(folders);
        assert_string_not_equal(in(temp, folder->path, "."), path);
        assert_as_new(temp, folder);
        folders_give_back(folders, folder, false);
    }
    folders_tidy(folders);
    assert_int_equal(temp_count(root), 0);
    assert_true(temp_holds(temp_at(temp, "victim"), "untouched", 9));
    assert_true(temp_holds(temp_at(temp, "somebodys/inputs/victim"), "untouched", 9));
}

static void one_where_something_may_still_write_is_not_used_again(void **state)
{
    struct temp *temp = *state;
    AUTO(folders_free) struct folders *folders = folders_new(temp->path);
    struct folder *folder = taken(folders);
    const char *path = in(temp, folder->path, ".");
    folders_give_back(folders, folder, false);
    folders_tidy(folders);
    assert_int_not_equal(access(path, F_OK), 0);
    folder = taken(folders);
    assert_string_not_equal(in(temp, folder->path, "."), path);
    folders_give_back(folders, folder, true);
}

static void a_root_that_is_gone_is_an_error(void **state)
{
    struct temp *temp = *state;
    struct err err = {0};
    struct folder *folder;
    AUTO(folders_free) struct folders *folders = folders_new(temp_at(temp, "absent"));
    assert_int_equal(folders_take(folders, &folder, &err), E_NOTFOUND);
    assert_null(folder);
    assert_non_null(strstr(err.text, "absent/0"));
}

#define FOLDERS_TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDERS_TEST(an_untouched_folder_is_used_again),
        FOLDERS_TEST(a_used_one_is_emptied),
        FOLDERS_TEST(what_would_show_costs_the_folder),
        FOLDERS_TEST(one_where_something_may_still_write_is_not_used_again),
        FOLDERS_TEST(a_root_that_is_gone_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
