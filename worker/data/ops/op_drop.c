/* drop: removes the named columns. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/doc.h"
#include "proto/schemas.h"
#include "worker/data/ops/ops.h"

static enum status fit(const struct operation_context *context, const void *params,
                       struct table *table, struct value *state, struct err *err)
{
    const struct op_drop_params *drop = params;
    struct value columns;
    TRY(operation_columns(context, "drop", drop->columns, table, NULL, &columns, err));
    for (uint32_t i = 0; i < columns.count; i++)
        if (!operation_is_feature(context, table_find(table, columns.items[i].text)))
            return err_set(err, E_INVALID, "drop: `%.80s` is the target or id column",
                           columns.items[i].text);
    *state = doc_map();
    doc_put(context->arena, state, "columns", columns);
    return OK;
}

static enum status apply(const struct operation_context *context, const struct value *state,
                         struct table *table, struct err *err)
{
    const char *const *names;
    size_t count;
    TRY(operation_names(context, "drop", state, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        struct column *column = table_find(table, names[i]);
        if (column) /* a new table may come without it */
            table_remove(table, column);
    }
    return OK;
}

const struct operation operation_drop = {
    .name = "drop", .schema = &schema_op_drop, .fit = fit, .apply = apply};
