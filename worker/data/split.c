// SPDX-License-Identifier: Apache-2.0
#include "worker/data/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/crypto/hash.h"

void split_fini(struct split *split)
{
    mem_free(split->train);
    mem_free(split->test);
    mem_free(split->validation);
    *split = (struct split){0};
}

/* One cut of `rows` (indices) in two; `other` is the test or the validation part. */
struct cut {
    const uint32_t *rows;
    size_t count;
    double size;             /* the other part's share */
    const char *part;        /* "test", "validation": for messages */
    const uint32_t *classes; /* per row of the table, or NULL */
    size_t class_count;
};

struct halves {
    uint32_t *kept, *other;
    size_t kept_count, other_count;
};

static void halves_fini(struct halves *halves)
{
    mem_free(halves->kept);
    mem_free(halves->other);
}
DEFINE_AUTO_VALUE(struct halves, halves_fini)

static enum status new_indices(size_t count, uint32_t **out, struct err *err)
{
    void *memory;
    TRY(mem_try(count ? count : 1, sizeof **out, "a split", &memory, err));
    *out = memory;
    return OK;
}

static enum status new_halves(const struct cut *cut, struct halves *out, struct err *err)
{
    TRY(new_indices(cut->count, &out->kept, err));
    return new_indices(cut->count, &out->other, err);
}

/* ---- strata: the rows of each class that occurs ---- */

struct strata {
    size_t count;
    size_t *sizes;     /* count */
    uint32_t *members; /* positions in cut->rows, class by class, in order */
};

static void strata_fini(struct strata *strata)
{
    mem_free(strata->sizes);
    mem_free(strata->members);
}
DEFINE_AUTO_VALUE(struct strata, strata_fini)

static enum status strata_init(const struct cut *cut, struct strata *out, struct err *err)
{
    AUTO(mem_free) size_t *at = mem_alloc((cut->class_count + 1) * sizeof *at);
    out->sizes = mem_alloc((cut->class_count + 1) * sizeof *out->sizes);
    TRY(new_indices(cut->count, &out->members, err));
    for (size_t i = 0; i < cut->count; i++)
        at[cut->classes[cut->rows[i]] + 1]++;
    for (size_t c = 0; c < cut->class_count; c++)
        if (at[c + 1])
            out->sizes[out->count++] = at[c + 1];
    for (size_t c = 0; c < cut->class_count; c++)
        at[c + 1] += at[c];
    for (size_t i = 0; i < cut->count; i++)
        out->members[at[cut->classes[cut->rows[i]]]++] = (uint32_t)i;
    for (size_t c = 0; c < out->count; c++)
        if (out->sizes[c] < 2)
            return err_set(
                err, E_INVALID,
                "split: the least populated class has only 1 member, which is too few to "
                "stratify the %s part: each class needs 2; drop it or use stratify: false",
                cut->part);
    return OK;
}

/* ---- shuffle ---- */

static enum status permute(struct mt19937 *mt, size_t count, uint32_t **out, struct err *err)
{
    TRY(new_indices(count, out, err));
    for (size_t i = 0; i < count; i++)
        (*out)[i] = (uint32_t)i;
    mt19937_shuffle(mt, *out, (uint32_t)count);
    return OK;
}

/* The largest remainder below `below`, or −1. */
static double next_remainder(const double *remainders, size_t count, double below)
{
    double best = -1;
    for (size_t i = 0; i < count; i++)
        if (remainders[i] < below && remainders[i] > best)
            best = remainders[i];
    return best;
}

/* Of the strata with remainder `value`, draws up to `need` that get one more; returns how many did.
 */
static enum status draw_ties(struct mt19937 *mt, const double *remainders, size_t count,
                             double value, size_t *need, size_t *draws, struct err *err)
{
    AUTO(mem_free) size_t *ties = mem_alloc(count * sizeof *ties);
    size_t tie_count = 0;
    for (size_t i = 0; i < count; i++)
        if (remainders[i] == value)
            ties[tie_count++] = i;
    AUTO(mem_free) uint32_t *order = NULL;
    TRY(permute(mt, tie_count, &order, err));
    for (size_t i = 0; i < tie_count && *need; i++, --*need)
        draws[ties[order[i]]]++;
    return OK;
}

/* scikit-learn's _approximate_mode: how many of `total` draws each stratum gets, ties broken by the
 * generator. */
