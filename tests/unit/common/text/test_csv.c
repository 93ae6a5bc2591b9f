// SPDX-License-Identifier: Apache-2.0
#include "common/text/csv.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "proto/limits.h"

static struct err err;

/* Shows what was read: "a|b|'quoted'" and a ';' behind each record. The text is copied into memory
 * of exactly its size and the one byte that csv_init asks for, so that a sanitizer sees every read
 * beyond. */
static enum status show(const char *text, size_t bytes, char separator, struct buf *out)
{
    AUTO(mem_free) char *copy = mem_alloc(bytes + 1);
    memcpy(copy, text, bytes);
    struct csv csv = csv_init("t.csv", copy, bytes, separator);
    bool has_record;
    enum status status;
    while ((status = csv_next(&csv, &has_record, &err)) == OK && has_record) {
        for (uint32_t i = 0; i < csv.field_count; i++) {
            const struct csv_field *field = &csv.fields[i];
            buf_put_text(out, i ? "|" : "");
            buf_put_text(out, field->is_quoted ? "'" : "");
            buf_put(out, field->text, field->bytes);
            buf_put_text(out, field->is_quoted ? "'" : "");
        }
        buf_put_char(out, ';');
    }
    csv_fini(&csv);
    return status;
}

static void expect_shown(const char *text, const char *expected)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    if (show(text, strlen(text), ',', &out) != OK)
        fail_msg("%s", err.text);
    assert_string_equal(buf_text(&out), expected);
}

static void expect_error(const char *text, const char *message)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(show(text, strlen(text), ',', &out), E_INVALID);
    assert_string_equal(err.text, message);
}

static void splits_plain_records(void **state)
{
    (void)state;
    expect_shown("", "");
    expect_shown("a", "a;");
    expect_shown("a,b\n1,2\n", "a|b;1|2;");
    expect_shown("a,b\n1,2", "a|b;1|2;");
    expect_shown("a,b\r\n1,2\r\n", "a|b;1|2;");
    expect_shown("a,b\r\n1,2\r", "a|b;1|2;");
    expect_shown(",\n,", "|;|;");
    expect_shown("a,b\n1,", "a|b;1|;");
    expect_shown("\n\na,b\n\r\n\n1,2\n\n", "a|b;1|2;");
    expect_shown("a\rb,c\n", "a\rb|c;");
    expect_shown("\xef\xbb\xbf"
                 "a,b\n",
                 "a|b;");
    expect_shown("sepal length (cm),species\n5.1,Iris-setosa\n",
                 "sepal length (cm)|species;5.1|Iris-setosa;");
}

static void unquotes(void **state)
{
    (void)state;
    expect_shown("\"a\",\"b\"\n", "'a'|'b';");
    expect_shown("\"\",x\n,x\n", "''|x;|x;");
    expect_shown("\"a,b\nc\",d\r\n", "'a,b\nc'|d;");
    expect_shown("\"he said \"\"no\"\"\",\"\"\"\"", "'he said \"no\"'|'\"';");
    expect_shown("x,\"a\"\r\n", "x|'a';");
    expect_shown("\xef\xbb\xbf\"a\",b", "'a'|b;");
    expect_shown("5\" pipe,b", "5\" pipe|b;"); /* not at the start: an ordinary character */
    expect_shown("\"a\n\n\nb\"\n1\n", "'a\n\n\nb';1;");
}

static void separators_at_every_offset(void **state)
{
    (void)state;
    for (size_t first = 0; first < 40; first++)
        for (size_t second = 0; second < 40; second++) {
            char text[128], expected[128];
            memset(text, 'x', sizeof text);
            memset(expected, 'x', sizeof expected);
            text[first] = ',';
            text[first + 1 + second] = '\n';
            text[2 * first + second + 3] = 0;
            text[first + 2 + second] = ',';
            expected[first] = '|';
            expected[first + 1 + second] = ';';
            expected[first + 2 + second] = '|';
            expected[2 * first + second + 3] = ';';
            expected[2 * first + second + 4] = 0;
            expect_shown(text, expected);
        }
}

static void tabs_may_separate(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf out = buf_init(0);
    static const char text[] = "a,b\tc\n\"d\te\"\tf\n";
    assert_int_equal(show(text, strlen(text), '\t', &out), OK);
    assert_string_equal(buf_text(&out), "a,b|c;'d\te'|f;");
}

static void errors_tell_the_line(void **state)
{
    (void)state;
    expect_error("a,b\n1,2\n1,2,3\n", "t.csv:3: 3 fields where the header has 2");
    expect_error("a,b\n\n\"x\ny\",2\n1\n", "t.csv:5: 1 field where the header has 2");
    expect_error("a,b\n1,\"2\n3,4\n", "t.csv:2: a quote is opened and never closed");
    expect_error("a\n\"", "t.csv:2: a quote is opened and never closed");
    expect_error("a,b\n\"1\"x,2\n", "t.csv:2: text behind a closing quote");
    expect_error("\"1\"\r", "t.csv:1: text behind a closing quote");
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(show("a,b\n1,2\n3,\0\n", 12, ',', &out), E_INVALID);
    assert_string_equal(err.text, "t.csv:3: a NUL byte; this is not a text file");
    assert_int_equal(out.count, 0);
}

