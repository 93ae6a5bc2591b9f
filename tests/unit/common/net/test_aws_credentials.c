/* Where keys come from: files, STS, container and instance metadata, each played by a server. */
// SPDX-License-Identifier: Apache-2.0
#include "common/net/aws_credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/common/net/fake_server.h"
#include "tests/unit/common/temp.h"

static struct err err;

static const char *const variables[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_CONFIG_FILE",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_ROLE_ARN",
                                        "AWS_ROLE_SESSION_NAME",
                                        "AWS_ENDPOINT_URL_STS",
                                        "AWS_CA_BUNDLE",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT"};

/* A folder that is HOME, too, and an environment that says nothing of AWS. */
static int set_up(void **state)
{
    int result = temp_setup(state);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("HOME", ((struct temp *)*state)->path, 1);
    mkdir(temp_at(*state, ".aws"), 0700);
    return result;
}

struct chain {
    struct aws_profile *profile;
    struct aws_credentials *credentials;
};

static struct chain open_chain(void)
{
    struct chain chain;
    if (aws_profile_load(&chain.profile, &err) != OK)
        fail_msg("%s", err.text);
    chain.credentials = aws_credentials_new(chain.profile, "eu-central-1");
    return chain;
}

static void close_chain(struct chain *chain)
{
    aws_credentials_free(chain->credentials);
    aws_profile_free(chain->profile);
}

static void expect_keys(struct chain *chain, const char *id, const char *secret, const char *token)
{
    struct sigv4_keys keys;
    if (aws_credentials_get(chain->credentials, &keys, &err) != OK)
        fail_msg("%s", err.text);
    assert_string_equal(keys.id, id);
    assert_string_equal(keys.secret, secret);
    assert_string_equal(keys.token ? keys.token : "", token);
}

static void expect_no_keys(enum status status, const char *text)
{
    struct chain chain = open_chain();
    struct sigv4_keys keys;
    assert_int_equal(aws_credentials_get(chain.credentials, &keys, &err), status);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
    close_chain(&chain);
}

static void the_environment_comes_first(void **state)
{
    struct temp *temp = *state;
    temp_write_text(temp_at(temp, ".aws/credentials"),
                    "[default]\naws_access_key_id = FILE\naws_secret_access_key = file\n");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    expect_no_keys(E_DENIED, "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not");
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    struct chain chain = open_chain();
    expect_keys(&chain, "ENV", "secret", "");
    assert_false(aws_credentials_expire(chain.credentials)); /* there are no others to fetch */
    assert_string_equal(aws_credentials_source(chain.credentials),
                        "the environment (AWS_ACCESS_KEY_ID)");
    close_chain(&chain);
    setenv("AWS_SESSION_TOKEN", "token", 1);
    chain = open_chain();
    expect_keys(&chain, "ENV", "secret", "token");
    close_chain(&chain);
}

static void profiles_are_read(void **state)
{
    struct temp *temp = *state;
    temp_write_text(temp_at(temp, ".aws/credentials"),
                    "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=a=b/+\r\n"
                    "[work]\n aws_access_key_id=W\n\taws_secret_access_key = w\n"
                    "aws_session_token = t\n; end");
    temp_write_text(temp_at(temp, ".aws/config"),
                    "[default]\nregion = us-west-2\ns3 =\n  addressing_style = path\n"
                    "  other = 1\noutput = json\n[profile work]\nregion=eu-west-1\n"
                    "aws_access_key_id = NOT_THIS\n[work]\nregion = nowhere\n"
                    "[profile \"two words\"]\nregion = there\n");
    struct chain chain = open_chain();
    expect_keys(&chain, "A", "a=b/+", "");
    assert_string_equal(aws_profile_get(chain.profile, "region"), "us-west-2");
    assert_string_equal(aws_profile_get(chain.profile, "s3.addressing_style"), "path");
    assert_string_equal(aws_profile_get(chain.profile, "output"), "json");
    assert_null(aws_profile_get(chain.profile, "s3"));
    assert_non_null(strstr(aws_credentials_source(chain.credentials), "the profile default of /"));
    close_chain(&chain);
    setenv("AWS_PROFILE", "work", 1);
    chain = open_chain();
    expect_keys(&chain, "W", "w", "t");
    assert_string_equal(aws_profile_get(chain.profile, "region"), "eu-west-1");
    close_chain(&chain);
    temp_write_text(temp_at(temp, "elsewhere"),
                    "[work]\naws_access_key_id=E\naws_secret_access_key=e\n");
    setenv("AWS_PROFILE", "two words", 1);
    chain = open_chain();
    assert_string_equal(aws_profile_get(chain.profile, "region"), "there");
    close_chain(&chain);
    setenv("AWS_PROFILE", "work", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "~/elsewhere", 1);
    chain = open_chain();
    expect_keys(&chain, "E", "e", "");
    close_chain(&chain);
}

/* A tool that signs its user in writes it anew. */
static void a_profile_is_read_again_when_its_keys_are_refused(void **state)
{
    struct temp *temp = *state;
    const char *file = temp_at(temp, ".aws/credentials");
    temp_write_text(file, "[default]\naws_access_key_id=OLD\naws_secret_access_key=o\n"
                          "aws_session_token=t\n");
    struct chain chain = open_chain();
    expect_keys(&chain, "OLD", "o", "t");
    temp_write_text(file, "[default]\naws_access_key_id=NEW\naws_secret_access_key=n\n");
    expect_keys(&chain, "OLD", "o", "t"); /* nobody refused them */
    assert_true(aws_credentials_expire(chain.credentials));
    assert_string_equal(aws_credentials_source(chain.credentials), "");
    expect_keys(&chain, "NEW", "n", "");
    assert_non_null(strstr(aws_credentials_source(chain.credentials), "the profile default of"));
    temp_write_text(file, "[default]\naws_access_key_id\n"); /* half of it */
    assert_true(aws_credentials_expire(chain.credentials));
    expect_keys(&chain, "NEW", "n", "");
    close_chain(&chain);
}

static void bad_profiles_are_told(void **state)
{
    struct temp *temp = *state;
    struct aws_profile *profile;
    expect_no_keys(E_DENIED, "no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    setenv("AWS_PROFILE", "nobody", 1);
    assert_int_equal(aws_profile_load(&profile, &err), E_DENIED);
    assert_non_null(strstr(err.text, "AWS_PROFILE=nobody: no such profile in /"));
    unsetenv("AWS_PROFILE");
    temp_write_text(temp_at(temp, ".aws/config"), "[default]\nregion\n");
    assert_int_equal(aws_profile_load(&profile, &err), E_DENIED);
    assert_non_null(strstr(err.text, ".aws/config:2: neither a [profile] nor a setting"));
    assert_null(profile);
    temp_write_text(temp_at(temp, ".aws/config"), "[default]\nsso_session = us\n");
    expect_no_keys(E_UNSUPPORTED, "`sso_session` is not understood here");
    temp_write_text(temp_at(temp, ".aws/config"), "[default]\nlogin_session = arn\n");
    expect_no_keys(E_UNSUPPORTED, "`login_session` is not understood here");
}

/* Its keys are not those to work with: they are to get those of the role. */
static void a_role_of_another_profile_is_not_passed_over(void **state)
{
    struct temp *temp = *state;
    temp_write_text(temp_at(temp, ".aws/config"),
                    "[default]\nrole_arn = arn\nsource_profile = default\n"
                    "aws_access_key_id = A\naws_secret_access_key = a\n");
    expect_no_keys(E_UNSUPPORTED, "`source_profile` is not understood here");
}

/* "2026-…Z", so many seconds from now. */
static const char *in_seconds(struct temp *temp, int seconds)
{
    char text[32];
    time_t when = time(NULL) + seconds;
    struct tm utc;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &utc));
    return arena_text(&temp->names, text, strlen(text));
}

