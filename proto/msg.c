// SPDX-License-Identifier: Apache-2.0
#include "proto/msg.h"

#include <string.h>

/* Items in each array, its type included. */
enum {
    HELLO_ITEMS = 13,
    WELCOME_ITEMS = 4,
    REFUSED_ITEMS = 3,
    NOT_LEADER_ITEMS = 3,
    PROGRESS_ITEMS = 5,
    WATCH_ITEMS = 3,
    LOG_ITEMS = 5,
    RESULTS_ITEMS = 4
};
enum { TASK_ITEMS = 9, DONE_ITEMS = 4, FAILED_ITEMS = 6, BATCH_ITEMS = 2 };

enum msg_type msg_type(const uint8_t *frame, size_t bytes)
{
    struct mp_reader r = mp_reader(frame, bytes);
    uint32_t items = mp_read_array(&r);
    uint64_t type = mp_read_uint(&r);
    return r.is_bad || !items || type >= MSG_TYPE_COUNT ? MSG_TYPE_COUNT : (enum msg_type)type;
}

static bool expect(struct mp_reader *r, uint32_t items, enum msg_type type)
{
    if (mp_read_array(r) != items || mp_read_uint(r) != type)
        r->is_bad = true;
    return !r->is_bad;
}

static uint32_t read_u32(struct mp_reader *r)
{
    uint64_t value = mp_read_uint(r);
    if (value > UINT32_MAX)
        r->is_bad = true;
    return (uint32_t)value;
}

static const char *read_text(struct mp_reader *r, uint32_t max, uint32_t *bytes)
{
    const char *text = mp_read_str(r, bytes);
    if (*bytes > max || !mp_is_utf8(text, *bytes))
        r->is_bad = true;
    return text;
}

static void read_fixed(struct mp_reader *r, uint8_t *out, size_t bytes)
{
    size_t count;
    const uint8_t *data = mp_read_bin(r, &count);
    if (count != bytes)
        r->is_bad = true;
    else
        memcpy(out, data, bytes);
}

void mp_read_artifact(struct mp_reader *r, struct artifact *out)
{
    *out = (struct artifact){0};
    if (mp_read_array(r) != 3)
        r->is_bad = true;
    mp_read_id(r, &out->id);
    out->bytes = mp_read_uint(r);
    out->is_tree = mp_read_bool(r);
}

void mp_write_artifact(struct mp_writer *w, const struct artifact *artifact)
{
    mp_write_array(w, 3);
    mp_write_id(w, &artifact->id);
    mp_write_uint(w, artifact->bytes);
    mp_write_bool(w, artifact->is_tree);
}

/* ---- single messages ---- */

/* An array of texts, a map of texts to texts, an array of attempts: checked here, so that nobody
 * else must. */
static struct mp_view read_texts(struct mp_reader *r, bool is_map)
{
    const uint8_t *begin = r->at;
    uint32_t count = is_map ? mp_read_map(r) : mp_read_array(r), bytes;
    if (count > (is_map ? LABELS_MAX : BATCH_ENTRIES_MAX))
        r->is_bad = true;
    for (uint32_t i = 0; i < (is_map ? 2 * count : count) && !r->is_bad; i++)
        read_text(r, LABEL_BYTES_MAX, &bytes);
    return (struct mp_view){begin, (size_t)(r->at - begin)};
}

static struct mp_view read_attempts(struct mp_reader *r)
{
    const uint8_t *begin = r->at;
    struct attempt attempt;
    uint32_t count = msg_body_begin(r);
    for (uint32_t i = 0; i < count && !r->is_bad; i++)
        msg_next_attempt(r, &attempt);
    return (struct mp_view){begin, (size_t)(r->at - begin)};
}

uint32_t msg_resources_begin(struct mp_reader *r, const struct mp_view *resources)
{
    *r = mp_reader(resources->bytes, resources->count);
    return resources->count ? mp_read_map(r) : 0;
}

