/* The preprocessor as JSON, and tables as datasets. */
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/text/json.h"
#include "proto/limits.h"
#include "worker/data/category.h"
#include "worker/data/document.h"
#include "worker/data/preprocessor.h"

#define PREPROCESSOR_FORMAT "penstock.preprocessor.1"

/* ---- JSON ---- */

static struct value optional_text(const char *text)
{
    return text ? value_string(text) : value_nil();
}

static struct value name_list(struct arena *arena, const char *const *names, size_t count)
{
    struct value list = doc_list();
    for (size_t i = 0; i < count; i++)
        doc_add(arena, &list, value_string(names[i]));
    return list;
}

static struct value table_value(struct arena *arena, const struct table_options *options)
{
    struct value map = doc_map();
    doc_put(arena, &map, "format", value_int(options->format));
    doc_put(arena, &map, "columns",
            options->columns ? name_list(arena, options->columns, options->column_count)
                             : value_nil());
    doc_put(arena, &map, "missing", name_list(arena, options->missing, options->missing_count));
    return map;
}

enum status preprocessor_write(const struct preprocessor *preprocessor, struct buf *out,
                               struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value steps = doc_list();
    for (size_t i = 0; i < preprocessor->step_count; i++) {
        struct value step = doc_map();
        doc_put(&arena, &step, "name", value_string(preprocessor->steps[i].operation->name));
        doc_put(&arena, &step, "state", doc_copy(&arena, &preprocessor->steps[i].state));
        doc_add(&arena, &steps, step);
    }
    struct value root = doc_map();
    doc_put(&arena, &root, "format", value_string(PREPROCESSOR_FORMAT));
    doc_put(&arena, &root, "table", table_value(&arena, &preprocessor->options));
    doc_put(&arena, &root, "target", optional_text(preprocessor->target));
    doc_put(&arena, &root, "id", optional_text(preprocessor->id));
    doc_put(&arena, &root, "task", value_string(dataset_task_name(preprocessor->task)));
    doc_put(&arena, &root, "dtype", value_string(preprocessor->is_f32 ? "f32" : "f64"));
    doc_put(&arena, &root, "operations", steps);
    doc_put(&arena, &root, "features",
            name_list(&arena, preprocessor->features, preprocessor->feature_count));
    doc_put(&arena, &root, "classes", doc_copy(&arena, &preprocessor->classes));
    document_write(&root, out);
    return buf_check(out, "preprocessor", err);
}

static enum status read_options(const char *name, const struct value *root, struct arena *arena,
                                struct table_options *out, struct err *err)
{
    const struct value *table, *format;
    TRY(document_get(name, root, "table", VALUE_MAP, &table, err));
    TRY(document_get(name, table, "format", VALUE_INT, &format, err));
    if (format->integer < TABLE_AUTO || format->integer > TABLE_TSV)
        return err_set(err, E_CORRUPT, "%s: unknown table format %lld", name,
                       (long long)format->integer);
    out->format = (enum table_format)format->integer;
    const struct value *columns = value_get(table, "columns");
    if (columns && columns->type != VALUE_NIL)
        TRY(document_get_names(name, table, "columns", arena, &out->columns, &out->column_count,
                               err));
    return document_get_names(name, table, "missing", arena, &out->missing, &out->missing_count,
                              err);
}

static enum status read_steps(const char *name, const struct value *root,
                              struct preprocessor *preprocessor, struct err *err)
{
    const struct value *list;
    TRY(document_get(name, root, "operations", VALUE_ARRAY, &list, err));
    preprocessor->steps =
        arena_alloc(&preprocessor->arena, (list->count + 1) * sizeof *preprocessor->steps);
    for (uint32_t i = 0; i < list->count; i++) {
        struct preprocessor_step *step = &preprocessor->steps[i];
        const struct value *word, *state;
        TRY(document_get(name, &list->items[i], "name", VALUE_STRING, &word, err));
        TRY(document_get(name, &list->items[i], "state", VALUE_MAP, &state, err));
        step->operation = operation_find(word->text);
        step->state = *state;
        if (!step->operation)
            return err_set(err, E_CORRUPT, "%s: unknown operation `%.80s`", name, word->text);
        preprocessor->step_count++;
    }
    return OK;
}

