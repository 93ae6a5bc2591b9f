/* Files: whole reads and writes, atomic replacement, temporary folders, copies. The only place that
 * knows rename, reflink and fsync. Paths are NUL-terminated; errors carry the path and the system's
 * word for what went wrong (ENOSPC and EDQUOT are E_FULL; ENOENT and ENOTDIR E_NOTFOUND; EACCES,
 * EPERM and EROFS E_DENIED; EEXIST E_CONFLICT; ENOMEM E_NOMEM; the rest E_IO). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "proto/err.h"

/* The status for an errno value, with text "PATH: DOING: strerror". */
enum status fs_error(struct err *err, int error, const char *path, const char *doing);
/* Appends the file to `out`. Errors: E_LIMIT past its maximum, E_NOMEM. */
MUST_USE enum status fs_read(const char *path, struct buf *out, struct err *err);
/* The rest of an open file; `path` is for messages. On failure `out` is as before. */
MUST_USE enum status fs_read_fd(int fd, const char *path, struct buf *out, struct err *err);
/* Temporary name beside it and rename: readers see the old or the new, never a part. Not flushed.
 */
MUST_USE enum status fs_write(const char *path, const void *data, size_t bytes, struct err *err);
/* As mkdir -p, mode 0777 less umask. */
MUST_USE enum status fs_make_dirs(const char *path, struct err *err);
/* Reflink if the file system can, else copy. The copy is writable; the executable bit is kept.
 * E_CONFLICT if `to` exists; on any failure nothing is left there. */
MUST_USE enum status fs_copy(const char *from, const char *to, struct err *err);
/* The same, but nobody may write to the copy without changing its mode first. */
MUST_USE enum status fs_copy_read_only(const char *from, const char *to, struct err *err);
/* A new private folder (0700) named PREFIX + random. */
MUST_USE enum status fs_make_temp_dir(const char *prefix, char *out, size_t out_bytes,
                                      struct err *err);
/* rm -rf that follows no symlink; a missing path is OK. */
MUST_USE enum status fs_remove_tree(const char *path, struct err *err);
/* What is in the folder just opened as `fd`, but for the names in `keep` (NULL-terminated), goes
 * the same way; `path` is for messages. */
MUST_USE enum status fs_clear(int fd, const char *path, const char *const *keep, struct err *err);
bool fs_exists(const char *path);
/* A name beside `path` that nobody else uses: "PATH.tmp-" and random digits. Errors: E_LIMIT past
 * PATH_MAX. */
MUST_USE enum status fs_temp_name(const char *path, char *out, size_t out_bytes, struct err *err);
/* All of `data` into an open file; `path` is for messages. */
MUST_USE enum status fs_write_all(int fd, const void *data, size_t bytes, const char *path,
                                  struct err *err);
/* The bytes of the open file `from` into the open, empty file `to`: shared (reflink) if the file
 * system can, else copied in the kernel, else here. */
MUST_USE enum status fs_copy_fd(int from, int to, const char *path, struct err *err);
/* Renames unless `to` exists (then E_CONFLICT). */
MUST_USE enum status fs_rename_new(const char *from, const char *to, struct err *err);
/* Calls `visit` for each regular file below `root`, sorted by path bytes; `path` is relative.
 * Symlinks, devices, sockets are an E_INVALID that names them. */
MUST_USE enum status fs_walk(const char *root,
                             enum status (*visit)(void *context, const char *path,
                                                  bool is_executable, uint64_t bytes,
                                                  struct err *err),
                             void *context, struct err *err);
/* fdatasync of a file, or of a folder's entries. */
MUST_USE enum status fs_flush(const char *path, struct err *err);
/* Everything written to the file system that holds `path` (syncfs). */
MUST_USE enum status fs_flush_all(const char *path, struct err *err);
void fs_close_fd_auto(int *fd); /* AUTO(fs_close_fd) int fd = -1; */
