/* Each look gives a line of the answer; one that fails makes the whole not ok. Walking deep,
 * everything that made it is looked at in the same way, down to the sources. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/verifying.h"

#include <string.h>

#include "broker/app/library.h"
#include "common/base/doc.h"
#include "common/clock.h"
#include "common/crypto/identity.h"

struct verifier {
    const struct verify_source *source;
    struct arena *arena;
    const struct app_verify *options;
    bool has_signer;
    struct id signer; /* that all records must be signed by */
    struct value checks;
    bool is_ok;
    uint32_t artifact_count, record_count;
};

static void add_check(struct verifier *v, const char *check, const char *subject, bool ok,
                      const char *found)
{
    struct value *entry = doc_add(v->arena, &v->checks, doc_map());
    doc_put(v->arena, entry, "check", value_string(check));
    doc_put(v->arena, entry, "subject", doc_text(v->arena, subject, strlen(subject)));
    doc_put(v->arena, entry, "ok", value_bool(ok));
    doc_put(v->arena, entry, "found", doc_text(v->arena, found, strlen(found)));
    v->is_ok = v->is_ok && ok;
}

static const char *short_id(struct verifier *v, const struct id *id)
{
    char hex[ID_HEX_BYTES];
    return arena_format(v->arena, "%.12s", id_hex(id, hex));
}

/* Bytes that don't match are an answer; a store that can't be asked is an error. */
static bool is_finding(enum status status)
{
    return status == E_NOTFOUND || status == E_CORRUPT;
}

/* ---- bytes ---- */

static enum status check_bytes(struct verifier *v, const char *subject,
                               const struct artifact *artifact, struct err *err)
{
    struct err why = {0};
    if (!v->source->bytes)
        return OK;
    enum status status = v->source->bytes(v->source->context, artifact, &why);
    v->artifact_count++;
    if (status != OK && !is_finding(status))
        return err_set(err, status, "%s", why.text);
    if (status != OK)
        add_check(v, "bytes", subject, false, why.text);
    return OK;
}

/* ---- signatures ---- */

/* *is_good: `proof` holds the record. */
static enum status check_signature(struct verifier *v, const struct id *task, struct proof *proof,
                                   bool *is_good, struct err *err)
{
    struct err why = {0};
    if ((v->source->records_max && ++v->record_count > v->source->records_max) ||
        (v->source->until && clock_ms() > v->source->until))
        return err_set(err, E_LIMIT,
                       "%u records that made it were looked at, there are more, and a broker that "
                       "serves has others waiting: ask for it where the broker's store and state "
                       "are, without --server",
                       v->record_count - 1);
    enum status status = v->source->proof(v->source->context, task, proof, &why);
    *is_good = status == OK;
    if (status != OK && !is_finding(status))
        return err_set(err, status, "%s", why.text);
    if (status != OK)
        add_check(v, "signature", short_id(v, task), false, why.text);
    return OK;
}

static void check_signer(struct verifier *v, const struct id *task, const struct proof *proof)
{
    const struct id *key = (const struct id *)(const void *)proof->kept.public_key;
    if (v->has_signer && !id_equal(&v->signer, key))
        add_check(v, "signer", short_id(v, task), false,
                  arena_format(v->arena, "signed by %s, not by the key given", short_id(v, key)));
}

static bool has_output(const struct record *record, const struct library_item *item)
{
    struct record_output output;
    for (size_t cursor = 0; record_next_output(record, &cursor, &output);)
        if (id_equal(&output.artifact.id, &item->artifact.id) &&
            output.artifact.is_tree == item->artifact.is_tree &&
            (!item->output || (output.name_bytes == item->output_bytes &&
                               memcmp(output.name, item->output, output.name_bytes) == 0)))
            return true;
    return false;
}

