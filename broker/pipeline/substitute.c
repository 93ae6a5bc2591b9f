/* ${params.a.b}, ${matrix.axis.field}: alone they keep the value's type, inside a text they
 * interpolate. `$${` is a literal `${`. What was put in is never looked at again, so a value can't
 * smuggle a reference in. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/pipeline/step.h"
#include "common/text/json.h"
#include "common/text/merge.h"

/* One `${…}` of a text. */
struct reference {
    size_t begin, end; /* of the whole, `end` behind the brace */
    char *parts[8];    /* split at dots */
    uint32_t part_count;
};

static bool complain(const struct scope *s, const struct value *at, const char *format, ...)
    PRINTF(3, 4);
static bool complain(const struct scope *s, const struct value *at, const char *format, ...)
{
    if (s->is_quiet)
        return false;
    struct err err;
    va_list args;
    va_start(args, format);
    err_setv(&err, E_INVALID, format, args);
    va_end(args);
    diagnostics_error(s->pipeline->d, at, "%s", err.text);
    return false;
}

static bool is_dynamic(const struct value *value)
{
    if (value->type == VALUE_STRING)
        return strstr(value->text, "${");
    if (value->type != VALUE_ARRAY && value->type != VALUE_MAP)
        return false;
    uint32_t count = value->type == VALUE_MAP ? 2 * value->count : value->count;
    for (uint32_t i = 0; i < count; i++)
        if (is_dynamic(&value->items[i]) || value_is_text(&value->items[i], "<<"))
            return true;
    return false;
}

/* ---- reading a reference ---- */

static bool split(const struct scope *s, const struct value *at, char *inner, struct reference *ref)
{
    size_t bytes = strlen(inner);
    while (bytes && inner[bytes - 1] == ' ')
        inner[--bytes] = 0;
    inner += strspn(inner, " ");
    ref->part_count = 0;
    for (char *part = inner; part;) {
        char *dot = strchr(part, '.');
        if (dot)
            *dot++ = 0;
        if (ref->part_count == sizeof ref->parts / sizeof *ref->parts)
            return complain(s, at, "${%.40s.…}: more than %zu parts", inner,
                            sizeof ref->parts / sizeof *ref->parts);
        ref->parts[ref->part_count++] = part;
        part = dot;
    }
    return true;
}

/* The first reference at or behind `from`. Sets *found; false if it can't be read. */
static bool find(const struct scope *s, const struct value *at, size_t from, struct reference *ref,
                 bool *found)
{
    *found = false;
    const char *text = at->text;
    for (const char *dollar; (dollar = strstr(text + from, "${")); from = ref->begin + 2) {
        ref->begin = (size_t)(dollar - text);
        if (ref->begin && dollar[-1] == '$')
            continue; /* escaped */
        const char *brace = strchr(dollar, '}');
        if (!brace)
            return complain(s, at, "\"%.40s\": the ${ has no }; write $${ for a literal ${",
                            dollar);
        ref->end = (size_t)(brace - text) + 1;
        *found = true;
        return split(s, at, arena_text(s->arena, dollar + 2, (size_t)(brace - dollar) - 2), ref);
    }
    return true;
}

/* ---- what a reference means ---- */

static const char *const *keys_of(const struct scope *s, const struct value *map)
{
    const char **names = arena_alloc(s->arena, ((size_t)map->count + 1) * sizeof *names);
    for (uint32_t i = 0; i < map->count; i++)
        names[i] = map->items[2 * i].text;
    return names;
}

/* Walks into `value` along the parts from `part` on. */
static const struct value *walk(const struct scope *s, const struct value *at,
                                const struct reference *ref, uint32_t part,
                                const struct value *value)
{
    for (; part < ref->part_count; part++) {
        if (value->type != VALUE_MAP) {
            complain(s, at, "${%s.%s…}: this is a %s and has no \"%s\"", ref->parts[0],
                     ref->parts[1], value_type_name((enum value_type)value->type),
                     ref->parts[part]);
            return NULL;
        }
        const struct value *next = value_get(value, ref->parts[part]);
        if (!next) {
            complain(s, at, "${%s.%s…} has no \"%s\"%s", ref->parts[0], ref->parts[1],
                     ref->parts[part], suggest(s->arena, ref->parts[part], keys_of(s, value)));
            return NULL;
        }
        value = next;
    }
    return value;
}

