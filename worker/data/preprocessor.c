/* Fitting and applying. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/data/preprocessor.h"

#include <math.h>
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "worker/data/category.h"
#include "worker/data/split.h"

void parts_fini(struct parts *parts)
{
    for (int i = 0; i < PART_COUNT; i++)
        if (parts->tables[i])
            table_free(parts->tables[i]);
    *parts = (struct parts){0};
}

void preprocessor_free(struct preprocessor *preprocessor)
{
    arena_fini(&preprocessor->arena);
    mem_free(preprocessor);
}

static const char *const *names_of(const struct value *list, struct arena *arena, size_t *count)
{
    *count = list->type == VALUE_STRING ? 1 : list->count;
    const char **names = arena_alloc(arena, (*count + 1) * sizeof *names);
    for (size_t i = 0; i < *count; i++) {
        const struct value *item = list->type == VALUE_STRING ? list : &list->items[i];
        names[i] = arena_text(arena, item->text, item->count);
    }
    return names;
}

struct table_options preprocessor_options(const struct preprocess_params *params,
                                          struct arena *arena)
{
    struct table_options options = {.format = (enum table_format)params->format};
    if (params->has_columns)
        options.columns = names_of(params->columns, arena, &options.column_count);
    if (params->has_missing)
        options.missing = names_of(params->missing, arena, &options.missing_count);
    return options;
}

static struct operation_context context_of(struct preprocessor *preprocessor)
{
    return (struct operation_context){
        .target = preprocessor->target, .id = preprocessor->id, .arena = &preprocessor->arena};
}

/* ---- the target ---- */

/* Whole reals become integers, so that 1.0 and 0.0 can be classes. */
static enum status make_classes_of_reals(const struct table *table, struct column *column,
                                         struct err *err)
{
    void *memory;
    TRY(mem_try(table->rows + 1, sizeof(int64_t), "classes", &memory, err));
    AUTO(mem_free) int64_t *integers = memory;
    for (size_t row = 0; row < table->rows; row++) {
        double real = column->reals[row];
        if (!isnan(real) && (real != floor(real) || fabs(real) > 0x1p53))
            return err_set(err, E_INVALID,
                           "%s:%u: target: column `%.80s` holds %g, but classes are texts or "
                           "integers; is this `task: regression`?",
                           table->name, table->lines[row], column->name, real);
        integers[row] = isnan(real) ? TABLE_NO_INTEGER : (int64_t)real;
    }
    mem_free(column->reals);
    column->reals = NULL;
    column->integers = TAKE(integers);
    column->type = COLUMN_INTEGER;
    return OK;
}

/* Decided on the whole table, so that all parts agree: text and integers are classes, reals are
 * quantities. */
static enum status decide_task(struct preprocessor *preprocessor, int wanted, struct table *table,
                               struct err *err)
{
    enum { AUTO_TASK, CLASSIFICATION, REGRESSION };
    preprocessor->task = DATASET_NO_TARGET;
    if (!preprocessor->target)
        return OK;
    struct column *column;
    TRY(table_get(table, "target", preprocessor->target, &column, err));
    TRY(table_type(table, column, err));
    if (wanted == REGRESSION && column->type == COLUMN_TEXT)
        return operation_not_number(table, "target", column, err);
    if (wanted == CLASSIFICATION && column->type == COLUMN_REAL)
        TRY(make_classes_of_reals(table, column, err));
    bool is_regression =
        wanted == REGRESSION || (wanted == AUTO_TASK && column->type == COLUMN_REAL);
    preprocessor->task = is_regression ? DATASET_REGRESSION : DATASET_CLASSIFICATION;
    return OK;
}

/* The class of each row, for stratify. */
static enum status find_classes(struct preprocessor *preprocessor, struct table *table,
                                uint32_t **out, size_t *class_count, struct err *err)
{
    *out = NULL;
    if (preprocessor->task != DATASET_CLASSIFICATION)
        return err_set(err, E_INVALID, "split: stratify needs a classification target");
    struct column *column = table_find(table, preprocessor->target);
    struct value list;
    TRY(category_list(table, column, &preprocessor->arena, &list, err));
    void *memory;
    TRY(mem_try(table->rows + 1, sizeof **out, "classes", &memory, err));
    AUTO(mem_free) uint32_t *classes = memory;
    for (size_t row = 0; row < table->rows; row++) {
        int64_t index = category_find(&list, table, column, row);
        if (index == CATEGORY_NONE)
            return err_set(err, E_INVALID,
                           "%s:%u: target: column `%.80s` is missing; drop_missing drops such rows",
                           table->name, table->lines[row], column->name);
        classes[row] = (uint32_t)index;
    }
    *class_count = list.count;
    *out = TAKE(classes);
    return OK;
}

