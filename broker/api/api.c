// SPDX-License-Identifier: Apache-2.0
#include "broker/api/api.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/api/call.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "common/net/http_client.h"
#include "common/net/http_listen.h"
#include "common/text/json.h"

enum { CHECK_MS = 2000 };

/* ---- what was asked ---- */

const char *call_path(const struct api_call *call, size_t n)
{
    return call->match->path[n];
}

const char *call_query(const struct api_call *call, const char *name)
{
    return httpd_request_query(call->request, name);
}

int64_t call_count(const struct api_call *call, const char *name, int64_t otherwise)
{
    const char *text = call_query(call, name);
    return text ? strtoll(text, NULL, 10) : otherwise; /* the gate has seen digits */
}

bool call_flag(const struct api_call *call, const char *name)
{
    const char *text = call_query(call, name);
    return text && strcmp(text, "true") == 0;
}

size_t call_list(struct api_call *call, const char *name, const char *const **out)
{
    const char **items =
        arena_alloc(&call->arena, (call->request->query_count + 1) * sizeof *items);
    size_t count = 0;
    for (size_t i = 0; i < call->request->query_count; i++)
        if (strcmp(call->request->query[i].name, name) == 0)
            items[count++] = call->request->query[i].value;
    *out = items;
    return count;
}

/* ---- one request ---- */

static enum status read_body(struct api_call *call, struct err *err)
{
    const struct api_route *route = call->match->route;
    struct buf *body = &call->request->body;
    if (!route->body || !body->count || !httpd_request_is_type(call->request, "application/json"))
        return OK;
    TRY(json_parse("body", buf_text(body), body->count, &call->arena, &call->body, err));
    return schemas_check(call->api->schemas, route->body, &call->body, err);
}

/* What is accepted is committed before anybody hears so. */
struct held {
    struct held *next;
    uint64_t order;
    struct httpd_request *request;
    struct httpd_response response;
};

static void hold(struct api *api, struct api_call *call, uint64_t order)
{
    struct held *held = mem_alloc(sizeof *held);
    *held = (struct held){.order = order, .request = call->request, .response = call->response};
    *api->held_end = held;
    api->held_end = &held->next;
}

static struct held *take_held(struct api *api)
{
    struct held *first = api->held_first;
    api->held_first = first->next;
    if (!api->held_first)
        api->held_end = &api->held_first;
    return first;
}

static void answer_committed(struct api *api)
{
    while (api->held_first && app_is_committed(api->app, api->held_first->order)) {
        struct held *held = take_held(api);
        answer_send(api->server, held->request, &held->response);
        mem_free(held);
    }
}

static bool has_to_wait(const struct api *api, const struct api_route *route, uint64_t *order)
{
    *order = app_last_order(api->app);
    return route->role == ROLE_WRITE && !app_is_committed(api->app, *order);
}

static void handle(struct api *api, struct httpd_request *request)
{
    uint64_t order;
    struct api_call call = {
        .api = api, .app = api->app, .request = request, .match = request->route};
    const struct api_route *route = call.match->route;
    struct err err = {0};
    enum status status = read_body(&call, &err);
    if (status == OK)
        status = route->handle(&call, &err);
    if (status != OK) {
        unsigned http = call.status ? call.status : answer_status(status);
        httpd_response_fini(&call.response);
        call.response =
            answer_error(http, &err, call.has_pipeline ? app_diagnostics(api->app) : NULL);
    } else if (!call.has_response) {
        unsigned http = call.status ? call.status : route->status ? route->status : 200;
        call.response = answer_json(http, &call.answer);
    }
    if (call.request && status == OK && has_to_wait(api, route, &order))
        hold(api, &call, order);
    else if (call.request)
        answer_send(api->server, request, &call.response);
    arena_fini(&call.arena);
}

static void refuse(struct api *api, struct httpd_request *request)
{
    struct err err;
    err_set(&err, E_UNREACHABLE,
            "this broker stands by, and does not know where the one that leads is reached; ask "
            "again in a moment, or ask another (--server URL,URL)");
    struct httpd_response response = answer_error(503, &err, NULL);
    httpd_response_header(&response, "Retry-After", "1");
    answer_send(api->server, request, &response);
}

/* Whether what they asked for is known to the one that leads now, nobody here can tell. */
static void refuse_held(struct api *api)
{
    while (api->held_first) {
        struct held *held = take_held(api);
        httpd_response_fini(&held->response);
        refuse(api, held->request);
        mem_free(held);
    }
}

