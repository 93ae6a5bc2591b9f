/* The golden vectors of proto/vectors/: what the code makes of each input is what the file says.
 * They never change within a protocol version; tests/golden/ recomputes them in Python from
 * PROTOCOL.md.
 *
 * `test_vectors fill FILE` prints the file with its results filled in: for new vectors, looked over
 * by a person before they are committed. The test itself writes nothing. */
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "common/base/doc.h"
#include "common/crypto/hash.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "proto/msg.h"
#include "tests/unit/proto/support.h"

enum { ROOM = 64 << 10 };

/* Fills `results` (a map) with what the code makes of one vector. */
typedef void compute_fn(struct arena *arena, const struct value *vector, struct value *results);

static void put_hex(struct arena *arena, struct value *results, const char *key,
                    const uint8_t *bytes, size_t count)
{
    doc_put(arena, results, key, value_string(to_hex(arena, bytes, count)));
}

static void put_hash(struct arena *arena, struct value *results, const char *key,
                     const char *person, const uint8_t *bytes, size_t count)
{
    struct id id;
    hash_bytes(person, bytes, count, &id);
    doc_put(arena, results, key, doc_id(arena, &id));
}

/* ---- fields of vectors ---- */

static const struct value *field(const struct value *map, const char *key)
{
    const struct value *value = value_get(map, key);
    if (!value)
        fail_msg("a vector lacks \"%s\"", key);
    return value;
}

static uint64_t number(const struct value *map, const char *key)
{
    const struct value *value = field(map, key);
    assert_int_equal(value->type, VALUE_INT);
    return (uint64_t)value->integer;
}

static struct id id_of(const struct value *value)
{
    struct id id;
    assert_int_equal(value->type, VALUE_BINARY);
    assert_int_equal(value->count, ID_BYTES);
    memcpy(id.bytes, value->binary, ID_BYTES);
    return id;
}

static struct artifact artifact_of(const struct value *list)
{
    assert_int_equal(list->count, 3);
    return (struct artifact){id_of(&list->items[0]), (uint64_t)list->items[1].integer,
                             list->items[2].boolean};
}

static struct mp_view encoded(struct arena *arena, const struct value *value)
{
    struct mp_view view;
    view.bytes = encode_value(arena, value, &view.count);
    return view;
}

/* ---- blobs, values, trees ---- */

static void compute_blob(struct arena *arena, const struct value *vector, struct value *results)
{
    const struct value *content = field(vector, "content");
    put_hash(arena, results, "id", NULL, content->binary, content->count);
}

static void compute_value(struct arena *arena, const struct value *vector, struct value *results)
{
    struct mp_view view = encoded(arena, field(vector, "value"));
    put_hex(arena, results, "bytes", view.bytes, view.count);
}

static void compute_tree(struct arena *arena, const struct value *vector, struct value *results)
{
    const struct value *list = field(vector, "entries");
    struct tree_entry *entries = arena_alloc(arena, (list->count + 1) * sizeof *entries);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct value *item = list->items[i].items;
        entries[i] = (struct tree_entry){.path = item[0].text,
                                         .path_bytes = item[0].count,
                                         .is_executable = item[1].boolean,
                                         .bytes = (uint64_t)item[2].integer,
                                         .blob = id_of(&item[3])};
    }
    struct store *store;
    assert_int_equal(store_open("mem:", &store, NULL), OK);
    struct artifact tree;
    assert_int_equal(tree_put_entries(store, entries, list->count, &tree, NULL), OK);
    AUTO(buf_fini) struct buf manifest = buf_init(0);
    assert_int_equal(store_get_manifest(store, &tree.id, &manifest, NULL), OK);
    put_hex(arena, results, "bytes", manifest.bytes, manifest.count);
    doc_put(arena, results, "id", doc_id(arena, &tree.id));
    store_close(store);
}

/* ---- tasks and records ---- */

static void compute_task(struct arena *arena, const struct value *vector, struct value *results)
{
    struct mp_view bytes = encoded(arena, field(vector, "spec"));
    const struct value *list = field(vector, "resolved");
    struct artifact *resolved = arena_alloc(arena, (list->count + 1) * sizeof *resolved);
    for (uint32_t i = 0; i < list->count; i++)
        resolved[i] = artifact_of(&list->items[i]);
    struct task_spec spec;
    struct err err = {0};
    if (task_spec_parse(bytes.bytes, bytes.count, &spec, &err) != OK)
        fail_msg("%s", err.text);
    size_t count = task_spec_action(&spec, resolved, list->count, NULL, 0);
    assert_true(count > 0);
    uint8_t *action = arena_alloc(arena, count);
    assert_int_equal(task_spec_action(&spec, resolved, list->count, action, count), count);
    put_hex(arena, results, "bytes", bytes.bytes, bytes.count);
    put_hash(arena, results, "task_id", PERSON_TASK, bytes.bytes, bytes.count);
    put_hex(arena, results, "action", action, count);
    put_hash(arena, results, "action_key", PERSON_ACTION, action, count);
}

