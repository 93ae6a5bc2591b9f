/* Where the keys for S3 come from, in this order; the first that is there is used:
 *
 *   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN)
 *   2. AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN: a token of Kubernetes, exchanged at STS (IRSA)
 *   3. the profile (aws_profile.h): its keys, or its role_arn with web_identity_token_file; one
 *      of SSO, of another profile's role or of a program is E_UNSUPPORTED, by that setting's name
 *   4. AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI: ECS, EKS Pod Identity
 *   5. the instance's metadata (EC2, IMDSv2), unless AWS_EC2_METADATA_DISABLED is true
 *
 * Keys of 2, 4 and 5 end after a while: they are fetched again five minutes before, and kept
 * while they still work if that fails. Those of a profile may end, too: it is read again when a
 * server refuses them. AWS_ENDPOINT_URL_STS and
 * AWS_EC2_METADATA_SERVICE_ENDPOINT say where else to ask.
 *
 * Used by one thread. Source: AWS SDKs and Tools Reference Guide, "Standardized credential
 * providers"; AWS STS API Reference, AssumeRoleWithWebIdentity; Amazon EC2 User Guide, "Use
 * IMDS". */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/net/aws_profile.h"
#include "common/net/sigv4.h"

struct aws_credentials;

/* `profile` is borrowed. `region` is where STS is asked; NULL: its global endpoint. Looks
 * nothing up. */
struct aws_credentials *aws_credentials_new(const struct aws_profile *profile, const char *region);
void aws_credentials_free(struct aws_credentials *credentials);
/* The keys to sign with now; they live until the next call. May take a while (a server is asked).
 * Errors: E_DENIED there are none, a setting is wrong, or the one who was asked refuses;
 * E_UNREACHABLE who would know does not answer. */
MUST_USE enum status aws_credentials_get(struct aws_credentials *credentials,
                                         struct sigv4_keys *out, struct err *err);
/* The same for what is to work for `seconds`, a URL: keys that end before, and are more than half
 * over, are fetched anew if they can be. `*works_s`: for how long it will, `seconds` at most. */
MUST_USE enum status aws_credentials_get_for(struct aws_credentials *credentials, uint32_t seconds,
                                             struct sigv4_keys *out, uint32_t *works_s,
                                             struct err *err);
/* How the names of Amazon's servers in a region end: "amazonaws.com", in China another. */
const char *aws_domain(const char *region);
/* The server refuses them: the next get looks for others where these came from. Returns whether
 * there may be any. */
bool aws_credentials_expire(struct aws_credentials *credentials);
/* "the environment", "the profile work of …": for messages. "" before the first get. */
const char *aws_credentials_source(const struct aws_credentials *credentials);

DEFINE_AUTO(struct aws_credentials *, aws_credentials_free)
