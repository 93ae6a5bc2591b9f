/* Axes: a list of values, or a range; a step's own, or those of another step. Counts are checked
 * against the limits before any value is made. */
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "broker/pipeline/step.h"
#include "common/text/json.h"

void axis_show(const struct value *value, struct buf *out)
{
    const char *name = value->type == VALUE_MAP ? value_get_text(value, "name") : NULL;
    if (name)
        buf_put_text(out, name);
    else if (value->type == VALUE_STRING)
        buf_put(out, value->text, value->count);
    else
        json_write(value, 0, out);
}

/* ---- looking values up by what is shown ---- */

struct axis_index {
    uint32_t mask;
    uint32_t *slots;  /* value index + 1 */
    uint64_t *hashes; /* per value */
};

static uint64_t hash_shown(const struct buf *shown)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, its high half folded in */
    for (size_t i = 0; i < shown->count; i++)
        hash = (hash ^ shown->bytes[i]) * 1099511628211u;
    return hash ^ hash >> 32;
}

/* Do both show the same? `shown` holds what `a` shows. */
static bool shows_as(const struct buf *shown, const struct value *b)
{
    AUTO(buf_fini) struct buf other = buf_init(0);
    axis_show(b, &other);
    return other.count == shown->count &&
           (!shown->count || memcmp(other.bytes, shown->bytes, shown->count) == 0);
}

static uint32_t index_get(const struct axis *axis, uint64_t hash, const struct buf *shown)
{
    const struct axis_index *index = axis->index;
    for (uint32_t at = (uint32_t)hash & index->mask; index->slots[at]; at = (at + 1) & index->mask)
        if (index->hashes[index->slots[at] - 1] == hash &&
            shows_as(shown, &axis->values[index->slots[at] - 1]))
            return index->slots[at] - 1;
    return STEP_NONE;
}

/* Fills the index; returns the first value that shows as an earlier one, or STEP_NONE. */
static uint32_t index_build(struct arena *arena, struct axis *axis)
{
    uint32_t slots = 8, twin = STEP_NONE;
    while (slots < 2 * axis->count)
        slots *= 2;
    axis->index = arena_alloc(arena, sizeof *axis->index);
    *axis->index = (struct axis_index){slots - 1, arena_alloc(arena, slots * sizeof(uint32_t)),
                                       arena_alloc(arena, axis->count * sizeof(uint64_t))};
    AUTO(buf_fini) struct buf shown = buf_init(0);
    for (uint32_t i = 0; i < axis->count; i++) {
        buf_clear(&shown);
        axis_show(&axis->values[i], &shown);
        uint64_t hash = hash_shown(&shown);
        axis->index->hashes[i] = hash;
        if (index_get(axis, hash, &shown) != STEP_NONE) {
            twin = twin == STEP_NONE ? i : twin;
            continue;
        }
        uint32_t at = (uint32_t)hash & axis->index->mask;
        while (axis->index->slots[at])
            at = (at + 1) & axis->index->mask;
        axis->index->slots[at] = i + 1;
    }
    return twin;
}

const struct value *axis_value(struct axis *axis, uint32_t index)
{
    if (axis->values)
        return &axis->values[index];
    axis->made = value_int(axis->range[0] + (int64_t)index * axis->range[2]);
    return &axis->made;
}

static uint32_t range_find(const struct axis *axis, const struct value *value)
{
    const int64_t *range = axis->range;
    bool is_between = value->type == VALUE_INT &&
                      (range[2] > 0 ? value->integer >= range[0] && value->integer < range[1]
                                    : value->integer <= range[0] && value->integer > range[1]);
    if (!is_between || (value->integer - range[0]) % range[2] != 0)
        return STEP_NONE;
    return (uint32_t)((value->integer - range[0]) / range[2]);
}

uint32_t axis_find_shown(const struct axis *axis, struct buf *shown)
{
    AUTO(buf_fini) struct buf again = buf_init(0);
    if (axis->values)
        return index_get(axis, hash_shown(shown), shown);
    struct value value = value_int(strtoll(buf_text(shown), NULL, 10));
    axis_show(&value, &again);
    bool is_number = strcmp(buf_text(&again), buf_text(shown)) == 0;
    return is_number ? range_find(axis, &value) : STEP_NONE;
}

uint32_t axis_find(const struct axis *axis, const struct value *value)
{
    if (!axis->values)
        return range_find(axis, value);
    AUTO(buf_fini) struct buf shown = buf_init(0);
    axis_show(value, &shown);
    uint32_t found = axis_find_shown(axis, &shown);
    return found != STEP_NONE && value_equal(&axis->values[found], value) ? found : STEP_NONE;
}

