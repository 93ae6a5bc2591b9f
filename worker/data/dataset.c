// SPDX-License-Identifier: Apache-2.0
#include "worker/data/dataset.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/text/json.h"
#include "proto/limits.h"
#include "worker/data/document.h"
#include "worker/data/safetensors.h"

#define DATASET_FORMAT     "penstock.dataset.1"
#define PREDICTIONS_FORMAT "penstock.predictions.1"

static const char *const task_names[] = {"none", "classification", "regression"};

const char *dataset_task_name(enum dataset_task task)
{
    return task_names[task];
}

enum status dataset_task_parse(const char *name, const char *word, enum dataset_task *out,
                               struct err *err)
{
    for (size_t i = 0; word && i < sizeof task_names / sizeof *task_names; i++)
        if (!strcmp(word, task_names[i])) {
            *out = (enum dataset_task)i;
            return OK;
        }
    return err_set(err, E_INVALID,
                   "%s: task `%.40s`, expected \"classification\", \"regression\" or \"none\"",
                   name, word ? word : "");
}

/* ---- memory ---- */

void dataset_free(struct dataset *dataset)
{
    mem_free(dataset->features.values);
    mem_free(dataset->target);
    mem_free(dataset->row_id);
    arena_fini(&dataset->arena);
    mem_free(dataset);
}

static enum status new_array(size_t rows, size_t columns, const char *what, void *out_p,
                             struct err *err)
{
    size_t count;
    if (__builtin_mul_overflow(rows, columns, &count))
        return err_set(err, E_NOMEM, "%s: %zu rows of %zu do not fit memory", what, rows, columns);
    void *memory;
    TRY(mem_try(count ? count : 1, sizeof(double), what, &memory, err));
    *(void **)out_p = memory;
    return OK;
}

enum status dataset_new(size_t rows, size_t columns, enum dataset_task task, struct dataset **out,
                        struct err *err)
{
    *out = NULL;
    AUTO(dataset_free) struct dataset *dataset = mem_alloc(sizeof *dataset);
    dataset->task = task;
    dataset->classes = (struct value){.type = VALUE_ARRAY};
    dataset->features = (struct matrix){.rows = rows, .columns = columns};
    TRY(new_array(rows, columns, "features", &dataset->features.values, err));
    TRY(new_array(rows, 1, "row ids", &dataset->row_id, err));
    if (task != DATASET_NO_TARGET)
        TRY(new_array(rows, 1, "target", &dataset->target, err));
    *out = TAKE(dataset);
    return OK;
}

void predictions_free(struct predictions *predictions)
{
    mem_free(predictions->prediction);
    mem_free(predictions->probabilities);
    mem_free(predictions->target);
    mem_free(predictions->row_id);
    arena_fini(&predictions->arena);
    mem_free(predictions);
}

enum status predictions_new(size_t rows, size_t class_count, bool has_target,
                            struct predictions **out, struct err *err)
{
    *out = NULL;
    AUTO(predictions_free) struct predictions *predictions = mem_alloc(sizeof *predictions);
    predictions->rows = rows;
    predictions->class_count = class_count;
    predictions->task = class_count ? DATASET_CLASSIFICATION : DATASET_REGRESSION;
    predictions->classes = (struct value){.type = VALUE_ARRAY};
    TRY(new_array(rows, 1, "predictions", &predictions->prediction, err));
    TRY(new_array(rows, 1, "row ids", &predictions->row_id, err));
    if (class_count)
        TRY(new_array(rows, class_count, "probabilities", &predictions->probabilities, err));
    if (has_target)
        TRY(new_array(rows, 1, "target", &predictions->target, err));
    *out = TAKE(predictions);
    return OK;
}

/* ---- writing ---- */

/* A document as one text, since safetensors' metadata are texts. */
static struct value json_text(struct arena *arena, const struct value *value)
{
    AUTO(buf_fini) struct buf json = buf_init(0);
    json_write(value, 0, &json);
    return (struct value){.type = VALUE_STRING,
                          .count = (uint32_t)json.count,
                          .text = arena_text(arena, (const char *)json.bytes, json.count)};
}

static void put_metadata(struct value *pairs, size_t *count, const char *key, struct value value)
{
    pairs[*count] = value_string(key);
    pairs[*count + 1] = value;
    *count += 2;
}

static enum status to_integers(const double *from, size_t count, void *out_p, struct err *err)
{
    int64_t *integers;
    TRY(new_array(count, 1, "classes", &integers, err));
    for (size_t i = 0; i < count; i++)
        integers[i] = (int64_t)from[i];
    *(void **)out_p = integers;
    return OK;
}

