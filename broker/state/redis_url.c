// SPDX-License-Identifier: Apache-2.0
#include "broker/state/redis_url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DB_MAX = 65535 };

/* A text being taken apart from the front: [at, end). */
struct part {
    const char *at, *end;
};

static bool is_empty(struct part part)
{
    return part.at == part.end;
}

/* Splits at the first `mark`; false: there is none, and `before` is all of it. */
static bool split(struct part whole, char mark, struct part *before, struct part *after)
{
    const char *at = memchr(whole.at, mark, (size_t)(whole.end - whole.at));
    *before = (struct part){whole.at, at ? at : whole.end};
    *after = (struct part){at ? at + 1 : whole.end, whole.end};
    return at != NULL;
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
                                        : -1;
}

/* Percent-decoded, NUL-terminated. A % that begins no number stands for itself. */
static const char *decode(struct redis_url *url, struct part part)
{
    char *out = arena_text(&url->arena, part.at, (size_t)(part.end - part.at)), *to = out;
    for (const char *from = part.at; from < part.end; from++) {
        int high = *from == '%' && part.end - from > 2 ? hex_digit(from[1]) : -1;
        int low = high < 0 ? -1 : hex_digit(from[2]);
        *to++ = low < 0 ? *from : (char)(high * 16 + low);
        from += low < 0 ? 0 : 2;
    }
    *to = '\0';
    return out;
}

static bool read_number(struct part part, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    if (is_empty(part))
        return false;
    for (const char *c = part.at; c < part.end; c++) {
        if (!isdigit((unsigned char)*c) || value > max)
            return false;
        value = value * 10 + (uint64_t)(*c - '0');
    }
    *out = (uint32_t)value;
    return value <= max;
}

static enum status wrong(const struct redis_url *url, struct err *err, const char *what)
{
    return err_set(err, E_INVALID, "state \"%s\": %s", url->shown, what);
}

/* HOST, HOST:PORT, [v6], [v6]:PORT. */
static enum status parse_host(struct redis_url *url, struct part text, uint16_t default_port,
                              struct err *err)
{
    struct part name, port = {0};
    bool has_port;
    uint32_t number = default_port;
    if (!is_empty(text) && *text.at == '[') {
        struct part rest;
        if (!split((struct part){text.at + 1, text.end}, ']', &name, &rest))
            return wrong(url, err, "a [ of an address has no ]");
        has_port = !is_empty(rest);
        port = (struct part){rest.at + (has_port && *rest.at == ':'), rest.end};
    } else {
        has_port = split(text, ':', &name, &port);
    }
    if (is_empty(name))
        return wrong(url, err, "it names no host, as in redis://localhost:6379");
    if (has_port && (!read_number(port, UINT16_MAX, &number) || !number))
        return wrong(url, err, "a port is a number from 1 to 65535");
    if (url->host_count == REDIS_HOSTS_MAX)
        return wrong(url, err, "it names more than 8 hosts");
    url->hosts[url->host_count++] = (struct redis_host){decode(url, name), (uint16_t)number};
    return OK;
}

static enum status parse_db(struct redis_url *url, struct part text, struct err *err)
{
    if (is_empty(text) || read_number(text, DB_MAX, &url->db))
        return OK;
    return wrong(url, err, "the database is a number, as in redis://localhost:6379/0");
}

/* Keys are matched by pattern and split at colons, so a namespace has none of their marks. */
static enum status parse_namespace(struct redis_url *url, struct part text, struct err *err)
{
    url->ns = decode(url, text);
    bool is_good = *url->ns && strlen(url->ns) <= REDIS_NAMESPACE_BYTES_MAX;
    for (const char *c = url->ns; *c; c++)
        is_good &= isalnum((unsigned char)*c) || strchr("-_.:", *c);
    return is_good ? OK
                   : wrong(url, err,
                           "ns has 1 to 64 letters, digits, and characters of \"-_.:\" alone");
}

