/* Gradient boosting: a thin, checked layer over XGBoost's C interface. One thread, since sums over
 * threads would depend on their number. Features, targets and predictions are float32 there: what
 * comes back are floats widened to double, and for two classes (1 − p, p). The same parameters and
 * data give the bits of the Python package of the same version. The weights are XGBoost's own UBJ,
 * which Python's xgboost loads.
 *
 * XGBoost accepts any parameter name in silence, so all names come from our schema. Its parsers
 * trust their input: models are loaded in slots only. */
// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xgboost/c_api.h>

#include "common/base/mem.h"
#include "lib_versions.h"
#include "proto/schemas.h"
#include "worker/models/model_list.h"
#include "worker/models/vecmath.h"

struct boosting {
    struct fitted fitted;
    BoosterHandle booster;
};

static void release(struct fitted *fitted)
{
    struct boosting *boosting = (struct boosting *)fitted;
    if (boosting->booster)
        XGBoosterFree(boosting->booster);
    mem_free(boosting);
}
DEFINE_AUTO(struct fitted *, release)

static void release_matrix(DMatrixHandle handle)
{
    XGDMatrixFree(handle);
}
DEFINE_AUTO(DMatrixHandle, release_matrix)

/* XGBoost's text has a time, a source file and a stack trace; the first line behind the last "]" or
 * ": " of those is what it means to say. */
static enum status failed(const char *doing, enum status code, struct err *err)
{
    const char *text = XGBGetLastError(), *colon = strstr(text, ".cc:");
    if (colon) {
        colon += strlen(".cc:");
        while (isdigit((unsigned char)*colon) || *colon == ':' || *colon == ' ')
            colon++;
        text = colon;
    }
    return err_set(err, code, "gradient_boosting: %s: %.*s", doing, (int)strcspn(text, "\n"), text);
}

#define TRY_XGB(call, doing)                                                                       \
    do {                                                                                           \
        if ((call) != 0)                                                                           \
            return failed(doing, E_INVALID, err);                                                  \
    } while (0)

enum status boosting_check(struct err *err)
{
    int major, minor, patch;
    char found[48];
    XGBoostVersion(&major, &minor, &patch);
    snprintf(found, sizeof found, "xgboost-%d.%d.%d", major, minor, patch);
    if (strcmp(found, LIB_XGBOOST))
        return err_set(
            err, E_VERSION,
            "the XGBoost library that was loaded is %s, this program was built with " LIB_XGBOOST
            ": install that version",
            found);
    return OK;
}

/* ---- data ---- */

static enum status make_matrix(const struct matrix *features, DMatrixHandle *out, struct err *err)
{
    size_t count = features->rows * features->columns;
    void *memory;
    TRY(mem_try(count, sizeof(float), "features", &memory, err));
    AUTO(mem_free) float *values = memory;
    for (size_t i = 0; i < count; i++) {
        if (!(fabs(features->values[i]) <= FLT_MAX))
            return err_set(err, E_INVALID,
                           "gradient_boosting: feature %zu of row %zu is %g: XGBoost sees features "
                           "as float32, which ends at %g; scale the column",
                           i % features->columns, i / features->columns, features->values[i],
                           (double)FLT_MAX);
        values[i] = (float)features->values[i];
    }
    TRY_XGB(XGDMatrixCreateFromMat_omp(values, features->rows, features->columns, NAN, out, 1),
            "taking the features");
    return OK;
}

static enum status set_target(DMatrixHandle handle, const double *target, size_t rows,
                              struct err *err)
{
    void *memory;
    TRY(mem_try(rows, sizeof(float), "target", &memory, err));
    AUTO(mem_free) float *labels = memory;
    for (size_t i = 0; i < rows; i++) {
        if (!(fabs(target[i]) <= FLT_MAX))
            return err_set(err, E_INVALID,
                           "gradient_boosting: target %g of row %zu does not fit float32",
                           target[i], i);
        labels[i] = (float)target[i];
    }
    TRY_XGB(XGDMatrixSetFloatInfo(handle, "label", labels, rows), "taking the target");
    return OK;
}

/* ---- parameters ---- */

/* As Python writes a float: the fewest digits that read back equal, so that XGBoost's own parser,
 * which rounds in its own way, sees the same text and comes to the same float32. */
static void print_real(double value, char *out, size_t out_bytes)
{
    bool is_plain = value == 0 || (fabs(value) >= 1e-4 && fabs(value) < 1e16);
    for (int digits = 1; digits <= DBL_DECIMAL_DIG; digits++) {
        double back = 0;
        snprintf(out, out_bytes, "%.*g", digits, value);
        bool is_equal = sscanf(out, "%lf", &back) == 1 && back == value;
        if (is_equal && !(is_plain && strchr(out, 'e')))
            return;
    }
}

static enum status set_real(BoosterHandle booster, const char *name, double value, struct err *err)
{
    char text[40];
    print_real(value, text, sizeof text);
    TRY_XGB(XGBoosterSetParam(booster, name, text), name);
    return OK;
}

