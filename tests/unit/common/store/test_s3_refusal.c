/* What S3 servers say, and the one line that a person gets. */
// SPDX-License-Identifier: Apache-2.0
#include "common/store/s3_refusal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct s3_config config = {
    .bucket = "art",
    .region = "us-east-1",
    .region_setting = "AWS_REGION=us-east-1",
    .origin = "http://s3:3900",
    .endpoint_setting = "AWS_ENDPOINT_URL_S3=http://s3:3900",
};
static const struct s3_signer signer = {"KEY1", "the environment (AWS_ACCESS_KEY_ID)"};

struct expected {
    enum s3_verdict verdict;
    enum status status;
    const char *text; /* part of it */
};

static void expect(const struct s3_answer_error *answer, struct expected expected)
{
    struct err err = {.text = ""};
    enum s3_verdict verdict = s3_judge(answer, &config, &signer, &err);
    if (!strstr(err.text, expected.text) || strchr(err.text, '\n'))
        fail_msg("%s", err.text);
    assert_int_equal(verdict, expected.verdict);
    assert_int_equal(err.code, expected.status);
}

static struct s3_answer_error answer_of(int status, const char *code, const char *message)
{
    struct s3_answer_error answer = {.status = status};
    AUTO(buf_fini) struct buf body = buf_init(0);
    buf_format(&body,
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code>"
               "<Message>%s</Message><Resource>/x</Resource></Error>",
               code, message);
    s3_read_error(&body, &answer);
    return answer;
}

static void expect_answer(int status, const char *code, const char *message,
                          struct expected expected)
{
    struct s3_answer_error answer = answer_of(status, code, message);
    expect(&answer, expected);
}

#define REFUSED(status, text)                                                                      \
    (struct expected)                                                                              \
    {                                                                                              \
        S3_REFUSED, status, text                                                                   \
    }
#define OTHER_KEYS(text)                                                                           \
    (struct expected)                                                                              \
    {                                                                                              \
        S3_OTHER_KEYS, E_DENIED, text                                                              \
    }

static void wrong_settings_are_named_with_their_mend(void **state)
{
    (void)state;
    expect_answer(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist",
                  OTHER_KEYS("the server knows no key KEY1; correct AWS_ACCESS_KEY_ID, from "
                             "the environment"));
    expect_answer(403, "AccessDenied", "Forbidden: No such key: KEY1",
                  OTHER_KEYS("the server knows no key KEY1"));
    expect_answer(403, "SignatureDoesNotMatch", "The request signature we calculated …",
                  OTHER_KEYS("the secret does not belong to the key KEY1; correct "
                             "AWS_SECRET_ACCESS_KEY"));
    expect_answer(403, "AccessDenied", "Forbidden: Invalid signature",
                  OTHER_KEYS("the secret does not belong to the key KEY1"));
    expect_answer(404, "NoSuchBucket", "The specified bucket does not exist",
                  REFUSED(E_DENIED, "there is no bucket art at http://s3:3900; create it, or "
                                    "correct the store's URL (--store, PENSTOCK_STORE)"));
    expect_answer(400, "InvalidBucketName", "", REFUSED(E_DENIED, "there is no bucket art"));
    expect_answer(400, "InvalidToken", "", OTHER_KEYS("AWS_SESSION_TOKEN"));
    expect_answer(400, "ExpiredToken", "", OTHER_KEYS("the key KEY1 has ended"));
    expect_answer(507, "", "", REFUSED(E_FULL, "the server is full"));
    expect_answer(403, "QuotaExceeded", "", REFUSED(E_FULL, "the server is full: QuotaExceeded"));
    expect_answer(400, "EntityTooLarge", "", REFUSED(E_LIMIT, "too large"));
    expect_answer(400, "InvalidPart", "not found",
                  REFUSED(E_IO, "refused: InvalidPart: not found (status 400)"));
}

static void what_a_key_may_not_is_told(void **state)
{
    (void)state;
    struct s3_answer_error answer = answer_of(403, "AccessDenied", "Access Denied");
    expect(&answer, REFUSED(E_DENIED, "the key KEY1 (from the environment (AWS_ACCESS_KEY_ID)) may "
                                      "not read the bucket art: AccessDenied Access Denied; give "
                                      "it that permission (Amazon's: s3:GetObject, and "
                                      "s3:ListBucket, without which what is absent is denied"));
    answer.is_write = true;
    expect(&answer,
           REFUSED(E_DENIED, "may not write to the bucket art: AccessDenied Access Denied; "
                             "give it that permission (Amazon's: s3:PutObject"));
}

static void a_clock_that_is_off_is_told(void **state)
{
    (void)state;
    struct s3_answer_error answer = answer_of(403, "RequestTimeTooSkewed", "The difference …");
    answer.skew_s = 20 * 60 + 3;
    expect(&answer, REFUSED(E_DENIED, "this machine's clock is 20 minutes ahead of the server's; "
                                      "set it (timedatectl set-ntp true)"));
    answer = answer_of(400, "InvalidRequest", "Bad request: Date is too old");
    answer.skew_s = -20 * 60;
    expect(&answer, REFUSED(E_DENIED, "clock is 20 minutes behind the server's"));
    answer.skew_s = 0; /* a server that tells no time */
    expect(&answer, REFUSED(E_DENIED, "clock is off (the server says: Bad request: Date is too"));
    answer = answer_of(403, "SignatureDoesNotMatch", "");
    answer.skew_s = 3600; /* whatever it calls it */
    expect(&answer, REFUSED(E_DENIED, "clock is 60 minutes ahead"));
}

