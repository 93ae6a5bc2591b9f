/* Looking after what is kept: fsck and gc. One at a time; it is begun, then asked after. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/api/call.h"
#include "common/base/doc.h"

static bool flag(const struct api_call *call, const char *name)
{
    const struct value *value = call->body.type == VALUE_MAP ? value_get(&call->body, name) : NULL;
    return value && value->boolean;
}

static const struct value *field(const struct api_call *call, const char *name)
{
    const struct value *value = call->body.type == VALUE_MAP ? value_get(&call->body, name) : NULL;
    return value && value->type != VALUE_NIL ? value : NULL;
}

static enum status begun(struct api_call *call, const char *what)
{
    call->answer = doc_map();
    doc_put(&call->arena, &call->answer, "begun", value_string(what));
    return OK;
}

/* {"team": "blue"} → "team=blue". */
static size_t read_labels(struct api_call *call, const char *const **out)
{
    const struct value *labels = field(call, "labels");
    uint32_t count = labels ? labels->count : 0;
    const char **list = arena_alloc(&call->arena, (count + 1) * sizeof *list);
    for (uint32_t i = 0; i < count; i++)
        list[i] = arena_format(&call->arena, "%s=%s", labels->items[2 * i].text,
                               labels->items[2 * i + 1].text);
    *out = list;
    return count;
}

static enum status gc(struct api_call *call, struct err *err)
{
    const struct value *keep = field(call, "keep"), *older = field(call, "older_seconds");
    struct app_gc gc = {.removes = flag(call, "removes"),
                        .has_keep = keep != NULL,
                        .keep = keep ? (uint32_t)keep->integer : 0,
                        .has_age = older != NULL,
                        .age_us = older ? older->integer * 1000000 : 0};
    gc.label_count = read_labels(call, &gc.labels);
    TRY(app_gc(call->app, &gc, err));
    return begun(call, "gc");
}

static enum status fsck(struct api_call *call, struct err *err)
{
    const struct app_fsck fsck = {.reads_bytes = flag(call, "bytes"),
                                  .signatures = flag(call, "signatures"),
                                  .repairs = flag(call, "repair")};
    TRY(app_fsck(call->app, &fsck, err));
    return begun(call, "fsck");
}

static enum status result(struct api_call *call, struct err *err)
{
    struct value answer;
    bool is_done;
    TRY(app_care_result(call->app, &call->arena, &answer, &is_done, err));
    call->answer = doc_map();
    doc_put(&call->arena, &call->answer, "done", value_bool(is_done));
    doc_put(&call->arena, &call->answer, "answer", answer);
    return OK;
}

enum { BODY_BYTES_MAX = 64 << 10 };

const struct api_route routes_care[] = {
    {.method = "POST",
     .pattern = "/v1/gc",
     .name = "collectGarbage",
     .help = "Begins to drop runs, and what no other run needs; GET /v1/care tells how it ends.",
     .role = ROLE_WRITE,
     .body = "CollectRequest",
     .body_max = BODY_BYTES_MAX,
     .answer = "CareBegun",
     .status = 202,
     .handle = gc},
    {.method = "POST",
     .pattern = "/v1/fsck",
     .name = "checkStore",
     .help = "Begins to look whether the store has all that records and runs name.",
     .role = ROLE_WRITE,
     .body = "CheckRequest",
     .body_max = BODY_BYTES_MAX,
     .answer = "CareBegun",
     .status = 202,
     .handle = fsck},
    {.method = "GET",
     .pattern = "/v1/care",
     .name = "getCare",
     .help = "What became of the gc or fsck begun last.",
     .role = ROLE_READ,
     .answer = "CareResult",
     .handle = result},
    {.method = NULL},
};
