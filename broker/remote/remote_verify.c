/* An artifact of a served broker, verified on this side: every byte comes here and is hashed,
 * every signed frame is checked here, and a record counts where it has made what it is asked for.
 * What a broker could still do is to say that a name means another task, or that a task has
 * another one's record (its specification is not here to compare), to keep silent about who made
 * something ("it came from outside"), or to name workers of its own (`--signer`). */
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "broker/app/verifying.h"
#include "broker/remote/remote.h"
#include "common/base/id_map.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/store/tree.h"

struct maker {
    struct id artifact, task;
    bool is_there; /* else it came from outside */
};

struct there {
    struct remote *remote;
    struct maker *makers;
    uint32_t count, capacity;
    struct id_map by_artifact;
};

static const struct id *artifact_at(const void *context, uint32_t index)
{
    return &((const struct there *)context)->makers[index].artifact;
}

/* ---- bytes ---- */

static enum status hash_piece(void *context, const void *piece, size_t bytes, struct err *err)
{
    (void)err;
    hash_update(context, piece, bytes);
    return OK;
}

static enum status check_blob(struct remote *remote, const struct id *id, struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    char hex[ID_HEX_BYTES];
    struct hasher hasher;
    struct id found;
    struct remote_sink sink = {.write = hash_piece, .context = &hasher};
    hash_init(&hasher, NULL);
    buf_format(&path, "/v1/blobs/%s", id_hex(id, hex));
    TRY(remote_get(remote, buf_text(&path), &sink, err));
    hash_final(&hasher, &found);
    return id_equal(&found, id)
               ? OK
               : err_set(err, E_CORRUPT, "blob %s: what the broker sent has another id", hex);
}

