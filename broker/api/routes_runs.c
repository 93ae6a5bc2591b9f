/* /v1/runs: submit, list, look, watch, stop, retry, resubmit. */
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "broker/api/request.h"
#include "common/base/doc.h"
#include "proto/limits.h"

/* {"run": id}, and where to look for it. */
static void answer_run(struct api_call *call, const char *run)
{
    call->answer = doc_map();
    doc_put(&call->arena, &call->answer, "run", doc_text(&call->arena, run, strlen(run)));
    struct value *links = doc_put(&call->arena, &call->answer, "links", doc_map());
    doc_put(&call->arena, links, "self", doc_format(&call->arena, "/v1/runs/%s", run));
    doc_put(&call->arena, links, "events", doc_format(&call->arena, "/v1/runs/%s/events", run));
}

/* That a source or a step is missing says nothing of the path. */
static enum status is_unprocessable(struct api_call *call, enum status status)
{
    if (status == E_NOTFOUND)
        call->status = 422;
    return status;
}

static enum status submit(struct api_call *call, struct err *err)
{
    struct app_request request;
    char run[APP_RUN_ID_BYTES];
    TRY(request_read(call, true, &request, err));
    TRY(is_unprocessable(call, app_submit(call->app, &request, run, err)));
    answer_run(call, run);
    return OK;
}

static enum status list(struct api_call *call, struct err *err)
{
    struct app_filter filter = {.state = call_query(call, "state"),
                                .name = call_query(call, "name"),
                                .pipeline = call_query(call, "pipeline"),
                                .before = call_query(call, "before")};
    filter.label_count = call_list(call, "label", &filter.labels);
    size_t limit = (size_t)call_count(call, "limit", LIST_DEFAULT);
    struct value runs;
    filter.limit = limit ? limit + 1 : 0; /* one more tells whether there are more */
    TRY(app_list(call->app, &filter, &call->arena, &runs, err));
    bool has_more = limit && runs.count > limit;
    if (has_more)
        runs.count = (uint32_t)limit;
    call->answer = doc_map();
    const struct value *last = runs.count ? &runs.items[runs.count - 1] : NULL;
    doc_put(&call->arena, &call->answer, "runs", runs);
    doc_put(&call->arena, &call->answer, "next", has_more ? *value_get(last, "run") : value_nil());
    return OK;
}

static enum status get(struct api_call *call, struct err *err)
{
    return app_result(call->app, call_path(call, 0), call_flag(call, "full"), &call->arena,
                      &call->answer, err);
}

static enum status after_which(const struct api_call *call, uint64_t *out, struct err *err)
{
    const char *last = httpd_request_header(call->request, "Last-Event-ID");
    char *end = NULL;
    *out = (uint64_t)call_count(call, "after", 0);
    if (!last || !*last)
        return OK;
    *out = strtoull(last, &end, 10);
    if (*last < '0' || *last > '9' || *end)
        return err_set(err, E_INVALID, "Last-Event-ID: \"%.64s\" is not an event's number", last);
    return OK;
}

static enum status events(struct api_call *call, struct err *err)
{
    uint64_t after;
    struct value result;
    TRY(after_which(call, &after, err));
    TRY(app_result(call->app, call_path(call, 0), false, &call->arena, &result, err));
    watch_events(call, value_get_text(&result, "run"), after);
    return OK;
}

static enum status all_events(struct api_call *call, struct err *err)
{
    uint64_t after;
    TRY(after_which(call, &after, err));
    if (!after && !call_query(call, "after"))
        after = app_last_event(call->app);
    watch_events(call, NULL, after);
    return OK;
}

static enum status stop(struct api_call *call, struct err *err)
{
    char run[APP_RUN_ID_BYTES];
    TRY(app_stop(call->app, call_path(call, 0), call_flag(call, "kill"), run, err));
    answer_run(call, run);
    return OK;
}

static enum status retry(struct api_call *call, struct err *err)
{
    char run[APP_RUN_ID_BYTES];
    TRY(app_retry(call->app, call_path(call, 0), run, err));
    answer_run(call, run);
    return OK;
}

