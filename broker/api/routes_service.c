/* The broker itself: is it well, what has it to do, who works for it, what can it be asked. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/api/call.h"
#include "common/base/doc.h"

static void say(struct api_call *call, bool is_well)
{
    call->answer = doc_map();
    doc_put(&call->arena, &call->answer, "ok", value_bool(is_well));
    call->status = is_well ? 200 : 503;
}

static enum status healthz(struct api_call *call, struct err *err)
{
    (void)err;
    say(call, true); /* who reads this has been served */
    return OK;
}

static enum status readyz(struct api_call *call, struct err *err)
{
    (void)err;
    const char *leader = call->api->leader;
    say(call, call->api->is_ready && !leader);
    if (leader && *leader)
        doc_put(&call->arena, &call->answer, "leader",
                doc_text(&call->arena, leader, strlen(leader)));
    return OK;
}

static enum status openapi(struct api_call *call, struct err *err)
{
    (void)err;
    call->answer = openapi_document(call->api->schemas, &call->arena);
    return OK;
}

static enum status load(struct api_call *call, struct err *err)
{
    return app_load(call->app, &call->arena, &call->answer, err);
}

static enum status workers(struct api_call *call, struct err *err)
{
    struct value list;
    TRY(app_workers(call->app, &call->arena, &list, err));
    call->answer = doc_map();
    doc_put(&call->arena, &call->answer, "workers", list);
    return OK;
}

static enum status doctor(struct api_call *call, struct err *err)
{
    struct value list;
    TRY(app_doctor(call->app, &call->arena, &list, err));
    call->answer = doc_map();
    doc_put(&call->arena, &call->answer, "checks", list);
    return OK;
}

const struct api_route routes_service[] = {
    {.method = "GET",
     .pattern = "/healthz",
     .name = "getHealth",
     .help = "Does the broker answer at all?",
     .answer = "Health",
     .handle = healthz},
    {.method = "GET",
     .pattern = "/readyz",
     .name = "getReadiness",
     .help = "Does it lead, and take work? 503 while not, with the URL of who does.",
     .answer = "Health",
     .also = {503},
     .handle = readyz},
    {.method = "GET",
     .pattern = "/openapi.json",
     .name = "getDescription",
     .help = "This description.",
     .answer = "Document",
     .handle = openapi},
    {.method = "GET",
     .pattern = "/v1/load",
     .name = "getLoad",
     .help = "How much there is to do, for scalers.",
     .role = ROLE_READ,
     .answer = "Load",
     .handle = load},
    {.method = "GET",
     .pattern = "/v1/workers",
     .name = "listWorkers",
     .help = "Who works for this broker.",
     .role = ROLE_READ,
     .answer = "Workers",
     .handle = workers},
    {.method = "GET",
     .pattern = "/v1/doctor",
     .name = "checkBroker",
     .help = "Checks of the broker's machine, each with its mend.",
     .role = ROLE_WRITE,
     .answer = "Checks",
     .handle = doctor},
    {.method = NULL},
};
