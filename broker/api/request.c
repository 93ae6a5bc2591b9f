// SPDX-License-Identifier: Apache-2.0
#include "broker/api/request.h"

#include <string.h>

#include "common/text/json.h"
#include "proto/limits.h"

const struct api_param request_query[] = {
    {"p", PARAM_TEXT, "a parameter, NAME=VALUE", 0, true},
    {"set", PARAM_TEXT, "an edit of the pipeline, PATH=VALUE", 0, true},
    {"label", PARAM_TEXT, "a label of the run, KEY=VALUE", 0, true},
    {"name", PARAM_TEXT, "a name for the run", 0, false},
    {"only", PARAM_TEXT, "a step: it and what it needs, nothing behind it", 0, false},
    {"force", PARAM_TEXT, "a step that runs even if it is known; true: all", 0, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};

/* {"a": 1} → "a=1": values as JSON, which is YAML, so that "7" stays a text. Labels' values are
 * texts as they are. */
static size_t pairs(struct api_call *call, const struct value *map, bool is_json,
                    const char *const **out)
{
    size_t count = map && map->type == VALUE_MAP ? map->count : 0;
    const char **items = arena_alloc(&call->arena, (count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        AUTO(buf_fini) struct buf text = buf_init(0);
        buf_format(&text, "%s=", map->items[2 * i].text);
        if (is_json)
            json_write(&map->items[2 * i + 1], 0, &text);
        else
            buf_put_text(&text, map->items[2 * i + 1].text);
        items[i] = arena_text(&call->arena, buf_text(&text), text.count);
    }
    *out = items;
    return count;
}

static void read_force(const char *text, struct app_request *out)
{
    out->force_all = text && strcmp(text, "true") == 0;
    out->force_step = text && !out->force_all && strcmp(text, "false") != 0 ? text : NULL;
}

static void read_json(struct api_call *call, struct app_request *out)
{
    const struct value *body = &call->body, *pipeline = value_get(body, "pipeline"),
                       *force = value_get(body, "force");
    out->file = value_get_text(body, "file");
    out->name = value_get_text(body, "name");
    out->who = value_get_text(body, "who");
    out->only_step = value_get_text(body, "only");
    out->sources = value_get(body, "sources");
    out->param_count = pairs(call, value_get(body, "params"), true, &out->params);
    out->set_count = pairs(call, value_get(body, "set"), true, &out->sets);
    out->label_count = pairs(call, value_get(body, "labels"), false, &out->labels);
    if (force && force->type == VALUE_BOOL)
        out->force_all = force->boolean;
    else if (force)
        out->force_step = force->text;
    if (pipeline && pipeline->type == VALUE_STRING) {
        out->text = pipeline->text;
        out->text_bytes = pipeline->count;
    } else if (pipeline) { /* a document: JSON is YAML */
        AUTO(buf_fini) struct buf text = buf_init(0);
        json_write(pipeline, 2, &text);
        out->text = arena_text(&call->arena, buf_text(&text), text.count);
        out->text_bytes = text.count;
    }
}

static void read_file(struct api_call *call, struct app_request *out)
{
    out->name = call_query(call, "name");
    out->only_step = call_query(call, "only");
    read_force(call_query(call, "force"), out);
    out->param_count = call_list(call, "p", &out->params);
    out->set_count = call_list(call, "set", &out->sets);
    out->label_count = call_list(call, "label", &out->labels);
    if (call->request->body.count) {
        out->text = buf_text(&call->request->body);
        out->text_bytes = call->request->body.count;
    }
}

static enum status read_key(const struct api_call *call, struct app_request *out, struct err *err)
{
    const char *key = httpd_request_header(call->request, "Idempotency-Key");
    size_t bytes = key ? strlen(key) : 1;
    for (size_t i = 0; key && i < bytes; i++)
        if (key[i] <= ' ' || key[i] >= 0x7f)
            bytes = 0;
    if (!bytes || bytes > IDEMPOTENCY_KEY_BYTES_MAX)
        return err_set(err, E_INVALID,
                       "Idempotency-Key: expected 1 … %d printable characters without blanks",
                       IDEMPOTENCY_KEY_BYTES_MAX);
    out->idempotency_key = key;
    return OK;
}

enum status request_read(struct api_call *call, bool needs_pipeline, struct app_request *out,
                         struct err *err)
{
    *out = (struct app_request){.is_remote = true};
    if (call->body.type == VALUE_MAP && call->request->query_count)
        return err_set(err, E_INVALID,
                       "query: with a JSON body everything stands in the body; a pipeline file is "
                       "sent as application/yaml");
    if (call->body.type == VALUE_MAP)
        read_json(call, out);
    else
        read_file(call, out);
    if (needs_pipeline && !out->text_bytes)
        return err_set(err, E_INVALID,
                       "body: expected a pipeline: a file as application/yaml, or JSON with "
                       "\"pipeline\"");
    if (out->text_bytes && memchr(out->text, 0, out->text_bytes))
        return err_set(err, E_INVALID, "body: a pipeline is text, and holds no NUL");
    for (const char *c = out->file; c && *c; c++) /* a terminal would obey them */
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(err, E_INVALID, "body.file: control characters are not allowed in it");
    call->has_pipeline = true;
    if (!out->file)
        out->file = out->text ? "pipeline" : NULL;
    return read_key(call, out, err);
}
