// SPDX-License-Identifier: Apache-2.0
#include "broker/view/provenance.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/doc.h"
#include "common/crypto/hash.h"

static const char statement_type[] = "https://in-toto.io/Statement/v1";
static const char predicate_type[] = "https://slsa.dev/provenance/v1";

static struct value digest(struct arena *arena, const struct id *id, bool is_tree)
{
    struct value map = doc_map();
    doc_put(arena, &map, is_tree ? "penstockTree" : "blake2b256", doc_id(arena, id));
    return map;
}

/* A ResourceDescriptor. */
static struct value *add_resource(struct arena *arena, struct value *list, struct value name,
                                  const struct artifact *artifact)
{
    struct value *resource = doc_add(arena, list, doc_map());
    doc_put(arena, resource, "name", name);
    doc_put(arena, resource, "digest", digest(arena, &artifact->id, artifact->is_tree));
    return resource;
}

static struct value subjects(const struct provenance *p, struct arena *arena)
{
    struct value list = doc_list();
    add_resource(arena, &list, value_string(p->name), &p->artifact);
    for (size_t i = 0; i < p->file_count; i++)
        add_resource(arena, &list, doc_format(arena, "%s/%s", p->name, p->files[i].path),
                     &(struct artifact){.id = p->files[i].blob});
    return list;
}

/* Bytes from outside say where they were found. */
static void name_source(const struct provenance *p, struct arena *arena, const struct id *id,
                        struct value *resource)
{
    char hex[ID_HEX_BYTES];
    id_hex(id, hex);
    for (uint32_t i = 0; p->sources && i < p->sources->count; i++) {
        const struct value *source = &p->sources->items[i];
        const char *known = value_get_text(source, "id"),
                   *location = value_get_text(source, "location");
        if (!known || !location || strcmp(known, hex) != 0)
            continue;
        struct value annotations = doc_map();
        doc_put(arena, &annotations, "source", value_string(location));
        doc_put(arena, resource, "annotations", annotations);
        return;
    }
}

static struct value dependencies(const struct provenance *p, struct arena *arena,
                                 const struct task_spec *action)
{
    struct value list = doc_list();
    struct task_input input;
    struct task_ref ref;
    for (size_t cursor = 0; task_spec_next_input(action, &cursor, &input);) {
        uint32_t number = 0;
        for (size_t at = 0; task_input_next_ref(&input, &at, &ref); number++) {
            struct value name =
                input.is_gather
                    ? doc_format(arena, "%.*s[%u]", (int)input.name_bytes, input.name, number)
                    : doc_text(arena, input.name, input.name_bytes);
            struct value *resource = add_resource(arena, &list, name, &ref.artifact);
            name_source(p, arena, &ref.artifact.id, resource);
        }
    }
    return list;
}

static struct value outputs(struct arena *arena, const struct task_spec *action)
{
    struct value list = doc_list();
    const char *name;
    uint32_t bytes;
    for (size_t cursor = 0; task_spec_next_output(action, &cursor, &name, &bytes);)
        doc_add(arena, &list, doc_text(arena, name, bytes));
    return list;
}

static enum status build_definition(const struct provenance *p, struct arena *arena,
                                    struct value *out, struct err *err)
{
    const struct record *record = p->record;
    struct task_spec action;
    struct value params = doc_map();
    if (task_spec_parse(record->action, record->action_bytes, &action, NULL) != OK ||
        (action.params && value_decode(action.params, action.params_bytes, arena_memory(arena),
                                       &params, NULL) != OK))
        return err_set(err, E_CORRUPT, "%s: its record has no action", p->name);
    struct id key;
    hash_bytes(PERSON_ACTION, record->action, record->action_bytes, &key);
    struct value external = doc_map(), internal = doc_map();
    doc_put(arena, &external, "kind", doc_text(arena, action.kind, action.kind_bytes));
    doc_put(arena, &external, "version", doc_text(arena, action.version, action.version_bytes));
    doc_put(arena, &external, "params", params);
    doc_put(arena, &external, "outputs", outputs(arena, &action));
    doc_put(arena, &internal, "task", doc_id(arena, &p->task));
    doc_put(arena, &internal, "action", doc_id(arena, &key));
    doc_put(arena, &internal, "attempt", value_int(record->attempt));
    *out = doc_map();
    doc_put(arena, out, "buildType", value_string("urn:penstock:task:v1"));
    doc_put(arena, out, "externalParameters", external);
    doc_put(arena, out, "internalParameters", internal);
    doc_put(arena, out, "resolvedDependencies", dependencies(p, arena, &action));
    return OK;
}

/* RFC 3339, in UTC; whole seconds, as in the specification's examples. */
static struct value timestamp(struct arena *arena, int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm utc;
    char text[32] = "";
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return doc_text(arena, text, strlen(text));
}

