/* From a step's template to canonical parameters. A combination is one choice of a value per axis
 * that the template names; tasks that differ in other axes share it. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/pipeline/step.h"

enum {
    /* Combinations of one step that are validated before sources are read; graph_expand validates
       every one. */
    PARAMS_CHECKED_MAX = 10000,
    /* Canonical bytes that this may make in one file. */
    CHECKED_BYTES_MAX = 64 << 20,
};

static const char command_key[] = "command";

static struct scope step_scope(struct pipeline *p, const struct step *step, struct arena *arena)
{
    return (struct scope){.pipeline = p,
                          .arena = arena,
                          .step = step,
                          .command_key = step->is_exec ? command_key : NULL};
}

void params_scan(struct pipeline *p, struct step *step)
{
    if (step->is_broken)
        return;
    AUTO(arena_fini) struct arena scratch = {0};
    struct scope scope = step_scope(p, step, &scratch);
    step->params_axes = substitute_scan(&scope, &step->params);
    step->axes_used |= step->params_axes;
}

/* ---- one combination ---- */

struct report_context {
    struct pipeline *p;
    const struct step *step;
    const struct value *params;
    bool is_partial; /* some were left out: what is said of the whole may be wrong */
};

static void report(void *context, const struct value *at, const char *text)
{
    const struct report_context *c = context;
    if (c->is_partial && at == c->params)
        return;
    diagnostics_error(c->p->d, at && at->line ? at : c->step->at, "%s", text);
}

/* The schema set of these parameters: of the kind, or of the variant that one of them names. */
static const struct kind_info *find_kind(struct pipeline *p, const struct step *step,
                                         const struct value *params, bool is_partial)
{
    const char *key = kind_variant_param(step->kind);
    if (!key)
        return kind_info_find(step->kind, "");
    const char *const *variants = kind_variants(step->kind);
    const struct value *variant = value_get(params, key);
    if (!variant && is_partial)
        return NULL;
    if (!variant || variant->type != VALUE_STRING) {
        const struct value *at = variant && variant->line ? variant : params;
        diagnostics_error(p->d, at->line ? at : step->at,
                          "step \"%s\": kind %s needs params.%s: one of %s, %s, …", step->name,
                          step->kind, key, variants[0], variants[0] ? variants[1] : "");
        return NULL;
    }
    const struct kind_info *kind = kind_info_find(step->kind, variant->text);
    if (!kind)
        diagnostics_error(p->d, variant->line ? variant : step->at, "unknown %s \"%.64s\"%s", key,
                          variant->text, suggest(&p->arena, variant->text, variants));
    return kind;
}

/* Paths that only now have their text. */
static enum status check_output_paths(struct pipeline *p, const struct value *params)
{
    const struct value *outputs = value_get(params, "outputs");
    for (uint32_t i = 0; outputs && i < outputs->count; i++)
        if (!check_path(p, &outputs->items[2 * i + 1], "outputs"))
            return E_INVALID;
    return OK;
}

static enum status encode(struct pipeline *p, const struct step *step, const struct value *value,
                          struct arena *scratch, struct params *out)
{
    enum { USUAL_BYTES = 256 };
    if (!value->count) {
        out->count = 0;
        return OK;
    }
    uint8_t *bytes = arena_alloc(scratch, USUAL_BYTES);
    size_t need = value_encode(value, bytes, USUAL_BYTES);
    if (!need || need > SPEC_BYTES_MAX) {
        diagnostics_error(p->d, step->at,
                          "step \"%s\": its parameters have no canonical form of at "
                          "most %d bytes",
                          step->name, SPEC_BYTES_MAX);
        return E_INVALID;
    }
    if (need > USUAL_BYTES) {
        bytes = arena_alloc(scratch, need);
        (void)value_encode(value, bytes, need);
    }
    out->bytes = bytes;
    out->count = need;
    return OK;
}

static enum status check_outputs_agree(struct pipeline *p, const struct step *step,
                                       const struct value *params)
{
    const char *names[OUTPUTS_MAX];
    if (!step->outputs || !step->outputs_vary)
        return OK;
    uint32_t count = ports_outputs(step, params, names);
    bool is_same = count == step->output_count;
    for (uint32_t i = 0; is_same && i < count; i++)
        is_same = strcmp(names[i], step->outputs[i]) == 0;
    if (is_same)
        return OK;
    diagnostics_error(p->d, step->at,
                      "step \"%s\": its tasks have different outputs; the `split` "
                      "must have the same parts for every value of the matrix",
                      step->name);
    return E_INVALID;
}

