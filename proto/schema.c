// SPDX-License-Identifier: Apache-2.0
#include "proto/schema.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/limits.h"

enum { SHOWN_BYTES = 96 };

/* ---- suggestions ---- */

unsigned schema_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned rows[3][SUGGEST_BYTES_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_above[j - 2] + 1 < best)
                best = two_above[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[n % 3][m];
}

const char *schema_suggest(const char *word, const char *const *names)
{
    const char *best = NULL;
    if (strlen(word) > SUGGEST_BYTES_MAX)
        return NULL;
    unsigned near = (unsigned)strlen(word) / 3 + 1;
    for (; *names; names++) {
        unsigned d = strlen(*names) > SUGGEST_BYTES_MAX ? near + 1 : schema_distance(word, *names);
        if (d <= near && d < strlen(*names)) {
            near = d ? d - 1 : 0;
            best = *names;
            if (d == 0)
                break;
        }
    }
    return best;
}

/* ---- canonical form ---- */

struct canon {
    struct value_memory memory;
    const struct schema_report *report;
    bool has_problem;
};

static void PRINTF(3, 4) problem(struct canon *c, const struct value *at, const char *format, ...)
{
    char text[ERR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->has_problem = true;
    if (c->report)
        c->report->problem(c->report->context, at, text);
}

static void *allocate(struct canon *c, const struct value *at, size_t bytes)
{
    void *memory = c->memory.allocate(c->memory.context, bytes ? bytes : 1);
    if (!memory)
        problem(c, at, "too large: no memory for its values");
    return memory;
}

static bool canonical_params(struct canon *c, const struct schema *const *schemas,
                             const struct value *params, struct value *out);

/* A value as a complaint shows it. */
static const char *show(const struct value *value, char text[SHOWN_BYTES])
{
    switch ((enum value_type)value->type) {
    case VALUE_NIL: return "null";
    case VALUE_BOOL: return value->boolean ? "true" : "false";
    case VALUE_INT: snprintf(text, SHOWN_BYTES, "%lld", (long long)value->integer); break;
    case VALUE_REAL: snprintf(text, SHOWN_BYTES, "%.15g", value->real); break;
    case VALUE_STRING: snprintf(text, SHOWN_BYTES, "the text \"%.60s\"", value->text); break;
    case VALUE_BINARY:
    case VALUE_ARRAY:
    case VALUE_MAP: snprintf(text, SHOWN_BYTES, "a %s", value_type_name(value->type)); break;
    }
    return text;
}

static bool wrong_type(struct canon *c, const struct param *p, const struct value *value,
                       const char *expected)
{
    char text[SHOWN_BYTES];
    problem(c, value, "%s: expected %s, not %s", p->name, expected, show(value, text));
    return false;
}

static bool is_in_range(const struct param *p, double number)
{
    return isfinite(number) && (p->low_is_open ? number > p->low : number >= p->low) &&
           (p->high_is_open ? number < p->high : number <= p->high);
}

static bool in_range(struct canon *c, const struct param *p, const struct value *value,
                     double number)
{
    if (is_in_range(p, number))
        return true;
    if (!isfinite(number))
        problem(c, value, "%s: %g is not a finite number", p->name, number);
    else if (isinf(p->high))
        problem(c, value, "%s: %.15g is not %s %.15g", p->name, number,
                p->low_is_open ? "above" : "at least", p->low);
    else if (!p->low_is_open && !p->high_is_open)
        problem(c, value, "%s: %.15g is not in %.15g … %.15g", p->name, number, p->low, p->high);
    else
        problem(c, value, "%s: %.15g is not %s %.15g and %s %.15g", p->name, number,
                p->low_is_open ? "above" : "at least", p->low,
                p->high_is_open ? "below" : "at most", p->high);
    return false;
}

static bool no_choice(struct canon *c, const struct param *p, const struct value *value)
{
    char all[ERR_TEXT_BYTES / 2] = "";
    const char *near = schema_suggest(value->text, p->choices);
    for (const char *const *choice = p->choices; *choice; choice++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", *choice);
    }
    if (near)
        problem(c, value, "%s: unknown \"%.60s\"; did you mean \"%s\"?", p->name, value->text,
                near);
    else
        problem(c, value, "%s: \"%.60s\" is not one of %s", p->name, value->text, all);
    return false;
}

static bool canonical_enum(struct canon *c, const struct param *p, const struct value *value,
                           struct value *out)
{
    if (value->type != VALUE_STRING)
        return wrong_type(c, p, value, "a word");
    for (const char *const *choice = p->choices; *choice; choice++) {
        if (value_is_text(value, *choice)) {
            *out = *value;
            return true;
        }
    }
    return no_choice(c, p, value);
}

static bool canonical_strings(struct canon *c, const struct param *p, const struct value *value,
                              struct value *out)
{
    *out = *value;
    if (value->type == VALUE_STRING) {
        out->type = VALUE_ARRAY;
        out->count = 1;
        out->items = allocate(c, value, sizeof *out->items);
        if (out->items)
            out->items[0] = *value;
        return out->items != NULL;
    }
    if (value->type != VALUE_ARRAY || !value->count)
        return wrong_type(c, p, value, "a list of texts");
    for (uint32_t i = 0; i < value->count; i++)
        if (value->items[i].type != VALUE_STRING)
            return wrong_type(c, p, &value->items[i], "text in this list");
    return true;
}

/* Are all keys of the map parameters of the schema? */
static bool is_params_of(const struct schema *schema, const struct value *map)
{
    for (uint32_t i = 0; i < map->count; i++) {
        bool is_known = false;
        for (size_t k = 0; k < schema->param_count; k++)
            is_known |= value_is_text(&map->items[2 * i], schema->params[k].name);
        if (!is_known)
            return false;
    }
    return true;
}

static const struct schema *find_title(const struct param *p, const struct value *title)
{
    for (const struct schema *const *s = p->schemas; *s; s++)
        if (value_is_text(title, (*s)->title))
            return *s;
    return NULL;
}

static bool unknown_title(struct canon *c, const struct param *p, const struct value *title)
{
    const char *names[64] = {NULL};
    for (size_t i = 0; p->schemas[i] && i + 1 < sizeof names / sizeof *names; i++)
        names[i] = p->schemas[i]->title;
    const char *near = schema_suggest(title->text, names);
    problem(c, title, "%s: unknown \"%.60s\"%s%s%s", p->name, title->text,
            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return false;
}

static bool canonical_item(struct canon *c, const struct param *p, const struct value *item,
                           struct value *out)
{
    bool is_pair = item->type == VALUE_MAP && item->count == 1;
    if (!is_pair && item->type != VALUE_STRING)
        return wrong_type(c, p, item, "items of the form `name: parameters`");
    const struct value *title = is_pair ? &item->items[0] : item;
    const struct schema *schema = find_title(p, title);
    if (!schema)
        return unknown_title(c, p, title);
    struct value *pair = allocate(c, item, 4 * sizeof *pair);
    if (!pair)
        return false;
    struct value params = {.type = VALUE_MAP, .line = item->line, .column = item->column};
    if (is_pair && item->items[1].type == VALUE_MAP && is_params_of(schema, &item->items[1])) {
        params = item->items[1];
    } else if (is_pair && item->items[1].type != VALUE_NIL) { /* the first parameter's value */
        params.count = 1;
        params.items = pair + 2;
        pair[2] = value_string(schema->params[0].name);
        pair[3] = item->items[1];
    }
    *out = *item;
    out->type = VALUE_MAP;
    out->count = 1;
    out->items = pair;
    pair[0] = *title;
    return canonical_params(c, (const struct schema *const[]){schema, NULL}, &params, &pair[1]);
}

static bool canonical_list(struct canon *c, const struct param *p, const struct value *value,
                           struct value *out)
{
    if (value->type != VALUE_ARRAY)
        return wrong_type(c, p, value, "a list");
    *out = *value;
    out->items = allocate(c, value, value->count * sizeof *out->items);
    bool is_good = out->items != NULL;
    for (uint32_t i = 0; out->items && i < value->count; i++)
        is_good &= canonical_item(c, p, &value->items[i], &out->items[i]);
    return is_good;
}

static bool canonical_number(struct canon *c, const struct param *p, const struct value *value,
                             struct value *out)
{
    *out = *value;
    if (p->type == PARAM_INT && value->type != VALUE_INT)
        return wrong_type(c, p, value, "an integer");
    if (value->type == VALUE_INT && p->type == PARAM_REAL) {
        out->type = VALUE_REAL;
        out->real = (double)value->integer;
    } else if (p->type == PARAM_REAL && value->type != VALUE_REAL) {
        return wrong_type(c, p, value, "a number");
    }
    return in_range(c, p, value, value->type == VALUE_INT ? (double)value->integer : value->real);
}

static bool canonical_value(struct canon *c, const struct param *p, const struct value *value,
                            struct value *out)
{
    *out = *value;
    switch (p->type) {
    case PARAM_BOOL: return value->type == VALUE_BOOL || wrong_type(c, p, value, "true or false");
    case PARAM_INT:
    case PARAM_REAL: return canonical_number(c, p, value, out);
    case PARAM_STRING:
        return (value->type == VALUE_STRING && value->count) || wrong_type(c, p, value, "a text");
    case PARAM_ENUM: return canonical_enum(c, p, value, out);
    case PARAM_STRINGS: return canonical_strings(c, p, value, out);
    case PARAM_OBJECT:
        return value->type == VALUE_MAP ? canonical_params(c, p->schemas, value, out)
                                        : wrong_type(c, p, value, "a mapping");
    case PARAM_LIST: return canonical_list(c, p, value, out);
    case PARAM_ANY:
        if (value_encode(value, NULL, 0))
            return true;
        problem(c, value, "%s: holds a number that is not finite, or is nested too deeply",
                p->name);
        return false;
    }
    return false;
}

struct value schema_default(const struct param *param)
{
    if (param->has_default != PARAM_VALUE)
        return value_nil();
    switch (param->type) {
    case PARAM_BOOL: return value_bool(param->value.boolean);
    case PARAM_INT: return value_int(param->value.integer);
    case PARAM_REAL: return value_real(param->value.real);
    case PARAM_STRING:
    case PARAM_ENUM: return value_string(param->value.text);
    case PARAM_ANY: return *param->value.any;
    case PARAM_STRINGS:
    case PARAM_OBJECT:
    case PARAM_LIST: break; /* these have none */
    }
    return value_nil();
}

static bool is_default(const struct param *p, const struct value *value)
{
    struct value usual = schema_default(p);
    if (p->type == PARAM_LIST)
        return value->count == 0 && p->has_default == PARAM_NONE;
    return p->has_default == PARAM_VALUE && value_equal(value, &usual);
}

static const struct param *find_param(const struct schema *const *schemas, const struct value *key)
{
    for (; *schemas; schemas++)
        for (size_t i = 0; i < (*schemas)->param_count; i++)
            if (value_is_text(key, (*schemas)->params[i].name))
                return &(*schemas)->params[i];
    return NULL;
}

static void unknown_key(struct canon *c, const struct schema *const *schemas,
                        const struct value *key)
{
    const char *names[256] = {NULL};
    size_t count = 0;
    const struct schema *last = schemas[0];
    for (; *schemas; last = *schemas++)
        for (size_t i = 0; i < (*schemas)->param_count && count + 1 < sizeof names / sizeof *names;
             i++)
            names[count++] = (*schemas)->params[i].name;
    const char *near = schema_suggest(key->text, names);
    problem(c, key, "unknown parameter \"%.60s\" of %s%s%s%s", key->text,
            last ? last->title : "a kind without any", near ? "; did you mean \"" : "",
            near ? near : "", near ? "\"?" : "");
}

static void insert_sorted(struct value *map, const struct value *key, const struct value *value)
{
    uint32_t at = map->count++;
    for (; at && strcmp(map->items[2 * (at - 1)].text, key->text) > 0; at--) {
        map->items[2 * at] = map->items[2 * (at - 1)];
        map->items[2 * at + 1] = map->items[2 * (at - 1) + 1];
    }
    map->items[2 * at] = *key;
    map->items[2 * at + 1] = *value;
}

static void check_required(struct canon *c, const struct schema *schema, const struct value *params)
{
    for (size_t i = 0; i < schema->param_count; i++)
        if (schema->params[i].has_default == PARAM_REQUIRED &&
            !value_get(params, schema->params[i].name))
            problem(c, params, "%s needs `%s`: %s", schema->title, schema->params[i].name,
                    schema->params[i].help);
}

/* Decoding checks what single values can't say, too. */
static void run_check(struct canon *c, const struct schema *schema, const struct value *params,
                      const struct value *canonical)
{
    struct err err = {0};
    void *decoded = schema->check ? allocate(c, params, schema->struct_bytes) : NULL;
    if (decoded && schema_decode(schema, canonical, decoded, &err) != OK)
        problem(c, params, "%s", err.text);
}

static bool canonical_params(struct canon *c, const struct schema *const *schemas,
                             const struct value *params, struct value *out)
{
    bool had_problem = c->has_problem;
    c->has_problem = false;
    *out = (struct value){.type = VALUE_MAP, .line = params->line, .column = params->column};
    out->items = allocate(c, params, 2 * (size_t)params->count * sizeof *out->items);
    for (uint32_t i = 0; out->items && i < params->count; i++) {
        const struct value *key = &params->items[2 * i], *value = key + 1;
        const struct param *p = find_param(schemas, key);
        struct value canonical;
        if (!p)
            unknown_key(c, schemas, key);
        else if (value->type == VALUE_NIL && p->has_default != PARAM_REQUIRED)
            continue; /* null is how YAML says "left out" */
        else if (canonical_value(c, p, value, &canonical) && !is_default(p, &canonical))
            insert_sorted(out, key, &canonical);
    }
    for (const struct schema *const *s = schemas; *s; s++)
        check_required(c, *s, params);
    for (const struct schema *const *s = schemas; *s && !c->has_problem; s++)
        run_check(c, *s, params, out);
    bool is_good = !c->has_problem;
    c->has_problem |= had_problem;
    return is_good;
}

enum status schema_canonical(const struct schema *const *schemas, const struct value *params,
                             struct value_memory memory, const struct schema_report *report,
                             struct value *out)
{
    struct canon c = {memory, report, false};
    struct value nothing = {.type = VALUE_MAP};
    *out = nothing;
    if (params->type == VALUE_NIL) {
        nothing.line = params->line;
        nothing.column = params->column;
        params = &nothing;
    }
    if (params->type != VALUE_MAP) {
        problem(&c, params, "params: expected a mapping, not a %s", value_type_name(params->type));
        return E_INVALID;
    }
    return canonical_params(&c, schemas, params, out) ? OK : E_INVALID;
}

/* ---- decoding ---- */

static int choice_index(const struct param *p, const struct value *value)
{
    for (int i = 0; p->choices[i]; i++)
        if (value_is_text(value, p->choices[i]))
            return i;
    return -1;
}

/* Are all items of the list what canonical ones are: strings, or mappings of one pair? */
static bool are_items(const struct value *list, enum value_type type)
{
    if (list->type != VALUE_ARRAY)
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i].type != type || (type == VALUE_MAP && list->items[i].count != 1))
            return false;
    return true;
}

