/* predict: `model`, `dataset` → `predictions`. Of several equally probable classes the first is
 * predicted. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/doc.h"
#include "worker/kinds/data_files.h"
#include "worker/kinds/kind.h"
#include "worker/kinds/model_file.h"

static const char *const made[] = {"predictions", NULL};

static enum status load_model(const struct kind_call *call, struct fitted **fitted,
                              struct model_info **info, struct err *err)
{
    const struct kind_input *input;
    TRY(kind_input(call, "model", &input, err));
    if (input->artifacts && !input->artifacts[0].is_tree)
        return err_set(err, E_INVALID, "input model: a file; expected a model's folder");
    return model_file_load(input->files[0], fitted, info, err);
}

static void choose_classes(struct predictions *predictions)
{
    size_t k = predictions->class_count;
    for (size_t row = 0; row < predictions->rows; row++) {
        const double *p = predictions->probabilities + row * k;
        size_t best = 0;
        for (size_t i = 1; i < k; i++)
            if (p[i] > p[best])
                best = i;
        predictions->prediction[row] = (double)best;
    }
}

static enum status predict(const struct fitted *fitted, const struct model_info *info,
                           const struct dataset *dataset, struct predictions **out, struct err *err)
{
    *out = NULL;
    size_t rows = dataset->features.rows, k = fitted->class_count;
    AUTO(predictions_free) struct predictions *predictions = NULL;
    TRY(predictions_new(rows, k, dataset->target != NULL, &predictions, err));
    predictions->classes = doc_copy(&predictions->arena, &info->classes);
    double *into = k ? predictions->probabilities : predictions->prediction;
    TRY(fitted->model->predict(fitted, &dataset->features, into, err));
    if (k)
        choose_classes(predictions);
    if (dataset->target && rows)
        memcpy(predictions->target, dataset->target, rows * sizeof *dataset->target);
    if (rows)
        memcpy(predictions->row_id, dataset->row_id, rows * sizeof *dataset->row_id);
    *out = TAKE(predictions);
    return OK;
}

static enum status run(const struct kind_call *call, struct err *err)
{
    TRY(data_check_outputs(call, made, err));
    const struct kind_input *input;
    TRY(kind_input(call, "dataset", &input, err));
    AUTO(fitted_free) struct fitted *fitted = NULL;
    AUTO(model_info_free) struct model_info *info = NULL;
    TRY(load_model(call, &fitted, &info, err));
    AUTO(dataset_free) struct dataset *dataset = NULL;
    TRY(data_read_dataset(input, &dataset, err));
    TRY(model_info_check(info, dataset, err));
    AUTO(predictions_free) struct predictions *predictions = NULL;
    TRY(predict(fitted, info, dataset, &predictions, err));
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    TRY(predictions_write(predictions, &bytes, err));
    return data_write_output(call, "predictions", &bytes, err);
}

const struct kind kind_predict = {.name = "predict", .run = run};
