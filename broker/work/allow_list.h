/* The workers that a broker admits: a text file with a line for each key,
 *
 *   <public key, 64 hex digits> <name>
 *
 * empty lines and those that begin with # aside. One key may be that of many instances; a name may
 * have several keys. Whoever changes the file replaces it whole. Each thread that needs the list
 * follows the file with a watch of its own. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>
#include <time.h>

#include "common/crypto/sign.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/limits.h"

struct allow_entry {
    struct id key;  /* Ed25519 */
    struct id wire; /* Curve25519, once derived */
    char name[NAME_BYTES_MAX + 1];
};

struct allow_list {
    struct allow_entry *items; /* as they stand in the file */
    uint32_t count;
    uint32_t *by_key, *by_wire; /* NULL: not derived */
};

/* Errors: E_NOTFOUND no such file; E_INVALID names file, line and value; E_LIMIT. */
MUST_USE enum status allow_list_read(const char *path, struct allow_list *out, struct err *err);
void allow_list_fini(struct allow_list *list);
/* Or NULL. */
const struct allow_entry *allow_list_find(const struct allow_list *list, const struct id *key);
const struct allow_entry *allow_list_find_wire(const struct allow_list *list,
                                               const struct id *wire);
/* Works out the keys of connections; those that `before` has are taken over. Errors: E_INVALID what
 * stands there is no key. */
MUST_USE enum status allow_list_derive(struct allow_list *list, const struct allow_list *before,
                                       struct err *err);
/* Adds a line, or takes those of a name or key (64 digits) away; flushed. Two at a time wait for
 * one another. Errors: add: E_CONFLICT the key or name is there; remove: E_NOTFOUND. */
MUST_USE enum status allow_list_add(const char *path, const struct id *key, const char *name,
                                    struct err *err);
MUST_USE enum status allow_list_remove(const char *path, const char *name_or_key, struct err *err);
/* An empty list, unless there is one. */
MUST_USE enum status allow_list_create(const char *path, struct err *err);

struct allow_watch {
    const char *path;       /* borrowed */
    struct allow_entry own; /* the broker's, which its own worker has: whatever the list says */
    bool needs_wire;
    struct allow_list list;
    struct timespec changed, modified; /* of the file as it was read */
    uint64_t device, inode, bytes;
    enum status failure; /* why it can't be read: the last list that could be holds */
};

/* Of `path` (borrowed), for the broker of this public key. */
struct allow_watch allow_watch_of(const char *path, const uint8_t own[SIGN_PUBLIC_BYTES]);
/* Has the list changed? A look costs a stat(). OK with *is_new where another list was read; a file
 * that can't be read is told once, and leaves the list as it was. */
MUST_USE enum status allow_watch_look(struct allow_watch *watch, bool *is_new, struct err *err);
/* Of the list as it was looked at last, or our own; or NULL. */
const struct allow_entry *allow_watch_find(const struct allow_watch *watch, const struct id *key);
const struct allow_entry *allow_watch_find_wire(const struct allow_watch *watch,
                                                const struct id *wire);

DEFINE_AUTO_VALUE(struct allow_list, allow_list_fini)
