/* Where an artifact comes from, as others' tools read it: an in-toto Statement whose predicate is
 * SLSA provenance v1. Pure: a record in, a document out.
 *
 *   subject               the artifact; of a folder, every file of it too
 *   buildDefinition       the task: kind, version, parameters, outputs (externalParameters), and
 *                         every input by the id of its bytes (resolvedDependencies)
 *   runDetails            who did it (the worker's public key), in which run, when; the log
 *
 * Digests: "blake2b256" is the blob id, `b2sum -l 256` of the file. "penstockTree" is a folder's
 * tree id (PROTOCOL.md §3): for people; what a verifier compares are its files.
 *
 * Source: in-toto Attestation Framework v1.0 (spec/v1/statement.md, resource_descriptor.md);
 * SLSA v1.0 provenance (slsa.dev/spec/v1.0/provenance). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/record.h"
#include "proto/value.h"

#define PROVENANCE_PAYLOAD_TYPE "application/vnd.in-toto+json"

struct provenance_file {
    const char *path; /* within the folder */
    struct id blob;
};

struct provenance {
    const char *name; /* of the artifact, for people: "train[model=mlp].model" */
    struct artifact artifact;
    const struct provenance_file *files; /* of an artifact that is a folder */
    size_t file_count;
    const struct record *record;
    struct id task;
    const uint8_t *public_key; /* that the record was signed with; NULL: not signed */
    const char *run;           /* NULL: not known */
    const struct value
        *sources; /* list of {"name", "location", "id"}: what bytes from outside are */
};

/* The statement, in memory of `arena`; borrows the provenance's texts. Errors: E_CORRUPT the
 * record's action is none. */
MUST_USE enum status provenance_statement(const struct provenance *provenance, struct arena *arena,
                                          struct value *out, struct err *err);
/* Reading one back: is it about exactly these bytes? `files` are all of a folder, sorted by path;
 * or one without a path: the artifact itself. `name` is the statement's, for messages. Errors:
 * E_INVALID not such a statement; E_CORRUPT it is about other bytes; the first that differs. */
MUST_USE enum status provenance_check(const char *name, const struct value *statement,
                                      const struct provenance_file *files, size_t file_count,
                                      struct err *err);