static const char *sts_answer(struct temp *temp, const char *id, int seconds)
{
    const char *body = arena_format(
        &temp->names,
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
        "<AssumeRoleWithWebIdentityResult><Audience>a</Audience><Credentials>"
        "<SessionToken>to+ken</SessionToken><SecretAccessKey>secret</SecretAccessKey>"
        "<Expiration>%s</Expiration><AccessKeyId>%s</AccessKeyId></Credentials>"
        "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        in_seconds(temp, seconds), id);
    return fake_answer(&temp->names, "200 OK", body);
}

static void a_token_is_exchanged_for_keys(void **state)
{
    struct temp *temp = *state;
    const char *answers[] = {sts_answer(temp, "FIRST", 3600), sts_answer(temp, "SECOND", 3600),
                             NULL};
    struct fake_server *server = fake_start(answers);
    temp_write_text(temp_at(temp, "token"), "to.ken&1\n");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", temp_at(temp, "token"), 1);
    expect_no_keys(E_DENIED, "AWS_ROLE_ARN is not");
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
    setenv("AWS_ENDPOINT_URL_STS", fake_url(server, "/"), 1);
    struct chain chain = open_chain();
    expect_keys(&chain, "FIRST", "secret", "to+ken");
    expect_keys(&chain, "FIRST", "secret", "to+ken"); /* kept */
    assert_true(aws_credentials_expire(chain.credentials));
    expect_keys(&chain, "SECOND", "secret", "to+ken");
    close_chain(&chain);
    const char *seen = fake_requests(server);
    assert_non_null(strstr(seen, "POST / HTTP/1.1\r\n"));
    assert_non_null(strstr(seen, "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1"
                                 "%3Arole%2Fr&RoleSessionName=penstock&Version=2011-06-15"
                                 "&WebIdentityToken=to.ken%261"));
    fake_stop(server);
}

static void a_profile_may_name_the_token(void **state)
{
    struct temp *temp = *state;
    const char *answers[] = {sts_answer(temp, "KEY", 3600), NULL};
    struct fake_server *server = fake_start(answers);
    temp_write_text(temp_at(temp, "token"), "t");
    temp_write_text(temp_at(temp, ".aws/config"),
                    arena_format(&temp->names,
                                 "[default]\nrole_arn = arn\nweb_identity_token_file = %s\n",
                                 temp_at(temp, "token")));
    setenv("AWS_ENDPOINT_URL_STS", fake_url(server, "/"), 1);
    struct chain chain = open_chain();
    expect_keys(&chain, "KEY", "secret", "to+ken");
    close_chain(&chain);
    fake_stop(server);
}

static void keys_are_fetched_before_they_end(void **state)
{
    struct temp *temp = *state;
    const char *answers[] = {sts_answer(temp, "ENDS", 60), sts_answer(temp, "NEXT", 3600), NULL};
    struct fake_server *server = fake_start(answers);
    temp_write_text(temp_at(temp, "token"), "t");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", temp_at(temp, "token"), 1);
    setenv("AWS_ROLE_ARN", "arn", 1);
    setenv("AWS_ENDPOINT_URL_STS", fake_url(server, "/"), 1);
    struct chain chain = open_chain();
    expect_keys(&chain, "ENDS", "secret", "to+ken");
    expect_keys(&chain, "ENDS", "secret", "to+ken"); /* so short that each request would fetch */
    assert_true(aws_credentials_expire(chain.credentials));
    expect_keys(&chain, "NEXT", "secret", "to+ken");
    close_chain(&chain);
    fake_stop(server);
}

static void sts_may_refuse(void **state)
{
    struct temp *temp = *state;
    const char *answers[] = {
        fake_answer(&temp->names, "403 Forbidden",
                    "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
                    "<Message>Not authorized</Message></Error></ErrorResponse>"),
        fake_answer(&temp->names, "503 Slow", ""),
        fake_answer(&temp->names, "400 Bad",
                    "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"),
        fake_answer(&temp->names, "200 OK", "<A/>"),
        "!",
        NULL};
    struct fake_server *server = fake_start(answers);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", temp_at(temp, "token"), 1);
    setenv("AWS_ROLE_ARN", "arn:x", 1);
    setenv("AWS_ENDPOINT_URL_STS", fake_url(server, "/"), 1);
    expect_no_keys(E_DENIED, "AWS_WEB_IDENTITY_TOKEN_FILE: ");
    temp_write_text(temp_at(temp, "token"), "t");
    expect_no_keys(E_DENIED, "refuses the role AWS_ROLE_ARN=arn:x with the token of");
    assert_non_null(strstr(err.text, "AccessDenied Not authorized (status 403)"));
    expect_no_keys(E_UNREACHABLE, "answers 503");
    expect_no_keys(E_UNREACHABLE, "answers 400 Throttling"); /* all pods begin at once */
    expect_no_keys(E_CORRUPT, "an answer without keys");
    expect_no_keys(E_UNREACHABLE, "Empty reply");
    fake_stop(server);
}

static const char *metadata(struct temp *temp, const char *id, int seconds)
{
    const char *body = arena_format(&temp->names,
                                    "{\"Code\": \"Success\", \"AccessKeyId\": \"%s\", "
                                    "\"SecretAccessKey\": \"secret\", \"Token\": \"token\", "
                                    "\"Expiration\": \"%s\"}",
                                    id, in_seconds(temp, seconds));
    return fake_answer(&temp->names, "200 OK", body);
}

static void a_container_has_keys(void **state)
{
    struct temp *temp = *state;
    const char *answers[] = {metadata(temp, "POD", 3600),
                             fake_answer(&temp->names, "404 Not Found", ""),
                             fake_answer(&temp->names, "429 Too Many", ""), NULL};
    struct fake_server *server = fake_start(answers);
    static const char *const elsewhere[] = {
        "http://example.com/keys", "http://127.0.0.1.example.com/", "http://localhost.example/",
        "http://127.example.com/", "http://127.0.0.1@example.com/", "http://169.254.170.2.nip/",
        "file:///etc/passwd"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", elsewhere[i], 1);
        expect_no_keys(E_DENIED, "keys are fetched over https, or from this machine");
    }
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", fake_url(server, "/v1/credentials"), 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", temp_at(temp, "token"), 1);
    expect_no_keys(E_DENIED, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    temp_write_text(temp_at(temp, "token"), "Bearer x\r\n");
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* it is not asked */
    struct chain chain = open_chain();
    expect_keys(&chain, "POD", "secret", "token");
    close_chain(&chain);
    expect_no_keys(E_DENIED, "has no keys");
    expect_no_keys(E_UNREACHABLE, "answers 429");
    assert_non_null(strstr(fake_requests(server), "Authorization: Bearer x\r\n\r\n"));
    unsetenv("http_proxy");
    fake_stop(server);
}

static void an_instance_has_keys(void **state)
{
    struct temp *temp = *state;
    const char *answers[] = {fake_answer(&temp->names, "200 OK", "tok"),
                             fake_answer(&temp->names, "200 OK", "my-role\n"),
                             metadata(temp, "EC2", 7200),
                             fake_answer(&temp->names, "200 OK", "tok"),
                             fake_answer(&temp->names, "404 Not Found", ""),
                             NULL};
    struct fake_server *server = fake_start(answers);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake_url(server, "/"), 1);
    unsetenv("AWS_EC2_METADATA_DISABLED");
    struct chain chain = open_chain();
    expect_keys(&chain, "EC2", "secret", "token");
    assert_string_equal(aws_credentials_source(chain.credentials), "the instance's metadata");
    close_chain(&chain);
    const char *seen = fake_requests(server);
    assert_non_null(strstr(seen, "PUT /latest/api/token HTTP/1.1\r\n"));
    assert_non_null(strstr(seen, "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"));
    assert_non_null(strstr(seen, "GET /latest/meta-data/iam/security-credentials/my-role HTTP"));
    assert_non_null(strstr(seen, "X-aws-ec2-metadata-token: tok\r\n"));
    expect_no_keys(E_DENIED, "no keys: set AWS_ACCESS_KEY_ID"); /* an instance without a role */
    fake_stop(server);
}

