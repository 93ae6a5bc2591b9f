// SPDX-License-Identifier: Apache-2.0
#include "common/store/s3_refusal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/xml.h"

/* S3 allows a quarter of an hour between its clock and ours. */
enum { SKEW_SECONDS_MAX = 14 * 60 };

/* ---- reading ---- */

/* One line of printable characters: it goes into messages. */
static void copy_line(char *out, size_t out_bytes, const char *text)
{
    size_t count = 0;
    for (; *text && count + 1 < out_bytes; text++)
        out[count++] = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
    out[count] = 0;
}

static enum status take_error(void *context, const char *path, const char *text, struct err *err)
{
    (void)err;
    struct s3_answer_error *out = context;
    if (text && strcmp(path, "Error/Code") == 0)
        copy_line(out->code, sizeof out->code, text);
    if (text && strcmp(path, "Error/Message") == 0)
        copy_line(out->message, sizeof out->message, text);
    if (text && strcmp(path, "Error/Region") == 0)
        copy_line(out->region, sizeof out->region, text);
    return OK;
}

void s3_read_error(const struct buf *body, struct s3_answer_error *out)
{
    if (body->count) /* cut off or no XML: what was read of it counts */
        (void)!xml_walk("error", (const char *)body->bytes, body->count, take_error, out, NULL);
}

/* ---- judging ---- */

struct judgement {
    const struct s3_answer_error *answer;
    const struct s3_config *config;
    const struct s3_signer *signer;
    struct err *err;
};

static bool is_code(const struct judgement *j, const char *code)
{
    return strcmp(j->answer->code, code) == 0;
}

static bool says(const struct judgement *j, const char *words)
{
    return strstr(j->answer->message, words) != NULL;
}

static enum s3_verdict judge_fault(const struct judgement *j)
{
    const char *text = j->answer->fault_text, *setting = j->config->endpoint_setting;
    switch (j->answer->fault) {
    case HTTP_UNTRUSTED:
        if (strstr(text, "wrong version number") || strstr(text, "packet length"))
            err_set(j->err, E_DENIED, "%s: speaks no TLS there; begin %s with http://", text,
                    setting);
        else
            err_set(j->err, E_DENIED,
                    "%s; set AWS_CA_BUNDLE to a file with the certificate that signed the server's "
                    "(%s%s)",
                    text, j->config->ca_file ? "it is " : "it is not set",
                    j->config->ca_file ? j->config->ca_file : "");
        return S3_REFUSED;
    case HTTP_BAD_URL:
        err_set(j->err, E_DENIED, "%s; correct AWS_CA_BUNDLE=%s, or %s", text,
                j->config->ca_file ? j->config->ca_file : "", setting);
        return S3_REFUSED;
    case HTTP_NO_HOST:
    case HTTP_NO_CONNECTION:
        err_set(j->err, E_UNREACHABLE, "%s; is the server up, and this its address: %s?", text,
                setting);
        return S3_RETRY;
    default: err_set(j->err, E_UNREACHABLE, "%s", text); return S3_RETRY;
    }
}

/* Does the answer name another region than ours? */
static bool is_elsewhere(const struct judgement *j)
{
    return j->answer->region[0] && strcmp(j->answer->region, j->config->region) != 0;
}

static bool is_passing(const struct judgement *j)
{
    static const char *const codes[] = {"SlowDown",
                                        "InternalError",
                                        "ServiceUnavailable",
                                        "RequestTimeout",
                                        "OperationAborted",
                                        "Throttling",
                                        "ThrottlingException",
                                        "ConditionalRequestConflict",
                                        "RequestLimitExceeded",
                                        "BandwidthLimitExceeded",
                                        "IncompleteBody",
                                        "XAmzContentSHA256Mismatch" /* damaged on the way */};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (is_code(j, codes[i]))
            return true;
    return j->answer->status == 429 || j->answer->status == 408 ||
           (j->answer->status == 307 && !is_elsewhere(j)) /* a new bucket's name gets about */ ||
           (j->answer->status >= 500 && j->answer->status != 507 && j->answer->status != 501);
}

static bool is_skewed(const struct judgement *j)
{
    int status = j->answer->status;
    return is_code(j, "RequestTimeTooSkewed") || says(j, "Date is too") ||
           ((status == 400 || status == 403) && llabs(j->answer->skew_s) > SKEW_SECONDS_MAX);
}

static enum s3_verdict judge_skew(const struct judgement *j)
{
    long long seconds = llabs(j->answer->skew_s);
    if (seconds < 60)
        err_set(j->err, E_DENIED,
                "this machine's clock is off (the server says: %s); set it (timedatectl set-ntp "
                "true)",
                j->answer->message);
    else
        err_set(j->err, E_DENIED,
                "this machine's clock is %lld minutes %s the server's; set it (timedatectl set-ntp "
                "true)",
                (seconds + 30) / 60, j->answer->skew_s > 0 ? "ahead of" : "behind");
    return S3_REFUSED;
}

