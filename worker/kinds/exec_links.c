// SPDX-License-Identifier: Apache-2.0
#include "worker/kinds/exec_links.h"

#include <errno.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/buf.h"
#include "common/fs.h"

/* A file with several names, one of which is in an output. */
struct linked {
    dev_t device;
    ino_t inode;
    nlink_t names, found;
    const char *output, *path; /* the second: of that name */
};

struct links {
    struct arena *arena;
    const char *output; /* that is being looked through; NULL: the work folder */
    struct buf items;   /* struct linked each */
};

static struct linked *find(const struct links *links, const struct stat *info)
{
    struct linked *all = (struct linked *)(void *)links->items.bytes;
    for (size_t i = 0; i < links->items.count / sizeof *all; i++)
        if (all[i].inode == info->st_ino && all[i].device == info->st_dev)
            return &all[i];
    return NULL;
}

static void note(struct links *links, const FTSENT *entry)
{
    struct linked *linked = find(links, entry->fts_statp);
    if (!links->output) {
        if (linked)
            linked->found++;
    } else if (!linked && entry->fts_statp->st_nlink > 1) {
        const struct linked item = {
            .device = entry->fts_statp->st_dev,
            .inode = entry->fts_statp->st_ino,
            .names = entry->fts_statp->st_nlink,
            .output = links->output,
            .path = arena_text(links->arena, entry->fts_path, strlen(entry->fts_path))};
        buf_put(&links->items, &item, sizeof item);
    }
}

/* Every file that is no folder; what can't be read is somebody else's complaint. */
static enum status walk(struct links *links, const char *path, struct err *err)
{
    char *const roots[] = {(char *)(uintptr_t)path, NULL};
    FTS *walker = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walker)
        return fs_error(err, errno, path, "list");
    for (const FTSENT *entry; (entry = fts_read(walker));)
        if (entry->fts_info == FTS_F || entry->fts_info == FTS_DEFAULT)
            note(links, entry);
    fts_close(walker);
    return OK;
}

static enum status check(struct links *links, const struct exec *exec, struct err *err)
{
    for (uint32_t i = 0; i < exec->call->output_count; i++) {
        links->output = exec->call->outputs[i];
        if (exec->output_paths[i])
            TRY(walk(links, exec->output_paths[i], err));
    }
    if (!links->items.count)
        return OK;
    links->output = NULL;
    TRY(walk(links, ".", err));
    const struct linked *all = (const struct linked *)(const void *)links->items.bytes;
    for (size_t i = 0; i < links->items.count / sizeof *all; i++)
        if (all[i].found < all[i].names)
            return err_set(err, E_INVALID,
                           "output %s: \"%s\" is a hard link to a file outside of the work folder",
                           all[i].output, all[i].path);
    return OK;
}

enum status exec_check_links(const struct exec *exec, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct links links = {.arena = &arena, .items = buf_init(0)};
    enum status status = check(&links, exec, err);
    buf_fini(&links.items);
    return status;
}
