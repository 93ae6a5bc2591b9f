// SPDX-License-Identifier: Apache-2.0
#include "worker/data/document.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/json.h"
#include "proto/limits.h"

static int compare_keys(const void *a, const void *b)
{
    const struct value *x = a, *y = b;
    uint32_t shorter = x->count < y->count ? x->count : y->count;
    int order = memcmp(x->text, y->text, shorter);
    return order ? order : (x->count > y->count) - (x->count < y->count);
}

void document_sort(struct value *value)
{
    if (value->type != VALUE_ARRAY && value->type != VALUE_MAP)
        return;
    size_t count = (size_t)value->count * (value->type == VALUE_MAP ? 2 : 1);
    for (size_t i = 0; i < count; i++)
        document_sort(&value->items[i]);
    if (value->type == VALUE_MAP && value->count > 1)
        qsort(value->items, value->count, 2 * sizeof *value->items, compare_keys);
}

void document_write(struct value *value, struct buf *out)
{
    document_sort(value);
    json_write(value, 2, out);
    buf_put_char(out, '\n');
}

struct value document_real(double real)
{
    return isfinite(real) ? value_real(real) : value_nil();
}

enum status document_get(const char *name, const struct value *map, const char *key,
                         enum value_type type, const struct value **out, struct err *err)
{
    *out = NULL;
    const struct value *value = map->type == VALUE_MAP ? value_get(map, key) : NULL;
    if (!value)
        return err_set(err, E_CORRUPT, "%s: `%s` is missing", name, key);
    if (value->type != type && !(type == VALUE_REAL && value->type == VALUE_INT))
        return err_set(err, E_CORRUPT, "%s: `%s` is a %s, expected a %s", name, key,
                       value_type_name(value->type), value_type_name(type));
    *out = value;
    return OK;
}

enum status document_get_text(const char *name, const struct value *map, const char *key,
                              const char **out, struct err *err)
{
    *out = NULL;
    const struct value *value = map->type == VALUE_MAP ? value_get(map, key) : NULL;
    if (!value || value->type == VALUE_NIL)
        return OK;
    TRY(document_get(name, map, key, VALUE_STRING, &value, err));
    if (strlen(value->text) != value->count)
        return err_set(err, E_CORRUPT, "%s: `%s` holds a NUL byte", name, key);
    *out = value->text;
    return OK;
}

enum status document_get_names(const char *name, const struct value *map, const char *key,
                               struct arena *arena, const char *const **out, size_t *count,
                               struct err *err)
{
    *out = NULL;
    *count = 0;
    const struct value *list;
    TRY(document_get(name, map, key, VALUE_ARRAY, &list, err));
    const char **names = arena_alloc(arena, (list->count + 1) * sizeof *names);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct value *item = &list->items[i];
        if (item->type != VALUE_STRING || strlen(item->text) != item->count)
            return err_set(err, E_CORRUPT, "%s: `%s` item %u is not a text", name, key, i);
        names[i] = item->text;
    }
    *out = names;
    *count = list->count;
    return OK;
}

enum status document_get_reals(const char *name, const struct value *map, const char *key,
                               struct arena *arena, size_t count, const double **out,
                               struct err *err)
{
    *out = NULL;
    const struct value *list;
    TRY(document_get(name, map, key, VALUE_ARRAY, &list, err));
    if (list->count != count)
        return err_set(err, E_CORRUPT, "%s: `%s` has %u numbers, expected %zu", name, key,
                       list->count, count);
    double *reals = arena_alloc(arena, (count + 1) * sizeof *reals);
    for (size_t i = 0; i < count; i++) {
        const struct value *item = &list->items[i];
        if (item->type == VALUE_INT)
            reals[i] = (double)item->integer;
        else if (item->type == VALUE_REAL && isfinite(item->real))
            reals[i] = item->real;
        else
            return err_set(err, E_CORRUPT, "%s: `%s` item %zu is not a number", name, key, i);
    }
    *out = reals;
    return OK;
}

enum status document_check_classes(const char *name, const struct value *classes, struct err *err)
{
    if (classes->type != VALUE_ARRAY)
        return err_set(err, E_CORRUPT, "%s: the classes are not a list", name);
    if (classes->count > CLASSES_MAX)
        return err_set(err, E_LIMIT, "%s: %u classes, at most %d are possible", name,
                       classes->count, CLASSES_MAX);
    for (uint32_t i = 0; i < classes->count; i++) {
        const struct value *item = &classes->items[i];
        bool is_text = item->type == VALUE_STRING;
        if (!is_text && item->type != VALUE_INT)
            return err_set(err, E_CORRUPT, "%s: class %u is neither text nor integer", name, i);
        if (!i)
            continue;
        const struct value *before = item - 1;
        bool is_sorted = before->type == item->type && (is_text ? compare_keys(before, item) < 0
                                                                : before->integer < item->integer);
        if (!is_sorted)
            return err_set(err, E_CORRUPT, "%s: the classes are not sorted", name);
    }
    return OK;
}
