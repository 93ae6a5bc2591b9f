/* metrics: `predictions` → `metrics`, one JSON object of scores; or, with `select`, `reports` and
 * `models` → `metrics`, the table of all reports and the winner's index, and `model`, the winner's.
 * The keys are described in proto/schema/metrics.def. */
// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <math.h>
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "proto/schemas.h"
#include "worker/data/category.h"
#include "worker/data/document.h"
#include "worker/kinds/data_files.h"
#include "worker/kinds/kind.h"
#include "worker/kinds/select.h"
#include "worker/models/score.h"

struct report {
    struct arena arena;
    struct value root;
};

static void report_fini(struct report *report)
{
    arena_fini(&report->arena);
}
DEFINE_AUTO_VALUE(struct report, report_fini)

static void put_real(struct report *report, const char *key, double real)
{
    doc_put(&report->arena, &report->root, key, document_real(real));
}

static void put_averages(struct report *report, const char *keys[3], struct score_averages averages)
{
    put_real(report, keys[0], averages.precision);
    put_real(report, keys[1], averages.recall);
    put_real(report, keys[2], averages.f1);
}

static void put_classes(struct report *report, const struct predictions *predictions,
                        const uint64_t *counts)
{
    struct arena *arena = &report->arena;
    size_t k = predictions->class_count;
    struct value list = doc_list(), matrix = doc_list();
    for (size_t i = 0; i < k; i++) {
        struct score_class score = score_class(counts, k, i);
        struct value entry = doc_map(), row = doc_list();
        doc_put(arena, &entry, "class", predictions->classes.items[i]);
        doc_put(arena, &entry, "precision", value_real(score.precision));
        doc_put(arena, &entry, "recall", value_real(score.recall));
        doc_put(arena, &entry, "f1", value_real(score.f1));
        doc_put(arena, &entry, "support", value_int((int64_t)score.support));
        for (size_t other = 0; other < k; other++)
            doc_add(arena, &row, value_int((int64_t)counts[i * k + other]));
        doc_add(arena, &list, entry);
        doc_add(arena, &matrix, row);
    }
    doc_put(arena, &report->root, "classes", list);
    doc_put(arena, &report->root, "confusion_matrix", matrix);
}

/* The index of the class that is called positive, of two. */
static enum status find_positive(const struct predictions *predictions, const char *positive,
                                 size_t *out, struct err *err)
{
    *out = 1;
    if (!positive)
        return OK;
    char first[256], second[256];
    category_text(&predictions->classes.items[0], first, sizeof first);
    category_text(&predictions->classes.items[1], second, sizeof second);
    *out = strcmp(positive, first) ? 1 : 0;
    if (*out && strcmp(positive, second) != 0)
        return err_set(err, E_INVALID, "positive: no class `%.80s`; the classes are `%s` and `%s`",
                       positive, first, second);
    return OK;
}

static enum status put_binary(struct report *report, const struct predictions *predictions,
                              const uint64_t *counts, const char *positive, struct err *err)
{
    size_t index;
    double area;
    TRY(find_positive(predictions, positive, &index, err));
    struct score_class score = score_class(counts, 2, index);
    put_averages(report, (const char *[]){"precision_binary", "recall_binary", "f1_binary"},
                 (struct score_averages){score.precision, score.recall, score.f1});
    TRY(score_roc_auc(predictions->target, predictions->probabilities, predictions->rows, 2, index,
                      &area, err));
    put_real(report, "roc_auc", area);
    return OK;
}

static enum status put_classification(struct report *report, const struct predictions *predictions,
                                      const char *positive, struct err *err)
{
    size_t k = predictions->class_count, rows = predictions->rows;
    void *memory;
    TRY(mem_try(k * k, sizeof(uint64_t), "a confusion matrix", &memory, err));
    AUTO(mem_free) uint64_t *counts = memory;
    score_confusion(predictions->target, predictions->prediction, rows, k, counts);
    put_real(report, "accuracy", score_accuracy(counts, k));
    put_averages(report, (const char *[]){"precision", "recall", "f1"}, score_macro(counts, k));
    put_averages(report, (const char *[]){"precision_weighted", "recall_weighted", "f1_weighted"},
                 score_weighted(counts, k));
    put_real(report, "log_loss",
             score_log_loss(predictions->target, predictions->probabilities, rows, k));
    put_classes(report, predictions, counts);
    if (k == 2)
        return put_binary(report, predictions, counts, positive, err);
    if (positive)
        return err_set(err, E_INVALID, "positive: there are %zu classes, it is about two", k);
    double area;
    TRY(score_roc_auc_macro(predictions->target, predictions->probabilities, rows, k, &area, err));
    put_real(report, "roc_auc", area);
    return OK;
}

static void put_regression(struct report *report, const struct predictions *predictions)
{
    struct score_errors errors =
        score_regression(predictions->target, predictions->prediction, predictions->rows);
    put_real(report, "mae", errors.mae);
    put_real(report, "mse", errors.mse);
    put_real(report, "rmse", errors.rmse);
    put_real(report, "r2", errors.r2);
}

static enum status read_predictions(const struct kind_call *call, struct predictions **out,
                                    struct err *err)
{
    const struct kind_input *input;
    TRY(kind_input(call, "predictions", &input, err));
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    TRY(data_read_input(input, 0, &bytes, err));
    AUTO(predictions_free) struct predictions *predictions = NULL;
    TRY(predictions_read(input->name, bytes.bytes, bytes.count, &predictions, err));
    if (!predictions->target)
        return err_set(err, E_INVALID, "predictions: their dataset had no target to compare with");
    if (!predictions->rows)
        return err_set(err, E_INVALID, "predictions: there are no rows");
    *out = TAKE(predictions);
    return OK;
}

static enum status score(const struct kind_call *call, const struct metrics_params *params,
                         struct err *err)
{
    static const char *const made[] = {"metrics", NULL};
    TRY(data_check_outputs(call, made, err));
    AUTO(predictions_free) struct predictions *predictions = NULL;
    TRY(read_predictions(call, &predictions, err));
    AUTO(report_fini) struct report report = {.root = doc_map()};
    doc_put(&report.arena, &report.root, "rows", value_int((int64_t)predictions->rows));
    doc_put(&report.arena, &report.root, "task",
            value_string(dataset_task_name(predictions->task)));
    if (predictions->task == DATASET_REGRESSION)
        put_regression(&report, predictions);
    else
        TRY(put_classification(&report, predictions, params->has_positive ? params->positive : NULL,
                               err));
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    document_write(&report.root, &bytes);
    return data_write_output(call, "metrics", &bytes, err);
}

static enum status run(const struct kind_call *call, struct err *err)
{
    struct metrics_params params;
    TRY(schema_decode(&schema_metrics, call->params, &params, err));
    return params.has_select ? select_run(call, params.select, err) : score(call, &params, err);
}

const struct kind kind_metrics = {.name = "metrics", .run = run};
