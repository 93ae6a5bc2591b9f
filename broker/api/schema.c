// SPDX-License-Identifier: Apache-2.0
#include "broker/api/schema.h"

#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/text/yaml.h"

enum { PLACE_BYTES = 200 };

struct schemas {
    struct arena arena;
    struct value all;
};

struct schemas *schemas_new(void)
{
    struct schemas *schemas = mem_alloc(sizeof *schemas);
    struct err err = {0};
    AUTO(buf_fini) struct buf text = buf_init(0);
    for (const char *const *part = api_components; *part; part++)
        buf_put_text(&text, *part);
    enum status status =
        yaml_parse("components", buf_text(&text), text.count, &schemas->arena, &schemas->all, &err);
    if (status != OK)
        fprintf(stderr, "%s\n", err.text);
    ASSERT(status == OK);
    return schemas;
}

void schemas_free(struct schemas *schemas)
{
    arena_fini(&schemas->arena);
    mem_free(schemas);
}

const struct value *schemas_all(const struct schemas *schemas)
{
    return &schemas->all;
}

/* ---- checking ---- */

struct check {
    const struct schemas *schemas;
    char place[PLACE_BYTES];
    struct err *err;
};

static enum status refuse(struct check *c, const char *format, ...) PRINTF(2, 3);
static enum status refuse(struct check *c, const char *format, ...)
{
    va_list args;
    struct err err;
    va_start(args, format);
    err_setv(&err, E_INVALID, format, args);
    va_end(args);
    return err_set(c->err, E_INVALID, "body%s%s: %s", *c->place == '[' || !*c->place ? "" : ".",
                   c->place, err.text);
}

static bool is_type(const struct value *value, const char *type)
{
    static const struct {
        const char *name;
        enum value_type type;
    } types[] = {{"null", VALUE_NIL},      {"boolean", VALUE_BOOL}, {"integer", VALUE_INT},
                 {"number", VALUE_REAL},   {"number", VALUE_INT},   {"string", VALUE_STRING},
                 {"string", VALUE_BINARY}, {"array", VALUE_ARRAY},  {"object", VALUE_MAP}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == value->type && strcmp(types[i].name, type) == 0)
            return true;
    return false;
}

static enum status check_type(struct check *c, const struct value *type, const struct value *value)
{
    if (!type)
        return OK;
    if (type->type == VALUE_STRING)
        return is_type(value, type->text)
                   ? OK
                   : refuse(c, "expected %s, not %s", type->text, value_type_name(value->type));
    for (uint32_t i = 0; i < type->count; i++)
        if (is_type(value, type->items[i].text))
            return OK;
    return refuse(c, "%s is none of the types that can stand here", value_type_name(value->type));
}

static int64_t bound(const struct value *schema, const char *key, int64_t otherwise)
{
    const struct value *number = value_get(schema, key);
    return number ? number->integer : otherwise;
}

static int64_t code_points(const struct value *text)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < text->count; i++)
        count += ((unsigned char)text->text[i] & 0xc0) != 0x80;
    return count;
}

static enum status check_scalar(struct check *c, const struct value *schema,
                                const struct value *value)
{
    const struct value *words = value_get(schema, "enum");
    bool is_known = !words || value->type != VALUE_STRING;
    for (uint32_t i = 0; words && i < words->count; i++)
        is_known |= value_equal(&words->items[i], value);
    if (!is_known)
        return refuse(c, "\"%.64s\" is none of the words that can stand here", value->text);
    int64_t low = bound(schema, "minimum", INT64_MIN), high = bound(schema, "maximum", INT64_MAX);
    if (value->type == VALUE_INT && (value->integer < low || value->integer > high))
        return refuse(c, "%lld is not in %lld … %lld", (long long)value->integer, (long long)low,
                      (long long)high);
    if (value->type != VALUE_STRING)
        return OK;
    int64_t length = code_points(value), max = bound(schema, "maxLength", INT64_MAX);
    if (length < bound(schema, "minLength", 0))
        return refuse(c, "it is too short");
    return length <= max ? OK : refuse(c, "longer than %lld characters", (long long)max);
}

static enum status check(struct check *c, const struct value *schema, const struct value *value);

/* Checks a part; its name stands in the place meanwhile. */
static enum status check_part(struct check *c, const char *name, int64_t index,
                              const struct value *schema, const struct value *value)
{
    size_t before = strlen(c->place);
    if (name)
        snprintf(c->place + before, PLACE_BYTES - before, "%s%.64s", before ? "." : "", name);
    else
        snprintf(c->place + before, PLACE_BYTES - before, "[%lld]", (long long)index);
    TRY(check(c, schema, value));
    c->place[before] = 0;
    return OK;
}

static enum status check_map(struct check *c, const struct value *schema, const struct value *value)
{
    const struct value *properties = value_get(schema, "properties"),
                       *required = value_get(schema, "required"),
                       *others = value_get(schema, "additionalProperties");
    for (uint32_t i = 0; required && i < required->count; i++)
        if (!value_get(value, required->items[i].text))
            return refuse(c, "\"%s\" is missing", required->items[i].text);
    for (uint32_t i = 0; i < value->count; i++) {
        const char *key = value->items[2 * i].text;
        const struct value *part = properties ? value_get(properties, key) : NULL;
        if (!part && others && others->type == VALUE_BOOL && !others->boolean)
            return refuse(c, "unknown \"%.64s\"", key);
        if (!part && others && others->type == VALUE_MAP)
            part = others;
        if (part)
            TRY(check_part(c, key, 0, part, &value->items[2 * i + 1]));
    }
    return OK;
}

static enum status check_array(struct check *c, const struct value *schema,
                               const struct value *value)
{
    const struct value *items = value_get(schema, "items");
    int64_t max = bound(schema, "maxItems", INT64_MAX);
    if (value->count > max)
        return refuse(c, "more than %lld items", (long long)max);
    for (uint32_t i = 0; items && i < value->count; i++)
        TRY(check_part(c, NULL, i, items, &value->items[i]));
    return OK;
}

static enum status check(struct check *c, const struct value *schema, const struct value *value)
{
    static const char prefix[] = "#/components/schemas/";
    const char *reference = value_get_text(schema, "$ref");
    if (reference) {
        schema = value_get(&c->schemas->all, reference + sizeof prefix - 1);
        ASSERT(schema);
    }
    TRY(check_type(c, value_get(schema, "type"), value));
    if (value->type == VALUE_MAP)
        return check_map(c, schema, value);
    if (value->type == VALUE_ARRAY)
        return check_array(c, schema, value);
    return check_scalar(c, schema, value);
}

enum status schemas_check(const struct schemas *schemas, const char *name,
                          const struct value *value, struct err *err)
{
    const struct value *schema = value_get(&schemas->all, name);
    ASSERT(schema);
    struct check c = {.schemas = schemas, .err = err};
    return check(&c, schema, value);
}
