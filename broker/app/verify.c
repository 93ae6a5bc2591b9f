/* Each look gives a line of the answer; one that fails makes the whole not ok. Walking deep,
 * everything that made it is looked at in the same way, down to the sources. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/verifying.h"

#include <string.h>

#include "broker/app/library.h"
#include "common/base/doc.h"
#include "common/crypto/identity.h"

struct verifier {
    const struct verify_source *source;
    struct arena *arena;
    const struct app_verify *options;
    bool has_signer;
    struct id signer; /* that all records must be signed by */
    struct value checks;
    bool is_ok;
    uint32_t artifact_count;
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
    enum status status = v->source->bytes(v->source->context, artifact, &why);
    v->artifact_count++;
    if (status != OK && !is_finding(status))
        return err_set(err, status, "%s", why.text);
    if (status != OK)
        add_check(v, "bytes", subject, false, why.text);
    return OK;
}

/* ---- signatures ---- */

static bool is_pinned(const struct verifier *v, const struct proof *proof)
{
    return !v->has_signer || memcmp(v->signer.bytes, proof->kept.public_key, ID_BYTES) == 0;
}

/* *is_good: `proof` holds the record. */
static enum status check_signature(struct verifier *v, const struct id *task, struct proof *proof,
                                   bool *is_good, struct err *err)
{
    struct err why = {0};
    enum status status = v->source->proof(v->source->context, task, proof, &why);
    *is_good = status == OK;
    if (status != OK && !is_finding(status))
        return err_set(err, status, "%s", why.text);
    if (status != OK)
        add_check(v, "signature", short_id(v, task), false, why.text);
    else if (!is_pinned(v, proof))
        add_check(
            v, "signer", short_id(v, task), false,
            arena_format(v->arena, "signed by %s, not by the key given",
                         short_id(v, (const struct id *)(const void *)proof->kept.public_key)));
    return OK;
}

static bool has_output(const struct record *record, const struct artifact *artifact)
{
    struct record_output output;
    for (size_t cursor = 0; record_next_output(record, &cursor, &output);)
        if (id_equal(&output.artifact.id, &artifact->id) &&
            output.artifact.is_tree == artifact->is_tree)
            return true;
    return false;
}

static enum status check_made(struct verifier *v, const struct id *task,
                              const struct artifact *artifact, struct proof *proof, bool *is_good,
                              struct err *err)
{
    TRY(check_signature(v, task, proof, is_good, err));
    if (*is_good && !has_output(&proof->record, artifact))
        add_check(v, "record", short_id(v, task), false, "it made no such artifact");
    return OK;
}

/* ---- all that made it ---- */

static enum status check_input(struct verifier *v, struct library_walk *walk,
                               const struct artifact *artifact, struct err *err)
{
    AUTO(proof_fini) struct proof proof = {.kept.frame = buf_init(0)};
    bool is_good = false, is_made;
    struct id task;
    TRY(v->source->maker(v->source->context, &artifact->id, &is_made, &task, err));
    if (is_made)
        TRY(check_made(v, &task, artifact, &proof, &is_good, err));
    TRY(check_bytes(v, short_id(v, &artifact->id), artifact, err));
    return is_good ? library_walk_add(walk, &proof.record, err) : OK;
}

static enum status check_inputs(struct verifier *v, const struct record *record, struct err *err)
{
    AUTO(library_walk_fini) struct library_walk walk = {0};
    struct artifact next;
    library_walk_init(&walk);
    TRY(library_walk_add(&walk, record, err));
    while (library_walk_next(&walk, &next))
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
static void add_good(struct verifier *v, const char *subject, const struct proof *proof)
{
    char hex[ID_HEX_BYTES];
    if (!v->is_ok)
        return;
    if (proof)
        add_check(
            v, "signature", subject, true,
            arena_format(v->arena, "by worker %.*s with key %s", (int)proof->record.worker_bytes,
                         proof->record.worker,
                         id_hex((const struct id *)(const void *)proof->kept.public_key, hex)));
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

static enum status verify(struct verifier *v, const struct verify_subject *subject, struct err *err)
{
    AUTO(proof_fini) struct proof proof = {.kept.frame = buf_init(0)};
    bool is_good = false;
    const char *name = subject->name;
    if (subject->has_task)
        TRY(check_made(v, &subject->task, &subject->artifact, &proof, &is_good, err));
    else if (v->has_signer)
        add_check(v, "signer", name, false, "no task made it: nobody signed it");
    TRY(check_bytes(v, name, &subject->artifact, err));
    if (is_good && v->options->is_deep)
        TRY(check_inputs(v, &proof.record, err));
    add_good(v, name, is_good ? &proof : NULL);
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
