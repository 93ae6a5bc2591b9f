// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_expect.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/crypto/hash.h"

void loop_expect_init(struct loop_expect *expect)
{
    expect->keys = buf_init(0);
}

void loop_expect_fini(struct loop_expect *expect)
{
    buf_fini(&expect->keys);
}

void loop_expect_put(struct loop_expect *expect, uint32_t task, const struct id *action)
{
    size_t need = ((size_t)task + 1) * sizeof *action;
    if (expect->keys.count < need) {
        size_t more = need - expect->keys.count;
        memset(buf_reserve(&expect->keys, more), 0, more);
        expect->keys.count = need;
    }
    memcpy(expect->keys.bytes + task * sizeof *action, action, sizeof *action);
}

void loop_expect_clear(struct loop_expect *expect, uint32_t first, uint32_t count)
{
    size_t from = first * sizeof(struct id), end = from + count * sizeof(struct id);
    if (from >= expect->keys.count)
        return;
    if (end < expect->keys.count) {
        memset(expect->keys.bytes + from, 0, end - from);
        return;
    }
    expect->keys.count = from;
    if (!from) /* the last run of many: the memory goes back */
        buf_fini(&expect->keys);
}

static bool has_task_inputs(const struct task_spec *spec)
{
    struct task_ref_cursor cursor = {0};
    struct task_ref ref;
    while (task_spec_next_ref(spec, &cursor, &ref))
        if (ref.is_task)
            return true;
    return false;
}

/* Both lists are sorted. */
static bool has_its_outputs(const struct task_spec *spec, const struct record *record)
{
    struct record_output output;
    const char *name;
    uint32_t name_bytes;
    if (record->output_count != spec->output_count)
        return false;
    for (size_t i = 0, k = 0; task_spec_next_output(spec, &i, &name, &name_bytes);)
        if (!record_next_output(record, &k, &output) || output.name_bytes != name_bytes ||
            memcmp(output.name, name, name_bytes) != 0)
            return false;
    return true;
}

const char *loop_expect_check(const struct loop_expect *expect, uint32_t task, struct mp_view bytes,
                              const struct record *record, bool *has_action, struct id *action)
{
    struct task_spec spec;
    struct id expected = {0};
    ASSERT(task_spec_parse(bytes.bytes, bytes.count, &spec, NULL) == OK); /* we made it */
    *has_action = record->action_bytes != bytes.count ||
                  memcmp(record->action, bytes.bytes, bytes.count) != 0;
    if (*has_action) {
        hash_bytes(PERSON_ACTION, record->action, record->action_bytes, action);
        if (((size_t)task + 1) * sizeof expected <= expect->keys.count)
            memcpy(&expected, expect->keys.bytes + task * sizeof expected, sizeof expected);
        if (id_is_zero(&expected) ? !has_task_inputs(&spec) : !id_equal(&expected, action))
            return "its worker returned the record of another action";
    }
    return has_its_outputs(&spec, record)
               ? NULL
               : "its worker returned a record whose outputs are not those of the task";
}
