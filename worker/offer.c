// SPDX-License-Identifier: Apache-2.0
#include "worker/offer.h"

#include <string.h>
#include <unistd.h>

#include "proto/codec.h"
#include "proto/kinds.h"
#include "proto/limits.h"

static void append(struct buf *out, void (*write)(struct mp_writer *, const char *, size_t),
                   const char *text, size_t bytes)
{
    uint8_t *at = buf_reserve(out, bytes + 5);
    struct mp_writer writer = mp_writer(at, bytes + 5);
    write(&writer, text, bytes);
    out->count += writer.need;
}

static void append_head(struct buf *out, void (*write)(struct mp_writer *, uint32_t),
                        uint32_t count)
{
    struct mp_writer writer = mp_writer(buf_reserve(out, 5), 5);
    write(&writer, count);
    out->count += writer.need;
}

void offer_encode_kinds(struct buf *out)
{
    append_head(out, mp_write_array, (uint32_t)kind_info_count);
    for (size_t i = 0; i < kind_info_count; i++)
        append(out, mp_write_str, kind_infos[i].offer, strlen(kind_infos[i].offer));
}

enum status offer_encode_labels(const char *const *labels, size_t count, struct buf *out,
                                struct err *err)
{
    if (count > LABELS_MAX)
        return err_set(err, E_LIMIT, "%zu labels, over %d", count, LABELS_MAX);
    append_head(out, mp_write_map, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(labels[i], '=');
        size_t key = equals ? (size_t)(equals - labels[i]) : 0;
        if (!key || key > NAME_BYTES_MAX || strlen(equals + 1) > NAME_BYTES_MAX)
            return err_set(err, E_INVALID, "label \"%s\": expected KEY=VALUE, each up to %d bytes",
                           labels[i], NAME_BYTES_MAX);
        for (size_t k = 0; k < i; k++)
            if (!strncmp(labels[k], labels[i], key + 1))
                return err_set(err, E_INVALID, "label \"%s\": the key is there twice", labels[i]);
        append(out, mp_write_str, labels[i], key);
        append(out, mp_write_str, equals + 1, strlen(equals + 1));
    }
    return OK;
}

uint32_t offer_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > SLOTS_MAX ? SLOTS_MAX : (uint32_t)cores;
}

uint64_t offer_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}
