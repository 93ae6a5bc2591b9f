/* Where artifacts live: content-addressed blobs, one contract for every back end (a folder, memory,
 * S3; `fault` wraps any of them and fails on demand). Keys are `blobs/ab/cd…` and so on;
 * exclusivity is never asked of a store, since the same key always holds the same bytes.
 *
 * Durability: after store_put the blob survives kill -9 of any process; after store_flush also
 * power loss. A torn blob fails its hash when read and is made again: every read re-hashes. What
 * does not match its id is moved to `quarantine/` after a second read past any cache, and reported
 * as E_CORRUPT.
 *
 * Beside them are named objects, for what is not content-addressed: segments of the journal
 * ("journal/…"), records, checkpoints. Putting one replaces it, whole or not at all; nothing tells
 * two writers of one key apart, so a key has one writer.
 *
 * A store is used by one thread at a time. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/id.h"

struct store;

/* `url`: a folder ("/x", "./x", "file:///x", created when absent), "s3://bucket/prefix"
 * (s3_config.h says what else is read from the environment; nothing is asked of the server yet),
 * "mem:" (empty, private to this handle), or for tests "fault+URL?…" (store_fault.c). Errors:
 * E_INVALID an unknown scheme or a wrong setting; E_IO, E_DENIED. */
MUST_USE enum status store_open(const char *url, struct store **out, struct err *err);
void store_close(struct store *store);

/* Is it on another machine, so that everything takes its time and may have to wait? */
bool store_is_remote(const struct store *store);
/* How long an operation waits for a server that does not answer, or is too busy, before it fails
 * with E_UNREACHABLE; STORE_PATIENCE_MS unless set. */
void store_set_patience(struct store *store, uint32_t ms);

/* Puts, lists, reads and removes a small object: may we, and is it there? For who looks before work
 * begins. */
MUST_USE enum status store_probe(struct store *store, struct err *err);
/* What works, but had better be set right (a region that the server corrected); "" if nothing. */
const char *store_advice(const struct store *store);

/* Every operation on a store in S3 may also fail with E_UNREACHABLE (after its patience),
 * E_DENIED (a wrong key, bucket, region, certificate or clock, or no permission; the text says
 * which, and the mend) or E_INVALID (a setting). */

/* Idempotent; a blob that is there already costs its hash alone. `*id` and `*bytes` are results.
 * Errors: E_FULL; E_CONFLICT the file changed meanwhile; E_INVALID not a regular file; E_NOTFOUND,
 * E_DENIED, E_IO. Nothing is left half-written. */
MUST_USE enum status store_put_file(struct store *store, const char *path, struct id *id,
                                    uint64_t *bytes, struct err *err);
MUST_USE enum status store_put(struct store *store, const void *data, size_t bytes, struct id *id,
                               struct err *err);
/* Makes the new file `path`, at once and whole (a temporary name beside it, then a rename): neither
 * a failure nor kill -9 leaves a part there. Errors: E_NOTFOUND absent; E_CORRUPT bytes did not
 * match (quarantined); E_CONFLICT `path` exists; E_FULL, E_IO. */
MUST_USE enum status store_get_file(struct store *store, const struct id *id, const char *path,
                                    struct err *err);
/* Appends to `out`, verified; on failure `out` is as before. Errors: as above; E_LIMIT past `out`'s
 * maximum. */
MUST_USE enum status store_get(struct store *store, const struct id *id, struct buf *out,
                               struct err *err);
/* Batched: has[i] for ids[i], presence and not bytes. */
MUST_USE enum status store_has(struct store *store, const struct id *ids, size_t count, bool *has,
                               struct err *err);
/* What a listing tells of a blob or a manifest. A put of one that is there already and older than
 * STORE_FRESH_SECONDS makes it new again, so that who removes old ones does not take it away. */
struct store_item {
    struct id id;
    bool is_manifest;
    uint64_t bytes;
    int64_t modified_s; /* since 1970, by the store's clock */
};
/* Calls `visit` for every blob and every manifest, in no order. */
MUST_USE enum status store_list(struct store *store,
                                enum status (*visit)(void *context, const struct store_item *item,
                                                     struct err *err),
                                void *context, struct err *err);
/* As store_has, for those who rely on what is there without putting it (an upload that is spared):
 * what is old becomes new. A store that can't make it new says it is not there, so that it is put
 * again. */
MUST_USE enum status store_renew(struct store *store, const struct id *ids, size_t count,
                                 bool is_manifest, bool *has, struct err *err);
/* Absent is OK. */
MUST_USE enum status store_remove(struct store *store, const struct id *id, struct err *err);
MUST_USE enum status store_remove_manifest(struct store *store, const struct id *id,
                                           struct err *err);
