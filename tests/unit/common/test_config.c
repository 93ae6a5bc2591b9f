// SPDX-License-Identifier: Apache-2.0
#include "common/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct {
    const char *store, *json;
    bool quiet, verbose;
    int64_t slots;
    struct config_list params, arguments;
    bool wants_help;
} got;

static struct err err;

static const struct config_option options[] = {
    {"store", 's', CONFIG_TEXT, "TEST_STORE", "URL", &got.store,
     "where artifacts live: a folder, or the address of a service that speaks the same language"},
    {"quiet", 'q', CONFIG_FLAG, "TEST_QUIET", NULL, &got.quiet, "say nothing"},
    {"verbose", 'v', CONFIG_FLAG, NULL, NULL, &got.verbose, "say more"},
    {"slots", 'j', CONFIG_COUNT, "TEST_SLOTS", "N", &got.slots, "tasks at once"},
    {"param", 'p', CONFIG_LIST, "TEST_PARAM", "NAME=VALUE", &got.params, "sets a parameter"},
    {"json", 0, CONFIG_OPTIONAL_TEXT, NULL, "full", &got.json, "prints one object"},
};

enum { OPTIONS = sizeof options / sizeof *options };

static int setup(void **state)
{
    (void)state;
    unsetenv("TEST_STORE");
    unsetenv("TEST_QUIET");
    unsetenv("TEST_SLOTS");
    unsetenv("TEST_PARAM");
    memset(&got, 0, sizeof got);
    got.store = ".penstock/store";
    got.slots = 4;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    config_list_fini(&got.params);
    config_list_fini(&got.arguments);
    return 0;
}

