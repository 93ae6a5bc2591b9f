// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/crypto/hash.h"
#include "common/crypto/sign.h"
#include "proto/task_spec.h"

static void assert_hex(const struct id *id, const char *expected)
{
    char hex[ID_HEX_BYTES];
    assert_string_equal(id_hex(id, hex), expected);
}

/* Python: hashlib.blake2b(data, digest_size=32, person=…, key=…). */
static void equals_a_second_implementation(void **state)
{
    (void)state;
    struct id id;
    hash_bytes(NULL, "", 0, &id);
    assert_hex(&id, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    hash_bytes(NULL, "abc", 3, &id);
    assert_hex(&id, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    hash_bytes(PERSON_TASK, "abc", 3, &id);
    assert_hex(&id, "e0653a4bb90a0910a10b26c331da7fee8934da05bb5f247dd6abcca045aa1938");
    hash_keyed("key", 3, "abc", 3, &id);
    assert_hex(&id, "0330531d097355a3f72e80d55c1245ccf79f1704431c6e3887938320442c23c0");
}

static void pieces_make_the_whole(void **state)
{
    (void)state;
    static uint8_t data[5000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 31 + i / 256);
    struct id whole, streamed;
    hash_bytes(NULL, data, sizeof data, &whole);
    for (size_t step = 1; step < 300; step += 13) {
        struct hasher hasher;
        hash_init(&hasher, NULL);
        for (size_t at = 0; at < sizeof data; at += step)
            hash_update(&hasher, data + at, at + step < sizeof data ? step : sizeof data - at);
        hash_final(&hasher, &streamed);
        assert_true(id_equal(&whole, &streamed));
    }
}

static void signatures_verify_what_was_signed(void **state)
{
    (void)state;
    AUTO(signer_free) struct signer *signer = signer_new();
    AUTO(signer_free) struct signer *other = signer_new();
    struct id digest;
    uint8_t signature[SIGN_BYTES];
    hash_bytes(PERSON_FRAME, "results", 7, &digest);
    signer_sign(signer, &digest, signature);
    assert_true(sign_verify(signer_public(signer), &digest, signature));
    assert_false(sign_verify(signer_public(other), &digest, signature));
    digest.bytes[31] ^= 1;
    assert_false(sign_verify(signer_public(signer), &digest, signature));
    digest.bytes[31] ^= 1;
    for (int i = 0; i < SIGN_BYTES; i += 7) {
        signature[i] ^= 0x10;
        assert_false(sign_verify(signer_public(signer), &digest, signature));
        signature[i] ^= 0x10;
    }
    assert_true(sign_verify(signer_public(signer), &digest, signature));
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, zero, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_second_implementation),
        cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(signatures_verify_what_was_signed),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