static void a_region_that_is_named_is_taken(void **state)
{
    (void)state;
    struct s3_answer_error answer = {.status = 400};
    AUTO(buf_fini) struct buf body = buf_init(0);
    buf_put_text(&body, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting "
                        "'eu-west-1'</Message><Region>eu-west-1</Region></Error>");
    s3_read_error(&body, &answer);
    expect(&answer, (struct expected){S3_OTHER_REGION, E_DENIED,
                                      "the bucket art is in the region eu-west-1; correct "
                                      "AWS_REGION=us-east-1"});
    answer = (struct s3_answer_error){.status = 301, .region = "eu-west-1"}; /* of a HEAD */
    expect(&answer, (struct expected){S3_OTHER_REGION, E_DENIED, "region eu-west-1"});
    answer.status = 307;
    expect(&answer, (struct expected){S3_OTHER_REGION, E_DENIED, "region eu-west-1"});
    answer = answer_of(301, "PermanentRedirect", "");
    expect(&answer, REFUSED(E_DENIED, "region that the server alone knows"));
    memcpy(answer.region, "us-east-1", 10); /* the one that was signed for */
    expect(&answer, REFUSED(E_DENIED, "region us-east-1"));
}

static void what_passes_is_tried_again(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code;
    } answers[] = {{503, "SlowDown"},
                   {503, "ServiceUnavailable"},
                   {500, "InternalError"},
                   {502, ""},
                   {504, ""},
                   {429, ""},
                   {400, "RequestTimeout"},
                   {409, "OperationAborted"},
                   {400, "IncompleteBody"},
                   {408, ""},
                   {307, "TemporaryRedirect"}};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        expect_answer(answers[i].status, answers[i].code, "Please reduce your request rate.",
                      (struct expected){S3_RETRY, E_UNREACHABLE, "answers status"});
    expect_answer(404, "NoSuchKey", "", (struct expected){S3_ABSENT, E_NOTFOUND, "absent"});
    expect_answer(404, "NoSuchUpload", "", (struct expected){S3_ABSENT, E_NOTFOUND, "absent"});
    expect_answer(501, "NotImplemented", "no", REFUSED(E_IO, "refused: NotImplemented: no"));
}

static void what_is_no_s3_is_told(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "<html><head><title>404</title></head></html>",
                                         "not found", "<Error><Code>Cut", "{\"error\": 1}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct s3_answer_error answer = {.status = 404};
        AUTO(buf_fini) struct buf body = buf_init(0);
        buf_put_text(&body, bodies[i]);
        s3_read_error(&body, &answer);
        expect(&answer, REFUSED(E_DENIED, "answers status 404, not as S3 does; correct "
                                          "AWS_ENDPOINT_URL_S3=http://s3:3900"));
    }
    struct s3_answer_error answer = answer_of(400, "Odd", "two\nlines\tof it");
    expect(&answer, REFUSED(E_IO, "two lines of it"));
}

static void faults_of_the_way_are_told(void **state)
{
    (void)state;
    struct s3_answer_error answer = {.fault = HTTP_NO_CONNECTION, .fault_text = "http://s3: no"};
    expect(&answer, (struct expected){S3_RETRY, E_UNREACHABLE,
                                      "http://s3: no; is the server up, and this its address: "
                                      "AWS_ENDPOINT_URL_S3=http://s3:3900?"});
    answer.fault = HTTP_NO_HOST;
    expect(&answer, (struct expected){S3_RETRY, E_UNREACHABLE, "is the server up"});
    answer = (struct s3_answer_error){.fault = HTTP_BROKEN, .fault_text = "cut off"};
    expect(&answer, (struct expected){S3_RETRY, E_UNREACHABLE, "cut off"});
    answer.fault = HTTP_TOO_SLOW;
    expect(&answer, (struct expected){S3_RETRY, E_UNREACHABLE, "cut off"});
    answer =
        (struct s3_answer_error){.fault = HTTP_UNTRUSTED, .fault_text = "self-signed certificate"};
    expect(&answer, REFUSED(E_DENIED, "self-signed certificate; set AWS_CA_BUNDLE to a file with "
                                      "the certificate that signed the server's (it is not set)"));
    answer.fault_text = "error:0A00010B:SSL routines::wrong version number";
    expect(&answer, REFUSED(E_DENIED, "begin AWS_ENDPOINT_URL_S3=http://s3:3900 with http://"));
    answer = (struct s3_answer_error){.fault = HTTP_BAD_URL,
                                      .fault_text = "error setting certificate file: /no"};
    expect(&answer, REFUSED(E_DENIED, "certificate file: /no; correct AWS_CA_BUNDLE="));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_settings_are_named_with_their_mend),
        cmocka_unit_test(what_a_key_may_not_is_told),
        cmocka_unit_test(a_clock_that_is_off_is_told),
        cmocka_unit_test(a_region_that_is_named_is_taken),
        cmocka_unit_test(what_passes_is_tried_again),
        cmocka_unit_test(what_is_no_s3_is_told),
        cmocka_unit_test(faults_of_the_way_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