bool axis_is_same(struct axis *a, struct axis *b)
{
    if (a == b)
        return true;
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!value_equal(axis_value(a, i), axis_value(b, i)))
            return false;
    return true;
}

/* ---- reading ---- */

static bool read_bounds(struct pipeline *p, const struct value *range, int64_t bounds[3])
{
    const int64_t far = (int64_t)1 << 53; /* so that no sum overflows, and a real holds it too */
    bool is_fine = range->type == VALUE_ARRAY && (range->count == 2 || range->count == 3);
    for (uint32_t i = 0; is_fine && i < range->count; i++) {
        bounds[i] = range->items[i].integer;
        is_fine = range->items[i].type == VALUE_INT && bounds[i] >= -far && bounds[i] <= far;
    }
    if (!is_fine || !bounds[2]) {
        diagnostics_error(p->d, range,
                          "range: expected [start, stop] or [start, stop, step] in "
                          "whole numbers, with a step other than 0");
        return false;
    }
    return true;
}

static uint64_t range_count(const int64_t bounds[3])
{
    int64_t span = bounds[1] - bounds[0], step = bounds[2];
    if (step < 0) {
        span = -span;
        step = -step;
    }
    return span <= 0 ? 0 : (uint64_t)((span - 1) / step + 1);
}

static bool check_count(struct pipeline *p, const struct axis *axis, uint64_t count)
{
    if (!count)
        diagnostics_error(p->d, axis->at, "the axis \"%s\" has no values", axis->name);
    else if (count > AXIS_VALUES_MAX)
        diagnostics_error(p->d, axis->at,
                          "the axis \"%s\" has %llu values; at most %d are possible", axis->name,
                          (unsigned long long)count, AXIS_VALUES_MAX);
    return count && count <= AXIS_VALUES_MAX;
}

static bool check_values(struct pipeline *p, struct axis *axis)
{
    for (uint32_t i = 0; i < axis->count; i++) {
        const struct value *value = &axis->values[i];
        const char *name = value->type == VALUE_MAP ? value_get_text(value, "name") : "";
        if (!name || (value->type == VALUE_MAP && !*name)) {
            diagnostics_error(p->d, value,
                              "axis \"%s\": a mapping as a value needs a `name` (a "
                              "string), which is what is shown",
                              axis->name);
            return false;
        }
    }
    uint32_t twin = index_build(&p->arena, axis);
    if (twin == STEP_NONE)
        return true;
    AUTO(buf_fini) struct buf shown = buf_init(0);
    axis_show(&axis->values[twin], &shown);
    diagnostics_error(p->d, &axis->values[twin], "axis \"%s\": the value \"%.80s\" is there twice",
                      axis->name, buf_text(&shown));
    return false;
}

static bool read_axis(struct pipeline *p, struct axis *axis, const struct value *raw)
{
    struct scope scope = {.pipeline = p, .arena = &p->arena};
    struct value value;
    if (substitute(&scope, raw, &value) != OK)
        return false;
    if (value.type == VALUE_ARRAY) {
        axis->values = value.items;
        axis->count = value.count;
        return check_count(p, axis, value.count) && check_values(p, axis);
    }
    static const char *const keys[] = {"range", NULL};
    const struct value *range = value.type == VALUE_MAP ? value_get(&value, "range") : NULL;
    if (!range) {
        diagnostics_error(p->d, &value,
                          "axis \"%s\": expected a list, or {range: [start, stop, "
                          "step]}",
                          axis->name);
        return false;
    }
    check_keys(p, &value, "of an axis", keys);
    axis->range[2] = 1;
    if (!read_bounds(p, range, axis->range) || !check_count(p, axis, range_count(axis->range)))
        return false;
    axis->count = (uint32_t)range_count(axis->range);
    return true;
}

static void read_own(struct pipeline *p, struct step *step, const struct value *matrix)
{
    if (matrix->count > AXES_MAX) {
        diagnostics_error(p->d, matrix, "step \"%s\": %u axes; at most %d are possible", step->name,
                          matrix->count, AXES_MAX);
        step->is_broken = true;
        return;
    }
    for (uint32_t i = 0; i < matrix->count; i++) {
        const struct value *key = &matrix->items[2 * i];
        struct axis *axis = arena_alloc(&p->arena, sizeof *axis);
        *axis = (struct axis){.name = key->text, .at = key};
        bool is_named = check_name(p, key, "an axis", true);
        if (!read_axis(p, axis, key + 1) || !is_named)
            step->is_broken = true;
        else
            step->axes[step->axis_count++] = axis;
    }
}