static enum s3_verdict judge_region(const struct judgement *j)
{
    const struct s3_answer_error *answer = j->answer;
    err_set(j->err, E_DENIED, "the bucket %s is in the region %s; correct %s", j->config->bucket,
            answer->region[0] ? answer->region : "that the server alone knows",
            j->config->region_setting);
    return is_elsewhere(j) ? S3_OTHER_REGION : S3_REFUSED;
}

/* 401 and 403: who asks, or what for. */
static enum s3_verdict judge_denial(const struct judgement *j)
{
    const char *id = j->signer->key_id, *source = j->signer->source;
    if (is_code(j, "InvalidAccessKeyId") || says(j, "No such key"))
        err_set(j->err, E_DENIED, "the server knows no key %s; correct AWS_ACCESS_KEY_ID, from %s",
                id, source);
    else if (is_code(j, "SignatureDoesNotMatch") || says(j, "Invalid signature"))
        err_set(j->err, E_DENIED,
                "the secret does not belong to the key %s; correct AWS_SECRET_ACCESS_KEY, from %s",
                id, source);
    else if (is_code(j, "ExpiredToken") || is_code(j, "InvalidToken") ||
             is_code(j, "TokenRefreshRequired"))
        err_set(j->err, E_DENIED,
                "the key %s has ended (%s); give fresh ones with their "
                "AWS_SESSION_TOKEN, from %s",
                id, j->answer->code, source);
    else {
        err_set(j->err, E_DENIED,
                "the key %s (from %s) may not %s the bucket %s: %s %s; give it that permission "
                "(Amazon's: %s), or use another key",
                id, source, j->answer->is_write ? "write to" : "read", j->config->bucket,
                j->answer->code[0] ? j->answer->code : "status 403", j->answer->message,
                j->answer->is_write ? "s3:PutObject, s3:DeleteObject"
                                    : "s3:GetObject, and s3:ListBucket, without which what is "
                                      "absent is denied, too");
        return S3_REFUSED;
    }
    return S3_OTHER_KEYS;
}

static enum s3_verdict judge_rest(const struct judgement *j)
{
    const struct s3_answer_error *answer = j->answer;
    if (is_code(j, "NoSuchBucket") || is_code(j, "InvalidBucketName"))
        err_set(j->err, E_DENIED,
                "there is no bucket %s at %s; create it, or correct the store's "
                "URL (--store, PENSTOCK_STORE)",
                j->config->bucket, j->config->origin);
    else if (is_code(j, "EntityTooLarge"))
        err_set(j->err, E_LIMIT, "too large for the server: %s", answer->message);
    else if (!answer->code[0])
        err_set(j->err, E_DENIED, "answers status %d, not as S3 does; correct %s", answer->status,
                j->config->endpoint_setting);
    else
        err_set(j->err, E_IO, "refused: %s: %s (status %d)", answer->code, answer->message,
                answer->status);
    return S3_REFUSED;
}

enum s3_verdict s3_judge(const struct s3_answer_error *answer, const struct s3_config *config,
                         const struct s3_signer *signer, struct err *err)
{
    const struct judgement j = {answer, config, signer, err};
    if (answer->fault != HTTP_FINE)
        return judge_fault(&j);
    if (is_passing(&j)) {
        err_set(err, E_UNREACHABLE, "answers status %d %s %s", answer->status, answer->code,
                answer->message);
        return S3_RETRY;
    }
    if (is_code(&j, "NoSuchKey") || is_code(&j, "NoSuchUpload")) {
        err_set(err, E_NOTFOUND, "absent: %s", answer->code);
        return S3_ABSENT;
    }
    if (answer->status == 507 || is_code(&j, "QuotaExceeded")) {
        err_set(err, E_FULL, "the server is full: %s %s", answer->code, answer->message);
        return S3_REFUSED;
    }
    if (is_skewed(&j))
        return judge_skew(&j);
    if (is_code(&j, "AuthorizationHeaderMalformed") || is_code(&j, "PermanentRedirect") ||
        is_code(&j, "IllegalLocationConstraintException") || answer->status == 301 ||
        answer->status == 307)
        return judge_region(&j);
    if ((answer->status == 401 || answer->status == 403 || is_code(&j, "ExpiredToken") ||
         is_code(&j, "InvalidToken")) &&
        answer->code[0])
        return judge_denial(&j);
    return judge_rest(&j);
}
