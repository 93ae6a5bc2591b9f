// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/slot_wire.h"

#include <string.h>

#include "proto/limits.h"
#include "proto/msg.h"

static void input_write(struct mp_writer *writer, const struct kind_input *input)
{
    mp_write_array(writer, 4);
    mp_write_text(writer, input->name);
    if (input->path)
        mp_write_text(writer, input->path);
    else
        mp_write_nil(writer);
    mp_write_bool(writer, input->is_gather);
    mp_write_array(writer, input->count);
    for (uint32_t i = 0; i < input->count; i++) {
        mp_write_array(writer, 2);
        mp_write_text(writer, input->files[i]);
        mp_write_artifact(writer, &input->artifacts[i]);
    }
}

static void secrets_write(struct mp_writer *writer, const struct slot_job *job)
{
    mp_write_array(writer, job->secret_count);
    for (uint32_t i = 0; i < job->secret_count; i++) {
        mp_write_array(writer, 2);
        mp_write_text(writer, job->secrets[i].name);
        mp_write_bin(writer, job->secrets[i].value, job->secrets[i].bytes + 1);
    }
}

void slot_job_write(struct mp_writer *writer, const struct slot_job *job)
{
    mp_write_array(writer, job->is_light ? 3 : 10);
    mp_write_uint(writer, job->is_light ? 0 : 1);
    mp_write_uint(writer, job->attempt);
    if (!job->is_light) {
        mp_write_uint(writer, job->timeout_ms);
        mp_write_uint(writer, job->memory_bytes);
        mp_write_text(writer, job->work_dir);
        mp_write_text(writer, job->output_dir);
        mp_write_text(writer, job->log_path);
        mp_write_array(writer, job->input_count);
        for (uint32_t i = 0; i < job->input_count; i++)
            input_write(writer, &job->inputs[i]);
        secrets_write(writer, job);
    }
    mp_write_bin(writer, job->spec, job->spec_bytes);
}

static const char *read_text(struct mp_reader *reader, struct arena *arena)
{
    uint32_t bytes;
    const char *text = mp_read_str(reader, &bytes);
    if (reader->is_bad || memchr(text, 0, bytes)) {
        reader->is_bad = true;
        return "";
    }
    return arena_text(arena, text, bytes);
}

static void input_read(struct mp_reader *reader, struct arena *arena, struct kind_input *out)
{
    reader->is_bad |= mp_read_array(reader) != 4;
    out->name = read_text(reader, arena);
    out->path = mp_read_nil(reader) ? NULL : read_text(reader, arena);
    out->is_gather = mp_read_bool(reader);
    out->count = mp_read_array(reader);
    if (reader->is_bad) {
        out->count = 0;
        return;
    }
    const char **files = arena_alloc(arena, (out->count + 1) * sizeof *files);
    struct artifact *artifacts = arena_alloc(arena, (out->count + 1) * sizeof *artifacts);
    for (uint32_t i = 0; i < out->count && !reader->is_bad; i++) {
        reader->is_bad |= mp_read_array(reader) != 2;
        files[i] = read_text(reader, arena);
        mp_read_artifact(reader, &artifacts[i]);
    }
    out->files = files;
    out->artifacts = artifacts;
}

static void secrets_read(struct mp_reader *reader, struct arena *arena, struct slot_job *out)
{
    uint32_t count = mp_read_array(reader);
    if (reader->is_bad || count > SECRETS_MAX) {
        reader->is_bad = true;
        return;
    }
    struct kind_secret *secrets = arena_alloc(arena, (count + 1) * sizeof *secrets);
    for (uint32_t i = 0; i < count && !reader->is_bad; i++) {
        size_t bytes;
        reader->is_bad |= mp_read_array(reader) != 2;
        secrets[i].name = read_text(reader, arena);
        secrets[i].value = (char *)(uintptr_t)mp_read_bin(reader, &bytes);
        if (reader->is_bad || bytes < 2 || secrets[i].value[bytes - 1])
            reader->is_bad = true;
        secrets[i].bytes = bytes - 1;
    }
    out->secrets = secrets;
    out->secret_count = reader->is_bad ? 0 : count;
}

