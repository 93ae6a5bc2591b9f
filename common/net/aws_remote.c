// SPDX-License-Identifier: Apache-2.0
#include "common/net/aws_remote.h"

#include <stdio.h>
#include <string.h>

#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/net/sigv4.h"
#include "common/net/times.h"
#include "common/text/json.h"
#include "common/text/xml.h"
#include "proto/limits.h"

enum {
    ANSWER_BYTES_MAX = 64 << 10,
    STS_MS = 10000,     /* it checks a signature and answers */
    METADATA_MS = 1000, /* it is on this machine, or it is not */
};

void aws_fetched_fini(struct aws_fetched *fetched)
{
    secret_free(fetched->id);
    secret_free(fetched->secret);
    secret_free(fetched->token);
    *fetched = (struct aws_fetched){0};
}

void aws_trim_end(struct buf *text)
{
    while (text->count && strchr(" \r\n\t", text->bytes[text->count - 1]))
        text->count--;
}

static void keep(char **secret, const char *text)
{
    secret_free(*secret);
    *secret = secret_copy(text, strlen(text));
}

static enum status parse_time(const char *text, int64_t *out, struct err *err)
{
    if (times_parse_iso(text, out))
        return OK;
    return err_set(err, E_CORRUPT, "keys that end at \"%.40s\", which is no time", text);
}

static enum status check_whole(const struct aws_fetched *fetched, const char *place,
                               struct err *err)
{
    if (fetched->id && fetched->secret)
        return OK;
    return err_set(err, E_CORRUPT, "%s: an answer without keys", place);
}

/* ---- STS ---- */

struct sts {
    struct aws_fetched *out;
    char code[64], message[256];
};

static enum status take_sts(void *context, const char *path, const char *text, struct err *err)
{
    static const char keys[] =
        "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/";
    struct sts *sts = context;
    if (!text)
        return OK;
    if (strcmp(path, "ErrorResponse/Error/Code") == 0)
        snprintf(sts->code, sizeof sts->code, "%s", text);
    if (strcmp(path, "ErrorResponse/Error/Message") == 0)
        snprintf(sts->message, sizeof sts->message, "%s", text);
    if (strncmp(path, keys, sizeof keys - 1) != 0)
        return OK;
    path += sizeof keys - 1;
    if (strcmp(path, "AccessKeyId") == 0)
        keep(&sts->out->id, text);
    if (strcmp(path, "SecretAccessKey") == 0)
        keep(&sts->out->secret, text);
    if (strcmp(path, "SessionToken") == 0)
        keep(&sts->out->token, text);
    return strcmp(path, "Expiration") == 0 ? parse_time(text, &sts->out->expires_s, err) : OK;
}

/* A no that may be a yes in a moment. */
static bool is_passing(int status, const char *code)
{
    static const char *const codes[] = {"Throttling", "ThrottlingException", "RequestLimitExceeded",
                                        "IDPCommunicationError"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(code, codes[i]) == 0)
            return true;
    return status >= 500 || status == 429;
}

static enum status read_sts(struct http_call *call, struct buf *answer,
                            const struct aws_web_identity *identity, struct aws_fetched *out,
                            struct err *err)
{
    struct sts sts = {.out = out};
    int status = http_status(call);
    struct buf *text = status / 100 == 2 ? answer : http_error_body(call);
    enum status read =
        xml_walk(identity->endpoint, (const char *)text->bytes, text->count, take_sts, &sts, err);
    if (status / 100 == 2 && read == OK)
        return check_whole(out, identity->endpoint, err);
    if (status / 100 == 2)
        return read;
    if (is_passing(status, sts.code))
        return err_set(err, E_UNREACHABLE, "%s: answers %d %s", identity->endpoint, status,
                       sts.code);
    return err_set(err, E_DENIED,
                   "%s refuses the role AWS_ROLE_ARN=%s with the token of "
                   "AWS_WEB_IDENTITY_TOKEN_FILE=%s: %s %s (status %d)",
                   identity->endpoint, identity->role_arn, identity->token_file, sts.code,
                   sts.message, status);
}