/* Written by record_encode from its fields: the same as the document's canonical bytes. */
static void compute_record(struct arena *arena, const struct value *vector, struct value *results)
{
    const struct value *document = field(vector, "record");
    struct mp_view bytes = encoded(arena, document);
    struct record record;
    struct record_output outputs[8];
    struct err err = {0};
    if (record_parse(bytes.bytes, bytes.count, &record, &err) != OK)
        fail_msg("%s", err.text);
    size_t at = 0, n = 0;
    while (record_next_output(&record, &at, &outputs[n]))
        n++;
    uint8_t *out = arena_alloc(arena, bytes.count);
    assert_int_equal(record_encode(&record, outputs, out, bytes.count), bytes.count);
    put_hex(arena, results, "bytes", out, bytes.count);
}

/* ---- messages ---- */

static void write_hello(struct arena *arena, const struct value *m, struct mp_writer *w)
{
    struct hello hello = {.protocol = (uint32_t)number(m, "protocol"),
                          .name = field(m, "name")->text,
                          .name_bytes = field(m, "name")->count,
                          .slots = (uint32_t)number(m, "slots"),
                          .cpu_hundredths = (uint32_t)number(m, "cpu_hundredths"),
                          .memory_bytes = number(m, "memory_bytes"),
                          .epoch = number(m, "epoch"),
                          .kinds = encoded(arena, field(m, "kinds")),
                          .labels = encoded(arena, field(m, "labels")),
                          .resources = encoded(arena, field(m, "resources")),
                          .running = encoded(arena, field(m, "running"))};
    memcpy(hello.instance, field(m, "instance")->binary, INSTANCE_BYTES);
    memcpy(hello.public_key, field(m, "public_key")->binary, PUBLIC_KEY_BYTES);
    msg_write_hello(w, &hello);
    struct hello back;
    assert_int_equal(msg_decode_hello(w->out, w->need, &back, NULL), OK);
}

static void write_welcome(struct arena *arena, const struct value *m, struct mp_writer *w)
{
    (void)arena;
    struct welcome welcome = {.epoch = number(m, "epoch"),
                              .lease_ms = (uint32_t)number(m, "lease_ms"),
                              .credit = (uint32_t)number(m, "credit")};
    msg_write_welcome(w, &welcome);
}

static void write_refused(struct arena *arena, const struct value *m, struct mp_writer *w)
{
    (void)arena;
    struct refused refused = {.code = (enum status)number(m, "code"),
                              .reason = field(m, "reason")->text,
                              .reason_bytes = field(m, "reason")->count};
    msg_write_refused(w, &refused);
}

static void write_not_leader(struct arena *arena, const struct value *m, struct mp_writer *w)
{
    (void)arena;
    struct not_leader not_leader = {.epoch = number(m, "epoch"),
                                    .endpoint = field(m, "endpoint")->text,
                                    .endpoint_bytes = field(m, "endpoint")->count};
    msg_write_not_leader(w, &not_leader);
}

static void write_tasks(struct arena *arena, const struct value *m, struct mp_writer *w)
{
    const struct value *tasks = field(m, "tasks");
    msg_write_batch_head(w, MSG_TASKS, tasks->count);
    for (uint32_t i = 0; i < tasks->count; i++) {
        const struct value *t = &tasks->items[i];
        struct mp_view spec = encoded(arena, field(t, "spec"));
        struct mp_view inputs = encoded(arena, field(t, "inputs"));
        struct task_msg task = {
            .attempt = {id_of(field(t, "task")), (uint32_t)number(t, "attempt")},
            .spec = spec.bytes,
            .spec_bytes = spec.count,
            .inputs = inputs.bytes,
            .inputs_bytes = inputs.count,
            .input_count = field(t, "inputs")->count,
            .priority = (int32_t)number(t, "priority"),
            .timeout_ms = (uint32_t)number(t, "timeout_ms"),
            .memory_bytes = number(t, "memory_bytes"),
            .cpu_hundredths = (uint32_t)number(t, "cpu_hundredths"),
            .resources = encoded(arena, field(t, "resources"))};
        msg_write_task(w, &task);
    }
}

