/* AWS Signature Version 4: the headers that prove who asks, or a URL that carries the proof.
 * Pure: the time is given. As S3 wants it: each part of a path is encoded once, and nothing in
 * it is normalised.
 *
 *   canonical request = method \n path \n query \n headers \n\n names of headers \n payload's hash
 *   string to sign    = "AWS4-HMAC-SHA256" \n time \n date/region/service/aws4_request \n
 *                       SHA-256 of the canonical request
 *   signature         = HMAC(HMAC(HMAC(HMAC(HMAC("AWS4" secret, date), region), service),
 *                       "aws4_request"), string to sign)
 *
 * Source: AWS, "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

enum { SIGV4_TIME_BYTES = 17 }; /* "20130524T000000Z" */

#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

struct sigv4_pair {
    const char *name, *value; /* as they are, not encoded */
};

struct sigv4_keys {
    const char *id, *secret;
    const char *token; /* of temporary keys; NULL or "" else */
};

struct sigv4_request {
    const char *method;
    const char *host; /* as in the Host header: with the port, unless it is the scheme's own */
    const char *path; /* begins with '/'; not encoded */
    const struct sigv4_pair *query;
    size_t query_count;
    /* What is signed beside Host, X-Amz-Date and X-Amz-Security-Token. For S3 that includes
     * X-Amz-Content-Sha256 with `payload`. */
    const struct sigv4_pair *headers;
    size_t header_count;
    const char *payload; /* SHA-256 of the body in hex, or SIGV4_UNSIGNED */
    const char *region, *service;
    int64_t time_s; /* since 1970 */
    struct sigv4_keys keys;
};

/* What X-Amz-Date is to say. */
void sigv4_time(int64_t time_s, char out[SIGV4_TIME_BYTES]);
/* Appends the Authorization header's value. */
void sigv4_sign(const struct sigv4_request *request, struct buf *authorization);
/* Appends the query (without '?') of a URL that works for `seconds` from `time_s` on; no header
 * but Host is signed, and no payload. */
void sigv4_presign(const struct sigv4_request *request, uint32_t seconds, struct buf *query);
/* Appends the canonical query of `request`, which is what its URL has behind '?'. */
void sigv4_query(const struct sigv4_request *request, struct buf *out);
/* Appends `path` as it stands in a URL. */
void sigv4_path(const char *path, struct buf *out);
/* Appends the canonical request, for tests and for comparing with what a server says. */
void sigv4_canonical(const struct sigv4_request *request, struct buf *out);
