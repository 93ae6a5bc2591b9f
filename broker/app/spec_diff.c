// SPDX-License-Identifier: Apache-2.0
#include "broker/app/spec_diff.h"

#include <string.h>

#include "common/base/doc.h"
#include "common/text/json.h"

static void put_change(struct arena *arena, struct value *out, const char *field,
                       struct value before, struct value now)
{
    struct value *change = doc_add(arena, out, doc_map());
    doc_put(arena, change, "field", value_string(field));
    doc_put(arena, change, "old", before);
    doc_put(arena, change, "new", now);
}

static struct value as_text(struct arena *arena, const struct value *value)
{
    if (!value)
        return value_string("default");
    AUTO(buf_fini) struct buf text = buf_init(0);
    json_write(value, 0, &text);
    return doc_text(arena, buf_text(&text), text.count);
}

static void diff_values(struct arena *arena, struct value *out, const char *field,
                        const struct value *before, const struct value *now)
{
    if (before && now && before->type == VALUE_MAP && now->type == VALUE_MAP) {
        for (uint32_t i = 0; i < now->count; i++) {
            const char *key = now->items[2 * i].text;
            diff_values(arena, out, arena_format(arena, "%s.%s", field, key),
                        value_get(before, key), &now->items[2 * i + 1]);
        }
        for (uint32_t i = 0; i < before->count; i++)
            if (!value_get(now, before->items[2 * i].text))
                diff_values(arena, out,
                            arena_format(arena, "%s.%s", field, before->items[2 * i].text),
                            &before->items[2 * i + 1], NULL);
        return;
    }
    if (!before || !now || !value_equal(before, now))
        put_change(arena, out, field, as_text(arena, before), as_text(arena, now));
}

static struct value params_of(const struct task_spec *spec, struct arena *arena)
{
    struct value params = doc_map();
    if (spec->params &&
        value_decode(spec->params, spec->params_bytes, arena_memory(arena), &params, NULL) != OK)
        return doc_map();
    return params;
}

/* "3f2a91bc…", or for a gather "8 artifacts". */
static struct value input_text(struct arena *arena, const struct task_input *input)
{
    struct task_ref ref;
    size_t cursor = 0;
    if (input->is_gather)
        return doc_format(arena, "%u artifacts", input->ref_count);
    if (!task_input_next_ref(input, &cursor, &ref))
        return value_string("nothing");
    char hex[ID_HEX_BYTES];
    if (!ref.is_task)
        return doc_format(arena, "%s %.8s", ref.artifact.is_tree ? "tree" : "blob",
                          id_hex(&ref.artifact.id, hex));
    return doc_format(arena, "%.*s of task %.8s", (int)ref.output_bytes, ref.output,
                      id_hex(&ref.task, hex));
}

static bool find_input(const struct task_spec *spec, const struct task_input *like,
                       struct task_input *out)
{
    for (size_t cursor = 0; task_spec_next_input(spec, &cursor, out);)
        if (out->name_bytes == like->name_bytes &&
            memcmp(out->name, like->name, like->name_bytes) == 0)
            return true;
    return false;
}

/* How many of the places hold something else; UINT32_MAX: they can't be compared place by place. */
static uint32_t differing_refs(const struct task_input *a, const struct task_input *b)
{
    struct task_ref x, y;
    uint32_t count = 0;
    if (a->is_gather != b->is_gather || a->ref_count != b->ref_count)
        return UINT32_MAX;
    for (size_t i = 0, j = 0; task_input_next_ref(a, &i, &x) && task_input_next_ref(b, &j, &y);)
        if (x.is_task != y.is_task ||
            (x.is_task ? !id_equal(&x.task, &y.task) || x.output_bytes != y.output_bytes ||
                             memcmp(x.output, y.output, x.output_bytes) != 0
                       : !id_equal(&x.artifact.id, &y.artifact.id)))
            count++;
    return count;
}

static void diff_input(struct arena *arena, struct value *out, const char *field,
                       const struct task_input *before, const struct task_input *now)
{
    uint32_t differing = differing_refs(before, now);
    if (now->is_gather && differing && differing != UINT32_MAX)
        put_change(arena, out, field, input_text(arena, before),
                   doc_format(arena, "%u artifacts, %u of them others", now->ref_count, differing));
    else if (differing)
        put_change(arena, out, field, input_text(arena, before), input_text(arena, now));
}

static void diff_inputs(const struct task_spec *before, const struct task_spec *now,
                        struct arena *arena, struct value *out)
{
    struct task_input input, other;
    for (size_t cursor = 0; task_spec_next_input(now, &cursor, &input);) {
        const char *field = arena_format(arena, "inputs.%.*s", (int)input.name_bytes, input.name);
        if (!find_input(before, &input, &other))
            put_change(arena, out, field, value_string("nothing"), input_text(arena, &input));
        else
            diff_input(arena, out, field, &other, &input);
    }
    for (size_t cursor = 0; task_spec_next_input(before, &cursor, &input);)
        if (!find_input(now, &input, &other))
            put_change(arena, out,
                       arena_format(arena, "inputs.%.*s", (int)input.name_bytes, input.name),
                       input_text(arena, &input), value_string("nothing"));
}

static void diff_text(struct arena *arena, struct value *out, const char *field, const char *before,
                      uint32_t before_bytes, const char *now, uint32_t now_bytes)
{
    if (before_bytes != now_bytes || memcmp(before, now, now_bytes) != 0)
        put_change(arena, out, field, doc_text(arena, before, before_bytes),
                   doc_text(arena, now, now_bytes));
}

void spec_diff(const struct task_spec *before, const struct task_spec *now, struct arena *arena,
               struct value *out)
{
    diff_text(arena, out, "kind", before->kind, before->kind_bytes, now->kind, now->kind_bytes);
    diff_text(arena, out, "version", before->version, before->version_bytes, now->version,
              now->version_bytes);
    struct value old_params = params_of(before, arena), new_params = params_of(now, arena);
    diff_values(arena, out, "params", &old_params, &new_params);
    diff_inputs(before, now, arena, out);
    if (before->output_count != now->output_count)
        put_change(arena, out, "outputs", doc_format(arena, "%u", before->output_count),
                   doc_format(arena, "%u", now->output_count));
}
