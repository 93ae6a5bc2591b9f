// SPDX-License-Identifier: Apache-2.0
#include "worker/kinds/model_file.h"

#include <stdio.h>
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "common/text/json.h"
#include "proto/kinds.h"
#include "proto/limits.h"
#include "worker/data/document.h"
#include "worker/data/safetensors.h"

#define MODEL_FORMAT "penstock.model.1"

enum {
    TENSORS_MAX = 16, /* a model's named arrays */
    PATH_BYTES_MAX = 4096,
    /* Names of 65,536 columns and 10,000 classes. */
    CONFIG_BYTES_MAX = 64 << 20,
};

void model_info_free(struct model_info *info)
{
    arena_fini(&info->arena);
    mem_free(info);
}

void fitted_free(struct fitted *fitted)
{
    fitted->model->free(fitted);
}

static enum status join(const char *dir, const char *name, char *path, struct err *err)
{
    int bytes = snprintf(path, PATH_BYTES_MAX, "%s/%s", dir, name);
    if (bytes < 0 || bytes >= PATH_BYTES_MAX)
        return err_set(err, E_LIMIT, "%s: the path is too long", name);
    return OK;
}

/* ---- saving ---- */

static struct value optional_text(const char *text)
{
    return text ? value_string(text) : value_nil();
}

static void make_config(const struct model_info *info, struct arena *arena, struct value *config)
{
    *config = doc_map();
    struct value columns = doc_list();
    for (size_t i = 0; i < info->column_count; i++)
        doc_add(arena, &columns, value_string(info->columns[i]));
    const char *model = info->model->name;
    doc_put(arena, config, "classes", doc_copy(arena, &info->classes));
    doc_put(arena, config, "columns", columns);
    doc_put(arena, config, "format", value_string(MODEL_FORMAT));
    const struct kind_info *kind = kind_info_find("train", model);
    doc_put(arena, config, "kind_version", optional_text(kind ? kind->offer : NULL));
    doc_put(arena, config, "model", value_string(model));
    doc_put(arena, config, "parameters", doc_copy(arena, &info->params));
    doc_put(arena, config, "preprocessor", optional_text(info->preprocessor));
    doc_put(arena, config, "target", optional_text(info->target_name));
    doc_put(arena, config, "task", value_string(dataset_task_name(info->task)));
}

static enum status write_weights(const struct fitted *fitted, struct buf *out, struct err *err)
{
    const struct model *model = fitted->model;
    if (model->save_bytes)
        return model->save_bytes(fitted, out, err);
    struct tensor tensors[TENSORS_MAX];
    size_t count = model->save(fitted, tensors, TENSORS_MAX);
    if (count > TENSORS_MAX)
        return err_set(err, E_LIMIT, "%s: %zu tensors, at most %d", model->name, count,
                       TENSORS_MAX);
    struct value metadata = doc_map();
    AUTO(arena_fini) struct arena arena = {0};
    doc_put(&arena, &metadata, "format", value_string(MODEL_FORMAT));
    doc_put(&arena, &metadata, "model", value_string(model->name));
    return safetensors_write(tensors, count, &metadata, out, err);
}

static enum status write_file(const char *dir, const char *name, const struct buf *bytes,
                              struct err *err)
{
    char path[PATH_BYTES_MAX];
    TRY(join(dir, name, path, err));
    TRY(buf_check(bytes, name, err));
    return fs_write(path, bytes->bytes, bytes->count, err);
}

enum status model_file_save(const char *dir, const struct fitted *fitted,
                            const struct model_info *info, struct err *err)
{
    TRY(fs_make_dirs(dir, err));
    AUTO(arena_fini) struct arena arena = {0};
    struct value config;
    make_config(info, &arena, &config);
    AUTO(buf_fini) struct buf text = buf_init(CONFIG_BYTES_MAX);
    document_write(&config, &text);
    TRY(write_file(dir, "config.json", &text, err));
    AUTO(buf_fini) struct buf weights = buf_init(0);
    TRY(write_weights(fitted, &weights, err));
    return write_file(dir, fitted->model->weights_name, &weights, err);
}

/* ---- loading ---- */

static enum status check_format(const char *name, const struct value *config, struct err *err)
{
    const char *format;
    TRY(document_get_text(name, config, "format", &format, err));
    if (!format || strcmp(format, MODEL_FORMAT))
        return err_set(err, E_INVALID, "%s: format `%.40s`, expected \"" MODEL_FORMAT "\"", name,
                       format ? format : "");
    return OK;
}

static enum status find_model(const char *name, const struct value *config, struct model_info *info,
                              struct err *err)
{
    const char *model, *task;
    TRY(document_get_text(name, config, "model", &model, err));
    info->model = model ? model_find(model) : NULL;
    if (!info->model)
        return err_set(err, E_INVALID, "%s: model `%.64s` is not one this worker has", name,
                       model ? model : "");
    TRY(document_get_text(name, config, "task", &task, err));
    TRY(dataset_task_parse(name, task, &info->task, err));
    bool is_possible = info->task == DATASET_CLASSIFICATION
                           ? info->model->can_classify
                           : info->task == DATASET_REGRESSION && info->model->can_regress;
    if (!is_possible)
        return err_set(err, E_CORRUPT, "%s: %s does no %s", name, model, task);
    return OK;
}