/* The path's answer is the leader's. */
static void send_on(struct api *api, struct httpd_request *request)
{
    if (!*api->leader) {
        refuse(api, request);
        return;
    }
    AUTO(buf_fini) struct buf location = buf_init(0), none = buf_init(0);
    struct httpd_response response = answer_bytes(307, "text/plain", &none);
    buf_format(&location, "%s%s", api->leader, request->target);
    httpd_response_header(&response, "Location", buf_text(&location));
    answer_send(api->server, request, &response);
}

void api_turn(struct api *api)
{
    answer_committed(api);
    for (struct httpd_request *r; (r = http_server_next(api->server, LANE_BROKER));) {
        const struct api_match *match = r->route;
        if (r->is_closed) {
            watchers_closed(api->watchers, r->id);
            httpd_request_free(r);
        } else if (api->leader && match->route->role != ROLE_NONE) {
            send_on(api, r);
        } else {
            handle(api, r);
        }
    }
    watchers_turn(api->watchers);
}

/* ---- opening and closing ---- */

/* A broker says {"ok": true} there. */
static bool is_served_by_broker(const char *address)
{
    AUTO(http_close) struct http *http = NULL;
    AUTO(buf_fini) struct buf url = buf_init(0), answer = buf_init(1024);
    buf_format(&url, "http://%s/healthz", address);
    struct http_request request = {
        .method = "GET", .url = buf_text(&url), .out = &answer, .whole_ms = CHECK_MS};
    if (http_open(&(struct http_options){0}, &http, NULL) != OK)
        return false;
    AUTO(http_end) struct http_call *call = http_do(http, &request);
    return http_status(call) == 200 && strstr(buf_text(&answer), "\"ok\": true");
}

enum status api_check(const char *address, bool *is_served, struct err *err)
{
    struct http_address parsed;
    int fd;
    *is_served = false;
    TRY(http_address_parse(address, &parsed, err));
    enum status status = http_listen(&parsed, &fd, err);
    if (status == OK)
        close(fd);
    *is_served = status == E_CONFLICT && is_served_by_broker(address);
    return *is_served ? OK : status;
}

static enum status open_parts(struct api *api, const struct api_options *options, struct err *err)
{
    AUTO(buf_fini) struct buf spool = buf_init(0);
    struct gate_options gate = {options->home, options->hosts, options->host_count};
    buf_format(&spool, "%s/spool", options->home);
    api->spool = mem_copy_text(buf_text(&spool), spool.count);
    TRY(fs_make_dirs(api->spool, err));
    TRY(gate_new(&gate, &api->gate, err));
    struct http_server_options server = {.address = options->address,
                                         .lane_count = LANE_COUNT,
                                         .spool = api->spool,
                                         .head = gate_head,
                                         .refuse = gate_refuse,
                                         .context = api->gate};
    enum status status = http_server_open(&server, &api->server, err);
    if (status == E_CONFLICT)
        return err_set(err, status,
                       "--http %s: another program listens there; end it, or choose another port "
                       "(--http 127.0.0.1:0 takes any)",
                       options->address);
    if (status != OK)
        return err_prefix(err, "--http");
    return blobs_new(api->server, options->store, api->spool, &api->blobs, err);
}

enum status api_open(const struct api_options *options, struct api **out, struct err *err)
{
    *out = NULL;
    struct api *api = mem_alloc(sizeof *api);
    api->app = options->app;
    api->is_ready = true;
    api->held_end = &api->held_first;
    api->schemas = schemas_new();
    api->watchers = watchers_new(api);
    enum status status = open_parts(api, options, err);
    if (status != OK)
        api_close(api);
    else
        *out = api;
    return status;
}

void api_close(struct api *api)
{
    while (api->held_first) { /* the server says that it goes */
        struct held *held = take_held(api);
        httpd_response_fini(&held->response);
        httpd_request_free(held->request);
        mem_free(held);
    }
    if (api->blobs)
        blobs_free(api->blobs);
    if (api->server)
        http_server_close(api->server);
    if (api->gate)
        gate_free(api->gate);
    watchers_free(api->watchers);
    schemas_free(api->schemas);
    mem_free(api->leader);
    mem_free(api->spool);
    mem_free(api);
}

const char *api_address(const struct api *api)
{
    return http_server_address(api->server);
}

int api_fd(const struct api *api)
{
    return http_server_fd(api->server, LANE_BROKER);
}

void api_follow(struct api *api, const char *leader)
{
    mem_free(api->leader);
    if (leader) {
        watchers_end(api->watchers);
        refuse_held(api);
    }
    api->leader = leader ? mem_copy_text(leader, strlen(leader)) : NULL;
}

void api_set_ready(struct api *api, bool is_ready)
{
    api->is_ready = is_ready;
}
