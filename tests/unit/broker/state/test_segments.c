/* Pieces of the journal that are made one: whatever happens, the same entries in the same order. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/state/segments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "tests/unit/common/temp.h"

enum { PARTS = 12, ENTRIES = 3 };

static struct err err;

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != OK)                                                                          \
            fail_msg("%s", err.text);                                                              \
    } while (0)

/* ---- a journal ---- */

static struct store *open_store(struct temp *temp, const char *how)
{
    struct store *store;
    char url[256];
    snprintf(url, sizeof url, "%s%s%s", *how ? "fault+" : "", temp_at(temp, "store"), how);
    MUST(store_open(url, &store, &err));
    return store;
}

/* Names what it is in a run's document of `bytes`. */
static void add_entry(struct buf *out, struct mark mark, size_t bytes)
{
    char *document = mem_alloc(bytes + 1);
    snprintf(document, bytes, "%d/%d/%d", (int)mark.epoch, (int)mark.writer, (int)mark.number);
    const struct state_run run = {"2026-a", (const uint8_t *)document, bytes};
    const struct state_batch batch = {.runs = &run, .run_count = 1};
    entry_encode(mark, &batch, out);
    mem_free(document);
}

static void put_part(struct store *store, struct mark part, size_t entry_bytes)
{
    char name[SEGMENT_NAME_BYTES];
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    for (uint64_t i = 1; i <= ENTRIES; i++)
        add_entry(&bytes, (struct mark){part.epoch, part.writer, (part.number - 1) * ENTRIES + i},
                  entry_bytes);
    segment_name("n", part, name);
    MUST(store_put_object(store, name, bytes.bytes, bytes.count, &err));
}

/* Two leaders, one after the other. */
static void put_parts(struct store *store)
{
    for (uint64_t n = 1; n <= PARTS; n++)
        put_part(store,
                 n <= PARTS / 2 ? (struct mark){1, 7, n} : (struct mark){2, 5, n - PARTS / 2}, 40);
}

struct history {
    struct marks_seen seen;
    struct buf text;
    uint32_t objects;
    struct store *merges_at; /* when the second object is read */
};

static enum status see(void *context, const char *name, struct mark mark, struct mp_view bytes,
                       bool *is_enough, struct err *why)
{
    struct history *history = context;
    (void)name, (void)mark, (void)is_enough;
    AUTO(arena_fini) struct arena arena = {0};
    history->objects++;
    for (struct entry entry; bytes.count;
         bytes.bytes += entry.byte_count, bytes.count -= entry.byte_count) {
        if (entry_decode(bytes.bytes, bytes.count, &arena, &entry, why) != OK) {
            buf_put_text(&history->text, " damaged");
            break;
        }
        if (marks_see(&history->seen, entry.mark))
            buf_format(&history->text, " %s", (const char *)entry.batch.runs[0].document);
    }
    if (history->objects == 2 && history->merges_at) {
        struct state_merged merged;
        TRY(segments_merge(&(struct segments){history->merges_at, "n"}, INT64_MAX, true, &merged,
                           why));
    }
    return OK;
}

static uint32_t read_history(struct store *store, struct mark after, struct store *merges_at,
                             struct buf *out)
{
    struct history history = {{buf_init(0)}, buf_init(0), 0, merges_at};
    MUST(segments_each(&(struct segments){store, "n"}, after, see, &history, &err));
    buf_clear(out);
    buf_put_text(out, buf_text(&history.text));
    buf_fini(&history.text);
    buf_fini(&history.seen.runs);
    return history.objects;
}

static const struct mark all = {0};

static struct state_merged merge(struct store *store, bool merges)
{
    struct state_merged merged;
    MUST(segments_merge(&(struct segments){store, "n"}, INT64_MAX, merges, &merged, &err));
    return merged;
}

/* ---- stories ---- */

static void small_ones_become_one(void **context)
{
    struct store *store = open_store(*context, "");
    AUTO(buf_fini) struct buf before = buf_init(0), after = buf_init(0);
    put_parts(store);
    assert_int_equal(read_history(store, all, NULL, &before), PARTS);
    assert_int_equal(merge(store, false).removed, PARTS - 1);
    assert_int_equal(read_history(store, all, NULL, &after), PARTS);
    assert_int_equal(merge(store, true).segments, PARTS);
    assert_int_equal(read_history(store, all, NULL, &after), 1);
    assert_string_equal(buf_text(&before), buf_text(&after));
    assert_int_equal(merge(store, true).removed, 0);
    store_close(store);
}

static void what_was_put_lately_is_let_alone(void **context)
{
    struct store *store = open_store(*context, "");
    struct state_merged merged;
    put_parts(store);
    MUST(segments_merge(&(struct segments){store, "n"}, 1, true, &merged, &err));
    assert_int_equal(merged.segments, PARTS);
    assert_int_equal(merged.removed, 0);
    store_close(store);
}

