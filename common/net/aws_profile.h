/* What ~/.aws/credentials and ~/.aws/config say, or the files that AWS_SHARED_CREDENTIALS_FILE and
 * AWS_CONFIG_FILE name, for one profile: that of AWS_PROFILE, else "default". Files that are not
 * there say nothing. A setting of the credentials file comes before the same one of the config.
 *
 *   [profile work]                 (credentials: [work])
 *   region = eu-central-1
 *   s3 =
 *     addressing_style = path      is the setting "s3.addressing_style"
 *   services = mine                adds those of [services mine]: "s3.endpoint_url"
 *
 * Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files". */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

#include "proto/err.h"

struct aws_profile;

/* Errors: E_DENIED AWS_PROFILE names a profile that no file has, a line that says nothing, a file
 * that others alone may read; E_IO. */
MUST_USE enum status aws_profile_load(struct aws_profile **out, struct err *err);
void aws_profile_free(struct aws_profile *profile);
/* The setting's text, or NULL; lives as long as the profile. */
const char *aws_profile_get(const struct aws_profile *profile, const char *key);
/* "the profile work of /home/me/.aws/credentials", for messages; of the file that has `key`. */
const char *aws_profile_place(const struct aws_profile *profile, const char *key);

DEFINE_AUTO(struct aws_profile *, aws_profile_free)
