// SPDX-License-Identifier: Apache-2.0
#include "worker/kinds/select.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "common/base/doc.h"
#include "common/fs.h"
#include "common/text/json.h"
#include "proto/schemas.h"
#include "worker/data/document.h"
#include "worker/kinds/data_files.h"

enum { MODE_MAX, MODE_MIN };

struct contest {
    struct arena arena;
    struct select_params params;
    struct value table; /* a row per report */
    bool has_winner;
    uint32_t winner;
    double best;
};

static void contest_fini(struct contest *contest)
{
    arena_fini(&contest->arena);
}
DEFINE_AUTO_VALUE(struct contest, contest_fini)

static bool is_number(const struct value *value)
{
    return value->type == VALUE_INT || value->type == VALUE_REAL;
}

static double number(const struct value *value)
{
    return value->type == VALUE_INT ? (double)value->integer : value->real;
}

/* The report's flat scores become a row of the table. */
static void add_row(struct contest *contest, uint32_t index, const struct value *report)
{
    struct value row = doc_map();
    doc_put(&contest->arena, &row, "index", value_int(index));
    for (uint32_t i = 0; i < report->count; i++) {
        const struct value *pair = &report->items[2 * i];
        if ((is_number(&pair[1]) || pair[1].type == VALUE_NIL) && !value_is_text(pair, "index"))
            doc_put(&contest->arena, &row, pair[0].text, pair[1]);
    }
    doc_add(&contest->arena, &contest->table, row);
}

static void compare(struct contest *contest, uint32_t index, const struct value *report)
{
    const struct value *value = value_get(report, contest->params.metric);
    if (!value || !is_number(value) || isnan(number(value)))
        return;
    double score = number(value);
    bool is_better =
        !contest->has_winner ||
        (contest->params.mode == MODE_MAX ? score > contest->best : score < contest->best);
    if (!is_better)
        return;
    contest->has_winner = true;
    contest->winner = index;
    contest->best = score;
}

static enum status read_report(struct contest *contest, const struct kind_input *reports,
                               uint32_t index, struct value *out, struct err *err)
{
    char name[64];
    snprintf(name, sizeof name, "reports[%u]", index);
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    TRY(data_read_input(reports, index, &bytes, err));
    TRY(json_parse(name, (const char *)bytes.bytes, bytes.count, &contest->arena, out, err));
    if (out->type != VALUE_MAP)
        return err_set(err, E_CORRUPT, "%s: a %s, expected an object of scores", name,
                       value_type_name((enum value_type)out->type));
    return OK;
}

/* Nobody has the metric: what do they have? */
static enum status no_winner(const struct contest *contest, struct err *err)
{
    const struct value *row = &contest->table.items[0];
    const char *names[64];
    uint32_t count = 0;
    AUTO(buf_fini) struct buf list = buf_init(0);
    for (uint32_t i = 0; i < row->count && count < 63; i++)
        if (is_number(&row->items[2 * i + 1]) && !value_is_text(&row->items[2 * i], "index"))
            names[count++] = row->items[2 * i].text;
    names[count] = NULL;
    for (uint32_t i = 0; i < count; i++)
        buf_format(&list, "%s%s", i ? ", " : "", names[i]);
    const char *near = schema_suggest(contest->params.metric, names);
    return err_set(err, E_INVALID,
                   "select: no report has a number for `%.64s`%s%s%s; there are: %.240s",
                   contest->params.metric, near ? " (did you mean `" : "", near ? near : "",
                   near ? "`?)" : "", buf_text(&list));
}

static enum status hold(struct contest *contest, const struct kind_input *reports, struct err *err)
{
    if (!reports->count)
        return err_set(err, E_INVALID, "select: there are no reports");
    contest->table = doc_list();
    for (uint32_t i = 0; i < reports->count; i++) {
        struct value report;
        TRY(read_report(contest, reports, i, &report, err));
        add_row(contest, i, &report);
        compare(contest, i, &report);
    }
    return contest->has_winner ? OK : no_winner(contest, err);
}

static enum status write_table(const struct kind_call *call, struct contest *contest,
                               struct err *err)
{
    struct arena *arena = &contest->arena;
    struct value root = doc_map(), select = doc_map();
    doc_put(arena, &select, "metric", value_string(contest->params.metric));
    doc_put(arena, &select, "mode", value_string(contest->params.mode == MODE_MAX ? "max" : "min"));
    doc_put(arena, &root, "select", select);
    doc_put(arena, &root, "count", value_int(contest->table.count));
    doc_put(arena, &root, "winner", value_int(contest->winner));
    doc_put(arena, &root, "best", document_real(contest->best));
    doc_put(arena, &root, "table", contest->table);
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    document_write(&root, &bytes);
    return data_write_output(call, "metrics", &bytes, err);
}

/* ---- the winner's model ---- */

struct copying {
    const char *from, *to;
};

static enum status copy_file(void *context, const char *path, bool is_executable, uint64_t bytes,
                             struct err *err)
{
    const struct copying *copying = context;
    (void)is_executable; /* fs_copy keeps it */
    (void)bytes;
    char from[PATH_MAX], to[PATH_MAX];
    int from_bytes = snprintf(from, sizeof from, "%s/%s", copying->from, path);
    int to_bytes = snprintf(to, sizeof to, "%s/%s", copying->to, path);
    if (from_bytes >= (int)sizeof from || to_bytes >= (int)sizeof to)
        return err_set(err, E_LIMIT, "models: the path of %.80s is too long", path);
    char *slash = to + to_bytes;
    while (*slash != '/')
        slash--;
    *slash = 0;
    TRY(fs_make_dirs(to, err));
    *slash = '/';
    return fs_copy(from, to, err);
}

static enum status copy_model(const struct kind_call *call, const struct kind_input *models,
                              uint32_t winner, struct err *err)
{
    char to[PATH_MAX];
    TRY(kind_output_path(call, "model", to, sizeof to, err));
    if (models->artifacts && !models->artifacts[winner].is_tree)
        return fs_copy(models->files[winner], to, err);
    TRY(fs_make_dirs(to, err));
    struct copying copying = {.from = models->files[winner], .to = to};
    return fs_walk(copying.from, copy_file, &copying, err);
}

enum status select_run(const struct kind_call *call, const struct value *select, struct err *err)
{
    const struct kind_input *reports = kind_input_find(call, "reports");
    const struct kind_input *models = kind_input_find(call, "models");
    const char *const made[] = {"metrics", models ? "model" : NULL, NULL};
    if (!reports)
        return err_set(err, E_INVALID, "select: input `reports` is missing");
    if (!models && kind_has_output(call, "model"))
        return err_set(err, E_INVALID,
                       "select: input `models` is missing: output `model` is the winner of them");
    TRY(data_check_outputs(call, made, err));
    if (models && models->count != reports->count)
        return err_set(err, E_INVALID, "select: %u models for %u reports; give both the same axes",
                       models->count, reports->count);
    AUTO(contest_fini) struct contest contest = {0};
    TRY(schema_decode(&schema_select, select, &contest.params, err));
    TRY(hold(&contest, reports, err));
    if (kind_has_output(call, "metrics"))
        TRY(write_table(call, &contest, err));
    if (models && kind_has_output(call, "model"))
        TRY(copy_model(call, models, contest.winner, err));
    return OK;
}