/* Words separated by spaces; "_" is an empty one. */
static enum status parse(const char *line)
{
    static char copy[512];
    char *argv[64] = {(char[]){"program"}};
    int argc = 1;
    teardown(NULL);
    strncpy(copy, line, sizeof copy - 1);
    for (char *at = copy, *word; (word = strsep(&at, " "));)
        if (*word)
            argv[argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
    return config_parse(options, OPTIONS, argc, argv, &got.arguments, &got.wants_help, &err);
}

static void expect_error(const char *line, const char *text)
{
    assert_int_equal(parse(line), E_INVALID);
    assert_string_equal(err.text, text);
}

static void nothing_given_keeps_the_defaults(void **state)
{
    (void)state;
    assert_int_equal(parse(""), OK);
    assert_string_equal(got.store, ".penstock/store");
    assert_int_equal(got.slots, 4);
    assert_false(got.quiet || got.verbose || got.wants_help);
    assert_null(got.json);
    assert_int_equal(got.params.count + got.arguments.count, 0);
}

static void flags_in_every_form(void **state)
{
    (void)state;
    assert_int_equal(parse("run --store=a --slots 8 -q --json file.yaml"), OK);
    assert_string_equal(got.store, "a");
    assert_int_equal(got.slots, 8);
    assert_true(got.quiet);
    assert_string_equal(got.json, "");
    assert_int_equal(got.arguments.count, 2);
    assert_string_equal(got.arguments.items[0], "run");
    assert_string_equal(got.arguments.items[1], "file.yaml");
    assert_int_equal(parse("-s b -j16 -qv --json=full -p a=1 -pb=2 --param c=3 --param=d="), OK);
    assert_string_equal(got.store, "b");
    assert_int_equal(got.slots, 16);
    assert_true(got.quiet && got.verbose);
    assert_string_equal(got.json, "full");
    assert_int_equal(got.params.count, 4);
    assert_string_equal(got.params.items[0], "a=1");
    assert_string_equal(got.params.items[1], "b=2");
    assert_string_equal(got.params.items[2], "c=3");
    assert_string_equal(got.params.items[3], "d=");
}

static void the_last_one_wins_and_values_may_look_like_flags(void **state)
{
    (void)state;
    assert_int_equal(parse("--store a --store b"), OK);
    assert_string_equal(got.store, "b");
    assert_int_equal(parse("--store - --param --store"), OK);
    assert_string_equal(got.store, "-");
    assert_string_equal(got.params.items[0], "--store");
    assert_int_equal(parse("--store="), OK);
    assert_string_equal(got.store, "");
}

static void two_dashes_end_the_flags(void **state)
{
    (void)state;
    assert_int_equal(parse("- -- -q --store -- x"), OK);
    assert_false(got.quiet);
    assert_int_equal(got.arguments.count, 5);
    assert_string_equal(got.arguments.items[0], "-");
    assert_string_equal(got.arguments.items[1], "-q");
    assert_string_equal(got.arguments.items[3], "--");
}

static void flag_beats_environment_beats_default(void **state)
{
    (void)state;
    setenv("TEST_STORE", "env", 1);
    setenv("TEST_SLOTS", "2", 1);
    setenv("TEST_QUIET", "1", 1);
    setenv("TEST_PARAM", "from=env", 1);
    assert_int_equal(parse("--slots 3"), OK);
    assert_string_equal(got.store, "env");
    assert_int_equal(got.slots, 3);
    assert_true(got.quiet);
    assert_int_equal(got.params.count, 1);
    assert_string_equal(got.params.items[0], "from=env");
    assert_int_equal(parse("-p a=1"), OK);
    assert_int_equal(got.params.count, 1);
    assert_string_equal(got.params.items[0], "a=1");
    got.store = "default";
    got.quiet = true;
    setenv("TEST_STORE", "", 1); /* as if unset */
    setenv("TEST_QUIET", "no", 1);
    assert_int_equal(parse(""), OK);
    assert_string_equal(got.store, "default");
    assert_false(got.quiet);
}

static void errors_name_flag_value_and_mend(void **state)
{
    (void)state;
    expect_error("--stroe x", "--stroe: no such flag; did you mean --store?");
    expect_error("--xyzzy", "--xyzzy: no such flag; --help lists them");
    expect_error("-x", "-x: no such flag; --help lists them");
    expect_error("-qx", "-x: no such flag; --help lists them");
    expect_error("--slots", "--slots needs a value: --slots=N");
    expect_error("a -s", "--store needs a value: --store=URL");
    expect_error("--slots=many", "--slots=many: not a whole number");
    expect_error("--slots -1", "--slots=-1: not a whole number");
    expect_error("--slots 1.5", "--slots=1.5: not a whole number");
    expect_error("--slots _", "--slots=: not a whole number");
    expect_error("-j 99999999999999999999", "--slots=99999999999999999999: not a whole number");
    expect_error("--quiet=yes", "--quiet=yes takes no value");
}

static void errors_of_the_environment_name_the_variable(void **state)
{
    (void)state;
    setenv("TEST_SLOTS", "few", 1);
    expect_error("", "TEST_SLOTS=few: not a whole number");
}

static void names_of_any_length_are_refused_calmly(void **state)
{
    (void)state;
    char line[400] = "--";
    memset(line + 2, 'x', 390);
    assert_int_equal(parse(line), E_INVALID);
    memcpy(line + 63, "=v", 3);
    assert_int_equal(parse(line), E_INVALID);
}

static void help_wins_and_changes_nothing(void **state)
{
    (void)state;
    setenv("TEST_STORE", "env", 1);
    setenv("TEST_SLOTS", "few", 1);
    assert_int_equal(parse("run --slots 9 --help"), OK);
    assert_true(got.wants_help);
    assert_string_equal(got.store, ".penstock/store");
    assert_int_equal(got.slots, 4);
    assert_int_equal(parse("-qh"), OK);
    assert_true(got.wants_help);
    assert_false(got.quiet);
    setup(NULL);
    assert_int_equal(parse("-- --help"), OK); /* an argument */
    assert_false(got.wants_help);
    assert_int_equal(parse("--store --help"), OK); /* a value */
    assert_false(got.wants_help);
}

static void help_fits_80_columns(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf out = buf_init(0);
    config_help(options, OPTIONS, &out);
    assert_string_equal(
        buf_text(&out),
        "  -s, --store URL       where artifacts live: a folder, or the address of a\n"
        "                        service that speaks the same language (TEST_STORE;\n"
        "                        default .penstock/store)\n"
        "  -q, --quiet           say nothing (TEST_QUIET)\n"
        "  -v, --verbose         say more\n"
        "  -j, --slots N         tasks at once (TEST_SLOTS; default 4)\n"
        "  -p, --param NAME=VALUE\n"
        "                        sets a parameter (TEST_PARAM; may be repeated)\n"
        "      --json[=full]     prints one object\n");
    for (const char *line = buf_text(&out), *end; (end = strchr(line, '\n')); line = end + 1)
        assert_true(end - line <= 80);
}

static void help_shows_no_default_of_what_is_unset(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf out = buf_init(0);
    got.slots = -1;
    config_help(options, OPTIONS, &out);
    assert_non_null(strstr(buf_text(&out), "tasks at once (TEST_SLOTS)\n"));
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t ms;
    } good[] = {{"30", 30000}, {"1.5s", 1500}, {"250ms", 250}, {"10 m", 600000}, {"2h", 7200000}};
    static const char *const bad[] = {"", "s", "-1s", "10x", "1e9h", "nan"};
    uint32_t ms = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(config_parse_ms("grace", good[i].text, &ms, &err), OK);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(config_parse_ms("grace", bad[i], &ms, &err), E_INVALID);
    assert_int_equal(config_parse_ms("grace", "soon", &ms, &err), E_INVALID);
    assert_string_equal(err.text,
                        "--grace \"soon\": expected a duration such as 30s or 10m, at most 720h");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_given_keeps_the_defaults),
        TEST(flags_in_every_form),
        TEST(the_last_one_wins_and_values_may_look_like_flags),
        TEST(two_dashes_end_the_flags),
        TEST(flag_beats_environment_beats_default),
        TEST(errors_name_flag_value_and_mend),
        TEST(errors_of_the_environment_name_the_variable),
        TEST(names_of_any_length_are_refused_calmly),
        TEST(help_wins_and_changes_nothing),
        TEST(help_fits_80_columns),
        TEST(help_shows_no_default_of_what_is_unset),
        TEST(durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
