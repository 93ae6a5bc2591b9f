/* Provenance for others' tools: statements (broker/view/provenance.h) in envelopes signed with the
 * broker's identity, one line each. The broker attests what it has checked: a record whose worker's
 * signature is not good is not attested. Reading them back needs the broker's public key, the
 * artifact's bytes and nothing else: no state, no store, no network. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <sys/stat.h>

#include "broker/app/library.h"
#include "broker/app/proof.h"
#include "broker/app/verifying.h"
#include "broker/view/provenance.h"
#include "common/crypto/dsse.h"
#include "common/crypto/identity.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "common/text/json.h"
#include "proto/limits.h"

struct attester {
    struct local *app;
    struct arena *arena;
    struct library library;
    struct signer *signer;
    struct buf *out;
};

static void attester_fini(struct attester *attester)
{
    library_close(&attester->library);
    if (attester->signer)
        signer_free(attester->signer);
}
DEFINE_AUTO_VALUE(struct attester, attester_fini)

static enum status list_files(struct attester *a, struct provenance *p, struct err *err)
{
    if (!p->artifact.is_tree)
        return OK;
    AUTO(tree_free) struct tree *tree = NULL;
    TRY(tree_open(a->app->store, &p->artifact.id, &tree, err));
    struct provenance_file *files = arena_alloc(a->arena, (tree_count(tree) + 1) * sizeof *files);
    for (size_t i = 0; i < tree_count(tree); i++) {
        struct tree_entry entry = tree_entry(tree, i);
        files[i] = (struct provenance_file){arena_text(a->arena, entry.path, entry.path_bytes),
                                            entry.blob};
    }
    p->files = files;
    p->file_count = tree_count(tree);
    return OK;
}

static enum status attest(struct attester *a, const char *name, const struct id *task,
                          const struct artifact *artifact, struct proof *proof, struct err *err)
{
    AUTO(buf_fini) struct buf payload = buf_init(0);
    struct value statement;
    TRY(proof_open(a->app, task, proof, err));
    struct provenance p = {.name = name,
                           .artifact = *artifact,
                           .record = &proof->record,
                           .task = *task,
                           .public_key = proof->kept.public_key,
                           .sources = &a->library.sources};
    TRY(list_files(a, &p, err));
    TRY(provenance_statement(&p, a->arena, &statement, err));
    json_write(&statement, 0, &payload);
    dsse_seal(a->signer, PROVENANCE_PAYLOAD_TYPE, payload.bytes, payload.count, a->out);
    buf_put_char(a->out, '\n');
    return OK;
}

/* Each maker of something it read, and so on. */
static enum status attest_inputs(struct attester *a, const struct record *record, struct err *err)
{
    AUTO(library_walk_fini) struct library_walk walk = {0};
    struct library_item next;
    library_walk_init(&walk);
    TRY(library_walk_add(&walk, record, NULL, err));
    while (library_walk_next(&walk, &next)) {
        const struct made *made = library_find(&a->library, &next.artifact.id);
        char hex[ID_HEX_BYTES];
        AUTO(proof_fini) struct proof proof = {.kept.frame = buf_init(0)};
        if (!made)
            continue;
        TRY(attest(a, arena_format(a->arena, "%s", id_hex(&next.artifact.id, hex)), &made->task,
                   &next.artifact, &proof, err));
        TRY(library_walk_add(&walk, &proof.record, NULL, err));
    }
    return OK;
}

enum status local_attest(struct app *base, const char *text, bool all, struct buf *out,
                         struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(attester_fini) struct attester a = {.app = local_of(base), .arena = &arena, .out = out};
    AUTO(proof_fini) struct proof proof = {.kept.frame = buf_init(0)};
    struct ref ref;
    TRY(keys_read(a.app, &a.signer, err));
    TRY(local_open_reader(a.app, err));
    TRY(ref_resolve(a.app, text, &arena, &ref, err));
    if (!ref.has_task)
        return err_set(err, E_INVALID, "%s: no task made it; what comes from outside has no record",
                       text);
    TRY(verify_records(a.app, text, all, &arena, err));
    TRY(library_open(a.app, &arena, &a.library, err));
    TRY(attest(&a, text, &ref.task, &ref.artifact, &proof, err));
    return all ? attest_inputs(&a, &proof.record, err) : OK;
}