static enum status parse_option(struct redis_url *url, struct part option, struct err *err)
{
    struct part name, value;
    split(option, '=', &name, &value);
    const char *word = decode(url, name);
    if (strcmp(word, "ns") == 0)
        return parse_namespace(url, value, err);
    if (strcmp(word, "db") == 0)
        return parse_db(url, value, err);
    if (strcmp(word, "ca") == 0)
        url->ca = decode(url, value);
    else if (strcmp(word, "tls") == 0)
        url->is_tls = is_empty(value) || *value.at != '0';
    else
        return wrong(url, err, "behind the ? may stand ns, db, ca and tls");
    return OK;
}

static enum status parse_options(struct redis_url *url, struct part options, struct err *err)
{
    struct part option;
    while (!is_empty(options)) {
        split(options, '&', &option, &options);
        if (!is_empty(option))
            TRY(parse_option(url, option, err));
    }
    return OK;
}

/* [[USER]:PASSWORD@]; what stands before the last @, for a password may have one. */
static struct part take_user(struct redis_url *url, struct part authority)
{
    const char *at = memrchr(authority.at, '@', (size_t)(authority.end - authority.at));
    if (!at)
        return authority;
    struct part user, password;
    bool has_password = split((struct part){authority.at, at}, ':', &user, &password);
    if (!is_empty(user))
        url->user = decode(url, user);
    if (has_password)
        url->password = decode(url, password);
    return (struct part){at + 1, authority.end};
}

/* The URL with *** for the password. */
static void show(struct redis_url *url, const char *text)
{
    const char *begin = strstr(text, "://"), *at = begin ? strrchr(begin, '@') : NULL;
    const char *colon = at ? memchr(begin + 3, ':', (size_t)(at - begin - 3)) : NULL;
    url->shown = colon ? arena_format(&url->arena, "%.*s:***%s", (int)(colon - text), text, at)
                       : arena_text(&url->arena, text, strlen(text));
}

static enum status parse_hosts(struct redis_url *url, struct part hosts, bool is_sentinel,
                               struct err *err)
{
    struct part host;
    bool has_more = true;
    while (has_more) {
        has_more = is_sentinel && split(hosts, ',', &host, &hosts);
        TRY(parse_host(url, has_more || is_sentinel ? host : hosts,
                       is_sentinel ? REDIS_SENTINEL_PORT : REDIS_PORT, err));
    }
    return OK;
}

static enum status parse(struct redis_url *url, const char *text, struct err *err)
{
    struct part scheme, rest, options, authority, path;
    split((struct part){text, text + strlen(text)}, ':', &scheme, &rest);
    if (rest.end - rest.at < 2 || memcmp(rest.at, "//", 2) != 0)
        return wrong(url, err, "behind the scheme stands //, as in redis://localhost:6379");
    rest.at += 2;
    const char *word = decode(url, scheme);
    bool is_unix = strcmp(word, "redis+unix") == 0,
         is_sentinel = strcmp(word, "redis+sentinel") == 0;
    url->is_tls = strcmp(word, "rediss") == 0;
    split(rest, '?', &rest, &options);
    TRY(parse_options(url, options, err));
    if (is_unix) {
        struct part socket = take_user(url, rest);
        url->path = decode(url, socket);
        return *url->path == '/'
                   ? OK
                   : wrong(url, err, "a socket's path is absolute: redis+unix:///run/redis.sock");
    }
    /* A password may have slashes: the path begins behind the @. */
    struct part behind = take_user(url, rest);
    split(behind, '/', &authority, &path);
    TRY(parse_hosts(url, authority, is_sentinel, err));
    if (!is_sentinel)
        return parse_db(url, path, err);
    struct part master, db;
    split(path, '/', &master, &db);
    if (is_empty(master))
        return wrong(url, err, "it names no master: redis+sentinel://HOST:26379/MASTER");
    url->master = decode(url, master);
    return parse_db(url, db, err);
}

enum status redis_url_parse(const char *text, struct redis_url *out, struct err *err)
{
    const char *ca = getenv("REDIS_CA");
    *out = (struct redis_url){.ns = "penstock", .ca = ca && *ca ? ca : NULL};
    show(out, text);
    enum status status = parse(out, text, err);
    if (status != OK)
        redis_url_fini(out);
    return status;
}

void redis_url_fini(struct redis_url *url)
{
    arena_fini(&url->arena);
    *url = (struct redis_url){0};
}