static enum status to_floats(const double *from, size_t count, void *out_p, struct err *err)
{
    void *memory;
    TRY(mem_try(count ? count : 1, sizeof(float), "features", &memory, err));
    float *floats = memory;
    for (size_t i = 0; i < count; i++)
        floats[i] = (float)from[i];
    *(void **)out_p = floats;
    return OK;
}

static struct value names_value(struct arena *arena, const char *const *names, size_t count)
{
    struct value list = {.type = VALUE_ARRAY, .count = (uint32_t)count};
    list.items = arena_alloc(arena, (count + 1) * sizeof *list.items);
    for (size_t i = 0; i < count; i++)
        list.items[i] = value_string(names[i]);
    return list;
}

static struct value dataset_metadata(const struct dataset *dataset, struct arena *arena)
{
    struct value columns = names_value(arena, dataset->columns, dataset->features.columns);
    struct value *pairs = arena_alloc(arena, 12 * sizeof *pairs);
    size_t count = 0;
    put_metadata(pairs, &count, "format", value_string(DATASET_FORMAT));
    put_metadata(pairs, &count, "task", value_string(task_names[dataset->task]));
    put_metadata(pairs, &count, "columns", json_text(arena, &columns));
    if (dataset->task == DATASET_CLASSIFICATION)
        put_metadata(pairs, &count, "classes", json_text(arena, &dataset->classes));
    if (dataset->target_name)
        put_metadata(pairs, &count, "target", value_string(dataset->target_name));
    if (dataset->preprocessor)
        put_metadata(pairs, &count, "preprocessor", value_string(dataset->preprocessor));
    return (struct value){.type = VALUE_MAP, .count = (uint32_t)(count / 2), .items = pairs};
}

enum status dataset_write(const struct dataset *dataset, struct buf *out, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(mem_free) int64_t *labels = NULL;
    AUTO(mem_free) float *floats = NULL;
    size_t rows = dataset->features.rows, columns = dataset->features.columns, count = 0;
    struct tensor tensors[3];
    tensors[count++] = (struct tensor){"features", TENSOR_F64, 2, {rows, columns}, NULL};
    tensors[0].data = dataset->features.values;
    if (dataset->is_f32) {
        TRY(to_floats(dataset->features.values, rows * columns, &floats, err));
        tensors[0].type = TENSOR_F32;
        tensors[0].data = floats;
    }
    tensors[count++] = (struct tensor){"row_id", TENSOR_I64, 1, {rows}, dataset->row_id};
    if (dataset->task == DATASET_CLASSIFICATION)
        TRY(to_integers(dataset->target, rows, &labels, err));
    if (labels)
        tensors[count++] = (struct tensor){"target", TENSOR_I64, 1, {rows}, labels};
    else if (dataset->target)
        tensors[count++] = (struct tensor){"target", TENSOR_F64, 1, {rows}, dataset->target};
    struct value metadata = dataset_metadata(dataset, &arena);
    return safetensors_write(tensors, count, &metadata, out, err);
}

enum status predictions_write(const struct predictions *predictions, struct buf *out,
                              struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(mem_free) int64_t *labels = NULL;
    AUTO(mem_free) int64_t *targets = NULL;
    bool is_classes = predictions->class_count > 0;
    size_t rows = predictions->rows, count = 0;
    enum tensor_type type = is_classes ? TENSOR_I64 : TENSOR_F64;
    if (is_classes)
        TRY(to_integers(predictions->prediction, rows, &labels, err));
    if (is_classes && predictions->target)
        TRY(to_integers(predictions->target, rows, &targets, err));
    struct tensor tensors[4];
    tensors[count++] = (struct tensor){"row_id", TENSOR_I64, 1, {rows}, predictions->row_id};
    tensors[count++] = (struct tensor){"prediction", type, 1, {rows}, predictions->prediction};
    if (labels)
        tensors[1].data = labels;
    if (is_classes)
        tensors[count++] =
            (struct tensor){"probabilities", TENSOR_F64, 2, {rows, predictions->class_count}, NULL};
    if (is_classes)
        tensors[count - 1].data = predictions->probabilities;
    if (predictions->target)
        tensors[count++] = (struct tensor){"target", type, 1, {rows}, predictions->target};
    if (targets)
        tensors[count - 1].data = targets;
    struct value *pairs = arena_alloc(&arena, 6 * sizeof *pairs);
    size_t used = 0;
    put_metadata(pairs, &used, "format", value_string(PREDICTIONS_FORMAT));
    put_metadata(pairs, &used, "task", value_string(task_names[predictions->task]));
    if (is_classes)
        put_metadata(pairs, &used, "classes", json_text(&arena, &predictions->classes));
    struct value metadata = {.type = VALUE_MAP, .count = (uint32_t)(used / 2), .items = pairs};
    return safetensors_write(tensors, count, &metadata, out, err);
}

