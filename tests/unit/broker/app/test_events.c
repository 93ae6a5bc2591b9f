// SPDX-License-Identifier: Apache-2.0
#include "broker/app/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/doc.h"
#include "common/text/json.h"
#include "proto/limits.h"

static uint64_t put(struct events *events, const char *run, int64_t number)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value fields = doc_map();
    doc_put(&arena, &fields, "number", value_int(number));
    return events_put(events, "task", run, &fields);
}

static int64_t number_of(const struct app_event *event)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    assert_int_equal(json_parse("event", event->json, event->json_bytes, &arena, &document, NULL),
                     OK);
    assert_int_equal(value_get(&document, "id")->integer, event->id);
    assert_string_equal(value_get_text(&document, "event"), event->event);
    assert_string_equal(value_get_text(&document, "run"), event->run);
    return value_get(&document, "number")->integer;
}

static void events_come_in_order_and_by_run(void **state)
{
    (void)state;
    struct events *events = events_new();
    struct app_event event;
    uint64_t before = events_last(events);
    assert_false(events_next(events, NULL, before, &event));
    uint64_t first = put(events, "a", 1);
    put(events, "b", 2);
    put(events, "", 3);
    uint64_t last = put(events, "a", 4);
    assert_int_equal(first, before + 1);
    assert_int_equal(last, events_last(events));

    int64_t seen[4] = {0};
    uint64_t after = 0;
    for (int i = 0; i < 4 && events_next(events, NULL, after, &event); i++, after = event.id)
        seen[i] = number_of(&event);
    for (int i = 0; i < 4; i++)
        assert_int_equal(seen[i], i + 1);

    int64_t of_a[] = {1, 3, 4}; /* what is about no run is for all */
    after = before;
    for (int i = 0; i < 3; i++, after = event.id) {
        assert_true(events_next(events, "a", after, &event));
        assert_int_equal(number_of(&event), of_a[i]);
    }
    assert_false(events_next(events, "a", after, &event));
    events_free(events);
}

static void a_replaced_event_is_not_shown(void **state)
{
    (void)state;
    struct events *events = events_new();
    struct app_event event;
    uint64_t old = put(events, "a", 1);
    put(events, "a", 2);
    events_drop(events, old);
    events_drop(events, old);
    events_drop(events, 0);
    assert_true(events_next(events, "a", 0, &event));
    assert_int_equal(number_of(&event), 2);
    events_free(events);
}

static void who_falls_behind_is_told_and_goes_on(void **state)
{
    (void)state;
    struct events *events = events_new();
    struct app_event event;
    uint64_t first = put(events, "a", 0);
    for (int64_t i = 1; i < 2 * EVENTS_KEPT_MAX; i++)
        put(events, "a", i);
    assert_true(events_next(events, "a", first, &event));
    assert_string_equal(event.event, "lost");
    uint32_t count = 0;
    for (uint64_t after = event.id; events_next(events, "a", after, &event); after = event.id)
        assert_int_equal(number_of(&event), EVENTS_KEPT_MAX + count++);
    assert_int_equal(count, EVENTS_KEPT_MAX);
    /* A number from the future: of another broker. */
    assert_true(events_next(events, "a", events_last(events) + 5, &event));
    assert_string_equal(event.event, "lost");
    assert_int_equal(event.id, events_last(events));
    assert_false(events_next(events, "a", event.id, &event));
    events_free(events);
}

static void large_events_push_out_more(void **state)
{
    (void)state;
    static char text[EVENTS_BYTES_MAX / 4];
    memset(text, 'x', sizeof text);
    AUTO(arena_fini) struct arena arena = {0};
    struct events *events = events_new();
    struct app_event event;
    struct value fields = doc_map();
    doc_put(&arena, &fields, "text", doc_text(&arena, text, sizeof text));
    for (int i = 0; i < 10; i++)
        events_put(events, "notice", "", &fields);
    int kept = 0;
    for (uint64_t after = 0; events_next(events, NULL, after, &event); after = event.id)
        kept++;
    assert_int_equal(kept, 3); /* each is a little more than a quarter */
    events_free(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_order_and_by_run),
        cmocka_unit_test(a_replaced_event_is_not_shown),
        cmocka_unit_test(who_falls_behind_is_told_and_goes_on),
        cmocka_unit_test(large_events_push_out_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
