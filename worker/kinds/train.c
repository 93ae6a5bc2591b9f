/* train: `dataset` (and, if it is given, `validation`) → `model`, a folder (model_file.h), and
 * `history`, a JSON document with the loss after each round, where the model has rounds. */
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "proto/schemas.h"
#include "worker/data/document.h"
#include "worker/kinds/data_files.h"
#include "worker/kinds/kind.h"
#include "worker/kinds/model_file.h"

static const char *const made[] = {"model", "history", NULL};

/* ---- parameters ---- */

static enum status find_model(const struct kind_call *call, const struct model **out,
                              struct err *err)
{
    const char *name = value_get_text(call->params, "model");
    *out = name ? model_find(name) : NULL;
    if (!*out)
        return err_set(err, E_INVALID, "model: `%.64s` is not a model of this worker",
                       name ? name : "");
    return OK;
}

/* All parameters of the model: given, default, or null where there is neither. */
static struct value all_params(const struct schema *schema, const struct value *given,
                               struct arena *arena)
{
    struct value all = doc_map();
    for (size_t i = 0; i < schema->param_count; i++) {
        const struct param *param = &schema->params[i];
        const struct value *value = value_get(given, param->name);
        doc_put(arena, &all, param->name, value ? doc_copy(arena, value) : schema_default(param));
    }
    return all;
}

/* ---- data ---- */

static void write_class(const struct value *classes, size_t index, struct buf *out)
{
    const struct value *class = &classes->items[index];
    if (class->type == VALUE_INT)
        buf_format(out, "%lld", (long long)class->integer);
    else
        buf_format(out, "`%.64s`", class->text);
}

static enum status check_classes(const struct dataset *dataset, struct err *err)
{
    size_t rows = dataset->features.rows, same = 0;
    while (same < rows && dataset->target[same] == dataset->target[0])
        same++;
    if (same < rows)
        return OK;
    AUTO(buf_fini) struct buf name = buf_init(0);
    write_class(&dataset->classes, (size_t)dataset->target[0], &name);
    return err_set(err, E_INVALID,
                   "the training data have one class only, %s (%zu rows): a classifier needs at "
                   "least two",
                   buf_text(&name), rows);
}

static enum status check_task(const struct model *model, const struct dataset *dataset,
                              struct err *err)
{
    if (dataset->task == DATASET_NO_TARGET || !dataset->target)
        return err_set(err, E_INVALID,
                       "the dataset has no target: name its column with `target` in preprocess");
    bool is_classification = dataset->task == DATASET_CLASSIFICATION;
    if (is_classification ? model->can_classify : model->can_regress)
        return OK;
    return err_set(err, E_INVALID, "%s does %s only, but the target `%.64s` holds %s", model->name,
                   is_classification ? "regression" : "classification",
                   dataset->target_name ? dataset->target_name : "",
                   is_classification ? "classes" : "numbers");
}

static enum status check_dataset(const struct model *model, const struct dataset *dataset,
                                 struct err *err)
{
    TRY(check_task(model, dataset, err));
    if (!dataset->features.rows)
        return err_set(err, E_INVALID, "the dataset has no rows to train on");
    if (!dataset->features.columns)
        return err_set(err, E_INVALID, "the dataset has no feature columns");
    return dataset->task == DATASET_CLASSIFICATION ? check_classes(dataset, err) : OK;
}

static enum status read_data(const struct kind_call *call, const struct model *model,
                             struct dataset **training, struct dataset **validation,
                             struct err *err)
{
    const struct kind_input *input;
    TRY(kind_input(call, "dataset", &input, err));
    TRY(data_read_dataset(input, training, err));
    TRY(check_dataset(model, *training, err));
    if (!kind_input_find(call, "validation"))
        return OK;
    TRY(kind_input(call, "validation", &input, err));
    TRY(data_read_dataset(input, validation, err));
    return OK;
}

