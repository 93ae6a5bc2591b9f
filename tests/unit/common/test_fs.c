// SPDX-License-Identifier: Apache-2.0
#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
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
#include "tests/unit/common/temp.h"

static void writes_and_reads_back(void **state)
{
    struct temp *temp = *state;
    const char *path = temp_at(temp, "a");
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(fs_write(path, "first", 5, NULL), OK);
    assert_int_equal(fs_write(path, "second\0!", 8, NULL), OK);
    assert_int_equal(fs_read(path, &out, NULL), OK);
    assert_int_equal(fs_read(path, &out, NULL), OK); /* appends */
    assert_int_equal(out.count, 16);
    assert_memory_equal(out.bytes + 8, "second\0!", 8);
    assert_int_equal(temp_count(temp->path), 1); /* no temporary name is left */
}

static void reading_is_bounded(void **state)
{
    struct temp *temp = *state;
    const char *path = temp_at(temp, "a");
    struct err err;
    temp_write_text(path, "0123456789");
    AUTO(buf_fini) struct buf exact = buf_init(10), small = buf_init(9);
    assert_int_equal(fs_read(path, &exact, &err), OK);
    assert_int_equal(fs_read(path, &small, &err), E_LIMIT);
    assert_int_equal(small.count, 0);
    assert_non_null(strstr(err.text, path));
    /* Files that don't tell their size are bounded, too. */
    AUTO(buf_fini) struct buf endless = buf_init(100000);
    assert_int_equal(fs_read("/dev/zero", &endless, &err), E_LIMIT);
    AUTO(buf_fini) struct buf status = buf_init(100000);
    assert_int_equal(fs_read("/proc/self/status", &status, &err), OK);
    assert_true(status.count > 100);
}

static void reading_without_memory_is_an_error(void **state)
{
    struct temp *temp = *state;
    const char *path = temp_at(temp, "a");
    struct err err;
    temp_write_text(path, "0123456789");
    AUTO(buf_fini) struct buf out = buf_init(0);
    mem_fail_after(1);
    assert_int_equal(fs_read(path, &out, &err), E_NOMEM);
    mem_fail_after(0);
    assert_int_equal(fs_read(path, &out, &err), OK);
}

static void errors_name_path_and_reason(void **state)
{
    struct temp *temp = *state;
    struct err err;
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(fs_read(temp_at(temp, "absent"), &out, &err), E_NOTFOUND);
    assert_non_null(strstr(err.text, "/absent: cannot open: No such file"));
    assert_int_equal(fs_read(temp->path, &out, &err), E_IO);
    assert_non_null(strstr(err.text, "Is a directory"));
    assert_int_equal(fs_write(temp_at(temp, "no/such"), "", 0, &err), E_NOTFOUND);
    assert_int_equal(fs_error(&err, EDQUOT, "p", "cannot write"), E_FULL);
    assert_int_equal(fs_error(&err, EACCES, "p", "cannot write"), E_DENIED);
    assert_string_equal(err.text, "p: cannot write: Permission denied");
    static char far[6000];
    memset(far, 'x', sizeof far - 1);
    assert_int_equal(fs_write(far, "", 0, &err), E_LIMIT);
    assert_int_equal(fs_make_dirs(far, &err), E_LIMIT);
}

