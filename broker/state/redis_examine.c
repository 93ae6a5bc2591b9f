/* What about the server may cost results: said by doctor, and in the log when a broker starts. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/state/state_redis.h"

enum { FIELD_BYTES = 128 };

struct examination {
    state_finding_fn *finding;
    void *context;
    struct buf info; /* all of INFO */
};

/* "name:value" of INFO; "" if it is not there. */
static const char *field(struct examination *e, const char *name, char out[FIELD_BYTES])
{
    const char *at = buf_text(&e->info);
    size_t bytes = strlen(name);
    out[0] = '\0';
    while (at && (strncmp(at, name, bytes) != 0 || at[bytes] != ':')) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (at)
        snprintf(out, FIELD_BYTES, "%.*s", (int)strcspn(at + bytes + 1, "\r\n"), at + bytes + 1);
    return out;
}

static void tell(const struct examination *e, const char *check, bool ok, const char *found,
                 const char *mend)
{
    e->finding(e->context, check, ok, found, mend);
}

static void examine_server(struct examination *e, const struct state_redis *state)
{
    char version[FIELD_BYTES], role[FIELD_BYTES], text[3 * FIELD_BYTES];
    field(e, "redis_version", version);
    field(e, "role", role);
    int major = atoi(version);
    snprintf(text, sizeof text, "version %s, %s, namespace %s", version, role, state->url.ns);
    tell(e, "redis", major >= 6 && strcmp(role, "master") == 0, text,
         major < 6 ? "Redis 6.2 or later is needed"
                   : "it is a replica and takes no writes: name the master in REDIS_URL, or let "
                     "Sentinel say which it is (redis+sentinel://HOST:26379/MASTER)");
}

static void examine_memory(struct examination *e)
{
    char max[FIELD_BYTES], used[FIELD_BYTES], policy[FIELD_BYTES], text[4 * FIELD_BYTES];
    double gib = 1024.0 * 1024 * 1024;
    double most = strtod(field(e, "maxmemory", max), NULL) / gib;
    double now = strtod(field(e, "used_memory", used), NULL) / gib;
    field(e, "maxmemory_policy", policy);
    bool evicts = most > 0 && policy[0] && strcmp(policy, "noeviction") != 0;
    snprintf(text, sizeof text, "maxmemory-policy %s, maxmemory %s",
             policy[0] ? policy : "not told", most > 0 ? max : "0 (no limit)");
    tell(e, "redis eviction", !evicts, text,
         "it would throw records away when memory is short: CONFIG SET maxmemory-policy "
         "noeviction");
    if (most <= 0)
        return;
    snprintf(text, sizeof text, "%.2f of %.2f GiB used", now, most);
    tell(e, "redis memory", now < 0.9 * most, text,
         "raise maxmemory, or remove runs: when it is reached, runs wait");
}

/* The setting may not be shown to us; then what INFO says has to do. */
static void ask_fsync(struct state_redis *state, char out[FIELD_BYTES])
{
    struct redis_reply *reply;
    snprintf(out, FIELD_BYTES, "not told");
    if (redis_look_ask(state, (const char *const[]){"CONFIG", "GET", "appendfsync", NULL}, &reply,
                       NULL) == OK &&
        reply->type == REDIS_LIST && reply->count == 2 && reply->items[1]->type == REDIS_TEXT)
        snprintf(out, FIELD_BYTES, "%s", reply->items[1]->text);
}

static void examine_disk(struct examination *e, struct state_redis *state)
{
    char on[FIELD_BYTES], status[FIELD_BYTES], fsync[FIELD_BYTES], text[3 * FIELD_BYTES];
    bool has_aof = strcmp(field(e, "aof_enabled", on), "1") == 0;
    field(e, "aof_last_write_status", status);
    ask_fsync(state, fsync);
    bool is_weak = !has_aof || strcmp(fsync, "no") == 0 || strcmp(status, "err") == 0;
    snprintf(text, sizeof text, "appendonly %s, appendfsync %s%s", has_aof ? "yes" : "no", fsync,
             strcmp(status, "err") == 0 ? ", its last write failed" : "");
    tell(e, "redis persistence", !is_weak, text,
         has_aof ? "CONFIG SET appendfsync everysec, and room on its disk"
                 : "a restart forgets what came after the last snapshot; only the journal in the "
                   "store has it then: CONFIG SET appendonly yes");
}

enum status redis_examine(struct state *base, state_finding_fn *finding, void *context,
                          struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    AUTO(buf_fini) struct buf info = buf_init(0);
    struct redis_reply *reply;
    TRY(redis_look_ask(state, (const char *const[]){"INFO", NULL}, &reply, err));
    if (reply->type != REDIS_TEXT)
        return err_set(err, E_PROTOCOL, "%s: INFO had another answer", state->url.shown);
    buf_put(&info, reply->text, reply->bytes);
    struct examination e = {finding, context, info};
    examine_server(&e, state);
    examine_memory(&e);
    examine_disk(&e, state);
    info = e.info; /* reading it as a text may have moved it */
    return OK;
}