/* ---- reading ---- */

struct reader {
    const char *name;
    struct safetensors file;
    struct arena *arena;
    size_t rows;
    enum dataset_task task;
    struct err *err;
};

static enum status open_file(const char *name, const uint8_t *bytes, size_t count,
                             const char *format, struct arena *arena, struct reader *out,
                             struct err *err)
{
    *out = (struct reader){.name = name, .arena = arena, .err = err};
    TRY(safetensors_read(name, bytes, count, arena, &out->file, err));
    const char *found = value_get_text(&out->file.metadata, "format");
    if (!found || strcmp(found, format) != 0)
        return err_set(err, E_CORRUPT, "%s: its format is `%.40s`, expected `%s`", name,
                       found ? found : "", format);
    return dataset_task_parse(name, value_get_text(&out->file.metadata, "task"), &out->task, err);
}

static enum status find_tensor(const struct reader *reader, const char *tensor, size_t dims,
                               const struct tensor **out)
{
    *out = safetensors_find(&reader->file, tensor);
    if (!*out)
        return err_set(reader->err, E_CORRUPT, "%s: no tensor `%s`", reader->name, tensor);
    if ((*out)->dims != dims ||
        (dims && reader->rows != SIZE_MAX && (*out)->shape[0] != reader->rows))
        return err_set(reader->err, E_CORRUPT, "%s: tensor `%s` has another shape than it should",
                       reader->name, tensor);
    return OK;
}

/* Any numeric tensor as finite doubles. */
static enum status read_reals(const struct reader *reader, const struct tensor *tensor, double *out)
{
    size_t count = tensor_count(tensor);
    switch (tensor->type) {
    case TENSOR_F64: memcpy(out, tensor->data, count * sizeof *out); break;
    case TENSOR_F32:
        for (size_t i = 0; i < count; i++)
            out[i] = ((const float *)tensor->data)[i];
        break;
    default:
        return err_set(reader->err, E_CORRUPT, "%s: tensor `%s` does not hold reals", reader->name,
                       tensor->name);
    }
    for (size_t i = 0; i < count; i++)
        if (!isfinite(out[i]))
            return err_set(reader->err, E_CORRUPT, "%s: tensor `%s` holds NaN or infinity at %zu",
                           reader->name, tensor->name, i);
    return OK;
}

static enum status read_row_ids(const struct reader *reader, int64_t *out)
{
    const struct tensor *tensor;
    TRY(find_tensor(reader, "row_id", 1, &tensor));
    if (tensor->type != TENSOR_I64)
        return err_set(reader->err, E_CORRUPT, "%s: tensor `row_id` is not I64", reader->name);
    memcpy(out, tensor->data, reader->rows * sizeof *out);
    return OK;
}

/* Class indices below `class_count`; with 0, values. */
static enum status read_labels(const struct reader *reader, const char *name, size_t class_count,
                               double *out)
{
    const struct tensor *tensor;
    TRY(find_tensor(reader, name, 1, &tensor));
    if (reader->task != DATASET_CLASSIFICATION)
        return read_reals(reader, tensor, out);
    if (tensor->type != TENSOR_I64)
        return err_set(reader->err, E_CORRUPT, "%s: tensor `%s` is not I64", reader->name, name);
    const int64_t *labels = tensor->data;
    for (size_t i = 0; i < reader->rows; i++) {
        if (labels[i] < 0 || (uint64_t)labels[i] >= class_count)
            return err_set(reader->err, E_CORRUPT, "%s: `%s` of row %zu is class %lld of %zu",
                           reader->name, name, i, (long long)labels[i], class_count);
        out[i] = (double)labels[i];
    }
    return OK;
}

static enum status read_json(const struct reader *reader, const char *key, struct value *out)
{
    const struct value *text = value_get(&reader->file.metadata, key);
    if (!text)
        return err_set(reader->err, E_CORRUPT, "%s: its metadata lack `%s`", reader->name, key);
    return json_parse(reader->name, text->text, text->count, reader->arena, out, reader->err);
}

static enum status read_classes(const struct reader *reader, struct value *out)
{
    *out = (struct value){.type = VALUE_ARRAY};
    if (reader->task != DATASET_CLASSIFICATION)
        return OK;
    TRY(read_json(reader, "classes", out));
    TRY(document_check_classes(reader->name, out, reader->err));
    if (!out->count)
        return err_set(reader->err, E_CORRUPT, "%s: no classes", reader->name);
    return OK;
}

