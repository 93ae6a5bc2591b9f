// SPDX-License-Identifier: Apache-2.0
#include "common/text/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"

static struct err err;

static enum status write_down(void *context, const char *path, const char *text, struct err *out)
{
    if (text && strcmp(text, "stop") == 0)
        return err_set(out, E_CANCELLED, "enough");
    if (text)
        buf_format(context, "%s=%s;", path, text);
    else
        buf_format(context, "%s;", path);
    return OK;
}

static enum status walk(const char *text, struct buf *out)
{
    buf_clear(out);
    return xml_walk("answer", text, strlen(text), write_down, out, &err);
}

static void expect(const char *text, const char *events)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    if (walk(text, &out) != OK)
        fail_msg("%s", err.text);
    assert_string_equal(buf_text(&out), events);
}

static void elements_come_with_their_path(void **state)
{
    (void)state;
    expect("<A><B>x</B><C><D>y</D></C></A>", "A/B=x;A/C/D=y;A/C;A;");
    expect("<A/>", "A=;");
    expect("<A></A>", "A=;");
    expect("\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- a > b -->\n<A x=\"1>2\" y='/'>\n <B z='\"' />"
           " <B>2</B >\n</A>\n",
           "A/B=;A/B=2;A;");
    expect("<A xmlns=\"http://x\">&lt;&amp;&gt;&quot;&apos;&#65;&#xe4;&#x20ac;&#x1F600;</A>",
           "A=<&>\"'A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80;");
    expect("<A>a<![CDATA[<b>&amp;]]>c</A>", "A=a<b>&amp;c;");
}

static void what_is_no_such_document_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "text",
                                        "<",
                                        "<A",
                                        "<A>",
                                        "<A></B>",
                                        "<A></A",
                                        "</A>",
                                        "<A><B></A></B>",
                                        "<A/><B/>",
                                        "<A>&unknown;</A>",
                                        "<A>&#0;</A>",
                                        "<A>&#xd800;</A>",
                                        "<A>&#x110000;</A>",
                                        "<A>&#;</A>",
                                        "<A>&#x;</A>",
                                        "<A>&#1x;</A>",
                                        "<A>&lt</A>",
                                        "<A>&",
                                        "<!DOCTYPE A [<!ENTITY x \"y\">]><A/>",
                                        "<A x=\"></A>",
                                        "<A><![CDATA[</A>",
                                        "<!-- <A/>",
                                        "<?xml <A/>",
                                        "<A>x</A></A>",
                                        "< A/>",
                                        "<A><></></A>",
                                        "<![CDATA[x]]><A/>",
                                        "\xef\xbb\xbf"};
    AUTO(buf_fini) struct buf out = buf_init(0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (walk(texts[i], &out) != E_CORRUPT)
            fail_msg("accepted: %s", texts[i]);
    assert_int_equal(xml_walk("answer", "<A>\0</A>", 8, write_down, &out, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "answer: not the XML that was expected: a zero byte at byte"));
    AUTO(buf_fini) struct buf deep = buf_init(0);
    for (int i = 0; i < 100; i++)
        buf_put_text(&deep, "<A>");
    assert_int_equal(walk(buf_text(&deep), &out), E_CORRUPT);
    buf_clear(&deep);
    for (int i = 0; i < 10000; i++)
        buf_put_text(&deep, i ? "A" : "<");
    assert_int_equal(walk(buf_text(&deep), &out), E_CORRUPT);
}

static void a_visitor_may_stop(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(walk("<A><B>1</B><B>stop</B><B>2</B></A>", &out), E_CANCELLED);
    assert_string_equal(buf_text(&out), "A/B=1;");
}

/* Whatever is cut off or changed, it ends: with an error, or with other events. */
static void damaged_documents_end(void **state)
{
    (void)state;
    static const char text[] =
        "<?xml version=\"1.0\"?><A x=\"1\"><B>&lt;&#65;</B><!-- c --><C/></A>";
    AUTO(buf_fini) struct buf out = buf_init(0);
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        copy[cut] = 0;
        assert_int_equal(walk(copy, &out), E_CORRUPT);
        for (int c = 1; c < 256; c++) {
            memcpy(copy, text, sizeof text);
            copy[cut] = (char)c;
            enum status status = walk(copy, &out);
            assert_true(status == OK || status == E_CORRUPT);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_come_with_their_path),
        cmocka_unit_test(what_is_no_such_document_is_refused),
        cmocka_unit_test(a_visitor_may_stop),
        cmocka_unit_test(damaged_documents_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
