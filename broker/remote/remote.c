// SPDX-License-Identifier: Apache-2.0
#include "broker/remote/remote.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/app/local.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/crypto/secret.h"
#include "common/fs.h"

enum {
    TOKEN_BYTES_MAX = 256,
    HOST_BYTES_MAX = 255,
    PATIENCE_MS = 10000 /* a standby takes over within 5 s */
};

/* ---- questions ---- */

static enum status get(struct app *app, struct arena *arena, struct value *out, struct err *err,
                       const char *format, const char *ref)
{
    AUTO(buf_fini) struct buf escaped = buf_init(0), path = buf_init(0);
    remote_put_escaped(&escaped, ref);
    buf_put_text(&path, format);
    buf_put_text(&path, buf_text(&escaped));
    struct remote_ask ask = {.method = "GET", .path = buf_text(&path)};
    return remote_ask(remote_of(app), &ask, arena, out, err);
}

/* The list in an answer {KEY: list}. */
static enum status get_list(struct app *app, const char *path, const char *key, struct arena *arena,
                            struct value *out, struct err *err)
{
    struct value answer;
    TRY(get(app, arena, &answer, err, path, ""));
    const struct value *list = answer.type == VALUE_MAP ? value_get(&answer, key) : NULL;
    if (!list || list->type != VALUE_ARRAY)
        return err_set(err, E_PROTOCOL, "%s: the answer has no list \"%s\"", path, key);
    *out = *list;
    return OK;
}

/* A run is one part of a path: a "/" in it is no slash of ours. */
static void put_run(struct buf *path, const char *run)
{
    AUTO(buf_fini) struct buf part = buf_init(0);
    buf_put_text(path, "/v1/runs/");
    for (const char *slash; (slash = strchr(run, '/')); run = slash + 1) {
        buf_clear(&part);
        buf_put(&part, run, (size_t)(slash - run));
        remote_put_escaped(path, buf_text(&part));
        buf_put_text(path, "%2F");
    }
    remote_put_escaped(path, run);
}

static enum status result(struct app *app, const char *run, bool full, struct arena *arena,
                          struct value *out, struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    put_run(&path, run);
    buf_put_text(&path, full ? "?full=true" : "");
    struct remote_ask ask = {.method = "GET", .path = buf_text(&path)};
    return remote_ask(remote_of(app), &ask, arena, out, err);
}

static void put_query(struct buf *path, const char *name, const char *value)
{
    if (!value)
        return;
    buf_format(path, "&%s=", name);
    remote_put_escaped(path, value);
}

static enum status list(struct app *app, const struct app_filter *filter, struct arena *arena,
                        struct value *out, struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    buf_format(&path, "/v1/runs?limit=%zu", filter->limit);
    put_query(&path, "state", filter->state);
    put_query(&path, "name", filter->name);
    put_query(&path, "pipeline", filter->pipeline);
    put_query(&path, "before", filter->before);
    for (size_t i = 0; i < filter->label_count; i++)
        put_query(&path, "label", filter->labels[i]);
    return get_list(app, buf_text(&path), "runs", arena, out, err);
}

static enum status get_document(struct app *app, const char *ref, bool spec, struct arena *arena,
                                struct value *out, struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    buf_put_text(&path, "/v1/documents/");
    remote_put_escaped(&path, ref);
    buf_put_text(&path, spec ? "?spec=true" : "");
    struct remote_ask ask = {.method = "GET", .path = buf_text(&path)};
    return remote_ask(remote_of(app), &ask, arena, out, err);
}

static enum status lineage(struct app *app, const char *ref, struct arena *arena, struct value *out,
                           struct err *err)
{
    return get(app, arena, out, err, "/v1/lineage/", ref);
}

static enum status artifact(struct app *app, const char *ref, struct arena *arena,
                            struct value *out, struct err *err)
{
    return get(app, arena, out, err, "/v1/refs/", ref);
}

static enum status urls(struct app *app, const char *ref, uint32_t seconds, struct arena *arena,
                        struct value *out, struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    buf_put_text(&path, "/v1/urls/");
    remote_put_escaped(&path, ref);
    buf_format(&path, "?seconds=%u", seconds);
    struct remote_ask ask = {.method = "GET", .path = buf_text(&path)};
    return remote_ask(remote_of(app), &ask, arena, out, err);
}

static enum status workers(struct app *app, struct arena *arena, struct value *out, struct err *err)
{
    return get_list(app, "/v1/workers", "workers", arena, out, err);
}

static enum status load(struct app *app, struct arena *arena, struct value *out, struct err *err)
{
    return get(app, arena, out, err, "/v1/load", "");
}

/* ---- orders ---- */

