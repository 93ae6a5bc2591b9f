// SPDX-License-Identifier: Apache-2.0
#include "broker/state/redis_link.h"

#include <hiredis/read.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/net/stream.h"

enum { IN_BYTES = 1 << 18, HEAD_BYTES_MAX = 24, OUT_KEPT_BYTES = 1 << 22 };

struct redis_link {
    const struct redis_url *url; /* borrowed */
    struct stream *stream;
    redisReader *reader;
    struct arena arena; /* of the reply last read, or of what has come of the next */
    bool has_reply;     /* the arena's reply is whole, and was handed out */
    struct buf out;
    size_t sent;   /* of `out` */
    size_t owed;   /* replies still to come */
    ms_t moved_at; /* when bytes last went or came */
    uint8_t *in;
};

/* ---- replies: hiredis calls these as it reads ---- */

static void *put_reply(const redisReadTask *task, struct redis_reply *reply)
{
    if (task->parent) {
        struct redis_reply *parent = task->parent->obj;
        parent->items[task->idx] = reply;
    }
    return reply;
}

static void *make_text(const redisReadTask *task, char *text, size_t bytes)
{
    struct arena *arena = task->privdata;
    struct redis_reply *reply = arena_alloc(arena, sizeof *reply);
    reply->type = task->type == REDIS_REPLY_ERROR ? REDIS_FAILURE : REDIS_TEXT;
    reply->text = arena_text(arena, text, bytes);
    reply->bytes = bytes;
    return put_reply(task, reply);
}

static void *make_list(const redisReadTask *task, int count)
{
    struct arena *arena = task->privdata;
    struct redis_reply *reply = arena_alloc(arena, sizeof *reply);
    reply->type = REDIS_LIST;
    reply->count = count > 0 ? (size_t)count : 0;
    reply->items = arena_alloc(arena, (reply->count + 1) * sizeof *reply->items);
    return put_reply(task, reply);
}

static void *make_number(const redisReadTask *task, long long number)
{
    struct redis_reply *reply = arena_alloc(task->privdata, sizeof *reply);
    reply->type = REDIS_NUMBER;
    reply->number = number;
    return put_reply(task, reply);
}

static void *make_nil(const redisReadTask *task)
{
    return put_reply(task, arena_alloc(task->privdata, sizeof(struct redis_reply)));
}

static void free_nothing(void *reply)
{
    (void)reply; /* the arena has it */
}

static redisReplyObjectFunctions functions = {make_text, make_list, make_number, make_nil,
                                              free_nothing};

bool redis_reply_is(const struct redis_reply *reply, const char *text)
{
    return reply && reply->type == REDIS_TEXT && strcmp(reply->text, text) == 0;
}

/* ---- commands ---- */

static void put_head(struct buf *out, char mark, uint64_t number)
{
    char text[HEAD_BYTES_MAX], *at = text + sizeof text;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    *--at = mark;
    buf_put(out, at, (size_t)(text + sizeof text - at));
}

void redis_link_command(struct redis_link *link, size_t words)
{
    if (!link->owed && link->sent == link->out.count)
        link->moved_at = clock_ms(); /* its time begins now */
    put_head(&link->out, '*', words);
    link->owed++;
}

uint8_t *redis_link_room(struct redis_link *link, size_t count)
{
    put_head(&link->out, '$', count);
    uint8_t *room = buf_reserve(&link->out, count + 2);
    memcpy(room + count, "\r\n", 2);
    link->out.count += count + 2;
    return room;
}

void redis_link_word(struct redis_link *link, const void *bytes, size_t count)
{
    uint8_t *room = redis_link_room(link, count);
    if (count)
        memcpy(room, bytes, count);
}

void redis_link_text(struct redis_link *link, const char *text)
{
    redis_link_word(link, text, strlen(text));
}

void redis_link_number(struct redis_link *link, uint64_t number)
{
    char text[HEAD_BYTES_MAX];
    int bytes = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    redis_link_word(link, text, (size_t)bytes);
}