void msg_next_resource(struct mp_reader *r, struct resource *out, uint32_t *name_bytes)
{
    out->name = read_text(r, NAME_BYTES_MAX, name_bytes);
    uint64_t count = mp_read_uint(r);
    out->count = (uint32_t)count;
    if (!*name_bytes || count > RESOURCE_COUNT_MAX)
        r->is_bad = true;
}

/* Names differ and hold no NUL: whoever makes words of them gets words that differ. */
static struct mp_view read_resources(struct mp_reader *r)
{
    const uint8_t *begin = r->at;
    struct resource seen[RESOURCES_MAX];
    uint32_t bytes[RESOURCES_MAX], count = mp_read_map(r);
    if (count > RESOURCES_MAX)
        r->is_bad = true;
    for (uint32_t i = 0; i < count && !r->is_bad; i++) {
        msg_next_resource(r, &seen[i], &bytes[i]);
        if (!r->is_bad && memchr(seen[i].name, 0, bytes[i]))
            r->is_bad = true;
        for (uint32_t k = 0; k < i && !r->is_bad; k++)
            if (!mp_compare(seen[i].name, bytes[i], seen[k].name, bytes[k]))
                r->is_bad = true;
    }
    return (struct mp_view){begin, (size_t)(r->at - begin)};
}

void mp_write_resources(struct mp_writer *w, const struct resource *resources, uint32_t count)
{
    mp_write_map(w, count);
    for (uint32_t i = 0; i < count; i++) {
        mp_write_text(w, resources[i].name);
        mp_write_uint(w, resources[i].count);
    }
}

static void write_resources(struct mp_writer *w, const struct mp_view *encoded)
{
    if (encoded->count)
        mp_write_raw(w, encoded->bytes, encoded->count);
    else
        mp_write_map(w, 0);
}

enum status msg_decode_hello(const uint8_t *frame, size_t bytes, struct hello *out, struct err *err)
{
    struct mp_reader r = mp_reader(frame, bytes);
    *out = (struct hello){0};
    uint32_t items = mp_read_array(&r);
    if (mp_read_uint(&r) != MSG_HELLO || items < 2)
        r.is_bad = true;
    out->protocol = read_u32(&r);
    /* Another version's HELLO may go on differently: its number is all that is needed to refuse it.
     */
    if (!r.is_bad && out->protocol != PROTOCOL_VERSION)
        return err_set(err, E_VERSION, "protocol %u, where this side speaks %d", out->protocol,
                       PROTOCOL_VERSION);
    if (items != HELLO_ITEMS)
        r.is_bad = true;
    out->name = read_text(&r, NAME_BYTES_MAX, &out->name_bytes);
    read_fixed(&r, out->instance, INSTANCE_BYTES);
    read_fixed(&r, out->public_key, PUBLIC_KEY_BYTES);
    out->slots = read_u32(&r);
    out->cpu_hundredths = read_u32(&r);
    out->memory_bytes = mp_read_uint(&r);
    out->epoch = mp_read_uint(&r);
    out->kinds = read_texts(&r, false);
    out->labels = read_texts(&r, true);
    out->resources = read_resources(&r);
    out->running = read_attempts(&r);
    if (!out->slots || out->slots > SLOTS_MAX || out->cpu_hundredths > CPU_HUNDREDTHS_MAX)
        r.is_bad = true;
    return mp_reader_finish(&r, "HELLO", err);
}

enum status msg_decode_welcome(const uint8_t *frame, size_t bytes, struct welcome *out,
                               struct err *err)
{
    struct mp_reader r = mp_reader(frame, bytes);
    expect(&r, WELCOME_ITEMS, MSG_WELCOME);
    out->epoch = mp_read_uint(&r);
    out->lease_ms = read_u32(&r);
    out->credit = read_u32(&r);
    if (out->lease_ms < LEASE_MS_MIN || out->lease_ms > LEASE_MS_MAX || !out->credit ||
        out->credit > WORKER_CREDIT_MAX)
        r.is_bad = true;
    return mp_reader_finish(&r, "WELCOME", err);
}