static enum status post(struct app *app, const char *run, const char *what,
                        char out[APP_RUN_ID_BYTES], struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(buf_fini) struct buf path = buf_init(0);
    struct value answer;
    put_run(&path, run);
    buf_format(&path, "/%s", what);
    struct remote_ask ask = {.method = "POST", .path = buf_text(&path)};
    TRY(remote_ask(remote_of(app), &ask, &arena, &answer, err));
    const char *id = answer.type == VALUE_MAP ? value_get_text(&answer, "run") : NULL;
    if (!id || strlen(id) >= APP_RUN_ID_BYTES)
        return err_set(err, E_PROTOCOL, "%s: the answer names no run", buf_text(&path));
    memcpy(out, id, strlen(id) + 1);
    return OK;
}

static enum status stop(struct app *app, const char *run, bool kill, char out[APP_RUN_ID_BYTES],
                        struct err *err)
{
    return post(app, run, kill ? "stop?kill=true" : "stop", out, err);
}

static enum status retry(struct app *app, const char *run, char out[APP_RUN_ID_BYTES],
                         struct err *err)
{
    return post(app, run, "retry", out, err);
}

/* ---- is it well? ---- */

static void put_check(struct arena *arena, struct value *out, const char *check, enum status status,
                      const struct err *err, const char *well, const char *mend)
{
    struct value *entry = doc_add(arena, out, doc_map());
    const char *found = status == OK ? well : err->text;
    doc_put(arena, entry, "check", value_string(check));
    doc_put(arena, entry, "ok", value_bool(status == OK));
    doc_put(arena, entry, "found", doc_text(arena, found, strlen(found)));
    doc_put(arena, entry, "mend", status == OK ? value_nil() : value_string(mend));
}

static enum status doctor(struct app *app, struct arena *arena, struct value *out, struct err *err)
{
    (void)err;
    struct remote *remote = remote_of(app);
    struct err why = {0};
    struct value answer;
    *out = doc_list();
    enum status status = get(app, arena, &answer, &why, "/healthz", "");
    put_check(arena, out, "server", status, &why, remote->servers[remote->server],
              "start a broker there (broker serve), or name another with --server");
    if (status != OK)
        return OK;
    status = get(app, arena, &answer, &why, "/v1/load", "");
    put_check(arena, out, "token", status, &why, "it may look",
              "PENSTOCK_TOKEN is what is in the broker's read.token or write.token");
    if (status != OK || get_list(app, "/v1/doctor", "checks", arena, &answer, &why) != OK)
        return OK;
    for (uint32_t i = 0; i < answer.count; i++)
        doc_add(arena, out, answer.items[i]);
    return OK;
}

/* ---- opening ---- */

static const char *diagnostics(struct app *app)
{
    struct remote *remote = remote_of(app);
    return remote->diagnostics.text.count ? buf_text(&remote->diagnostics.text) : "";
}

static void close_remote(struct app *app)
{
    struct remote *remote = remote_of(app);
    remote_watch_free(remote);
    if (remote->http)
        http_close(remote->http);
    if (remote->store)
        store_close(remote->store);
    if (remote->authorization)
        secret_free(remote->authorization);
    diagnostics_fini(&remote->diagnostics);
    arena_fini(&remote->arena);
    mem_free(remote);
}

static const struct app_backend backend = {.name = "a served broker",
                                           .close = close_remote,
                                           .diagnostics = diagnostics,
                                           .submit = remote_submit,
                                           .resubmit = remote_resubmit,
                                           .turn = remote_turn,
                                           .run_is_over = remote_run_is_over,
                                           .stop = stop,
                                           .retry = retry,
                                           .watch = remote_watch,
                                           .step_count = remote_step_count,
                                           .step_progress = remote_step_progress,
                                           .next_event = remote_next_event,
                                           .result = result,
                                           .plan = remote_plan,
                                           .explain = remote_explain,
                                           .graph = remote_graph,
                                           .lint = remote_lint,
                                           .list = list,
                                           .get = get_document,
                                           .lineage = lineage,
                                           .artifact = artifact,
                                           .export = remote_export,
                                           .gc = remote_gc,
                                           .fsck = remote_fsck,
                                           .care_result = remote_care_result,
                                           .urls = urls,
                                           .verify = remote_verify,
                                           .proof = remote_proof,
                                           .attest = remote_attest,
                                           .verify_attestation = local_verify_attestation,
                                           .logs = remote_logs,
                                           .workers = workers,
                                           .load = load,
                                           .doctor = doctor};