/* ---- reading them back ---- */

struct listing {
    struct arena *arena;
    const char *root;
    struct store *hasher; /* keeps nothing */
    struct buf files;     /* struct provenance_file */
};

static enum status list_file(void *context, const char *path, bool is_executable, uint64_t bytes,
                             struct err *err)
{
    (void)is_executable;
    struct listing *listing = context;
    struct provenance_file file = {arena_text(listing->arena, path, strlen(path)), {{0}}};
    const char *whole = arena_format(listing->arena, "%s/%s", listing->root, path);
    TRY(store_put_file(listing->hasher, whole, &file.blob, &bytes, err));
    buf_put(&listing->files, &file, sizeof file);
    return OK;
}

static enum status list_artifact(struct listing *listing, struct err *err)
{
    struct stat stat_of;
    if (stat(listing->root, &stat_of) != 0)
        return err_set(err, E_NOTFOUND, "%s: there is no such file or folder", listing->root);
    if (S_ISDIR(stat_of.st_mode))
        return fs_walk(listing->root, list_file, listing, err);
    struct provenance_file file = {NULL, {{0}}};
    uint64_t bytes;
    TRY(store_put_file(listing->hasher, listing->root, &file.blob, &bytes, err));
    buf_put(&listing->files, &file, sizeof file);
    return OK;
}

/* One envelope of the file; all have to be signed, one has to be about the artifact. */
static enum status check_line(const char *name, const char *line, size_t bytes,
                              const struct id *key, const struct listing *listing,
                              struct value *statement, bool *is_about_it, struct err *why,
                              struct err *err)
{
    AUTO(buf_fini) struct buf payload = buf_init(0);
    TRY(dsse_open(name, line, bytes, PROVENANCE_PAYLOAD_TYPE, key->bytes, &payload, err));
    TRY(json_parse(name, (const char *)payload.bytes, payload.count, listing->arena, statement,
                   err));
    enum status status = provenance_check(
        name, statement, (const struct provenance_file *)(const void *)listing->files.bytes,
        listing->files.count / sizeof(struct provenance_file), why);
    *is_about_it = status == OK;
    return status == E_INVALID ? err_set(err, status, "%s", why->text) : OK;
}

static enum status check_lines(const char *file, const struct buf *text, const struct id *key,
                               const struct listing *listing, struct value *out, struct err *err)
{
    const char *at = (const char *)text->bytes, *end = at + text->count;
    struct err first = {.text = "the file is empty"},
               why = {0}; /* the artifact's own comes first */
    bool is_found = false;
    for (uint32_t number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t bytes = (size_t)((newline ? newline : end) - at);
        struct value statement;
        bool is_about_it = false;
        const char *name = arena_format(listing->arena, "%s:%u", file, number);
        if (bytes)
            TRY(check_line(name, at, bytes, key, listing, &statement, &is_about_it, &why, err));
        if (is_about_it && !is_found)
            *out = statement;
        is_found = is_found || is_about_it;
        if (number == 1 && bytes)
            first = why;
        at += bytes + 1;
    }
    return is_found ? OK
                    : err_set(err, E_CORRUPT, "%s is not attested: %s", listing->root, first.text);
}

enum status local_verify_attestation(struct app *app, const char *file, const char *artifact,
                                     const char *key, struct arena *arena, struct value *out,
                                     struct err *err)
{
    (void)app;
    struct id public_key;
    AUTO(buf_fini) struct buf text = buf_init(ATTESTATION_BYTES_MAX);
    AUTO(store_close) struct store *hasher = NULL;
    TRY(public_key_parse("--key", key, &public_key, err));
    TRY(fs_read(file, &text, err));
    TRY(store_open("null:", &hasher, err));
    struct listing listing = {arena, artifact, hasher, buf_init(0)};
    enum status status = list_artifact(&listing, err);
    if (status == OK)
        status = check_lines(file, &text, &public_key, &listing, out, err);
    buf_fini(&listing.files);
    return status;
}