static enum status set_integer(BoosterHandle booster, const char *name, int64_t value,
                               struct err *err)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    TRY_XGB(XGBoosterSetParam(booster, name, text), name);
    return OK;
}

static enum status set_text(BoosterHandle booster, const char *name, const char *text,
                            struct err *err)
{
    TRY_XGB(XGBoosterSetParam(booster, name, text), name);
    return OK;
}

static enum status set_objective(BoosterHandle booster, size_t class_count, struct err *err)
{
    if (!class_count)
        return set_text(booster, "objective", "reg:squarederror", err);
    if (class_count == 2)
        return set_text(booster, "objective", "binary:logistic", err);
    TRY(set_text(booster, "objective", "multi:softprob", err));
    return set_integer(booster, "num_class", (int64_t)class_count, err);
}

static enum status set_params(BoosterHandle booster, const struct gradient_boosting_params *params,
                              struct err *err)
{
    static const char *const tree_methods[] = {"hist", "exact", "approx"};
    TRY(set_text(booster, "tree_method", tree_methods[params->tree_method], err));
    TRY(set_integer(booster, "max_depth", params->max_depth, err));
    TRY(set_integer(booster, "max_bin", params->max_bin, err));
    TRY(set_integer(booster, "seed", params->seed, err));
    TRY(set_real(booster, "eta", params->learning_rate, err));
    TRY(set_real(booster, "min_child_weight", params->min_child_weight, err));
    TRY(set_real(booster, "gamma", params->gamma, err));
    TRY(set_real(booster, "subsample", params->subsample, err));
    TRY(set_real(booster, "colsample_bytree", params->colsample_bytree, err));
    TRY(set_real(booster, "lambda", params->reg_lambda, err));
    return set_real(booster, "alpha", params->reg_alpha, err);
}

static enum status make_booster(const DMatrixHandle matrices[], size_t matrix_count,
                                size_t column_count, size_t class_count, struct fitted **out,
                                struct err *err)
{
    *out = NULL;
    TRY_XGB(XGBSetGlobalConfig("{\"verbosity\": 0}"), "starting");
    struct boosting *boosting = mem_alloc(sizeof *boosting);
    AUTO(release) struct fitted *fitted = &boosting->fitted;
    boosting->fitted = (struct fitted){&model_gradient_boosting, column_count, class_count};
    TRY_XGB(XGBoosterCreate(matrices, matrix_count, &boosting->booster), "starting");
    TRY(set_text(boosting->booster, "nthread", "1", err));
    *out = TAKE(fitted);
    return OK;
}

/* ---- training ---- */

/* One set of rows as both sides see it. */
struct rows {
    DMatrixHandle handle;
    const double *target;
    size_t count, class_count;
};

/* Borrows what the booster holds until its next call. `expected` numbers, or E_CORRUPT. */
static enum status run_booster(BoosterHandle booster, DMatrixHandle matrix, size_t expected,
                               const float **out, struct err *err)
{
    const bst_ulong *shape;
    bst_ulong dims, count = 1;
    TRY_XGB(XGBoosterPredictFromDMatrix(booster, matrix,
                                        "{\"type\": 0, \"training\": false, "
                                        "\"iteration_begin\": 0, \"iteration_end\": 0, "
                                        "\"strict_shape\": true}",
                                        &shape, &dims, out),
            "predicting");
    for (bst_ulong i = 0; i < dims; i++)
        count *= shape[i];
    if (count != expected)
        return err_set(err, E_CORRUPT,
                       "gradient_boosting: the model gives %llu numbers, expected %zu",
                       (unsigned long long)count, expected);
    return OK;
}

static size_t outputs_of(size_t class_count)
{
    return class_count > 2 ? class_count : 1;
}

/* −log of what the row's class was given. */
static double log_loss(const float *values, size_t class, size_t class_count)
{
    double p = class_count > 2 ? (double)values[class]
               : class         ? (double)values[0]
                               : 1 - (double)values[0];
    return -vecmath_log(fmax(p, 1e-16));
}

/* The mean log loss, or the root of the mean square. XGBoost's own figures are the same but for the
 * last bits, which there depend on the CPU. */
static enum status measure_loss(BoosterHandle booster, const struct rows *rows, double *out,
                                struct err *err)
{
    size_t outputs = outputs_of(rows->class_count);
    const float *values;
    TRY(run_booster(booster, rows->handle, rows->count * outputs, &values, err));
    double sum = 0;
    for (size_t i = 0; i < rows->count; i++) {
        double distance = (double)values[i * outputs] - rows->target[i];
        sum += rows->class_count
                   ? log_loss(values + i * outputs, (size_t)rows->target[i], rows->class_count)
                   : distance * distance;
    }
    double mean = sum / (double)rows->count;
    *out = rows->class_count ? mean : sqrt(mean);
    return OK;
}

struct round {
    struct rows rows[2]; /* training, validation */
    size_t rows_count;
};

