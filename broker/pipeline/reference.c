/* Inputs: whom `prepare.train` means, and how its axes meet the consumer's. An axis that both have
 * aligns (by name and value), one that the consumer alone has broadcasts, one that the producer
 * alone has is gathered. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/pipeline/step.h"

/* ---- reading ---- */

/* Names that are environment variables of a program, too, and mean something there. */
static bool is_shadowing(const char *name)
{
    static const char *const names[] = {
        "PATH",       "HOME",     "IFS",     "ENV",         "BASH_ENV",     "SHELL",
        "PWD",        "OLDPWD",   "CDPATH",  "TMPDIR",      "USER",         "LOGNAME",
        "SHELLOPTS",  "BASHOPTS", "PS4",     "LANG",        "TZ",           "TERM",
        "GCONV_PATH", "LOCPATH",  "NLSPATH", "HOSTALIASES", "NODE_OPTIONS", NULL};
    static const char *const prefixes[] = {"LD_",    "LC_",     "PYTHON",    "PERL",      "RUBY",
                                           "GLIBC_", "MALLOC_", "PENSTOCK_", "BASH_FUNC", NULL};
    for (const char *const *n = names; *n; n++)
        if (strcmp(*n, name) == 0)
            return true;
    for (const char *const *n = prefixes; *n; n++)
        if (strncmp(*n, name, strlen(*n)) == 0)
            return true;
    return false;
}

static bool read_mapping(struct pipeline *p, const struct step *step, const struct value *value,
                         struct input *input, const struct value **ref)
{
    static const char *const keys[] = {"from", "path", NULL};
    check_keys(p, value, "of an input", keys);
    *ref = value_get(value, "from");
    const struct value *path = value_get(value, "path");
    if (!*ref) {
        diagnostics_error(p->d, value, "input \"%s\": expected {from: STEP.OUTPUT, path: PATH}",
                          input->name);
        return false;
    }
    if (!path)
        return true;
    if (!check_path(p, path, "path"))
        return false;
    if (!step->is_exec)
        diagnostics_error(p->d, path, "input \"%s\": only exec places an input at a path",
                          input->name);
    input->path = path->text;
    return true;
}

static bool find_source(struct pipeline *p, const struct value *ref, struct input *input)
{
    const char *name = ref->text + strlen("sources.");
    input->source = name_index_get(&p->source_index, name);
    if (input->source != STEP_NONE) {
        p->sources[input->source].is_used = true;
        return true;
    }
    diagnostics_error(p->d, ref, "there is no source \"%.64s\"%s", name,
                      suggest(&p->arena, name, p->source_index.names));
    return false;
}

static const char *list_outputs(struct pipeline *p, const struct step *step)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    for (uint32_t i = 0; i < step->output_count; i++)
        buf_format(&text, "%s%s.%s", i ? ", " : "", step->name, step->outputs[i]);
    return arena_format(&p->arena, "%s", text.count ? buf_text(&text) : "none");
}

/* "STEP.OUTPUT" → step and output name; whether the output exists is seen once all outputs are
 * known. */
static bool find_step(struct pipeline *p, const struct value *ref, struct input *input)
{
    size_t bytes = strcspn(ref->text, ".");
    const char *name = arena_text(&p->arena, ref->text, bytes);
    input->step = name_index_get(&p->step_index, name);
    if (input->step == STEP_NONE) {
        diagnostics_error(p->d, ref, "there is no step \"%.64s\"%s", name,
                          suggest(&p->arena, name, p->step_index.names));
        return false;
    }
    if (!ref->text[bytes]) {
        diagnostics_error(p->d, ref, "\"%.64s\" names a step; expected STEP.OUTPUT (it has: %s)",
                          name, list_outputs(p, &p->steps[input->step]));
        return false;
    }
    input->output_name = ref->text + bytes + 1;
    return true;
}

