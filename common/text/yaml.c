/* Recursive descent over libyaml's events. libyaml's parser is asked for one event at a time and
 * dropped at the first problem, so its own unbounded stacks never grow past our depth.
 *
 * An alias shares its anchor's subtree (trees are never changed once built), but is charged in full
 * against VALUE_COUNT_MAX: whoever walks the tree later walks at most that much. */
// SPDX-License-Identifier: Apache-2.0
#include "common/text/yaml.h"

#include <limits.h>
#include <string.h>
#include <yaml.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/text/merge.h"
#include "common/text/scalar.h"
#include "proto/limits.h"

/* What a finished node weighs once its aliases are expanded. */
struct weight {
    uint32_t count, height;
};

struct anchor {
    const char *name;
    uint64_t hash;
    struct value value;
    struct weight weight;
    bool is_open; /* still being read: an alias to it would never end */
};

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    const char *name;
    struct arena *arena;
    struct err *err;
    uint32_t value_count;
    struct buf stack; /* struct value: children of the collections that are open */
    struct anchor *anchors;
    uint32_t anchor_count;
};

static enum status read_node(struct reader *r, uint32_t depth, struct value *out,
                             struct weight *weight);

/* ---- problems ---- */

static enum status fail(const struct reader *r, enum status code, const struct value *at,
                        const char *format, ...) PRINTF(4, 5);
static enum status fail(const struct reader *r, enum status code, const struct value *at,
                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err_setv(r->err, code, format, args);
    va_end(args);
    if (r->err)
        err_prefix(r->err, "%s:%u:%u", r->name, at->line, at->column);
    return code;
}

static void set_place(struct value *value, yaml_mark_t mark)
{
    value->line = (uint32_t)mark.line + 1;
    value->column = (uint32_t)mark.column + 1;
}

static enum status fail_syntax(const struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    struct value at = {0};
    set_place(&at, p->problem_mark);
    const char *problem = p->problem ? p->problem : "not YAML";
    if (p->error == YAML_MEMORY_ERROR)
        return fail(r, E_NOMEM, &at, "no memory for the parser");
    if (p->context)
        return fail(r, E_INVALID, &at, "YAML: %s (%s that begins at line %zu)", problem, p->context,
                    p->context_mark.line + 1);
    return fail(r, E_INVALID, &at, "YAML: %s", problem);
}

static enum status next_event(struct reader *r)
{
    yaml_event_delete(&r->event);
    return yaml_parser_parse(&r->parser, &r->event) ? OK : fail_syntax(r);
}

/* ---- limits ---- */

static enum status charge(struct reader *r, const struct value *at, uint32_t count)
{
    if (count > VALUE_COUNT_MAX - r->value_count)
        return fail(r, E_LIMIT, at, "more than %d values once aliases are expanded",
                    VALUE_COUNT_MAX);
    r->value_count += count;
    return OK;
}

static enum status check_depth(const struct reader *r, const struct value *at, uint32_t depth)
{
    if (depth > VALUE_DEPTH_MAX)
        return fail(r, E_LIMIT, at, "nested deeper than %d levels", VALUE_DEPTH_MAX);
    return OK;
}

/* ---- scalars ---- */

static const char *core_tag(const yaml_char_t *tag)
{
    static const char prefix[] = YAML_DEFAULT_SCALAR_TAG; /* "tag:yaml.org,2002:str" */
    size_t bytes = sizeof prefix - 1 - strlen("str");
    return strncmp((const char *)tag, prefix, bytes) == 0 ? (const char *)tag + bytes : NULL;
}

static enum status fail_tag(const struct reader *r, const struct value *at, const yaml_char_t *tag)
{
    return fail(r, E_INVALID, at,
                "unknown tag %.64s; only !!str, !!int, !!float, !!bool, !!null, "
                "!!map and !!seq mean something here",
                (const char *)tag);
}

/* `!!float 1` and so on: the text must be what the tag says. */
static enum status apply_tag(const struct reader *r, const yaml_char_t *tag, struct value *out)
{
    static const struct {
        const char *word;
        enum value_type type;
    } rows[] = {
        {"int", VALUE_INT}, {"float", VALUE_REAL}, {"bool", VALUE_BOOL}, {"null", VALUE_NIL}};
    const char *word = core_tag(tag);
    for (size_t i = 0; word && i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(word, rows[i].word) != 0)
            continue;
        if (rows[i].type == VALUE_REAL && out->type == VALUE_INT) {
            out->type = VALUE_REAL;
            out->real = (double)out->integer;
        }
        if (out->type != rows[i].type)
            return fail(r, E_INVALID, out, "the tag !!%s does not fit this %s", word,
                        value_type_name(out->type));
        return OK;
    }
    return fail_tag(r, out, tag);
}

