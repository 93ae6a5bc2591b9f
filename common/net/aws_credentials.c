// SPDX-License-Identifier: Apache-2.0
#include "common/net/aws_credentials.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/net/aws_remote.h"
#include "proto/limits.h"

enum {
    REFRESH_SECONDS = 300, /* before they end; requests under way still work then */
    RETRY_SECONDS = 30,    /* after a failed refresh, while the old ones work */
};

struct aws_credentials {
    const struct aws_profile *profile; /* ours, or borrowed */
    struct aws_profile *ours;          /* as it was read again; NULL: not yet */
    const char *region;
    struct arena arena;
    struct http *http;
    struct aws_fetched keys;
    const char *source;
    bool may_change;   /* there may be others now, where these came from */
    int64_t refresh_s; /* when to do so; 0: there are none yet */
    int64_t life_s;    /* of the keys, when they were fetched */
};

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

struct aws_credentials *aws_credentials_new(const struct aws_profile *profile, const char *region)
{
    struct aws_credentials *credentials = mem_alloc(sizeof *credentials);
    *credentials = (struct aws_credentials){.profile = profile, .source = ""};
    if (region)
        credentials->region = arena_text(&credentials->arena, region, strlen(region));
    return credentials;
}

void aws_credentials_free(struct aws_credentials *credentials)
{
    if (credentials->http)
        http_close(credentials->http);
    if (credentials->ours)
        aws_profile_free(credentials->ours);
    aws_fetched_fini(&credentials->keys);
    arena_fini(&credentials->arena);
    mem_free(credentials);
}

