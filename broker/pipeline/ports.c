/* Inputs and outputs that a kind fixes (proto/kind_ports.def). exec and sleep name their own. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/pipeline/step.h"

static bool is_port(const struct kind_port *port, const struct step *step,
                    enum port_direction direction)
{
    return port->direction == direction && strcmp(port->kind, step->kind) == 0;
}

/* Only these take a list; anywhere else a gather is a forgotten `matrix:`. */
static bool takes_list(const char *input)
{
    return strcmp(input, "reports") == 0 || strcmp(input, "models") == 0;
}

static const struct input *find_input(const struct step *step, const char *name)
{
    for (uint32_t i = 0; i < step->input_count; i++)
        if (strcmp(step->inputs[i].name, name) == 0)
            return &step->inputs[i];
    return NULL;
}

static const char *const *input_names(struct pipeline *p, const struct step *step)
{
    const char **names = arena_alloc(&p->arena, (kind_port_count + 1) * sizeof *names);
    uint32_t count = 0;
    for (size_t i = 0; i < kind_port_count; i++)
        if (is_port(&kind_ports[i], step, PORT_INPUT))
            names[count++] = kind_ports[i].name;
    return names;
}

static void check_given(struct pipeline *p, const struct step *step)
{
    const char *const *names = input_names(p, step);
    for (uint32_t i = 0; i < step->input_count; i++) {
        const struct input *input = &step->inputs[i];
        bool is_known = false;
        for (const char *const *name = names; *name && !is_known; name++)
            is_known = strcmp(*name, input->name) == 0;
        if (!is_known)
            diagnostics_error(p->d, input->key, "kind %s has no input \"%s\"%s", step->kind,
                              input->name, suggest(&p->arena, input->name, names));
        else if (input->is_gather && !takes_list(input->name))
            diagnostics_error(p->d, input->at,
                              "input \"%s\" of kind %s takes one artifact, not one of each task of "
                              "\"%s\"; with matrix: %s this step has its axes, too",
                              input->name, step->kind, p->steps[input->step].name,
                              p->steps[input->step].name);
    }
}

static bool has_input_key(const struct step *step, const char *name)
{
    const struct value *map = value_get(step->node, "inputs");
    return find_input(step, name) || (map && map->type == VALUE_MAP && value_get(map, name));
}

static void complain_missing(struct pipeline *p, const struct step *step, const char *what)
{
    const struct value *map = value_get(step->node, "inputs");
    diagnostics_error(p->d, map ? map : step->at, "step \"%s\": kind %s needs the input %s",
                      step->name, step->kind, what);
}

void ports_check(struct pipeline *p, const struct step *step)
{
    if (!step->kind_at || !kind_has_ports(step->kind))
        return;
    check_given(p, step);
    for (size_t i = 0; i < kind_port_count; i++)
        if (is_port(&kind_ports[i], step, PORT_INPUT) && kind_ports[i].presence == PORT_REQUIRED &&
            !has_input_key(step, kind_ports[i].name))
            complain_missing(p, step, kind_ports[i].name);
    if (strcmp(step->kind, "metrics") != 0)
        return;
    bool selects = value_get(&step->params, "select") != NULL;
    const char *needed = selects ? "reports" : "predictions";
    if (!has_input_key(step, needed))
        complain_missing(p, step, selects ? "reports, since it has params.select" : needed);
}

bool ports_vary(const struct step *step)
{
    for (size_t i = 0; i < kind_port_count; i++)
        if (is_port(&kind_ports[i], step, PORT_OUTPUT) && kind_ports[i].presence != PORT_REQUIRED)
            return true;
    return false;
}

uint32_t ports_outputs(const struct step *step, const struct value *params,
                       const char *names[OUTPUTS_MAX])
{
    uint32_t count = 0; /* the table is sorted by name within a kind */
    for (size_t i = 0; i < kind_port_count && count < OUTPUTS_MAX; i++)
        if (is_port(&kind_ports[i], step, PORT_OUTPUT) && kind_port_is_made(&kind_ports[i], params))
            names[count++] = kind_ports[i].name;
    return count;
}
