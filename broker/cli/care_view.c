// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/care_view.h"

#include <inttypes.h>

enum status care_wait(struct question *q, struct value *answer)
{
    enum { TURN_MS = 100 };
    bool is_done = false;
    TRY(app_care_result(q->app, &q->arena, answer, &is_done, &q->err));
    while (!is_done) {
        TRY(app_turn(q->app, TURN_MS, &q->err));
        TRY(app_care_result(q->app, &q->arena, answer, &is_done, &q->err));
    }
    return OK;
}

uint64_t care_count(const struct value *answer, const char *key)
{
    const struct value *value = value_get(answer, key);
    return value && value->type == VALUE_INT && value->integer > 0 ? (uint64_t)value->integer : 0;
}

const char *care_sum(const struct value *answer, const char *key, struct arena *arena)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
    const struct value *sum = value_get(answer, key);
    uint64_t count = sum ? care_count(sum, "count") : 0;
    double bytes = sum ? (double)care_count(sum, "bytes") : 0;
    size_t unit = 0;
    for (; bytes >= 1000 && unit + 1 < sizeof units / sizeof *units; unit++)
        bytes /= 1000;
    return arena_format(arena, "%" PRIu64 " file%s, %.*f %s", count, count == 1 ? "" : "s",
                        unit ? 1 : 0, bytes, units[unit]);
}
