// SPDX-License-Identifier: Apache-2.0
#include "common/store/s3_config.h"

#include <stdlib.h>
#include <string.h>

#include "common/net/aws_credentials.h"
#include "proto/limits.h"

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

void s3_config_close(struct s3_config *config)
{
    if (config->profile)
        aws_profile_free(config->profile);
    arena_fini(&config->arena);
    *config = (struct s3_config){0};
}

/* ---- the store's URL ---- */

static enum status bad_url(const char *url, const char *why, struct err *err)
{
    return err_set(err, E_INVALID, "%.100s: %s; write s3://bucket or s3://bucket/prefix", url, why);
}

static enum status parse_url(const char *url, struct s3_config *config, struct err *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *bucket = url + strlen("s3://");
    size_t bytes = strspn(bucket, letters);
    if (!bytes || (bucket[bytes] && bucket[bytes] != '/'))
        return bad_url(url, "names no bucket", err);
    config->bucket = arena_text(&config->arena, bucket, bytes);
    const char *prefix = bucket + bytes + strspn(bucket + bytes, "/");
    for (const char *at = prefix; *at; at += strcspn(at, "/"), at += *at == '/') {
        size_t part = strcspn(at, "/");
        bool is_dots = part <= 2 && strspn(at, ".") >= part;
        if (!part || is_dots)
            return bad_url(url, "the prefix has an empty part, or one of dots", err);
    }
    for (const char *at = prefix; *at; at++)
        if ((unsigned char)*at < 0x21 || strchr("?#\\\x7f", *at))
            return bad_url(url, "the prefix has a character that a store's can't have", err);
    size_t count = strlen(prefix);
    while (count && prefix[count - 1] == '/')
        count--;
    if (count > OBJECT_KEY_BYTES_MAX - 100)
        return bad_url(url, "the prefix is too long", err);
    config->prefix = count ? arena_format(&config->arena, "%.*s/", (int)count, prefix) : "";
    return OK;
}

/* ---- settings ---- */

static void set_region(struct s3_config *config)
{
    static const char *const names[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    for (size_t i = 0; i < 2 && !config->region; i++)
        if ((config->region = environment(names[i])))
            config->region_setting =
                arena_format(&config->arena, "%s=%s", names[i], config->region);
    if (!config->region && (config->region = aws_profile_get(config->profile, "region")))
        config->region_setting = arena_format(&config->arena, "region = %s in %s", config->region,
                                              aws_profile_place(config->profile, "region"));
    if (config->region)
        return;
    config->region = "us-east-1";
    config->region_setting = "AWS_REGION, which is not set (us-east-1 is taken then)";
}

static const char *find_endpoint(struct s3_config *config)
{
    static const char *const names[] = {"AWS_ENDPOINT_URL_S3", "S3_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL"},
                             *const keys[] = {"s3.endpoint_url", "endpoint_url"};
    const char *endpoint;
    for (size_t i = 0; i < 3; i++)
        if ((endpoint = environment(names[i]))) {
            config->endpoint_setting = arena_format(&config->arena, "%s=%s", names[i], endpoint);
            return endpoint;
        }
    for (size_t i = 0; i < 2; i++)
        if ((endpoint = aws_profile_get(config->profile, keys[i]))) {
            config->endpoint_setting =
                arena_format(&config->arena, "endpoint_url = %s in %s", endpoint,
                             aws_profile_place(config->profile, keys[i]));
            return endpoint;
        }
    config->endpoint_setting = arena_format(
        &config->arena, "AWS_ENDPOINT_URL_S3, which is not set (Amazon's of %s is taken then)",
        config->region);
    return NULL;
}

static enum status find_style(struct s3_config *config, const char *scheme, bool *is_virtual,
                              struct err *err)
{
    static const char in_profile[] = "s3.addressing_style";
    const char *style = environment("PENSTOCK_S3_STYLE"), *place = "PENSTOCK_S3_STYLE";
    if (!style && (style = aws_profile_get(config->profile, in_profile)))
        place = arena_format(&config->arena, "addressing_style in %s",
                             aws_profile_place(config->profile, in_profile));
    /* A certificate for *.server covers no bucket with a dot in its name. */
    bool has_dot = strchr(config->bucket, '.') && strcmp(scheme, "https://") == 0;
    *is_virtual = !config->has_endpoint && !has_dot;
    if (!style || strcmp(style, "auto") == 0)
        return OK;
    *is_virtual = strcmp(style, "virtual") == 0;
    if (*is_virtual || strcmp(style, "path") == 0)
        return OK;
    return err_set(err, E_DENIED, "%s is %s: set it to path or virtual", place, style);
}

/* "http://host:80/" → "http://", "host". */
static enum status split_endpoint(struct s3_config *config, const char *endpoint,
                                  const char **scheme, const char **host, struct err *err)
{
    bool is_plain = strncmp(endpoint, "http://", 7) == 0;
    if (!is_plain && strncmp(endpoint, "https://", 8) != 0)
        return err_set(err, E_DENIED, "%s: begin it with http:// or https://",
                       config->endpoint_setting);
    *scheme = is_plain ? "http://" : "https://";
    const char *at = endpoint + strlen(*scheme), *unusual = is_plain ? ":80" : ":443";
    size_t bytes = strcspn(at, "/");
    const char *rest = at + bytes;
    if (!bytes || strpbrk(at, "?#@ ") || rest[strspn(rest, "/")])
        return err_set(err, E_DENIED, "%s: write http://host:port or https://host:port",
                       config->endpoint_setting);
    size_t port = strlen(unusual); /* the scheme's own is not part of the Host header */
    if (bytes > port && memcmp(at + bytes - port, unusual, port) == 0)
        bytes -= port;
    *host = arena_text(&config->arena, at, bytes);
    return OK;
}

static enum status set_endpoint(struct s3_config *config, struct err *err)
{
    const char *endpoint = find_endpoint(config), *scheme = "", *host = "";
    config->has_endpoint = endpoint != NULL;
    if (!endpoint)
        endpoint = arena_format(&config->arena, "https://s3.%s.%s", config->region,
                                aws_domain(config->region));
    TRY(split_endpoint(config, endpoint, &scheme, &host, err));
    bool is_virtual;
    TRY(find_style(config, scheme, &is_virtual, err));
    config->host = is_virtual ? arena_format(&config->arena, "%s.%s", config->bucket, host) : host;
    config->path = is_virtual ? "/" : arena_format(&config->arena, "/%s/", config->bucket);
    config->origin = arena_format(&config->arena, "%s%s", scheme, config->host);
    return OK;
}

enum status s3_config_load(const char *url, struct s3_config *out, struct err *err)
{
    *out = (struct s3_config){.ca_file = environment("AWS_CA_BUNDLE")};
    TRY(parse_url(url, out, err));
    TRY(aws_profile_load(&out->profile, err));
    set_region(out);
    return set_endpoint(out, err);
}

enum status s3_config_move(struct s3_config *config, const char *region, struct err *err)
{
    if (region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")])
        return err_set(err, E_PROTOCOL, "the server names \"%.60s\" as the bucket's region",
                       region);
    config->region = arena_text(&config->arena, region, strlen(region));
    return config->has_endpoint ? OK : set_endpoint(config, err);
}
