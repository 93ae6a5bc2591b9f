// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/worker/kinds/call.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/arena.h"
#include "common/fs.h"
#include "common/text/yaml.h"
#include "proto/schemas.h"
#include "worker/kinds/kind.h"

static const char *path_of(struct arena *arena, const char *dir, const char *name)
{
    return arena_format(arena, "%s/%s", dir, name);
}

void call_write(const char *dir, const char *name, const char *text)
{
    struct arena arena = {0};
    assert_int_equal(fs_write(path_of(&arena, dir, name), text, strlen(text), NULL), OK);
    arena_fini(&arena);
}

struct buf call_read(const char *dir, const char *name)
{
    struct arena arena = {0};
    struct buf out = buf_init(0);
    assert_int_equal(fs_read(path_of(&arena, dir, name), &out, NULL), OK);
    arena_fini(&arena);
    return out;
}

static void problem(void *context, const struct value *at, const char *text)
{
    (void)context;
    (void)at;
    fail_msg("%s", text);
}

/* The kind's schema, and that of the model that `params` name. */
static void find_schemas(const char *kind, const struct value *params, const struct schema *out[3])
{
    const char *model = params->type == VALUE_MAP ? value_get_text(params, "model") : NULL;
    size_t count = 0;
    for (size_t i = 0; schemas[i]; i++)
        if (!strcmp(schemas[i]->name, kind) || (model && !strcmp(schemas[i]->name, model)))
            out[count++] = schemas[i];
}

static struct value canonical_params(const struct call *call, struct arena *arena)
{
    struct value written, canonical;
    const struct schema *used[3] = {NULL};
    struct schema_report report = {.problem = problem};
    const char *yaml = call->params ? call->params : "{}";
    assert_int_equal(yaml_parse("params", yaml, strlen(yaml), arena, &written, NULL), OK);
    find_schemas(call->kind, &written, used);
    assert_int_equal(schema_canonical(used, &written, arena_memory(arena), &report, &canonical),
                     OK);
    return canonical;
}

static uint32_t make_inputs(const struct call *call, struct arena *arena, struct kind_input *out)
{
    uint32_t count = 0;
    for (; count < CALL_INPUTS_MAX && call->inputs[count].name; count++) {
        const struct call_input *input = &call->inputs[count];
        const char **files = arena_alloc(arena, sizeof input->files);
        struct artifact *artifacts = arena_alloc(arena, CALL_FILES_MAX * sizeof *artifacts);
        out[count] = (struct kind_input){.name = input->name,
                                         .is_gather = input->is_gather,
                                         .files = files,
                                         .artifacts = artifacts};
        for (size_t i = 0; i < CALL_FILES_MAX && input->files[i]; i++) {
            files[i] = path_of(arena, call->dir, input->files[i]);
            artifacts[i].is_tree = input->is_tree;
            out[count].count++;
        }
    }
    return count;
}

enum status call_run(const struct call *call, const char *output_dir, struct err *err)
{
    struct arena arena = {0};
    struct kind_input inputs[CALL_INPUTS_MAX];
    struct value params = canonical_params(call, &arena);
    struct kind_call kind_call = {.params = &params,
                                  .inputs = inputs,
                                  .input_count = make_inputs(call, &arena, inputs),
                                  .outputs = call->outputs,
                                  .work_dir = call->dir,
                                  .output_dir = path_of(&arena, call->dir, output_dir),
                                  .attempt = 1};
    while (kind_call.output_count < 4 && call->outputs[kind_call.output_count])
        kind_call.output_count++;
    assert_int_equal(fs_make_dirs(kind_call.output_dir, NULL), OK);
    const struct kind *kind = kind_find(call->kind, strlen(call->kind));
    assert_non_null(kind);
    enum status status = kind->run(&kind_call, err);
    arena_fini(&arena);
    return status;
}

void call_run_well(const struct call *call, const char *output_dir)
{
    struct err err = {0};
    if (call_run(call, output_dir, &err) != OK)
        fail_msg("%s: %s", call->kind, err.text);
}

void call_expect_error(const struct call *call, enum status code, const char *text)
{
    struct err err = {0};
    enum status status = call_run(call, "failed", &err);
    if (status != code || !strstr(err.text, text))
        fail_msg("%s: `%s` (%s) lacks `%s` (%s)", call->kind, err.text, status_name(status), text,
                 status_name(code));
}