static enum status check_made(struct verifier *v, const struct library_item *item,
                              struct proof *proof, bool *is_good, struct err *err)
{
    TRY(check_signature(v, &item->task, proof, is_good, err));
    if (*is_good && !has_output(&proof->record, item))
        add_check(v, "record", short_id(v, &item->task), false,
                  item->output ? arena_format(v->arena, "it made no such %.*s",
                                              (int)item->output_bytes, item->output)
                               : "it made no such artifact");
    return OK;
}

/* ---- is it the task's record? ---- */

/* Is the action what the task's specification says, whatever its inputs are? */
static bool is_action_of(const struct task_spec *spec, const struct record *record)
{
    AUTO(buf_fini) struct buf inputs = buf_init(0), action = buf_init(0);
    struct task_spec told;
    struct task_ref_cursor cursor = {0}, told_cursor = {0};
    struct task_ref named, ref;
    if (task_spec_parse(record->action, record->action_bytes, &told, NULL) != OK)
        return false;
    while (task_spec_next_ref(spec, &cursor, &named)) {
        if (!task_spec_next_ref(&told, &told_cursor, &ref))
            return false;
        if (named.is_task)
            buf_put(&inputs, &ref.artifact, sizeof ref.artifact);
    }
    const struct artifact *resolved = (const struct artifact *)(const void *)inputs.bytes;
    size_t count = inputs.count / sizeof *resolved, bytes = record->action_bytes;
    uint8_t *room = buf_reserve(&action, bytes);
    return room && task_spec_action(spec, resolved, count, room, bytes) == bytes &&
           memcmp(room, record->action, bytes) == 0;
}

/* What the record's task read is to be looked at: as outputs of what its specification names, if
 * that is known. */
static enum status add_inputs(struct verifier *v, struct library_walk *walk, const struct id *task,
                              const struct record *record, struct err *err)
{
    struct mp_view bytes;
    struct task_spec spec;
    if (!v->source->spec || !v->source->spec(v->source->context, task, &bytes))
        return library_walk_add(walk, record, NULL, err);
    TRY(task_spec_parse(bytes.bytes, bytes.count, &spec, err));
    if (is_action_of(&spec, record))
        return library_walk_add(walk, record, &spec, err);
    add_check(v, "task", short_id(v, task), false, "its record is of another task");
    return OK;
}

/* ---- all that made it ---- */

static enum status check_input(struct verifier *v, struct library_walk *walk,
                               struct library_item *item, struct err *err)
{
    AUTO(proof_fini) struct proof proof = {.kept.frame = buf_init(0)};
    bool is_good = false, is_made = item->has_task;
    if (!is_made)
        TRY(v->source->maker(v->source->context, &item->artifact.id, &is_made, &item->task, err));
    if (is_made)
        TRY(check_made(v, item, &proof, &is_good, err));
    if (is_good)
        check_signer(v, &item->task, &proof);
    if (v->options->is_deep)
        TRY(check_bytes(v, short_id(v, &item->artifact.id), &item->artifact, err));
    return is_good ? add_inputs(v, walk, &item->task, &proof.record, err) : OK;
}

/* Not deep: only the records of those tasks that specifications name. A record is its task's if
 * those of all that made it are theirs: one alone is found elsewhere, a chain of them is not. */
static enum status check_inputs(struct verifier *v, const struct id *task,
                                const struct record *record, struct err *err)
{
    AUTO(library_walk_fini) struct library_walk walk = {0};
    struct library_item next;
    library_walk_init(&walk);
    TRY(add_inputs(v, &walk, task, record, err));
    while (library_walk_next(&walk, &next))
        if (v->options->is_deep || next.has_task)
            TRY(check_input(v, &walk, &next, err));
    return OK;
}

/* ---- the whole ---- */

static void check_again(struct verifier *v, const char *subject, const struct record *record)
{
    struct err why = {0};
    const char *difference;
    enum status status = v->source->again(v->source->context, record, v->arena, &difference, &why);
    add_check(v, "reexecution", subject, status == OK && !*difference,
              status != OK  ? why.text
              : *difference ? difference
                            : "every output is the same again");
}

