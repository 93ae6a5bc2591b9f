// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/crypto/dsse.h"

static const char type[] = "application/vnd.in-toto+json";
static const char payload[] = "{\"a\": 1}";

static void sealed_is_opened_by_its_key_alone(void **state)
{
    (void)state;
    AUTO(signer_free) struct signer *signer = signer_new();
    AUTO(signer_free) struct signer *other = signer_new();
    AUTO(buf_fini) struct buf envelope = buf_init(0);
    AUTO(buf_fini) struct buf opened = buf_init(0);
    struct err err = {0};
    dsse_seal(signer, type, payload, sizeof payload - 1, &envelope);
    const char *text = (const char *)envelope.bytes;
    assert_int_equal(
        dsse_open("e", text, envelope.count, type, signer_public(signer), &opened, &err), OK);
    assert_int_equal(opened.count, sizeof payload - 1);
    assert_memory_equal(opened.bytes, payload, opened.count);
    assert_int_equal(
        dsse_open("e", text, envelope.count, type, signer_public(other), &opened, &err), E_CORRUPT);
    assert_string_equal(err.text, "e: none of its 1 signatures is the given key's");
    assert_int_equal(
        dsse_open("e", text, envelope.count, "text/plain", signer_public(signer), &opened, &err),
        E_CORRUPT);
    assert_int_equal(opened.count, sizeof payload - 1); /* nothing was added */
}

/* Whatever byte of it is changed, it is never opened to something else. */
static void no_changed_byte_passes(void **state)
{
    (void)state;
    AUTO(signer_free) struct signer *signer = signer_new();
    AUTO(buf_fini) struct buf envelope = buf_init(0);
    dsse_seal(signer, type, payload, sizeof payload - 1, &envelope);
    for (size_t i = 0; i < envelope.count; i++) {
        AUTO(buf_fini) struct buf opened = buf_init(0);
        uint8_t was = envelope.bytes[i];
        envelope.bytes[i] = (uint8_t)(was ^ 1);
        enum status status = dsse_open("e", (const char *)envelope.bytes, envelope.count, type,
                                       signer_public(signer), &opened, NULL);
        envelope.bytes[i] = was;
        if (status == OK) /* the key's hint may say anything */
            assert_memory_equal(opened.bytes, payload, sizeof payload - 1);
        else
            assert_int_equal(opened.count, 0);
    }
}

static void what_is_no_envelope_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"payloadType\":\"x\",\"payload\":\"\"}",
        "{\"payloadType\":1,\"payload\":\"\",\"signatures\":[]}",
        "{\"payloadType\":\"x\",\"payload\":\"%%\",\"signatures\":[]}",
        "{\"payloadType\":\"x\",\"payload\":\"\",\"signatures\":{}}"};
    static const char *const forged[] = {
        "{\"payloadType\":\"x\",\"payload\":\"\",\"signatures\":[]}",
        "{\"payloadType\":\"x\",\"payload\":\"\",\"signatures\":[1,{},{\"sig\":3},{\"sig\":\"\"}]}",
        "{\"payloadType\":\"x\",\"payload\":\"\",\"signatures\":[{\"sig\":\"AAAA\"}]}"};
    AUTO(signer_free) struct signer *signer = signer_new();
    AUTO(buf_fini) struct buf opened = buf_init(0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(
            dsse_open("e", texts[i], strlen(texts[i]), "x", signer_public(signer), &opened, NULL),
            E_INVALID);
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++)
        assert_int_equal(
            dsse_open("e", forged[i], strlen(forged[i]), "x", signer_public(signer), &opened, NULL),
            E_CORRUPT);
    assert_int_equal(opened.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_is_opened_by_its_key_alone),
        cmocka_unit_test(no_changed_byte_passes),
        cmocka_unit_test(what_is_no_envelope_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
