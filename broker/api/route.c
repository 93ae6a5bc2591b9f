// SPDX-License-Identifier: Apache-2.0
#include "broker/api/route.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"

const struct api_route *const api_routes[] = {routes_runs,      routes_tasks, routes_pipelines,
                                              routes_artifacts, routes_blobs, routes_service,
                                              routes_care,      NULL};

bool route_next_param(const char *pattern, size_t *cursor, const char **name, size_t *bytes)
{
    const char *open = strchr(pattern + *cursor, '{');
    if (!open)
        return false;
    *name = open + 1;
    *bytes = strcspn(open, ".}") - 1;
    *cursor = (size_t)(strchr(open, '}') - pattern) + 1;
    return true;
}

/* The segments from `first` on, as one text. */
static const char *join(struct httpd_request *request, size_t first)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    for (size_t i = first; i < request->segment_count; i++)
        buf_format(&out, "%s%s", i > first ? "/" : "", request->segments[i]);
    return arena_text(&request->arena, buf_text(&out), out.count);
}

static bool matches(struct httpd_request *request, const char *pattern, struct api_match *match)
{
    size_t segment = 0, params = 0;
    for (const char *at = pattern + 1; *at; segment++) {
        size_t bytes = strcspn(at, "/");
        bool is_param = at[0] == '{', is_rest = is_param && at[bytes - 2] == '.';
        if (segment == request->segment_count)
            return false;
        const char *text = request->segments[segment];
        if (is_param ? !*text : strlen(text) != bytes || memcmp(text, at, bytes) != 0)
            return false;
        ASSERT(!is_param || params < PATH_PARAMS_MAX);
        if (is_param)
            match->path[params++] = is_rest ? join(request, segment) : text;
        if (is_rest)
            return true;
        at += bytes + (at[bytes] == '/');
    }
    return segment == request->segment_count;
}

/* What is asked with HEAD is what GET would answer, without the bytes. */
static bool is_method(const struct api_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

enum status route_find(struct httpd_request *request, struct api_match *match, struct buf *allowed,
                       struct err *err)
{
    for (const struct api_route *const *list = api_routes; *list; list++)
        for (const struct api_route *route = *list; route->method; route++) {
            if (!matches(request, route->pattern, match))
                continue;
            match->route = route;
            if (is_method(route, request->method))
                return OK;
            buf_format(allowed, "%s%s", allowed->count ? ", " : "", route->method);
        }
    if (allowed->count)
        return err_set(err, E_UNSUPPORTED, "%s: this path knows %s, not %s", request->target,
                       buf_text(allowed), request->method);
    return err_set(err, E_NOTFOUND, "%s: no such path; /openapi.json lists them", request->target);
}

/* ---- the query ---- */

static const struct api_param *find_param(const struct api_route *route, const char *name)
{
    for (const struct api_param *p = route->query; p && p->name; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

static enum status unknown_param(const struct api_route *route, const char *name, struct err *err)
{
    AUTO(buf_fini) struct buf known = buf_init(0);
    for (const struct api_param *p = route->query; p && p->name; p++)
        buf_format(&known, "%s%s", known.count ? ", " : "", p->name);
    return err_set(err, E_INVALID, "query: unknown \"%.64s\"; this route takes %s", name,
                   known.count ? buf_text(&known) : "none");
}

static enum status check_param(const struct api_param *param, const char *value, struct err *err)
{
    char *end;
    if (param->type == PARAM_FLAG && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return err_set(err, E_INVALID, "query: %s=%.64s: expected true or false", param->name,
                       value);
    if (param->type != PARAM_COUNT)
        return OK;
    unsigned long long number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || number > (unsigned long long)param->max)
        return err_set(err, E_INVALID, "query: %s=%.64s: expected a number in 0 … %lld",
                       param->name, value, (long long)param->max);
    return OK;
}

enum status route_check_query(const struct api_route *route, const struct httpd_request *request,
                              struct err *err)
{
    for (size_t i = 0; i < request->query_count; i++) {
        const struct api_param *param = find_param(route, request->query[i].name);
        if (!param)
            return unknown_param(route, request->query[i].name, err);
        TRY(check_param(param, request->query[i].value, err));
        for (size_t j = 0; j < i && !param->is_list; j++)
            if (strcmp(request->query[j].name, param->name) == 0)
                return err_set(err, E_INVALID, "query: %s is given twice", param->name);
    }
    return OK;
}
