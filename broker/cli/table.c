/* Tables on stdout: the comparisons at the end of a run, and lists. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/command.h"
#include "broker/cli/view.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/text/json.h"

enum { WINNER_COLUMNS = 7 };
#define NO_ROW UINT32_MAX

/* Columns on a screen: UTF-8 continuation bytes take none. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789.-") == strlen(text);
}

static void put_cell(const char *text, int width, bool is_last)
{
    int pad = width - width_of(text);
    if (is_number(text))
        printf("%*s%s", pad, "", text);
    else
        printf("%s%*s", text, is_last ? 0 : pad, "");
    fputs(is_last ? "\n" : "  ", stdout);
}

void view_table(const char *const *head, const char *const *cells, uint32_t rows, uint32_t columns,
                uint32_t marked_row, bool has_color)
{
    AUTO(mem_free) int *widths = mem_alloc(columns * sizeof *widths);
    for (uint32_t c = 0; c < columns; c++) {
        widths[c] = width_of(head[c]);
        for (uint32_t r = 0; r < rows; r++)
            if (width_of(cells[r * columns + c]) > widths[c])
                widths[c] = width_of(cells[r * columns + c]);
    }
    for (uint32_t c = 0; c < columns; c++)
        put_cell(head[c], widths[c], c + 1 == columns);
    for (uint32_t r = 0; r < rows; r++) {
        fputs(r == marked_row && has_color ? "\033[1m" : "", stdout);
        for (uint32_t c = 0; c < columns; c++)
            put_cell(cells[r * columns + c], widths[c], c + 1 == columns);
        fputs(r == marked_row && has_color ? "\033[0m" : "", stdout);
    }
}

static const char *score(const struct value *row, const char *name, struct arena *arena)
{
    const struct value *metrics = value_get(row, "metrics");
    const struct value *value =
        metrics && metrics->type == VALUE_MAP ? value_get(metrics, name) : NULL;
    if (!value || (value->type != VALUE_REAL && value->type != VALUE_INT))
        return "–";
    return arena_format(arena, "%.4f",
                        value->type == VALUE_REAL ? value->real : (double)value->integer);
}

/* "max_depth=2, criterion=entropy": what makes this candidate differ from its model's defaults. */
static const char *settings(const struct value *row, struct arena *arena)
{
    const struct value *map = value_get(row, "settings");
    AUTO(buf_fini) struct buf out = buf_init(0);
    for (uint32_t i = 0; map && i < map->count; i++) {
        const struct value *value = &map->items[2 * i + 1];
        if (strcmp(map->items[2 * i].text, "model") == 0)
            continue;
        buf_format(&out, "%s%s=", out.count ? ", " : "", map->items[2 * i].text);
        if (value->type == VALUE_STRING)
            buf_put_text(&out, value->text);
        else if (value->type == VALUE_REAL)
            buf_format(&out, "%g", value->real);
        else
            json_write(value, 0, &out);
    }
    return out.count ? arena_text(arena, buf_text(&out), out.count) : "defaults";
}

static void print_comparison(const struct view *view, const struct value *comparison,
                             struct arena *arena)
{
    static const char *const classes[] = {"",   "model",    "settings", "accuracy",
                                          "F1", "log loss", "seconds"};
    static const char *const values[] = {"", "model", "settings", "RMSE", "MAE", "R2", "seconds"};
    const struct value *rows = value_get(comparison, "rows");
    const char **cells = arena_alloc(arena, (size_t)rows->count * WINNER_COLUMNS * sizeof *cells);
    uint32_t winner = NO_ROW;
    bool is_regression = rows->count && strcmp(score(&rows->items[0], "rmse", arena), "–") != 0;
    for (uint32_t r = 0; r < rows->count; r++) {
        const struct value *row = &rows->items[r], *seconds = value_get(row, "seconds");
        const char **cell = cells + (size_t)r * WINNER_COLUMNS;
        const struct value *won = value_get(row, "winner");
        if (won && won->boolean)
            winner = r;
        cell[0] = winner == r ? "*" : " ";
        const char *model = value_get_text(value_get(row, "settings"), "model");
        cell[1] = model ? model : "";
        cell[2] = settings(row, arena);
        cell[3] = score(row, is_regression ? "rmse" : "accuracy", arena);
        cell[4] = score(row, is_regression ? "mae" : "f1", arena);
        cell[5] = score(row, is_regression ? "r2" : "log_loss", arena);
        cell[6] = seconds && seconds->type == VALUE_REAL
                      ? arena_format(arena, "%.3f", seconds->real)
                      : "–";
    }
    view_table(is_regression ? values : classes, cells, rows->count, WINNER_COLUMNS, winner,
               view->has_table_color);
    const char *step = value_get_text(comparison, "step"),
               *metric = value_get_text(comparison, "metric");
    if (winner != NO_ROW)
        printf("* the winner by %s; its model: %s export %s.model -o model\n",
               metric ? metric : "?", command_program(), step);
}

void view_comparisons(const struct view *view, const struct value *result)
{
    AUTO(arena_fini) struct arena arena = {0};
    const struct value *comparisons = value_get(result, "comparisons");
    for (uint32_t i = 0; comparisons && i < comparisons->count; i++)
        print_comparison(view, &comparisons->items[i], &arena);
}