static enum status resubmit(struct api_call *call, struct err *err)
{
    struct app_request changes;
    char run[APP_RUN_ID_BYTES];
    TRY(request_read(call, false, &changes, err));
    if (changes.text)
        return err_set(err, E_INVALID,
                       "body: a resubmitted run keeps its pipeline; POST /v1/runs takes another");
    TRY(app_resubmit(call->app, call_path(call, 0), &changes, run, err));
    answer_run(call, run);
    return OK;
}

static const struct api_param list_query[] = {
    {"limit", PARAM_COUNT, "how many (default 20; 0: all)", LIST_MAX, false},
    {"before", PARAM_TEXT, "runs older than this one: `next` of the page before", 0, false},
    {"state", PARAM_TEXT, "only runs in this state", 0, false},
    {"name", PARAM_TEXT, "only runs of this name", 0, false},
    {"pipeline", PARAM_TEXT, "only runs of this pipeline", 0, false},
    {"label", PARAM_TEXT, "only runs with this label, KEY=VALUE", 0, true},
    {NULL, PARAM_TEXT, NULL, 0, false},
};
static const struct api_param get_query[] = {
    {"full", PARAM_FLAG, "list every task also in large runs", 0, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};
static const struct api_param events_query[] = {
    {"after", PARAM_COUNT, "only events behind this number, as the header Last-Event-ID", INT64_MAX,
     false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};
static const struct api_param stop_query[] = {
    {"kill", PARAM_FLAG, "end what runs; else it may finish", 0, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};

const struct api_route routes_runs[] = {
    {.method = "POST",
     .pattern = "/v1/runs",
     .name = "submitRun",
     .help = "Begin a run. The same Idempotency-Key again is answered with the same run.",
     .role = ROLE_WRITE,
     .query = request_query,
     .body = "RunRequest",
     .body_is_required = true,
     .takes_yaml = true,
     .body_max = API_PIPELINE_BODY_BYTES_MAX,
     .answer = "RunReference",
     .status = 201,
     .handle = submit},
    {.method = "GET",
     .pattern = "/v1/runs",
     .name = "listRuns",
     .help = "List runs, newest first.",
     .role = ROLE_READ,
     .query = list_query,
     .answer = "RunPage",
     .handle = list},
    {.method = "GET",
     .pattern = "/v1/runs/{run}",
     .name = "getRun",
     .help = "A run as it stands now, task by task.",
     .role = ROLE_READ,
     .query = get_query,
     .answer = "Run",
     .handle = get},
    {.method = "GET",
     .pattern = "/v1/runs/{run}/events",
     .name = "watchRun",
     .help = "What happens in a run, as server-sent events, until it is over.",
     .role = ROLE_READ,
     .query = events_query,
     .type = "text/event-stream",
     .handle = events},
    {.method = "GET",
     .pattern = "/v1/events",
     .name = "watchAll",
     .help = "What happens in all runs from now on, as server-sent events.",
     .role = ROLE_READ,
     .query = events_query,
     .type = "text/event-stream",
     .handle = all_events},
    {.method = "POST",
     .pattern = "/v1/runs/{run}/stop",
     .name = "stopRun",
     .help = "Stop a run: nothing more is given out.",
     .role = ROLE_WRITE,
     .query = stop_query,
     .answer = "RunReference",
     .status = 202,
     .handle = stop},
    {.method = "POST",
     .pattern = "/v1/runs/{run}/retry",
     .name = "retryRun",
     .help = "Try again what failed or was cancelled, in the same run.",
     .role = ROLE_WRITE,
     .answer = "RunReference",
     .status = 202,
     .handle = retry},
    {.method = "POST",
     .pattern = "/v1/runs/{run}/resubmit",
     .name = "resubmitRun",
     .help = "Begin a new run of the same pipeline and sources, with other parameters.",
     .role = ROLE_WRITE,
     .query = request_query,
     .body = "RunChanges",
     .body_max = API_BODY_BYTES_MAX,
     .answer = "RunReference",
     .status = 201,
     .handle = resubmit},
    {.method = NULL},
};
