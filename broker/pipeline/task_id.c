// SPDX-License-Identifier: Apache-2.0
#include "broker/pipeline/step.h"
#include "proto/codec.h"

static void write_edge(struct mp_writer *w, const struct spec *spec, const struct input *input,
                       const struct task_edge *edge)
{
    mp_write_array(w, 2);
    mp_write_id(w, &spec->tasks[edge->task].id);
    mp_write_text(w, spec->pipeline->steps[input->step].outputs[edge->output]);
}

static void write_reference(struct mp_writer *w, const struct spec *spec,
                            const struct spec_input *from)
{
    if (from->source) {
        mp_write_array(w, 2);
        mp_write_text(w, from->source->is_tree ? "tree" : "blob");
        mp_write_id(w, &from->source->id);
        return;
    }
    if (!from->input->is_gather) {
        write_edge(w, spec, from->input, from->edges);
        return;
    }
    mp_write_array(w, 1);
    mp_write_array(w, from->input->gather_count);
    for (uint32_t i = 0; i < from->input->gather_count; i++)
        write_edge(w, spec, from->input, &from->edges[i]);
}

static void write_inputs(struct mp_writer *w, const struct spec *spec)
{
    mp_write_text(w, "inputs");
    mp_write_map(w, spec->step->input_count);
    for (uint32_t i = 0; i < spec->step->input_count; i++) {
        const struct input *input = spec->inputs[i].input;
        mp_write_text(w, input->name);
        if (!input->path) {
            write_reference(w, spec, &spec->inputs[i]);
            continue;
        }
        mp_write_map(w, 2);
        mp_write_text(w, "from");
        write_reference(w, spec, &spec->inputs[i]);
        mp_write_text(w, "path");
        mp_write_text(w, input->path);
    }
}

size_t task_spec_write(const struct spec *spec, uint8_t *out, size_t out_bytes)
{
    const struct step *step = spec->step;
    struct mp_writer w = mp_writer(out, out_bytes);
    mp_write_map(&w, 3u + (step->input_count > 0) + (spec->params->count > 0));
    if (step->input_count)
        write_inputs(&w, spec);
    mp_write_text(&w, "kind");
    mp_write_text(&w, step->kind);
    mp_write_text(&w, "outputs");
    mp_write_array(&w, step->output_count);
    for (uint32_t i = 0; i < step->output_count; i++)
        mp_write_text(&w, step->outputs[i]);
    if (spec->params->count) {
        mp_write_text(&w, "params");
        mp_write_raw(&w, spec->params->bytes, spec->params->count);
    }
    mp_write_text(&w, "version");
    mp_write_text(&w, spec->params->kind->version);
    return w.need;
}
