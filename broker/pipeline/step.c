/* One step's keys, and what `defaults:` adds to them:
 *
 *   defaults:
 *     retry: 3                  # retry, timeout, resources, priority: for every step
 *     train:                    # for every step of that kind: the same keys, and params
 *       timeout: 1h
 *       params: {seed: 1}
 *
 * What a step says wins over its kind's defaults, these over the general ones; retry, resources and
 * params are merged key by key, also below what `<<` brings in. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/pipeline/step.h"

static const char *const step_keys[] = {"kind",  "matrix",  "inputs",    "params",   "outputs",
                                        "retry", "timeout", "resources", "priority", NULL};

static const struct value empty_map = {.type = VALUE_MAP};

/* ---- params ---- */

static const struct value *get_map(struct pipeline *p, const struct value *node, const char *key)
{
    const struct value *map = node ? value_get(node, key) : NULL;
    if (!map || map->type == VALUE_NIL || map->type == VALUE_MAP)
        return map && map->type == VALUE_MAP ? map : NULL;
    diagnostics_error(p->d, map, "%s: expected a mapping, not a %s", key,
                      value_type_name((enum value_type)map->type));
    return NULL;
}

static void add_pair(struct value *map, const struct value *key, const struct value *value)
{
    map->items[2 * map->count] = *key;
    map->items[2 * map->count++ + 1] = *value;
}

static struct value make_key(const char *text, const struct value *at)
{
    struct value key = value_string(text);
    key.line = at->line;
    key.column = at->column;
    return key;
}

/* `<<: [what the step merges …, the defaults]`: the earlier wins. */
static struct value merge_list(struct pipeline *p, const struct value *own,
                               const struct value *defaults)
{
    uint32_t count = !own ? 0 : own->type == VALUE_ARRAY ? own->count : 1;
    struct value list = {.type = VALUE_ARRAY, .line = defaults->line, .column = defaults->column};
    list.items = arena_alloc(&p->arena, (count + 1) * sizeof *list.items);
    if (count)
        memcpy(list.items, own->type == VALUE_ARRAY ? own->items : own, count * sizeof *list.items);
    list.items[count] = *defaults;
    list.count = count + 1;
    return list;
}

/* The template: the step's params without `code`, with its `outputs` and the kind's defaults. */
static void make_template(struct pipeline *p, struct step *step, const struct value *defaults)
{
    const struct value *own = get_map(p, step->node, "params");
    const struct value *from = own ? own : &empty_map;
    struct value map = {.type = VALUE_MAP,
                        .line = own ? own->line : step->at->line,
                        .column = own ? own->column : step->at->column};
    map.items = arena_alloc(&p->arena, 2 * ((size_t)from->count + 2) * sizeof *map.items);
    const struct value *merged = NULL;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct value *key = &from->items[2 * i];
        if (value_is_text(key, "<<"))
            merged = key + 1;
        else if (step->is_exec && value_is_text(key, "outputs"))
            diagnostics_error(p->d, key, "outputs stands beside params, not in it");
        else if (!step->is_exec || !value_is_text(key, "code"))
            add_pair(&map, key, key + 1);
    }
    if (step->is_exec && step->outputs_node) {
        struct value key = make_key("outputs", step->outputs_node);
        add_pair(&map, &key, step->outputs_node);
    }
    if (merged || defaults) {
        struct value key = make_key("<<", &map);
        struct value list = defaults ? merge_list(p, merged, defaults) : *merged;
        add_pair(&map, &key, &list);
    }
    step->params = map;
}

/* ---- exec ---- */

static void add_code(struct pipeline *p, const struct value *file, uint32_t *codes, uint32_t *count)
{
    if (!check_path(p, file, "code"))
        return;
    if (strpbrk(file->text, "*?[")) {
        diagnostics_error(p->d, file, "code: \"%.200s\": name files or a folder, not a pattern",
                          file->text);
        return;
    }
    uint32_t source = source_add_code(p, file);
    for (uint32_t i = 0; i < *count; i++)
        if (codes[i] == source) {
            diagnostics_error(p->d, file, "code: \"%.200s\" is there twice", file->text);
            return;
        }
    codes[(*count)++] = source;
}

/* `code: [report.py]`: files that the command needs; they become sources, and inputs placed at
 * their own path. */
