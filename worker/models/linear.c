/* Logistic regression by L-BFGS, ended by a few Newton steps. L-BFGS stops where differences of the
 * loss drown in rounding errors; Newton's method needs only the gradient, and so gains the last
 * digits. It also tells an optimum from a loss that falls forever (classes that don't overlap, no
 * penalty): there its steps never shrink.
 *
 * Sources: Liu, Nocedal, "On the limited memory BFGS method" (1989), by liblbfgs; Nocedal, Wright,
 * "Numerical Optimization", 2nd ed., §7.1 (Newton-CG). */
// SPDX-License-Identifier: Apache-2.0
#include <lbfgs.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/mem.h"
#include "proto/schemas.h"
#include "worker/models/cart.h"
#include "worker/models/logistic.h"
#include "worker/models/model_list.h"

#include "worker/models/vecmath.h"

enum {
    MEMORY = 10, /* corrections that L-BFGS keeps */
    /* Few enough that without an optimum the gradient, which falls by e each step, stays above
       rounding errors. */
    NEWTON_STEPS_MAX = 8,
    CG_STEPS_MAX = 500,
};

/* The choices of the schema, in its order. */
enum { PENALTY_NONE, PENALTY_L2 };

/* Relative to the largest weight: a Newton step below `fine` ends the search; one below `enough` is
 * an optimum whose last digits the data do not decide. */
static const double fine = 1e-10, enough = 1e-5;

/* Rounding errors of the gradient (columns have deviation 1, losses are means), and of curvature
 * relative to the steepest direction: columns that depend on each other leave directions in which
 * the loss is flat. */
static const double noise = 1e-16, flat = 1e-14;

struct linear {
    struct fitted fitted;
    size_t outputs;
    double *coef;      /* outputs × columns */
    double *intercept; /* outputs */
};

static void release(struct fitted *fitted)
{
    struct linear *linear = (struct linear *)fitted;
    mem_free(linear->coef);
    mem_free(linear->intercept);
    mem_free(linear);
}
DEFINE_AUTO(struct fitted *, release)

static enum status make_linear(size_t column_count, size_t class_count, struct fitted **out,
                               struct err *err)
{
    *out = NULL;
    struct linear *linear = mem_alloc(sizeof *linear);
    AUTO(release) struct fitted *fitted = &linear->fitted;
    linear->fitted = (struct fitted){&model_logistic_regression, column_count, class_count};
    linear->outputs = class_count == 2 ? 1 : class_count;
    void *coef, *intercept;
    TRY(mem_try(linear->outputs * column_count, sizeof(double), "coefficients", &coef, err));
    linear->coef = coef;
    TRY(mem_try(linear->outputs, sizeof(double), "intercepts", &intercept, err));
    linear->intercept = intercept;
    *out = TAKE(fitted);
    return OK;
}

/* ---- search ---- */

struct search {
    struct logistic *logistic;
    const struct fit_input *input;
    struct buf *history;
    double tolerance;
    uint64_t steps_max;
    enum status stopped; /* what progress said */
};

static lbfgsfloatval_t evaluate(void *context, const lbfgsfloatval_t *weights,
                                lbfgsfloatval_t *gradient, const int count,
                                const lbfgsfloatval_t step)
{
    struct search *search = context;
    (void)count;
    (void)step;
    return logistic_loss(search->logistic, weights, gradient);
}

static int after_step(void *context, const lbfgsfloatval_t *weights,
                      const lbfgsfloatval_t *gradient, const lbfgsfloatval_t loss,
                      const lbfgsfloatval_t weights_norm, const lbfgsfloatval_t gradient_norm,
                      const lbfgsfloatval_t step, int count, int k, int evaluations)
{
    struct search *search = context;
    (void)weights, (void)gradient, (void)weights_norm, (void)gradient_norm, (void)step;
    (void)count, (void)evaluations;
    struct history_point point = {(uint64_t)k, loss, NAN};
    if (search->history)
        buf_put(search->history, &point, sizeof point);
    if (search->input->progress)
        search->stopped = search->input->progress(search->input->progress_context, (uint64_t)k,
                                                  search->steps_max, loss);
    return search->stopped != OK;
}

static double largest(const double *values, size_t count)
{
    double max = 0;
    for (size_t i = 0; i < count; i++)
        if (!(fabs(values[i]) <= max)) /* NaN counts as largest */
            max = fabs(values[i]);
    return max;
}

/* Vectors of one length, in one allocation. */
struct newton {
    double *memory, *gradient, *step, *residual, *direction, *product;
};

static void drop_newton(struct newton *newton)
{
    mem_free(newton->memory);
}
DEFINE_AUTO_VALUE(struct newton, drop_newton)