/* Reports the circle that `start` is on, and opens it. */
static void open_circle(struct pipeline *p, struct step *start)
{
    enum { SHOWN_MAX = 20 };
    AUTO(buf_fini) struct buf path = buf_init(0);
    uint32_t shown = 0, next;
    for (struct step *step = start; step->matrix_of != STEP_NONE; step = &p->steps[next]) {
        if (shown++ < SHOWN_MAX)
            buf_format(&path, "%s → ", step->name);
        next = step->matrix_of;
        step->matrix_of = STEP_NONE;
        step->is_broken = true;
    }
    diagnostics_error(p->d, value_get(start->node, "matrix"),
                      "the matrix of a step is its own: %s%s%s", buf_text(&path),
                      shown > SHOWN_MAX ? "… → " : "", start->name);
}

/* The step that declares the axes `step` takes. */
static struct step *find_root(struct pipeline *p, struct step *step)
{
    struct step *root = step;
    for (uint32_t hops = 0; root->matrix_of != STEP_NONE; hops++) {
        if (hops > p->step_count) {
            open_circle(p, root);
            return root;
        }
        root = &p->steps[root->matrix_of];
    }
    return root;
}

/* Follows `matrix: STEP`; who was passed on the way is led straight to the end, so that long chains
 * stay linear. */
static void take_axes(struct pipeline *p, struct step *step)
{
    struct step *root = find_root(p, step);
    for (struct step *at = step; at != root && at->matrix_of != STEP_NONE;) {
        uint32_t next = at->matrix_of;
        at->matrix_of = (uint32_t)(root - p->steps);
        at = &p->steps[next];
    }
    if (step == root)
        return;
    step->axis_count = root->axis_count;
    memcpy(step->axes, root->axes, sizeof step->axes);
    step->is_broken |= root->is_broken;
}

static void read_matrix(struct pipeline *p, struct step *step)
{
    const struct value *matrix = value_get(step->node, "matrix");
    step->matrix_of = STEP_NONE;
    if (!matrix || matrix->type == VALUE_NIL)
        return;
    if (matrix->type == VALUE_MAP) {
        read_own(p, step, matrix);
        return;
    }
    if (matrix->type != VALUE_STRING) {
        diagnostics_error(p->d, matrix,
                          "matrix: expected a mapping of axes, or the name of a step");
        step->is_broken = true;
        return;
    }
    step->matrix_of = name_index_get(&p->step_index, matrix->text);
    if (step->matrix_of == STEP_NONE) {
        diagnostics_error(p->d, matrix, "matrix: there is no step \"%.64s\"%s", matrix->text,
                          suggest(&p->arena, matrix->text, p->step_index.names));
        step->is_broken = true;
    }
}

static uint64_t count_tasks(struct pipeline *p, struct step *step)
{
    uint64_t count = 1; /* ≤ 10^7 at each turn, so a product fits */
    for (uint32_t i = 0; i < step->axis_count && count <= TASKS_MAX; i++)
        count *= step->axes[i]->count;
    if (count <= TASKS_MAX)
        return count;
    const struct value *at = value_get(step->node, "matrix");
    diagnostics_error(p->d, at ? at : step->at,
                      "step \"%s\": its matrix has more than %d combinations, the most that a run "
                      "may have",
                      step->name, TASKS_MAX);
    step->is_broken = true;
    return 0;
}

void matrix_read_all(struct pipeline *p)
{
    for (uint32_t i = 0; i < p->step_count; i++)
        read_matrix(p, &p->steps[i]);
    uint64_t total = 0;
    for (uint32_t i = 0; i < p->step_count; i++) {
        take_axes(p, &p->steps[i]);
        p->steps[i].task_count = count_tasks(p, &p->steps[i]);
        total += p->steps[i].task_count;
    }
    if (total > TASKS_MAX)
        diagnostics_error(p->d, NULL, "the pipeline has %llu tasks; at most %d are possible",
                          (unsigned long long)total, TASKS_MAX);
    bool is_possible = total <= TASKS_MAX;
    for (uint32_t i = 0; i < p->step_count; i++)
        p->steps[i].is_broken |=
            p->steps[i].axis_count && (!is_possible || !p->steps[i].task_count);
}

void matrix_warn_unused(struct pipeline *p)
{
    for (uint32_t i = 0; i < p->step_count; i++) {
        const struct step *step = &p->steps[i];
        for (uint32_t k = 0; k < step->axis_count; k++)
            if (!(step->axes_used >> k & 1))
                diagnostics_warning(p->d, value_get(step->node, "matrix"),
                                    "step \"%s\": nothing uses the axis \"%s\", so tasks that "
                                    "differ in it alone are the same",
                                    step->name, step->axes[k]->name);
    }
}