static void read_code(struct pipeline *p, struct step *step)
{
    const struct value *params = get_map(p, step->node, "params");
    const struct value *raw = params ? value_get(params, "code") : NULL;
    struct scope scope = {.pipeline = p, .arena = &p->arena};
    struct value *code = arena_alloc(&p->arena, sizeof *code);
    if (!raw || raw->type == VALUE_NIL || substitute(&scope, raw, code) != OK)
        return;
    bool is_list = code->type == VALUE_ARRAY;
    if (!is_list && code->type != VALUE_STRING) {
        diagnostics_error(p->d, raw, "code: expected a list of files");
        return;
    }
    const struct value *files = is_list ? code->items : code;
    uint32_t file_count = is_list ? code->count : 1, count = 0;
    if (file_count > INPUTS_MAX) {
        diagnostics_error(p->d, raw, "code: %u files; at most %d are possible, so name a folder",
                          file_count, INPUTS_MAX);
        return;
    }
    uint32_t *codes = arena_alloc(&p->arena, file_count * sizeof *codes);
    for (uint32_t i = 0; i < file_count; i++)
        add_code(p, &files[i], codes, &count);
    step->code = codes;
    step->code_count = count;
}

/* ---- outputs ---- */

static bool check_output_count(struct pipeline *p, const struct step *step,
                               const struct value *outputs)
{
    if (outputs->count <= OUTPUTS_MAX)
        return true;
    diagnostics_error(p->d, outputs, "step \"%s\": %u outputs; at most %d are possible", step->name,
                      outputs->count, OUTPUTS_MAX);
    return false;
}

/* sleep: `outputs: [done]`. What it makes is empty, so there is no path to name. */
static void read_output_names(struct pipeline *p, struct step *step, const struct value *outputs)
{
    if (outputs->type != VALUE_ARRAY) {
        diagnostics_error(p->d, outputs,
                          "outputs: kind %s takes a list of names, as in [done], not a %s",
                          step->kind, value_type_name((enum value_type)outputs->type));
        return;
    }
    if (!check_output_count(p, step, outputs))
        return;
    const char **names = arena_alloc(&p->arena, ((size_t)outputs->count + 1) * sizeof *names);
    for (uint32_t i = 0; i < outputs->count; i++) {
        const struct value *name = &outputs->items[i];
        if (name->type != VALUE_STRING)
            diagnostics_error(p->d, name, "outputs: expected a name, not a %s",
                              value_type_name((enum value_type)name->type));
        else if (!check_name(p, name, "an output", false))
            continue;
        else if (!params_insert_output(names, &step->output_count, name->text))
            diagnostics_error(p->d, name, "outputs: \"%s\" is there twice", name->text);
    }
    step->outputs = names;
}

static void read_outputs_key(struct pipeline *p, struct step *step)
{
    const struct value *outputs = value_get(step->node, "outputs");
    if (!outputs || outputs->type == VALUE_NIL)
        return;
    if (strcmp(step->kind, "sleep") == 0) {
        read_output_names(p, step, outputs);
        return;
    }
    if (!step->is_exec) {
        diagnostics_error(p->d, outputs,
                          "the outputs of kind %s are fixed; only exec and sleep name their own",
                          step->kind);
        return;
    }
    outputs = step->outputs_node = get_map(p, step->node, "outputs");
    if (!outputs)
        return;
    (void)check_output_count(p, step, outputs);
    for (uint32_t i = 0; i < outputs->count; i++) {
        const struct value *key = &outputs->items[2 * i];
        check_name(p, key, "an output", false);
        if (key[1].type != VALUE_STRING || !strstr(key[1].text, "${"))
            check_path(p, key + 1, "outputs");
    }
}

/* ---- one step ---- */

static bool read_kind(struct pipeline *p, struct step *step)
{
    const struct value *kind = value_get(step->node, "kind");
    const char *const *kinds = kind_names();
    if (!kind || kind->type != VALUE_STRING) {
        diagnostics_error(p->d, kind ? kind : step->at, "step \"%s\": expected kind: %s, …",
                          step->name, kinds[0]);
        return false;
    }
    step->kind_at = kind;
    step->kind = kind->text;
    for (const char *const *known = kinds; *known; known++)
        if (strcmp(*known, kind->text) == 0)
            return true;
    diagnostics_error(p->d, kind, "unknown kind \"%.64s\"%s", kind->text,
                      suggest(&p->arena, kind->text, kinds));
    return false;
}

static void read_policy(struct pipeline *p, struct step *step, const struct value *kind_defaults)
{
    step->policy = policy_default();
    if (p->defaults)
        policy_read(p, p->defaults, &step->policy);
    if (kind_defaults)
        policy_read(p, kind_defaults, &step->policy);
    policy_read(p, step->node, &step->policy);
}