/* As params_build, and the canonical map itself. */
static enum status build(struct pipeline *p, const struct step *step, const uint32_t *choice,
                         struct arena *scratch, struct value *canonical, struct params *out)
{
    struct scope scope = step_scope(p, step, scratch);
    scope.choice = choice;
    p->budget = SPEC_BYTES_MAX;
    struct value params;
    uint32_t dropped = 0;
    scope.dropped = &dropped;
    TRY(substitute(&scope, &step->params, &params));
    *out = (struct params){.kind = find_kind(p, step, &params, dropped)};
    if (!out->kind)
        return E_INVALID;
    struct report_context context = {p, step, &params, dropped};
    struct schema_report reports = {report, &context};
    TRY(schema_canonical(out->kind->schemas, &params, arena_memory(scratch), &reports, canonical));
    if (dropped)
        return E_INVALID;
    if (step->is_exec)
        TRY(check_output_paths(p, canonical));
    TRY(check_outputs_agree(p, step, canonical));
    return encode(p, step, canonical, scratch, out);
}

enum status params_build(struct pipeline *p, const struct step *step, const uint32_t *choice,
                         struct arena *scratch, struct params *out)
{
    struct value canonical;
    return build(p, step, choice, scratch, &canonical, out);
}

/* ---- all combinations ---- */

bool params_next(const struct step *step, uint32_t axes, uint32_t *choice)
{
    for (uint32_t i = step->axis_count; i-- > 0;) {
        if (!(axes >> i & 1))
            continue;
        if (++choice[i] < step->axes[i]->count)
            return true;
        choice[i] = 0;
    }
    return false;
}

void params_check(struct pipeline *p, struct step *step)
{
    if (step->is_broken || !step->kind_at)
        return;
    AUTO(arena_fini) struct arena scratch = {0};
    uint32_t choice[AXES_MAX] = {0};
    for (uint32_t i = 0; i < PARAMS_CHECKED_MAX; i++) {
        struct params params;
        if (diagnostics_is_full(p->d) || p->checked_bytes > CHECKED_BYTES_MAX)
            return;
        if (params_build(p, step, choice, &scratch, &params) == OK)
            p->checked_bytes += params.count;
        if (!params_next(step, step->params_axes, choice))
            return;
        arena_clear(&scratch);
    }
}

/* ---- outputs ---- */

bool params_insert_output(const char **names, uint32_t *count, const char *name)
{
    uint32_t at = *count;
    while (at && strcmp(names[at - 1], name) > 0)
        at--;
    if (at && strcmp(names[at - 1], name) == 0)
        return false;
    memmove(&names[at + 1], &names[at], (*count - at) * sizeof *names);
    names[at] = name;
    (*count)++;
    return true;
}

/* exec: what `outputs` names, and what `stdout` does. */
static void read_exec_outputs(struct pipeline *p, struct step *step, const struct value *params)
{
    uint32_t declared = step->outputs_node ? step->outputs_node->count : 0;
    if (declared > OUTPUTS_MAX) /* reported */
        declared = OUTPUTS_MAX;
    const char **names = arena_alloc(&p->arena, ((size_t)declared + 1) * sizeof *names);
    for (uint32_t i = 0; i < declared; i++)
        params_insert_output(names, &step->output_count, step->outputs_node->items[2 * i].text);
    const struct value *out = value_get(params, "stdout");
    if (out && out->type == VALUE_STRING && check_name(p, out, "an output", false)) {
        const char *name = arena_text(&p->arena, out->text, out->count);
        if (!params_insert_output(names, &step->output_count, name))
            diagnostics_error(p->d, out, "stdout: the output \"%s\" is already a file of `outputs`",
                              name);
    }
    step->outputs = names;
}

void params_read_outputs(struct pipeline *p, struct step *step)
{
    if (step->is_broken || !step->kind_at || step->outputs)
        return;
    AUTO(arena_fini) struct arena scratch = {0};
    uint32_t choice[AXES_MAX] = {0};
    struct params params;
    struct value canonical;
    /* If they are wrong the template itself says enough about outputs for the references to be
     * checked, too. */
    if (build(p, step, choice, &scratch, &canonical, &params) != OK)
        canonical = step->params;
    if (step->is_exec) {
        read_exec_outputs(p, step, &canonical);
        return;
    }
    const char **names = arena_alloc(&p->arena, OUTPUTS_MAX * sizeof *names);
    step->output_count = ports_outputs(step, &canonical, names);
    step->outputs = names;
    step->outputs_vary = ports_vary(step);
}
