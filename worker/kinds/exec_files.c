// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/fs.h"
#include "proto/limits.h"
#include "worker/kinds/exec.h"
#include "worker/kinds/exec_links.h"

enum status exec_check_path(const char *what, const char *path, struct err *err)
{
    const char *at = path;
    bool is_bad = !*path || strlen(path) > TREE_PATH_BYTES_MAX;
    while (!is_bad) {
        size_t bytes = strcspn(at, "/");
        is_bad = !bytes || (bytes == 1 && at[0] == '.') || (bytes == 2 && !memcmp(at, "..", 2));
        if (!at[bytes])
            break;
        at += bytes + 1;
    }
    if (is_bad)
        return err_set(err, E_INVALID,
                       "%s: the path \"%s\" is not a plain one below the work folder", what, path);
    return OK;
}

static enum status make_folder_above(const char *path, struct err *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        return OK;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return fs_make_dirs(folder, err);
}

struct copy {
    const char *from, *to;
};

static enum status copy_file(void *context, const char *path, bool is_executable, uint64_t bytes,
                             struct err *err)
{
    (void)is_executable, (void)bytes;
    const struct copy *copy = context;
    char from[PATH_MAX], to[PATH_MAX];
    int a = snprintf(from, sizeof from, "%s/%s", copy->from, path);
    int b = snprintf(to, sizeof to, "%s/%s", copy->to, path);
    if (a >= (int)sizeof from || b >= (int)sizeof to)
        return err_set(err, E_LIMIT, "%s: the path is too long", path);
    TRY(make_folder_above(to, err));
    return fs_copy_read_only(from, to, err);
}

/* A blob's file, or a tree's folder. */
static enum status place(const char *from, const char *to, bool is_tree, struct err *err)
{
    TRY(make_folder_above(to, err));
    if (!is_tree)
        return fs_copy_read_only(from, to, err);
    struct copy copy = {from, to};
    TRY(fs_make_dirs(to, err));
    return fs_walk(from, copy_file, &copy, err);
}

static enum status place_gather(const struct kind_input *input, const char *folder, struct err *err)
{
    AUTO(buf_fini) struct buf index = buf_init(0);
    char path[PATH_MAX], hex[ID_HEX_BYTES];
    TRY(fs_make_dirs(folder, err));
    buf_put_text(&index, "[");
    for (uint32_t i = 0; i < input->count; i++) {
        const struct artifact *artifact = &input->artifacts[i];
        if (snprintf(path, sizeof path, "%s/%u", folder, i) >= (int)sizeof path)
            return err_set(err, E_LIMIT, "%s: the path is too long", folder);
        TRY(place(input->files[i], path, artifact->is_tree, err));
        buf_format(&index, "%s\n{\"path\": \"%u\", \"id\": \"%s\", \"is_tree\": %s}", i ? "," : "",
                   i, id_hex(&artifact->id, hex), artifact->is_tree ? "true" : "false");
    }
    buf_put_text(&index, "\n]\n");
    if (snprintf(path, sizeof path, "%s/index.json", folder) >= (int)sizeof path)
        return err_set(err, E_LIMIT, "%s: the path is too long", folder);
    return fs_write(path, index.bytes, index.count, err);
}

/* The work folder is the current one while a kind runs, so paths stay relative. */
enum status exec_place_inputs(struct exec *exec, struct err *err)
{
    const struct kind_call *call = exec->call;
    exec->input_paths =
        arena_alloc(&exec->arena, (call->input_count + 1) * sizeof *exec->input_paths);
    for (uint32_t i = 0; i < call->input_count; i++)
        if (!call->inputs[i].path) {
            (void)rename("../" KIND_SPARE_FOLDER, "inputs"); /* else it is made when needed */
            break;
        }
    for (uint32_t i = 0; i < call->input_count; i++) {
        const struct kind_input *input = &call->inputs[i];
        char what[NAME_BYTES_MAX + 16];
        const char *path =
            input->path ? input->path : arena_format(&exec->arena, "inputs/%s", input->name);
        snprintf(what, sizeof what, "input %s", input->name);
        TRY(exec_check_path(what, path, err));
        exec->input_paths[i] = path;
        enum status status = input->is_gather
                                 ? place_gather(input, path, err)
                                 : place(input->files[0], path, input->artifacts[0].is_tree, err);
        if (status != OK)
            return err_prefix(err, "input %s", input->name);
    }
    return OK;
}