static enum status read_scalar(struct reader *r, struct value *out)
{
    const yaml_char_t *tag = r->event.data.scalar.tag;
    size_t bytes = r->event.data.scalar.length;
    const char *raw = (const char *)r->event.data.scalar.value;
    if (memchr(raw, 0, bytes))
        return fail(r, E_INVALID, out, "a string with a NUL byte");
    char *text = arena_text(r->arena, raw, bytes);
    bool is_plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool is_text =
        tag ? strcmp((const char *)tag, "!") == 0 || strcmp((const char *)tag, YAML_STR_TAG) == 0
            : !is_plain;
    if (is_text) {
        out->type = VALUE_STRING;
        out->count = (uint32_t)bytes;
        out->text = text;
        return OK;
    }
    struct err why;
    if (scalar_resolve(text, bytes, out, &why) != OK)
        return fail(r, E_INVALID, out, "%s", why.text);
    return tag ? apply_tag(r, tag, out) : OK;
}

/* ---- collections ---- */

static enum status check_collection_tag(const struct reader *r, const struct value *at,
                                        const yaml_char_t *tag, const char *expected)
{
    const char *word = tag ? core_tag(tag) : expected;
    if (word && strcmp(word, expected) == 0)
        return OK;
    return strcmp((const char *)tag, "!") == 0 ? OK : fail_tag(r, at, tag);
}

static enum status push(struct reader *r, const struct value *value)
{
    buf_put(&r->stack, value, sizeof *value);
    return OK;
}

static enum status read_child(struct reader *r, uint32_t depth, struct weight *weight)
{
    struct value child = {0};
    struct weight own = {0};
    TRY(read_node(r, depth + 1, &child, &own));
    weight->count += own.count;
    if (own.height + 1 > weight->height)
        weight->height = own.height + 1;
    return push(r, &child);
}

static enum status read_sequence(struct reader *r, uint32_t depth, struct value *out,
                                 struct weight *weight)
{
    TRY(check_collection_tag(r, out, r->event.data.sequence_start.tag, "seq"));
    size_t base = r->stack.count;
    TRY(next_event(r));
    while (r->event.type != YAML_SEQUENCE_END_EVENT) {
        TRY(read_child(r, depth, weight));
        TRY(next_event(r));
    }
    size_t bytes = r->stack.count - base;
    out->type = VALUE_ARRAY;
    out->count = (uint32_t)(bytes / sizeof(struct value));
    out->items = arena_alloc(r->arena, bytes);
    if (bytes)
        memcpy(out->items, r->stack.bytes + base, bytes);
    r->stack.count = base;
    return OK;
}

static enum status read_key(struct reader *r, struct weight *weight)
{
    struct value key = {0};
    set_place(&key, r->event.start_mark);
    if (r->event.type != YAML_SCALAR_EVENT)
        return fail(r, E_INVALID, &key, "a key must be a string, not %s",
                    r->event.type == YAML_ALIAS_EVENT ? "an alias" : "a list or mapping");
    if (r->event.data.scalar.anchor)
        return fail(r, E_INVALID, &key, "a key can't have an anchor");
    TRY(read_scalar(r, &key));
    if (key.type != VALUE_STRING)
        return fail(r, E_INVALID, &key,
                    "a key must be a string, and this reads as %s; quote it: \"%.64s\"",
                    value_type_name(key.type), (const char *)r->event.data.scalar.value);
    TRY(charge(r, &key, 1));
    weight->count++;
    return push(r, &key);
}

static enum status read_mapping(struct reader *r, uint32_t depth, struct value *out,
                                struct weight *weight)
{
    TRY(check_collection_tag(r, out, r->event.data.mapping_start.tag, "map"));
    out->type = VALUE_MAP;
    size_t base = r->stack.count;
    TRY(next_event(r));
    while (r->event.type != YAML_MAPPING_END_EVENT) {
        TRY(read_key(r, weight));
        TRY(next_event(r));
        TRY(read_child(r, depth, weight));
        TRY(next_event(r));
    }
    uint32_t pairs = (uint32_t)((r->stack.count - base) / (2 * sizeof(struct value)));
    const struct value *at = NULL;
    struct err why;
    const void *items = pairs ? r->stack.bytes + base : NULL;
    if (merge_pairs(items, pairs, r->arena, out, &at, &why) != OK)
        return fail(r, E_INVALID, at, "%s", why.text);
    r->stack.count = base;
    return OK;
}

/* ---- anchors ---- */

static uint64_t hash_text(const char *text)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    return hash;
}

static struct anchor *find_anchor(struct reader *r, const char *name)
{
    uint64_t hash = hash_text(name);
    for (uint32_t i = r->anchor_count; i-- > 0;)
        if (r->anchors[i].hash == hash && strcmp(r->anchors[i].name, name) == 0)
            return &r->anchors[i];
    return NULL;
}