/* A server that knows what it has up to an object is given all that is behind it. */
static void what_a_server_lacks_is_still_found(void **context)
{
    struct store *store = open_store(*context, "");
    AUTO(buf_fini) struct buf text = buf_init(0);
    put_parts(store);
    merge(store, true);
    assert_int_equal(read_history(store, (struct mark){2, 5, 2}, NULL, &text), 1);
    assert_non_null(strstr(buf_text(&text), " 2/5/7 "));
    assert_int_equal(read_history(store, (struct mark){2, 5, PARTS / 2}, NULL, &text), 0);
    put_part(store, (struct mark){2, 5, PARTS / 2 + 1}, 40);
    assert_int_equal(read_history(store, (struct mark){2, 5, PARTS / 2}, NULL, &text), 1);
    store_close(store);
}

static void killed_anywhere_it_is_the_same_journal(void **context)
{
    struct temp *temp = *context;
    bool is_over = false;
    for (int operation = 1; !is_over; operation++) {
        char how[64];
        AUTO(buf_fini) struct buf before = buf_init(0), after = buf_init(0);
        struct store *store = open_store(temp, "");
        for (uint64_t n = 1; n <= PARTS; n++) { /* what is left of the last time goes */
            char name[SEGMENT_NAME_BYTES];
            segment_name(
                "n", n <= PARTS / 2 ? (struct mark){1, 7, n} : (struct mark){2, 5, n - PARTS / 2},
                name);
            MUST(store_remove_object(store, name, &err));
        }
        put_parts(store);
        read_history(store, all, NULL, &before);
        snprintf(how, sizeof how, "?on=any&fail=%d&times=0", operation);
        struct store *killed = open_store(temp, how);
        struct state_merged merged;
        is_over =
            segments_merge(&(struct segments){killed, "n"}, INT64_MAX, true, &merged, &err) == OK;
        store_close(killed);
        read_history(store, all, NULL, &after);
        assert_string_equal(buf_text(&before), buf_text(&after));
        merge(store, true);
        assert_int_equal(read_history(store, all, NULL, &after), 1);
        assert_string_equal(buf_text(&before), buf_text(&after));
        store_close(store);
        assert_in_range(operation, 1, 100);
    }
}

static void who_reads_meanwhile_misses_nothing(void **context)
{
    struct store *store = open_store(*context, ""), *other = open_store(*context, "");
    AUTO(buf_fini) struct buf before = buf_init(0), after = buf_init(0);
    put_parts(store);
    read_history(store, all, NULL, &before);
    assert_int_equal(read_history(store, all, other, &after), 3); /* two, then the one of all */
    assert_string_equal(buf_text(&before), buf_text(&after));
    store_close(store);
    store_close(other);
}

static void an_epoch_that_was_given_twice_stays_apart(void **context)
{
    struct store *store = open_store(*context, "");
    AUTO(buf_fini) struct buf text = buf_init(0);
    put_part(store, (struct mark){1, 7, 1}, 40);
    put_part(store, (struct mark){1, 7, 2}, 40);
    put_part(store, (struct mark){1, 9, 3}, 40);
    put_part(store, (struct mark){2, 9, 1}, 40);
    merge(store, true);
    assert_int_equal(read_history(store, all, NULL, &text), 2);
    /* One that knows all of writer 7 of epoch 1 knows nothing of writer 9. */
    assert_int_equal(read_history(store, (struct mark){1, 7, 2}, NULL, &text), 1);
    assert_string_equal(buf_text(&text), " 1/9/7 1/9/8 1/9/9 2/9/1 2/9/2 2/9/3");
    store_close(store);
}

static void a_damaged_one_is_left_as_it_is(void **context)
{
    struct store *store = open_store(*context, "");
    char name[SEGMENT_NAME_BYTES];
    AUTO(buf_fini) struct buf before = buf_init(0), after = buf_init(0);
    put_parts(store);
    segment_name("n", (struct mark){1, 7, 3}, name);
    MUST(store_put_object(store, name, "what is this?", 13, &err));
    read_history(store, all, NULL, &before);
    assert_non_null(strstr(buf_text(&before), " damaged 1/7/10 "));
    merge(store, true);
    assert_int_equal(read_history(store, all, NULL, &after), 3);
    assert_string_equal(buf_text(&before), buf_text(&after));
    store_close(store);
}

static void large_ones_are_left_alone(void **context)
{
    struct store *store = open_store(*context, "");
    AUTO(buf_fini) struct buf before = buf_init(0), after = buf_init(0);
    for (uint64_t n = 1; n <= 8; n++) /* of 3 MB, but for one of 6 */
        put_part(store, (struct mark){1, 7, n}, n == 4 ? 2 << 20 : 1 << 20);
    read_history(store, all, NULL, &before);
    assert_int_equal(merge(store, true).removed, 3); /* 12, 3; the 6 MB; 56, 78 */
    assert_int_equal(read_history(store, all, NULL, &after), 5);
    assert_string_equal(buf_text(&before), buf_text(&after));
    assert_int_equal(merge(store, true).removed, 0);
    store_close(store);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(small_ones_become_one),
        WITH(what_was_put_lately_is_let_alone),
        WITH(what_a_server_lacks_is_still_found),
        WITH(killed_anywhere_it_is_the_same_journal),
        WITH(who_reads_meanwhile_misses_nothing),
        WITH(an_epoch_that_was_given_twice_stays_apart),
        WITH(a_damaged_one_is_left_as_it_is),
        WITH(large_ones_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
