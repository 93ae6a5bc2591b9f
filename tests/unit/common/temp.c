// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/common/temp.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/fs.h"

int temp_setup(void **state)
{
    struct temp *temp = mem_alloc(sizeof *temp);
    const char *root = getenv("TMPDIR");
    snprintf(temp->path, sizeof temp->path, "%.100s/penstock-XXXXXX", root ? root : "/tmp");
    *state = temp;
    return mkdtemp(temp->path) ? 0 : -1;
}

int temp_teardown(void **state)
{
    struct temp *temp = *state;
    enum status status = fs_remove_tree(temp->path, NULL);
    arena_fini(&temp->names);
    mem_free(temp);
    return status == OK ? 0 : -1;
}

const char *temp_at(struct temp *temp, const char *name)
{
    return arena_format(&temp->names, "%s/%s", temp->path, name);
}

void temp_write(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) {
        perror(path);
        abort();
    }
}

void temp_write_text(const char *path, const char *text)
{
    temp_write(path, text, strlen(text));
}

int temp_holds(const char *path, const void *data, size_t bytes)
{
    AUTO(buf_fini) struct buf content = buf_init(0);
    return fs_read(path, &content, NULL) == OK && content.count == bytes &&
           (!bytes || memcmp(content.bytes, data, bytes) == 0);
}

int temp_count(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return -1;
    int count = -2;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}