/* ---- moving bytes ---- */

size_t redis_link_owed(const struct redis_link *link)
{
    return link->owed;
}

int redis_link_fd(const struct redis_link *link)
{
    return stream_fd(link->stream);
}

bool redis_link_wants_room(const struct redis_link *link)
{
    return link->sent < link->out.count;
}

static enum status lost(const struct redis_link *link, struct err *err)
{
    return err_prefix(err, "%s", link->url->shown);
}

enum status redis_link_push(struct redis_link *link, struct err *err)
{
    while (link->sent < link->out.count) {
        size_t sent;
        if (stream_send(link->stream, link->out.bytes + link->sent, link->out.count - link->sent,
                        &sent, err) != OK)
            return lost(link, err);
        if (!sent)
            return OK;
        link->sent += sent;
        link->moved_at = clock_ms();
    }
    link->sent = 0;
    buf_clear(&link->out);
    if (link->out.capacity > OUT_KEPT_BYTES)
        buf_fini(&link->out);
    return OK;
}

static enum status read_reply(struct redis_link *link, struct redis_reply **out, struct err *err)
{
    void *reply = NULL;
    if (redisReaderGetReply(link->reader, &reply) != REDIS_OK)
        return err_set(err, E_UNREACHABLE, "%s: this is no answer of a Redis server: %s",
                       link->url->shown, link->reader->errstr);
    *out = reply;
    link->has_reply = reply != NULL;
    link->owed -= link->has_reply;
    return OK;
}

/* Is it still there? Nothing should come that nobody has asked for. */
static enum status look_alive(struct redis_link *link, struct err *err)
{
    size_t got;
    if (stream_receive(link->stream, link->in, IN_BYTES, &got, err) != OK)
        return lost(link, err);
    return got ? err_set(err, E_UNREACHABLE, "%s: it answers what nobody has asked",
                         link->url->shown)
               : OK;
}

enum status redis_link_poll(struct redis_link *link, struct redis_reply **out, struct err *err)
{
    *out = NULL;
    if (!link->owed)
        return look_alive(link, err);
    if (link->has_reply)
        arena_clear(&link->arena);
    TRY(read_reply(link, out, err));
    while (!*out) {
        size_t got;
        TRY(redis_link_push(link, err));
        if (stream_receive(link->stream, link->in, IN_BYTES, &got, err) != OK)
            return lost(link, err);
        if (!got)
            break;
        link->moved_at = clock_ms();
        redisReaderFeed(link->reader, (const char *)link->in, got);
        TRY(read_reply(link, out, err));
    }
    if (*out || clock_ms() - link->moved_at < REDIS_COMMAND_MS)
        return OK;
    return err_set(err, E_UNREACHABLE, "%s: no answer for %d ms", link->url->shown,
                   REDIS_COMMAND_MS);
}

enum status redis_link_wait(struct redis_link *link, struct redis_reply **out, struct err *err)
{
    enum { LOOK_MS = 100 };
    *out = NULL;
    while (!*out && link->owed) {
        TRY(redis_link_poll(link, out, err));
        if (!*out)
            stream_wait(link->stream, redis_link_wants_room(link), LOOK_MS);
    }
    return OK;
}

enum status redis_link_ask(struct redis_link *link, const char *const *words,
                           struct redis_reply **out, struct err *err)
{
    size_t count = 0;
    while (words[count])
        count++;
    redis_link_command(link, count);
    for (size_t i = 0; i < count; i++)
        redis_link_text(link, words[i]);
    TRY(redis_link_wait(link, out, err));
    return (*out)->type == REDIS_FAILURE ? redis_failure(link->url, (*out)->text, err) : OK;
}

/* ---- opening ---- */