enum status msg_decode_refused(const uint8_t *frame, size_t bytes, struct refused *out,
                               struct err *err)
{
    struct mp_reader r = mp_reader(frame, bytes);
    expect(&r, REFUSED_ITEMS, MSG_REFUSED);
    uint32_t code = read_u32(&r);
    if (code == OK || code >= STATUS_COUNT)
        r.is_bad = true;
    out->code = (enum status)code;
    out->reason = read_text(&r, ERR_TEXT_BYTES, &out->reason_bytes);
    return mp_reader_finish(&r, "REFUSED", err);
}

enum status msg_decode_not_leader(const uint8_t *frame, size_t bytes, struct not_leader *out,
                                  struct err *err)
{
    struct mp_reader r = mp_reader(frame, bytes);
    expect(&r, NOT_LEADER_ITEMS, MSG_NOT_LEADER);
    out->epoch = mp_read_uint(&r);
    out->endpoint = read_text(&r, ENDPOINT_BYTES_MAX, &out->endpoint_bytes);
    return mp_reader_finish(&r, "NOT_LEADER", err);
}

enum status msg_decode_results(const uint8_t *frame, size_t bytes, struct results_msg *out,
                               struct err *err)
{
    struct mp_reader r = mp_reader(frame, bytes);
    size_t signature_bytes;
    expect(&r, RESULTS_ITEMS, MSG_RESULTS);
    out->sequence = mp_read_uint(&r);
    out->signature = mp_read_bin(&r, &signature_bytes);
    out->body = mp_read_bin(&r, &out->body_bytes);
    if (signature_bytes != SIGNATURE_BYTES)
        r.is_bad = true;
    return mp_reader_finish(&r, "RESULTS", err);
}

enum status msg_decode_progress(const uint8_t *frame, size_t bytes, struct progress_msg *out,
                                struct err *err)
{
    struct mp_reader r = mp_reader(frame, bytes);
    expect(&r, PROGRESS_ITEMS, MSG_PROGRESS);
    msg_next_attempt(&r, &out->attempt);
    out->step = mp_read_uint(&r);
    out->total = mp_read_uint(&r);
    out->metrics.bytes = r.at;
    uint32_t metrics = mp_read_map(&r), name_bytes;
    for (uint32_t i = 0; i < metrics && !r.is_bad; i++) {
        read_text(&r, NAME_BYTES_MAX, &name_bytes);
        mp_read_real(&r);
    }
    out->metrics.count = (size_t)(r.at - out->metrics.bytes);
    return mp_reader_finish(&r, "PROGRESS", err);
}

enum status msg_decode_watch(const uint8_t *frame, size_t bytes, struct watch_msg *out,
                             struct err *err)
{
    struct mp_reader r = mp_reader(frame, bytes);
    expect(&r, WATCH_ITEMS, MSG_WATCH);
    msg_next_attempt(&r, &out->attempt);
    out->offset = mp_read_uint(&r);
    return mp_reader_finish(&r, "WATCH", err);
}

enum status msg_decode_log(const uint8_t *frame, size_t bytes, struct log_msg *out, struct err *err)
{
    struct mp_reader r = mp_reader(frame, bytes);
    expect(&r, LOG_ITEMS, MSG_LOG);
    msg_next_attempt(&r, &out->attempt);
    out->offset = mp_read_uint(&r);
    out->size = mp_read_uint(&r);
    out->text.bytes = mp_read_bin(&r, &out->text.count);
    if (out->text.count > LOG_FRAME_BYTES_MAX || out->size > LOG_BYTES_MAX ||
        out->offset > LOG_BYTES_MAX)
        r.is_bad = true;
    return mp_reader_finish(&r, "LOG", err);
}

