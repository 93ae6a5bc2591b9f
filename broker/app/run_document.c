/* A run as it is kept in the state: what submission_restore needs, who and when, and at the end the
 * result. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/run.h"

#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"

enum status run_document_put(struct local *app, struct run *run, const char *state,
                             const struct value *result, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document = doc_map();
    doc_put(&arena, &document, "id", value_string(run->id));
    doc_put(&arena, &document, "pipeline", value_string(pipeline_name(run->submission->pipeline)));
    doc_put(&arena, &document, "state", value_string(state));
    doc_put(&arena, &document, "begun_us", value_int(run->begun_us));
    doc_put(&arena, &document, "ended_us", run->ended_us ? value_int(run->ended_us) : value_nil());
    doc_put(&arena, &document, "who", value_string(run->who));
    doc_put(&arena, &document, "name", run->name ? value_string(run->name) : value_nil());
    doc_put(&arena, &document, "params", *pipeline_params(run->submission->pipeline));
    submission_document(run->submission, &arena, &document);
    if (result)
        doc_put(&arena, &document, "result", *result);
    size_t bytes = value_encode(&document, NULL, 0);
    if (!bytes)
        return err_set(err, E_INVALID, "run %s: its document has no canonical form", run->id);
    AUTO(mem_free) uint8_t *encoded = mem_alloc(bytes);
    value_encode(&document, encoded, bytes);
    run->put = loop_put_run(app->loop, run->id, encoded, bytes);
    return OK;
}

enum status run_document_get(struct local *app, const char *ref, struct arena *arena,
                             struct value *out, struct err *err)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    char id[STATE_RUN_ID_BYTES];
    TRY(state_get_run(app->state, ref, id, sizeof id, &bytes, err));
    TRY(value_decode(bytes.bytes, bytes.count, arena_memory(arena), out, err));
    if (out->type != VALUE_MAP || !value_get_text(out, "id"))
        return err_set(err, E_CORRUPT, "run %s: its document is damaged", id);
    return OK;
}
