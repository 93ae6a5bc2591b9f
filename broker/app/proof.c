// SPDX-License-Identifier: Apache-2.0
#include "broker/app/proof.h"

#include <string.h>

#include "broker/app/local.h"
#include "common/crypto/results.h"

void proof_fini(struct proof *proof)
{
    buf_fini(&proof->kept.frame);
}

/* Is it one of the frame's results, from its first byte to its last? */
static bool is_result(const struct results_msg *results, const uint8_t *record, size_t bytes,
                      struct id *made_for)
{
    struct mp_reader reader = mp_reader(results->body, results->body_bytes);
    uint32_t left = msg_body_begin(&reader);
    struct result_msg result;
    if (!results_find(&reader, &left, record, &result) || result.record_bytes != bytes)
        return false;
    *made_for = result.attempt.task;
    return true;
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

enum status proof_check(struct proof *proof, const struct id *task, struct err *err)
{
    const struct app_proof *kept = &proof->kept;
    struct results_msg results;
    char hex[ID_HEX_BYTES];
    id_hex(task, hex);
    if (msg_decode_results(kept->frame.bytes, kept->frame.count, &results, err) != OK ||
        !results_are_signed_by(&results, kept->public_key))
        return err_set(err, E_CORRUPT, "task %.12s: the signature of its record is not good", hex);
    const uint8_t *record = kept->frame.bytes + kept->offset;
    if (kept->offset > kept->frame.count || kept->bytes > kept->frame.count - kept->offset ||
        !is_result(&results, record, kept->bytes, &proof->made_for))
        return err_set(err, E_CORRUPT, "task %.12s: its record is none of those in the frame", hex);
    return record_parse(record, kept->bytes, &proof->record, err);
}

static enum status find(struct local *app, const struct id *task, struct app_proof *out,
                        struct err *err)
{
    struct state_proof found = {.frame = buf_init(0)};
    char hex[ID_HEX_BYTES];
    enum status status = state_find_proof(app->state, task, &found, err);
    *out = (struct app_proof){.frame = found.frame, .offset = found.offset, .bytes = found.bytes};
    memcpy(out->public_key, found.public_key, sizeof out->public_key);
    if (status == OK && !found.is_signed)
        return err_set(err, E_CORRUPT, "task %.12s: its record is not signed", id_hex(task, hex));
    return status;
}

enum status proof_open(struct local *app, const struct id *task, struct proof *out, struct err *err)
{
    char hex[ID_HEX_BYTES];
    TRY(find(app, task, &out->kept, err));
    TRY(proof_check(out, task, err));
    struct comparing comparing = {out->kept.frame.bytes + out->kept.offset, out->kept.bytes, false};
    TRY(state_find_tasks(app->state, task, 1, compare, &comparing, err));
    if (!comparing.is_equal)
        return err_set(err, E_CORRUPT, "task %.12s: the state tells another record than was signed",
                       id_hex(task, hex));
    return OK;
}

enum status local_proof(struct app *base, const char *text, struct app_proof *out, struct err *err)
{
    struct local *app = local_of(base);
    AUTO(arena_fini) struct arena arena = {0};
    struct id task;
    *out = (struct app_proof){.frame = buf_init(0)};
    TRY(local_open_reader(app, err));
    if (id_parse(text, strlen(text), &task, NULL) != OK)
        TRY(ref_task(app, text, &arena, &task, err));
    return find(app, &task, out, err);
}
