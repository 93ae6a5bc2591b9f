/* Asking for keys that end: STS with a web identity token, a container's or an instance's metadata.
 * Called by aws_credentials.c alone; every call asks anew. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#include "common/net/http_client.h"

/* What came back; all three are secret_copy's. */
struct aws_fetched {
    char *id, *secret, *token;
    int64_t expires_s; /* since 1970; INT64_MAX: never */
};
void aws_fetched_fini(struct aws_fetched *fetched);
/* White space at the end goes: tokens in files end with a line. */
void aws_trim_end(struct buf *text);

struct aws_web_identity {
    const char *token_file, *role_arn, *session_name;
    const char *endpoint; /* of STS */
};
/* Errors, of all three: E_DENIED refused; E_UNREACHABLE no answer; E_CORRUPT an odd one. */
MUST_USE enum status aws_fetch_web_identity(struct http *http,
                                            const struct aws_web_identity *identity,
                                            struct aws_fetched *out, struct err *err);
struct aws_container {
    const char *url;
    const char *authorization; /* or NULL */
};
MUST_USE enum status aws_fetch_container(struct http *http, const struct aws_container *container,
                                         struct aws_fetched *out, struct err *err);
/* E_NOTFOUND: this is no EC2 instance, or it has no role. */
MUST_USE enum status aws_fetch_instance(struct http *http, const char *endpoint,
                                        struct aws_fetched *out, struct err *err);

DEFINE_AUTO_VALUE(struct aws_fetched, aws_fetched_fini)