static void limits_hold(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = buf_init(0), out = buf_init(0);
    for (int i = 1; i < COLUMNS_MAX; i++)
        buf_put_char(&text, ',');
    assert_int_equal(show((char *)text.bytes, text.count, ',', &out), OK);
    buf_put_char(&text, ',');
    assert_int_equal(show((char *)text.bytes, text.count, ',', &out), E_LIMIT);
    assert_string_equal(err.text, "t.csv:1: more than 65536 fields");
    buf_clear(&text);
    for (int i = 0; i <= FIELD_BYTES_MAX; i++)
        buf_put_char(&text, 'x');
    assert_int_equal(show((char *)text.bytes, text.count, ',', &out), E_LIMIT);
    text.bytes[0] = '"';
    buf_put_text(&text, "x\"");
    assert_int_equal(show((char *)text.bytes, text.count, ',', &out), E_LIMIT);
}

/* The plainest splitter there is, as a judge. */
static enum status judge(const char *text, size_t bytes, struct buf *out)
{
    size_t at = 0, first_fields = 0;
    if (memchr(text, 0, bytes))
        return E_INVALID;
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        at = 3;
    while (at < bytes) {
        AUTO(buf_fini) struct buf record = buf_init(0);
        size_t fields = 0, start = at;
        for (bool is_open = true; is_open;) {
            buf_put_text(&record, fields++ ? "|" : "");
            if (at < bytes && text[at] == '"') {
                buf_put_char(&record, '\'');
                for (at++;; at++) {
                    if (at >= bytes)
                        return E_INVALID;
                    if (text[at] == '"' && (at + 1 >= bytes || text[at + 1] != '"'))
                        break;
                    at += text[at] == '"';
                    buf_put_char(&record, text[at]);
                }
                buf_put_char(&record, '\'');
                at++;
                if (at + 1 < bytes && text[at] == '\r' && text[at + 1] == '\n')
                    at++;
                if (at < bytes && text[at] != ',' && text[at] != '\n')
                    return E_INVALID;
            } else {
                size_t from = at;
                while (at < bytes && text[at] != ',' && text[at] != '\n')
                    at++;
                size_t to = at;
                if (to > from && text[to - 1] == '\r' && (at == bytes || text[at] == '\n'))
                    to--;
                buf_put(&record, text + from, to - from);
            }
            is_open = at < bytes && text[at] == ',';
            at++;
        }
        bool is_empty = fields == 1 && !record.count && text[start] != '"';
        if (is_empty)
            continue;
        if (first_fields && fields != first_fields)
            return E_INVALID;
        first_fields = fields;
        buf_put(out, record.bytes, record.count);
        buf_put_char(out, ';');
    }
    return OK;
}

static void hostile_texts_agree_with_a_plain_splitter(void **state)
{
    (void)state;
    static const char letters[] = "aab,,,\n\n\r\"\" ;\xff";
    struct rng rng = rng_seed(2026);
    int ok_count = 0;
    for (int i = 0; i < 200000; i++) {
        char text[64];
        size_t bytes = rng_below(&rng, sizeof text);
        uint32_t choice = 6 + rng_below(&rng, sizeof letters - 6); /* sometimes no quotes */
        for (size_t k = 0; k < bytes; k++)
            text[k] = letters[rng_below(&rng, choice)];
        if (rng_below(&rng, 50) == 0 && bytes)
            text[rng_below(&rng, (uint32_t)bytes)] = 0;
        AUTO(buf_fini) struct buf expected = buf_init(0), out = buf_init(0);
        enum status status = judge(text, bytes, &expected);
        assert_int_equal(show(text, bytes, ',', &out), status);
        if (status != OK)
            continue;
        assert_string_equal(buf_text(&out), buf_text(&expected));
        ok_count++;
    }
    assert_in_range(ok_count, 20000, 180000);
}

static void writing_and_reading_back(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf out = buf_init(0), shown = buf_init(0);
    csv_put_field(&out, "plain", 5, true);
    csv_put_field(&out, "a,b", 3, false);
    csv_put_field(&out, "say \"hi\"", 8, false);
    csv_put_field(&out, "x\ny", 3, false);
    csv_put_field(&out, "", 0, false);
    csv_put_field(&out, NULL, 0, false);
    csv_put_field(&out, " x", 2, false);
    assert_string_equal(buf_text(&out), "plain,\"a,b\",\"say \"\"hi\"\"\",\"x\ny\",\"\",,\" x\"");
    assert_int_equal(show(buf_text(&out), out.count, ',', &shown), OK);
    assert_string_equal(buf_text(&shown), "plain|'a,b'|'say \"hi\"'|'x\ny'|''||' x';");
    buf_clear(&out);
    buf_clear(&shown);
    csv_put_field(&out, "\xef\xbb\xbf", 3, true);
    assert_int_equal(show(buf_text(&out), out.count, ',', &shown), OK);
    assert_string_equal(buf_text(&shown), "'\xef\xbb\xbf';");
}