static bool read_reference(struct pipeline *p, const struct step *step, const struct value *raw,
                           struct input *input)
{
    struct scope scope = {.pipeline = p, .arena = &p->arena};
    struct value *value = arena_alloc(&p->arena, sizeof *value);
    if (substitute(&scope, raw, value) != OK)
        return false;
    const struct value *ref = value;
    input->at = ref;
    if (value->type == VALUE_MAP && !read_mapping(p, step, value, input, &ref))
        return false;
    if (ref->type != VALUE_STRING) {
        diagnostics_error(p->d, ref, "input \"%s\": expected STEP.OUTPUT or sources.NAME, not a %s",
                          input->name, value_type_name((enum value_type)ref->type));
        return false;
    }
    input->at = ref;
    return strncmp(ref->text, "sources.", strlen("sources.")) == 0 ? find_source(p, ref, input)
                                                                   : find_step(p, ref, input);
}

/* At most INPUTS_MAX, so insertion is fast enough. */
static void insert_input(struct step *step, const struct input *input)
{
    uint32_t at = step->input_count++;
    for (; at && strcmp(step->inputs[at - 1].name, input->name) > 0; at--)
        step->inputs[at] = step->inputs[at - 1];
    step->inputs[at] = *input;
}

static bool check_input_name(struct pipeline *p, const struct step *step, const struct value *key)
{
    if (!check_name(p, key, "an input", false))
        return false;
    if (!step->is_exec || !is_shadowing(key->text))
        return true;
    diagnostics_error(p->d, key,
                      "an input named \"%s\" would hide that variable from the command; "
                      "choose another name",
                      key->text);
    return false;
}

void reference_read(struct pipeline *p, struct step *step)
{
    const struct value *map = value_get(step->node, "inputs");
    uint32_t count = map && map->type == VALUE_MAP ? map->count : 0;
    if (map && map->type != VALUE_MAP && map->type != VALUE_NIL) {
        diagnostics_error(p->d, map, "inputs: expected a mapping of names to STEP.OUTPUT");
    }
    if (count + step->code_count > INPUTS_MAX) {
        diagnostics_error(p->d, map ? map : step->at,
                          "step \"%s\": %u inputs; at most %d are possible", step->name,
                          count + step->code_count, INPUTS_MAX);
        step->is_broken = true;
        return;
    }
    step->inputs =
        arena_alloc(&p->arena, ((size_t)count + step->code_count) * sizeof *step->inputs);
    for (uint32_t i = 0; i < count; i++) {
        const struct value *key = &map->items[2 * i];
        struct input input = {.name = key->text,
                              .key = key,
                              .at = key,
                              .step = STEP_NONE,
                              .source = STEP_NONE,
                              .gather_count = 1};
        bool is_named = check_input_name(p, step, key);
        if (read_reference(p, step, key + 1, &input) && is_named)
            insert_input(step, &input);
    }
    for (uint32_t i = 0; i < step->code_count; i++) {
        const struct source_need *need = &p->needs[step->code[i]];
        if (map && map->type == VALUE_MAP && value_get(map, need->location))
            diagnostics_error(p->d, need->at, "the code file \"%s\" has the name of an input",
                              need->location);
        struct input input = {.name = need->location,
                              .path = need->location,
                              .key = need->at,
                              .at = need->at,
                              .source = step->code[i],
                              .step = STEP_NONE,
                              .is_code = true,
                              .gather_count = 1};
        insert_input(step, &input);
    }
}

/* ---- axes ---- */

static uint32_t find_axis(const struct step *step, const char *name)
{
    for (uint32_t i = 0; i < step->axis_count; i++)
        if (strcmp(step->axes[i]->name, name) == 0)
            return i;
    return STEP_NONE;
}