/* Borrows from the dataset. */
static struct model_info info_of(const struct model *model, const struct dataset *dataset)
{
    return (struct model_info){.model = model,
                               .task = dataset->task,
                               .column_count = dataset->features.columns,
                               .columns = dataset->columns,
                               .target_name = dataset->target_name,
                               .classes = dataset->classes,
                               .preprocessor = dataset->preprocessor};
}

static enum status check_validation(const struct model_info *info, const struct dataset *validation,
                                    struct err *err)
{
    if (!validation)
        return OK;
    enum status status = model_info_check(info, validation, err);
    if (status == OK && !validation->target)
        status = err_set(err, E_INVALID, "the dataset has no target");
    return status == OK ? OK : err_prefix(err, "input validation");
}

/* ---- fitting ---- */

static enum status report_progress(void *context, uint64_t step, uint64_t total, double loss)
{
    const struct kind_call *call = context;
    if (call->progress)
        call->progress(call, step, total, isnan(loss) ? NULL : "loss", isnan(loss) ? 0 : loss);
    return OK;
}

static enum status fit(const struct kind_call *call, const struct model *model,
                       const struct dataset *training, const struct dataset *validation,
                       struct buf *history, struct fitted **out, struct err *err)
{
    *out = NULL;
    AUTO(mem_free) void *params = mem_alloc(model->schema->struct_bytes);
    TRY(schema_decode(model->schema, call->params, params, err));
    struct fit_input input = {.features = training->features,
                              .target = training->target,
                              .class_count = training->classes.count,
                              .params = params,
                              .progress = report_progress,
                              .progress_context = (void *)(uintptr_t)call};
    if (validation) {
        input.validation_features = validation->features;
        input.validation_target = validation->target;
    }
    return model->fit(&input, history, out, err);
}

static enum status write_history(const struct kind_call *call, const struct model *model,
                                 const struct buf *history, struct err *err)
{
    if (!kind_has_output(call, "history"))
        return OK;
    AUTO(arena_fini) struct arena arena = {0};
    struct value document = doc_map(), rounds = doc_list();
    const struct history_point *points = (const void *)history->bytes;
    for (size_t i = 0; i < history->count / sizeof *points; i++) {
        struct value *round = doc_add(&arena, &rounds, doc_map());
        doc_put(&arena, round, "loss", document_real(points[i].loss));
        doc_put(&arena, round, "step", value_int((int64_t)points[i].step));
        doc_put(&arena, round, "validation_loss", document_real(points[i].validation_loss));
    }
    doc_put(&arena, &document, "model", value_string(model->name));
    doc_put(&arena, &document, "rounds", rounds);
    AUTO(buf_fini) struct buf text = buf_init(0);
    document_write(&document, &text);
    return data_write_output(call, "history", &text, err);
}

static enum status write_model(const struct kind_call *call, const struct fitted *fitted,
                               const struct model_info *info, struct err *err)
{
    enum { PATH_BYTES_MAX = 4096 };
    char path[PATH_BYTES_MAX];
    if (!kind_has_output(call, "model"))
        return OK;
    TRY(kind_output_path(call, "model", path, sizeof path, err));
    return model_file_save(path, fitted, info, err);
}

static enum status run(const struct kind_call *call, struct err *err)
{
    const struct model *model;
    TRY(data_check_outputs(call, made, err));
    TRY(find_model(call, &model, err));
    AUTO(dataset_free) struct dataset *training = NULL;
    AUTO(dataset_free) struct dataset *validation = NULL;
    TRY(read_data(call, model, &training, &validation, err));
    AUTO(arena_fini) struct arena arena = {0};
    struct model_info info = info_of(model, training);
    info.params = all_params(model->schema, call->params, &arena);
    TRY(check_validation(&info, validation, err));
    AUTO(buf_fini) struct buf history = buf_init(0);
    AUTO(fitted_free) struct fitted *fitted = NULL;
    TRY(fit(call, model, training, validation, &history, &fitted, err));
    TRY(write_model(call, fitted, &info, err));
    return write_history(call, model, &history, err);
}

const struct kind kind_train = {.name = "train", .run = run};
