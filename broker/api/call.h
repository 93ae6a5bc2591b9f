/* Inside the control plane: one request on its way to its answer. Seen by broker/api/ alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/api/api.h"
#include "broker/api/route.h"
#include "broker/api/schema.h"
#include "common/net/http_server.h"

struct gate;
struct blobs;
struct watchers;

struct api {
    struct app *app;
    struct http_server *server;
    struct gate *gate;
    struct schemas *schemas;
    struct blobs *blobs;
    struct watchers *watchers;
    struct held *held_first, **held_end; /* answers that wait for a commit, in order */
    char *spool, *leader;
    bool is_ready;
};

/* What a handler gets, and how it answers: it fills `answer` (and `status`, if that is not the
 * route's), or `response`, or gives the request away. */
struct api_call {
    struct api *api;
    struct app *app;
    struct httpd_request *request; /* NULL: it was given away */
    const struct api_match *match;
    struct arena arena;
    struct value body; /* checked against the route's schema; VALUE_NIL: none was sent */
    struct value answer;
    unsigned status;
    bool has_pipeline; /* the application's diagnostics are about it */
    bool has_response;
    struct httpd_response response;
};

/* ---- what was asked ---- */

/* The value of the n-th {…} of the pattern. */
const char *call_path(const struct api_call *call, size_t n);
/* NULL: it wasn't given. */
const char *call_query(const struct api_call *call, const char *name);
int64_t call_count(const struct api_call *call, const char *name, int64_t otherwise);
bool call_flag(const struct api_call *call, const char *name);
/* All values of a name that may be given many times; `*out` lives in the call's arena. */
size_t call_list(struct api_call *call, const char *name, const char *const **out);

/* ---- answers; any thread ---- */

/* Bytes of a type; `body` is moved. */
struct httpd_response answer_bytes(unsigned status, const char *type, struct buf *body);
struct httpd_response answer_json(unsigned status, const struct value *value);
/* {"error": {"code", "message", "problems": [lines]}}; `problems` NULL: none. */
struct httpd_response answer_error(unsigned status, const struct err *err, const char *problems);
/* The HTTP status that says the same. */
unsigned answer_status(enum status status);
/* Puts the headers that every answer has, writes the access log's line, and sends it. Frees the
 * request. */
void answer_send(struct http_server *server, struct httpd_request *request,
                 struct httpd_response *response);
/* The same headers and line, for the gate's refusals. */
void answer_finish(const struct httpd_request *request, struct httpd_response *response);

/* ---- the parts ---- */

/* gate.c: on the web server's thread. */
struct gate_options {
    const char *home;
    const char *const *hosts;
    size_t host_count;
};
MUST_USE enum status gate_new(const struct gate_options *options, struct gate **out,
                              struct err *err);
void gate_free(struct gate *gate);
bool gate_head(void *gate, struct httpd_request *request, struct httpd_response *refusal);
void gate_refuse(void *gate, const struct httpd_request *request, unsigned status, const char *text,
                 struct httpd_response *out);

/* watch.c: streams that go on. */
struct watchers *watchers_new(struct api *api);
void watchers_free(struct watchers *watchers);
void watchers_turn(struct watchers *watchers);
/* Whoever watches is to ask again. */
void watchers_end(struct watchers *watchers);
void watchers_closed(struct watchers *watchers, uint64_t id);
/* Events of `run` (NULL: of all) behind number `after`, to the call's client. */
void watch_events(struct api_call *call, const char *run, uint64_t after);
/* What the task writes, as plain text or as events. */
void watch_log(struct api_call *call, const char *task, const struct app_log *from,
               const struct buf *first, bool as_events);

/* blobs.c: a thread of its own, with its own handle of the store. */
MUST_USE enum status blobs_new(struct http_server *server, const char *store, const char *spool,
                               struct blobs **out, struct err *err);
void blobs_free(struct blobs *blobs);
/* A request whose `match` names an artifact by now. */
void blobs_pass(struct blobs *blobs, struct httpd_request *request);

/* openapi.c */
struct value openapi_document(const struct schemas *schemas, struct arena *arena);