static struct value run_details(const struct provenance *p, struct arena *arena)
{
    const struct record *record = p->record;
    struct value builder = doc_map(), metadata = doc_map(), details = doc_map(),
                 byproducts = doc_list();
    if (p->public_key) {
        struct id key;
        memcpy(key.bytes, p->public_key, sizeof key.bytes);
        char hex[ID_HEX_BYTES];
        doc_put(arena, &builder, "id",
                doc_format(arena, "urn:penstock:worker:%s", id_hex(&key, hex)));
    } else {
        doc_put(arena, &builder, "id", value_string("urn:penstock:worker:unsigned"));
    }
    struct value version = doc_map(); /* of the thing that built it: which of its replicas */
    doc_put(arena, &version, "worker", doc_text(arena, record->worker, record->worker_bytes));
    doc_put(arena, &builder, "version", version);
    if (p->run)
        doc_put(arena, &metadata, "invocationId", value_string(p->run));
    doc_put(arena, &metadata, "startedOn", timestamp(arena, record->begun_us));
    doc_put(arena, &metadata, "finishedOn", timestamp(arena, record->begun_us + record->took_us));
    if (record->has_log)
        add_resource(arena, &byproducts, value_string("log"), &record->log);
    doc_put(arena, &details, "builder", builder);
    doc_put(arena, &details, "metadata", metadata);
    if (byproducts.count)
        doc_put(arena, &details, "byproducts", byproducts);
    return details;
}

enum status provenance_statement(const struct provenance *p, struct arena *arena, struct value *out,
                                 struct err *err)
{
    struct value definition;
    TRY(build_definition(p, arena, &definition, err));
    struct value predicate = doc_map();
    doc_put(arena, &predicate, "buildDefinition", definition);
    doc_put(arena, &predicate, "runDetails", run_details(p, arena));
    *out = doc_map();
    doc_put(arena, out, "_type", value_string(statement_type));
    doc_put(arena, out, "subject", subjects(p, arena));
    doc_put(arena, out, "predicateType", value_string(predicate_type));
    doc_put(arena, out, "predicate", predicate);
    return OK;
}

/* ---- reading one back ---- */

static const char *subject_digest(const struct value *subject, const char *algorithm)
{
    const struct value *known = subject->type == VALUE_MAP ? value_get(subject, "digest") : NULL;
    return known && known->type == VALUE_MAP ? value_get_text(known, algorithm) : NULL;
}

/* Is the subject the file of that path in the artifact? */
static bool is_named(const struct value *artifact, const struct value *subject, const char *path)
{
    const char *whole = artifact->type == VALUE_MAP ? value_get_text(artifact, "name") : NULL;
    const char *name = subject->type == VALUE_MAP ? value_get_text(subject, "name") : NULL;
    size_t bytes = whole ? strlen(whole) : 0;
    if (!whole || !name || strncmp(name, whole, bytes) != 0)
        return false;
    return path ? name[bytes] == '/' && strcmp(name + bytes + 1, path) == 0 : !name[bytes];
}

enum status provenance_check(const char *name, const struct value *statement,
                             const struct provenance_file *files, size_t file_count,
                             struct err *err)
{
    const struct value *subjects =
        statement->type == VALUE_MAP ? value_get(statement, "subject") : NULL;
    if (!subjects || subjects->type != VALUE_ARRAY || !subjects->count ||
        !value_is_text(value_get(statement, "_type"), statement_type) ||
        !value_is_text(value_get(statement, "predicateType"), predicate_type))
        return err_set(err, E_INVALID, "%s: not an in-toto Statement with SLSA provenance v1",
                       name);
    /* The artifact comes first; of a folder, its files behind it. */
    bool is_file = file_count == 1 && !files[0].path;
    const struct value *subject = subjects->items + (is_file ? 0 : 1);
    if (is_file ? subjects->count != 1 : subjects->count != file_count + 1)
        return err_set(err, E_CORRUPT, "%s: is about %u files, not %zu", name,
                       subjects->count > 1 ? subjects->count - 1 : 1, file_count);
    if (!is_file &&
        !subject_digest(subjects->items, "penstockTree")) /* an empty one has no files */
        return err_set(err, E_CORRUPT, "%s: is about a file, not a folder", name);
    for (size_t i = 0; i < file_count; i++, subject++) {
        char hex[ID_HEX_BYTES];
        const char *known = subject_digest(subject, "blake2b256"), *path = files[i].path;
        if (!is_named(subjects->items, subject, path))
            return err_set(err, E_CORRUPT, "%s: knows no file \"%s\"", name, path ? path : "");
        if (!known || strcmp(known, id_hex(&files[i].blob, hex)) != 0)
            return err_set(err, E_CORRUPT, "%s: %s%shas the digest %s there, not %s", name,
                           path ? path : "", path ? " " : "", known ? known : "none", hex);
    }
    return OK;
}