/* Takes note of an anchor before its node is read; `*index` is UINT32_MAX without one. */
static enum status open_anchor(struct reader *r, const yaml_char_t *name, const struct value *at,
                               uint32_t *index)
{
    *index = UINT32_MAX;
    if (!name)
        return OK;
    const char *text = (const char *)name;
    struct anchor *anchor = find_anchor(r, text);
    if (!anchor) {
        if (r->anchor_count == ANCHORS_MAX)
            return fail(r, E_LIMIT, at, "more than %d anchors", ANCHORS_MAX);
        anchor = &r->anchors[r->anchor_count++];
        anchor->name = arena_text(r->arena, text, strlen(text));
        anchor->hash = hash_text(text);
    }
    anchor->is_open = true;
    *index = (uint32_t)(anchor - r->anchors);
    return OK;
}

static enum status read_alias(struct reader *r, uint32_t depth, struct value *out,
                              struct weight *weight)
{
    const char *name = (const char *)r->event.data.alias.anchor;
    const struct anchor *anchor = find_anchor(r, name);
    if (!anchor)
        return fail(r, E_INVALID, out, "the alias *%.64s has no anchor before it", name);
    if (anchor->is_open)
        return fail(r, E_INVALID, out, "the alias *%.64s is inside its own anchor", name);
    TRY(check_depth(r, out, depth + anchor->weight.height));
    TRY(charge(r, out, anchor->weight.count));
    *out = anchor->value;
    *weight = anchor->weight;
    return OK;
}

static const yaml_char_t *event_anchor(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT           ? event->data.scalar.anchor
           : event->type == YAML_SEQUENCE_START_EVENT ? event->data.sequence_start.anchor
           : event->type == YAML_MAPPING_START_EVENT  ? event->data.mapping_start.anchor
                                                      : NULL;
}

static enum status read_node(struct reader *r, uint32_t depth, struct value *out,
                             struct weight *weight)
{
    set_place(out, r->event.start_mark);
    TRY(check_depth(r, out, depth));
    if (r->event.type == YAML_ALIAS_EVENT)
        return read_alias(r, depth, out, weight);
    *weight = (struct weight){.count = 1};
    TRY(charge(r, out, 1));
    uint32_t anchor;
    TRY(open_anchor(r, event_anchor(&r->event), out, &anchor));
    if (r->event.type == YAML_SEQUENCE_START_EVENT)
        TRY(read_sequence(r, depth, out, weight));
    else if (r->event.type == YAML_MAPPING_START_EVENT)
        TRY(read_mapping(r, depth, out, weight));
    else
        TRY(read_scalar(r, out));
    if (anchor != UINT32_MAX) {
        r->anchors[anchor].value = *out;
        r->anchors[anchor].weight = *weight;
        r->anchors[anchor].is_open = false;
    }
    return OK;
}

/* ---- the whole ---- */

static enum status read_stream(struct reader *r, struct value *out)
{
    TRY(next_event(r)); /* stream start */
    TRY(next_event(r));
    if (r->event.type == YAML_STREAM_END_EVENT)
        return err_set(r->err, E_INVALID, "%s: the file is empty", r->name);
    TRY(next_event(r));
    struct value root = {0};
    struct weight weight = {0};
    TRY(read_node(r, 1, &root, &weight));
    TRY(next_event(r)); /* document end */
    TRY(next_event(r));
    if (r->event.type != YAML_STREAM_END_EVENT) {
        struct value at = {0};
        set_place(&at, r->event.start_mark);
        return fail(r, E_INVALID, &at, "a second document begins here; only one is read");
    }
    *out = root;
    return OK;
}

static enum status check_text(const char *name, const char *text, size_t bytes, struct err *err)
{
    if (bytes > PIPELINE_BYTES_MAX)
        return err_set(err, E_LIMIT, "%s: %zu bytes; at most %d are read", name, bytes,
                       PIPELINE_BYTES_MAX);
    size_t bad = scalar_check_text(text, bytes);
    if (bad < bytes)
        return err_set(err, E_INVALID,
                       "%s: not a text: byte 0x%02x at offset %zu; expected YAML in "
                       "UTF-8",
                       name, (unsigned)(uint8_t)text[bad], bad);
    return OK;
}

enum status yaml_parse(const char *name, const char *text, size_t bytes, struct arena *arena,
                       struct value *out, struct err *err)
{
    *out = value_nil();
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* a byte-order mark */
        bytes -= 3;
    }
    TRY(check_text(name, text, bytes, err));
    struct reader r = {.name = name, .arena = arena, .err = err, .stack = buf_init(0)};
    if (!yaml_parser_initialize(&r.parser))
        return err_set(err, E_NOMEM, "%s: no memory for the parser", name);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
    r.anchors = mem_alloc(ANCHORS_MAX * sizeof *r.anchors);
    enum status status = read_stream(&r, out);
    mem_free(r.anchors);
    buf_fini(&r.stack);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return status;
}