static enum status read_classes(const char *name, const struct value *config,
                                struct model_info *info, struct err *err)
{
    const struct value *classes;
    TRY(document_get(name, config, "classes", VALUE_ARRAY, &classes, err));
    TRY(document_check_classes(name, classes, err));
    bool is_sound = info->task == DATASET_CLASSIFICATION ? classes->count >= 2 : !classes->count;
    if (!is_sound)
        return err_set(err, E_CORRUPT, "%s: %u classes for a model of %s", name, classes->count,
                       dataset_task_name(info->task));
    info->classes = *classes;
    return OK;
}

static enum status read_config(const char *dir, struct model_info **out, struct err *err)
{
    *out = NULL;
    char path[PATH_BYTES_MAX];
    TRY(join(dir, "config.json", path, err));
    AUTO(buf_fini) struct buf text = buf_init(CONFIG_BYTES_MAX);
    TRY(fs_read(path, &text, err));
    AUTO(model_info_free) struct model_info *info = mem_alloc(sizeof *info);
    const char *name = "config.json";
    struct value config;
    TRY(json_parse(name, (const char *)text.bytes, text.count, &info->arena, &config, err));
    TRY(check_format(name, &config, err));
    TRY(find_model(name, &config, info, err));
    TRY(read_classes(name, &config, info, err));
    TRY(document_get_names(name, &config, "columns", &info->arena, &info->columns,
                           &info->column_count, err));
    if (!info->column_count || info->column_count > COLUMNS_MAX)
        return err_set(err, E_CORRUPT, "%s: %zu columns, expected 1 to %d", name,
                       info->column_count, COLUMNS_MAX);
    TRY(document_get_text(name, &config, "target", &info->target_name, err));
    TRY(document_get_text(name, &config, "preprocessor", &info->preprocessor, err));
    const struct value *params;
    TRY(document_get(name, &config, "parameters", VALUE_MAP, &params, err));
    info->params = *params;
    *out = TAKE(info);
    return OK;
}

static enum status read_weights(const char *dir, const struct model_info *info, struct fitted **out,
                                struct err *err)
{
    char path[PATH_BYTES_MAX];
    const struct model *model = info->model;
    TRY(join(dir, model->weights_name, path, err));
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    TRY(fs_read(path, &bytes, err));
    if (model->load_bytes)
        return model->load_bytes(bytes.bytes, bytes.count, info->column_count, info->classes.count,
                                 out, err);
    AUTO(arena_fini) struct arena arena = {0};
    struct safetensors file;
    TRY(safetensors_read(model->weights_name, bytes.bytes, bytes.count, &arena, &file, err));
    return model->load(file.tensors, file.count, info->column_count, info->classes.count, out, err);
}

enum status model_file_load(const char *dir, struct fitted **fitted_out,
                            struct model_info **info_out, struct err *err)
{
    *fitted_out = NULL;
    *info_out = NULL;
    AUTO(model_info_free) struct model_info *info = NULL;
    TRY(read_config(dir, &info, err));
    TRY(read_weights(dir, info, fitted_out, err));
    *info_out = TAKE(info);
    return OK;
}

/* ---- fitting a dataset ---- */

static enum status check_columns(const struct model_info *info, const struct dataset *dataset,
                                 struct err *err)
{
    if (dataset->features.columns != info->column_count)
        return err_set(err, E_INVALID,
                       "the dataset has %zu columns, the model was trained with %zu",
                       dataset->features.columns, info->column_count);
    for (size_t i = 0; i < info->column_count; i++)
        if (strcmp(dataset->columns[i], info->columns[i]))
            return err_set(err, E_INVALID,
                           "column %zu of the dataset is `%.64s`, the model was trained with "
                           "`%.64s` there",
                           i + 1, dataset->columns[i], info->columns[i]);
    return OK;
}

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

enum status model_info_check(const struct model_info *info, const struct dataset *dataset,
                             struct err *err)
{
    TRY(check_columns(info, dataset, err));
    if (!is_same_text(info->preprocessor, dataset->preprocessor))
        return err_set(err, E_INVALID,
                       "the dataset was prepared by preprocessor %.12s, the model was trained "
                       "behind %.12s: prepare the table with `preprocessor:` from the same step",
                       dataset->preprocessor ? dataset->preprocessor : "none",
                       info->preprocessor ? info->preprocessor : "none");
    if (!dataset->target)
        return OK;
    if (dataset->task != info->task)
        return err_set(err, E_INVALID, "the dataset's target is for %s, the model does %s",
                       dataset_task_name(dataset->task), dataset_task_name(info->task));
    if (!value_equal(&dataset->classes, &info->classes))
        return err_set(err, E_INVALID,
                       "the dataset's classes are not those the model was trained with");
    return OK;
}
