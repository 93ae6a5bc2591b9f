// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/crypto/sign.h"
#include "common/text/json.h"
#include "worker/kinds/exec.h"

enum { TEXT_BYTES_MAX = 1 << 20, WORDS_MAX = 10000 };

static void put_quoted(struct buf *out, const char *text)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:,@%";
    if (*text && strspn(text, safe) == strlen(text)) {
        buf_put_text(out, text);
        return;
    }
    buf_put_char(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            buf_put_text(out, "'\\''");
        else
            buf_put_char(out, *text);
    }
    buf_put_char(out, '\'');
}

/* The path that "inputs.NAME" or "outputs.NAME" (up to `bytes`) stands for; NULL when it is
 * neither. */
static enum status look_up(const struct exec *exec, const char *name, size_t bytes,
                           const char **out, struct err *err)
{
    const struct kind_call *call = exec->call;
    *out = NULL;
    bool is_input = bytes > 7 && !strncmp(name, "inputs.", 7);
    bool is_output = bytes > 8 && !strncmp(name, "outputs.", 8);
    const char *rest = name + (is_input ? 7 : 8);
    size_t rest_bytes = bytes - (is_input ? 7 : 8);
    for (uint32_t i = 0; is_input && i < call->input_count; i++)
        if (strlen(call->inputs[i].name) == rest_bytes &&
            !memcmp(call->inputs[i].name, rest, rest_bytes))
            *out = exec->input_paths[i];
    for (uint32_t i = 0; is_output && i < call->output_count; i++)
        if (strlen(call->outputs[i]) == rest_bytes && !memcmp(call->outputs[i], rest, rest_bytes))
            *out = exec->output_paths[i] ? exec->output_paths[i] : "/dev/stdout";
    if ((is_input || is_output) && !*out)
        return err_set(err, E_INVALID, "command: ${%.*s} names no %s of this step", (int)bytes,
                       name, is_input ? "input" : "output");
    return OK;
}

enum status exec_substitute(struct exec *exec, const char *text, bool is_shell, const char **out,
                            struct err *err)
{
    AUTO(buf_fini) struct buf result = buf_init(TEXT_BYTES_MAX);
    for (const char *at = text; *at;) {
        const char *end = at[0] == '$' && at[1] == '{' ? strchr(at, '}') : NULL;
        const char *path = NULL;
        if (end)
            TRY(look_up(exec, at + 2, (size_t)(end - at - 2), &path, err));
        if (!path) {
            buf_put_char(&result, *at++);
            continue;
        }
        if (is_shell)
            put_quoted(&result, path);
        else
            buf_put_text(&result, path);
        at = end + 1;
    }
    TRY(buf_check(&result, "command", err));
    *out = arena_text(&exec->arena, (const char *)result.bytes, result.count);
    return OK;
}

/* As a shell looks for it: through PATH, unless there is a slash in it. */
static enum status find_program(struct exec *exec, const char *name, const char **out,
                                struct err *err)
{
    *out = name;
    if (strchr(name, '/'))
        return OK;
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/local/bin:/usr/bin:/bin"; *at;) {
        size_t bytes = strcspn(at, ":");
        const char *found =
            arena_format(&exec->arena, "%.*s/%s", (int)bytes, bytes ? at : ".", name);
        if (bytes && !access(found, X_OK)) {
            *out = found;
            return OK;
        }
        at += bytes + (at[bytes] == ':');
    }
    return err_set(err, E_NOTFOUND, "command: no program \"%s\" in PATH", name);
}

enum status exec_arguments(struct exec *exec, const char ***out, const char **program,
                           struct err *err)
{
    const struct value *command = exec->params.command;
    if (command->type == VALUE_STRING) {
        const char **words = arena_alloc(&exec->arena, 4 * sizeof *words);
        words[0] = "sh";
        words[1] = "-c";
        *program = "/bin/sh";
        *out = words;
        return exec_substitute(exec, command->text, true, &words[2], err);
    }
    if (command->type != VALUE_ARRAY || !command->count || command->count > WORDS_MAX)
        return err_set(err, E_INVALID, "command: expected a text or a list of words");
    const char **words = arena_alloc(&exec->arena, (command->count + 1) * sizeof *words);
    for (uint32_t i = 0; i < command->count; i++) {
        const struct value *word = &command->items[i];
        AUTO(buf_fini) struct buf text = buf_init(TEXT_BYTES_MAX);
        if (word->type == VALUE_STRING)
            buf_put(&text, word->text, word->count);
        else
            json_write(word, 0, &text);
        TRY(buf_check(&text, "command", err));
        TRY(exec_substitute(exec, buf_text(&text), false, &words[i], err));
    }
    *out = words;
    return find_program(exec, words[0], program, err);
}