/* ---- splitting ---- */

static enum status split_table(struct preprocessor *preprocessor, const struct split_params *params,
                               struct table *table, struct parts *parts, struct err *err)
{
    struct split_options options = {.method = (enum split_method)params->method,
                                    .test_size = params->test_size,
                                    .validation_size = params->validation_size,
                                    .seed = (uint32_t)params->seed};
    AUTO(mem_free) uint32_t *classes = NULL;
    if (params->stratify)
        TRY(find_classes(preprocessor, table, &classes, &options.class_count, err));
    options.classes = classes;
    AUTO(split_fini) struct split split = {0};
    TRY(split_rows(&options, table->row_ids, table->rows, &split, err));
    AUTO(parts_fini) struct parts made = {0};
    TRY(table_take_rows(table, split.train, split.train_count, &made.tables[PART_TRAIN], err));
    TRY(table_take_rows(table, split.test, split.test_count, &made.tables[PART_TEST], err));
    if (split.validation)
        TRY(table_take_rows(table, split.validation, split.validation_count,
                            &made.tables[PART_VALIDATION], err));
    *parts = made;
    made = (struct parts){0};
    return OK;
}

/* ---- fitting ---- */

/* A step as the parameters give it: operation and decoded parameter struct. */
struct planned {
    const struct operation *operation;
    void *params;
};

static enum status plan_operation(struct preprocessor *preprocessor, const struct value *item,
                                  struct planned *out, struct err *err)
{
    if (item->type != VALUE_MAP || item->count != 1)
        return err_set(err, E_INVALID, "operations: each item is {operation: its parameters}");
    out->operation = operation_find(item->items[0].text);
    if (!out->operation)
        return err_set(err, E_INVALID, "operations: unknown operation `%.80s`",
                       item->items[0].text);
    const struct schema *schema = out->operation->schema;
    out->params = arena_alloc(&preprocessor->arena, schema->struct_bytes);
    return schema_decode(schema, &item->items[1], out->params, err);
}

/* The short forms `encode: one_hot` and `scale: standard`: the operation with its defaults and that
 * method. */
static enum status plan_short(struct preprocessor *preprocessor, const struct operation *operation,
                              int choice, struct planned *out, struct err *err)
{
    const struct schema *schema = operation->schema;
    struct value nothing = doc_map();
    out->operation = operation;
    out->params = arena_alloc(&preprocessor->arena, schema->struct_bytes);
    TRY(schema_decode(schema, &nothing, out->params, err));
    int method = choice - 1; /* `none`, then the operation's own choices */
    if (operation == &operation_encode)
        ((struct op_encode_params *)out->params)->method = method;
    else
        ((struct op_scale_params *)out->params)->method = method;
    return OK;
}

static enum status plan(struct preprocessor *preprocessor, const struct preprocess_params *params,
                        struct planned **out, size_t *count, struct err *err)
{
    size_t listed = params->has_operations ? params->operations->count : 0;
    struct planned *planned = arena_alloc(&preprocessor->arena, (listed + 2) * sizeof *planned);
    for (size_t i = 0; i < listed; i++)
        TRY(plan_operation(preprocessor, &params->operations->items[i], &planned[i], err));
    *count = listed;
    if (params->encode)
        TRY(plan_short(preprocessor, &operation_encode, params->encode, &planned[(*count)++], err));
    if (params->scale)
        TRY(plan_short(preprocessor, &operation_scale, params->scale, &planned[(*count)++], err));
    *out = planned;
    return OK;
}

struct fitting {
    struct preprocessor *preprocessor;
    const struct preprocess_params *params;
    struct split_params split;
    bool is_split; /* done */
    struct table *table;
    struct parts *parts;
};

static struct table *training_part(const struct fitting *fitting)
{
    return fitting->is_split ? fitting->parts->tables[PART_TRAIN] : fitting->table;
}

static enum status split_now(struct fitting *fitting, struct err *err)
{
    TRY(decide_task(fitting->preprocessor, fitting->params->task, fitting->table, err));
    if (!fitting->params->has_split)
        return OK;
    TRY(split_table(fitting->preprocessor, &fitting->split, fitting->table, fitting->parts, err));
    fitting->is_split = true;
    return OK;
}

static enum status fit_step(struct fitting *fitting, const struct planned *planned,
                            struct preprocessor_step *step, struct err *err)
{
    struct operation_context context = context_of(fitting->preprocessor);
    step->operation = planned->operation;
    TRY(planned->operation->fit(&context, planned->params, training_part(fitting), &step->state,
                                err));
    if (!fitting->is_split)
        return step->operation->apply(&context, &step->state, fitting->table, err);
    for (int i = 0; i < PART_COUNT; i++)
        if (fitting->parts->tables[i])
            TRY(step->operation->apply(&context, &step->state, fitting->parts->tables[i], err));
    return OK;
}