static enum status approximate_mode(struct mt19937 *mt, const size_t *sizes, size_t count,
                                    size_t total, size_t *draws, struct err *err)
{
    AUTO(mem_free) double *remainders = mem_alloc((count + 1) * sizeof *remainders);
    size_t sum = 0, drawn = 0;
    for (size_t i = 0; i < count; i++)
        sum += sizes[i];
    for (size_t i = 0; i < count; i++) {
        double share = (double)sizes[i] / (double)sum * (double)total;
        draws[i] = (size_t)floor(share);
        remainders[i] = share - floor(share);
        drawn += draws[i];
    }
    size_t need = total > drawn ? total - drawn : 0;
    double value = 2;
    while (need && (value = next_remainder(remainders, count, value)) >= 0)
        TRY(draw_ties(mt, remainders, count, value, &need, draws, err));
    return OK;
}

static enum status check_sizes(const struct cut *cut, size_t other_count, size_t class_count,
                               struct err *err)
{
    size_t kept_count = cut->count - other_count;
    if (!kept_count || !other_count)
        return err_set(err, E_INVALID,
                       "split: with %zu rows and a %s part of %g the %s part would be empty",
                       cut->count, cut->part, cut->size, kept_count ? cut->part : "training");
    if (kept_count < class_count || other_count < class_count)
        return err_set(
            err, E_INVALID,
            "split: to stratify, each part needs as many rows as there are classes (%zu), "
            "but %zu would train and the %s part would have %zu",
            class_count, kept_count, cut->part, other_count);
    return OK;
}

static enum status shuffle_plain(const struct cut *cut, struct mt19937 *mt, size_t other_count,
                                 struct halves *out, struct err *err)
{
    TRY(check_sizes(cut, other_count, 0, err));
    AUTO(mem_free) uint32_t *order = NULL;
    TRY(permute(mt, cut->count, &order, err));
    for (size_t i = 0; i < other_count; i++)
        out->other[out->other_count++] = cut->rows[order[i]];
    for (size_t i = other_count; i < cut->count; i++)
        out->kept[out->kept_count++] = cut->rows[order[i]];
    return OK;
}

/* One stratum: its first permuted members are kept, the next go to the other part. */
static enum status deal(const struct cut *cut, struct mt19937 *mt, const uint32_t *members,
                        size_t member_count, size_t kept, size_t other, struct halves *out,
                        struct err *err)
{
    AUTO(mem_free) uint32_t *order = NULL;
    TRY(permute(mt, member_count, &order, err));
    for (size_t i = 0; i < kept + other && i < member_count; i++) {
        uint32_t row = cut->rows[members[order[i]]];
        if (i < kept)
            out->kept[out->kept_count++] = row;
        else
            out->other[out->other_count++] = row;
    }
    return OK;
}

static enum status shuffle_stratified(const struct cut *cut, struct mt19937 *mt, size_t other_count,
                                      struct halves *out, struct err *err)
{
    AUTO(strata_fini) struct strata strata = {0};
    TRY(strata_init(cut, &strata, err));
    TRY(check_sizes(cut, other_count, strata.count, err));
    AUTO(mem_free) size_t *kept = mem_alloc(strata.count * sizeof *kept);
    AUTO(mem_free) size_t *left = mem_alloc(strata.count * sizeof *left);
    AUTO(mem_free) size_t *other = mem_alloc(strata.count * sizeof *other);
    TRY(approximate_mode(mt, strata.sizes, strata.count, cut->count - other_count, kept, err));
    for (size_t c = 0; c < strata.count; c++)
        left[c] = strata.sizes[c] - kept[c];
    TRY(approximate_mode(mt, left, strata.count, other_count, other, err));
    const uint32_t *members = strata.members;
    for (size_t c = 0; c < strata.count; c++) {
        TRY(deal(cut, mt, members, strata.sizes[c], kept[c], other[c], out, err));
        members += strata.sizes[c];
    }
    mt19937_shuffle(mt, out->kept, (uint32_t)out->kept_count);
    mt19937_shuffle(mt, out->other, (uint32_t)out->other_count);
    return OK;
}

static enum status cut_shuffle(const struct cut *cut, uint32_t seed, struct halves *out,
                               struct err *err)
{
    TRY(new_halves(cut, out, err));
    struct mt19937 mt;
    mt19937_seed(&mt, seed);
    size_t other_count = (size_t)ceil(cut->size * (double)cut->count);
    if (cut->classes)
        return shuffle_stratified(cut, &mt, other_count, out, err);
    return shuffle_plain(cut, &mt, other_count, out, err);
}

/* ---- hash ---- */

struct draw {
    uint64_t bits; /* 53 */
    int64_t row_id;
    uint32_t position;
};

