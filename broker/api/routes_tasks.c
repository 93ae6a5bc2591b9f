/* Tasks and their logs. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/api/call.h"
#include "common/base/doc.h"

static const char *task_name(struct api_call *call)
{
    return arena_format(&call->arena, "%s/%s", call_path(call, 0), call_path(call, 1));
}

static enum status get(struct api_call *call, struct err *err)
{
    return app_get(call->app, task_name(call), call_flag(call, "spec"), &call->arena, &call->answer,
                   err);
}

static enum status document(struct api_call *call, struct err *err)
{
    return app_get(call->app, call_path(call, 0), call_flag(call, "spec"), &call->arena,
                   &call->answer, err);
}

static bool wants_events(const struct api_call *call)
{
    const char *accept = httpd_request_header(call->request, "Accept");
    return accept && strstr(accept, "text/event-stream");
}

static enum status read_log(struct api_call *call, const char *task, struct err *err)
{
    struct app_log at = {.attempt = (uint32_t)call_count(call, "attempt", 0),
                         .offset = (uint64_t)call_count(call, "offset", 0)};
    bool follows = call_flag(call, "follow"), as_events = follows && wants_events(call);
    AUTO(buf_fini) struct buf text = buf_init(0);
    if (follows)
        task = app_pin_task(call->app, task, &call->arena);
    TRY(app_logs(call->app, task, &at, &text, err));
    if (follows && (!at.is_final || as_events)) {
        watch_log(call, task, &at, &text, as_events);
        return OK;
    }
    call->response = answer_bytes(200, "text/plain; charset=utf-8", &text);
    call->has_response = true;
    httpd_response_number(&call->response, "X-Log-Attempt", at.attempt);
    httpd_response_number(&call->response, "X-Log-Offset", at.offset);
    httpd_response_header(&call->response, "X-Log-Final", at.is_final ? "true" : "false");
    return OK;
}

static enum status log_of_run(struct api_call *call, struct err *err)
{
    return read_log(call, task_name(call), err);
}

static enum status log_of_task(struct api_call *call, struct err *err)
{
    return read_log(call, call_path(call, 0), err);
}

static const struct api_param get_query[] = {
    {"spec", PARAM_FLAG, "the nested specification of everything that made it", 0, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};
static const struct api_param log_query[] = {
    {"follow", PARAM_FLAG,
     "go on until the task ends: chunked text, or events where Accept is text/event-stream", 0,
     false},
    {"attempt", PARAM_COUNT, "where the reader stands: X-Log-Attempt of the answer before",
     UINT32_MAX, false},
    {"offset", PARAM_COUNT, "and X-Log-Offset", INT64_MAX, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};

const struct api_route routes_tasks[] = {
    {.method = "GET",
     .pattern = "/v1/runs/{run}/tasks/{task}",
     .name = "getTask",
     .help = "A task of a run, step[axis=value]: its record.",
     .role = ROLE_READ,
     .query = get_query,
     .answer = "Document",
     .handle = get},
    {.method = "GET",
     .pattern = "/v1/runs/{run}/tasks/{task}/log",
     .name = "getLog",
     .help = "What a task wrote to stdout and stderr, also while it runs.",
     .role = ROLE_READ,
     .query = log_query,
     .type = "text/plain text/event-stream",
     .handle = log_of_run},
    {.method = "GET",
     .pattern = "/v1/logs/{task...}",
     .name = "getLogOf",
     .help = "The log of a task named as the command line does, [RUN/]step[axis=value] or by id.",
     .role = ROLE_READ,
     .query = log_query,
     .type = "text/plain text/event-stream",
     .handle = log_of_task},
    {.method = "GET",
     .pattern = "/v1/documents/{ref...}",
     .name = "getDocument",
     .help = "What is kept of a run or a task, named as the command line does.",
     .role = ROLE_READ,
     .query = get_query,
     .answer = "Document",
     .handle = document},
    {.method = NULL},
};