static enum status add_server(struct remote *remote, const char *text, size_t bytes,
                              struct err *err)
{
    static const char *const schemes[] = {"http://", "https://"};
    while (bytes && text[bytes - 1] == '/')
        bytes--;
    bool is_url = false;
    for (size_t i = 0; i < 2; i++) {
        size_t scheme = strlen(schemes[i]);
        is_url |= bytes > scheme && strncmp(text, schemes[i], scheme) == 0 &&
                  strcspn(text + scheme, "/?#@ ") + scheme >= bytes;
    }
    if (!is_url)
        return err_set(err, E_INVALID,
                       "--server %.*s: expected http://HOST:PORT or https://HOST, or several with "
                       "commas between",
                       (int)bytes, text);
    if (remote->server_count == SERVERS_MAX)
        return err_set(err, E_LIMIT, "--server: more than %d", SERVERS_MAX);
    remote->servers[remote->server_count++] = arena_text(&remote->arena, text, bytes);
    return OK;
}

static bool is_loopback(const char *url)
{
    char host[HOST_BYTES_MAX + 1];
    const char *begin = strstr(url, "://") + 3;
    size_t bytes = strcspn(begin, *begin == '[' ? "]" : ":");
    if (bytes > HOST_BYTES_MAX)
        return false;
    memcpy(host, begin, bytes);
    host[bytes] = 0;
    struct in_addr v4;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

static enum status take_token(struct remote *remote, const char *token, const char *origin,
                              struct err *err)
{
    static const char scheme[] = "Bearer ";
    size_t bytes = strcspn(token, " \t\r\n");
    bool is_token = bytes && bytes <= TOKEN_BYTES_MAX;
    for (size_t i = 0; i < bytes; i++)
        is_token &= token[i] > ' ' && token[i] < 0x7f;
    if (!is_token || token[bytes + strspn(token + bytes, " \t\r\n")])
        return err_set(err, E_INVALID, "%s: expected one token of printable characters", origin);
    remote->authorization = secret_new(sizeof scheme + bytes);
    memcpy(remote->authorization, scheme, sizeof scheme - 1);
    memcpy(remote->authorization + sizeof scheme - 1, token, bytes);
    remote->authorization[sizeof scheme - 1 + bytes] = 0;
    return OK;
}

static enum status read_token(struct remote *remote, const char *path, struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(4 * TOKEN_BYTES_MAX);
    TRY(fs_read(path, &text, err));
    enum status status = take_token(remote, buf_text(&text), path, err);
    secret_wipe(text.bytes, text.count);
    return status;
}

/* Whoever can read the broker's own files on its own machine needs not be told. */
static enum status find_token(struct remote *remote, const struct app_options *options,
                              struct err *err)
{
    static const char *const names[] = {"write.token", "read.token"};
    if (options->token)
        return take_token(remote, options->token, "PENSTOCK_TOKEN", err);
    if (options->token_file)
        return read_token(remote, options->token_file, err);
    for (size_t i = 0; i < 2 && is_loopback(remote->servers[0]); i++) {
        AUTO(buf_fini) struct buf path = buf_init(0);
        buf_format(&path, "%s/%s", remote->home, names[i]);
        if (access(buf_text(&path), R_OK) == 0)
            return read_token(remote, buf_text(&path), err);
    }
    return OK;
}

static const char *who_am_i(struct arena *arena)
{
    char host[HOST_BYTES_MAX + 1] = "";
    const struct passwd *user = getpwuid(getuid());
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = 0;
    return user ? arena_format(arena, "%s@%s", user->pw_name, host)
                : arena_format(arena, "uid %u@%s", (unsigned)getuid(), host);
}

static enum status set_up(struct remote *remote, const struct app_options *options, struct err *err)
{
    const char *home = options->home ? options->home : ".penstock";
    remote->home = arena_text(&remote->arena, home, strlen(home));
    remote->store_url = arena_format(&remote->arena, "%s/store", home);
    remote->source_cache = arena_format(&remote->arena, "%s/sources", home);
    remote->who = who_am_i(&remote->arena);
    for (const char *at = options->server; *at;) {
        size_t bytes = strcspn(at, ",");
        TRY(add_server(remote, at, bytes, err));
        at += bytes + (at[bytes] == ',');
    }
    if (!remote->server_count)
        return err_set(err, E_INVALID, "--server: expected http://HOST:PORT");
    TRY(find_token(remote, options, err));
    struct http_options http = {.ca_file = options->ca_file};
    return http_open(&http, &remote->http, err);
}

enum status remote_open(const struct app_options *options, struct app **out, struct err *err)
{
    *out = NULL;
    struct remote *remote = mem_alloc(sizeof *remote);
    remote->base.backend = &backend;
    remote->patience_ms = PATIENCE_MS;
    remote->diagnostics.text = buf_init(0);
    enum status status = set_up(remote, options, err);
    if (status != OK)
        close_remote(&remote->base);
    else
        *out = &remote->base;
    return status;
}
