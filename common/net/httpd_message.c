// SPDX-License-Identifier: Apache-2.0
#include "common/net/httpd_message.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "proto/codec.h"

struct httpd_request *httpd_request_new(void)
{
    struct httpd_request *request = mem_alloc(sizeof *request);
    request->body_fd = -1;
    return request;
}

void httpd_request_free(struct httpd_request *request)
{
    if (request->body_fd >= 0)
        close(request->body_fd);
    buf_fini(&request->body);
    arena_fini(&request->arena);
    mem_free(request);
}

/* ---- the target ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* `bytes` of `text` with their escapes undone, or NULL if they are no text. */
static const char *decode(struct arena *arena, const char *text, size_t bytes, bool is_query)
{
    char *out = arena_alloc(arena, bytes + 1);
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 2 < bytes ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < bytes ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return NULL;
            c = (unsigned char)(high << 4 | low);
            i += 2;
        } else if (is_query && c == '+') {
            c = ' ';
        }
        /* A parameter of a query may have several lines; a part of a path has one. */
        bool is_control = c < 0x20 || c == 0x7f;
        if (is_control && !(is_query && (c == '\n' || c == '\t' || c == '\r')))
            return NULL;
        out[count++] = (char)c;
    }
    return mp_is_utf8(out, count) ? out : NULL;
}

static enum status add_segment(struct httpd_request *request, const char *text, size_t bytes,
                               struct err *err)
{
    const char *part = decode(&request->arena, text, bytes, false);
    if (!part)
        return err_set(err, E_INVALID, "path: a part of it is not text in UTF-8 with %%XX escapes");
    if (strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
        return err_set(err, E_INVALID, "path: \"%s\" can't be a part of it", part);
    if (request->segment_count == HTTPD_SEGMENTS_MAX)
        return err_set(err, E_LIMIT, "path: more than %d parts", HTTPD_SEGMENTS_MAX);
    request->segments[request->segment_count++] = part;
    return OK;
}

static enum status add_query(struct httpd_request *request, const char *text, size_t bytes,
                             struct err *err)
{
    size_t name_bytes = 0;
    while (name_bytes < bytes && text[name_bytes] != '=')
        name_bytes++;
    size_t value_at = name_bytes < bytes ? name_bytes + 1 : bytes;
    const char *name = decode(&request->arena, text, name_bytes, true);
    const char *value = decode(&request->arena, text + value_at, bytes - value_at, true);
    if (!name || !value)
        return err_set(err, E_INVALID,
                       "query: a part of it is not text in UTF-8 with %%XX escapes");
    if (request->query_count == HTTPD_QUERY_MAX)
        return err_set(err, E_LIMIT, "query: more than %d parts", HTTPD_QUERY_MAX);
    request->query[request->query_count++] = (struct httpd_pair){name, value};
    return OK;
}

enum status httpd_request_target(struct httpd_request *request, const char *target, struct err *err)
{
    request->target = arena_text(&request->arena, target, strlen(target));
    if (target[0] != '/')
        return err_set(err, E_INVALID, "path: it must begin with /");
    const char *at = target + 1;
    for (;;) {
        size_t bytes = strcspn(at, "/?");
        if (bytes || at[bytes] == '/' || request->segment_count)
            TRY(add_segment(request, at, bytes, err));
        at += bytes;
        if (*at != '/')
            break;
        at++;
    }
    if (!*at)
        return OK;
    for (at++; *at;) {
        size_t bytes = strcspn(at, "&");
        if (bytes)
            TRY(add_query(request, at, bytes, err));
        at += bytes + (at[bytes] == '&');
    }
    return OK;
}

/* ---- headers ---- */

const char *httpd_request_header(const struct httpd_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

size_t httpd_request_header_count(const struct httpd_request *request, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        count += strcasecmp(request->headers[i].name, name) == 0;
    return count;
}

bool httpd_request_is_type(const struct httpd_request *request, const char *type)
{
    const char *given = httpd_request_header(request, "Content-Type");
    size_t bytes = given ? strcspn(given, "; ") : 0;
    return given && bytes == strlen(type) && strncasecmp(given, type, bytes) == 0;
}

const char *httpd_request_query(const struct httpd_request *request, const char *name)
{
    for (size_t i = request->query_count; i-- > 0;)
        if (strcmp(request->query[i].name, name) == 0)
            return request->query[i].value;
    return NULL;
}

/* ---- answers ---- */

void httpd_response_header(struct httpd_response *response, const char *name, const char *value)
{
    ASSERT(response->header_count < HTTPD_ANSWER_HEADERS_MAX);
    response->headers[response->header_count++] =
        (struct httpd_pair){name, mem_copy_text(value, strlen(value))};
}

void httpd_response_number(struct httpd_response *response, const char *name, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    httpd_response_header(response, name, text);
}

void httpd_response_fini(struct httpd_response *response)
{
    for (size_t i = 0; i < response->header_count; i++)
        mem_free((void *)(uintptr_t)response->headers[i].value);
    if (response->kind == HTTPD_FILE && response->fd >= 0)
        close(response->fd);
    buf_fini(&response->body);
    *response = (struct httpd_response){.fd = -1};
}
