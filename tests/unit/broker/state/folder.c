// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/state/folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "tests/unit/broker/state/commit.h"

char folder[64];

int folder_make(void **context)
{
    (void)context;
    snprintf(folder, sizeof folder, "/tmp/penstock-lmdb-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

int folder_remove(void **context)
{
    (void)context;
    umount2(folder, MNT_DETACH); /* a test that failed with its small disk mounted */
    return fs_remove_tree(folder, NULL) == OK ? 0 : -1;
}

const char *folder_at(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

struct state *folder_open(enum state_mode mode)
{
    struct state *state;
    struct err err = {0};
    if (state_open(&(struct state_options){.url = folder, .mode = mode}, &state, &err) != OK)
        fail_msg("%s", err.text);
    return state;
}

enum status folder_open_status(enum state_mode mode, struct err *err)
{
    struct state *state;
    enum status status =
        state_open(&(struct state_options){.url = folder, .mode = mode}, &state, err);
    if (status == OK)
        state_close(state);
    else
        assert_null(state);
    return status;
}

off_t folder_journal_bytes(void)
{
    struct stat info;
    assert_int_equal(stat(folder_at("journal"), &info), 0);
    return info.st_size;
}

void folder_lose_index(void)
{
    assert_int_equal(unlink(folder_at("index")), 0);
    assert_int_equal(unlink(folder_at("index-lock")), 0);
}

void folder_flip_byte(const char *name, off_t offset)
{
    uint8_t byte;
    int fd = open(folder_at(name), O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

void folder_copy(const char *from, const char *to)
{
    char source[128];
    snprintf(source, sizeof source, "%s", folder_at(from));
    unlink(folder_at(to));
    assert_int_equal(fs_copy(source, folder_at(to), NULL), OK);
}

/* Three commits; returns where the second lies. */
off_t folder_make_three(bool is_flushed)
{
    struct state *state = folder_open(STATE_WRITE);
    commit_one(state, 1, "one");
    off_t middle = folder_journal_bytes();
    commit_one(state, 2, "two");
    commit_one(state, 3, "three");
    if (is_flushed)
        assert_int_equal(state_flush(state, NULL), OK);
    state_close(state);
    return middle;
}