const char *aws_domain(const char *region)
{
    return strncmp(region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
}

/* ---- the sources; E_NOTFOUND passes on to the next ---- */

static char *secret_of(const char *text)
{
    return text ? secret_copy(text, strlen(text)) : NULL;
}

static enum status from_environment(struct aws_credentials *credentials, struct aws_fetched *out,
                                    struct err *err)
{
    const char *id = environment("AWS_ACCESS_KEY_ID"),
               *secret = environment("AWS_SECRET_ACCESS_KEY");
    if (!id && !secret)
        return E_NOTFOUND;
    if (!id || !secret)
        return err_set(err, E_DENIED, "%s is set, %s is not: set both, or neither",
                       id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                       id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    credentials->source = "the environment (AWS_ACCESS_KEY_ID)";
    *out = (struct aws_fetched){secret_of(id), secret_of(secret),
                                secret_of(environment("AWS_SESSION_TOKEN")), INT64_MAX};
    return OK;
}

/* A file that is missing is one that a setting names: no reason to look elsewhere. */
static enum status is_needed(enum status status, struct err *err)
{
    if (status != E_NOTFOUND)
        return status;
    if (err)
        err->code = E_DENIED;
    return E_DENIED;
}

static enum status exchange_token(struct aws_credentials *credentials,
                                  struct aws_web_identity *identity, struct aws_fetched *out,
                                  struct err *err)
{
    const char *name = environment("AWS_ROLE_SESSION_NAME"),
               *endpoint = environment("AWS_ENDPOINT_URL_STS");
    identity->session_name = name ? name : "penstock";
    if (!endpoint && credentials->region)
        endpoint = arena_format(&credentials->arena, "https://sts.%s.%s/", credentials->region,
                                aws_domain(credentials->region));
    identity->endpoint = endpoint ? endpoint : "https://sts.amazonaws.com/";
    credentials->may_change = true;
    return is_needed(aws_fetch_web_identity(credentials->http, identity, out, err), err);
}

static enum status from_web_identity(struct aws_credentials *credentials, struct aws_fetched *out,
                                     struct err *err)
{
    struct aws_web_identity identity = {.token_file = environment("AWS_WEB_IDENTITY_TOKEN_FILE"),
                                        .role_arn = environment("AWS_ROLE_ARN")};
    if (!identity.token_file)
        return E_NOTFOUND;
    if (!identity.role_arn)
        return err_set(err, E_DENIED,
                       "AWS_WEB_IDENTITY_TOKEN_FILE is set, AWS_ROLE_ARN is not: set both");
    credentials->source = "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)";
    return exchange_token(credentials, &identity, out, err);
}

/* E_NOTFOUND: it has none of these settings. */
static enum status refuse(const struct aws_profile *profile, const char *const *settings,
                          size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (aws_profile_get(profile, settings[i]))
            return err_set(err, E_UNSUPPORTED,
                           "%s: `%s` is not understood here; put its keys into AWS_ACCESS_KEY_ID, "
                           "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (aws configure "
                           "export-credentials --format env prints them)",
                           aws_profile_place(profile, settings[i]), settings[i]);
    return E_NOTFOUND;
}

static enum status from_profile(struct aws_credentials *credentials, struct aws_fetched *out,
                                struct err *err)
{
    static const char *const roles[] = {"source_profile", "credential_source"},
                             *const others[] = {"role_arn", "sso_session", "sso_start_url",
                                                "login_session", "credential_process"};
    const struct aws_profile *profile = credentials->profile;
    /* Keys beside them are those that may take the role on, not the role's own. */
    enum status status = refuse(profile, roles, sizeof roles / sizeof *roles, err);
    if (status != E_NOTFOUND)
        return status;
    const char *id = aws_profile_get(profile, "aws_access_key_id"),
               *secret = aws_profile_get(profile, "aws_secret_access_key");
    if (id && secret) {
        credentials->may_change = true;
        credentials->source = aws_profile_place(profile, "aws_access_key_id");
        *out = (struct aws_fetched){secret_of(id), secret_of(secret),
                                    secret_of(aws_profile_get(profile, "aws_session_token")),
                                    INT64_MAX};
        return OK;
    }
    struct aws_web_identity identity = {.token_file =
                                            aws_profile_get(profile, "web_identity_token_file"),
                                        .role_arn = aws_profile_get(profile, "role_arn")};
    if (identity.token_file && identity.role_arn) {
        credentials->source = aws_profile_place(profile, "web_identity_token_file");
        return exchange_token(credentials, &identity, out, err);
    }
    return refuse(profile, others, sizeof others / sizeof *others, err);
}

/* Over plain HTTP only to this machine and to where ECS and EKS have their agents. */
static bool is_trusted(const char *url)
{
    static const char *const hosts[] = {"localhost", "[::1]", "[fd00:ec2::23]", "169.254.170.2",
                                        "169.254.170.23"};
    char host[64];
    struct in_addr address;
    if (strncmp(url, "http://", 7) != 0)
        return strncmp(url, "https://", 8) == 0;
    url += 7;
    size_t bytes = *url == '[' ? strcspn(url, "]") + 1 : strcspn(url, ":/?#");
    if (bytes >= sizeof host || strcspn(url, "@\\") < strcspn(url, "/?#"))
        return false;
    snprintf(host, sizeof host, "%.*s", (int)bytes, url);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (strcmp(host, hosts[i]) == 0)
            return true;
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

static enum status from_container(struct aws_credentials *credentials, struct aws_fetched *out,
                                  struct err *err)
{
    const char *relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
               *full = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
               *file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if (!relative && !full)
        return E_NOTFOUND;
    AUTO(buf_fini) struct buf url = buf_init(0), token = buf_init(AWS_FILE_BYTES_MAX);
    buf_format(&url, "%s%s", relative ? "http://169.254.170.2" : "", relative ? relative : full);
    if (!is_trusted(buf_text(&url)))
        return err_set(err, E_DENIED,
                       "AWS_CONTAINER_CREDENTIALS_FULL_URI=%s: keys are fetched over https, or "
                       "from this machine",
                       buf_text(&url));
    enum status status = file ? fs_read(file, &token, err) : OK;
    if (status != OK) {
        err_prefix(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        return is_needed(status, err);
    }
    aws_trim_end(&token);
    struct aws_container container = {.url = buf_text(&url),
                                      .authorization =
                                          file ? buf_text(&token)
                                               : environment("AWS_CONTAINER_AUTHORIZATION_TOKEN")};
    credentials->source = "the container's metadata";
    credentials->may_change = true;
    status = aws_fetch_container(credentials->http, &container, out, err);
    if (file)
        secret_wipe(token.bytes, token.count);
    return status == E_NOTFOUND ? err_set(err, E_DENIED, "%s: has no keys", buf_text(&url))
                                : status;
}

static enum status from_instance(struct aws_credentials *credentials, struct aws_fetched *out,
                                 struct err *err)
{
    const char *disabled = environment("AWS_EC2_METADATA_DISABLED"),
               *endpoint = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (disabled && strcasecmp(disabled, "true") == 0)
        return E_NOTFOUND;
    credentials->source = "the instance's metadata";
    credentials->may_change = true;
    AUTO(buf_fini) struct buf base = buf_init(0);
    buf_put_text(&base, endpoint ? endpoint : "http://169.254.169.254");
    while (base.count && base.bytes[base.count - 1] == '/')
        base.count--;
    return aws_fetch_instance(credentials->http, buf_text(&base), out, err);
}

/* ---- the chain ---- */

static enum status fetch(struct aws_credentials *credentials, struct aws_fetched *out,
                         struct err *err)
{
    static enum status (*const sources[])(struct aws_credentials *, struct aws_fetched *,
                                          struct err *) = {
        from_environment, from_web_identity, from_profile, from_container, from_instance};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        credentials->may_change = false;
        enum status status = sources[i](credentials, out, err);
        if (status != E_NOTFOUND)
            return status;
    }
    credentials->source = "";
    return err_set(err, E_DENIED,
                   "no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a "
                   "profile of ~/.aws/credentials");
}

static void set_refresh(struct aws_credentials *credentials)
{
    credentials->refresh_s = credentials->keys.expires_s == INT64_MAX
                                 ? INT64_MAX
                                 : credentials->keys.expires_s - REFRESH_SECONDS;
}

static enum status renew(struct aws_credentials *credentials, int64_t now_s, struct err *err)
{
    if (!credentials->http)
        TRY(http_open(&(struct http_options){.ca_file = environment("AWS_CA_BUNDLE"),
                                             .connect_ms = AWS_METADATA_CONNECT_MS},
                      &credentials->http, err));
    AUTO(aws_fetched_fini) struct aws_fetched fresh = {0};
    enum status status = fetch(credentials, &fresh, err);
    if (status != OK && credentials->keys.id && now_s < credentials->keys.expires_s) {
        credentials->refresh_s = now_s + RETRY_SECONDS; /* those we have still work */
        return OK;
    }
    TRY(status);
    struct aws_fetched old = credentials->keys;
    credentials->keys = fresh;
    fresh = old;
    credentials->life_s = credentials->keys.expires_s - now_s;
    set_refresh(credentials);
    if (credentials->refresh_s <= now_s) /* such short ones: no fetch for each request */
        credentials->refresh_s = now_s + RETRY_SECONDS;
    return OK;
}

enum status aws_credentials_get(struct aws_credentials *credentials, struct sigv4_keys *out,
                                struct err *err)
{
    int64_t now_s = clock_epoch_us() / 1000000;
    if (now_s >= credentials->refresh_s)
        TRY(renew(credentials, now_s, err));
    *out = (struct sigv4_keys){credentials->keys.id, credentials->keys.secret,
                               credentials->keys.token};
    return OK;
}

/* A tool that signs its user in writes the profile anew. */
static void read_profile_again(struct aws_credentials *credentials)
{
    struct aws_profile *fresh;
    if (aws_profile_load(&fresh, NULL) != OK) /* in the midst of that, maybe */
        return;
    if (credentials->ours)
        aws_profile_free(credentials->ours);
    credentials->profile = credentials->ours = fresh;
    credentials->source = ""; /* it may lie in the old one */
}

enum status aws_credentials_get_for(struct aws_credentials *credentials, uint32_t seconds,
                                    struct sigv4_keys *out, uint32_t *works_s, struct err *err)
{
    int64_t now_s = clock_epoch_us() / 1000000;
    int64_t left_s = credentials->keys.expires_s - now_s;
    if (credentials->may_change && left_s < seconds && left_s < credentials->life_s / 2)
        credentials->refresh_s = 0;
    TRY(aws_credentials_get(credentials, out, err));
    left_s = credentials->keys.expires_s - now_s;
    *works_s = left_s >= seconds ? seconds : left_s > 1 ? (uint32_t)left_s : 1;
    return OK;
}

bool aws_credentials_expire(struct aws_credentials *credentials)
{
    if (!credentials->may_change)
        return false;
    read_profile_again(credentials);
    credentials->refresh_s = 0;
    credentials->keys.expires_s = 0;
    return true;
}

const char *aws_credentials_source(const struct aws_credentials *credentials)
{
    return credentials->source;
}