static void write_progress(struct arena *arena, const struct value *m, struct mp_writer *w)
{
    struct progress_msg progress = {
        .attempt = {id_of(field(m, "task")), (uint32_t)number(m, "attempt")},
        .step = number(m, "step"),
        .total = number(m, "total"),
        .metrics = encoded(arena, field(m, "metrics"))};
    msg_write_progress(w, &progress);
}

static void write_ack(struct arena *arena, const struct value *m, struct mp_writer *w)
{
    (void)arena;
    const struct value *list = field(m, "sequences");
    msg_write_batch_head(w, MSG_ACK, list->count);
    for (uint32_t i = 0; i < list->count; i++)
        mp_write_uint(w, (uint64_t)list->items[i].integer);
}

static void write_attempts(const struct value *m, enum msg_type type, struct mp_writer *w)
{
    const struct value *list = field(m, "attempts");
    msg_write_batch_head(w, type, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct value *pair = list->items[i].items;
        struct attempt attempt = {id_of(&pair[0]), (uint32_t)pair[1].integer};
        msg_write_attempt(w, &attempt);
    }
}

static void write_result(struct arena *arena, const struct value *r, struct mp_writer *w)
{
    struct result_msg result = {
        .attempt = {id_of(field(r, "task")), (uint32_t)number(r, "attempt")},
        .code = (enum status)number(r, "code")};
    if (result.code == OK) {
        struct mp_view record = encoded(arena, field(r, "record"));
        result.record = record.bytes;
        result.record_bytes = record.count;
    } else {
        const struct value *log = field(r, "log"), *lost = field(r, "lost");
        result.text = field(r, "text")->text;
        result.text_bytes = field(r, "text")->count;
        result.has_log = log->type != VALUE_NIL;
        if (result.has_log)
            result.log = artifact_of(log);
        struct mp_writer ids = mp_writer(arena_alloc(arena, ROOM), ROOM);
        for (uint32_t i = 0; i < lost->count; i++) {
            struct id id = id_of(&lost->items[i]);
            mp_write_id(&ids, &id);
        }
        result.lost = ids.out;
        result.lost_bytes = ids.need;
        result.lost_count = lost->count;
    }
    msg_write_result(w, &result);
}

/* The signature is the vector's (tests/golden makes it from the seed): here it is verified. */
static void write_results(struct arena *arena, const struct value *m, struct mp_writer *w,
                          struct value *results)
{
    const struct value *list = field(m, "results"), *signature = field(m, "signature");
    struct mp_writer body = mp_writer(arena_alloc(arena, ROOM), ROOM);
    mp_write_array(&body, list->count);
    for (uint32_t i = 0; i < list->count; i++)
        write_result(arena, &list->items[i], &body);
    assert_false(mp_writer_is_full(&body));
    struct id digest;
    hash_bytes(PERSON_FRAME, body.out, body.need, &digest);
    put_hex(arena, results, "body", body.out, body.need);
    doc_put(arena, results, "digest", doc_id(arena, &digest));
    assert_int_equal(signature->count, SIGNATURE_BYTES);
    assert_true(sign_verify(field(m, "public_key")->binary, &digest, signature->binary));
    struct results_msg message = {.sequence = number(m, "sequence"),
                                  .signature = signature->binary,
                                  .body = body.out,
                                  .body_bytes = body.need};
    msg_write_results(w, &message);
}

static void compute_message(struct arena *arena, const struct value *vector, struct value *results)
{
    static const struct {
        enum msg_type type;
        const char *name;
        void (*write)(struct arena *arena, const struct value *m, struct mp_writer *w);
    } rows[] = {{MSG_HELLO, "HELLO", write_hello},
                {MSG_WELCOME, "WELCOME", write_welcome},
                {MSG_REFUSED, "REFUSED", write_refused},
                {MSG_TASKS, "TASKS", write_tasks},
                {MSG_STARTED, "STARTED", NULL},
                {MSG_PROGRESS, "PROGRESS", write_progress},
                {MSG_RESULTS, "RESULTS", NULL},
                {MSG_ACK, "ACK", write_ack},
                {MSG_REVOKE, "REVOKE", NULL},
                {MSG_KILL, "KILL", NULL},
                {MSG_HEARTBEAT, "HEARTBEAT", NULL},
                {MSG_GOODBYE, "GOODBYE", NULL},
                {MSG_REVOKED, "REVOKED", NULL},
                {MSG_NOT_LEADER, "NOT_LEADER", write_not_leader}};
    const struct value *message = field(vector, "message");
    struct mp_writer w = mp_writer(arena_alloc(arena, ROOM), ROOM);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!value_is_text(field(message, "type"), rows[i].name))
            continue;
        if (rows[i].type == MSG_RESULTS)
            write_results(arena, message, &w, results);
        else if (rows[i].write)
            rows[i].write(arena, message, &w);
        else
            write_attempts(message, rows[i].type, &w);
        assert_int_equal(msg_type(w.out, w.need), rows[i].type);
    }
    assert_true(w.need > 0 && !mp_writer_is_full(&w));
    put_hex(arena, results, "frame", w.out, w.need);
}

