// SPDX-License-Identifier: Apache-2.0
#include "worker/models/score.h"

#include <float.h>
#include <math.h>

#include "common/base/mem.h"
#include "common/base/sum.h"
#include "worker/models/vecmath.h"

/* ---- classes ---- */

void score_confusion(const double *target, const double *prediction, size_t rows, size_t k,
                     uint64_t *counts)
{
    for (size_t i = 0; i < k * k; i++)
        counts[i] = 0;
    for (size_t row = 0; row < rows; row++)
        counts[(size_t)target[row] * k + (size_t)prediction[row]]++;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

struct score_class score_class(const uint64_t *counts, size_t k, size_t index)
{
    struct score_class score = {0};
    for (size_t other = 0; other < k; other++) {
        score.support += counts[index * k + other];
        score.predicted += counts[other * k + index];
    }
    uint64_t right = counts[index * k + index];
    score.precision = share(right, score.predicted);
    score.recall = share(right, score.support);
    score.f1 = share(2 * right, score.support + score.predicted);
    return score;
}

/* Means over classes; `is_weighted` by support, else over those that occur. */
static struct score_averages average(const uint64_t *counts, size_t k, bool is_weighted)
{
    struct sum precision = {0}, recall = {0}, f1 = {0};
    double total = 0;
    for (size_t i = 0; i < k; i++) {
        struct score_class score = score_class(counts, k, i);
        double weight =
            is_weighted ? (double)score.support : (double)(score.support + score.predicted > 0);
        sum_add(&precision, weight * score.precision);
        sum_add(&recall, weight * score.recall);
        sum_add(&f1, weight * score.f1);
        total += weight;
    }
    return (struct score_averages){sum_value(&precision) / total, sum_value(&recall) / total,
                                   sum_value(&f1) / total};
}

struct score_averages score_macro(const uint64_t *counts, size_t k)
{
    return average(counts, k, false);
}

struct score_averages score_weighted(const uint64_t *counts, size_t k)
{
    return average(counts, k, true);
}

double score_accuracy(const uint64_t *counts, size_t k)
{
    uint64_t right = 0, all = 0;
    for (size_t i = 0; i < k * k; i++) {
        right += i % (k + 1) ? 0 : counts[i];
        all += counts[i];
    }
    return (double)right / (double)all;
}

/* ---- probabilities ---- */

struct scored {
    double score;
    bool is_positive;
};

/* Highest first; bottom-up merges from one array to the other and back. Returns the sorted one of
 * the two. */
static struct scored *sort_scores(struct scored *from, struct scored *to, size_t count)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t start = 0; start < count; start += 2 * width) {
            size_t middle = start + width < count ? start + width : count;
            size_t end = middle + width < count ? middle + width : count;
            size_t left = start, right = middle;
            for (size_t i = start; i < end; i++) {
                bool is_left =
                    left < middle && (right == end || from[left].score >= from[right].score);
                to[i] = is_left ? from[left++] : from[right++];
            }
        }
        struct scored *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* From the highest score down, a group of ties at a time; twice the area in pairs, which is an
 * integer. */
static double area(const struct scored *sorted, size_t rows)
{
    uint64_t positives = 0, negatives = 0;
    double twice_pairs = 0; /* exact below 2^53, and then some */
    for (size_t from = 0, to; from < rows; from = to) {
        uint64_t right = 0, wrong = 0;
        for (to = from; to < rows && sorted[to].score == sorted[from].score; to++) {
            right += sorted[to].is_positive;
            wrong += !sorted[to].is_positive;
        }
        twice_pairs += (double)(wrong * (2 * positives + right));
        positives += right;
        negatives += wrong;
    }
    if (!positives || !negatives)
        return NAN;
    return twice_pairs / 2 / ((double)positives * (double)negatives);
}

enum status score_roc_auc(const double *target, const double *probabilities, size_t rows, size_t k,
                          size_t positive, double *out, struct err *err)
{
    *out = NAN;
    void *memory;
    TRY(mem_try(rows + 1, 2 * sizeof(struct scored), "scores", &memory, err));
    AUTO(mem_free) struct scored *scores = memory;
    for (size_t row = 0; row < rows; row++)
        scores[row] =
            (struct scored){probabilities[row * k + positive], (size_t)target[row] == positive};
    *out = area(sort_scores(scores, scores + rows, rows), rows);
    return OK;
}

enum status score_roc_auc_macro(const double *target, const double *probabilities, size_t rows,
                                size_t k, double *out, struct err *err)
{
    *out = NAN;
    struct sum sum = {0};
    for (size_t i = 0; i < k; i++) {
        double one;
        TRY(score_roc_auc(target, probabilities, rows, k, i, &one, err));
        sum_add(&sum, one);
    }
    *out = sum_value(&sum) / (double)k;
    return OK;
}

double score_log_loss(const double *target, const double *probabilities, size_t rows, size_t k)
{
    struct sum sum = {0};
    for (size_t row = 0; row < rows; row++) {
        double p = probabilities[row * k + (size_t)target[row]];
        p = p < DBL_EPSILON ? DBL_EPSILON : p > 1 - DBL_EPSILON ? 1 - DBL_EPSILON : p;
        sum_add(&sum, -vecmath_log(p));
    }
    return sum_value(&sum) / (double)rows;
}

/* ---- quantities ---- */

struct score_errors score_regression(const double *target, const double *prediction, size_t rows)
{
    struct sum absolute = {0}, squares = {0}, total = {0}, spread = {0};
    double n = (double)rows;
    for (size_t row = 0; row < rows; row++) {
        double error = target[row] - prediction[row];
        sum_add(&absolute, fabs(error));
        sum_add(&squares, error * error);
        sum_add(&total, target[row]);
    }
    double mean = sum_value(&total) / n;
    for (size_t row = 0; row < rows; row++)
        sum_add(&spread, (target[row] - mean) * (target[row] - mean));
    struct score_errors errors = {.mae = sum_value(&absolute) / n, .mse = sum_value(&squares) / n};
    errors.rmse = sqrt(errors.mse);
    if (rows < 2)
        errors.r2 = NAN;
    else if (sum_value(&spread) != 0)
        errors.r2 = 1 - sum_value(&squares) / sum_value(&spread);
    else
        errors.r2 = sum_value(&squares) == 0;
    return errors;
}