static enum status record_round(BoosterHandle booster, const struct fit_input *input,
                                const struct round *round, int iteration, struct buf *history,
                                struct err *err)
{
    const struct gradient_boosting_params *params = input->params;
    struct history_point point = {(uint64_t)iteration + 1, NAN, NAN};
    TRY(measure_loss(booster, &round->rows[0], &point.loss, err));
    if (round->rows_count > 1)
        TRY(measure_loss(booster, &round->rows[1], &point.validation_loss, err));
    if (history)
        buf_put(history, &point, sizeof point);
    if (!input->progress)
        return OK;
    enum status status = input->progress(input->progress_context, point.step,
                                         (uint64_t)params->n_estimators, point.loss);
    return status == OK ? OK : err_set(err, status, "gradient_boosting: stopped");
}

static enum status boost(BoosterHandle booster, const struct fit_input *input,
                         const struct round *round, struct buf *history, struct err *err)
{
    const struct gradient_boosting_params *params = input->params;
    for (int i = 0; i < params->n_estimators; i++) {
        TRY_XGB(XGBoosterUpdateOneIter(booster, i, round->rows[0].handle), "training");
        TRY(record_round(booster, input, round, i, history, err));
    }
    return OK;
}

static enum status take_rows(const struct matrix *features, const double *target,
                             size_t class_count, DMatrixHandle *handle, struct rows *out,
                             struct err *err)
{
    TRY(make_matrix(features, handle, err));
    TRY(set_target(*handle, target, features->rows, err));
    *out = (struct rows){*handle, target, features->rows, class_count};
    return OK;
}

static enum status fit(const struct fit_input *input, struct buf *history, struct fitted **out,
                       struct err *err)
{
    *out = NULL;
    AUTO(release_matrix) DMatrixHandle training = NULL;
    AUTO(release_matrix) DMatrixHandle validation = NULL;
    struct round round = {.rows_count = 1};
    TRY(take_rows(&input->features, input->target, input->class_count, &training, &round.rows[0],
                  err));
    if (input->validation_features.rows) {
        TRY(take_rows(&input->validation_features, input->validation_target, input->class_count,
                      &validation, &round.rows[1], err));
        round.rows_count = 2;
    }
    DMatrixHandle matrices[] = {training, validation};
    AUTO(release) struct fitted *fitted = NULL;
    TRY(make_booster(matrices, round.rows_count, input->features.columns, input->class_count,
                     &fitted, err));
    BoosterHandle booster = ((struct boosting *)fitted)->booster;
    TRY(set_objective(booster, input->class_count, err));
    TRY(set_params(booster, input->params, err));
    TRY(boost(booster, input, &round, history, err));
    *out = TAKE(fitted);
    return OK;
}

/* ---- predicting, saving, loading ---- */

static enum status predict(const struct fitted *fitted, const struct matrix *features, double *out,
                           struct err *err)
{
    const struct boosting *boosting = (const struct boosting *)fitted;
    if (!features->rows)
        return OK;
    AUTO(release_matrix) DMatrixHandle matrix = NULL;
    TRY(make_matrix(features, &matrix, err));
    size_t count = features->rows * outputs_of(fitted->class_count);
    const float *values;
    TRY(run_booster(boosting->booster, matrix, count, &values, err));
    for (size_t i = 0; i < count; i++) {
        double value = (double)values[i];
        if (fitted->class_count == 2) {
            out[2 * i] = 1 - value;
            out[2 * i + 1] = value;
        } else {
            out[i] = value;
        }
    }
    return OK;
}

static enum status save(const struct fitted *fitted, struct buf *out, struct err *err)
{
    const struct boosting *boosting = (const struct boosting *)fitted;
    bst_ulong count;
    const char *bytes;
    TRY_XGB(XGBoosterSaveModelToBuffer(boosting->booster, "{\"format\": \"ubj\"}", &count, &bytes),
            "saving");
    buf_put(out, bytes, count);
    return buf_check(out, "the model", err);
}

static enum status load(const uint8_t *bytes, size_t count, size_t column_count, size_t class_count,
                        struct fitted **out, struct err *err)
{
    *out = NULL;
    /* Without this XGBoost would take the bytes for its old binary format, whose reader checks even
     * less. */
    if (count < 2 || bytes[0] != '{')
        return err_set(err, E_CORRUPT, "gradient_boosting: the model is not UBJ");
    AUTO(release) struct fitted *fitted = NULL;
    TRY(make_booster(NULL, 0, column_count, class_count, &fitted, err));
    BoosterHandle booster = ((struct boosting *)fitted)->booster;
    if (XGBoosterLoadModelFromBuffer(booster, bytes, count) != 0)
        return failed("reading the model", E_CORRUPT, err);
    bst_ulong features;
    TRY_XGB(XGBoosterGetNumFeature(booster, &features), "reading the model");
    if (features != column_count)
        return err_set(err, E_CORRUPT, "gradient_boosting: the model has %llu features, not %zu",
                       (unsigned long long)features, column_count);
    *out = TAKE(fitted);
    return OK;
}

const struct model model_gradient_boosting = {
    .name = "gradient_boosting",
    .schema = &schema_gradient_boosting,
    .can_classify = true,
    .can_regress = true,
    .fit = fit,
    .predict = predict,
    .free = release,
    .save_bytes = save,
    .weights_name = "model.ubj",
    .load_bytes = load,
};
