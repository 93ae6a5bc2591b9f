// SPDX-License-Identifier: Apache-2.0
#include "common/net/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/crypto/sha256.h"

enum { PAIRS_MAX = 32, DATE_BYTES = 9 };

void sigv4_time(int64_t time_s, char out[SIGV4_TIME_BYTES])
{
    struct tm utc;
    time_t seconds = (time_t)time_s;
    gmtime_r(&seconds, &utc);
    strftime(out, SIGV4_TIME_BYTES, "%Y%m%dT%H%M%SZ", &utc);
}

/* ---- encoding ---- */

static void encode(const char *text, bool keeps_slashes, struct buf *out)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool is_plain = (*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z') ||
                        (*at >= '0' && *at <= '9') || strchr("-._~", *at) ||
                        (keeps_slashes && *at == '/');
        if (is_plain)
            buf_put_char(out, (char)*at);
        else
            buf_format(out, "%%%02X", *at);
    }
}

void sigv4_path(const char *path, struct buf *out)
{
    encode(path, true, out);
}

/* A name and a value that are put in order before they are joined. */
struct sortable {
    struct buf name, value;
    size_t at; /* equal ones keep their order */
};

static int compare(const void *a, const void *b)
{
    struct sortable *one = (struct sortable *)(uintptr_t)a;
    struct sortable *two = (struct sortable *)(uintptr_t)b;
    int order = strcmp(buf_text(&one->name), buf_text(&two->name));
    return order ? order : (one->at > two->at) - (one->at < two->at);
}

static int compare_both(const void *a, const void *b)
{
    struct sortable *one = (struct sortable *)(uintptr_t)a;
    struct sortable *two = (struct sortable *)(uintptr_t)b;
    int order = strcmp(buf_text(&one->name), buf_text(&two->name));
    return order ? order : strcmp(buf_text(&one->value), buf_text(&two->value));
}

struct pairs {
    struct sortable items[PAIRS_MAX];
    size_t count;
};

static void pairs_fini(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        buf_fini(&pairs->items[i].name);
        buf_fini(&pairs->items[i].value);
    }
}
DEFINE_AUTO_VALUE(struct pairs, pairs_fini)

static struct sortable *add(struct pairs *pairs)
{
    ASSERT(pairs->count < PAIRS_MAX);
    struct sortable *item = &pairs->items[pairs->count];
    *item = (struct sortable){.name = buf_init(0), .value = buf_init(0), .at = pairs->count++};
    return item;
}

static void add_query(struct pairs *pairs, const char *name, const char *value)
{
    struct sortable *item = add(pairs);
    encode(name, false, &item->name);
    encode(value, false, &item->value);
}

/* Lower case; of the value, white space at the ends goes and inside becomes one space. */
static void add_header(struct pairs *pairs, const char *name, const char *value)
{
    struct sortable *item = add(pairs);
    for (; *name; name++)
        buf_put_char(&item->name, *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name);
    for (;;) {
        value += strspn(value, " \t\r\n");
        size_t bytes = strcspn(value, " \t\r\n");
        if (!bytes)
            break;
        if (item->value.count)
            buf_put_char(&item->value, ' ');
        buf_put(&item->value, value, bytes);
        value += bytes;
    }
}

static void write_query(struct pairs *pairs, struct buf *out)
{
    qsort(pairs->items, pairs->count, sizeof *pairs->items, compare_both);
    for (size_t i = 0; i < pairs->count; i++)
        buf_format(out, "%s%s=%s", i ? "&" : "", buf_text(&pairs->items[i].name),
                   buf_text(&pairs->items[i].value));
}

void sigv4_query(const struct sigv4_request *request, struct buf *out)
{
    AUTO(pairs_fini) struct pairs pairs = {.count = 0};
    for (size_t i = 0; i < request->query_count; i++)
        add_query(&pairs, request->query[i].name, request->query[i].value);
    write_query(&pairs, out);
}

/* ---- headers ---- */

static bool has_token(const struct sigv4_request *request)
{
    return request->keys.token && *request->keys.token;
}

static void collect_headers(const struct sigv4_request *request, struct pairs *pairs)
{
    char when[SIGV4_TIME_BYTES];
    sigv4_time(request->time_s, when);
    add_header(pairs, "host", request->host);
    add_header(pairs, "x-amz-date", when);
    if (has_token(request))
        add_header(pairs, "x-amz-security-token", request->keys.token);
    for (size_t i = 0; i < request->header_count; i++)
        add_header(pairs, request->headers[i].name, request->headers[i].value);
    qsort(pairs->items, pairs->count, sizeof *pairs->items, compare);
}

static bool is_repeated(struct pairs *pairs, size_t i)
{
    return i && strcmp(buf_text(&pairs->items[i].name), buf_text(&pairs->items[i - 1].name)) == 0;
}

static void write_headers(struct pairs *pairs, struct buf *out)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (is_repeated(pairs, i))
            buf_put_char(out, ',');
        else
            buf_format(out, "%s%s:", i ? "\n" : "", buf_text(&pairs->items[i].name));
        buf_put_text(out, buf_text(&pairs->items[i].value));
    }
    buf_put_char(out, '\n');
}