static enum status fit_steps(struct fitting *fitting, struct err *err)
{
    struct preprocessor *preprocessor = fitting->preprocessor;
    struct planned *planned;
    size_t count;
    TRY(plan(preprocessor, fitting->params, &planned, &count, err));
    preprocessor->steps =
        arena_alloc(&preprocessor->arena, (count + 1) * sizeof *preprocessor->steps);
    bool is_decided = false;
    for (size_t i = 0; i < count; i++) {
        const struct operation *operation = planned[i].operation;
        if (!is_decided && operation->is_fitted && operation->is_fitted(planned[i].params)) {
            TRY(split_now(fitting, err));
            is_decided = true;
        }
        TRY(fit_step(fitting, &planned[i], &preprocessor->steps[i], err));
        preprocessor->step_count++;
    }
    return is_decided ? OK : split_now(fitting, err);
}

static enum status learn_outcome(struct preprocessor *preprocessor, struct table *table,
                                 struct err *err)
{
    struct operation_context context = context_of(preprocessor);
    const char **names =
        arena_alloc(&preprocessor->arena, (table->column_count + 1) * sizeof *names);
    for (size_t i = 0; i < table->column_count; i++) {
        const struct column *column = &table->columns[i];
        if (operation_is_feature(&context, column))
            names[preprocessor->feature_count++] =
                arena_text(&preprocessor->arena, column->name, strlen(column->name));
    }
    preprocessor->features = names;
    if (!preprocessor->feature_count)
        return err_set(err, E_INVALID, "%s: no feature columns are left", table->name);
    if (preprocessor->task != DATASET_CLASSIFICATION)
        return OK;
    struct column *target;
    TRY(table_get(table, "target", preprocessor->target, &target, err));
    return category_list(table, target, &preprocessor->arena, &preprocessor->classes, err);
}

static enum status fit(struct fitting *fitting, struct err *err)
{
    struct preprocessor *preprocessor = fitting->preprocessor;
    const struct preprocess_params *params = fitting->params;
    struct arena *arena = &preprocessor->arena;
    preprocessor->classes = doc_list();
    preprocessor->options = preprocessor_options(params, arena);
    preprocessor->is_f32 = params->dtype == 1;
    if (params->has_target)
        preprocessor->target = arena_text(arena, params->target, strlen(params->target));
    if (params->has_id)
        preprocessor->id = arena_text(arena, params->id, strlen(params->id));
    if (params->has_id && params->has_target && !strcmp(params->id, params->target))
        return err_set(err, E_INVALID, "`%.80s` can't be both target and id", params->id);
    if (params->has_split)
        TRY(schema_decode(&schema_split, params->split, &fitting->split, err));
    if (preprocessor->id)
        TRY(table_use_ids(fitting->table, preprocessor->id, err));
    TRY(fit_steps(fitting, err));
    TRY(learn_outcome(preprocessor, training_part(fitting), err));
    AUTO(buf_fini) struct buf file = buf_init(0);
    TRY(preprocessor_write(preprocessor, &file, err));
    struct id id;
    hash_bytes(NULL, file.bytes, file.count, &id);
    id_hex(&id, preprocessor->hex);
    return OK;
}

enum status preprocessor_fit(const struct preprocess_params *params, struct table *table,
                             struct parts *parts, struct preprocessor **out, struct err *err)
{
    *out = NULL;
    *parts = (struct parts){0};
    AUTO(parts_fini) struct parts made = {0};
    AUTO(preprocessor_free) struct preprocessor *preprocessor = mem_alloc(sizeof *preprocessor);
    struct fitting fitting = {
        .preprocessor = preprocessor, .params = params, .table = table, .parts = &made};
    TRY(fit(&fitting, err));
    *parts = made;
    made = (struct parts){0};
    *out = TAKE(preprocessor);
    return OK;
}

enum status preprocessor_transform(struct preprocessor *preprocessor, struct table *table,
                                   struct err *err)
{
    struct operation_context context = context_of(preprocessor);
    if (preprocessor->id && table_find(table, preprocessor->id))
        TRY(table_use_ids(table, preprocessor->id, err));
    for (size_t i = 0; i < preprocessor->step_count; i++) {
        const struct preprocessor_step *step = &preprocessor->steps[i];
        TRY(step->operation->apply(&context, &step->state, table, err));
    }
    return OK;
}