static enum status connect_to(const struct redis_url *url, const struct redis_host *host,
                              struct redis_link **out, struct err *err)
{
    AUTO(redis_link_close) struct redis_link *link = mem_alloc(sizeof *link);
    struct stream_options options = {.path = url->path,
                                     .host = host ? host->name : NULL,
                                     .port = host ? host->port : 0,
                                     .is_tls = url->is_tls,
                                     .ca_file = url->ca,
                                     .connect_ms = REDIS_CONNECT_MS};
    link->url = url;
    link->out = buf_init(0);
    *out = NULL;
    if (stream_open(&options, &link->stream, err) != OK)
        return err_prefix(err, "%s", url->shown);
    link->reader = redisReaderCreateWithFunctions(&functions);
    link->reader->privdata = &link->arena;
    link->in = mem_alloc(IN_BYTES);
    *out = TAKE(link);
    return OK;
}

static enum status authenticate(struct redis_link *link, struct err *err)
{
    const struct redis_url *url = link->url;
    const char *words[4] = {"AUTH"};
    struct redis_reply *reply;
    size_t count = 1;
    if (!url->password)
        return OK;
    if (url->user)
        words[count++] = url->user;
    words[count] = url->password;
    return redis_link_ask(link, words, &reply, err);
}

static enum status choose_db(struct redis_link *link, struct err *err)
{
    char number[HEAD_BYTES_MAX];
    struct redis_reply *reply;
    snprintf(number, sizeof number, "%u", link->url->db);
    return link->url->db
               ? redis_link_ask(link, (const char *const[]){"SELECT", number, NULL}, &reply, err)
               : OK;
}

/* Who is the master? `name` has room for a host. */
static enum status ask_sentinel(const struct redis_url *url, const struct redis_host *sentinel,
                                char name[256], struct redis_host *master, struct err *err)
{
    AUTO(redis_link_close) struct redis_link *link = NULL;
    struct redis_reply *reply;
    TRY(connect_to(url, sentinel, &link, err));
    TRY(redis_link_ask(
        link, (const char *const[]){"SENTINEL", "GET-MASTER-ADDR-BY-NAME", url->master, NULL},
        &reply, err));
    if (reply->type != REDIS_LIST || reply->count != 2 || reply->items[0]->type != REDIS_TEXT ||
        reply->items[1]->type != REDIS_TEXT)
        return err_set(err, E_UNREACHABLE, "%s: the Sentinel at %s:%u knows no master \"%s\"",
                       url->shown, sentinel->name, sentinel->port, url->master);
    unsigned port = 0;
    snprintf(name, 256, "%s", reply->items[0]->text);
    if (sscanf(reply->items[1]->text, "%u", &port) != 1 || !port || port > UINT16_MAX)
        return err_set(err, E_PROTOCOL, "%s: a Sentinel says port \"%s\"", url->shown,
                       reply->items[1]->text);
    *master = (struct redis_host){name, (uint16_t)port};
    return OK;
}

/* The first Sentinel that answers knows; the others are for when it is gone. */
static enum status connect_by_sentinel(const struct redis_url *url, struct redis_link **out,
                                       struct err *err)
{
    char name[256];
    struct redis_host master;
    enum status status = E_UNREACHABLE;
    for (uint32_t i = 0; i < url->host_count && status != OK; i++)
        status = ask_sentinel(url, &url->hosts[i], name, &master, err);
    return status == OK ? connect_to(url, &master, out, err) : status;
}

enum status redis_link_open(const struct redis_url *url, struct redis_link **out, struct err *err)
{
    AUTO(redis_link_close) struct redis_link *link = NULL;
    *out = NULL;
    TRY(url->master ? connect_by_sentinel(url, &link, err)
                    : connect_to(url, url->path ? NULL : &url->hosts[0], &link, err));
    TRY(authenticate(link, err));
    TRY(choose_db(link, err));
    *out = TAKE(link);
    return OK;
}

void redis_link_close(struct redis_link *link)
{
    if (link->stream)
        stream_close(link->stream);
    if (link->reader)
        redisReaderFree(link->reader);
    arena_fini(&link->arena);
    buf_fini(&link->out);
    mem_free(link->in);
    mem_free(link);
}