enum status aws_fetch_web_identity(struct http *http, const struct aws_web_identity *identity,
                                   struct aws_fetched *out, struct err *err)
{
    AUTO(buf_fini) struct buf token = buf_init(AWS_FILE_BYTES_MAX), form = buf_init(0);
    AUTO(buf_fini) struct buf answer = buf_init(ANSWER_BYTES_MAX);
    enum status status = fs_read(identity->token_file, &token, err);
    if (status != OK) {
        err_prefix(err, "AWS_WEB_IDENTITY_TOKEN_FILE");
        return status;
    }
    aws_trim_end(&token);
    const struct sigv4_pair pairs[] = {{"Action", "AssumeRoleWithWebIdentity"},
                                       {"Version", "2011-06-15"},
                                       {"RoleArn", identity->role_arn},
                                       {"RoleSessionName", identity->session_name},
                                       {"WebIdentityToken", buf_text(&token)}};
    const struct sigv4_request fields = {.query = pairs, .query_count = 5};
    sigv4_query(&fields, &form); /* a form is written as a query is */
    static const struct http_header type = {"Content-Type", "application/x-www-form-urlencoded"};
    const struct http_request request = {.method = "POST",
                                         .url = identity->endpoint,
                                         .headers = &type,
                                         .header_count = 1,
                                         .body = form.bytes,
                                         .body_bytes = form.count,
                                         .out = &answer,
                                         .whole_ms = STS_MS};
    out->expires_s = INT64_MAX;
    AUTO(http_end) struct http_call *call = http_do(http, &request);
    status = http_result(call, err);
    if (status == OK)
        status = read_sts(call, &answer, identity, out, err);
    secret_wipe(token.bytes, token.count);
    secret_wipe(form.bytes, form.count);
    secret_wipe(answer.bytes, answer.count);
    return status;
}

/* ---- metadata ---- */

static void take_text(const struct value *map, const char *key, char **out)
{
    const char *text = value_get_text(map, key);
    if (text)
        keep(out, text);
}

static enum status read_keys(const char *place, const struct buf *answer, struct aws_fetched *out,
                             struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    TRY(json_parse(place, (const char *)answer->bytes, answer->count, &arena, &document, err));
    out->expires_s = INT64_MAX;
    take_text(&document, "AccessKeyId", &out->id);
    take_text(&document, "SecretAccessKey", &out->secret);
    take_text(&document, "Token", &out->token);
    const char *expiration = value_get_text(&document, "Expiration");
    if (expiration)
        TRY(parse_time(expiration, &out->expires_s, err));
    return check_whole(out, place, err);
}

/* One request to the metadata; its text goes to `answer`. */
static enum status ask(struct http *http, const struct http_request *what, struct buf *answer,
                       struct err *err)
{
    struct http_request request = *what;
    request.out = answer;
    request.whole_ms = METADATA_MS;
    request.is_direct = true; /* a proxy's metadata would be those of its own machine */
    AUTO(http_end) struct http_call *call = http_do(http, &request);
    TRY(http_result(call, err));
    int status = http_status(call);
    if (status / 100 == 2)
        return OK;
    return err_set(err,
                   status == 404            ? E_NOTFOUND
                   : is_passing(status, "") ? E_UNREACHABLE
                                            : E_DENIED,
                   "%s: answers %d", http_place(call), status);
}

enum status aws_fetch_container(struct http *http, const struct aws_container *container,
                                struct aws_fetched *out, struct err *err)
{
    AUTO(buf_fini) struct buf answer = buf_init(ANSWER_BYTES_MAX);
    const struct http_header header = {"Authorization", container->authorization};
    const struct http_request request = {.method = "GET",
                                         .url = container->url,
                                         .headers = &header,
                                         .header_count = container->authorization ? 1 : 0};
    TRY(ask(http, &request, &answer, err));
    enum status status = read_keys(container->url, &answer, out, err);
    secret_wipe(answer.bytes, answer.count);
    return status;
}

enum status aws_fetch_instance(struct http *http, const char *endpoint, struct aws_fetched *out,
                               struct err *err)
{
    AUTO(buf_fini) struct buf url = buf_init(0), token = buf_init(ANSWER_BYTES_MAX);
    AUTO(buf_fini)
    struct buf role = buf_init(ANSWER_BYTES_MAX), answer = buf_init(ANSWER_BYTES_MAX);
    static const struct http_header life = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
    buf_format(&url, "%s/latest/api/token", endpoint);
    struct http_request request = {
        .method = "PUT", .url = buf_text(&url), .headers = &life, .header_count = 1};
    enum status status = ask(http, &request, &token, err);
    if (status != OK) /* whoever answers there, if anybody, is no metadata service */
        return err_set(err, E_NOTFOUND, "%s: no instance metadata", endpoint);
    const struct http_header header = {"X-aws-ec2-metadata-token", buf_text(&token)};
    buf_clear(&url);
    buf_format(&url, "%s/latest/meta-data/iam/security-credentials/", endpoint);
    request = (struct http_request){
        .method = "GET", .url = buf_text(&url), .headers = &header, .header_count = 1};
    TRY(ask(http, &request, &role, err));
    buf_format(&url, "%.*s", (int)strcspn(buf_text(&role), "\r\n"), buf_text(&role));
    request.url = buf_text(&url);
    TRY(ask(http, &request, &answer, err));
    status = read_keys(buf_text(&url), &answer, out, err);
    secret_wipe(answer.bytes, answer.count);
    return status;
}
