/* What an answer of S3 means: go on, try again, or stop with one line that names the setting and
 * the mend. Pure: an answer and the settings in, a verdict out. Amazon's words and Garage's are
 * known (Garage says AccessDenied for a wrong secret as well as for a key it does not know).
 *
 * Source: Amazon S3 API Reference, "Error responses". */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/net/http_client.h"
#include "common/store/s3_config.h"

enum { S3_CODE_BYTES = 64, S3_MESSAGE_BYTES = 200 };

struct s3_answer_error {
    enum http_fault fault; /* HTTP_FINE: there was an answer, what follows is of it */
    const char *fault_text;
    int status;
    char code[S3_CODE_BYTES], message[S3_MESSAGE_BYTES], region[S3_CODE_BYTES]; /* "" if not told */
    int64_t skew_s;         /* our clock less the server's; 0 if it told no time */
    uint32_t retry_after_s; /* what it asks us to wait; 0: it does not say */
    bool is_write;          /* it was asked to put or remove something */
};

/* Reads code, message and region out of an answer's body; what is no error document leaves them. */
void s3_read_error(const struct buf *body, struct s3_answer_error *out);

enum s3_verdict {
    S3_RETRY,        /* the server may do better in a moment */
    S3_OTHER_REGION, /* the same once more, signed for the region it names */
    S3_OTHER_KEYS,   /* with other keys, if there are any */
    S3_ABSENT,       /* there is no such object */
    S3_REFUSED,      /* for good */
};

/* Who signs, for messages. */
struct s3_signer {
    const char *key_id, *source;
};

/* For everything but success. Sets `err` (but its prefix): E_UNREACHABLE, E_DENIED, E_INVALID,
 * E_FULL, E_LIMIT, E_IO, E_NOTFOUND (S3_ABSENT alone). */
enum s3_verdict s3_judge(const struct s3_answer_error *answer, const struct s3_config *config,
                         const struct s3_signer *signer, struct err *err);