/* While the old keys work, a metadata service that is away is no reason to stop. */
static void old_keys_are_kept_while_they_work(void **state)
{
    struct temp *temp = *state;
    const char *answers[] = {fake_answer(&temp->names, "200 OK", "tok"),
                             fake_answer(&temp->names, "200 OK", "my-role"),
                             metadata(temp, "EC2", 301), "!", NULL};
    struct fake_server *server = fake_start(answers);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake_url(server, ""), 1);
    unsetenv("AWS_EC2_METADATA_DISABLED");
    struct chain chain = open_chain();
    expect_keys(&chain, "EC2", "secret", "token");
    sleep(2); /* now there are less than five minutes */
    expect_keys(&chain, "EC2", "secret", "token");
    const char *again = strstr(fake_requests(server), "PUT /latest/api/token");
    assert_non_null(strstr(again + 1, "PUT /latest/api/token"));
    expect_keys(&chain, "EC2", "secret", "token"); /* not asked again at once */
    close_chain(&chain);
    fake_stop(server);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, temp_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_environment_comes_first),
        TEST(profiles_are_read),
        TEST(a_profile_is_read_again_when_its_keys_are_refused),
        TEST(bad_profiles_are_told),
        TEST(a_role_of_another_profile_is_not_passed_over),
        TEST(a_token_is_exchanged_for_keys),
        TEST(a_profile_may_name_the_token),
        TEST(keys_are_fetched_before_they_end),
        TEST(sts_may_refuse),
        TEST(a_container_has_keys),
        TEST(an_instance_has_keys),
        TEST(old_keys_are_kept_while_they_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
