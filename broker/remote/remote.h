/* The application interface in front of a served broker: every call becomes a request to its HTTP
 * interface (broker/api). Sources are resolved here, on the client's side, and go up by their ids;
 * what comes back is verified. Seen by broker/remote/ and broker/app.c alone.
 *
 *   remote.c         questions that are one request each; opening
 *   remote_ask.c     one request: servers in turn, the leader, errors
 *   remote_submit.c  pipeline, sources, uploads
 *   remote_watch.c   events of one run, over lost connections
 *   remote_bytes.c   artifacts and logs
 *   remote_verify.c  is an artifact what its record says
 *   remote_care.c    gc and fsck
 *
 * The token goes to the servers that were named, to nobody else: a redirect elsewhere (a store's
 * URL) is followed without it, and a leader that wasn't named is an error that names it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/backend.h"
#include "broker/pipeline/pipeline.h"
#include "common/base/ms.h"
#include "common/net/http_client.h"
#include "common/store/store.h"

enum { SERVERS_MAX = 8 };

struct remote_watch;
struct tree_entry;

struct remote {
    struct app base;
    struct arena arena;
    const char *home, *store_url, *source_cache, *who;
    char *servers[SERVERS_MAX];  /* "http://127.0.0.1:7001", without a slash at the end */
    size_t server_count, server; /* the one that answered last */
    ms_t patience_ms;            /* with several brokers of which none leads */
    char *authorization;         /* "Bearer …", in locked memory; NULL: no token */
    struct http *http;
    struct diagnostics diagnostics;
    struct store *store; /* a folder here; NULL: not open yet */
    struct remote_watch *watch;
};

static inline struct remote *remote_of(struct app *app)
{
    return (struct remote *)(void *)app;
}

/* app.c: `options->server` is one URL, or several with commas between. Errors: E_INVALID a URL or a
 * token file. */
MUST_USE enum status remote_open(const struct app_options *options, struct app **out,
                                 struct err *err);

/* ---- remote_ask.c ---- */

struct remote_ask {
    const char *method, *path; /* from "/v1/" on, escaped */
    const struct value *body;  /* NULL: none */
    const char *key;           /* Idempotency-Key; NULL: none */
    bool is_repeatable;        /* asking twice does no harm; GET and what has a key needs not say */
    uint32_t whole_ms;         /* 0: a minute */
};
/* A JSON answer into `arena`. Errors: what the broker says, in its words; E_UNREACHABLE. */
MUST_USE enum status remote_ask(struct remote *remote, const struct remote_ask *ask,
                                struct arena *arena, struct value *out, struct err *err);
/* As remote_ask with GET: answers of other kinds go to `sink`; `headers` (may be NULL) is called
 * with the call before it ends. */
struct remote_sink {
    enum status (*write)(void *context, const void *piece, size_t bytes, struct err *err);
    void (*headers)(void *context, const struct http_call *call);
    /* What came is forgotten, since it is asked for again. NULL: it is asked for once. */
    void (*again)(void *context);
    void *context;
};
MUST_USE enum status remote_get(struct remote *remote, const char *path,
                                const struct remote_sink *sink, struct err *err);
/* The error that an answer other than 2xx stands for; diagnostics are taken, too. */
enum status remote_error(struct remote *remote, struct http_call *call, struct err *err);
/* Is the URL below one of the servers that were named? Which. */
bool remote_is_server(const struct remote *remote, const char *url, size_t *index);
/* The error of an answer that sends on to a leader: E_DENIED it wasn't named; E_UNREACHABLE. */
enum status remote_refuse(const struct remote *remote, const struct http_call *call,
                          struct err *err);
/* Headers every request has; returns how many. */
enum { REMOTE_HEADERS_MAX = 6 };
size_t remote_headers(const struct remote *remote, bool with_token,
                      struct http_header out[REMOTE_HEADERS_MAX]);
/* Percent-escapes what can't stand in a path; slashes stay. */
void remote_put_escaped(struct buf *out, const char *text);

/* ---- remote_submit.c ---- */

enum status remote_submit(struct app *app, const struct app_request *request,
                          char run[APP_RUN_ID_BYTES], struct err *err);
enum status remote_resubmit(struct app *app, const char *run, const struct app_request *changes,
                            char out[APP_RUN_ID_BYTES], struct err *err);
enum status remote_plan(struct app *app, const struct app_request *request, struct arena *arena,
                        struct value *out, struct err *err);
enum status remote_explain(struct app *app, const struct app_request *request, const char *task,
                           struct arena *arena, struct value *out, struct err *err);
enum status remote_graph(struct app *app, const struct app_request *request,
                         enum app_graph_format format, bool all_tasks, struct buf *out,
                         struct err *err);
enum status remote_lint(struct app *app, const struct app_request *request, struct err *err);
/* The folder in which sources are kept on their way. */
MUST_USE enum status remote_open_store(struct remote *remote, struct err *err);

/* remote_upload.c: what of these artifacts (and of their files) the broker's store lacks goes there
 * from ours. */
MUST_USE enum status remote_upload(struct remote *remote, const struct artifact *artifacts,
                                   size_t count, struct err *err);

/* ---- remote_watch.c ---- */

enum status remote_watch(struct app *app, const char *run, struct err *err);
enum status remote_turn(struct app *app, ms_t max_ms, struct err *err);
bool remote_run_is_over(struct app *app, const char *run);
uint32_t remote_step_count(const struct app *app, const char *run);
void remote_step_progress(const struct app *app, const char *run, uint32_t step,
                          struct app_step_progress *out);
bool remote_next_event(struct app *app, const char *run, uint64_t after, struct app_event *out);
void remote_watch_free(struct remote *remote);

/* ---- remote_care.c ---- */

enum status remote_gc(struct app *app, const struct app_gc *options, struct err *err);
enum status remote_fsck(struct app *app, const struct app_fsck *options, struct err *err);
enum status remote_care_result(struct app *app, struct arena *arena, struct value *out,
                               bool *is_done, struct err *err);

/* ---- remote_verify.c ---- */

enum status remote_verify(struct app *app, const char *ref, const struct app_verify *options,
                          struct arena *arena, struct value *out, struct err *err);
enum status remote_proof(struct app *app, const char *task, struct app_proof *out, struct err *err);

/* ---- remote_bytes.c ---- */

/* The files of a tree, in `arena`, sorted; its manifest goes into `store`. Errors: E_CORRUPT the
 * list is not that tree's. */
MUST_USE enum status remote_list_tree(struct remote *remote, const struct id *id,
                                      struct store *store, struct arena *arena,
                                      struct tree_entry **entries, size_t *count, struct err *err);
enum status remote_export(struct app *app, const char *ref, const char *path, struct buf *out,
                          struct err *err);
enum status remote_attest(struct app *app, const char *ref, bool all, struct buf *out,
                          struct err *err);
enum status remote_logs(struct app *app, const char *task, struct app_log *at, struct buf *out,
                        struct err *err);