/* What was looked at and is good is said once. */
static void add_good(struct verifier *v, const char *subject, const struct proof *proof,
                     const struct id *task)
{
    char hex[ID_HEX_BYTES];
    if (!v->is_ok)
        return;
    if (proof)
        add_check(
            v, "signature", subject, true,
            arena_format(v->arena, "by worker %.*s with key %s%s%s",
                         (int)proof->record.worker_bytes, proof->record.worker,
                         id_hex((const struct id *)(const void *)proof->kept.public_key, hex),
                         id_equal(&proof->made_for, task) ? "" : ", as of the same action of task ",
                         id_equal(&proof->made_for, task) ? "" : short_id(v, &proof->made_for)));
    else
        add_check(v, "signature", subject, true, "no task made it: it came from outside");
    add_check(
        v, "bytes", subject, true,
        v->options->is_deep
            ? arena_format(v->arena,
                           "match their ids, and so do those of all that made it: %u artifacts",
                           v->artifact_count)
            : "match their id");
}

/* What a name says itself is nobody's to answer: the digits of the id, or that a task made it, and
 * as which output. */
static void check_name(struct verifier *v, const struct verify_subject *subject)
{
    char hex[ID_HEX_BYTES];
    const char *name = subject->name;
    if (!id_is_prefix(name) && !subject->has_task)
        add_check(v, "signature", name, false, "no task made it, says who was asked");
    if (id_is_prefix(name) && strncmp(id_hex(&subject->artifact.id, hex), name, strlen(name)) != 0)
        add_check(v, "record", name, false, "who was asked answered with another artifact");
}

static enum status verify(struct verifier *v, const struct verify_subject *subject, struct err *err)
{
    AUTO(proof_fini) struct proof proof = {.kept.frame = buf_init(0)};
    bool is_good = false;
    const char *name = subject->name;
    const char *output = id_is_prefix(name) ? NULL : ref_output(name);
    const struct library_item item = {.artifact = subject->artifact,
                                      .task = subject->task,
                                      .output = output,
                                      .output_bytes = output ? (uint32_t)strlen(output) : 0};
    check_name(v, subject);
    if (subject->has_task)
        TRY(check_made(v, &item, &proof, &is_good, err));
    else if (v->has_signer)
        add_check(v, "signer", name, false, "no task made it: nobody signed it");
    if (is_good)
        check_signer(v, &subject->task, &proof);
    TRY(check_bytes(v, name, &subject->artifact, err));
    if (is_good)
        TRY(check_inputs(v, &subject->task, &proof.record, err));
    add_good(v, name, is_good ? &proof : NULL, &subject->task);
    if (v->options->reexecutes && is_good)
        check_again(v, name, &proof.record);
    else if (v->options->reexecutes)
        add_check(v, "reexecution", name, false, "there is no signed record to run again");
    return OK;
}

enum status verify_subject(const struct verify_source *source, const struct verify_subject *subject,
                           const struct app_verify *options, struct arena *arena, struct value *out,
                           struct err *err)
{
    struct verifier v = {.source = source,
                         .arena = arena,
                         .options = options,
                         .has_signer = options->signer != NULL,
                         .checks = doc_list(),
                         .is_ok = true};
    if (options->reexecutes && !source->again)
        return err_set(err, E_UNSUPPORTED,
                       "--reexecute runs the task on this machine, which has not what the broker "
                       "has: say it where the broker's store and state are");
    if (options->signer)
        TRY(public_key_parse("--signer", options->signer, &v.signer, err));
    TRY(verify(&v, subject, err));
    *out = doc_map();
    doc_put(arena, out, "artifact", doc_id(arena, &subject->artifact.id));
    doc_put(arena, out, "task", subject->has_task ? doc_id(arena, &subject->task) : value_nil());
    doc_put(arena, out, "ok", value_bool(v.is_ok));
    doc_put(arena, out, "checks", v.checks);
    return OK;
}