/* ---- numbers ---- */

static void expect_real(const char *text, double expected)
{
    double number = NAN;
    if (!csv_real(text, strlen(text), &number))
        fail_msg("\"%s\" is a number", text);
    if (number != expected || signbit(number) != signbit(expected))
        fail_msg("\"%s\": %.17g, not %.17g", text, number, expected);
}

static void reals(void **state)
{
    (void)state;
    expect_real("0", 0);
    expect_real("-0", -0.0);
    expect_real("5.1", 5.1);
    expect_real("+5.1", 5.1);
    expect_real(".5", 0.5);
    expect_real("5.", 5);
    expect_real("  7 ", 7);
    expect_real("999999999999999", 999999999999999);
    expect_real("0.000000000000001", 1e-15);
    expect_real("0.1234567890123456789", 0.1234567890123456789);
    expect_real("123456789012345678901234567890", 123456789012345678901234567890.0);
    expect_real("1e5", 1e5);
    expect_real("-1.5E-10", -1.5e-10);
    expect_real("1e+308", 1e308);
    expect_real("4.9e-324", 4.9e-324);
    expect_real("1e-400", 0);
    expect_real("0000000000000000000000000000000000001.5", 1.5);
    expect_real("9007199254740993", 9007199254740992.0); /* a tie, to even */
    expect_real("2.2250738585072011e-308", 2.2250738585072011e-308);
}

static void what_is_no_real(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",     " ",   "x",   "1x",    "x1",     "1.2.3", "1,5", "--1", "+-1", "-",        "+",
        ".",    "-.",  "e5",  "1e",    "1e+",    "1e5.5", "nan", "NaN", "inf", "INFINITY", "-inf",
        "0x10", "1_0", "1 2", "1e999", "-1e999", "1d5",   "1f",  "١",   "\n1", "1\n"};
    double number = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (csv_real(bad[i], strlen(bad[i]), &number))
            fail_msg("\"%s\" is taken for %.17g", bad[i], number);
    assert_true(number == 77); /* untouched */
    static char endless[2000];
    memset(endless, '1', sizeof endless);
    assert_false(csv_real(endless, sizeof endless, &number));
    /* Exactly `bytes` are looked at. */
    assert_true(csv_real("1.5x", 3, &number));
    assert_true(number == 1.5);
}

static void reals_round_as_strtod(void **state)
{
    (void)state;
    struct rng rng = rng_seed(11);
    for (int i = 0; i < 200000; i++) {
        char text[400];
        double scale = pow(10, (double)rng_below(&rng, 12) - 4), number;
        double real = (rng_real(&rng) - 0.5) * scale;
        if (i % 3)
            snprintf(text, sizeof text, "%.*f", i % 17, real);
        else
            snprintf(text, sizeof text, "%.*e", i % 21, real);
        assert_true(csv_real(text, strlen(text), &number));
        assert_true(number == strtod(text, NULL));
    }
}

static void reals_ignore_the_locale(void **state)
{
    (void)state;
    static const char *const places[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8"};
    const char *found = NULL;
    for (size_t i = 0; i < 3 && !found; i++)
        found = setlocale(LC_NUMERIC, places[i]);
    if (!found)
        print_message("no locale with a decimal comma here: checked in the C locale alone\n");
    expect_real("1.5e3", 1500);
    expect_real("0.12345678901234567", 0.12345678901234567);
    double number;
    assert_false(csv_real("1,5e3", 5, &number));
    setlocale(LC_NUMERIC, "C");
}

static void ints(void **state)
{
    (void)state;
    int64_t number = 77;
    static const struct {
        const char *text;
        int64_t number;
    } good[] = {{"0", 0},    {"-0", 0},
                {"42", 42},  {"+7", 7},
                {" 5 ", 5},  {"-9223372036854775808", INT64_MIN},
                {"0009", 9}, {"9223372036854775807", INT64_MAX}};
    static const char *const bad[] = {"",
                                      "-",
                                      "5.0",
                                      "1e3",
                                      "x",
                                      "1 2",
                                      "9223372036854775808",
                                      "0x1",
                                      "--1",
                                      "1.",
                                      "99999999999999999999",
                                      "-9223372036854775809"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(csv_int(bad[i], strlen(bad[i]), &number));
    assert_int_equal(number, 77);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(csv_int(good[i].text, strlen(good[i].text), &number));
        assert_true(number == good[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_plain_records),
        cmocka_unit_test(unquotes),
        cmocka_unit_test(separators_at_every_offset),
        cmocka_unit_test(tabs_may_separate),
        cmocka_unit_test(errors_tell_the_line),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(hostile_texts_agree_with_a_plain_splitter),
        cmocka_unit_test(writing_and_reading_back),
        cmocka_unit_test(reals),
        cmocka_unit_test(what_is_no_real),
        cmocka_unit_test(reals_round_as_strtod),
        cmocka_unit_test(reals_ignore_the_locale),
        cmocka_unit_test(ints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
