/* What is decided about a request before its body is read: is it for us (Host), from a page of ours
 * (Origin), from somebody who may (token), for a route that exists, in words it takes? Runs on the
 * web server's thread and looks at what never changes. */
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "broker/api/call.h"
#include "common/base/mem.h"
#include "common/crypto/sign.h"

enum { HOST_BYTES_MAX = 256 };

struct gate {
    struct arena arena;
    struct tokens *tokens;
    const char **hosts;
    size_t host_count;
};

enum status gate_new(const struct gate_options *options, struct gate **out, struct err *err)
{
    *out = NULL;
    struct gate *gate = mem_alloc(sizeof *gate);
    char name[HOST_BYTES_MAX] = "";
    enum status status = tokens_open(options->home, &gate->tokens, err);
    if (status != OK) {
        gate_free(gate);
        return status;
    }
    gate->hosts = arena_alloc(&gate->arena, (options->host_count + 2) * sizeof *gate->hosts);
    gate->hosts[gate->host_count++] = "localhost";
    if (gethostname(name, sizeof name - 1) == 0 && *name)
        gate->hosts[gate->host_count++] = arena_text(&gate->arena, name, strlen(name));
    for (size_t i = 0; i < options->host_count; i++)
        gate->hosts[gate->host_count++] =
            arena_text(&gate->arena, options->hosts[i], strlen(options->hosts[i]));
    *out = gate;
    return OK;
}

void gate_free(struct gate *gate)
{
    if (gate->tokens)
        tokens_free(gate->tokens);
    arena_fini(&gate->arena);
    mem_free(gate);
}

/* ---- Host and Origin ---- */

/* Without a port; false: it is no host. */
static bool host_name(const char *host, char name[HOST_BYTES_MAX])
{
    bool is_v6 = host[0] == '[';
    size_t bytes = strcspn(host, is_v6 ? "]" : ":") + is_v6;
    if (!*host || bytes >= HOST_BYTES_MAX)
        return false;
    snprintf(name, HOST_BYTES_MAX, "%.*s", (int)bytes, host);
    return true;
}

/* A name that a stranger made point here is what DNS rebinding needs; an address can't be. */
static bool is_ours(const struct gate *gate, const char *host)
{
    char name[HOST_BYTES_MAX];
    struct in_addr v4;
    struct in6_addr v6;
    if (!host || !host_name(host, name))
        return false;
    size_t bytes = strlen(name);
    if (inet_pton(AF_INET, name, &v4) == 1)
        return true;
    if (name[0] == '[' && name[bytes - 1] == ']') {
        name[bytes - 1] = 0;
        return inet_pton(AF_INET6, name + 1, &v6) == 1;
    }
    for (size_t i = 0; i < gate->host_count; i++)
        if (strcmp(gate->hosts[i], "*") == 0 || strcasecmp(gate->hosts[i], name) == 0)
            return true;
    return false;
}

/* A browser says which page asks: only pages that this broker served itself may. */
static bool is_same_origin(const char *origin, const char *host)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++)
        if (strncasecmp(origin, schemes[i], strlen(schemes[i])) == 0)
            return strcasecmp(origin + strlen(schemes[i]), host) == 0;
    return false;
}

/* ---- the gate ---- */

/* The client's own id of the request, if it sent a decent one. */
static void name_request(const struct httpd_request *request, char out[REQUEST_ID_BYTES])
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *given = httpd_request_header(request, "X-Request-Id");
    if (given && *given && strlen(given) < REQUEST_ID_BYTES &&
        strspn(given, good) == strlen(given)) {
        snprintf(out, REQUEST_ID_BYTES, "%s", given);
        return;
    }
    uint8_t random[8];
    random_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(out + 2 * i, 3, "%02x", random[i]);
}

