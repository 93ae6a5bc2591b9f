// SPDX-License-Identifier: Apache-2.0
#include "proto/schema_check.h"

#include <string.h>

#include "proto/schemas.h"

static enum status check_text_map(const char *name, const struct value *map, struct err *err)
{
    if (map->type != VALUE_MAP || !map->count)
        return err_set(err, E_INVALID, "%s: expected a mapping from name to text, found %s", name,
                       value_type_name(map->type));
    for (uint32_t i = 0; i < map->count; i++)
        if (map->items[2 * i + 1].type != VALUE_STRING)
            return err_set(err, E_INVALID, "%s.%s: expected text, found %s", name,
                           map->items[2 * i].text, value_type_name(map->items[2 * i + 1].type));
    return OK;
}

enum status check_op_rename(const void *params, struct err *err)
{
    return check_text_map("columns", ((const struct op_rename_params *)params)->columns, err);
}

enum status check_op_cast(const void *params, struct err *err)
{
    const struct value *columns = ((const struct op_cast_params *)params)->columns;
    TRY(check_text_map("columns", columns, err));
    for (uint32_t i = 0; i < columns->count; i++) {
        const struct value *type = &columns->items[2 * i + 1];
        if (!value_is_text(type, "real") && !value_is_text(type, "integer") &&
            !value_is_text(type, "text"))
            return err_set(err, E_INVALID, "columns.%s: \"%s\" is not one of real, integer, text",
                           columns->items[2 * i].text, type->text);
    }
    return OK;
}

enum status check_op_fill_missing(const void *params, struct err *err)
{
    enum { CONSTANT = 3 };
    const struct op_fill_missing_params *p = params;
    if ((p->strategy == CONSTANT) != p->has_value)
        return err_set(err, E_INVALID, "value: %s",
                       p->has_value ? "goes with strategy constant alone"
                                    : "strategy constant needs one");
    if (p->has_value && (p->value->type == VALUE_MAP || p->value->type == VALUE_ARRAY))
        return err_set(err, E_INVALID, "value: expected a number or text, found %s",
                       value_type_name(p->value->type));
    return OK;
}

/* scikit-learn's way: a count where it is an integer, a part of all where it is a real. */
static enum status check_count_or_part(const char *name, const struct value *value, int64_t least,
                                       struct err *err)
{
    bool is_count = value->type == VALUE_INT && value->integer >= least;
    bool is_part = value->type == VALUE_REAL && value->real > 0 && value->real <= 1;
    if (is_count || is_part)
        return OK;
    if (value->type != VALUE_INT && value->type != VALUE_REAL)
        return err_set(err, E_INVALID, "%s: expected a number, found %s", name,
                       value_type_name(value->type));
    return err_set(err, E_INVALID,
                   "%s: expected an integer of at least %lld, or a real above 0 and at most 1",
                   name, (long long)least);
}

static enum status check_cart(const struct value *min_samples_split,
                              const struct value *max_features, struct err *err)
{
    if (min_samples_split)
        TRY(check_count_or_part("min_samples_split", min_samples_split, 2, err));
    if (!max_features || value_is_text(max_features, "sqrt") || value_is_text(max_features, "log2"))
        return OK;
    if (max_features->type == VALUE_STRING)
        return err_set(err, E_INVALID, "max_features: \"%s\" is not sqrt, log2 or a number",
                       max_features->text);
    return check_count_or_part("max_features", max_features, 1, err);
}

enum status check_decision_tree(const void *params, struct err *err)
{
    const struct decision_tree_params *p = params;
    return check_cart(p->has_min_samples_split ? p->min_samples_split : NULL,
                      p->has_max_features ? p->max_features : NULL, err);
}

enum status check_random_forest(const void *params, struct err *err)
{
    const struct random_forest_params *p = params;
    return check_cart(p->has_min_samples_split ? p->min_samples_split : NULL,
                      p->has_max_features ? p->max_features : NULL, err);
}

/* Numbers and booleans are written out as words: `[seq, "${matrix.n}"]`. */
static bool is_word(const struct value *value)
{
    return value->type == VALUE_STRING || value->type == VALUE_INT || value->type == VALUE_REAL ||
           value->type == VALUE_BOOL;
}

enum status check_exec(const void *params, struct err *err)
{
    const struct exec_params *p = params;
    if (p->command->type == VALUE_ARRAY && p->command->count) {
        for (uint32_t i = 0; i < p->command->count; i++)
            if (!is_word(&p->command->items[i]))
                return err_set(err, E_INVALID, "command: word %u: expected text, found %s", i + 1,
                               value_type_name(p->command->items[i].type));
    } else if (p->command->type != VALUE_STRING || !p->command->count) {
        bool is_empty = p->command->type == VALUE_ARRAY || p->command->type == VALUE_STRING;
        return err_set(err, E_INVALID, "command: expected a text or a list of words, found %s",
                       is_empty ? "an empty one" : value_type_name(p->command->type));
    }
    if (p->has_env)
        TRY(check_text_map("env", p->env, err));
    return p->has_outputs && p->outputs->count ? check_text_map("outputs", p->outputs, err) : OK;
}
