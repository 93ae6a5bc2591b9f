/* Producers first: depth-first over the inputs, with a stack of our own, since a chain may be as
 * long as the file. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/pipeline/step.h"

enum mark { UNSEEN, OPEN, DONE };

struct frame {
    uint32_t step, input; /* the next input to look at */
};

/* The path from where the circle closes to the top of the stack. */
static void complain(struct pipeline *p, const struct frame *stack, uint32_t depth, uint32_t target)
{
    enum { SHOWN_MAX = 20 };
    uint32_t from = depth - 1;
    while (stack[from].step != target)
        from--;
    AUTO(buf_fini) struct buf path = buf_init(0);
    /* An input points from consumer to producer; people read along the flow of data. */
    uint32_t shown = 0;
    buf_put_text(&path, p->steps[target].name);
    for (uint32_t i = depth; i-- > from;)
        if (shown++ < SHOWN_MAX)
            buf_format(&path, " → %s", p->steps[stack[i].step].name);
    if (shown > SHOWN_MAX)
        buf_format(&path, " → … → %s", p->steps[target].name);
    const struct step *last = &p->steps[stack[depth - 1].step];
    diagnostics_error(p->d, last->inputs[stack[depth - 1].input - 1].at,
                      "the steps wait for each other: %s", buf_text(&path));
}

static void visit(struct pipeline *p, uint32_t root, uint8_t *marks, struct frame *stack,
                  uint32_t *order_count)
{
    uint32_t depth = 1;
    stack[0] = (struct frame){root, 0};
    marks[root] = OPEN;
    while (depth) {
        struct frame *top = &stack[depth - 1];
        const struct step *step = &p->steps[top->step];
        if (top->input == step->input_count) {
            marks[top->step] = DONE;
            p->order[(*order_count)++] = top->step;
            depth--;
            continue;
        }
        uint32_t next = step->inputs[top->input++].step;
        if (next == STEP_NONE || marks[next] == DONE)
            continue;
        if (marks[next] == OPEN) {
            complain(p, stack, depth, next);
            continue;
        }
        marks[next] = OPEN;
        stack[depth++] = (struct frame){next, 0};
    }
}

void order_steps(struct pipeline *p)
{
    AUTO(arena_fini) struct arena scratch = {0};
    uint8_t *marks = arena_alloc(&scratch, p->step_count);
    struct frame *stack = arena_alloc(&scratch, p->step_count * sizeof *stack);
    p->order = arena_alloc(&p->arena, p->step_count * sizeof *p->order);
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->step_count; i++)
        if (marks[i] == UNSEEN)
            visit(p, i, marks, stack, &count);
}