/* `secrets: [DB_PASSWORD]`: only workers that have them get the step. The label's name is what
 * workers offer (PROTOCOL.md, HELLO). */
static void require_secrets(struct pipeline *p, struct step *step, const struct value *defaults)
{
    struct scope scope = {.pipeline = p, .arena = &p->arena};
    const struct value *params = get_map(p, step->node, "params");
    const struct value *raw = params ? value_get(params, "secrets") : NULL;
    struct value names;
    params = raw ? NULL : get_map(p, defaults, "params");
    if (!raw && params)
        raw = value_get(params, "secrets");
    if (!raw || raw->type == VALUE_NIL || substitute(&scope, raw, &names) != OK)
        return;
    uint32_t count = names.type == VALUE_ARRAY ? names.count : 1;
    const struct value *items = names.type == VALUE_ARRAY ? names.items : &names;
    for (uint32_t i = 0; i < count; i++)
        if (items[i].type == VALUE_STRING) /* what is not is complained of with the parameters */
            policy_add_label(p, &items[i], arena_format(&p->arena, "secret:%s", items[i].text),
                             "yes", &step->policy);
}

static bool check_step_name(struct pipeline *p, const struct value *key)
{
    static const char *const reserved[] = {"sources", "params",  "matrix",
                                           "inputs",  "outputs", NULL};
    for (const char *const *word = reserved; *word; word++)
        if (strcmp(*word, key->text) == 0) {
            diagnostics_error(p->d, key,
                              "a step can't be named \"%s\": the word has a meaning in "
                              "references",
                              key->text);
            return false;
        }
    return check_name(p, key, "a step", true);
}

static void read_step(struct pipeline *p, struct step *step)
{
    if (!check_step_name(p, step->at))
        step->is_broken = true;
    if (step->node->type != VALUE_MAP) {
        diagnostics_error(p->d, step->node->line ? step->node : step->at,
                          "step \"%s\": expected a mapping with kind, inputs, params, …",
                          step->name);
        step->node = &empty_map;
        step->is_broken = true;
        return;
    }
    check_keys(p, step->node, "of a step", step_keys);
    if (!read_kind(p, step)) {
        step->is_broken = true;
        return;
    }
    step->is_exec = strcmp(step->kind, "exec") == 0;
    const struct value *defaults = p->defaults ? value_get(p->defaults, step->kind) : NULL;
    defaults = defaults && defaults->type == VALUE_MAP ? defaults : NULL;
    read_policy(p, step, defaults);
    read_outputs_key(p, step);
    if (step->is_exec) {
        read_code(p, step);
        require_secrets(p, step, defaults);
    }
    make_template(p, step, get_map(p, defaults, "params"));
}

static void check_defaults(struct pipeline *p)
{
    static const char *const general[] = {"retry", "timeout", "resources", "priority"};
    enum { GENERAL = sizeof general / sizeof *general };
    static const char *const kind_keys[] = {"retry",    "timeout", "resources",
                                            "priority", "params",  NULL};
    const char *const *kinds = kind_names();
    size_t kind_count = 0;
    while (kinds[kind_count])
        kind_count++;
    const char **known = arena_alloc(&p->arena, (GENERAL + kind_count + 1) * sizeof *known);
    memcpy(known, general, sizeof general);
    memcpy(known + GENERAL, kinds, kind_count * sizeof *known);
    check_keys(p, p->defaults, "of defaults", known);
    for (size_t i = 0; i < kind_count; i++) {
        const struct value *kind = get_map(p, p->defaults, kinds[i]);
        if (kind)
            check_keys(p, kind, "of a kind's defaults", kind_keys);
    }
}

void step_read_all(struct pipeline *p, const struct value *steps)
{
    p->defaults = get_map(p, &p->root, "defaults");
    if (p->defaults)
        check_defaults(p);
    p->step_count = steps->count;
    p->steps = arena_alloc(&p->arena, steps->count * sizeof *p->steps);
    const char **names = arena_alloc(&p->arena, steps->count * sizeof *names);
    for (uint32_t i = 0; i < steps->count; i++) {
        const struct value *key = &steps->items[2 * i];
        p->steps[i] =
            (struct step){.name = key->text, .at = key, .node = key + 1, .matrix_of = STEP_NONE};
        names[i] = key->text;
    }
    name_index_init(&p->step_index, &p->arena, names, steps->count);
    for (uint32_t i = 0; i < p->step_count; i++)
        read_step(p, &p->steps[i]);
}
