// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "proto/kinds.h"
#include "worker/kinds/kind.h"

static const struct kind *const kinds[] = {
    &kind_preprocess, &kind_train, &kind_predict, &kind_metrics, &kind_exec, &kind_sleep, NULL,
};

static bool is_text(const char *text, const char *bytes, size_t count)
{
    return count && text[0] == bytes[0] && strlen(text) == count && !memcmp(text, bytes, count);
}

const struct kind *kind_find(const char *name, size_t name_bytes)
{
    for (const struct kind *const *at = kinds; *at; at++)
        if (is_text((*at)->name, name, name_bytes))
            return *at;
    return NULL;
}

const struct kind_input *kind_input_find(const struct kind_call *call, const char *name)
{
    for (uint32_t i = 0; i < call->input_count; i++)
        if (!strcmp(call->inputs[i].name, name))
            return &call->inputs[i];
    return NULL;
}

enum status kind_input(const struct kind_call *call, const char *name,
                       const struct kind_input **out, struct err *err)
{
    *out = NULL;
    const struct kind_input *input = kind_input_find(call, name);
    if (!input)
        return err_set(err, E_INVALID, "input %s is missing", name);
    if (input->is_gather || input->count != 1)
        return err_set(err, E_INVALID, "input %s is a list of %u; one artifact is expected", name,
                       input->count);
    *out = input;
    return OK;
}

bool kind_has_output(const struct kind_call *call, const char *name)
{
    for (uint32_t i = 0; i < call->output_count; i++)
        if (!strcmp(call->outputs[i], name))
            return true;
    return false;
}

enum status kind_output_path(const struct kind_call *call, const char *name, char *path,
                             size_t path_bytes, struct err *err)
{
    int bytes = snprintf(path, path_bytes, "%s/%s", call->output_dir, name);
    if (bytes < 0 || (size_t)bytes >= path_bytes)
        return err_set(err, E_LIMIT, "output %s: its path is over %zu bytes", name, path_bytes);
    return OK;
}

enum status kind_check_version(const char *kind, size_t kind_bytes, const char *version,
                               size_t version_bytes, struct err *err)
{
    const struct kind_info *near = NULL;
    for (size_t i = 0; i < kind_info_count; i++) {
        const struct kind_info *info = &kind_infos[i];
        if (!is_text(info->kind, kind, kind_bytes))
            continue;
        near = info;
        if (is_text(info->version, version, version_bytes))
            return OK;
    }
    if (!near)
        return err_set(err, E_UNSUPPORTED, "kind %.*s: this worker has none of that name",
                       (int)kind_bytes, kind);
    return err_set(err, E_VERSION, "kind %s: the task wants version %.*s, this worker has %s",
                   near->kind, (int)version_bytes, version, near->version);
}
