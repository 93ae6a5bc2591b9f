/* select: keeps the named columns, in the order named. Target and id columns stay without being
 * named. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "proto/schemas.h"
#include "worker/data/ops/ops.h"

static enum status fit(const struct operation_context *context, const void *params,
                       struct table *table, struct value *state, struct err *err)
{
    const struct op_select_params *select = params;
    struct value columns;
    TRY(operation_columns(context, "select", select->columns, table, NULL, &columns, err));
    *state = doc_map();
    doc_put(context->arena, state, "columns", columns);
    return OK;
}

/* Moves the column to position `at`; the ones between move up. */
static void move_column(struct table *table, struct column *column, size_t at)
{
    struct column moved = *column;
    size_t from = table_index(table, column);
    memmove(table->columns + at + 1, table->columns + at, (from - at) * sizeof moved);
    table->columns[at] = moved;
}

static enum status apply(const struct operation_context *context, const struct value *state,
                         struct table *table, struct err *err)
{
    const char *const *names;
    size_t count;
    TRY(operation_names(context, "select", state, &names, &count, err));
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct column *column = table_find(table, names[i]);
        if (!column && context->target && !strcmp(context->target, names[i]))
            continue; /* a new table need not have a target */
        TRY(table_get(table, "select", names[i], &column, err));
        if (table_index(table, column) < kept)
            return err_set(err, E_CORRUPT, "select: column `%.80s` is listed twice", names[i]);
        move_column(table, column, kept++);
    }
    for (size_t i = table->column_count; i-- > kept;)
        if (operation_is_feature(context, &table->columns[i]))
            table_remove(table, &table->columns[i]);
    return OK;
}

const struct operation operation_select = {
    .name = "select", .schema = &schema_op_select, .fit = fit, .apply = apply};
