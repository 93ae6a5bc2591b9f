// SPDX-License-Identifier: Apache-2.0
#include "worker/offer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/codec.h"
#include "proto/kinds.h"
#include "proto/limits.h"
#include "proto/msg.h"

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
        size_t value = equals ? strlen(equals + 1) : 0;
        if (!key || key > LABEL_BYTES_MAX || value > LABEL_BYTES_MAX ||
            !mp_is_utf8(labels[i], (uint32_t)(key + 1 + value)))
            return err_set(err, E_INVALID,
                           "label \"%.80s\": expected KEY=VALUE, each up to %d bytes of UTF-8",
                           labels[i], LABEL_BYTES_MAX);
        for (size_t k = 0; k < i; k++)
            if (!strncmp(labels[k], labels[i], key + 1))
                return err_set(err, E_INVALID, "label \"%s\": the key is there twice", labels[i]);
        append(out, mp_write_str, labels[i], key);
        append(out, mp_write_str, equals + 1, value);
    }
    return OK;
}

/* ---- named counts ---- */

static bool is_name(const char *text, size_t bytes)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    if (!bytes || bytes > NAME_BYTES_MAX || !strchr(letters, *text))
        return false;
    for (size_t i = 1; i < bytes; i++)
        if (!text[i] || (!strchr(letters, text[i]) && !strchr("0123456789-", text[i])))
            return false;
    return true;
}

/* One NAME=COUNT of `bytes` bytes. */
static enum status read_count(const char *text, size_t bytes, struct offer_counts *out,
                              struct err *err)
{
    const char *equals = memchr(text, '=', bytes);
    size_t name_bytes = equals ? (size_t)(equals - text) : 0;
    const char *digits = equals ? equals + 1 : text;
    size_t digit_count = strspn(digits, "0123456789");
    long long count = digit_count && digit_count < 10 ? strtoll(digits, NULL, 10) : -1;
    if (!is_name(text, name_bytes) || digits + digit_count != text + bytes || count < 0 ||
        count > RESOURCE_COUNT_MAX)
        return err_set(err, E_INVALID,
                       "resource \"%.*s\": expected NAME=COUNT, a whole number from 0 to %d",
                       (int)(bytes < 80 ? bytes : 80), text, RESOURCE_COUNT_MAX);
    if (out->count == RESOURCES_MAX)
        return err_set(err, E_LIMIT, "resource \"%.*s\": over %d of them", (int)bytes, text,
                       RESOURCES_MAX);
    char *name = out->names[out->count];
    memcpy(name, text, name_bytes);
    name[name_bytes] = 0;
    if (!strcmp(name, "cpu") || !strcmp(name, "memory"))
        return err_set(err, E_INVALID, "resource \"%.*s\": say --%s instead", (int)bytes, text,
                       name);
    for (uint32_t i = 0; i < out->count; i++)
        if (!strcmp(out->items[i].name, name))
            return err_set(err, E_INVALID, "resource \"%.*s\": the name is there twice", (int)bytes,
                           text);
    out->items[out->count++] = (struct resource){name, (uint32_t)count};
    return OK;
}

void offer_decode_counts(const struct mp_view *encoded, struct offer_counts *out)
{
    struct mp_reader reader;
    uint32_t bytes, count = msg_resources_begin(&reader, encoded);
    for (out->count = 0; out->count < count; out->count++) {
        struct resource *item = &out->items[out->count];
        msg_next_resource(&reader, item, &bytes);
        snprintf(out->names[out->count], sizeof *out->names, "%.*s", (int)bytes, item->name);
        item->name = out->names[out->count];
    }
}

enum status offer_read_counts(const char *const *texts, size_t count, struct offer_counts *out,
                              struct err *err)
{
    out->count = 0;
    for (size_t i = 0; i < count; i++)
        for (const char *at = texts[i];; at++) {
            size_t bytes = strcspn(at, ",");
            TRY(read_count(at, bytes, out, err));
            at += bytes;
            if (!*at)
                break;
        }
    return OK;
}
