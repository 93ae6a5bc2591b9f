// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/dsse.h"

#include <sodium.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/crypto/ready.h"
#include "common/text/json.h"
#include "proto/limits.h"

/* PAE, the pre-authentication encoding: what the signature covers. */
static void encode(const char *type, const void *payload, size_t bytes, struct buf *out)
{
    buf_format(out, "DSSEv1 %zu %s %zu ", strlen(type), type, bytes);
    buf_put(out, payload, bytes);
}

static void put_base64(struct buf *out, const void *data, size_t bytes)
{
    size_t room = sodium_base64_encoded_len(bytes, sodium_base64_VARIANT_ORIGINAL);
    AUTO(mem_free) char *text = mem_alloc(room);
    sodium_bin2base64(text, room, data, bytes, sodium_base64_VARIANT_ORIGINAL);
    buf_put(out, text, room - 1);
}

void dsse_seal(const struct signer *signer, const char *type, const void *payload, size_t bytes,
               struct buf *out)
{
    AUTO(buf_fini) struct buf covered = buf_init(0);
    uint8_t signature[SIGN_BYTES];
    char key[2 * SIGN_PUBLIC_BYTES + 1];
    encode(type, payload, bytes, &covered);
    signer_sign_bytes(signer, covered.bytes, covered.count, signature);
    sodium_bin2hex(key, sizeof key, signer_public(signer), SIGN_PUBLIC_BYTES);
    buf_format(out, "{\"payloadType\":");
    json_write_string(type, strlen(type), out);
    buf_format(out, ",\"payload\":\"");
    put_base64(out, payload, bytes);
    buf_format(out, "\",\"signatures\":[{\"keyid\":\"%s\",\"sig\":\"", key);
    put_base64(out, signature, sizeof signature);
    buf_format(out, "\"}]}");
}

/* Both alphabets, as the specification asks of readers; padding is needed. */
static bool read_base64(const char *text, uint8_t *out, size_t room, size_t *bytes)
{
    static const int variants[] = {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_URLSAFE};
    size_t count = strlen(text);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (sodium_base642bin(out, room, text, count, NULL, bytes, NULL, variants[i]) == 0)
            return true;
    return false;
}

static bool is_signed(const struct value *signatures, const struct buf *covered,
                      const uint8_t key[SIGN_PUBLIC_BYTES])
{
    for (uint32_t i = 0; i < signatures->count; i++) {
        const struct value *entry = &signatures->items[i];
        const char *text = entry->type == VALUE_MAP ? value_get_text(entry, "sig") : NULL;
        uint8_t signature[SIGN_BYTES + 1];
        size_t bytes = 0;
        if (text && read_base64(text, signature, sizeof signature, &bytes) && bytes == SIGN_BYTES &&
            sign_verify_bytes(key, covered->bytes, covered->count, signature))
            return true;
    }
    return false;
}

enum status dsse_open(const char *name, const char *text, size_t bytes, const char *type,
                      const uint8_t key[SIGN_PUBLIC_BYTES], struct buf *out, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value envelope;
    crypto_ready();
    TRY(json_parse(name, text, bytes, &arena, &envelope, err));
    const char *has_type = NULL, *encoded = NULL;
    const struct value *signatures = NULL;
    if (envelope.type == VALUE_MAP) {
        has_type = value_get_text(&envelope, "payloadType");
        encoded = value_get_text(&envelope, "payload");
        signatures = value_get(&envelope, "signatures");
    }
    if (!has_type || !encoded || !signatures || signatures->type != VALUE_ARRAY)
        return err_set(err, E_INVALID,
                       "%s: not a DSSE envelope: it needs payloadType, payload and signatures",
                       name);
    size_t room = strlen(encoded), count = 0;
    AUTO(mem_free) uint8_t *payload = mem_alloc(room + 1);
    if (!read_base64(encoded, payload, room + 1, &count))
        return err_set(err, E_INVALID, "%s: its payload is not base64", name);
    AUTO(buf_fini) struct buf covered = buf_init(0);
    encode(has_type, payload, count, &covered);
    if (!is_signed(signatures, &covered, key))
        return err_set(err, E_CORRUPT, "%s: none of its %u signatures is the given key's", name,
                       signatures->count);
    if (strcmp(has_type, type) != 0)
        return err_set(err, E_CORRUPT, "%s: its payload is \"%.64s\", expected \"%s\"", name,
                       has_type, type);
    buf_put(out, payload, count);
    return OK;
}