static enum status check_role(const struct httpd_request *request, const struct api_route *route,
                              unsigned *http, struct err *err)
{
    if (request->role >= route->role)
        return OK;
    *http = request->role == ROLE_NONE ? 401 : 403;
    if (request->role != ROLE_NONE)
        return err_set(err, E_DENIED,
                       "%s %s needs the write token; what was sent is the read token "
                       "(write.token in the broker's home)",
                       route->method, route->pattern);
    return err_set(err, E_DENIED,
                   "%s; send the header \"Authorization: Bearer TOKEN\", for the broker command "
                   "set PENSTOCK_TOKEN (read.token or write.token in the broker's home)",
                   httpd_request_header(request, "Authorization") ? "the token is not this broker's"
                                                                  : "no token was sent");
}

static enum status check_content_type(const struct httpd_request *request,
                                      const struct api_route *route, unsigned *http,
                                      struct err *err)
{
    static const char *const yaml[] = {"application/yaml", "application/x-yaml", "text/yaml"};
    const char *type = httpd_request_header(request, "Content-Type");
    const char *length = httpd_request_header(request, "Content-Length");
    bool has_body = httpd_request_header(request, "Transfer-Encoding") ||
                    (length && strspn(length, "0") != strlen(length));
    if (!route->body || !has_body)
        return OK;
    bool is_taken = httpd_request_is_type(request, "application/json");
    for (size_t i = 0; route->takes_yaml && i < sizeof yaml / sizeof *yaml; i++)
        is_taken |= httpd_request_is_type(request, yaml[i]);
    if (is_taken)
        return OK;
    *http = 415;
    return err_set(err, E_INVALID, "Content-Type: %.64s: this route takes application/json%s",
                   type ? type : "(none)", route->takes_yaml ? " or application/yaml" : "");
}

static enum status judge(const struct gate *gate, struct httpd_request *request,
                         struct api_match *match, struct buf *allowed, unsigned *http,
                         struct err *err)
{
    const char *host = httpd_request_header(request, "Host");
    const char *origin = httpd_request_header(request, "Origin");
    request->role =
        (uint8_t)tokens_role(gate->tokens, httpd_request_header(request, "Authorization"));
    *http = 421;
    if (!is_ours(gate, host))
        return err_set(err, E_DENIED,
                       "Host: %.100s is not a name of this broker; start it with --http-host NAME",
                       host ? host : "(none)");
    *http = 403;
    if (origin && !is_same_origin(origin, host))
        return err_set(err, E_DENIED, "Origin: %.100s: pages of others may not ask this broker",
                       origin);
    enum status status = route_find(request, match, allowed, err);
    *http = status == E_UNSUPPORTED ? 405 : 404;
    if (status != OK)
        return status;
    TRY(check_role(request, match->route, http, err));
    TRY(check_content_type(request, match->route, http, err));
    *http = 400;
    return route_check_query(match->route, request, err);
}

bool gate_head(void *context, struct httpd_request *request, struct httpd_response *refusal)
{
    struct api_match *match = arena_alloc(&request->arena, sizeof *match);
    AUTO(buf_fini) struct buf allowed = buf_init(0);
    struct err err = {0};
    unsigned http = 0;
    name_request(request, match->request_id);
    request->route = match;
    if (judge(context, request, match, &allowed, &http, &err) != OK) {
        *refusal = answer_error(http, &err, NULL);
        if (http == 405)
            httpd_response_header(refusal, "Allow", buf_text(&allowed));
        answer_finish(request, refusal);
        return false;
    }
    request->body_max = match->route->body_max;
    request->wants_file = match->route->is_upload;
    request->lane = (uint8_t)match->route->lane;
    return true;
}

void gate_refuse(void *context, const struct httpd_request *request, unsigned status,
                 const char *text, struct httpd_response *out)
{
    (void)context;
    struct err err;
    err_set(&err, status == 507 ? E_FULL : status == 400 ? E_INVALID : E_LIMIT, "%s", text);
    *out = answer_error(status, &err, NULL);
    answer_finish(request, out);
}