static const struct value *find_param(const struct scope *s, const struct value *at,
                                      const struct reference *ref)
{
    const struct value *params = &s->pipeline->params;
    for (uint32_t i = 0; i < params->count; i++)
        if (strcmp(params->items[2 * i].text, ref->parts[1]) == 0) {
            if (s->pipeline->params_used)
                s->pipeline->params_used[i] = true;
            return walk(s, at, ref, 2, &params->items[2 * i + 1]);
        }
    complain(s, at, "unknown parameter \"%s\" in ${params.%s}%s", ref->parts[1], ref->parts[1],
             suggest(s->arena, ref->parts[1], keys_of(s, params)));
    return NULL;
}

static uint32_t find_axis(const struct scope *s, const struct value *at,
                          const struct reference *ref)
{
    const struct step *step = s->step;
    if (!step) {
        complain(s, at, "${matrix.%s}: a step's params may depend on its matrix, this may not",
                 ref->parts[1]);
        return STEP_NONE;
    }
    const char *names[AXES_MAX + 1] = {0};
    for (uint32_t i = 0; i < step->axis_count; i++) {
        if (strcmp(step->axes[i]->name, ref->parts[1]) == 0)
            return i;
        names[i] = step->axes[i]->name;
    }
    complain(s, at, "step \"%s\" has no axis \"%s\"; declare it under `matrix`%s", step->name,
             ref->parts[1], suggest(s->arena, ref->parts[1], names));
    return STEP_NONE;
}

/* ${inputs.NAME}, ${outputs.NAME}: for the worker; only the name is checked. */
static bool check_runtime(const struct scope *s, const struct value *at,
                          const struct reference *ref)
{
    bool is_input = strcmp(ref->parts[0], "inputs") == 0;
    if (!s->keeps_runtime)
        return complain(s, at, "${%s.%s} can only stand in exec's `command`", ref->parts[0],
                        ref->parts[1]);
    if (ref->part_count != 2)
        return complain(s, at, "${%s.%s.…}: expected a name alone", ref->parts[0], ref->parts[1]);
    const struct step *step = s->step;
    const struct value *map = is_input ? value_get(step->node, "inputs") : step->outputs_node;
    static const struct value none = {.type = VALUE_MAP};
    if (!map || map->type != VALUE_MAP)
        map = &none;
    if (value_get(map, ref->parts[1]))
        return true;
    return complain(s, at, "step \"%s\" has no %s \"%s\"%s", step->name,
                    is_input ? "input" : "output", ref->parts[1],
                    suggest(s->arena, ref->parts[1], keys_of(s, map)));
}

/* The value of a reference; NULL with *is_kept for what the worker replaces, NULL alone when
 * reported. */
static const struct value *resolve(const struct scope *s, const struct value *at,
                                   const struct reference *ref, bool *is_kept, uint32_t *axes)
{
    *is_kept = false;
    const char *const root = ref->parts[0];
    if (s->is_plain) {
        complain(s, at, "${%s…}: a parameter is a plain value and can't refer to another", root);
        return NULL;
    }
    bool is_runtime = strcmp(root, "inputs") == 0 || strcmp(root, "outputs") == 0;
    bool is_known = is_runtime || strcmp(root, "params") == 0 || strcmp(root, "matrix") == 0;
    if (!is_known || ref->part_count < 2) {
        complain(
            s, at,
            "unknown reference ${%s}; expected params.NAME, matrix.AXIS or (in exec's command) "
            "inputs.NAME; write $${ for a literal ${",
            root);
        return NULL;
    }
    if (is_runtime) {
        *is_kept = check_runtime(s, at, ref);
        return NULL;
    }
    if (root[0] == 'p')
        return find_param(s, at, ref);
    uint32_t axis = find_axis(s, at, ref);
    if (axis == STEP_NONE)
        return NULL;
    *axes |= 1u << axis;
    struct axis *found = s->step->axes[axis];
    if (!s->choice)
        return axis_value(found, 0);
    return walk(s, at, ref, 2, axis_value(found, s->choice[axis]));
}

/* ---- putting values in ---- */