void msg_write_hello(struct mp_writer *w, const struct hello *hello)
{
    mp_write_array(w, HELLO_ITEMS);
    mp_write_uint(w, MSG_HELLO);
    mp_write_uint(w, hello->protocol);
    mp_write_str(w, hello->name, hello->name_bytes);
    mp_write_bin(w, hello->instance, INSTANCE_BYTES);
    mp_write_bin(w, hello->public_key, PUBLIC_KEY_BYTES);
    mp_write_uint(w, hello->slots);
    mp_write_uint(w, hello->cpu_hundredths);
    mp_write_uint(w, hello->memory_bytes);
    mp_write_uint(w, hello->epoch);
    mp_write_raw(w, hello->kinds.bytes, hello->kinds.count);
    mp_write_raw(w, hello->labels.bytes, hello->labels.count);
    write_resources(w, &hello->resources);
    mp_write_raw(w, hello->running.bytes, hello->running.count);
}

void msg_write_welcome(struct mp_writer *w, const struct welcome *welcome)
{
    mp_write_array(w, WELCOME_ITEMS);
    mp_write_uint(w, MSG_WELCOME);
    mp_write_uint(w, welcome->epoch);
    mp_write_uint(w, welcome->lease_ms);
    mp_write_uint(w, welcome->credit);
}

void msg_write_refused(struct mp_writer *w, const struct refused *refused)
{
    mp_write_array(w, REFUSED_ITEMS);
    mp_write_uint(w, MSG_REFUSED);
    mp_write_uint(w, refused->code);
    mp_write_str(w, refused->reason, refused->reason_bytes);
}

void msg_write_not_leader(struct mp_writer *w, const struct not_leader *not_leader)
{
    mp_write_array(w, NOT_LEADER_ITEMS);
    mp_write_uint(w, MSG_NOT_LEADER);
    mp_write_uint(w, not_leader->epoch);
    mp_write_str(w, not_leader->endpoint, not_leader->endpoint_bytes);
}

void msg_write_results(struct mp_writer *w, const struct results_msg *results)
{
    mp_write_array(w, RESULTS_ITEMS);
    mp_write_uint(w, MSG_RESULTS);
    mp_write_uint(w, results->sequence);
    mp_write_bin(w, results->signature, SIGNATURE_BYTES);
    mp_write_bin(w, results->body, results->body_bytes);
}

void msg_write_progress(struct mp_writer *w, const struct progress_msg *progress)
{
    mp_write_array(w, PROGRESS_ITEMS);
    mp_write_uint(w, MSG_PROGRESS);
    msg_write_attempt(w, &progress->attempt);
    mp_write_uint(w, progress->step);
    mp_write_uint(w, progress->total);
    mp_write_raw(w, progress->metrics.bytes, progress->metrics.count);
}

void msg_write_watch(struct mp_writer *w, const struct watch_msg *watch)
{
    mp_write_array(w, WATCH_ITEMS);
    mp_write_uint(w, MSG_WATCH);
    msg_write_attempt(w, &watch->attempt);
    mp_write_uint(w, watch->offset);
}

void msg_write_log(struct mp_writer *w, const struct log_msg *log)
{
    mp_write_array(w, LOG_ITEMS);
    mp_write_uint(w, MSG_LOG);
    msg_write_attempt(w, &log->attempt);
    mp_write_uint(w, log->offset);
    mp_write_uint(w, log->size);
    mp_write_bin(w, log->text.bytes, log->text.count);
}

/* ---- batches ---- */

uint32_t msg_batch_begin(struct mp_reader *r, enum msg_type type)
{
    return expect(r, BATCH_ITEMS, type) ? msg_body_begin(r) : 0;
}

uint32_t msg_body_begin(struct mp_reader *r)
{
    uint32_t count = mp_read_array(r);
    if (count > BATCH_ENTRIES_MAX)
        r->is_bad = true;
    return r->is_bad ? 0 : count;
}

void msg_write_batch_head(struct mp_writer *w, enum msg_type type, uint32_t count)
{
    mp_write_array(w, BATCH_ITEMS);
    mp_write_uint(w, type);
    mp_write_array(w, count);
}

void msg_next_attempt(struct mp_reader *r, struct attempt *out)
{
    if (mp_read_array(r) != 2)
        r->is_bad = true;
    mp_read_id(r, &out->task);
    out->number = read_u32(r);
}

