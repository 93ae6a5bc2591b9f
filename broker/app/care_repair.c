/* What was damaged is made again by the newest runs that have it: the steps whose records are gone
 * now. A broker that serves submits them; else a person does, and is told how. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/care.h"
#include "common/base/doc.h"
#include "common/log.h"

/* As a shell takes it for one word. */
static void put_word(struct buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:=,@%+";
    if (*text && strspn(text, plain) == strlen(text)) {
        buf_put_text(out, text);
        return;
    }
    buf_put_char(out, '\'');
    for (; *text; text++)
        if (*text == '\'')
            buf_put_text(out, "'\\''");
        else
            buf_put_char(out, *text);
    buf_put_char(out, '\'');
}

/* "broker run FILE --only train -p seed=7 --set train.params.model=mlp" */
static bool put_command(const struct value *document, const char *step, struct buf *out)
{
    const char *file = value_get_text(document, "file");
    const struct value *overrides = value_get(document, "overrides");
    if (!file || strcmp(file, "-") == 0)
        return false;
    buf_put_text(out, "broker run ");
    put_word(out, file);
    buf_format(out, " --only %s", step);
    for (uint32_t i = 0; overrides && overrides->type == VALUE_ARRAY && i < overrides->count; i++) {
        const struct value *item = &overrides->items[i];
        if (item->type != VALUE_ARRAY || item->count != 3 || item->items[1].type != VALUE_STRING ||
            item->items[2].type != VALUE_STRING)
            continue;
        AUTO(buf_fini) struct buf pair = buf_init(0);
        buf_format(&pair, "%s=%s", item->items[1].text, item->items[2].text);
        buf_put_text(out, item->items[0].boolean ? " --set " : " -p ");
        put_word(out, buf_text(&pair));
    }
    return true;
}

static void add_command(struct local *app, const struct care_run *run, struct arena *arena,
                        struct value *list)
{
    AUTO(arena_fini) struct arena scratch = {0};
    AUTO(buf_fini) struct buf command = buf_init(0);
    struct value document;
    if (run_document_get(app, run->run, &scratch, &document, NULL) == OK &&
        put_command(&document, run->step, &command))
        doc_add(arena, list, doc_text(arena, buf_text(&command), command.count));
}

/* Of the run's own parameters, and of its sources as they were. */
static bool submit_again(struct local *app, const struct care_run *run, struct arena *arena,
                         struct value *list)
{
    const struct app_request changes = {.only_step = run->step, .who = "fsck --repair"};
    char id[APP_RUN_ID_BYTES], quoted[2 * ERR_TEXT_BYTES];
    struct err err = {0};
    if (!app->is_served)
        return false;
    if (local_resubmit(&app->base, run->run, &changes, id, &err) != OK) {
        log_event(LOG_WARN, "repair.refused", "run=%s step=%s reason=%s", run->run, run->step,
                  log_quote(err.text, quoted, sizeof quoted));
        return false;
    }
    doc_add(arena, list, doc_text(arena, id, strlen(id)));
    return true;
}

void care_repair_runs(struct local *app, const struct care_choice *choice, struct arena *arena,
                      struct value *repair)
{
    struct value *runs = doc_put(arena, repair, "runs", doc_list());
    struct value *again = doc_put(arena, repair, "again", doc_list());
    for (uint32_t i = 0; i < choice->run_count; i++)
        if (!submit_again(app, &choice->runs[i], arena, runs))
            add_command(app, &choice->runs[i], arena, again);
}
