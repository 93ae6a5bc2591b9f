/* gc and fsck of a served broker: begun there, then asked after. */
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <string.h>

#include "broker/remote/remote.h"
#include "common/base/doc.h"

enum { LOOK_AGAIN_MS = 200 };

static enum status begin(struct app *app, const char *path, const struct value *body,
                         struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value answer;
    const struct remote_ask ask = {.method = "POST", .path = path, .body = body};
    return remote_ask(remote_of(app), &ask, &arena, &answer, err);
}

enum status remote_gc(struct app *app, const struct app_gc *options, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value body = doc_map();
    doc_put(&arena, &body, "removes", value_bool(options->removes));
    if (options->has_keep)
        doc_put(&arena, &body, "keep", value_int(options->keep));
    if (options->has_age)
        doc_put(&arena, &body, "older_seconds", value_int(options->age_us / 1000000));
    struct value *labels = doc_put(&arena, &body, "labels", doc_map());
    for (size_t i = 0; i < options->label_count; i++) {
        const char *label = options->labels[i];
        size_t bytes = strcspn(label, "=");
        if (!value_get(labels, arena_text(&arena, label, bytes)))
            doc_put(&arena, labels, arena_text(&arena, label, bytes),
                    value_string(label + bytes + (label[bytes] == '=')));
    }
    return begin(app, "/v1/gc", &body, err);
}

enum status remote_fsck(struct app *app, const struct app_fsck *options, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value body = doc_map();
    doc_put(&arena, &body, "bytes", value_bool(options->reads_bytes));
    doc_put(&arena, &body, "signatures", value_bool(options->signatures));
    doc_put(&arena, &body, "repair", value_bool(options->repairs));
    return begin(app, "/v1/fsck", &body, err);
}

enum status remote_care_result(struct app *app, struct arena *arena, struct value *out,
                               bool *is_done, struct err *err)
{
    struct value answer;
    const struct remote_ask ask = {.method = "GET", .path = "/v1/care"};
    TRY(remote_ask(remote_of(app), &ask, arena, &answer, err));
    const struct value *done = answer.type == VALUE_MAP ? value_get(&answer, "done") : NULL;
    const struct value *found = done ? value_get(&answer, "answer") : NULL;
    if (!done || done->type != VALUE_BOOL || !found || (done->boolean && found->type != VALUE_MAP))
        return err_set(err, E_PROTOCOL, "/v1/care: not the answer of a broker");
    *is_done = done->boolean;
    *out = *found;
    if (!*is_done)
        poll(NULL, 0, LOOK_AGAIN_MS);
    return OK;
}
