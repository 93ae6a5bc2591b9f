// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_stats.h"

#include "common/clock.h"
#include "common/log.h"

static const char *name_of(enum sched_event_type type)
{
    static const char *const names[SCHED_EVENT_COUNT] = {
        [SCHED_SUBMIT] = "submit",     [SCHED_RESTORE] = "restore",
        [SCHED_EXTEND] = "extend",     [SCHED_CANCEL] = "cancel",
        [SCHED_HELLO] = "hello",       [SCHED_HEARTBEAT] = "heartbeat",
        [SCHED_GONE] = "gone",         [SCHED_STARTED] = "started",
        [SCHED_PROGRESS] = "progress", [SCHED_DONE] = "done",
        [SCHED_FAILED] = "failed",     [SCHED_REVOKED] = "revoked",
        [SCHED_RESOLVED] = "resolved", [SCHED_COMMITTED] = "committed",
        [SCHED_CHECKED] = "checked",   [SCHED_GO_ON] = "go_on",
        [SCHED_TICK] = "tick"};
    return names[type] ? names[type] : "other";
}

int64_t loop_stats_step_begin(enum sched_event_type type)
{
    return type == SCHED_DONE || type == SCHED_RESOLVED ? 0 : clock_us();
}

void loop_stats_step_end(struct loop_stats *stats, enum sched_event_type type, int64_t begun_us)
{
    if (!begun_us)
        return;
    int64_t now_us = clock_us(), took_us = now_us - begun_us;
    if (type == SCHED_SUBMIT)
        stats->submitted_us = now_us;
    if (took_us <= stats->worst_step_us)
        return;
    stats->worst_step_us = took_us;
    stats->worst_step = type;
}

void loop_stats_beat(struct loop_stats *stats, int64_t begun_us)
{
    int64_t took_us = clock_us() - begun_us;
    stats->beats++;
    if (took_us > stats->worst_beat_us)
        stats->worst_beat_us = took_us;
}

void loop_stats_log(const struct loop_stats *stats)
{
    log_event(LOG_INFO, "loop.stats",
              "beats=%llu commits=%llu results=%llu step_us=%lld commit_us=%lld worst_beat_us=%lld "
              "worst_step_us=%lld worst_step=%s run_us=%lld cpu_us=%lld",
              (unsigned long long)stats->beats, (unsigned long long)stats->commits,
              (unsigned long long)stats->results, (long long)stats->step_us,
              (long long)stats->commit_us, (long long)stats->worst_beat_us,
              (long long)stats->worst_step_us, name_of(stats->worst_step),
              (long long)(clock_us() - stats->submitted_us), (long long)clock_thread_cpu_us());
}