enum status exec_plan_outputs(struct exec *exec, struct err *err)
{
    const struct kind_call *call = exec->call;
    const struct value *declared = exec->params.outputs;
    if (declared && declared->type != VALUE_MAP && declared->type != VALUE_NIL)
        return err_set(err, E_INVALID, "outputs: expected a mapping of names to paths");
    exec->output_paths =
        arena_alloc(&exec->arena, (call->output_count + 1) * sizeof *exec->output_paths);
    for (uint32_t i = 0; i < call->output_count; i++) {
        char what[NAME_BYTES_MAX + 16];
        const char *name = call->outputs[i];
        if (exec->params.stdout && !strcmp(exec->params.stdout, name))
            continue;
        const char *path = declared ? value_get_text(declared, name) : NULL;
        if (!path)
            path = name;
        snprintf(what, sizeof what, "output %s", name);
        TRY(exec_check_path(what, path, err));
        TRY(make_folder_above(path, err));
        exec->output_paths[i] = path;
    }
    if (exec->params.stdout && !kind_has_output(call, exec->params.stdout))
        return err_set(err, E_INVALID, "stdout: \"%s\" is no output of this step",
                       exec->params.stdout);
    return OK;
}

/* Is the path reached without passing a symlink? A command could have put one anywhere. */
static bool is_inside(const struct exec *exec, const char *path)
{
    char here[PATH_MAX], found[PATH_MAX];
    if (!realpath(exec->call->work_dir, here) || !realpath(path, found))
        return false;
    size_t bytes = strlen(here);
    return !strncmp(found, here, bytes) && found[bytes] == '/' && !strcmp(found + bytes + 1, path);
}

static const char *type_of(mode_t mode)
{
    return S_ISFIFO(mode) ? "a pipe" : S_ISSOCK(mode) ? "a socket" : "a device";
}

static enum status check_output(const struct exec *exec, const char *name, const char *path,
                                struct err *err)
{
    struct stat found;
    if (lstat(path, &found))
        return err_set(err, E_INVALID,
                       "output %s: the command left nothing at \"%s\" in its work folder", name,
                       path);
    if (!is_inside(exec, path))
        return err_set(err, E_INVALID, "output %s: \"%s\" is, or lies behind, a symbolic link",
                       name, path);
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
        return err_set(err, E_INVALID, "output %s: \"%s\" is %s, expected a file or a folder", name,
                       path, type_of(found.st_mode));
    /* A folder that its owner may not write to could not be moved. */
    if (S_ISDIR(found.st_mode) && (found.st_mode & 0700) != 0700 && chmod(path, 0700))
        return fs_error(err, errno, path, "chmod");
    return OK;
}

enum status exec_collect_outputs(const struct exec *exec, struct err *err)
{
    for (uint32_t i = 0; i < exec->call->output_count; i++)
        if (exec->output_paths[i])
            TRY(check_output(exec, exec->call->outputs[i], exec->output_paths[i], err));
    TRY(exec_check_links(exec, err));
    for (uint32_t i = 0; i < exec->call->output_count; i++) {
        const char *name = exec->call->outputs[i], *path = exec->output_paths[i];
        char to[PATH_MAX];
        if (!path)
            continue;
        TRY(kind_output_path(exec->call, name, to, sizeof to, err));
        if (rename(path, to)) {
            fs_error(err, errno, path, "rename");
            return err_prefix(err, "output %s", name);
        }
    }
    return OK;
}
