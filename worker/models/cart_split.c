// SPDX-License-Identifier: Apache-2.0
#include "worker/models/cart_split.h"

#include <math.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "worker/models/vecmath.h"

/* Values closer than this count as one (scikit-learn's FEATURE_THRESHOLD, a float32 as there). */
static const float same_value = 1e-7f;

enum { INSERTION_COUNT_MAX = 48 };

static size_t stride_of(const struct cart_splitter *splitter)
{
    return splitter->data->class_count ? splitter->data->class_count : 1;
}

static double weight_of(const struct cart_splitter *splitter, uint32_t sample)
{
    return splitter->weights ? splitter->weights[sample] : 1;
}

static enum status new_array(size_t count, size_t item_bytes, void *out_p, struct err *err)
{
    void *memory;
    TRY(mem_try(count, item_bytes, "growing a tree", &memory, err));
    *(void **)out_p = memory;
    return OK;
}

enum status cart_splitter_init(struct cart_splitter *splitter, const struct cart_data *data,
                               const struct cart_options *options, const uint32_t *weights,
                               struct rng *rng, struct err *err)
{
    *splitter =
        (struct cart_splitter){.data = data, .options = options, .weights = weights, .rng = rng};
    size_t stride = stride_of(splitter);
    TRY(new_array(data->rows, sizeof *splitter->samples, &splitter->samples, err));
    TRY(new_array(data->rows, sizeof *splitter->items, &splitter->items, err));
    TRY(new_array(data->rows, sizeof *splitter->spare, &splitter->spare, err));
    TRY(new_array(data->columns, sizeof *splitter->features, &splitter->features, err));
    TRY(new_array(3 * stride, sizeof *splitter->total, &splitter->total, err));
    splitter->left = splitter->total + stride;
    splitter->right = splitter->left + stride;
    for (uint32_t i = 0; i < data->columns; i++)
        splitter->features[i] = i;
    for (uint32_t i = 0; i < data->rows; i++) {
        if (weights && !weights[i])
            continue;
        splitter->samples[splitter->sample_count++] = i;
        splitter->weight_all += weight_of(splitter, i);
    }
    return OK;
}

void cart_splitter_fini(struct cart_splitter *splitter)
{
    mem_free(splitter->samples);
    mem_free(splitter->items);
    mem_free(splitter->spare);
    mem_free(splitter->features);
    mem_free(splitter->total);
}

/* ---- impurity ---- */

static double gini(const double *sums, size_t count, double weight)
{
    double squares = 0;
    for (size_t c = 0; c < count; c++)
        squares += sums[c] * sums[c];
    return 1 - squares / (weight * weight);
}

static double entropy(const double *sums, size_t count, double weight)
{
    double bits = 0;
    for (size_t c = 0; c < count; c++)
        if (sums[c] > 0) {
            double fraction = sums[c] / weight;
            bits -= fraction * (vecmath_log(fraction) / M_LN2);
        }
    return bits;
}

static double class_impurity(const struct cart_splitter *splitter, const double *sums,
                             double weight)
{
    size_t count = splitter->data->class_count;
    return splitter->options->criterion == CART_ENTROPY ? entropy(sums, count, weight)
                                                        : gini(sums, count, weight);
}

static double node_impurity(const struct cart_splitter *splitter)
{
    if (splitter->data->class_count)
        return class_impurity(splitter, splitter->total, splitter->weight);
    double mean = splitter->total[0] / splitter->weight;
    return splitter->squares / splitter->weight - mean * mean;
}

double cart_splitter_enter(struct cart_splitter *splitter, size_t start, size_t end)
{
    bool is_classification = splitter->data->class_count > 0;
    memset(splitter->total, 0, stride_of(splitter) * sizeof *splitter->total);
    splitter->start = start;
    splitter->end = end;
    splitter->weight = splitter->squares = 0;
    for (size_t i = start; i < end; i++) {
        uint32_t sample = splitter->samples[i];
        double weight = weight_of(splitter, sample), target = splitter->data->target[sample];
        splitter->weight += weight;
        if (is_classification) {
            splitter->total[(size_t)target] += weight;
        } else {
            splitter->total[0] += weight * target;
            splitter->squares += weight * target * target;
        }
    }
    return node_impurity(splitter);
}

void cart_splitter_value(const struct cart_splitter *splitter, double *out)
{
    for (size_t i = 0; i < stride_of(splitter); i++)
        out[i] = splitter->total[i] / splitter->weight;
}

/* ---- sorting ---- */

static uint32_t key_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t key)
{
    uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void sort_by_insertion(struct cart_item *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct cart_item item = items[i];
        size_t j = i;
        for (; j > 0 && items[j - 1].key > item.key; j--)
            items[j] = items[j - 1];
        items[j] = item;
    }
}

/* Four stable passes of a byte each; a byte that is the same everywhere costs no pass. */
static void sort_by_radix(struct cart_splitter *splitter, size_t count)
{
    uint32_t places[4][256] = {{0}};
    for (size_t i = 0; i < count; i++)
        for (int pass = 0; pass < 4; pass++)
            places[pass][splitter->items[i].key >> 8 * pass & 255]++;
    for (int pass = 0; pass < 4; pass++) {
        if (places[pass][splitter->items[0].key >> 8 * pass & 255] == count)
            continue;
        uint32_t next = 0;
        for (int byte = 0; byte < 256; byte++) {
            uint32_t here = places[pass][byte];
            places[pass][byte] = next;
            next += here;
        }
        for (size_t i = 0; i < count; i++) {
            struct cart_item item = splitter->items[i];
            splitter->spare[places[pass][item.key >> 8 * pass & 255]++] = item;
        }
        struct cart_item *sorted = splitter->spare;
        splitter->spare = splitter->items;
        splitter->items = sorted;
    }
}