static void write_names(struct pairs *pairs, struct buf *out)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (!is_repeated(pairs, i))
            buf_format(out, "%s%s", i ? ";" : "", buf_text(&pairs->items[i].name));
}

/* ---- signing ---- */

/* `query` and `headers` are those that are signed. */
static void write_canonical(const struct sigv4_request *request, struct buf *query,
                            struct pairs *headers, struct buf *out)
{
    buf_format(out, "%s\n", request->method);
    sigv4_path(request->path, out);
    buf_format(out, "\n%s\n", buf_text(query));
    write_headers(headers, out);
    buf_put_char(out, '\n');
    write_names(headers, out);
    buf_format(out, "\n%s", request->payload);
}

static void write_scope(const struct sigv4_request *request, struct buf *out)
{
    char when[SIGV4_TIME_BYTES];
    sigv4_time(request->time_s, when);
    buf_format(out, "%.8s/%s/%s/aws4_request", when, request->region, request->service);
}

static void chain(struct id *key, const char *text)
{
    sha256_hmac((struct sha256_key){key->bytes, ID_BYTES}, text, strlen(text), key);
}

/* The signature of a canonical request, in hex. */
static void signature_of(const struct sigv4_request *request, struct buf *canonical,
                         char hex[ID_HEX_BYTES])
{
    AUTO(buf_fini) struct buf secret = buf_init(0), text = buf_init(0);
    char when[SIGV4_TIME_BYTES], date[DATE_BYTES];
    struct id digest, key;
    sigv4_time(request->time_s, when);
    snprintf(date, sizeof date, "%.8s", when);
    sha256_bytes(canonical->bytes, canonical->count, &digest);
    buf_format(&text, "AWS4-HMAC-SHA256\n%s\n", when);
    write_scope(request, &text);
    buf_format(&text, "\n%s", id_hex(&digest, hex));
    buf_format(&secret, "AWS4%s", request->keys.secret);
    sha256_hmac((struct sha256_key){secret.bytes, secret.count}, date, strlen(date), &key);
    explicit_bzero(secret.bytes, secret.count);
    chain(&key, request->region);
    chain(&key, request->service);
    chain(&key, "aws4_request");
    chain(&key, buf_text(&text));
    id_hex(&key, hex);
}

void sigv4_canonical(const struct sigv4_request *request, struct buf *out)
{
    AUTO(pairs_fini) struct pairs headers = {.count = 0};
    AUTO(buf_fini) struct buf query = buf_init(0);
    collect_headers(request, &headers);
    sigv4_query(request, &query);
    write_canonical(request, &query, &headers, out);
}

void sigv4_sign(const struct sigv4_request *request, struct buf *authorization)
{
    AUTO(pairs_fini) struct pairs headers = {.count = 0};
    AUTO(buf_fini) struct buf query = buf_init(0), canonical = buf_init(0);
    char hex[ID_HEX_BYTES];
    collect_headers(request, &headers);
    sigv4_query(request, &query);
    write_canonical(request, &query, &headers, &canonical);
    signature_of(request, &canonical, hex);
    buf_format(authorization, "AWS4-HMAC-SHA256 Credential=%s/", request->keys.id);
    write_scope(request, authorization);
    buf_put_text(authorization, ", SignedHeaders=");
    write_names(&headers, authorization);
    buf_format(authorization, ", Signature=%s", hex);
}

void sigv4_presign(const struct sigv4_request *request, uint32_t seconds, struct buf *query)
{
    AUTO(pairs_fini) struct pairs pairs = {.count = 0};
    AUTO(pairs_fini) struct pairs headers = {.count = 0};
    AUTO(buf_fini)
    struct buf credential = buf_init(0), canonical = buf_init(0), signed_query = buf_init(0);
    char when[SIGV4_TIME_BYTES], life[16], hex[ID_HEX_BYTES];
    sigv4_time(request->time_s, when);
    snprintf(life, sizeof life, "%u", (unsigned)seconds);
    buf_format(&credential, "%s/", request->keys.id);
    write_scope(request, &credential);
    add_query(&pairs, "X-Amz-Algorithm", "AWS4-HMAC-SHA256");
    add_query(&pairs, "X-Amz-Credential", buf_text(&credential));
    add_query(&pairs, "X-Amz-Date", when);
    add_query(&pairs, "X-Amz-Expires", life);
    add_query(&pairs, "X-Amz-SignedHeaders", "host");
    if (has_token(request))
        add_query(&pairs, "X-Amz-Security-Token", request->keys.token);
    for (size_t i = 0; i < request->query_count; i++)
        add_query(&pairs, request->query[i].name, request->query[i].value);
    write_query(&pairs, &signed_query);
    add_header(&headers, "host", request->host);
    struct sigv4_request bare = *request;
    bare.payload = SIGV4_UNSIGNED;
    write_canonical(&bare, &signed_query, &headers, &canonical);
    signature_of(&bare, &canonical, hex);
    buf_format(query, "%s&X-Amz-Signature=%s", buf_text(&signed_query), hex);
}