static enum status check_tree(struct remote *remote, const struct id *id, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(store_close) struct store *hasher = NULL;
    struct tree_entry *entries;
    size_t count;
    TRY(store_open("null:", &hasher, err));
    TRY(remote_list_tree(remote, id, hasher, &arena, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        if (check_blob(remote, &entries[i].blob, err) != OK)
            return err_prefix(err, "file %.*s", (int)entries[i].path_bytes, entries[i].path);
    return OK;
}

static enum status check_bytes(void *context, const struct artifact *artifact, struct err *err)
{
    struct remote *remote = ((struct there *)context)->remote;
    return artifact->is_tree ? check_tree(remote, &artifact->id, err)
                             : check_blob(remote, &artifact->id, err);
}

/* ---- signatures ---- */

static enum status get_proof(void *context, const struct id *task, struct proof *out,
                             struct err *err)
{
    char hex[ID_HEX_BYTES];
    TRY(app_proof(&((struct there *)context)->remote->base, id_hex(task, hex), &out->kept, err));
    return proof_check(out, task, err);
}

/* ---- who made it ---- */

static bool read_id(const struct value *map, const char *key, struct id *out)
{
    const struct value *value = map->type == VALUE_MAP ? value_get(map, key) : NULL;
    return value && value->type == VALUE_STRING &&
           id_parse(value->text, value->count, out, NULL) == OK;
}

/* `made_by` may be but a word: it is told elsewhere. */
static void learn_maker(struct there *there, const struct value *artifact,
                        const struct value *made_by)
{
    struct maker maker = {0};
    maker.is_there = made_by && read_id(made_by, "task", &maker.task);
    if (!read_id(artifact, "id", &maker.artifact) || (made_by && !maker.is_there) ||
        id_map_get(&there->by_artifact, &maker.artifact) != ID_MAP_NONE)
        return;
    if (there->count == there->capacity) {
        there->capacity = there->capacity ? 2 * there->capacity : 64;
        there->makers = mem_resize(there->makers, there->capacity * sizeof *there->makers);
    }
    there->makers[there->count] = maker;
    id_map_put(&there->by_artifact, &maker.artifact, there->count++);
}

/* Of a lineage: {"id", "made_by": {"task", "inputs": {name: this or a list of it}}}. Its depth is
 * bounded by the JSON reader's. */
static void learn(struct there *there, const struct value *value)
{
    const struct value *made_by = value->type == VALUE_MAP ? value_get(value, "made_by") : NULL;
    const struct value *inputs =
        made_by && made_by->type == VALUE_MAP ? value_get(made_by, "inputs") : NULL;
    for (uint32_t i = 0; value->type == VALUE_ARRAY && i < value->count; i++)
        learn(there, &value->items[i]);
    if (value->type == VALUE_MAP)
        learn_maker(there, value, made_by);
    for (uint32_t i = 0; inputs && inputs->type == VALUE_MAP && i < inputs->count; i++)
        learn(there, &inputs->items[2 * i + 1]);
}

/* A lineage tells of much at once; what it does not, since it is too deep, is asked for itself. */
static enum status find_maker(void *context, const struct id *artifact, bool *is_made,
                              struct id *task, struct err *err)
{
    struct there *there = context;
    AUTO(arena_fini) struct arena arena = {0};
    struct value answer;
    char hex[ID_HEX_BYTES];
    uint32_t index = id_map_get(&there->by_artifact, artifact);
    *is_made = false;
    if (index == ID_MAP_NONE) {
        TRY(app_lineage(&there->remote->base, id_hex(artifact, hex), &arena, &answer, err));
        const struct value *told = answer.type == VALUE_MAP ? value_get(&answer, "artifact") : NULL;
        if (told)
            learn(there, told);
        index = id_map_get(&there->by_artifact, artifact);
    }
    *is_made = index != ID_MAP_NONE && there->makers[index].is_there;
    if (*is_made)
        *task = there->makers[index].task;
    return OK;
}

/* ---- the whole ---- */

enum status remote_verify(struct app *app, const char *ref, const struct app_verify *options,
                          struct arena *arena, struct value *out, struct err *err)
{
    struct there there = {.remote = remote_of(app)};
    const struct verify_source source = {
        .proof = get_proof, .bytes = check_bytes, .maker = find_maker, .context = &there};
    struct verify_subject subject = {.name = ref};
    struct value about;
    TRY(app_artifact(app, ref, arena, &about, err));
    const struct value *tree = about.type == VALUE_MAP ? value_get(&about, "tree") : NULL;
    if (!read_id(&about, "id", &subject.artifact.id))
        return err_set(err, E_PROTOCOL, "%s: the broker's answer has no id", ref);
    subject.artifact.is_tree = tree && tree->type == VALUE_BOOL && tree->boolean;
    subject.has_task = read_id(&about, "task", &subject.task);
    there.by_artifact = id_map_init(artifact_at, &there);
    enum status status = verify_subject(&source, &subject, options, arena, out, err);
    id_map_fini(&there.by_artifact);
    mem_free(there.makers);
    return status;
}

/* ---- what a record rests on ---- */

static enum status write_frame(void *context, const void *piece, size_t bytes, struct err *err)
{
    struct app_proof *proof = context;
    buf_put(&proof->frame, piece, bytes);
    return buf_check(&proof->frame, "a signed frame", err);
}

static void read_headers(void *context, const struct http_call *call)
{
    struct app_proof *proof = context;
    const char *key = http_header(call, "x-proof-key"),
               *offset = http_header(call, "x-proof-offset"),
               *bytes = http_header(call, "x-proof-bytes");
    struct id public_key;
    if (!key || !offset || !bytes || id_parse(key, strlen(key), &public_key, NULL) != OK)
        return; /* then no signature is good */
    memcpy(proof->public_key, public_key.bytes, sizeof proof->public_key);
    proof->offset = (uint32_t)strtoul(offset, NULL, 10);
    proof->bytes = (uint32_t)strtoul(bytes, NULL, 10);
}

enum status remote_proof(struct app *app, const char *task, struct app_proof *out, struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    struct remote_sink sink = {.write = write_frame, .headers = read_headers, .context = out};
    *out = (struct app_proof){.frame = buf_init(FRAME_BYTES_MAX)};
    buf_put_text(&path, "/v1/proofs/");
    remote_put_escaped(&path, task);
    return remote_get(remote_of(app), buf_text(&path), &sink, err);
}
