// SPDX-License-Identifier: Apache-2.0
#include "common/base/doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"

struct value doc_map(void)
{
    return (struct value){.type = VALUE_MAP};
}

struct value doc_list(void)
{
    return (struct value){.type = VALUE_ARRAY};
}

/* Room for `added` more items behind `used`; capacities are powers of two, so a full one can be
 * told. */
static void grow(struct arena *arena, struct value *container, size_t used, size_t added)
{
    size_t capacity = 1;
    while (capacity < used)
        capacity *= 2;
    if (used && used + added <= capacity)
        return;
    while (capacity < used + added)
        capacity *= 2;
    struct value *items = arena_alloc(arena, capacity * sizeof *items);
    if (used)
        memcpy(items, container->items, used * sizeof *items);
    container->items = items;
}

struct value *doc_put(struct arena *arena, struct value *map, const char *key, struct value value)
{
    ASSERT(map->type == VALUE_MAP);
    grow(arena, map, 2 * (size_t)map->count, 2);
    struct value *slot = map->items + 2 * (size_t)map->count++;
    slot[0] = value_string(key);
    slot[1] = value;
    return &slot[1];
}

struct value *doc_add(struct arena *arena, struct value *list, struct value value)
{
    ASSERT(list->type == VALUE_ARRAY);
    grow(arena, list, list->count, 1);
    list->items[list->count] = value;
    return &list->items[list->count++];
}

struct value doc_text(struct arena *arena, const char *text, size_t bytes)
{
    return (struct value){
        .type = VALUE_STRING, .count = (uint32_t)bytes, .text = arena_text(arena, text, bytes)};
}

struct value doc_format(struct arena *arena, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ASSERT(bytes >= 0);
    return doc_text(arena, text, (size_t)bytes < sizeof text ? (size_t)bytes : sizeof text - 1);
}

struct value doc_id(struct arena *arena, const struct id *id)
{
    char hex[ID_HEX_BYTES];
    return doc_text(arena, id_hex(id, hex), ID_HEX_BYTES - 1);
}

struct value doc_copy(struct arena *arena, const struct value *value)
{
    struct value copy = *value;
    if (value->type == VALUE_STRING || value->type == VALUE_BINARY)
        copy.text = arena_text(arena, value->text, value->count);
    if (value->type != VALUE_ARRAY && value->type != VALUE_MAP)
        return copy;
    size_t count = (size_t)value->count * (value->type == VALUE_MAP ? 2 : 1);
    copy.count = 0;
    copy.items = NULL;
    if (count) {
        grow(arena, &copy, 0, count);
        for (size_t i = 0; i < count; i++)
            copy.items[i] = doc_copy(arena, &value->items[i]);
    }
    copy.count = value->count;
    return copy;
}