static enum status read_root(const char *name, const struct value *root,
                             struct preprocessor *preprocessor, struct err *err)
{
    struct arena *arena = &preprocessor->arena;
    const char *format = root->type == VALUE_MAP ? value_get_text(root, "format") : NULL;
    if (!format || strcmp(format, PREPROCESSOR_FORMAT) != 0)
        return err_set(err, E_CORRUPT, "%s: its format is `%.40s`, expected `%s`", name,
                       format ? format : "", PREPROCESSOR_FORMAT);
    const struct value *task, *dtype, *classes;
    TRY(read_options(name, root, arena, &preprocessor->options, err));
    TRY(document_get_text(name, root, "target", &preprocessor->target, err));
    TRY(document_get_text(name, root, "id", &preprocessor->id, err));
    TRY(document_get(name, root, "task", VALUE_STRING, &task, err));
    TRY(dataset_task_parse(name, task->text, &preprocessor->task, err));
    TRY(document_get(name, root, "dtype", VALUE_STRING, &dtype, err));
    preprocessor->is_f32 = value_is_text(dtype, "f32");
    if (!preprocessor->is_f32 && !value_is_text(dtype, "f64"))
        return err_set(err, E_CORRUPT, "%s: dtype `%.20s`", name, dtype->text);
    TRY(read_steps(name, root, preprocessor, err));
    TRY(document_get_names(name, root, "features", arena, &preprocessor->features,
                           &preprocessor->feature_count, err));
    TRY(document_get(name, root, "classes", VALUE_ARRAY, &classes, err));
    preprocessor->classes = *classes;
    TRY(document_check_classes(name, classes, err));
    if ((preprocessor->task != DATASET_NO_TARGET) != (preprocessor->target != NULL) ||
        (preprocessor->task == DATASET_CLASSIFICATION) != (classes->count > 0))
        return err_set(err, E_CORRUPT, "%s: task, target and classes disagree", name);
    return OK;
}

enum status preprocessor_read(const char *name, const uint8_t *bytes, size_t count,
                              struct preprocessor **out, struct err *err)
{
    *out = NULL;
    AUTO(preprocessor_free) struct preprocessor *preprocessor = mem_alloc(sizeof *preprocessor);
    struct value root;
    TRY(json_parse(name, (const char *)bytes, count, &preprocessor->arena, &root, err));
    TRY(read_root(name, &root, preprocessor, err));
    struct id id;
    hash_bytes(NULL, bytes, count, &id);
    id_hex(&id, preprocessor->hex);
    *out = TAKE(preprocessor);
    return OK;
}

/* ---- datasets ---- */

static enum status bad_number(const struct table *table, const struct column *column, size_t row,
                              bool is_f32, struct err *err)
{
    if (column_is_missing(column, row))
        return err_set(err, E_INVALID,
                       "%s:%u: column `%.80s` is missing (an empty cell); use fill_missing, "
                       "drop_missing or drop",
                       table->name, table->lines[row], column->name);
    return err_set(err, E_INVALID, "%s:%u: column `%.80s` overflows%s", table->name,
                   table->lines[row], column->name, is_f32 ? " f32" : "");
}

static enum status find_features(const struct preprocessor *preprocessor, struct table *table,
                                 struct column **columns, struct err *err)
{
    for (size_t i = 0; i < preprocessor->feature_count; i++)
        TRY(table_get(table, "features", preprocessor->features[i], &columns[i], err));
    TRY(table_type_columns(table, columns, preprocessor->feature_count, err));
    for (size_t i = 0; i < preprocessor->feature_count; i++) {
        if (column_is_number(columns[i]))
            continue;
        enum status status = operation_not_number(table, "features", columns[i], err);
        if (err)
            strncat(err->text, "; encode, cast or drop it",
                    sizeof err->text - strlen(err->text) - 1);
        return status;
    }
    return OK;
}

