/* preprocess: `table` → `train`, `test`, `validation` (or `dataset` without a split) and
 * `preprocessor`; or, given an earlier step's `preprocessor` as a second input, → `dataset`. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "proto/schemas.h"
#include "worker/data/preprocessor.h"
#include "worker/kinds/data_files.h"
#include "worker/kinds/kind.h"

static enum status write_dataset(const struct kind_call *call, const char *name,
                                 const struct preprocessor *preprocessor, struct table *table,
                                 struct err *err)
{
    AUTO(dataset_free) struct dataset *dataset = NULL;
    TRY(preprocessor_dataset(preprocessor, table, &dataset, err));
    if (!kind_has_output(call, name))
        return OK; /* made all the same: its rows must be sound */
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    TRY(dataset_write(dataset, &bytes, err));
    return data_write_output(call, name, &bytes, err);
}

static enum status write_preprocessor(const struct kind_call *call,
                                      const struct preprocessor *preprocessor, struct err *err)
{
    if (!kind_has_output(call, "preprocessor"))
        return OK;
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    TRY(preprocessor_write(preprocessor, &bytes, err));
    return data_write_output(call, "preprocessor", &bytes, err);
}

static enum status read_table(const struct kind_call *call, const struct table_options *options,
                              struct table **out, struct err *err)
{
    const struct kind_input *input;
    *out = NULL;
    TRY(kind_input(call, "table", &input, err));
    AUTO(buf_fini) struct buf text = buf_init(0);
    TRY(data_read_input(input, 0, &text, err));
    return table_read("table", &text, options, out, err);
}

static enum status check_outputs(const struct kind_call *call,
                                 const struct preprocess_params *params, struct err *err)
{
    const char *made[PART_COUNT + 2] = {"dataset"};
    size_t count = 1;
    if (params->has_split) {
        struct split_params split;
        TRY(schema_decode(&schema_split, params->split, &split, err));
        made[0] = "train";
        made[count++] = "test";
        if (split.validation_size > 0)
            made[count++] = "validation";
    }
    made[count++] = "preprocessor";
    return data_check_outputs(call, made, err);
}

static enum status fit(const struct kind_call *call, struct err *err)
{
    static const char *const names[PART_COUNT] = {"train", "test", "validation"};
    struct preprocess_params params;
    TRY(schema_decode(&schema_preprocess, call->params, &params, err));
    TRY(check_outputs(call, &params, err));
    AUTO(arena_fini) struct arena arena = {0};
    struct table_options options = preprocessor_options(&params, &arena);
    AUTO(table_free) struct table *table = NULL;
    TRY(read_table(call, &options, &table, err));
    AUTO(parts_fini) struct parts parts = {0};
    AUTO(preprocessor_free) struct preprocessor *preprocessor = NULL;
    TRY(preprocessor_fit(&params, table, &parts, &preprocessor, err));
    TRY(write_preprocessor(call, preprocessor, err));
    if (!params.has_split)
        return write_dataset(call, "dataset", preprocessor, table, err);
    for (int i = 0; i < PART_COUNT; i++)
        if (parts.tables[i])
            TRY(write_dataset(call, names[i], preprocessor, parts.tables[i], err));
    return OK;
}

static enum status apply(const struct kind_call *call, const struct kind_input *input,
                         struct err *err)
{
    static const char *const made[] = {"dataset", "preprocessor", NULL};
    if (call->params->type == VALUE_MAP && call->params->count)
        return err_set(err, E_INVALID,
                       "parameter `%.64s`: with an input `preprocessor` there are no parameters, "
                       "since it holds them",
                       call->params->items[0].text);
    TRY(data_check_outputs(call, made, err));
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    TRY(data_read_input(input, 0, &bytes, err));
    AUTO(preprocessor_free) struct preprocessor *preprocessor = NULL;
    TRY(preprocessor_read("preprocessor", bytes.bytes, bytes.count, &preprocessor, err));
    AUTO(table_free) struct table *table = NULL;
    TRY(read_table(call, &preprocessor->options, &table, err));
    TRY(preprocessor_transform(preprocessor, table, err));
    if (kind_has_output(call, "preprocessor"))
        TRY(data_write_output(call, "preprocessor", &bytes, err));
    return write_dataset(call, "dataset", preprocessor, table, err);
}

static enum status run(const struct kind_call *call, struct err *err)
{
    const struct kind_input *preprocessor = kind_input_find(call, "preprocessor");
    return preprocessor ? apply(call, preprocessor, err) : fit(call, err);
}

const struct kind kind_preprocess = {.name = "preprocess", .run = run};