/* Few references to a large value would make a huge document: what is put in is paid for. */
static bool spend(const struct scope *s, const struct value *at, const struct value *value)
{
    size_t cost = sizeof *value + (value->type == VALUE_STRING ? value->count : 0);
    if (cost > s->pipeline->budget)
        return complain(s, at, "the document grows too large when its references are replaced");
    s->pipeline->budget -= cost;
    if (value->type != VALUE_ARRAY && value->type != VALUE_MAP)
        return true;
    uint32_t count = value->type == VALUE_MAP ? 2 * value->count : value->count;
    for (uint32_t i = 0; i < count; i++)
        if (!spend(s, at, &value->items[i]))
            return false;
    return true;
}

static bool is_plain_word(const char *text, size_t bytes)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./:=@%+,-";
    return bytes && strspn(text, plain) == bytes;
}

/* For a POSIX shell: 'it'\''s'. */
static void put_quoted(struct buf *out, const char *text, size_t bytes)
{
    if (is_plain_word(text, bytes)) {
        buf_put(out, text, bytes);
        return;
    }
    buf_put_char(out, '\'');
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == '\'')
            buf_put_text(out, "'\\''");
        else
            buf_put_char(out, text[i]);
    buf_put_char(out, '\'');
}

static bool put_value(const struct scope *s, const struct value *at, const struct value *value,
                      struct buf *out)
{
    if (!spend(s, at, value))
        return false;
    if (value->type == VALUE_ARRAY || value->type == VALUE_MAP)
        return complain(s, at, "\"%.80s\": a %s can't be put inside a text", at->text,
                        value_type_name((enum value_type)value->type));
    AUTO(buf_fini) struct buf shown = buf_init(0);
    if (value->type == VALUE_STRING)
        buf_put(&shown, value->text, value->count);
    else
        json_write(value, 0, &shown);
    const char *text = buf_text(&shown);
    if (s->quotes)
        put_quoted(out, text, shown.count);
    else
        buf_put(out, text, shown.count);
    return true;
}

/* The text between references, with $${ unescaped. */
static void put_literal(struct buf *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (bytes - i >= 3 && memcmp(text + i, "$${", 3) == 0)
            continue; /* its second dollar follows */
        else
            buf_put_char(out, text[i]);
}

static enum status interpolate(const struct scope *s, const struct value *in, struct value *out)
{
    AUTO(buf_fini) struct buf text = buf_init(PIPELINE_BYTES_MAX);
    bool is_fine = true, found = true;
    size_t at = 0;
    while (found) {
        struct reference ref;
        if (!find(s, in, at, &ref, &found))
            return E_INVALID;
        size_t end = found ? ref.begin : in->count;
        put_literal(&text, in->text + at, end - at);
        if (!found)
            break;
        bool is_kept;
        uint32_t axes = 0;
        const struct value *value = resolve(s, in, &ref, &is_kept, &axes);
        if (is_kept)
            buf_put(&text, in->text + ref.begin, ref.end - ref.begin);
        else if (!value || !put_value(s, in, value, &text))
            is_fine = false;
        at = ref.end;
    }
    if (text.is_over)
        is_fine = complain(s, in, "the text grows past %d bytes", PIPELINE_BYTES_MAX);
    *out = *in;
    out->count = (uint32_t)text.count;
    out->text = arena_text(s->arena, (const char *)text.bytes, text.count);
    return is_fine ? OK : E_INVALID;
}

static enum status substitute_text(const struct scope *s, const struct value *in, struct value *out)
{
    struct reference ref;
    bool found;
    *out = *in;
    if (!strstr(in->text, "${"))
        return OK;
    if (!find(s, in, 0, &ref, &found))
        return E_INVALID;
    if (!found || ref.begin || ref.end != in->count)
        return interpolate(s, in, out);
    bool is_kept;
    uint32_t axes = 0;
    const struct value *value = resolve(s, in, &ref, &is_kept, &axes);
    if (!value)
        return is_kept ? OK : E_INVALID;
    if (!spend(s, in, value))
        return E_INVALID;
    *out = *value;
    if (!out->line) { /* from the command line, or a range: the reference is the place to look at */
        out->line = in->line;
        out->column = in->column;
    }
    return OK;
}

/* ---- trees ---- */

