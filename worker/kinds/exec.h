/* The kind `exec`: any program in any language. Its inputs are placed in the work folder as copies
 * that it may not write to (never hard links: whatever it does to their modes, nothing reaches the
 * cache), it runs there, confined (kind_confine), with a small, declared environment, and what it
 * leaves at the declared paths becomes its outputs.
 *
 *   inputs/NAME            a file or folder; `path` places it elsewhere; a gather is a folder
 *                          0, 1, … with index.json
 *   ${inputs.NAME}         its path, relative to the work folder: absolute ones would find
 *                          their way into outputs
 *   ${outputs.NAME}        where the output is expected
 *   $NAME                  the input's path again
 *
 * A text is for /bin/sh -c, with what is substituted quoted; a list of words has no shell. The
 * environment is PATH, HOME (the work folder), TMPDIR, LANG=C.UTF-8, the inputs' names and what
 * `env` declares, and each of `secrets` under its name. Secrets' values are masked in what is kept
 * of stdout and stderr (exec_mask.h); a task whose outputs hold one fails.
 *
 * Split over exec.c (the run), exec_files.c (inputs, outputs), exec_text.c (substitution).
 * Thread: the slot's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/schemas.h"
#include "worker/kinds/kind.h"

struct exec {
    const struct kind_call *call;
    struct exec_params params;
    struct arena arena;
    const char **input_paths;  /* relative, one per input */
    const char **output_paths; /* relative, one per output; NULL for the one that is stdout */
    char **secret_texts;       /* "NAME=value" */
};

/* Places every input. Errors: E_INVALID a path that leaves the work folder; E_IO, E_FULL. */
MUST_USE enum status exec_place_inputs(struct exec *exec, struct err *err);
/* Decides where outputs are expected and makes the folders above them. Errors: E_INVALID. */
MUST_USE enum status exec_plan_outputs(struct exec *exec, struct err *err);
/* Moves what was left to the output folder. Errors: E_INVALID an output that is not there, neither
 * file nor folder, reached through a symlink, or a hard link to elsewhere (exec_links.h). */
MUST_USE enum status exec_collect_outputs(const struct exec *exec, struct err *err);

/* `text` with ${inputs.NAME} and ${outputs.NAME} filled in, quoted for a shell if asked; other ${…}
 * stays. Errors: E_INVALID an unknown name. */
MUST_USE enum status exec_substitute(struct exec *exec, const char *text, bool is_shell,
                                     const char **out, struct err *err);
/* The program's argv; `*program` is its path. Errors: E_INVALID, E_NOTFOUND no such program in
 * PATH. */
MUST_USE enum status exec_arguments(struct exec *exec, const char ***out, const char **program,
                                    struct err *err);
/* The program's environment; exec_forget_secrets when it has it. Errors: E_INVALID. */
MUST_USE enum status exec_environment(struct exec *exec, const char ***out, struct err *err);
void exec_forget_secrets(struct exec *exec);
/* Relative, with no empty, "." or ".." part? Errors: E_INVALID naming `what`. */
MUST_USE enum status exec_check_path(const char *what, const char *path, struct err *err);
