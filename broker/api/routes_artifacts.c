/* Artifacts by name, where they come from, and what is still to be uploaded. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/api/call.h"
#include "common/base/assert.h"
#include "common/base/doc.h"
#include "proto/limits.h"

enum { URL_SECONDS = 3600 };

static enum status about(struct api_call *call, struct err *err)
{
    return app_artifact(call->app, call_path(call, 0), &call->arena, &call->answer, err);
}

/* Which bytes the name means is decided here; they are somebody else's business. */
static enum status bytes(struct api_call *call, struct err *err)
{
    struct value found;
    TRY(app_artifact(call->app, call_path(call, 0), &call->arena, &found, err));
    const struct value *id = value_get(&found, "id"), *tree = value_get(&found, "tree");
    struct api_match *match =
        arena_alloc(&call->request->arena, sizeof *match); /* it was const until now */
    *match = *call->match;
    ASSERT(id && id_parse(id->text, id->count, &match->artifact, err) == OK);
    match->has_artifact = true;
    match->is_tree = tree && tree->type == VALUE_BOOL && tree->boolean;
    call->request->route = match;
    blobs_pass(call->api->blobs, call->request);
    call->request = NULL;
    call->has_response = true;
    return OK;
}

static enum status lineage(struct api_call *call, struct err *err)
{
    return app_lineage(call->app, call_path(call, 0), &call->arena, &call->answer, err);
}

static enum status urls(struct api_call *call, struct err *err)
{
    uint32_t seconds = (uint32_t)call_count(call, "seconds", URL_SECONDS);
    return app_urls(call->app, call_path(call, 0), seconds, &call->arena, &call->answer, err);
}

static enum status attestation(struct api_call *call, struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    TRY(app_attest(call->app, call_path(call, 0), call_flag(call, "all"), &text, err));
    call->response = answer_bytes(200, "application/jsonl", &text);
    call->has_response = true;
    return OK;
}

static enum status proof(struct api_call *call, struct err *err)
{
    struct app_proof found;
    struct id key;
    char hex[ID_HEX_BYTES];
    enum status status = app_proof(call->app, call_path(call, 0), &found, err);
    if (status == OK) {
        memcpy(key.bytes, found.public_key, sizeof key.bytes);
        call->response = answer_bytes(200, "application/octet-stream", &found.frame);
        call->has_response = true;
        httpd_response_header(&call->response, "X-Proof-Key", id_hex(&key, hex));
        httpd_response_number(&call->response, "X-Proof-Offset", found.offset);
        httpd_response_number(&call->response, "X-Proof-Bytes", found.bytes);
    }
    buf_fini(&found.frame);
    return status;
}

static enum status uploads(struct api_call *call, struct err *err)
{
    struct value list;
    const struct value *wanted = value_get(&call->body, "artifacts");
    if (call->body.type != VALUE_MAP)
        return err_set(err, E_INVALID, "body: expected {\"artifacts\": [{\"id\", \"bytes\"}]}");
    for (uint32_t i = 0; i < wanted->count; i++) {
        const struct value *id = value_get(&wanted->items[i], "id");
        struct id parsed;
        TRY(id_parse(id->text, id->count, &parsed, err));
    }
    TRY(app_uploads(call->app, wanted, &call->arena, &list, err));
    call->answer = doc_map();
    doc_put(&call->arena, &call->answer, "uploads", list);
    return OK;
}

static const struct api_param urls_query[] = {
    {"seconds", PARAM_COUNT, "how long they work (default an hour)", PRESIGN_SECONDS_MAX, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};
static const struct api_param attestation_query[] = {
    {"all", PARAM_FLAG, "a line more for everything that made it", 0, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};
static const struct api_param bytes_query[] = {
    {"path", PARAM_TEXT, "a file of a tree", 0, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};
static const struct api_param blob_query[] = {
    {"tree", PARAM_FLAG, "the id is a tree's: its manifest", 0, false},
    {"path", PARAM_TEXT, "a file of the tree", 0, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};
static const struct api_param upload_query[] = {
    {"tree", PARAM_FLAG, "the id is a tree's: the body is its manifest", 0, false},
    {NULL, PARAM_TEXT, NULL, 0, false},
};

const struct api_route routes_artifacts[] = {
    {.method = "GET",
     .pattern = "/v1/artifacts/{ref...}",
     .name = "getArtifact",
     .help = "An artifact's bytes (or where they are); of a tree: the list of its files.",
     .role = ROLE_READ,
     .query = bytes_query,
     .type = "application/octet-stream",
     .answer = "Tree",
     .also = {307},
     .handle = bytes},
    {.method = "GET",
     .pattern = "/v1/refs/{ref...}",
     .name = "getReference",
     .help = "Which artifact a name means.",
     .role = ROLE_READ,
     .answer = "Artifact",
     .handle = about},
    {.method = "GET",
     .pattern = "/v1/lineage/{ref...}",
     .name = "getLineage",
     .help = "Every byte and parameter that made an artifact.",
     .role = ROLE_READ,
     .answer = "Document",
     .handle = lineage},
    {.method = "GET",
     .pattern = "/v1/urls/{ref...}",
     .name = "getUrls",
     .help = "URLs that anybody may get an artifact's bytes with, for a while.",
     .role = ROLE_READ,
     .query = urls_query,
     .answer = "Urls",
     .handle = urls},
    {.method = "GET",
     .pattern = "/v1/attestations/{ref...}",
     .name = "getAttestation",
     .help = "An artifact's provenance, signed by this broker: in-toto, SLSA, DSSE.",
     .role = ROLE_READ,
     .query = attestation_query,
     .type = "application/jsonl",
     .handle = attestation},
    {.method = "GET",
     .pattern = "/v1/proofs/{task...}",
     .name = "getProof",
     .help = "What a task's record rests on: the frame it came in, signed by its worker "
             "(X-Proof-Key; the record is X-Proof-Bytes from X-Proof-Offset on).",
     .role = ROLE_READ,
     .type = "application/octet-stream",
     .handle = proof},
    {.method = "POST",
     .pattern = "/v1/uploads",
     .name = "planUploads",
     .help = "Which of these artifacts the store lacks, and where to PUT each.",
     .role = ROLE_WRITE,
     .body = "UploadRequest",
     .body_is_required = true,
     .body_max = 4 * API_BODY_BYTES_MAX,
     .answer = "Uploads",
     .handle = uploads},
    {.method = NULL},
};

/* The blobs' thread answers these. */
const struct api_route routes_blobs[] = {
    {.method = "GET",
     .pattern = "/v1/blobs/{id}",
     .name = "getBlob",
     .help = "Bytes by their id, or where they are.",
     .role = ROLE_READ,
     .lane = LANE_BLOBS,
     .query = blob_query,
     .type = "application/octet-stream",
     .answer = "Tree",
     .also = {307}},
    {.method = "PUT",
     .pattern = "/v1/blobs/{id}",
     .name = "putBlob",
     .help = "Put bytes into a store that has no URLs of its own; they count once their id is "
             "theirs.",
     .role = ROLE_WRITE,
     .lane = LANE_BLOBS,
     .query = upload_query,
     .is_upload = true,
     .body_max = UPLOAD_BYTES_MAX,
     .answer = "Stored",
     .status = 201},
    {.method = NULL},
};
