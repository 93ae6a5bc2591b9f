/* REF (design: §11): the name of an artifact, [RUN/]STEP[axis=value,…].OUTPUT or hex digits of its
 * id. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/app/local.h"
#include "common/base/mem.h"

static bool has_prefix(const struct id *id, const char *prefix)
{
    char hex[ID_HEX_BYTES];
    return strncmp(id_hex(id, hex), prefix, strlen(prefix)) == 0;
}

/* ---- by digits ---- */

struct search {
    const char *prefix;
    bool wants_task;
    uint32_t match_count;
    struct ref found;
    struct arena *arena;
};

static enum status match_record(void *context, const struct id *task, const uint8_t *bytes,
                                size_t count, struct err *err)
{
    struct search *search = context;
    if (search->wants_task) {
        if (has_prefix(task, search->prefix)) {
            search->match_count++;
            search->found.task = *task;
        }
        return OK;
    }
    struct record record;
    TRY(record_parse(bytes, count, &record, err));
    struct record_output output;
    for (size_t cursor = 0; record_next_output(&record, &cursor, &output);) {
        if (!has_prefix(&output.artifact.id, search->prefix))
            continue;
        if (search->match_count && id_equal(&output.artifact.id, &search->found.artifact.id))
            continue; /* the same bytes made twice */
        search->match_count++;
        search->found = (struct ref){output.artifact, true, *task,
                                     arena_text(search->arena, output.name, output.name_bytes)};
    }
    return OK;
}

static enum status search_records(struct local *app, struct search *search, const char *what,
                                  struct err *err)
{
    TRY(state_each_record(app->state, match_record, search, err));
    if (search->match_count > 1)
        return err_set(err, E_INVALID, "%s \"%s\" is ambiguous: %u begin so; give more digits",
                       what, search->prefix, search->match_count);
    return search->match_count
               ? OK
               : err_set(err, E_NOTFOUND, "no %s \"%s\" in any record", what, search->prefix);
}

/* A blob that no record names: a source, or a log. */
static enum status find_blob(struct local *app, const char *hex, struct ref *out, struct err *err)
{
    bool has = false;
    TRY(id_parse(hex, strlen(hex), &out->artifact.id, err));
    TRY(store_has(app->store, &out->artifact.id, 1, &has, err));
    return has ? OK
               : err_set(err, E_NOTFOUND, "no artifact %s: neither in a record nor in the store",
                         hex);
}

/* ---- by name ---- */

static enum status open_run(struct local *app, const char *run, struct submission **out,
                            struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    TRY(run_document_get(app, run, &arena, &document, err));
    struct diagnostics diagnostics = {.file = "", .text = buf_init(0)};
    enum status status = submission_restore(&document, &diagnostics, out, err);
    diagnostics_fini(&diagnostics);
    return status;
}

/* Splits "RUN/rest"; no slash before any bracket means the latest run. */
static const char *split_run(const char *text, struct arena *arena, const char **rest)
{
    size_t at = strcspn(text, "/[");
    *rest = text[at] == '/' ? text + at + 1 : text;
    return text[at] == '/' ? arena_text(arena, text, at) : "latest";
}

const char *ref_run(const char *text, struct arena *arena)
{
    const char *rest;
    return split_run(text, arena, &rest);
}

const char *ref_output(const char *text)
{
    size_t at = strcspn(text, "/[");
    const char *name = text[at] == '/' ? text + at + 1 : text;
    const char *close = strrchr(name, ']'), *point = strrchr(close ? close : name, '.');
    return point ? point + 1 : NULL;
}

enum status ref_submission(struct local *app, const char *text, struct submission **out,
                           struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    *out = NULL;
    return id_is_prefix(text) ? OK : open_run(app, ref_run(text, &arena), out, err);
}

static bool is_run(struct local *app, const char *text)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    char id[STATE_RUN_ID_BYTES];
    return state_get_run(app->state, text, id, sizeof id, &bytes, NULL) == OK;
}

/* The task's id, and the end of its name within `text`: the last point behind the brackets, or the
 * text's end. */
static enum status find_task(struct local *app, const char *text, struct arena *arena,
                             bool has_output, struct id *out, const char **output, struct err *err)
{
    const char *name;
    const char *run = split_run(text, arena, &name);
    *output = has_output ? ref_output(name) : NULL;
    size_t bytes = *output ? (size_t)(*output - 1 - name) : strlen(name);
    AUTO(submission_free) struct submission *submission = NULL;
    TRY(open_run(app, run, &submission, err));
    uint32_t task;
    enum status status = submission_task(submission, name, bytes, &task, err);
    if (status == E_NOTFOUND && is_run(app, text))
        return err_set(err, status, "%s is a run; say which of its tasks, as in %s/%s", text, text,
                       submission->graph->steps[0].name);
    if (status != OK)
        return status;
    *out = submission->graph->tasks[task].id;
    return OK;
}

enum status ref_task(struct local *app, const char *text, struct arena *arena, struct id *out,
                     struct err *err)
{
    const char *ignored;
    if (id_is_prefix(text)) {
        struct search search = {.prefix = text, .wants_task = true, .arena = arena};
        TRY(search_records(app, &search, "task", err));
        *out = search.found.task;
        return OK;
    }
    return find_task(app, text, arena, false, out, &ignored, err);
}

struct pick {
    const char *output; /* NULL: the only one */
    struct arena *arena;
    struct ref *out;
    uint32_t match_count, output_count;
    struct buf names;
    bool has_record;
};

static void pick_output(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    (void)index;
    struct pick *pick = context;
    struct record record;
    if (record_parse(bytes, count, &record, NULL) != OK)
        return;
    pick->has_record = true;
    struct record_output output;
    for (size_t cursor = 0; record_next_output(&record, &cursor, &output);) {
        pick->output_count++;
        buf_format(&pick->names, "%s%.*s", pick->names.count ? ", " : "", (int)output.name_bytes,
                   output.name);
        if (pick->output && (strlen(pick->output) != output.name_bytes ||
                             memcmp(pick->output, output.name, output.name_bytes) != 0))
            continue;
        pick->match_count++;
        pick->out->artifact = output.artifact;
        pick->out->output = arena_text(pick->arena, output.name, output.name_bytes);
    }
}

enum status ref_resolve(struct local *app, const char *text, struct arena *arena, struct ref *out,
                        struct err *err)
{
    *out = (struct ref){0};
    if (id_is_prefix(text)) {
        struct search search = {.prefix = text, .arena = arena};
        enum status status = search_records(app, &search, "artifact", err);
        *out = search.found;
        return status == E_NOTFOUND && strlen(text) == ID_HEX_BYTES - 1
                   ? find_blob(app, text, out, err)
                   : status;
    }
    struct pick pick = {.arena = arena, .out = out, .names = buf_init(0)};
    TRY(find_task(app, text, arena, true, &out->task, &pick.output, err));
    out->has_task = true;
    enum status status = state_find_tasks(app->state, &out->task, 1, pick_output, &pick, err);
    if (status == OK && !pick.has_record)
        status = err_set(err, E_NOTFOUND, "%s: that task has no record; did it run?", text);
    else if (status == OK && pick.output_count == 0)
        status = err_set(err, E_NOTFOUND, "%s: that task has no outputs", text);
    else if (status == OK && pick.match_count != 1)
        status =
            err_set(err, E_NOTFOUND, "%s: which output? It has %s", text, buf_text(&pick.names));
    buf_fini(&pick.names);
    return status;
}
