/* How everything is answered: JSON, one form for errors, headers, the access log. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/api/call.h"
#include "common/base/doc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text/json.h"

static const struct {
    enum status status;
    unsigned http;
} statuses[] = {
    {OK, 200},         {E_INVALID, 400},     {E_NOTFOUND, 404},    {E_LIMIT, 422},  {E_DENIED, 403},
    {E_CONFLICT, 409}, {E_UNSUPPORTED, 501}, {E_UNREACHABLE, 503}, {E_FENCED, 503}, {E_FULL, 507},
    {E_TIMEOUT, 504},  {E_CANCELLED, 409},   {E_CORRUPT, 500},     {E_LOST, 500},
};

unsigned answer_status(enum status status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return statuses[i].http;
    return 500;
}

struct httpd_response answer_bytes(unsigned status, const char *type, struct buf *body)
{
    struct httpd_response response = {.kind = HTTPD_BYTES, .status = status, .fd = -1};
    response.content_type = type;
    response.body = *body;
    *body = buf_init(0);
    return response;
}

struct httpd_response answer_json(unsigned status, const struct value *value)
{
    struct buf text = buf_init(0);
    json_write(value, 0, &text);
    buf_put_char(&text, '\n');
    return answer_bytes(status, "application/json", &text);
}

struct httpd_response answer_error(unsigned status, const struct err *err, const char *problems)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value error = doc_map(), answer = doc_map();
    doc_put(&arena, &error, "code", value_string(status_name(err->code)));
    doc_put(&arena, &error, "message", value_string(err->text));
    struct value lines = doc_list();
    for (size_t bytes; problems && *problems; problems += bytes + (problems[bytes] == '\n')) {
        bytes = strcspn(problems, "\n");
        doc_add(&arena, &lines, doc_text(&arena, problems, bytes));
    }
    if (lines.count)
        doc_put(&arena, &error, "problems", lines);
    doc_put(&arena, &answer, "error", error);
    return answer_json(status, &answer);
}

void answer_finish(const struct httpd_request *request, struct httpd_response *response)
{
    const struct api_match *match = request->route;
    static const char *const roles[] = {"none", "read", "write"};
    const char *id = match ? match->request_id : "-";
    char target[512];
    if (match)
        httpd_response_header(response, "X-Request-Id", id);
    httpd_response_header(response, "Cache-Control", "no-store");
    httpd_response_header(response, "X-Content-Type-Options", "nosniff");
    if (response->status == 401)
        httpd_response_header(response, "WWW-Authenticate", "Bearer");
    uint64_t bytes = response->kind == HTTPD_FILE ? response->file_bytes : response->body.count;
    log_event(LOG_INFO, "http.request",
              "id=%s method=%s target=%s status=%u ms=%lld bytes=%llu role=%s peer=%s", id,
              request->method, log_quote(request->target, target, sizeof target), response->status,
              (long long)(clock_us() - request->begun_us) / 1000, (unsigned long long)bytes,
              roles[request->role], request->peer);
}

void answer_send(struct http_server *server, struct httpd_request *request,
                 struct httpd_response *response)
{
    answer_finish(request, response);
    http_server_answer(server, request->id, response);
    httpd_request_free(request);
}