static bool is_variable_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return *name && !strchr("0123456789", *name) && strspn(name, letters) == strlen(name);
}

/* Names that decide how programs are found and loaded are not an input's to give. */
static bool is_reserved(const char *name)
{
    return !strcmp(name, "PATH") || !strcmp(name, "HOME") || !strcmp(name, "IFS") ||
           !strncmp(name, "LD_", 3);
}

static enum status add_declared(struct exec *exec, const char **variables, size_t *count,
                                struct err *err)
{
    const struct value *env = exec->params.env;
    if (!env || env->type == VALUE_NIL)
        return OK;
    if (env->type != VALUE_MAP)
        return err_set(err, E_INVALID, "env: expected a mapping, found a %s",
                       value_type_name(env->type));
    for (uint32_t i = 0; i < env->count; i++) {
        const char *name = env->items[2 * i].text;
        const struct value *value = &env->items[2 * i + 1];
        AUTO(buf_fini) struct buf text = buf_init(TEXT_BYTES_MAX);
        if (!is_variable_name(name))
            return err_set(err, E_INVALID, "env: \"%s\" is no name for a variable", name);
        if (value->type == VALUE_STRING)
            buf_put(&text, value->text, value->count);
        else
            json_write(value, 0, &text);
        TRY(buf_check(&text, "env", err));
        variables[(*count)++] = arena_format(&exec->arena, "%s=%s", name, buf_text(&text));
    }
    return OK;
}

/* A variable that neither `env` nor a secret declares itself: of two of one name, programs differ
 * in which they see. */
static void add(struct exec *exec, const char **variables, size_t *count, const char *name,
                const char *value)
{
    for (uint32_t i = 0; i < exec->call->secret_count; i++)
        if (!strcmp(exec->call->secrets[i].name, name))
            return;
    if (!exec->params.env || !value_get(exec->params.env, name))
        variables[(*count)++] = arena_format(&exec->arena, "%s=%s", name, value);
}

/* Their texts are in locked memory, for exec_forget_secrets. */
static enum status add_secrets(struct exec *exec, const char **variables, size_t *count,
                               struct err *err)
{
    const struct kind_call *call = exec->call;
    exec->secret_texts = arena_alloc(&exec->arena, (call->secret_count + 1) * sizeof(char *));
    for (uint32_t i = 0; i < call->secret_count; i++) {
        const struct kind_secret *secret = &call->secrets[i];
        if (!is_variable_name(secret->name) || is_reserved(secret->name) ||
            (exec->params.env && value_get(exec->params.env, secret->name)))
            return err_set(err, E_INVALID, "secret %s: the name would hide that variable",
                           secret->name);
        size_t bytes = strlen(secret->name) + 1 + secret->bytes + 1;
        char *text = exec->secret_texts[i] = secret_new(bytes);
        (void)snprintf(text, bytes, "%s=%s", secret->name, secret->value);
        variables[(*count)++] = text;
    }
    return OK;
}

void exec_forget_secrets(struct exec *exec)
{
    for (uint32_t i = 0; exec->secret_texts && i < exec->call->secret_count; i++)
        secret_free(exec->secret_texts[i]);
}

enum status exec_environment(struct exec *exec, const char ***out, struct err *err)
{
    const struct kind_call *call = exec->call;
    struct arena *arena = &exec->arena;
    size_t declared =
        exec->params.env && exec->params.env->type == VALUE_MAP ? exec->params.env->count : 0;
    const char **variables =
        arena_alloc(arena, (declared + call->input_count + call->secret_count + 8) * sizeof *out);
    const char *path = getenv("PATH");
    size_t count = 0;
    TRY(add_declared(exec, variables, &count, err));
    TRY(add_secrets(exec, variables, &count, err));
    add(exec, variables, &count, "PATH", path ? path : "/usr/local/bin:/usr/bin:/bin");
    add(exec, variables, &count, "HOME", call->work_dir);
    add(exec, variables, &count, "TMPDIR",
        arena_format(arena, "%s/" KIND_TEMP_FOLDER, call->work_dir));
    add(exec, variables, &count, "LANG", "C.UTF-8");
    for (uint32_t i = 0; i < call->input_count; i++) {
        const char *name = call->inputs[i].name;
        if (is_reserved(name))
            return err_set(err, E_INVALID, "input %s: the name would hide that variable", name);
        if (is_variable_name(name))
            add(exec, variables, &count, name, exec->input_paths[i]);
    }
    *out = variables;
    return OK;
}
