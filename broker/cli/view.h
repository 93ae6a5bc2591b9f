/* What a person sees of a run: bars per step with an ETA on a terminal, plain lines on a pipe, and
 * the tables of the end. Everything here writes to stderr but the tables, which are results and go
 * to stdout. Thread: the caller's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdio.h>

#include "broker/app.h"

struct view {
    bool is_live;         /* stderr is a terminal: repaint */
    bool has_color;       /* a terminal without NO_COLOR */
    bool has_table_color; /* the same of stdout */
    bool is_quiet;
    uint32_t painted_lines;
    ms_t next_paint_at, begun_at;
    uint64_t event; /* told so far */
};

struct view view_init(bool is_quiet);
/* Called often; paints at most 10 times a second. What needs the person is said also when quiet. */
void view_update(struct view *view, struct app *app, const char *run);
/* A sentence for the person, above the bars; also when quiet. */
void view_note(struct view *view, const char *text);
/* The last state, then out of the way. */
void view_finish(struct view *view, struct app *app, const char *run);

/* What happened since the last call: notices, and of a plain view each task's end as a line. */
void view_events(struct view *view, struct app *app, const char *run);

/* "iris: succeeded in 120 ms: 26 tasks, 26 executed, 0 cached" to stderr, failures with their
 * reasons. */
void view_summary(const struct view *view, const struct value *result);
/* What failed of a run, why, and where the rest of the story is. */
void view_failures(const struct value *result, FILE *out);
/* The comparisons: candidates with their settings and scores, the winner marked; to stdout. */
void view_comparisons(const struct view *view, const struct value *result);

/* A table with aligned columns, numbers to the right. Cells are NUL-terminated and borrowed. */
void view_table(const char *const *head, const char *const *cells, uint32_t rows, uint32_t columns,
                uint32_t marked_row, bool has_color);
/* Lineage (app_lineage) as an indented tree on stdout: name, digits of the id, what made it. */
void view_lineage(const struct value *answer);
/* A run or a task's record (app_get) on stdout, for a person. */
void view_get(const struct value *answer);
/* "2026-11-26 07:46:52", here; "–" of what is no time. */
const char *view_time(const struct value *us, struct arena *arena);
/* "train[case=small]" of an entry with "step" and "axes", as other commands take it. */
const char *view_task_name(const struct value *entry, struct arena *arena);
