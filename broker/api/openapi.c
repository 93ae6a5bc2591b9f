/* /openapi.json, made from the table of routes and the shapes: what is described is what is
 * dispatched and checked. Source: OpenAPI 3.1.0. */
// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <string.h>

#include "broker/api/call.h"
#include "common/base/doc.h"

static struct value *put_map(struct arena *arena, struct value *map, const char *key)
{
    return doc_put(arena, map, key, doc_map());
}

static struct value reference(struct arena *arena, const char *name)
{
    struct value schema = doc_map();
    doc_put(arena, &schema, "$ref", doc_format(arena, "#/components/schemas/%s", name));
    return schema;
}

/* ---- parameters ---- */

static struct value *add_param(struct arena *arena, struct value *list, const char *in,
                               struct value name, bool is_required)
{
    struct value *param = doc_add(arena, list, doc_map());
    doc_put(arena, param, "name", name);
    doc_put(arena, param, "in", value_string(in));
    doc_put(arena, param, "required", value_bool(is_required));
    return param;
}

static struct value query_schema(struct arena *arena, const struct api_param *p)
{
    static const char *const types[] = {"string", "integer", "boolean"};
    struct value schema = doc_map(), list = doc_map();
    doc_put(arena, &schema, "type", value_string(types[p->type]));
    if (p->type == PARAM_COUNT) {
        doc_put(arena, &schema, "minimum", value_int(0));
        doc_put(arena, &schema, "maximum", value_int(p->max));
    }
    if (!p->is_list)
        return schema;
    doc_put(arena, &list, "type", value_string("array"));
    doc_put(arena, &list, "items", schema);
    return list;
}

static void put_params(struct arena *arena, const struct api_route *route, struct value *operation)
{
    struct value list = doc_list();
    const char *name;
    size_t bytes;
    for (size_t cursor = 0; route_next_param(route->pattern, &cursor, &name, &bytes);) {
        struct value *param = add_param(arena, &list, "path", doc_text(arena, name, bytes), true);
        bool is_id = bytes == 2 && memcmp(name, "id", 2) == 0;
        doc_put(arena, param, "schema", reference(arena, is_id ? "Id" : "PathPart"));
    }
    for (const struct api_param *p = route->query; p && p->name; p++) {
        struct value *param = add_param(arena, &list, "query", value_string(p->name), false);
        doc_put(arena, param, "description", value_string(p->help));
        doc_put(arena, param, "schema", query_schema(arena, p));
    }
    if (list.count)
        doc_put(arena, operation, "parameters", list);
}

/* ---- bodies and answers ---- */

static void put_content(struct arena *arena, struct value *content, const char *type,
                        struct value schema)
{
    struct value *media = put_map(arena, content, type);
    doc_put(arena, media, "schema", schema);
}

/* Text and bytes are strings; what YAML or a stream of events holds isn't described. */
static struct value string_schema(struct arena *arena, const char *type)
{
    struct value schema = doc_map();
    if (strcmp(type, "text/event-stream") != 0 && strcmp(type, "application/yaml") != 0)
        doc_put(arena, &schema, "type", value_string("string"));
    return schema;
}

static void put_body(struct arena *arena, const struct api_route *route, struct value *operation)
{
    if (!route->body && !route->is_upload)
        return;
    struct value *body = put_map(arena, operation, "requestBody");
    struct value *content = put_map(arena, body, "content");
    if (route->body)
        put_content(arena, content, "application/json", reference(arena, route->body));
    if (route->takes_yaml)
        put_content(arena, content, "application/yaml", string_schema(arena, "application/yaml"));
    if (route->is_upload)
        put_content(arena, content, "application/octet-stream", string_schema(arena, "bytes"));
    doc_put(arena, body, "required", value_bool(route->is_upload || route->body_is_required));
}

static struct value *add_answer(struct arena *arena, struct value *answers, const char *status,
                                const char *description)
{
    struct value *answer = put_map(arena, answers, status);
    doc_put(arena, answer, "description", value_string(description));
    return answer;
}

static void put_answers(struct arena *arena, const struct api_route *route, struct value *operation)
{
    struct value *answers = put_map(arena, operation, "responses");
    struct value *good = add_answer(
        arena, answers, arena_format(arena, "%u", route->status ? route->status : 200), "done");
    struct value *content = put_map(arena, good, "content");
    if (route->answer)
        put_content(arena, content, "application/json", reference(arena, route->answer));
    for (const char *type = route->type; type && *type;) {
        size_t bytes = strcspn(type, " ");
        const char *word = arena_text(arena, type, bytes);
        put_content(arena, content, word, string_schema(arena, word));
        type += bytes + (type[bytes] == ' ');
    }
    for (size_t i = 0; i < ALSO_MAX && route->also[i]; i++) {
        struct value *also =
            add_answer(arena, answers, arena_format(arena, "%u", route->also[i]),
                       route->also[i] == 307 ? "the bytes are at the header Location" : "not yet");
        if (route->also[i] != 307)
            put_content(arena, put_map(arena, also, "content"), "application/json",
                        reference(arena, route->answer));
    }
    struct value *bad = add_answer(arena, answers, "default", "an error");
    put_content(arena, put_map(arena, bad, "content"), "application/json",
                reference(arena, "Error"));
}

/* ---- the document ---- */

/* "{ref...}" → "{ref}" */
static const char *path_of(struct arena *arena, const char *pattern)
{
    const char *dots = strstr(pattern, "...");
    return dots ? arena_format(arena, "%.*s}", (int)(dots - pattern), pattern) : pattern;
}

static void put_operation(struct arena *arena, const struct api_route *route, struct value *paths)
{
    const char *path = path_of(arena, route->pattern);
    const struct value *known = value_get(paths, path);
    struct value *item = known ? (struct value *)(uintptr_t)known : put_map(arena, paths, path);
    char *method = arena_format(arena, "%s", route->method);
    for (char *c = method; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    struct value *operation = put_map(arena, item, method);
    doc_put(arena, operation, "operationId", value_string(route->name));
    doc_put(arena, operation, "summary", value_string(route->help));
    if (route->role == ROLE_NONE)
        doc_put(arena, operation, "security", doc_list());
    else
        doc_put(arena, operation, "description",
                value_string(route->role == ROLE_READ ? "Needs the read token."
                                                      : "Needs the write token."));
    put_params(arena, route, operation);
    put_body(arena, route, operation);
    put_answers(arena, route, operation);
}

static void put_security(struct arena *arena, struct value *document, struct value *components)
{
    struct value *token = put_map(arena, put_map(arena, components, "securitySchemes"), "token");
    doc_put(arena, token, "type", value_string("http"));
    doc_put(arena, token, "scheme", value_string("bearer"));
    struct value *security = doc_put(arena, document, "security", doc_list());
    struct value *needs = doc_add(arena, security, doc_map());
    doc_put(arena, needs, "token", doc_list());
}

struct value openapi_document(const struct schemas *schemas, struct arena *arena)
{
    struct value document = doc_map();
    doc_put(arena, &document, "openapi", value_string("3.1.0"));
    struct value *info = put_map(arena, &document, "info");
    doc_put(arena, info, "title", value_string("Penstock broker"));
    doc_put(arena, info, "version", value_string("1"));
    struct value *paths = put_map(arena, &document, "paths");
    for (const struct api_route *const *list = api_routes; *list; list++)
        for (const struct api_route *route = *list; route->method; route++)
            put_operation(arena, route, paths);
    struct value *components = put_map(arena, &document, "components");
    doc_put(arena, components, "schemas", *schemas_all(schemas));
    put_security(arena, &document, components);
    return document;
}
