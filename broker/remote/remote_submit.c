/* A pipeline goes to the broker as it stands here: its text, what it takes from outside as ids, the
 * settings. Files are opened on this side alone. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/app/submission.h"
#include "broker/remote/remote.h"
#include "common/base/doc.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/text/json.h"
#include "common/text/yaml.h"

enum { SUBMIT_MS = 600000, RANDOM_BYTES = 16 };

enum status remote_open_store(struct remote *remote, struct err *err)
{
    if (remote->store)
        return OK;
    TRY(fs_make_dirs(remote->home, err));
    return store_open(remote->store_url, &remote->store, err);
}

/* ---- the body ---- */

static void put_text(struct arena *arena, struct value *body, const char *key, const char *text)
{
    if (text)
        doc_put(arena, body, key, doc_text(arena, text, strlen(text)));
}

/* "a=1" → {"a": 1}: values as YAML has them, so that the broker reads the same. */
static enum status put_pairs(struct arena *arena, struct value *body, const char *key,
                             const char *flag, const char *const *items, size_t count,
                             struct err *err)
{
    struct value map = doc_map();
    bool is_text = strcmp(key, "labels") == 0;
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(items[i], '=');
        if (!equals || equals == items[i])
            return err_set(err, E_INVALID, "%s %s: expected NAME=VALUE", flag, items[i]);
        const char *name = arena_text(arena, items[i], (size_t)(equals - items[i]));
        struct value value = value_string(equals + 1);
        if (!is_text && equals[1])
            TRY(yaml_parse(flag, equals + 1, strlen(equals + 1), arena, &value, err));
        struct value *known = (struct value *)(uintptr_t)value_get(&map, name);
        if (known) /* the later one wins, as on the command line */
            *known = value;
        else
            doc_put(arena, &map, name, value);
    }
    if (count)
        doc_put(arena, body, key, map);
    return OK;
}

static enum status put_settings(struct remote *remote, const struct app_request *request,
                                struct arena *arena, struct value *body, struct err *err)
{
    TRY(put_pairs(arena, body, "params", "-p", request->params, request->param_count, err));
    TRY(put_pairs(arena, body, "set", "--set", request->sets, request->set_count, err));
    TRY(put_pairs(arena, body, "labels", "--label", request->labels, request->label_count, err));
    if (request->force_all)
        doc_put(arena, body, "force", value_bool(true));
    else
        put_text(arena, body, "force", request->force_step);
    put_text(arena, body, "only", request->only_step);
    put_text(arena, body, "name", request->name);
    put_text(arena, body, "who", request->who ? request->who : remote->who);
    return OK;
}

static void put_sources(const struct submission *s, struct arena *arena, struct value *body)
{
    struct value document = doc_map();
    submission_document(s, arena, &document);
    if (s->need_count)
        doc_put(arena, body, "sources", *value_get(&document, "sources"));
}

/* Parses and resolves here, with the bytes into our store if they are to go up. */
static enum status open_request(struct remote *remote, const struct app_request *request,
                                bool keeps, struct submission **out, struct err *err)
{
    diagnostics_fini(&remote->diagnostics);
    if (keeps)
        TRY(remote_open_store(remote, err));
    AUTO(submission_free) struct submission *s = NULL;
    TRY(submission_parse(request, &remote->diagnostics, &s, err));
    TRY(submission_resolve(s, request, keeps ? remote->store : NULL, remote->source_cache, err));
    *out = TAKE(s);
    return OK;
}

static enum status make_body(struct remote *remote, const struct app_request *request,
                             const struct submission *s, struct arena *arena, struct value *body,
                             struct err *err)
{
    *body = doc_map();
    doc_put(arena, body, "pipeline", doc_text(arena, s->text, s->text_bytes));
    put_text(arena, body, "file", s->file);
    put_sources(s, arena, body);
    return put_settings(remote, request, arena, body, err);
}

/* ---- runs ---- */

