/* HELLO: who a peer is, whether it is who it says, and whether it may join. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/work/receive.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

/* The texts of an encoded array or map as NUL-terminated words in the scratch arena. */
static const char *const *read_words(struct router *router, struct mp_view encoded, bool is_map,
                                     uint32_t *count)
{
    struct mp_reader reader = mp_reader(encoded.bytes, encoded.count);
    *count = is_map ? mp_read_map(&reader) : mp_read_array(&reader);
    uint32_t words = is_map ? 2 * *count : *count, bytes;
    const char **out = arena_alloc(&router->arena, (words + 1) * sizeof *out);
    for (uint32_t i = 0; i < words; i++) {
        const char *text = mp_read_str(&reader, &bytes);
        out[i] = arena_text(&router->arena, text, bytes);
    }
    return out;
}

/* The counts with their names as words in the scratch arena. */
static const struct resource *read_resources(struct router *router, struct mp_view encoded,
                                             uint32_t *count)
{
    struct mp_reader reader;
    uint32_t bytes;
    *count = msg_resources_begin(&reader, &encoded);
    struct resource *out = arena_alloc(&router->arena, (*count + 1) * sizeof *out);
    for (uint32_t i = 0; i < *count; i++) {
        msg_next_resource(&reader, &out[i], &bytes);
        out[i].name = arena_text(&router->arena, out[i].name, bytes);
    }
    return out;
}

static const struct attempt *read_attempts(struct router *router, struct mp_view encoded,
                                           uint32_t *count)
{
    struct mp_reader reader = mp_reader(encoded.bytes, encoded.count);
    *count = mp_read_array(&reader);
    struct attempt *out = arena_alloc(&router->arena, (*count + 1) * sizeof *out);
    for (uint32_t i = 0; i < *count; i++)
        msg_next_attempt(&reader, &out[i]);
    return out;
}

static void welcome(struct router *router, uint32_t worker)
{
    uint8_t frame[64];
    struct mp_writer writer = mp_writer(frame, sizeof frame);
    struct welcome message = {router->options.epoch, router->options.lease_ms,
                              router->options.credit};
    msg_write_welcome(&writer, &message);
    router_send_frame(router, worker, frame, writer.need);
}

/* ---- who it is ---- */

const char *receive_user(zmq_msg_t *message)
{
    const char *user = zmq_msg_gets(message, "User-Id");
    return user ? user : "";
}

static enum status not_allowed(const struct router *router, const char *key, struct err *err)
{
    return err_set(
        err, E_DENIED,
        "its key %s is not on the broker's list (%s); to let it in: broker keys add NAME "
        "--public-key %s",
        key, router->allow.path, key);
}

static void look_at_list(struct router *router, bool *is_new)
{
    struct err err = {0};
    char quoted[2 * ERR_TEXT_BYTES];
    if (allow_watch_look(&router->allow, is_new, &err) != OK)
        log_event(LOG_ERROR, "keys.unread", "error=%s", log_quote(err.text, quoted, sizeof quoted));
}

static bool is_allowed(const struct router *router, const char *user)
{
    struct id key;
    return id_parse(user, strlen(user), &key, NULL) == OK && allow_watch_find(&router->allow, &key);
}

/* Its results are signed with the key of HELLO: that must be the one that the connection proved,
 * and one that may still join. */
static enum status check_identity(struct router *router, const char *user,
                                  const struct hello *hello, struct err *err)
{
    struct id key;
    char hex[ID_HEX_BYTES];
    bool is_new;
    if (!*user)
        return OK;
    look_at_list(router, &is_new);
    if (!is_allowed(router, user))
        return not_allowed(router, user, err);
    memcpy(key.bytes, hello->public_key, sizeof key.bytes);
    if (strcmp(id_hex(&key, hex), user) != 0)
        return err_set(err, E_DENIED,
                       "HELLO names the public key %s, but the connection proved that it is %s",
                       hex, user);
    return OK;
}

/* Whose instance it says it is, it must be: nobody takes over another's tasks. */
static enum status check_instance(const struct router *router, const char *user,
                                  const struct hello *hello, struct err *err)
{
    uint32_t worker = sessions_find_instance(&router->sessions, hello->instance);
    const struct session *session = sessions_get(&router->sessions, worker);
    if (!session || (strcmp(session->user, user) == 0 &&
                     memcmp(session->public_key, hello->public_key, PUBLIC_KEY_BYTES) == 0))
        return OK;
    return err_set(err, E_DENIED, "its instance is that of worker %s, which has another key",
                   session->name);
}

static enum status check_hello(struct router *router, const char *user, const struct hello *hello,
                               struct err *err)
{
    if (hello->epoch > router->options.epoch)
        return err_set(err, E_FENCED, "a broker of epoch %llu has led, this one has %llu",
                       (unsigned long long)hello->epoch, (unsigned long long)router->options.epoch);
    TRY(check_identity(router, user, hello, err));
    return check_instance(router, user, hello, err);
}

