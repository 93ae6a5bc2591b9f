/* How a store in S3 is reached: its URL, and what the environment and ~/.aws say.
 *
 *   s3://bucket/prefix         the store; every key of it begins with prefix/
 *   AWS_ENDPOINT_URL_S3        the server (also S3_ENDPOINT_URL, AWS_ENDPOINT_URL, or the profile's
 *                              endpoint_url, of its services first); none: Amazon's of the region
 *   AWS_REGION                 also AWS_DEFAULT_REGION, or the profile's; none: us-east-1
 *   AWS_CA_BUNDLE              certificates to trust instead of the system's
 *   PENSTOCK_S3_STYLE          path or virtual; none: path with an endpoint, else virtual
 *
 *   path      https://server/bucket/key          virtual   https://bucket.server/key */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

#include "common/base/arena.h"
#include "common/net/aws_profile.h"

struct s3_config {
    struct arena arena;
    struct aws_profile *profile;
    const char *bucket, *prefix; /* prefix: "" or "a/b/" */
    const char *region;
    const char *region_setting; /* "AWS_REGION=x", for messages */
    const char *origin; /* "https://host:port", as a URL begins; the port only if it is unusual */
    const char *host;   /* the same without scheme */
    const char *path;   /* what comes before the key: "/bucket/", "/" */
    const char *endpoint_setting; /* "AWS_ENDPOINT_URL_S3=http://…", for messages */
    bool has_endpoint;            /* it was set */
    const char *ca_file;          /* or NULL */
};

/* Errors: E_INVALID the URL; E_DENIED a setting; those of aws_profile_load. `out` is to be closed
 * in any case. */
MUST_USE enum status s3_config_load(const char *url, struct s3_config *out, struct err *err);
/* The server says that the bucket is in `region`. Errors: E_PROTOCOL that is no name of one (it
 * becomes part of a host's name, to which keys go). */
MUST_USE enum status s3_config_move(struct s3_config *config, const char *region, struct err *err);
void s3_config_close(struct s3_config *config);