/* An order that may have been heard is given again under the same name. */
static const char *key_of(const struct app_request *request, struct arena *arena)
{
    uint8_t random[RANDOM_BYTES];
    char text[2 * RANDOM_BYTES + 1];
    if (request->idempotency_key)
        return request->idempotency_key;
    random_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    return arena_text(arena, text, sizeof text - 1);
}

static enum status send(struct remote *remote, const char *path, const struct app_request *request,
                        const struct value *body, struct arena *arena, char run[APP_RUN_ID_BYTES],
                        struct err *err)
{
    struct remote_ask ask = {.method = "POST",
                             .path = path,
                             .body = body,
                             .key = key_of(request, arena),
                             .whole_ms = SUBMIT_MS};
    struct value answer;
    TRY(remote_ask(remote, &ask, arena, &answer, err));
    const char *id = answer.type == VALUE_MAP ? value_get_text(&answer, "run") : NULL;
    if (!id || strlen(id) >= APP_RUN_ID_BYTES)
        return err_set(err, E_PROTOCOL, "%s: the answer names no run", path);
    memcpy(run, id, strlen(id) + 1);
    return OK;
}

enum status remote_submit(struct app *app, const struct app_request *request,
                          char run[APP_RUN_ID_BYTES], struct err *err)
{
    struct remote *remote = remote_of(app);
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(submission_free) struct submission *s = NULL;
    struct value body;
    TRY(open_request(remote, request, true, &s, err));
    TRY(remote_upload(remote, s->sources, s->need_count, err));
    TRY(make_body(remote, request, s, &arena, &body, err));
    TRY(send(remote, "/v1/runs", request, &body, &arena, run, err));
    return remote_watch(app, run, err);
}

enum status remote_resubmit(struct app *app, const char *of, const struct app_request *changes,
                            char out[APP_RUN_ID_BYTES], struct err *err)
{
    struct remote *remote = remote_of(app);
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(buf_fini) struct buf path = buf_init(0);
    struct value body = doc_map();
    buf_put_text(&path, "/v1/runs/");
    remote_put_escaped(&path, of);
    buf_put_text(&path, "/resubmit");
    TRY(put_settings(remote, changes, &arena, &body, err));
    return send(remote, buf_text(&path), changes, &body, &arena, out, err);
}

/* ---- questions about a pipeline ---- */

static enum status ask_about(struct app *app, const struct app_request *request, const char *path,
                             struct arena *arena, struct value *out, struct err *err)
{
    AUTO(submission_free) struct submission *s = NULL;
    struct value body;
    TRY(open_request(remote_of(app), request, false, &s, err));
    TRY(make_body(remote_of(app), request, s, arena, &body, err));
    struct remote_ask ask = {.method = "POST", .path = path, .body = &body, .whole_ms = SUBMIT_MS};
    return remote_ask(remote_of(app), &ask, arena, out, err);
}

enum status remote_plan(struct app *app, const struct app_request *request, struct arena *arena,
                        struct value *out, struct err *err)
{
    return ask_about(app, request, "/v1/plan", arena, out, err);
}

enum status remote_explain(struct app *app, const struct app_request *request, const char *task,
                           struct arena *arena, struct value *out, struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    buf_put_text(&path, "/v1/explain/");
    remote_put_escaped(&path, task);
    return ask_about(app, request, buf_text(&path), arena, out, err);
}

/* What the text alone can answer needs no broker. */
enum status remote_graph(struct app *app, const struct app_request *request,
                         enum app_graph_format format, bool all_tasks, struct buf *out,
                         struct err *err)
{
    diagnostics_fini(&remote_of(app)->diagnostics);
    return submission_draw(request, format, all_tasks, &remote_of(app)->diagnostics, out, err);
}

enum status remote_lint(struct app *app, const struct app_request *request, struct err *err)
{
    AUTO(submission_free) struct submission *s = NULL;
    diagnostics_fini(&remote_of(app)->diagnostics);
    return submission_parse(request, &remote_of(app)->diagnostics, &s, err);
}