/* `<<: "${matrix.case}"` merges the value without its `name`, which only says what is shown. */
static void drop_name(const struct scope *s, const struct value *raw, struct value *merged)
{
    static const char prefix[] = "${matrix.";
    if (raw->type != VALUE_STRING || merged->type != VALUE_MAP ||
        strncmp(raw->text, prefix, sizeof prefix - 1) != 0 ||
        strchr(raw->text + sizeof prefix - 1, '.'))
        return;
    struct value *items = arena_alloc(s->arena, 2 * (size_t)merged->count * sizeof *items);
    uint32_t count = 0;
    for (uint32_t i = 0; i < merged->count; i++)
        if (!value_is_text(&merged->items[2 * i], "name")) {
            items[2 * count] = merged->items[2 * i];
            items[2 * count++ + 1] = merged->items[2 * i + 1];
        }
    merged->items = items;
    merged->count = count;
}

static enum status substitute_merge(const struct scope *s, const struct value *raw,
                                    struct value *out)
{
    TRY(substitute(s, raw, out));
    drop_name(s, raw, out);
    for (uint32_t i = 0; raw->type == VALUE_ARRAY && i < raw->count; i++)
        drop_name(s, &raw->items[i], &out->items[i]);
    uint32_t count = out->type == VALUE_ARRAY ? out->count : 1;
    const struct value *maps = out->type == VALUE_ARRAY ? out->items : out;
    for (uint32_t i = 0; i < count; i++)
        if (maps[i].type != VALUE_MAP) {
            complain(s, raw, "<< merges a mapping or a list of them, not a %s",
                     value_type_name((enum value_type)maps[i].type));
            return E_INVALID;
        }
    return OK;
}

/* What holds for the value under `key`: a string command is for the shell, a list of words is not.
 */
static struct scope scope_below(const struct scope *s, const struct value *key)
{
    struct scope below = *s;
    bool is_command = s->command_key && value_is_text(key, s->command_key);
    below.dropped = NULL;
    below.keeps_runtime |= is_command;
    below.quotes |= is_command && key[1].type == VALUE_STRING;
    if (!value_is_text(key, "<<"))
        below.command_key = NULL;
    return below;
}

static enum status substitute_map(const struct scope *s, const struct value *in, struct value *out)
{
    struct value *items = arena_alloc(s->arena, 2 * (size_t)in->count * sizeof *items);
    bool merges = false;
    uint32_t count = 0;
    for (uint32_t i = 0; i < in->count; i++) {
        const struct value *key = &in->items[2 * i];
        bool is_merge = value_is_text(key, "<<");
        struct scope below = scope_below(s, key);
        struct value *value = &items[2 * count + 1];
        if ((is_merge ? substitute_merge(&below, key + 1, value)
                      : substitute(&below, key + 1, value)) != OK)
            continue;
        items[2 * count++] = *key;
        merges |= is_merge;
    }
    *out = *in;
    out->items = items;
    out->count = count;
    if (count < in->count && !s->dropped)
        return E_INVALID;
    if (s->dropped)
        *s->dropped = in->count - count;
    if (!merges)
        return OK;
    struct err err;
    const struct value *at = in;
    if (merge_pairs(items, count, s->arena, out, &at, &err) == OK)
        return OK;
    complain(s, at, "%s", err.text);
    return E_INVALID;
}

enum status substitute(const struct scope *s, const struct value *in, struct value *out)
{
    *out = *in;
    if (in->type == VALUE_STRING)
        return substitute_text(s, in, out);
    if (!is_dynamic(in))
        return OK;
    if (in->type == VALUE_MAP)
        return substitute_map(s, in, out);
    struct value *items = arena_alloc(s->arena, in->count * sizeof *items);
    bool is_fine = true;
    for (uint32_t i = 0; i < in->count; i++)
        is_fine &= substitute(s, &in->items[i], &items[i]) == OK;
    out->items = items;
    return is_fine ? OK : E_INVALID;
}

uint32_t substitute_scan(const struct scope *s, const struct value *value)
{
    uint32_t axes = 0;
    for (uint32_t i = 0; value->type == VALUE_ARRAY && i < value->count; i++)
        axes |= substitute_scan(s, &value->items[i]);
    for (uint32_t i = 0; value->type == VALUE_MAP && i < value->count; i++) {
        struct scope below = scope_below(s, &value->items[2 * i]);
        axes |= substitute_scan(&below, &value->items[2 * i + 1]);
    }
    struct reference ref;
    bool found = value->type == VALUE_STRING;
    for (size_t at = 0; found && find(s, value, at, &ref, &found) && found; at = ref.end) {
        bool is_kept;
        (void)resolve(s, value, &ref, &is_kept, &axes);
    }
    return axes;
}