/* `word` 0: the test draw; 1: the validation draw. */
static uint64_t draw_bits(uint32_t seed, int64_t row_id, int word)
{
    uint8_t key[8] = {0}, data[8];
    for (int i = 0; i < 8; i++) {
        key[i] = (uint8_t)((uint64_t)seed >> 8 * i);
        data[i] = (uint8_t)((uint64_t)row_id >> 8 * i);
    }
    struct id hash;
    hash_keyed(key, sizeof key, data, sizeof data, &hash);
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits |= (uint64_t)hash.bytes[8 * word + i] << 8 * i;
    return bits >> 11;
}

static int compare_draws(const void *a, const void *b)
{
    const struct draw *x = a, *y = b;
    if (x->bits != y->bits)
        return x->bits < y->bits ? -1 : 1;
    return (x->row_id > y->row_id) - (x->row_id < y->row_id);
}

/* Marks the lowest draws of each stratum. */
static enum status rank_strata(const struct cut *cut, const struct strata *strata,
                               struct draw *draws, bool *is_other, struct err *err)
{
    void *memory;
    TRY(mem_try(cut->count, sizeof *draws, "a split", &memory, err));
    AUTO(mem_free) struct draw *sorted = memory;
    const uint32_t *members = strata->members;
    for (size_t c = 0; c < strata->count; c++) {
        size_t size = strata->sizes[c];
        for (size_t i = 0; i < size; i++)
            sorted[i] = draws[members[i]];
        qsort(sorted, size, sizeof *sorted, compare_draws);
        size_t lowest = (size_t)floor(cut->size * (double)size + 0.5);
        for (size_t i = 0; i < lowest && i < size; i++)
            is_other[sorted[i].position] = true;
        members += size;
    }
    return OK;
}

static enum status choose(const struct cut *cut, struct draw *draws, bool *is_other,
                          struct err *err)
{
    if (!cut->classes) {
        for (size_t i = 0; i < cut->count; i++)
            is_other[i] = (double)draws[i].bits * 0x1p-53 < cut->size;
        return OK;
    }
    AUTO(strata_fini) struct strata strata = {0};
    TRY(strata_init(cut, &strata, err));
    return rank_strata(cut, &strata, draws, is_other, err);
}

static enum status cut_hash(const struct cut *cut, uint32_t seed, int word, const int64_t *row_ids,
                            struct halves *out, struct err *err)
{
    TRY(new_halves(cut, out, err));
    void *memory;
    TRY(mem_try(cut->count ? cut->count : 1, sizeof(struct draw), "a split", &memory, err));
    AUTO(mem_free) struct draw *draws = memory;
    TRY(mem_try(cut->count ? cut->count : 1, sizeof(bool), "a split", &memory, err));
    AUTO(mem_free) bool *is_other = memory;
    for (size_t i = 0; i < cut->count; i++) {
        int64_t row_id = row_ids[cut->rows[i]];
        draws[i] = (struct draw){draw_bits(seed, row_id, word), row_id, (uint32_t)i};
    }
    TRY(choose(cut, draws, is_other, err));
    for (size_t i = 0; i < cut->count; i++) {
        if (is_other[i])
            out->other[out->other_count++] = cut->rows[i];
        else
            out->kept[out->kept_count++] = cut->rows[i];
    }
    return check_sizes(cut, out->other_count, 0, err);
}

/* ---- both ---- */

static enum status cut_rows(const struct split_options *options, const struct cut *cut,
                            const int64_t *row_ids, int word, struct halves *out, struct err *err)
{
    if (options->method == SPLIT_SHUFFLE)
        return cut_shuffle(cut, options->seed, out, err);
    return cut_hash(cut, options->seed, word, row_ids, out, err);
}

enum status split_rows(const struct split_options *options, const int64_t *row_ids, size_t rows,
                       struct split *out, struct err *err)
{
    *out = (struct split){0};
    AUTO(mem_free) uint32_t *all = NULL;
    TRY(new_indices(rows, &all, err));
    for (size_t i = 0; i < rows; i++)
        all[i] = (uint32_t)i;
    struct cut cut = {
        all, rows, options->test_size, "test", options->classes, options->class_count};
    AUTO(halves_fini) struct halves first = {0};
    TRY(cut_rows(options, &cut, row_ids, 0, &first, err));
    AUTO(halves_fini) struct halves second = {0};
    if (options->validation_size > 0) {
        cut.rows = first.kept;
        cut.count = first.kept_count;
        cut.size = options->validation_size;
        cut.part = "validation";
        TRY(cut_rows(options, &cut, row_ids, 1, &second, err));
    }
    struct halves *last = second.kept ? &second : &first;
    out->test_count = first.other_count;
    out->test = TAKE(first.other);
    out->validation_count = second.other_count;
    out->validation = TAKE(second.other);
    out->train_count = last->kept_count;
    out->train = TAKE(last->kept);
    return OK;
}
