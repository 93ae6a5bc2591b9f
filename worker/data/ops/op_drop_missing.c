/* drop_missing: removes the rows in which one of the columns is missing. Default: any column of the
 * table. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "proto/schemas.h"
#include "worker/data/ops/ops.h"

static bool wants_all(const struct operation_context *context, const struct column *column)
{
    (void)context;
    (void)column;
    return true;
}

static enum status fit(const struct operation_context *context, const void *params,
                       struct table *table, struct value *state, struct err *err)
{
    const struct op_drop_missing_params *drop = params;
    struct value columns;
    TRY(operation_columns(context, "drop_missing", drop->has_columns ? drop->columns : NULL, table,
                          wants_all, &columns, err));
    *state = doc_map();
    doc_put(context->arena, state, "columns", columns);
    return OK;
}

static enum status apply(const struct operation_context *context, const struct value *state,
                         struct table *table, struct err *err)
{
    const char *const *names;
    size_t count;
    TRY(operation_names(context, "drop_missing", state, &names, &count, err));
    void *memory;
    TRY(mem_try(table->rows + 1, sizeof(uint32_t), "rows", &memory, err));
    AUTO(mem_free) uint32_t *rows = memory;
    size_t kept = table->rows;
    for (size_t i = 0; i < kept; i++)
        rows[i] = (uint32_t)i;
    for (size_t i = 0; i < count; i++) {
        struct column *column = table_find(table, names[i]);
        if (!column && context->target && !strcmp(context->target, names[i]))
            continue;
        TRY(table_get(table, "drop_missing", names[i], &column, err));
        size_t from = kept;
        kept = 0;
        for (size_t k = 0; k < from; k++)
            if (!column_is_missing(column, rows[k]))
                rows[kept++] = rows[k];
    }
    if (!kept)
        return err_set(err, E_INVALID, "%s: drop_missing: no row is without missing values",
                       table->name);
    table_keep_rows(table, rows, kept);
    return OK;
}

const struct operation operation_drop_missing = {
    .name = "drop_missing", .schema = &schema_op_drop_missing, .fit = fit, .apply = apply};