static void heavy_read(struct mp_reader *reader, struct arena *arena, struct slot_job *out)
{
    out->timeout_ms = (uint32_t)mp_read_uint(reader);
    out->memory_bytes = mp_read_uint(reader);
    out->work_dir = read_text(reader, arena);
    out->output_dir = read_text(reader, arena);
    out->log_path = read_text(reader, arena);
    uint32_t count = mp_read_array(reader);
    if (reader->is_bad || count > INPUTS_MAX) {
        reader->is_bad = true;
        return;
    }
    struct kind_input *inputs = arena_alloc(arena, (count + 1) * sizeof *inputs);
    for (uint32_t i = 0; i < count && !reader->is_bad; i++)
        input_read(reader, arena, &inputs[i]);
    out->inputs = inputs;
    out->input_count = count;
    if (!reader->is_bad)
        secrets_read(reader, arena, out);
}

bool slot_job_read(struct mp_reader *reader, struct arena *arena, struct slot_job *out)
{
    *out = (struct slot_job){0};
    uint32_t fields = mp_read_array(reader);
    uint64_t type = mp_read_uint(reader);
    out->is_light = type == 0;
    out->attempt = (uint32_t)mp_read_uint(reader);
    if (type > 1 || fields != (type ? 10u : 3u))
        reader->is_bad = true;
    if (type && !reader->is_bad)
        heavy_read(reader, arena, out);
    out->spec = mp_read_bin(reader, &out->spec_bytes);
    return !reader->is_bad;
}

void slot_message_write(struct mp_writer *writer, const struct slot_message *message)
{
    static const uint8_t fields[] = {
        [SLOT_DONE] = 3, [SLOT_FAILED] = 5, [SLOT_PROGRESS] = 5, [SLOT_READY] = 1};
    mp_write_array(writer, fields[message->type]);
    mp_write_uint(writer, message->type);
    if (message->type == SLOT_DONE || message->type == SLOT_FAILED) {
        mp_write_uint(writer, (uint64_t)message->begun_us);
        mp_write_uint(writer, (uint64_t)message->took_us);
    }
    if (message->type == SLOT_FAILED) {
        mp_write_uint(writer, message->code);
        mp_write_str(writer, message->text, message->text_bytes);
    }
    if (message->type == SLOT_PROGRESS) {
        mp_write_uint(writer, message->step);
        mp_write_uint(writer, message->total);
        mp_write_str(writer, message->text, message->text_bytes);
        mp_write_real(writer, message->value);
    }
}

bool slot_message_read(struct mp_reader *reader, struct slot_message *out)
{
    static const uint8_t fields[] = {
        [SLOT_DONE] = 3, [SLOT_FAILED] = 5, [SLOT_PROGRESS] = 5, [SLOT_READY] = 1};
    *out = (struct slot_message){.text = ""};
    uint32_t count = mp_read_array(reader);
    uint64_t type = mp_read_uint(reader);
    if (reader->is_bad || type > SLOT_READY || count != fields[type])
        return false;
    out->type = (enum slot_message_type)type;
    if (type == SLOT_DONE || type == SLOT_FAILED) {
        out->begun_us = (int64_t)(mp_read_uint(reader) & INT64_MAX);
        out->took_us = (int64_t)(mp_read_uint(reader) & INT64_MAX);
    }
    if (type == SLOT_FAILED) {
        uint64_t code = mp_read_uint(reader);
        out->text = mp_read_str(reader, &out->text_bytes);
        if (code == OK || code >= STATUS_COUNT || out->text_bytes >= ERR_TEXT_BYTES)
            return false;
        out->code = (enum status)code;
    }
    if (type == SLOT_PROGRESS) {
        out->step = mp_read_uint(reader);
        out->total = mp_read_uint(reader);
        out->text = mp_read_str(reader, &out->text_bytes);
        out->value = mp_read_real(reader);
        if (out->text_bytes > NAME_BYTES_MAX)
            return false;
    }
    return !reader->is_bad;
}
