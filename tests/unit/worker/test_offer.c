/* What a worker says that it offers: named counts out of texts and messages. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/msg.h"

static void expect_counts(const struct offer_counts *counts, const char *expected)
{
    char text[256] = "";
    for (uint32_t i = 0; i < counts->count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s=%u ", counts->items[i].name,
                 counts->items[i].count);
    assert_string_equal(text, expected);
}

static void counts_are_read_one_or_several_a_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"gpu=2", "license=0,disk-space=1000000", "_a1=7"};
    struct offer_counts counts;
    assert_int_equal(offer_read_counts(texts, 3, &counts, NULL), OK);
    expect_counts(&counts, "gpu=2 license=0 disk-space=1000000 _a1=7 ");
    assert_int_equal(offer_read_counts(NULL, 0, &counts, NULL), OK);
    assert_int_equal(counts.count, 0);
}

static void what_is_no_count_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } rows[] = {
        {"gpu", "resource \"gpu\": expected NAME=COUNT, a whole number from 0 to 1000000"},
        {"", "resource \"\": expected NAME=COUNT"},
        {"gpu=", "expected NAME=COUNT"},
        {"=1", "expected NAME=COUNT"},
        {"gpu=1000001", "resource \"gpu=1000001\": expected"},
        {"gpu=99999999999999999999", "a whole number from 0 to 1000000"},
        {"gpu=-1", "a whole number"},
        {"gpu=1.5", "a whole number"},
        {"gpu=one", "a whole number"},
        {"gpu=1 ", "a whole number"},
        {"gpu=1,", "resource \"\": expected"},
        {"1gpu=1", "expected NAME=COUNT"},
        {"g u=1", "expected NAME=COUNT"},
        {"gpu=1,gpu=2", "resource \"gpu=2\": the name is there twice"},
        {"cpu=4", "resource \"cpu=4\": say --cpu instead"},
        {"memory=4", "resource \"memory=4\": say --memory instead"},
        {"a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1,l=1,m=1,n=1,o=1,p=1,q=1",
         "resource \"q=1\": over 16 of them"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct offer_counts counts;
        struct err err = {0};
        assert_int_not_equal(offer_read_counts(&rows[i].text, 1, &counts, &err), OK);
        if (!strstr(err.text, rows[i].said))
            fail_msg("expected \"%s\" in: %s", rows[i].said, err.text);
    }
}

static void a_message_says_what_was_put_in(void **state)
{
    (void)state;
    static const struct resource resources[] = {{"gpu", 2}, {"license", 1}};
    uint8_t bytes[64];
    struct mp_writer writer = mp_writer(bytes, sizeof bytes);
    mp_write_resources(&writer, resources, 2);
    struct offer_counts counts;
    offer_decode_counts(&(struct mp_view){bytes, writer.need}, &counts);
    expect_counts(&counts, "gpu=2 license=1 ");
    offer_decode_counts(&(struct mp_view){0}, &counts);
    assert_int_equal(counts.count, 0);
}

/* As long as a step may ask for, and no longer. */
static void labels_are_texts_of_the_length_that_steps_ask_for(void **state)
{
    (void)state;
    char fits[2 * LABEL_BYTES_MAX + 2], longer[LABEL_BYTES_MAX + 4];
    memset(fits, 'a', sizeof fits - 1);
    fits[LABEL_BYTES_MAX] = '=';
    fits[sizeof fits - 1] = 0;
    memset(longer, 'a', sizeof longer - 1);
    longer[1] = '=';
    longer[sizeof longer - 1] = 0;
    const char *const good[] = {"zone=a", fits, "empty="};
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(offer_encode_labels(good, 3, &out, NULL), OK);
    struct mp_reader reader = mp_reader(out.bytes, out.count);
    uint32_t bytes;
    assert_int_equal(mp_read_map(&reader), 3);
    for (int i = 0; i < 3; i++) {
        mp_read_str(&reader, &bytes);
        assert_int_equal(bytes, strcspn(good[i], "="));
        mp_read_str(&reader, &bytes);
        assert_int_equal(bytes, strlen(strchr(good[i], '=') + 1));
    }
    assert_int_equal(mp_reader_finish(&reader, "labels", NULL), OK);
    const char *const bad[] = {longer, "zone", "=a", "zone=\xff", "\xc3=\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        assert_int_equal(offer_encode_labels(&bad[i], 1, &out, &err), E_INVALID);
        assert_non_null(strstr(err.text, "expected KEY=VALUE, each up to 256 bytes"));
    }
    const char *const twice[] = {"zone=a", "zone=b"};
    assert_int_equal(offer_encode_labels(twice, 2, &out, NULL), E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_read_one_or_several_a_text),
        cmocka_unit_test(what_is_no_count_is_named),
        cmocka_unit_test(a_message_says_what_was_put_in),
        cmocka_unit_test(labels_are_texts_of_the_length_that_steps_ask_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
