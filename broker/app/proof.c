// SPDX-License-Identifier: Apache-2.0
#include "broker/app/proof.h"

#include <string.h>

#include "common/crypto/results.h"

void proof_fini(struct proof *proof)
{
    buf_fini(&proof->frame);
}

/* Is it one of the frame's results, from its first byte to its last? */
static bool is_result(const struct results_msg *results, const uint8_t *record, size_t bytes)
{
    struct mp_reader reader = mp_reader(results->body, results->body_bytes);
    uint32_t left = msg_body_begin(&reader);
    struct result_msg result;
    return results_find(&reader, &left, record, &result) && result.record_bytes == bytes;
}

struct comparing {
    const uint8_t *record;
    size_t bytes;
    bool is_equal;
};

static void compare(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)index;
    struct comparing *comparing = context;
    comparing->is_equal =
        bytes == comparing->bytes && memcmp(record, comparing->record, bytes) == 0;
}

enum status proof_open(struct local *app, const struct id *task, struct proof *out, struct err *err)
{
    struct state_proof found = {.frame = buf_init(0)};
    struct results_msg results;
    char hex[ID_HEX_BYTES];
    id_hex(task, hex);
    enum status status = state_find_proof(app->state, task, &found, err);
    out->frame = found.frame; /* to be freed in any case */
    if (status != OK)
        return status;
    if (!found.is_signed)
        return err_set(err, E_CORRUPT, "task %.12s: its record is not signed", hex);
    memcpy(out->public_key, found.public_key, sizeof out->public_key);
    if (msg_decode_results(out->frame.bytes, out->frame.count, &results, err) != OK ||
        !results_are_signed_by(&results, out->public_key))
        return err_set(err, E_CORRUPT, "task %.12s: the signature of its record is not good", hex);
    const uint8_t *record = out->frame.bytes + found.offset;
    if (found.offset > out->frame.count || found.bytes > out->frame.count - found.offset ||
        !is_result(&results, record, found.bytes))
        return err_set(err, E_CORRUPT, "task %.12s: its record is none of those in the frame", hex);
    struct comparing comparing = {record, found.bytes, false};
    TRY(state_find_tasks(app->state, task, 1, compare, &comparing, err));
    if (!comparing.is_equal)
        return err_set(err, E_CORRUPT, "task %.12s: the state tells another record than was signed",
                       hex);
    return record_parse(record, found.bytes, &out->record, err);
}
