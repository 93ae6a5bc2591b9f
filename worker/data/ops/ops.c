// SPDX-License-Identifier: Apache-2.0
#include "worker/data/ops/ops.h"

#include <math.h>
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/text/csv.h"
#include "worker/data/document.h"

static const struct operation *const operations[] = {
    &operation_select,       &operation_drop,         &operation_rename, &operation_cast,
    &operation_fill_missing, &operation_drop_missing, &operation_encode, &operation_scale,
};

const struct operation *operation_find(const char *name)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (!strcmp(operations[i]->name, name))
            return operations[i];
    return NULL;
}

bool operation_is_feature(const struct operation_context *context, const struct column *column)
{
    return !(context->target && !strcmp(context->target, column->name)) &&
           !(context->id && !strcmp(context->id, column->name));
}

static bool is_listed(const struct value *list, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (!strcmp(list->items[i].text, name))
            return true;
    return false;
}

static enum status add_named(const struct operation_context *context, const char *what,
                             const struct value *name, struct table *table, struct value *list,
                             struct err *err)
{
    struct column *column;
    if (name->type != VALUE_STRING)
        return err_set(err, E_INVALID, "%s: `columns` holds a %s, expected names", what,
                       value_type_name(name->type));
    TRY(table_get(table, what, name->text, &column, err));
    if (is_listed(list, name->text))
        return err_set(err, E_INVALID, "%s: column `%.80s` is listed twice", what, name->text);
    doc_add(context->arena, list, doc_text(context->arena, column->name, strlen(column->name)));
    return OK;
}

static enum status type_all(const struct table *table, struct err *err)
{
    AUTO(mem_free) struct column **columns = mem_alloc((table->column_count + 1) * sizeof *columns);
    for (size_t i = 0; i < table->column_count; i++)
        columns[i] = &table->columns[i];
    return table_type_columns(table, columns, table->column_count, err);
}

enum status operation_columns(const struct operation_context *context, const char *what,
                              const struct value *columns, struct table *table,
                              bool (*wants)(const struct operation_context *context,
                                            const struct column *column),
                              struct value *out, struct err *err)
{
    struct value list = doc_list();
    if (columns && columns->type == VALUE_STRING) {
        TRY(add_named(context, what, columns, table, &list, err));
    } else if (columns) {
        for (uint32_t i = 0; i < columns->count; i++)
            TRY(add_named(context, what, &columns->items[i], table, &list, err));
    } else {
        TRY(type_all(table, err));
        for (size_t i = 0; i < table->column_count; i++) {
            struct column *column = &table->columns[i];
            if (wants(context, column))
                doc_add(context->arena, &list,
                        doc_text(context->arena, column->name, strlen(column->name)));
        }
    }
    *out = list;
    return OK;
}

enum status operation_names(const struct operation_context *context, const char *what,
                            const struct value *state, const char *const **out, size_t *count,
                            struct err *err)
{
    return document_get_names(what, state, "columns", context->arena, out, count, err);
}

enum status operation_not_number(const struct table *table, const char *what,
                                 const struct column *column, struct err *err)
{
    for (size_t row = 0; row < table->rows; row++) {
        size_t bytes;
        double real;
        const char *text = column_text(table, column, row, &bytes);
        if (!text || csv_real(text, bytes, &real))
            continue;
        return err_set(err, E_INVALID, "%s:%u: %s: column `%.80s` holds `%.*s`, which is no number",
                       table->name, table->lines[row], what, column->name,
                       (int)(bytes < 60 ? bytes : 60), text);
    }
    return err_set(err, E_INVALID, "%s: %s: column `%.80s` holds text, not numbers", table->name,
                   what, column->name);
}