static bool decode_value(const struct param *p, const struct value *value, void *field)
{
    switch (p->type) {
    case PARAM_BOOL: *(bool *)field = value->boolean; return value->type == VALUE_BOOL;
    case PARAM_INT:
        *(int64_t *)field = value->integer;
        return value->type == VALUE_INT && is_in_range(p, (double)value->integer);
    case PARAM_REAL:
        *(double *)field = value->real;
        return value->type == VALUE_REAL && is_in_range(p, value->real);
    case PARAM_STRING: *(const char **)field = value->text; return value->type == VALUE_STRING;
    case PARAM_ENUM: *(int *)field = choice_index(p, value); return *(int *)field >= 0;
    case PARAM_STRINGS:
        *(const struct value **)field = value;
        return are_items(value, VALUE_STRING);
    case PARAM_LIST: *(const struct value **)field = value; return are_items(value, VALUE_MAP);
    case PARAM_OBJECT: *(const struct value **)field = value; return value->type == VALUE_MAP;
    case PARAM_ANY: *(const struct value **)field = value; return true;
    }
    return false;
}

static void decode_default(const struct param *p, void *field)
{
    struct value usual = schema_default(p);
    if (p->type == PARAM_ANY)
        *(const struct value **)field = p->value.any;
    else
        (void)decode_value(p, &usual, field);
}

enum status schema_decode(const struct schema *schema, const struct value *params, void *out,
                          struct err *err)
{
    memset(out, 0, schema->struct_bytes);
    for (size_t i = 0; i < schema->param_count; i++) {
        const struct param *p = &schema->params[i];
        uint8_t *base = out;
        char text[SHOWN_BYTES];
        const struct value *value = value_get(params, p->name);
        if (!value && p->has_default == PARAM_REQUIRED)
            return err_set(err, E_INVALID, "%s: parameter `%s` is missing", schema->title, p->name);
        *(bool *)(base + p->has_offset) = value || p->has_default == PARAM_VALUE;
        if (value && !decode_value(p, value, base + p->offset))
            return err_set(err, E_INVALID, "%s: parameter `%s` can't be %s", schema->title, p->name,
                           show(value, text));
        if (!value && p->has_default == PARAM_VALUE)
            decode_default(p, base + p->offset);
    }
    return schema->check ? schema->check(out, err) : OK;
}