void msg_write_attempt(struct mp_writer *w, const struct attempt *attempt)
{
    mp_write_array(w, 2);
    mp_write_id(w, &attempt->task);
    mp_write_uint(w, attempt->number);
}

uint64_t msg_next_sequence(struct mp_reader *r)
{
    return mp_read_uint(r);
}

void msg_next_task(struct mp_reader *r, struct task_msg *out)
{
    *out = (struct task_msg){0};
    if (mp_read_array(r) != TASK_ITEMS)
        r->is_bad = true;
    mp_read_id(r, &out->attempt.task);
    out->attempt.number = read_u32(r);
    out->spec = mp_read_bin(r, &out->spec_bytes);
    out->inputs = r->at;
    out->input_count = mp_read_array(r);
    struct artifact artifact;
    for (uint32_t i = 0; i < out->input_count && !r->is_bad; i++)
        mp_read_artifact(r, &artifact);
    out->inputs_bytes = (size_t)(r->at - out->inputs);
    int64_t priority = mp_read_int(r);
    out->priority = (int32_t)priority;
    out->timeout_ms = read_u32(r);
    out->memory_bytes = mp_read_uint(r);
    out->cpu_hundredths = read_u32(r);
    out->resources = read_resources(r);
    if (priority != out->priority || out->spec_bytes > SPEC_BYTES_MAX ||
        out->cpu_hundredths > CPU_HUNDREDTHS_MAX)
        r->is_bad = true;
}

void msg_write_task(struct mp_writer *w, const struct task_msg *task)
{
    mp_write_array(w, TASK_ITEMS);
    mp_write_id(w, &task->attempt.task);
    mp_write_uint(w, task->attempt.number);
    mp_write_bin(w, task->spec, task->spec_bytes);
    if (task->inputs)
        mp_write_raw(w, task->inputs, task->inputs_bytes);
    else
        mp_write_array(w, 0);
    mp_write_int(w, task->priority);
    mp_write_uint(w, task->timeout_ms);
    mp_write_uint(w, task->memory_bytes);
    mp_write_uint(w, task->cpu_hundredths);
    write_resources(w, &task->resources);
}

static void read_failure(struct mp_reader *r, struct result_msg *out)
{
    out->text = read_text(r, ERR_TEXT_BYTES, &out->text_bytes);
    out->has_log = !mp_read_nil(r);
    if (out->has_log)
        mp_read_artifact(r, &out->log);
    out->lost_count = mp_read_array(r);
    out->lost = r->at;
    struct id id;
    for (uint32_t i = 0; i < out->lost_count && !r->is_bad; i++)
        mp_read_id(r, &id);
    out->lost_bytes = (size_t)(r->at - out->lost);
}

void msg_next_result(struct mp_reader *r, struct result_msg *out)
{
    *out = (struct result_msg){0};
    uint32_t items = mp_read_array(r);
    mp_read_id(r, &out->attempt.task);
    out->attempt.number = read_u32(r);
    uint32_t code = read_u32(r);
    out->code = (enum status)code;
    if (code >= STATUS_COUNT || items != (code == OK ? DONE_ITEMS : FAILED_ITEMS))
        r->is_bad = true;
    else if (code == OK)
        out->record = mp_read_bin(r, &out->record_bytes);
    else
        read_failure(r, out);
}

void msg_write_result(struct mp_writer *w, const struct result_msg *result)
{
    mp_write_array(w, result->code == OK ? DONE_ITEMS : FAILED_ITEMS);
    mp_write_id(w, &result->attempt.task);
    mp_write_uint(w, result->attempt.number);
    mp_write_uint(w, result->code);
    if (result->code == OK) {
        mp_write_bin(w, result->record, result->record_bytes);
        return;
    }
    mp_write_str(w, result->text, result->text_bytes);
    if (result->has_log)
        mp_write_artifact(w, &result->log);
    else
        mp_write_nil(w);
    mp_write_array(w, result->lost_count);
    mp_write_raw(w, result->lost, result->lost_bytes);
}
