// SPDX-License-Identifier: Apache-2.0
#include "broker/work/session.h"

#include <string.h>

#include "common/base/mem.h"

static const struct id *routing_id_at(const void *context, uint32_t index)
{
    const struct sessions *sessions = context;
    return &sessions->items[index]->routing_id;
}

static const struct id *instance_at(const void *context, uint32_t index)
{
    const struct sessions *sessions = context;
    return &sessions->items[index]->instance_id;
}

/* Routing ids are chosen by peers, so the map's hash of their first bytes is only as good as they
 * are: a peer that makes its own look-up slow hurts nobody else much, since every id differs in its
 * bytes. */
static struct id padded(const uint8_t *routing_id, size_t bytes)
{
    struct id id = {0};
    memcpy(id.bytes, routing_id, bytes);
    id.bytes[ID_BYTES - 1] = (uint8_t)bytes;
    return id;
}

void sessions_init(struct sessions *sessions)
{
    *sessions = (struct sessions){0};
    sessions->by_routing_id = id_map_init(routing_id_at, sessions);
    sessions->by_instance = id_map_init(instance_at, sessions);
    sessions->free = buf_init(0);
}

void sessions_fini(struct sessions *sessions)
{
    for (uint32_t i = 0; i < sessions->count; i++)
        if (sessions->items[i])
            sessions_remove(sessions, i);
    id_map_fini(&sessions->by_routing_id);
    id_map_fini(&sessions->by_instance);
    buf_fini(&sessions->free);
    mem_free(sessions->items);
}

uint32_t sessions_find(const struct sessions *sessions, const uint8_t *routing_id, size_t bytes)
{
    if (bytes > ROUTING_ID_BYTES_MAX)
        return UINT32_MAX;
    struct id id = padded(routing_id, bytes);
    uint32_t number = id_map_get(&sessions->by_routing_id, &id);
    return number == ID_MAP_NONE ? UINT32_MAX : number;
}

static struct id instance_id(const uint8_t instance[INSTANCE_BYTES])
{
    struct id id = {0};
    memcpy(id.bytes, instance, INSTANCE_BYTES);
    return id;
}

uint32_t sessions_find_instance(const struct sessions *sessions,
                                const uint8_t instance[INSTANCE_BYTES])
{
    struct id id = instance_id(instance);
    uint32_t number = id_map_get(&sessions->by_instance, &id);
    return number == ID_MAP_NONE ? UINT32_MAX : number;
}

static void forget_instance(struct sessions *sessions, uint32_t number)
{
    const struct session *session = sessions->items[number];
    if (session->is_known && id_map_get(&sessions->by_instance, &session->instance_id) == number)
        id_map_remove(&sessions->by_instance, &session->instance_id);
}

void sessions_name(struct sessions *sessions, uint32_t number,
                   const uint8_t instance[INSTANCE_BYTES])
{
    struct session *session = sessions->items[number];
    forget_instance(sessions, number);
    memcpy(session->instance, instance, INSTANCE_BYTES);
    session->instance_id = instance_id(instance);
    session->is_known = true;
    if (id_map_get(&sessions->by_instance, &session->instance_id) == ID_MAP_NONE)
        id_map_put(&sessions->by_instance, &session->instance_id, number);
}

static uint32_t free_number(struct sessions *sessions)
{
    if (sessions->free.count) {
        uint32_t number;
        sessions->free.count -= sizeof number;
        memcpy(&number, sessions->free.bytes + sessions->free.count, sizeof number);
        return number;
    }
    if (sessions->count == sessions->capacity) {
        sessions->capacity = sessions->capacity ? 2 * sessions->capacity : 8;
        sessions->items = mem_resize(sessions->items, sessions->capacity * sizeof *sessions->items);
    }
    return sessions->count++;
}

enum status sessions_put(struct sessions *sessions, const uint8_t *routing_id, size_t bytes,
                         uint32_t *number_p, struct err *err)
{
    if (bytes > ROUTING_ID_BYTES_MAX)
        return err_set(err, E_PROTOCOL, "a routing id of %zu bytes is over %d", bytes,
                       ROUTING_ID_BYTES_MAX);
    if (*number_p == UINT32_MAX) {
        if (sessions->by_routing_id.count >= WORKERS_MAX)
            return err_set(err, E_LIMIT, "%d workers are connected, which is the most",
                           WORKERS_MAX);
        *number_p = free_number(sessions);
        struct session *session = mem_alloc(sizeof *session);
        for (int i = 0; i < BATCH_KINDS; i++)
            session->batches[i].entries = buf_init(0);
        sessions->items[*number_p] = session;
    } else {
        id_map_remove(&sessions->by_routing_id, &sessions->items[*number_p]->routing_id);
    }
    struct session *session = sessions->items[*number_p];
    session->routing_id = padded(routing_id, bytes);
    session->is_lost = false;
    id_map_put(&sessions->by_routing_id, &session->routing_id, *number_p);
    return OK;
}

void sessions_remove(struct sessions *sessions, uint32_t number)
{
    struct session *session = sessions->items[number];
    id_map_remove(&sessions->by_routing_id, &session->routing_id);
    forget_instance(sessions, number);
    buf_put(&sessions->free, &number, sizeof number);
    for (int i = 0; i < BATCH_KINDS; i++)
        buf_fini(&session->batches[i].entries);
    mem_free(session);
    sessions->items[number] = NULL;
}

struct session *sessions_get(const struct sessions *sessions, uint32_t number)
{
    return number < sessions->count ? sessions->items[number] : NULL;
}

size_t session_routing_bytes(const struct session *session)
{
    return session->routing_id.bytes[ID_BYTES - 1];
}
