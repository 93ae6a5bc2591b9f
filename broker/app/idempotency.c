// SPDX-License-Identifier: Apache-2.0
#include "broker/app/idempotency.h"

#include <stdio.h>
#include <string.h>

#include "common/crypto/hash.h"
#include "proto/limits.h"

struct idempotent {
    struct id key, request; /* key: the hash of its text */
    char run[APP_RUN_ID_BYTES];
};

void idempotency_fini(struct idempotency *keys)
{
    buf_fini(&keys->items);
    keys->next = 0;
}

void idempotency_add(struct idempotency *keys, const char *key, const char *run,
                     const struct id *request)
{
    struct idempotent item = {.request = *request};
    hash_bytes(NULL, key, strlen(key), &item.key);
    snprintf(item.run, sizeof item.run, "%s", run);
    if (!keys->items.max)
        keys->items = buf_init(0);
    if (keys->items.count < IDEMPOTENCY_KEYS_MAX * sizeof item)
        buf_put(&keys->items, &item, sizeof item);
    else
        memcpy(keys->items.bytes + keys->next * sizeof item, &item, sizeof item);
    keys->next = (keys->next + 1) % IDEMPOTENCY_KEYS_MAX;
}

bool idempotency_find(const struct idempotency *keys, const char *key, char run[APP_RUN_ID_BYTES],
                      struct id *request)
{
    struct id wanted;
    struct idempotent item;
    hash_bytes(NULL, key, strlen(key), &wanted);
    for (size_t at = 0; at < keys->items.count; at += sizeof item) {
        memcpy(&item, keys->items.bytes + at, sizeof item);
        if (!id_equal(&item.key, &wanted))
            continue;
        memcpy(run, item.run, sizeof item.run);
        *request = item.request;
        return true;
    }
    return false;
}
