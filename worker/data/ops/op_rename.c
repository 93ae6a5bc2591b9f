/* rename: {columns: {old: new, …}}, all at once, so that names can be swapped. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "proto/schemas.h"
#include "worker/data/document.h"
#include "worker/data/ops/ops.h"

static enum status fit(const struct operation_context *context, const void *params,
                       struct table *table, struct value *state, struct err *err)
{
    const struct op_rename_params *rename = params;
    const struct value *columns = rename->columns;
    if (columns->type != VALUE_MAP)
        return err_set(err, E_INVALID, "rename: `columns` is a %s, expected {old: new, …}",
                       value_type_name((enum value_type)columns->type));
    struct value map = doc_map();
    for (uint32_t i = 0; i < columns->count; i++) {
        const struct value *pair = &columns->items[2 * i];
        struct column *column;
        TRY(table_get(table, "rename", pair[0].text, &column, err));
        if (pair[1].type != VALUE_STRING || !pair[1].count)
            return err_set(err, E_INVALID, "rename: the new name of `%.80s` is no text",
                           pair[0].text);
        doc_put(context->arena, &map, arena_text(context->arena, pair[0].text, pair[0].count),
                doc_text(context->arena, pair[1].text, pair[1].count));
    }
    *state = doc_map();
    doc_put(context->arena, state, "columns", map);
    return OK;
}

static enum status apply(const struct operation_context *context, const struct value *state,
                         struct table *table, struct err *err)
{
    const struct value *map;
    TRY(document_get("rename", state, "columns", VALUE_MAP, &map, err));
    AUTO(mem_free) struct column **columns = mem_alloc((map->count + 1) * sizeof(void *));
    for (uint32_t i = 0; i < map->count; i++) {
        const struct value *pair = &map->items[2 * i];
        if (pair[1].type != VALUE_STRING || strlen(pair[1].text) != pair[1].count)
            return err_set(err, E_CORRUPT, "rename: a new name is no text");
        columns[i] = table_find(table, pair[0].text);
        bool is_target = context->target && !strcmp(context->target, pair[1].text);
        if (!columns[i] && !is_target && !table_find(table, pair[1].text))
            TRY(table_get(table, "rename", pair[0].text, &columns[i], err));
    }
    for (uint32_t i = 0; i < map->count; i++) {
        const struct value *pair = &map->items[2 * i];
        if (columns[i])
            columns[i]->name = arena_text(&table->arena, pair[1].text, pair[1].count);
    }
    return table_check_names(table, err);
}

const struct operation operation_rename = {
    .name = "rename", .schema = &schema_op_rename, .fit = fit, .apply = apply};
