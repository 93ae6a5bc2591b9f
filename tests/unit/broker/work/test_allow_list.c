/* The list of workers that a broker admits: read, changed, followed. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/work/allow_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crypto/sign.h"
#include "common/fs.h"
#include "tests/unit/common/temp.h"

static struct id make_key(void)
{
    struct id key;
    AUTO(signer_free) struct signer *signer = signer_new();
    memcpy(key.bytes, signer_public(signer), ID_BYTES);
    return key;
}

static void keys_are_found(void **state)
{
    enum { COUNT = 50 };
    struct temp *temp = *state;
    struct id keys[COUNT], wire, unknown = make_key();
    char name[16];
    const char *path = temp_at(temp, "workers");
    assert_int_equal(allow_list_create(path, NULL), OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        keys[i] = make_key();
        snprintf(name, sizeof name, "w %u", i); /* a name may have spaces */
        assert_int_equal(allow_list_add(path, &keys[i], name, NULL), OK);
    }
    assert_int_equal(allow_list_create(path, NULL), OK); /* leaves it alone */
    AUTO(allow_list_fini) struct allow_list list = {0};
    assert_int_equal(allow_list_read(path, &list, NULL), OK);
    assert_int_equal(list.count, COUNT);
    assert_null(allow_list_find_wire(&list, &unknown));
    assert_int_equal(allow_list_derive(&list, NULL, NULL), OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "w %u", i);
        assert_string_equal(allow_list_find(&list, &keys[i])->name, name);
        assert_true(wire_public(keys[i].bytes, wire.bytes));
        assert_string_equal(allow_list_find_wire(&list, &wire)->name, name);
    }
    assert_null(allow_list_find(&list, &unknown));
    assert_null(allow_list_find_wire(&list, &unknown));
}

static void nothing_is_there_twice(void **state)
{
    struct temp *temp = *state;
    struct id key = make_key(), other = make_key();
    struct err err;
    const char *path = temp_at(temp, "workers");
    temp_write_text(path, "# by hand"); /* the last line has no end */
    assert_int_equal(allow_list_add(path, &key, "anna", NULL), OK);
    assert_int_equal(allow_list_add(path, &key, "bert", &err), E_CONFLICT);
    assert_non_null(strstr(err.text, "anna"));
    assert_int_equal(allow_list_add(path, &other, "anna", &err), E_CONFLICT);
    AUTO(allow_list_fini) struct allow_list list = {0};
    assert_int_equal(allow_list_read(path, &list, NULL), OK);
    assert_int_equal(list.count, 1);
}

static void removing_keeps_the_rest_as_it_stands(void **state)
{
    struct temp *temp = *state;
    struct id a = make_key(), b = make_key();
    char ha[ID_HEX_BYTES], hb[ID_HEX_BYTES], text[512], rest[256];
    struct err err;
    const char *path = temp_at(temp, "workers");
    snprintf(rest, sizeof rest, "# first\n\n%s bert  \n# last", id_hex(&b, hb));
    snprintf(text, sizeof text, "%s anna\n%s", id_hex(&a, ha), rest);
    temp_write_text(path, text);
    assert_int_equal(allow_list_remove(path, "nobody", &err), E_NOTFOUND);
    assert_non_null(strstr(err.text, "nobody"));
    assert_true(temp_holds(path, text, strlen(text)));
    assert_int_equal(allow_list_remove(path, "anna", NULL), OK);
    assert_true(temp_holds(path, rest, strlen(rest)));
    assert_int_equal(allow_list_remove(path, hb, NULL), OK); /* by key */
    assert_true(temp_holds(path, "# first\n\n# last", 15));
    assert_int_equal(temp_count(temp->path), 1); /* no temporary file is left */
}

static void what_is_no_list_is_named_by_its_line(void **state)
{
    static const char good[] =
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a anna\n";
    static const char *const bad[] = {
        "anna\n", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a \n",
        "D75A980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a b\n",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511ab\n"};
    struct temp *temp = *state;
    const char *path = temp_at(temp, "workers");
    struct allow_list list;
    struct err err;
    char text[256];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "%s\n%s", good, bad[i]);
        temp_write_text(path, text);
        assert_int_equal(allow_list_read(path, &list, &err), E_INVALID);
        assert_non_null(strstr(err.text, "workers:3"));
        assert_int_equal(list.count, 0);
    }
    snprintf(text, sizeof text, "%s%s", good, good);
    temp_write_text(path, text);
    assert_int_equal(allow_list_read(path, &list, &err), E_INVALID);
    assert_non_null(strstr(err.text, "twice"));
    assert_int_equal(allow_list_read(temp_at(temp, "none"), &list, NULL), E_NOTFOUND);
}

