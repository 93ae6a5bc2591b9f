/* Questions about a pipeline that is sent along: nothing runs. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/api/request.h"
#include "common/base/doc.h"
#include "proto/limits.h"

static enum status plan(struct api_call *call, struct err *err)
{
    struct app_request request;
    TRY(request_read(call, true, &request, err));
    enum status status = app_plan(call->app, &request, &call->arena, &call->answer, err);
    if (status == E_NOTFOUND)
        call->status = 422;
    return status;
}

static enum status explain(struct api_call *call, struct err *err)
{
    struct app_request request;
    TRY(request_read(call, true, &request, err));
    return app_explain(call->app, &request, call_path(call, 0), &call->arena, &call->answer, err);
}

static enum status lint(struct api_call *call, struct err *err)
{
    struct app_request request;
    TRY(request_read(call, true, &request, err));
    enum status status = app_lint(call->app, &request, err);
    if (status != OK && status != E_INVALID)
        return status;
    const char *text = app_diagnostics(call->app);
    call->answer = doc_map();
    doc_put(&call->arena, &call->answer, "ok", value_bool(status == OK));
    struct value *problems = doc_put(&call->arena, &call->answer, "problems", doc_list());
    for (size_t bytes; *text; text += bytes + (text[bytes] == '\n')) {
        bytes = strcspn(text, "\n");
        doc_add(&call->arena, problems, doc_text(&call->arena, text, bytes));
    }
    if (status != OK && !problems->count)
        doc_add(&call->arena, problems, doc_format(&call->arena, "%s", err->text));
    return OK;
}

static enum status draw(struct api_call *call, bool all_tasks, struct err *err)
{
    struct app_request request;
    const char *format = call_path(call, 0);
    AUTO(buf_fini) struct buf text = buf_init(0);
    bool is_mermaid = strcmp(format, "mermaid") == 0;
    if (!is_mermaid && strcmp(format, "dot") != 0)
        return err_set(err, E_NOTFOUND, "graphs/%.64s: expected dot or mermaid", format);
    TRY(request_read(call, true, &request, err));
    TRY(app_graph(call->app, &request, is_mermaid ? APP_GRAPH_MERMAID : APP_GRAPH_DOT, all_tasks,
                  &text, err));
    call->response = answer_bytes(200, "text/plain; charset=utf-8", &text);
    call->has_response = true;
    return OK;
}

static enum status draw_steps(struct api_call *call, struct err *err)
{
    return draw(call, false, err);
}

static enum status draw_tasks(struct api_call *call, struct err *err)
{
    return draw(call, true, err);
}

#define PIPELINE_ROUTE                                                                             \
    .method = "POST", .role = ROLE_READ, .query = request_query, .body = "RunRequest",             \
    .body_is_required = true, .takes_yaml = true, .body_max = API_PIPELINE_BODY_BYTES_MAX

const struct api_route routes_pipelines[] = {
    {PIPELINE_ROUTE, .pattern = "/v1/plan", .name = "planPipeline",
     .help = "What would run and why, and what is cached.", .answer = "Plan", .handle = plan},
    {PIPELINE_ROUTE, .pattern = "/v1/explain/{task...}", .name = "explainTask",
     .help = "Why a task would run: the field that changed, old and new.", .answer = "Explanation",
     .handle = explain},
    {PIPELINE_ROUTE, .pattern = "/v1/lint", .name = "lintPipeline",
     .help = "Check a pipeline; all errors and warnings at once.", .answer = "Lint",
     .handle = lint},
    {PIPELINE_ROUTE, .pattern = "/v1/graphs/{format}", .name = "drawPipeline",
     .help = "Draw a pipeline's steps in DOT or Mermaid.", .type = "text/plain",
     .handle = draw_steps},
    {PIPELINE_ROUTE, .pattern = "/v1/graphs/{format}/tasks", .name = "drawTasks",
     .help = "Draw a pipeline's tasks in DOT or Mermaid.", .type = "text/plain",
     .handle = draw_tasks},
    {.method = NULL},
};