/* step = −H⁻¹ gradient, by conjugate gradients. */
static void solve(struct logistic *logistic, struct newton *newton)
{
    size_t count = logistic->weight_count;
    for (size_t i = 0; i < count; i++)
        newton->direction[i] = newton->residual[i] = -newton->gradient[i];
    memset(newton->step, 0, count * sizeof *newton->step);
    double squares = vecmath_dot(newton->residual, newton->residual, count);
    double enough_squares = fmax(1e-24 * squares, noise * noise * (double)count), steepest = 0;
    for (size_t k = 0; k < CG_STEPS_MAX && k < 2 * count && squares > enough_squares; k++) {
        logistic_curvature(logistic, newton->direction, newton->product);
        logistic_centre(logistic, newton->product);
        double curvature = vecmath_dot(newton->direction, newton->product, count);
        double steepness = curvature / vecmath_dot(newton->direction, newton->direction, count);
        steepest = fmax(steepest, steepness);
        if (!(steepness > flat * steepest))
            return;
        double length = squares / curvature;
        vecmath_add_scaled(length, newton->direction, count, newton->step);
        vecmath_add_scaled(-length, newton->product, count, newton->residual);
        double now = vecmath_dot(newton->residual, newton->residual, count);
        for (size_t i = 0; i < count; i++)
            newton->direction[i] = newton->residual[i] + now / squares * newton->direction[i];
        squares = now;
    }
}

/* Newton steps from where L-BFGS ended. *size is that of the last one, relative to the weights. */
static enum status polish(struct logistic *logistic, double *weights, double *size, struct err *err)
{
    size_t count = logistic->weight_count;
    AUTO(drop_newton) struct newton newton = {0};
    void *memory;
    TRY(mem_try(5 * count, sizeof(double), "logistic regression", &memory, err));
    newton.memory = newton.gradient = memory;
    newton.step = newton.gradient + count;
    newton.residual = newton.step + count;
    newton.direction = newton.residual + count;
    newton.product = newton.direction + count;
    double before = INFINITY;
    *size = INFINITY;
    for (int i = 0; i<NEWTON_STEPS_MAX && * size> fine; i++) {
        logistic_centre(logistic, weights);
        logistic_loss(logistic, weights, newton.gradient);
        logistic_centre(logistic, newton.gradient);
        double slope = largest(newton.gradient, count);
        if (slope <= noise || slope >= before) {
            *size = i ? *size : 0;
            break;
        }
        before = slope;
        solve(logistic, &newton);
        vecmath_add_scaled(1, newton.step, count, weights);
        *size = largest(newton.step, count) / fmax(1, largest(weights, count));
    }
    return OK;
}

static enum status no_optimum(bool is_penalised, uint64_t steps_max, struct err *err)
{
    if (!is_penalised)
        return err_set(err, E_INVALID,
                       "logistic_regression: the classes do not overlap, so without a penalty the "
                       "coefficients grow without end; use `penalty: l2`");
    return err_set(err, E_LIMIT,
                   "logistic_regression: no convergence in %llu iterations; raise `max_iter`, or "
                   "scale the features (`scale: standard` in preprocess)",
                   (unsigned long long)steps_max);
}

/* The lbfgs_… result is not looked at except for memory: its line search ends with "errors" (−1001,
 * rounding) at the optimum too. The size of the Newton steps decides. */
static enum status minimise(struct search *search, bool is_penalised, double *weights,
                            struct err *err)
{
    lbfgs_parameter_t parameters;
    lbfgs_parameter_init(&parameters);
    parameters.m = MEMORY;
    parameters.epsilon = search->tolerance;
    parameters.max_iterations = (int)search->steps_max;
    parameters.max_linesearch = 40;
    int result = lbfgs((int)search->logistic->weight_count, weights, NULL, evaluate, after_step,
                       search, &parameters);
    if (search->stopped != OK)
        return err_set(err, search->stopped, "logistic_regression: stopped");
    if (result == LBFGSERR_OUTOFMEMORY)
        return err_set(err, E_NOMEM, "logistic_regression: no memory for %zu weights",
                       search->logistic->weight_count);
    if (!is_penalised && logistic_is_separated(search->logistic, weights))
        return no_optimum(false, search->steps_max, err);
    double size;
    TRY(polish(search->logistic, weights, &size, err));
    if (result == LBFGSERR_MAXIMUMITERATION && !(size < enough))
        return no_optimum(true, search->steps_max, err);
    return size < enough ? OK : no_optimum(is_penalised, search->steps_max, err);
}

/* ---- the model ---- */

/* A class without rows has no finite intercept. */
static enum status check_classes(const struct fit_input *input, struct err *err)
{
    void *memory;
    TRY(mem_try(input->class_count, sizeof(bool), "classes", &memory, err));
    AUTO(mem_free) bool *is_seen = memory;
    for (size_t i = 0; i < input->features.rows; i++)
        is_seen[(size_t)input->target[i]] = true;
    for (size_t k = 0; k < input->class_count; k++)
        if (!is_seen[k])
            return err_set(err, E_INVALID,
                           "logistic_regression: class %zu of %zu has no rows in the training "
                           "data; stratify the split, or drop the class",
                           k + 1, input->class_count);
    return OK;
}