/* The producer's value for each of the consumer's. False if it lacks one. */
static bool map_values(struct pipeline *p, struct step *step, struct input *input, uint32_t axis,
                       uint32_t own)
{
    const struct step *producer = &p->steps[input->step];
    struct axis *mine = step->axes[own];
    struct axis *theirs = producer->axes[axis];
    if (axis_is_same(mine, theirs))
        return true;
    uint32_t *map = arena_alloc(&p->arena, mine->count * sizeof *map);
    for (uint32_t i = 0; i < mine->count; i++) {
        const struct value *value = axis_value(mine, i);
        map[i] = axis_find(theirs, value);
        if (map[i] != STEP_NONE)
            continue;
        AUTO(buf_fini) struct buf shown = buf_init(0);
        axis_show(value, &shown);
        const struct value *at = value->line ? value : mine->at;
        diagnostics_error(p->d, at,
                          "axis \"%s\": step \"%s\", an input of \"%s\", has no value "
                          "\"%.80s\" on it",
                          mine->name, producer->name, step->name, buf_text(&shown));
        return false;
    }
    input->value_map[axis] = map;
    return true;
}

static bool align(struct pipeline *p, struct step *step, struct input *input)
{
    const struct step *producer = &p->steps[input->step];
    uint64_t gathered = 1;
    for (uint32_t k = 0; k < producer->axis_count; k++) {
        input->align[k] = find_axis(step, producer->axes[k]->name);
        if (input->align[k] == STEP_NONE) {
            input->is_gather = true;
            gathered *= producer->axes[k]->count; /* ≤ TASKS_MAX */
            continue;
        }
        step->axes_used |= 1u << input->align[k];
        if (!map_values(p, step, input, k, input->align[k]))
            return false;
    }
    input->gather_count = (uint32_t)gathered;
    if (gathered <= GATHER_INLINE_MAX)
        return true;
    diagnostics_error(p->d, input->at,
                      "input \"%s\" gathers %u outputs of step \"%s\"; at most %d "
                      "are possible",
                      input->name, input->gather_count, producer->name, GATHER_INLINE_MAX);
    return false;
}

static bool find_output(struct pipeline *p, struct input *input)
{
    const struct step *producer = &p->steps[input->step];
    for (uint32_t i = 0; i < producer->output_count; i++)
        if (strcmp(producer->outputs[i], input->output_name) == 0) {
            input->output = i;
            return true;
        }
    const char **names = arena_alloc(&p->arena, (producer->output_count + 1) * sizeof *names);
    for (uint32_t i = 0; i < producer->output_count; i++)
        names[i] = producer->outputs[i];
    diagnostics_error(p->d, input->at, "step \"%s\" has no output \"%.64s\" (it has: %s)%s",
                      producer->name, input->output_name, list_outputs(p, producer),
                      suggest(&p->arena, input->output_name, names));
    return false;
}

/* Two gathers of one step must be over the same axes, so that their lists go together item by item.
 */
static bool is_same_gather(const struct pipeline *p, const struct input *a, const struct input *b)
{
    const struct step *x = &p->steps[a->step], *y = &p->steps[b->step];
    uint32_t i = 0, k = 0;
    for (;; i++, k++) {
        while (i < x->axis_count && a->align[i] != STEP_NONE)
            i++;
        while (k < y->axis_count && b->align[k] != STEP_NONE)
            k++;
        if (i == x->axis_count || k == y->axis_count)
            return i == x->axis_count && k == y->axis_count;
        if (strcmp(x->axes[i]->name, y->axes[k]->name) != 0 ||
            !axis_is_same(x->axes[i], y->axes[k]))
            return false;
    }
}

void reference_resolve(struct pipeline *p, struct step *step)
{
    const struct input *gather = NULL;
    for (uint32_t i = 0; i < step->input_count; i++) {
        struct input *input = &step->inputs[i];
        if (input->step == STEP_NONE)
            continue;
        /* What is broken was said there, and is not known well enough to say more. */
        if (p->steps[input->step].is_broken || !find_output(p, input) || step->is_broken ||
            !align(p, step, input))
            continue;
        p->edge_count += step->task_count * input->gather_count;
        if (!input->is_gather)
            continue;
        if (gather && !is_same_gather(p, gather, input)) {
            diagnostics_error(p->d, input->at,
                              "inputs \"%s\" and \"%s\" of step \"%s\" gather over "
                              "different axes; they must be the same",
                              gather->name, input->name, step->name);
        }
        gather = input;
    }
}