static void makes_folders(void **state)
{
    struct temp *temp = *state;
    struct err err;
    assert_int_equal(fs_make_dirs(temp_at(temp, "a/b//c/"), &err), OK);
    assert_int_equal(fs_make_dirs(temp_at(temp, "a/b/c"), &err), OK);
    assert_true(fs_exists(temp_at(temp, "a/b/c")));
    temp_write_text(temp_at(temp, "a/file"), "");
    assert_int_equal(fs_make_dirs(temp_at(temp, "a/file"), &err), E_NOTFOUND);
    assert_int_equal(fs_make_dirs(temp_at(temp, "a/file/d"), &err), E_NOTFOUND);
    assert_non_null(strstr(err.text, "Not a directory"));
    assert_int_equal(fs_make_dirs("", &err), E_INVALID);
    char one[200], two[200];
    assert_int_equal(fs_make_temp_dir(temp_at(temp, "t-"), one, sizeof one, &err), OK);
    assert_int_equal(fs_make_temp_dir(temp_at(temp, "t-"), two, sizeof two, &err), OK);
    assert_string_not_equal(one, two);
    struct stat info;
    assert_int_equal(stat(one, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void copies_content_and_executable_bit(void **state)
{
    struct temp *temp = *state;
    const char *from = temp_at(temp, "from"), *to = temp_at(temp, "to");
    static uint8_t data[3000000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i ^ i >> 9);
    temp_write(from, data, sizeof data);
    chmod(from, 0555);
    struct err err;
    assert_int_equal(fs_copy(from, to, &err), OK);
    assert_true(temp_holds(to, data, sizeof data));
    struct stat info;
    stat(to, &info);
    assert_int_equal(info.st_mode & 0700, 0700); /* writable again */
    assert_int_equal(fs_copy(from, to, &err), E_CONFLICT);
    assert_true(temp_holds(to, data, sizeof data));
    assert_int_equal(fs_copy(temp->path, temp_at(temp, "x"), &err), E_INVALID);
    assert_int_equal(fs_copy("/dev/null", temp_at(temp, "x"), &err), E_INVALID);
    assert_int_equal(fs_copy(temp_at(temp, "absent"), temp_at(temp, "x"), &err), E_NOTFOUND);
    assert_false(fs_exists(temp_at(temp, "x")));
    /* Where the kernel says 0 bytes although there are some. */
    assert_int_equal(fs_copy("/proc/self/status", temp_at(temp, "status"), &err), OK);
    assert_int_equal(stat(temp_at(temp, "status"), &info), 0);
    assert_true(info.st_size > 100);
}

static void renames_only_to_a_free_name(void **state)
{
    struct temp *temp = *state;
    temp_write_text(temp_at(temp, "a"), "a");
    temp_write_text(temp_at(temp, "b"), "b");
    assert_int_equal(fs_rename_new(temp_at(temp, "a"), temp_at(temp, "b"), NULL), E_CONFLICT);
    assert_true(temp_holds(temp_at(temp, "b"), "b", 1));
    assert_int_equal(fs_rename_new(temp_at(temp, "a"), temp_at(temp, "c"), NULL), OK);
    assert_true(temp_holds(temp_at(temp, "c"), "a", 1));
    assert_int_equal(temp_count(temp->path), 2);
}

static void removes_trees_and_no_more(void **state)
{
    struct temp *temp = *state;
    struct err err;
    assert_int_equal(fs_make_dirs(temp_at(temp, "keep"), &err), OK);
    temp_write_text(temp_at(temp, "keep/me"), "x");
    assert_int_equal(fs_make_dirs(temp_at(temp, "t/a/b"), &err), OK);
    temp_write_text(temp_at(temp, "t/a/f"), "x");
    assert_int_equal(symlink("../../keep", temp_at(temp, "t/a/link")), 0);
    assert_int_equal(mkfifo(temp_at(temp, "t/a/pipe"), 0600), 0);
    chmod(temp_at(temp, "t/a/b"), 0);
    chmod(temp_at(temp, "t/a"), 0500);
    assert_int_equal(fs_remove_tree(temp_at(temp, "t"), &err), OK);
    assert_false(fs_exists(temp_at(temp, "t")));
    assert_true(temp_holds(temp_at(temp, "keep/me"), "x", 1));
    assert_int_equal(symlink("keep", temp_at(temp, "link")), 0);
    assert_int_equal(fs_remove_tree(temp_at(temp, "link"), &err), OK);
    assert_true(fs_exists(temp_at(temp, "keep/me")));
    assert_int_equal(fs_remove_tree(temp_at(temp, "absent"), &err), OK);
}

static void clears_a_folder_but_for_what_is_to_stay(void **state)
{
    struct temp *temp = *state;
    static const char *const keep[] = {"a", "file", NULL};
    struct err err = {0};
    assert_int_equal(fs_make_dirs(temp_at(temp, "t/a/b"), &err), OK);
    assert_int_equal(fs_make_dirs(temp_at(temp, "t/c/a"), &err), OK);
    temp_write_text(temp_at(temp, "t/file"), "x");
    temp_write_text(temp_at(temp, "t/other"), "x");
    chmod(temp_at(temp, "t"), 0500);
    assert_int_equal(symlink("a", temp_at(temp, "t/c/link")), 0);
    int fd = open(temp_at(temp, "t"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fs_clear(fd, "t", keep, &err), OK);
    close(fd);
    assert_int_equal(temp_count(temp_at(temp, "t")), 2);
    assert_true(fs_exists(temp_at(temp, "t/a/b")));
    assert_true(fs_exists(temp_at(temp, "t/file")));
    fd = open(temp_at(temp, "t/file"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(fs_clear(fd, "t/file", keep, &err), E_NOTFOUND);
    assert_non_null(strstr(err.text, "t/file: cannot list"));
    close(fd);
}

/* More names than are listed at once. */
static void removes_a_folder_of_many(void **state)
{
    struct temp *temp = *state;
    struct err err = {0};
    assert_int_equal(fs_make_dirs(temp_at(temp, "many/sub"), &err), OK);
    for (int i = 0; i < 2000; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/many/%s/a-name-of-some-length-%d", temp->path,
                 i % 2 ? "sub" : ".", i);
        temp_write_text(path, "");
    }
    assert_int_equal(fs_remove_tree(temp_at(temp, "many"), &err), OK);
    assert_false(fs_exists(temp_at(temp, "many")));
}

/* Deeper than a path can be written, or descriptors be had. */
static void removes_what_is_nested_very_deep(void **state)
{
    struct temp *temp = *state;
    int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(temp->path), 0);
    assert_int_equal(mkdir("deep", 0700), 0);
    assert_int_equal(chdir("deep"), 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdir("d", 0700), 0);
        assert_int_equal(chdir("d"), 0);
    }
    assert_int_equal(fchdir(home), 0);
    close(home);
    struct err err = {0};
    assert_int_equal(fs_remove_tree(temp_at(temp, "deep"), &err), OK);
    assert_false(fs_exists(temp_at(temp, "deep")));
}

static enum status note(void *context, const char *path, bool is_executable, uint64_t bytes,
                        struct err *err)
{
    buf_format(context, "%s%s=%d;", path, is_executable ? "*" : "", (int)bytes);
    return strcmp(path, "stop") == 0 ? err_set(err, E_CANCELLED, "stop") : OK;
}

static void walks_in_order_of_bytes(void **state)
{
    struct temp *temp = *state;
    struct err err;
    AUTO(buf_fini) struct buf seen = buf_init(0);
    assert_int_equal(fs_make_dirs(temp_at(temp, "w/a/z"), &err), OK);
    assert_int_equal(fs_make_dirs(temp_at(temp, "w/empty"), &err), OK);
    temp_write_text(temp_at(temp, "w/a/z/1"), "1");
    temp_write_text(temp_at(temp, "w/a/b"), "22");
    temp_write_text(temp_at(temp, "w/a-b"), "333");
    temp_write_text(temp_at(temp, "w/a0"), "");
    chmod(temp_at(temp, "w/a0"), 0755);
    assert_int_equal(fs_walk(temp_at(temp, "w"), note, &seen, &err), OK);
    assert_string_equal(buf_text(&seen), "a-b=3;a/b=2;a/z/1=1;a0*=0;");
    temp_write_text(temp_at(temp, "w/stop"), "");
    assert_int_equal(fs_walk(temp_at(temp, "w"), note, &seen, &err), E_CANCELLED);
    assert_int_equal(fs_walk(temp_at(temp, "absent"), note, &seen, &err), E_NOTFOUND);
}

static void walking_refuses_what_is_no_file(void **state)
{
    struct temp *temp = *state;
    struct err err;
    AUTO(buf_fini) struct buf seen = buf_init(0);
    assert_int_equal(fs_make_dirs(temp_at(temp, "w/a"), &err), OK);
    assert_int_equal(symlink("/etc/passwd", temp_at(temp, "w/a/link")), 0);
    assert_int_equal(fs_walk(temp_at(temp, "w"), note, &seen, &err), E_INVALID);
    assert_non_null(strstr(err.text, "w/a/link: a symbolic link"));
    unlink(temp_at(temp, "w/a/link"));
    assert_int_equal(mkfifo(temp_at(temp, "w/pipe"), 0600), 0);
    assert_int_equal(fs_walk(temp_at(temp, "w"), note, &seen, &err), E_INVALID);
    assert_non_null(strstr(err.text, "w/pipe: a named pipe"));
    assert_int_equal(seen.count, 0);
}

static void flushes(void **state)
{
    struct temp *temp = *state;
    temp_write_text(temp_at(temp, "f"), "x");
    assert_int_equal(fs_flush(temp_at(temp, "f"), NULL), OK);
    assert_int_equal(fs_flush(temp->path, NULL), OK);
    assert_int_equal(fs_flush_all(temp->path, NULL), OK);
    assert_int_equal(fs_flush(temp_at(temp, "absent"), NULL), E_NOTFOUND);
    assert_int_equal(fs_flush_all(temp_at(temp, "absent"), NULL), E_NOTFOUND);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    struct temp *temp = *state;
    struct err err;
    const char *disk = temp_at(temp, "disk"), *file = temp_at(temp, "disk/f");
    assert_int_equal(mkdir(disk, 0700), 0);
    if (mount("none", disk, "tmpfs", 0, "size=256k") != 0) {
        print_message("SKIPPED: mounting a small disk needs root\n");
        skip();
    }
    static char large[300000];
    assert_int_equal(fs_write(file, "old", 3, &err), OK);
    enum status write_status = fs_write(file, large, sizeof large, &err);
    bool is_kept = temp_holds(file, "old", 3);
    int count = temp_count(disk);
    const char *outside = temp_at(temp, "large");
    temp_write(outside, large, sizeof large);
    enum status copy_status = fs_copy(outside, temp_at(temp, "disk/copy"), &err);
    int count_after = temp_count(disk);
    assert_int_equal(umount(disk), 0);
    assert_int_equal(write_status, E_FULL);
    assert_int_equal(copy_status, E_FULL);
    assert_true(is_kept);
    assert_int_equal(count, 1);
    assert_int_equal(count_after, 1);
    assert_non_null(strstr(err.text, "No space left on device"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)
    const struct CMUnitTest tests[] = {
        TEST(writes_and_reads_back),
        TEST(reading_is_bounded),
        TEST(reading_without_memory_is_an_error),
        TEST(errors_name_path_and_reason),
        TEST(makes_folders),
        TEST(copies_content_and_executable_bit),
        TEST(renames_only_to_a_free_name),
        TEST(removes_trees_and_no_more),
        TEST(clears_a_folder_but_for_what_is_to_stay),
        TEST(removes_a_folder_of_many),
        TEST(removes_what_is_nested_very_deep),
        TEST(walks_in_order_of_bytes),
        TEST(walking_refuses_what_is_no_file),
        TEST(flushes),
        TEST(a_full_disk_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