static void a_watch_follows_every_change(void **state)
{
    struct temp *temp = *state;
    const char *path = temp_at(temp, "workers");
    struct id a = make_key(), b = make_key();
    struct err err;
    bool is_new;
    struct allow_watch watch = {.path = path, .needs_wire = true};
    assert_int_equal(allow_watch_look(&watch, &is_new, &err), E_NOTFOUND);
    assert_int_equal(allow_watch_look(&watch, &is_new, NULL), OK); /* told once */
    assert_int_equal(allow_list_create(path, NULL), OK);
    for (int round = 0; round < 20; round++) { /* as fast as they come */
        assert_int_equal(allow_list_add(path, &a, "a", NULL), OK);
        assert_int_equal(allow_watch_look(&watch, &is_new, NULL), OK);
        assert_true(is_new && allow_list_find(&watch.list, &a));
        assert_int_equal(allow_list_add(path, &b, "b", NULL), OK);
        assert_int_equal(allow_list_remove(path, "a", NULL), OK);
        assert_int_equal(allow_watch_look(&watch, &is_new, NULL), OK);
        assert_true(is_new && !allow_list_find(&watch.list, &a));
        assert_int_equal(allow_watch_look(&watch, &is_new, NULL), OK);
        assert_false(is_new);
        assert_int_equal(allow_list_remove(path, "b", NULL), OK);
    }
    allow_list_fini(&watch.list);
}

static void what_cannot_be_read_changes_nothing(void **state)
{
    struct temp *temp = *state;
    const char *path = temp_at(temp, "workers");
    struct id a = make_key();
    struct err err;
    bool is_new;
    struct allow_watch watch = {.path = path};
    assert_int_equal(allow_list_create(path, NULL), OK);
    assert_int_equal(allow_list_add(path, &a, "a", NULL), OK);
    assert_int_equal(allow_watch_look(&watch, &is_new, NULL), OK);
    temp_write_text(path, "half a li");
    assert_int_equal(allow_watch_look(&watch, &is_new, &err), E_INVALID);
    assert_non_null(strstr(err.text, "half a li"));
    assert_int_equal(allow_watch_look(&watch, &is_new, NULL), OK);
    assert_non_null(allow_list_find(&watch.list, &a));
    unlink(path);
    assert_int_equal(allow_watch_look(&watch, &is_new, NULL), E_NOTFOUND);
    assert_non_null(allow_list_find(&watch.list, &a));
    assert_int_equal(allow_list_create(path, NULL), OK);
    assert_int_equal(allow_watch_look(&watch, &is_new, NULL), OK);
    assert_true(is_new);
    assert_null(allow_list_find(&watch.list, &a));
    allow_list_fini(&watch.list);
}

static void changes_at_once_all_count(void **state)
{
    enum { PROCESSES = 8 };
    struct temp *temp = *state;
    const char *path = temp_at(temp, "workers");
    assert_int_equal(allow_list_create(path, NULL), OK);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            char name[8];
            struct id key = make_key();
            snprintf(name, sizeof name, "w%d", i);
            _exit(allow_list_add(path, &key, name, NULL) == OK ? 0 : 1);
        }
    for (int i = 0; i < PROCESSES; i++) {
        int how;
        assert_true(wait(&how) > 0 && how == 0);
    }
    AUTO(allow_list_fini) struct allow_list list = {0};
    assert_int_equal(allow_list_read(path, &list, NULL), OK);
    assert_int_equal(list.count, PROCESSES);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(keys_are_found),
        IN_FOLDER(nothing_is_there_twice),
        IN_FOLDER(removing_keeps_the_rest_as_it_stands),
        IN_FOLDER(what_is_no_list_is_named_by_its_line),
        IN_FOLDER(a_watch_follows_every_change),
        IN_FOLDER(what_cannot_be_read_changes_nothing),
        IN_FOLDER(changes_at_once_all_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