static void compute_key(struct arena *arena, const struct value *vector, struct value *results)
{
    struct id seed = id_of(field(vector, "seed"));
    uint8_t wire[WIRE_KEY_BYTES], theirs[WIRE_KEY_BYTES], secret[WIRE_KEY_BYTES];
    AUTO(signer_free) struct signer *signer = signer_of_seed(seed.bytes);
    signer_copy_wire(signer, wire, secret);
    assert_true(wire_public(signer_public(signer), theirs)); /* from the public half alone */
    assert_memory_equal(wire, theirs, sizeof wire);
    put_hex(arena, results, "public_key", signer_public(signer), SIGN_PUBLIC_BYTES);
    put_hex(arena, results, "wire_secret", secret, sizeof secret);
    put_hex(arena, results, "wire_public", wire, sizeof wire);
}

/* ---- files ---- */

static const struct {
    const char *file;
    compute_fn *compute;
    size_t least; /* vectors: none may vanish */
} files[] = {{"proto/vectors/blobs.json", compute_blob, 4},
             {"proto/vectors/values.json", compute_value, 20},
             {"proto/vectors/trees.json", compute_tree, 3},
             {"proto/vectors/tasks.json", compute_task, 5},
             {"proto/vectors/records.json", compute_record, 3},
             {"proto/vectors/messages.json", compute_message, 15},
             {"proto/vectors/keys.json", compute_key, 3}};

static struct value read_file(struct arena *arena, const char *path)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    struct err err = {0};
    struct value value = value_nil();
    if (fs_read(path, &text, &err) != OK ||
        json_parse(path, (const char *)text.bytes, text.count, arena, &value, &err) != OK)
        fail_msg("%s", err.text);
    return value;
}

static struct value compute(struct arena *arena, compute_fn *fn, const struct value *vector)
{
    struct value input = doc_copy(arena, vector), results = doc_map();
    make_binaries(arena, &input);
    fn(arena, &input, &results);
    return results;
}

static void check_file(const char *path, compute_fn *fn, size_t least)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document = read_file(&arena, path);
    const struct value *vectors = field(&document, "vectors");
    assert_true(vectors->count >= least);
    for (uint32_t i = 0; i < vectors->count; i++) {
        const struct value *vector = &vectors->items[i];
        struct value results = compute(&arena, fn, vector);
        assert_true(results.count > 0);
        for (uint32_t k = 0; k < results.count; k++) {
            const char *key = results.items[2 * k].text, *want = value_get_text(vector, key);
            if (!want || strcmp(want, results.items[2 * k + 1].text) != 0)
                fail_msg("%s: %s: %s is now %s", path, value_get_text(vector, "name"), key,
                         results.items[2 * k + 1].text);
        }
    }
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_file(files[i].file, files[i].compute, files[i].least);
}

static int fill(const char *path)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document = read_file(&arena, path), out = doc_map(), list = doc_list();
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        const struct value *vectors = field(&document, "vectors");
        for (uint32_t i = 0; !strcmp(files[f].file, path) && i < vectors->count; i++) {
            const struct value *vector = &vectors->items[i];
            struct value results = compute(&arena, files[f].compute, vector), filled = doc_map();
            for (uint32_t k = 0; k < vector->count; k++)
                if (!value_get(&results, vector->items[2 * k].text))
                    doc_put(&arena, &filled, vector->items[2 * k].text, vector->items[2 * k + 1]);
            for (uint32_t k = 0; k < results.count; k++)
                doc_put(&arena, &filled, results.items[2 * k].text, results.items[2 * k + 1]);
            doc_add(&arena, &list, filled);
        }
    }
    doc_put(&arena, &out, "about", *field(&document, "about"));
    doc_put(&arena, &out, "vectors", list);
    AUTO(buf_fini) struct buf text = buf_init(0);
    json_write(&out, 1, &text);
    puts(buf_text(&text));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "fill"))
        return fill(argv[2]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