/* Removes it unless it was put or renewed at `before_s` (store_item's clock) or later, also while
 * this goes on (a folder; S3 knows no such removal: what is put between its look and its removal is
 * lost, some milliseconds). Absent is OK, and no removal. */
MUST_USE enum status store_remove_old(struct store *store, const struct id *id, bool is_manifest,
                                      int64_t before_s, bool *is_removed, struct err *err);
/* Reads and hashes it and keeps nothing. Errors: E_NOTFOUND; E_CORRUPT its bytes are wrong, also
 * when read a second time; it stays where it is. */
MUST_USE enum status store_check(struct store *store, const struct id *id, bool is_manifest,
                                 struct err *err);
/* Moves a blob that failed its hash out of the way. */
MUST_USE enum status store_quarantine(struct store *store, const struct id *id, struct err *err);
MUST_USE enum status store_quarantine_manifest(struct store *store, const struct id *id,
                                               struct err *err);
/* What lies about that no key names: in quarantine, and of puts that were cut short, from before
 * `before_s`. Counts it, and removes it if `removes`. */
struct store_leavings {
    uint64_t count, bytes;
};
MUST_USE enum status store_sweep(struct store *store, int64_t before_s, bool removes,
                                 struct store_leavings *out, struct err *err);
/* All puts so far survive power loss when it returns. */
MUST_USE enum status store_flush(struct store *store, struct err *err);
/* Manifests of trees live beside the blobs, under their tree id; common/store/tree.h is what uses
 * them. */
MUST_USE enum status store_put_manifest(struct store *store, const void *data, size_t bytes,
                                        struct id *id, struct err *err);
MUST_USE enum status store_get_manifest(struct store *store, const struct id *id, struct buf *out,
                                        struct err *err);
/* The same, but one that does not match its id stays where it is. */
MUST_USE enum status store_peek_manifest(struct store *store, const struct id *id, struct buf *out,
                                         struct err *err);
const char *store_url(const struct store *store);

/* ---- named objects ---- */

/* A key is two parts or more with '/' between, of letters, digits, '.', '_' and '-', up to
 * OBJECT_KEY_BYTES_MAX; the first part is none of the store's own (blobs, trees, quarantine, tmp);
 * no key is the folder of another. Anything else is E_INVALID. */

/* Errors: E_FULL, E_DENIED, E_IO, E_UNREACHABLE. */
MUST_USE enum status store_put_object(struct store *store, const char *key, const void *data,
                                      size_t bytes, struct err *err);
/* Appends to `out`; on failure `out` is as before. Errors: E_NOTFOUND; E_LIMIT past `out`'s
 * maximum. */
MUST_USE enum status store_get_object(struct store *store, const char *key, struct buf *out,
                                      struct err *err);
struct store_object {
    const char *key; /* valid during the call */
    uint64_t bytes;
    int64_t modified_s; /* since 1970, by the store's clock */
};
/* Calls `visit` for every object whose key begins with `prefix` ("journal/", "journal/7-"), in
 * ascending order of keys (by bytes). */
MUST_USE enum status store_list_objects(struct store *store, const char *prefix,
                                        enum status (*visit)(void *context,
                                                             const struct store_object *object,
                                                             struct err *err),
                                        void *context, struct err *err);
/* Only those behind the key `after`, which need not be there: what lies before it costs nothing in
 * S3. */
struct store_range {
    const char *prefix, *after; /* NULL: all */
};
MUST_USE enum status store_list_range(struct store *store, const struct store_range *range,
                                      enum status (*visit)(void *context,
                                                           const struct store_object *object,
                                                           struct err *err),
                                      void *context, struct err *err);
/* Absent is OK. */
MUST_USE enum status store_remove_object(struct store *store, const char *key, struct err *err);

/* ---- presigned URLs ---- */

struct store_presign {
    bool is_put; /* else GET */
    struct id id;
    bool is_manifest;
    uint32_t seconds; /* 1 … PRESIGN_SECONDS_MAX: how long it works */
};
/* A URL with which anybody may get or put these bytes, with no key of ours, appended to `url`. What
 * is put that way counts once it was read and matched its id. Errors: E_UNSUPPORTED a store
 * without URLs (a folder); E_INVALID `seconds`. Made with keys that end, it works no longer than
 * they do; so says the URL, and the log (store.url_ends) if that is
 * less than half. */
MUST_USE enum status store_presign(struct store *store, const struct store_presign *presign,
                                   struct buf *url, struct err *err);

static inline void store_close_auto(struct store **store)
{
    if (*store)
        store_close(*store);
}
