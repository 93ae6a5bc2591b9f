/* Folders for heavy jobs, used again while a job leaves no mark on them: to make and remove them
 * costs more than to start a program.
 *
 *   ROOT/<n>/work/       the handler's own folder, empty but for KIND_TEMP_FOLDER
 *   ROOT/<n>/outputs/    NAME → output NAME
 *   ROOT/<n>/log         stdout and stderr
 *   ROOT/<n>/spare/      KIND_SPARE_FOLDER; found in work/ as `inputs` after a job that had some
 *
 * Each part carries a time of change that no clock gives any more, so that whatever is made or
 * removed in it shows, however coarse the file system's clock; the time of its status shows the
 * rest (modes, attributes). An untouched folder is handed out again as it is. Of a touched one the
 * content is removed; if then anything else is not as it was made, the folder is removed too.
 * Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

#include "proto/err.h"

struct folders;

struct folder {
    bool is_quiet;
    char *path, *work_dir, *output_dir, *log_path; /* absolute if the root is */
    struct folder_parts *parts;
    struct folder *next;
};

/* `root` exists, and nobody else makes anything there. */
struct folders *folders_new(const char *root);
/* The folders handed out must be given back before. What lies at the root stays. */
void folders_free(struct folders *folders);
/* An empty folder. Errors: E_NOTFOUND no root; E_IO, E_DENIED, E_FULL. */
MUST_USE enum status folders_take(struct folders *folders, struct folder **out, struct err *err);
/* Has something been written to its log? */
bool folders_has_log(const struct folders *folders, const struct folder *folder);
/* `is_quiet`: no process of the job can be left that still writes there; else it is removed. */
void folders_give_back(struct folders *folders, struct folder *folder, bool is_quiet);
/* Does what giving back left to be done, for when there is time. */
void folders_tidy(struct folders *folders);

static inline void folders_free_auto(struct folders **folders)
{
    if (*folders)
        folders_free(*folders);
}
