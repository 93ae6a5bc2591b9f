/* A program's identity in a file: text of three lines, for one reader alone.
 *
 *   penstock identity 1
 *   public-key <64 hex digits>
 *   secret-key <64 hex digits>       the seed of the Ed25519 pair
 *
 * The file must be ours and nobody else's (mode 0600), or root's and readable by our group at most:
 * so Kubernetes mounts a Secret for a program that does not run as root. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/crypto/sign.h"

/* Errors: E_NOTFOUND; E_DENIED others can read it, or we can't; E_CORRUPT it is no identity. */
MUST_USE enum status identity_read(const char *path, struct signer **out, struct err *err);
/* Writes a new file, flushed, with its folder's entry. Errors: E_CONFLICT there is one already. */
MUST_USE enum status identity_create(const char *path, const struct signer *signer,
                                     struct err *err);
/* Into an open file; `name` is for messages. */
MUST_USE enum status identity_put(const struct signer *signer, int fd, const char *name,
                                  struct err *err);
/* A public key in text; `setting` ("--broker-key") is for messages. Errors: E_INVALID not 64 hex
 * digits, or not a key. */
MUST_USE enum status public_key_parse(const char *setting, const char *text, struct id *out,
                                      struct err *err);