static void sort_feature(struct cart_splitter *splitter, uint32_t feature)
{
    const float *values = splitter->data->values + feature * splitter->data->rows;
    size_t count = splitter->end - splitter->start;
    for (size_t i = 0; i < count; i++) {
        uint32_t sample = splitter->samples[splitter->start + i];
        splitter->items[i] = (struct cart_item){key_of(values[sample]), sample};
    }
    if (count <= INSERTION_COUNT_MAX)
        sort_by_insertion(splitter->items, count);
    else
        sort_by_radix(splitter, count);
}

/* ---- search ---- */

/* What makes cuts of one node comparable: rises and falls with the improvement. */
static double cut_score(const struct cart_splitter *splitter, double weight_left)
{
    double weight_right = splitter->weight - weight_left;
    const double *left = splitter->left, *right = splitter->right;
    if (!splitter->data->class_count)
        return left[0] * left[0] / weight_left + right[0] * right[0] / weight_right;
    return -weight_right * class_impurity(splitter, right, weight_right) -
           weight_left * class_impurity(splitter, left, weight_left);
}

/* The improvement that a score stands for, per weight of the whole training set. */
static double improvement_of(const struct cart_splitter *splitter, double impurity, double score)
{
    double rest = splitter->data->class_count ? -score : splitter->squares - score;
    return splitter->weight / splitter->weight_all * (impurity - rest / splitter->weight);
}

static void move_left(struct cart_splitter *splitter, uint32_t sample, double *weight_left)
{
    double weight = weight_of(splitter, sample), target = splitter->data->target[sample];
    *weight_left += weight;
    if (splitter->data->class_count)
        splitter->left[(size_t)target] += weight;
    else
        splitter->left[0] += weight * target;
}

struct best {
    struct cart_split split;
    double score;
    bool is_found;
};

static void try_cut(struct cart_splitter *splitter, uint32_t feature, size_t left_count,
                    double weight_left, struct best *best)
{
    for (size_t c = 0; c < stride_of(splitter); c++)
        splitter->right[c] = splitter->total[c] - splitter->left[c];
    double score = cut_score(splitter, weight_left);
    if (best->is_found && !(score > best->score))
        return;
    double below = value_of(splitter->items[left_count - 1].key);
    double above = value_of(splitter->items[left_count].key);
    best->score = score;
    best->is_found = true;
    best->split = (struct cart_split){
        .feature = feature, .left_count = left_count, .threshold = below / 2 + above / 2};
}

/* False when the feature is constant in the node. */
static bool search_feature(struct cart_splitter *splitter, uint32_t feature, struct best *best)
{
    sort_feature(splitter, feature);
    size_t count = splitter->end - splitter->start, least = splitter->options->leaf_samples_min;
    const struct cart_item *items = splitter->items;
    if (value_of(items[count - 1].key) <= value_of(items[0].key) + same_value)
        return false;
    memset(splitter->left, 0, stride_of(splitter) * sizeof *splitter->left);
    double weight_left = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        move_left(splitter, items[i].sample, &weight_left);
        if (value_of(items[i + 1].key) <= value_of(items[i].key) + same_value)
            continue;
        if (i + 1 >= least && count - i - 1 >= least)
            try_cut(splitter, feature, i + 1, weight_left, best);
    }
    return true;
}

bool cart_splitter_find(struct cart_splitter *splitter, double impurity, struct cart_split *out)
{
    size_t columns = splitter->data->columns, wanted = splitter->options->features_max;
    bool is_sampled = wanted < columns, is_varying = false;
    struct best best = {.is_found = false};
    /* Constant features count as candidates, but at least one must not be constant. */
    for (uint32_t i = 0; i < columns && (i < wanted || !is_varying); i++) {
        if (is_sampled) {
            uint32_t j = i + rng_below(splitter->rng, (uint32_t)columns - i);
            uint32_t drawn = splitter->features[j];
            splitter->features[j] = splitter->features[i];
            splitter->features[i] = drawn;
        }
        is_varying |= search_feature(splitter, splitter->features[i], &best);
    }
    if (!best.is_found)
        return false;
    *out = best.split;
    out->improvement = improvement_of(splitter, impurity, best.score);
    return true;
}

void cart_splitter_apply(struct cart_splitter *splitter, const struct cart_split *split)
{
    const float *values = splitter->data->values + split->feature * splitter->data->rows;
    uint32_t *samples = splitter->samples + splitter->start;
    size_t count = splitter->end - splitter->start, left = 0, right = 0;
    for (size_t i = 0; i < count; i++) {
        if (values[samples[i]] <= split->threshold)
            samples[left++] = samples[i];
        else
            splitter->spare[right++].sample = samples[i];
    }
    ASSERT(left == split->left_count);
    for (size_t i = 0; i < right; i++)
        samples[left + i] = splitter->spare[i].sample;
}