/* Columns to rows, a block of rows at a time. */
static enum status copy_features(const struct preprocessor *preprocessor, struct table *table,
                                 struct dataset *dataset, struct err *err)
{
    enum { BLOCK_ROWS = 256 };
    struct matrix *features = &dataset->features;
    AUTO(mem_free) struct column **columns = mem_alloc((features->columns + 1) * sizeof *columns);
    TRY(find_features(preprocessor, table, columns, err));
    for (size_t cell = 0; cell < (table->rows + BLOCK_ROWS - 1) / BLOCK_ROWS * features->columns;
         cell++) {
        size_t from = cell / features->columns * BLOCK_ROWS, index = cell % features->columns;
        for (size_t row = from; row < table->rows && row < from + BLOCK_ROWS; row++) {
            double x = column_number(columns[index], row);
            x = dataset->is_f32 ? (double)(float)x : x;
            if (!isfinite(x))
                return bad_number(table, columns[index], row, dataset->is_f32, err);
            features->values[row * features->columns + index] = x;
        }
    }
    return OK;
}

static enum status target_problem(const struct table *table, const struct column *column,
                                  size_t row, struct err *err)
{
    if (column_is_missing(column, row))
        return err_set(err, E_INVALID,
                       "%s:%u: target: column `%.80s` is missing; drop_missing drops such rows",
                       table->name, table->lines[row], column->name);
    size_t bytes;
    const char *text = column_text(table, column, row, &bytes);
    return err_set(err, E_INVALID,
                   "%s:%u: target: class `%.*s` of column `%.80s` does not occur in the training "
                   "part; `stratify: true` puts each class on every side",
                   table->name, table->lines[row], (int)(bytes < 60 ? bytes : 60), text ? text : "",
                   column->name);
}

static enum status copy_target(const struct preprocessor *preprocessor, struct table *table,
                               struct column *column, struct dataset *dataset, struct err *err)
{
    TRY(table_type(table, column, err));
    bool is_regression = preprocessor->task == DATASET_REGRESSION;
    if (is_regression && !column_is_number(column))
        return operation_not_number(table, "target", column, err);
    for (size_t row = 0; row < table->rows; row++) {
        double target = is_regression
                            ? column_number(column, row)
                            : (double)category_find(&preprocessor->classes, table, column, row);
        if (isnan(target) || (!is_regression && target < 0))
            return target_problem(table, column, row, err);
        dataset->target[row] = target;
    }
    return OK;
}

enum status preprocessor_dataset(const struct preprocessor *preprocessor, struct table *table,
                                 struct dataset **out, struct err *err)
{
    *out = NULL;
    struct column *target = preprocessor->target ? table_find(table, preprocessor->target) : NULL;
    if (!table->rows)
        return err_set(err, E_INVALID, "%s: no rows are left", table->name);
    AUTO(dataset_free) struct dataset *dataset = NULL;
    TRY(dataset_new(table->rows, preprocessor->feature_count,
                    target ? preprocessor->task : DATASET_NO_TARGET, &dataset, err));
    dataset->is_f32 = preprocessor->is_f32;
    TRY(copy_features(preprocessor, table, dataset, err));
    if (target)
        TRY(copy_target(preprocessor, table, target, dataset, err));
    memcpy(dataset->row_id, table->row_ids, table->rows * sizeof *dataset->row_id);
    struct arena *arena = &dataset->arena;
    const char **names = arena_alloc(arena, (preprocessor->feature_count + 1) * sizeof *names);
    for (size_t i = 0; i < preprocessor->feature_count; i++)
        names[i] = arena_text(arena, preprocessor->features[i], strlen(preprocessor->features[i]));
    dataset->columns = names;
    if (target) {
        dataset->target_name = arena_text(arena, target->name, strlen(target->name));
        dataset->classes = doc_copy(arena, &preprocessor->classes);
    }
    dataset->preprocessor = arena_text(arena, preprocessor->hex, ID_HEX_BYTES - 1);
    *out = TAKE(dataset);
    return OK;
}