static enum status read_columns(const struct reader *reader, size_t count, const char *const **out)
{
    struct value wrapped[2] = {value_string("columns")};
    TRY(read_json(reader, "columns", &wrapped[1]));
    struct value map = {.type = VALUE_MAP, .count = 1, .items = wrapped};
    size_t found;
    TRY(document_get_names(reader->name, &map, "columns", reader->arena, out, &found, reader->err));
    if (found != count)
        return err_set(reader->err, E_CORRUPT, "%s: %zu column names for %zu columns", reader->name,
                       found, count);
    return OK;
}

static enum status read_dataset(struct reader *reader, struct dataset *dataset)
{
    const struct value *metadata = &reader->file.metadata;
    const struct tensor *features = safetensors_find(&reader->file, "features");
    TRY(read_reals(reader, features, dataset->features.values));
    TRY(read_row_ids(reader, dataset->row_id));
    TRY(read_columns(reader, dataset->features.columns, &dataset->columns));
    TRY(read_classes(reader, &dataset->classes));
    if (dataset->target)
        TRY(read_labels(reader, "target", dataset->classes.count, dataset->target));
    dataset->is_f32 = features->type == TENSOR_F32;
    TRY(document_get_text(reader->name, metadata, "target", &dataset->target_name, reader->err));
    return document_get_text(reader->name, metadata, "preprocessor", &dataset->preprocessor,
                             reader->err);
}

enum status dataset_read(const char *name, const uint8_t *bytes, size_t count, struct dataset **out,
                         struct err *err)
{
    *out = NULL;
    AUTO(arena_fini) struct arena arena = {0};
    struct reader reader;
    TRY(open_file(name, bytes, count, DATASET_FORMAT, &arena, &reader, err));
    reader.rows = SIZE_MAX;
    const struct tensor *features;
    TRY(find_tensor(&reader, "features", 2, &features));
    reader.rows = features->shape[0];
    if (reader.rows > count) /* rows without columns need no bytes of their own */
        return err_set(err, E_CORRUPT, "%s: %zu rows in %zu bytes", name, reader.rows, count);
    if (features->shape[1] > COLUMNS_MAX)
        return err_set(err, E_LIMIT, "%s: %zu columns, at most %d are possible", name,
                       features->shape[1], COLUMNS_MAX);
    AUTO(dataset_free) struct dataset *dataset = NULL;
    TRY(dataset_new(reader.rows, features->shape[1], reader.task, &dataset, err));
    TRY(read_dataset(&reader, dataset));
    dataset->arena = arena; /* the names live there */
    arena = (struct arena){0};
    *out = TAKE(dataset);
    return OK;
}

static enum status read_predictions(struct reader *reader, struct predictions *predictions)
{
    TRY(read_row_ids(reader, predictions->row_id));
    TRY(read_labels(reader, "prediction", predictions->class_count, predictions->prediction));
    if (predictions->target)
        TRY(read_labels(reader, "target", predictions->class_count, predictions->target));
    if (!predictions->class_count)
        return OK;
    const struct tensor *tensor;
    TRY(find_tensor(reader, "probabilities", 2, &tensor));
    if (tensor->shape[1] != predictions->class_count)
        return err_set(reader->err, E_CORRUPT, "%s: probabilities of %zu classes, expected %zu",
                       reader->name, tensor->shape[1], predictions->class_count);
    return read_reals(reader, tensor, predictions->probabilities);
}

enum status predictions_read(const char *name, const uint8_t *bytes, size_t count,
                             struct predictions **out, struct err *err)
{
    *out = NULL;
    AUTO(arena_fini) struct arena arena = {0};
    struct reader reader;
    TRY(open_file(name, bytes, count, PREDICTIONS_FORMAT, &arena, &reader, err));
    if (reader.task == DATASET_NO_TARGET)
        return err_set(err, E_CORRUPT, "%s: predictions of no task", name);
    reader.rows = SIZE_MAX;
    const struct tensor *prediction;
    TRY(find_tensor(&reader, "prediction", 1, &prediction));
    reader.rows = prediction->shape[0];
    struct value classes;
    TRY(read_classes(&reader, &classes));
    bool has_target = safetensors_find(&reader.file, "target") != NULL;
    AUTO(predictions_free) struct predictions *predictions = NULL;
    TRY(predictions_new(reader.rows, classes.count, has_target, &predictions, err));
    predictions->classes = classes;
    TRY(read_predictions(&reader, predictions));
    predictions->arena = arena;
    arena = (struct arena){0};
    *out = TAKE(predictions);
    return OK;
}