void receive_cut_off(const struct sink *sink)
{
    enum { LOOK_MS = 250 };
    struct router *router = sink->router;
    struct err err = {0};
    bool is_new;
    if (!router->auth || sink->now < router->look_at)
        return;
    router->look_at = sink->now + LOOK_MS;
    look_at_list(router, &is_new);
    for (uint32_t i = 0; is_new && i < router->sessions.count; i++) {
        const struct session *session = sessions_get(&router->sessions, i);
        if (!session || !*session->user || is_allowed(router, session->user))
            continue;
        not_allowed(router, session->user, &err);
        log_event(LOG_WARN, "worker.revoked", "worker=%s key=%s", session->name, session->user);
        receive_revoke(sink, i, &err);
    }
}

/* ---- joining ---- */

/* The peer's number: its own if it is there under this routing id or came back under another, else
 * a new one. */
static enum status find_or_put(struct router *router, zmq_msg_t *from, const uint8_t *instance,
                               uint32_t *worker, struct err *err)
{
    const uint8_t *routing_id = zmq_msg_data(from);
    size_t bytes = zmq_msg_size(from);
    *worker = sessions_find(&router->sessions, routing_id, bytes);
    if (*worker != UINT32_MAX)
        return OK;
    if (instance)
        *worker = sessions_find_instance(&router->sessions, instance);
    return sessions_put(&router->sessions, routing_id, bytes, worker, err);
}

/* Another program under a routing id that we know: the one before it is gone. */
static void leave_to_another(const struct sink *sink, zmq_msg_t *from, const char *user,
                             const uint8_t instance[INSTANCE_BYTES])
{
    uint32_t worker =
        sessions_find(&sink->router->sessions, zmq_msg_data(from), zmq_msg_size(from));
    const struct session *session = sessions_get(&sink->router->sessions, worker);
    if (session && session->is_known &&
        (memcmp(session->instance, instance, INSTANCE_BYTES) != 0 ||
         strcmp(session->user, user) != 0))
        receive_drop(sink, worker, false, E_GONE);
}

bool receive_turn_away(struct router *router, zmq_msg_t *from)
{
    uint32_t worker = UINT32_MAX;
    if (!router->leader)
        return false;
    /* It needs a number for as long as it takes to answer. */
    if (sessions_put(&router->sessions, zmq_msg_data(from), zmq_msg_size(from), &worker, NULL) ==
        OK) {
        router_say_not_leader(router, worker);
        sessions_remove(&router->sessions, worker);
    }
    return true;
}

/* What HELLO says, as the scheduler hears it. */
static void tell_hello(const struct sink *sink, uint32_t worker, const struct hello *hello)
{
    struct router *router = sink->router;
    struct sched_event event = {.type = SCHED_HELLO};
    event.hello.worker = worker;
    memcpy(event.hello.instance, hello->instance, INSTANCE_BYTES);
    event.hello.slots = hello->slots;
    event.hello.cpu_hundredths = hello->cpu_hundredths;
    event.hello.credit = router->options.credit;
    event.hello.memory_bytes = hello->memory_bytes;
    event.hello.name = sessions_get(&router->sessions, worker)->name;
    event.hello.kinds = read_words(router, hello->kinds, false, &event.hello.kind_count);
    event.hello.labels = read_words(router, hello->labels, true, &event.hello.label_count);
    event.hello.resources = read_resources(router, hello->resources, &event.hello.resource_count);
    event.hello.running = read_attempts(router, hello->running, &event.hello.running_count);
    receive_emit(sink, &event);
}

static void set_session(struct session *session, const struct hello *hello, const char *user)
{
    memcpy(session->public_key, hello->public_key, PUBLIC_KEY_BYTES);
    memcpy(session->name, hello->name, hello->name_bytes);
    session->name[hello->name_bytes] = 0;
    snprintf(session->user, sizeof session->user, "%s", user);
    session->was_heard = true;
}

void receive_hello(const struct sink *sink, zmq_msg_t *from, zmq_msg_t *message)
{
    struct router *router = sink->router;
    struct hello hello;
    struct err err = {0}, full = {0};
    uint32_t worker = UINT32_MAX;
    const char *user = receive_user(message);
    enum status status =
        msg_decode_hello(zmq_msg_data(message), zmq_msg_size(message), &hello, &err);
    if (status == OK && hello.epoch > router->epoch_seen &&
        hello.epoch <= router->options.epoch + EPOCH_AHEAD_MAX) /* else it is nonsense */
        router->epoch_seen = hello.epoch;
    if (receive_turn_away(router, from))
        return;
    if (status == OK)
        status = check_hello(router, user, &hello, &err);
    if (status == OK)
        leave_to_another(sink, from, user, hello.instance);
    bool was_there =
        sessions_find(&router->sessions, zmq_msg_data(from), zmq_msg_size(from)) != UINT32_MAX;
    if (find_or_put(router, from, status == OK ? hello.instance : NULL, &worker, &full) != OK) {
        log_event(LOG_WARN, "worker.refused", "reason=\"%s\"", full.text);
        return;
    }
    if (status != OK) {
        receive_refuse(sink, worker, &err);
        return;
    }
    struct session *session = sessions_get(&router->sessions, worker);
    bool is_again = session->is_known && was_there;
    if (!is_again)
        set_session(session, &hello, user);
    if (!is_again)
        sessions_name(&router->sessions, worker, hello.instance);
    welcome(router, worker);
    if (!is_again) /* a second one may tell of what is long past */
        tell_hello(sink, worker, &hello);
}