static void lbfgs_free_auto(lbfgsfloatval_t **weights)
{
    lbfgs_free(*weights);
}

static enum status fit(const struct fit_input *input, struct buf *history, struct fitted **out,
                       struct err *err)
{
    *out = NULL;
    const struct logistic_regression_params *params = input->params;
    TRY(check_classes(input, err));
    bool is_penalised = params->penalty == PENALTY_L2;
    double strength = is_penalised ? 1 / (params->C * (double)input->features.rows) : 0;
    AUTO(logistic_fini) struct logistic logistic = {0};
    TRY(logistic_init(&logistic, &input->features, input->target, input->class_count, strength,
                      params->fit_intercept, err));
    if (logistic.weight_count > INT32_MAX / 2)
        return err_set(err, E_LIMIT, "logistic_regression: %zu weights, at most %d",
                       logistic.weight_count, INT32_MAX / 2);
    AUTO(lbfgs_free) lbfgsfloatval_t *weights = lbfgs_malloc((int)logistic.weight_count);
    if (!weights)
        return err_set(err, E_NOMEM, "logistic_regression: no memory for %zu weights",
                       logistic.weight_count);
    memset(weights, 0, logistic.weight_count * sizeof *weights);
    struct search search = {.logistic = &logistic,
                            .input = input,
                            .history = history,
                            .tolerance = params->tol,
                            .steps_max = (uint64_t)params->max_iter};
    TRY(minimise(&search, is_penalised, weights, err));
    TRY(make_linear(input->features.columns, input->class_count, out, err));
    struct linear *linear = (struct linear *)*out;
    logistic_raw(&logistic, weights, linear->coef, linear->intercept);
    return OK;
}

static enum status predict(const struct fitted *fitted, const struct matrix *features, double *out,
                           struct err *err)
{
    (void)err;
    const struct linear *linear = (const struct linear *)fitted;
    size_t classes = fitted->class_count, columns = fitted->column_count;
    for (size_t i = 0; i < features->rows; i++) {
        double *p = out + i * classes;
        for (size_t k = 0; k < linear->outputs; k++)
            p[k] = vecmath_dot(linear->coef + k * columns, matrix_row(features, i), columns) +
                   linear->intercept[k];
        if (linear->outputs > 1) {
            vecmath_softmax(p, classes);
        } else {
            p[1] = vecmath_sigmoid(p[0]);
            p[0] = 1 - p[1];
        }
    }
    return OK;
}

static size_t save(const struct fitted *fitted, struct tensor *out, size_t out_count)
{
    const struct linear *linear = (const struct linear *)fitted;
    struct tensor tensors[] = {
        {"coef", TENSOR_F64, 2, {linear->outputs, fitted->column_count}, linear->coef},
        {"intercept", TENSOR_F64, 1, {linear->outputs}, linear->intercept},
    };
    for (size_t i = 0; i < 2 && i < out_count; i++)
        out[i] = tensors[i];
    return 2;
}

static enum status copy_reals(const struct tensor *tensors, size_t tensor_count, const char *name,
                              size_t rows, size_t columns, double *out, struct err *err)
{
    const struct tensor *tensor = cart_find_tensor(tensors, tensor_count, name);
    bool is_sound = tensor && tensor->type == TENSOR_F64 && tensor->dims == (columns ? 2 : 1) &&
                    tensor->shape[0] == rows && (!columns || tensor->shape[1] == columns);
    if (!is_sound)
        return err_set(err, E_CORRUPT, "the model's `%s` is missing or has another type or shape",
                       name);
    memcpy(out, tensor->data, rows * (columns ? columns : 1) * sizeof *out);
    for (size_t i = 0; i < rows * (columns ? columns : 1); i++)
        if (!isfinite(out[i]))
            return err_set(err, E_CORRUPT, "the model's `%s` holds a number that is not finite",
                           name);
    return OK;
}

static enum status load(const struct tensor *tensors, size_t tensor_count, size_t column_count,
                        size_t class_count, struct fitted **out, struct err *err)
{
    *out = NULL;
    if (class_count < 2 || !column_count)
        return err_set(err, E_CORRUPT, "a linear classifier of %zu classes and %zu columns",
                       class_count, column_count);
    AUTO(release) struct fitted *fitted = NULL;
    TRY(make_linear(column_count, class_count, &fitted, err));
    struct linear *linear = (struct linear *)fitted;
    TRY(copy_reals(tensors, tensor_count, "coef", linear->outputs, column_count, linear->coef,
                   err));
    TRY(copy_reals(tensors, tensor_count, "intercept", linear->outputs, 0, linear->intercept, err));
    *out = TAKE(fitted);
    return OK;
}

const struct model model_logistic_regression = {
    .name = "logistic_regression",
    .schema = &schema_logistic_regression,
    .can_classify = true,
    .fit = fit,
    .predict = predict,
    .free = release,
    .save = save,
    .weights_name = "weights.safetensors",
    .load = load,
};
