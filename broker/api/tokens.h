/* Who may ask: two tokens, each a file in HOME that only its owner can read, made at the first
 * start; whoever wants a token of his own writes it there. Read once, at start. Never logged.
 * Source: RFC 6750 (bearer tokens). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"

enum api_role { ROLE_NONE, ROLE_READ, ROLE_WRITE };

struct tokens;

/* Errors: E_INVALID a file that holds no token (16 … 256 printable characters); E_DENIED others
 * can read it; E_IO. */
MUST_USE enum status tokens_open(const char *home, struct tokens **out, struct err *err);
void tokens_free(struct tokens *tokens);
/* What "Bearer TOKEN" (the header's value; NULL: there is none) allows. Takes the same time
 * whatever the token is. */
enum api_role tokens_role(const struct tokens *tokens, const char *authorization);

DEFINE_AUTO(struct tokens *, tokens_free)
