// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/explain_need.h"

#include <string.h>

#include "broker/sched/match.h"
#include "broker/sched/room.h"
#include "broker/sched/task.h"

enum { NEEDS_MAX = 64, TASKS_SHOWN = 3 };

enum need_type { NEED_KIND, NEED_LABEL, NEED_COUNT, NEED_CPU, NEED_MEMORY };

struct need {
    enum need_type type;
    uint32_t index;          /* of the label or resource */
    struct task_policy only; /* asks for this and nothing else */
};

struct needs {
    struct need items[NEEDS_MAX];
    uint32_t count;
};

static void add_need(struct needs *needs, enum need_type type, uint32_t index,
                     struct task_policy only)
{
    if (needs->count < NEEDS_MAX)
        needs->items[needs->count++] = (struct need){type, index, only};
}

/* In the order in which they are named if several are to blame alike. */
static void list_needs(const struct task_policy *policy, struct needs *needs)
{
    needs->count = 0;
    if (policy->kind_version && policy->kind_version[0])
        add_need(needs, NEED_KIND, 0, (struct task_policy){.kind_version = policy->kind_version});
    for (uint32_t i = 0; i < policy->label_count; i++)
        add_need(needs, NEED_LABEL, i,
                 (struct task_policy){.label_count = 1, .labels = policy->labels + 2 * (size_t)i});
    for (uint32_t i = 0; i < policy->resource_count; i++)
        add_need(needs, NEED_COUNT, i,
                 (struct task_policy){.resource_count = 1, .resources = policy->resources + i});
    add_need(needs, NEED_CPU, 0, (struct task_policy){.cpu_hundredths = policy->cpu_hundredths});
    if (policy->memory_bytes)
        add_need(needs, NEED_MEMORY, 0, (struct task_policy){.memory_bytes = policy->memory_bytes});
}

/* ---- numbers and names ---- */

static void put_cpu(uint32_t hundredths, struct buf *out)
{
    if (hundredths % 100)
        buf_format(out, "%u.%02u", hundredths / 100, hundredths % 100);
    else
        buf_format(out, "%u", hundredths / 100);
}

static void put_bytes(uint64_t bytes, struct buf *out)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    uint32_t unit = 0;
    uint64_t whole = bytes, rest = 0;
    for (; whole >= 1024 && unit < 4; unit++) {
        rest = whole % 1024;
        whole /= 1024;
    }
    if (rest * 10 / 1024)
        buf_format(out, "%llu.%llu %s", (unsigned long long)whole,
                   (unsigned long long)(rest * 10 / 1024), units[unit]);
    else
        buf_format(out, "%llu %s", (unsigned long long)whole, units[unit]);
}

static void put_need(const struct need *need, struct buf *out)
{
    const struct task_policy *only = &need->only;
    switch (need->type) {
    case NEED_KIND: buf_format(out, "kind %s", only->kind_version); break;
    case NEED_LABEL: buf_format(out, "label %s=%s", only->labels[0], only->labels[1]); break;
    case NEED_COUNT:
        buf_format(out, "%u %s", only->resources[0].count, only->resources[0].name);
        break;
    case NEED_CPU:
        put_cpu(only->cpu_hundredths, out);
        buf_put_text(out, " cpu");
        break;
    case NEED_MEMORY:
        buf_put_text(out, "memory ");
        put_bytes(only->memory_bytes, out);
        break;
    }
}

static void put_connected(const struct sched *sched, struct buf *out)
{
    buf_format(out, "; %u %s connected", sched->worker_count,
               sched->worker_count == 1 ? "is" : "are");
}

/* ---- what no worker has ---- */

static uint32_t count_with(const struct sched *sched, const struct need *a, const struct need *b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sched->offers.count; i++) {
        const struct offer *offer = &sched->offers.items[i];
        if (offer->is_used && match_fits(&a->only, offer) && match_fits(&b->only, offer))
            count += offer->worker_count;
    }
    return count;
}

/* The version of this kind that most workers offer instead, and how many do; 0: none does. */
static uint32_t find_other_version(const struct sched *sched, const char *kind,
                                   const char **version)
{
    size_t name_bytes = strcspn(kind, "@");
    uint32_t most = 0;
    for (uint32_t i = 0; i < sched->offers.count; i++) {
        const struct offer *offer = &sched->offers.items[i];
        for (uint32_t j = 0; offer->is_used && j < offer->kind_count; j++) {
            const char *other = offer->kinds[j];
            if (strcspn(other, "@") != name_bytes || strncmp(other, kind, name_bytes) != 0)
                continue;
            struct need need = {.only = {.kind_version = other}};
            uint32_t count = count_with(sched, &need, &need);
            if (count <= most)
                continue;
            most = count;
            *version = other + name_bytes + (other[name_bytes] == '@');
        }
    }
    return most;
}

static void put_lack_of_kind(const struct sched *sched, const char *kind, struct buf *out)
{
    const char *version = "";
    uint32_t others = find_other_version(sched, kind, &version);
    if (others == 1 && sched->worker_count == 1) {
        buf_format(out, "; the only worker offers version %s", version);
        return;
    }
    if (others) {
        buf_format(out, "; %u of %u workers offer%s version %s", others, sched->worker_count,
                   others == 1 ? "s" : "", version);
        return;
    }
    buf_put_text(out, "; no worker offers it");
    put_connected(sched, out);
}

/* How much the best of all workers has of it. */
static uint64_t find_most(const struct sched *sched, const struct need *need)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < sched->offers.count; i++) {
        const struct offer *offer = &sched->offers.items[i];
        if (!offer->is_used)
            continue;
        uint64_t has = need->type == NEED_CPU ? offer->cpu_hundredths
                       : need->type == NEED_MEMORY
                           ? offer->memory_bytes
                           : room_total(offer, need->only.resources[0].name);
        most = has > most ? has : most;
    }
    return most;
}

static void put_lack_of_amount(const struct sched *sched, const struct need *need, struct buf *out)
{
    uint64_t most = find_most(sched, need);
    if (!most) {
        buf_put_text(out, "; no worker has any");
        put_connected(sched, out);
        return;
    }
    if (sched->worker_count == 1)
        buf_put_text(out, "; the only worker has ");
    else if (need->type == NEED_MEMORY)
        buf_format(out, "; the largest of %u workers has ", sched->worker_count);
    else
        buf_format(out, "; the most any of %u workers has is ", sched->worker_count);
    if (need->type == NEED_CPU)
        put_cpu((uint32_t)most, out);
    else if (need->type == NEED_MEMORY)
        put_bytes(most, out);
    else
        buf_format(out, "%llu", (unsigned long long)most);
}

static void put_lack(const struct sched *sched, const struct need *need, struct buf *out)
{
    buf_put_text(out, "needs ");
    put_need(need, out);
    if (need->type == NEED_KIND) {
        put_lack_of_kind(sched, need->only.kind_version, out);
    } else if (need->type == NEED_LABEL) {
        buf_put_text(out, "; no worker has it");
        put_connected(sched, out);
    } else {
        put_lack_of_amount(sched, need, out);
    }
}

/* Two needs that are met, but by different workers. */
static bool put_lack_of_both(const struct sched *sched, const struct needs *needs, struct buf *out)
{
    for (uint32_t i = 0; i < needs->count; i++) {
        for (uint32_t j = i + 1; j < needs->count; j++) {
            const struct need *a = &needs->items[i], *b = &needs->items[j];
            if (count_with(sched, a, b))
                continue;
            buf_put_text(out, "needs ");
            put_need(a, out);
            buf_put_text(out, " and ");
            put_need(b, out);
            buf_format(out, "; no worker has both: %u of %u ha%s the one, %u the other",
                       count_with(sched, a, a), sched->worker_count,
                       count_with(sched, a, a) == 1 ? "s" : "ve", count_with(sched, b, b));
            return true;
        }
    }
    return false;
}

void explain_lack(const struct sched *sched, const struct rule *rule, struct buf *out)
{
    struct needs needs;
    list_needs(&rule->policy, &needs);
    for (uint32_t i = 0; i < needs.count; i++) {
        if (count_with(sched, &needs.items[i], &needs.items[i]))
            continue;
        put_lack(sched, &needs.items[i], out);
        return;
    }
    if (put_lack_of_both(sched, &needs, out))
        return;
    buf_put_text(out, "needs ");
    for (uint32_t i = 0; i < needs.count; i++) {
        buf_put_text(out, i == 0 ? "" : ", ");
        put_need(&needs.items[i], out);
    }
    buf_put_text(out, "; no worker has all of that");
    put_connected(sched, out);
}

/* ---- what is there, and taken ---- */

struct holders {
    const struct sched *sched;
    const struct need *need;
    uint32_t workers, worker; /* that could run the task; the last of them */
    uint32_t tasks[TASKS_SHOWN], task_count;
};

/* Does a task of this rule take some of what the other one needs? */
static bool takes_of(const struct need *need, const struct task_policy *policy)
{
    if (need->type == NEED_MEMORY)
        return policy->memory_bytes > 0;
    if (need->type == NEED_CPU)
        return true;
    for (uint32_t i = 0; i < policy->resource_count; i++)
        if (strcmp(policy->resources[i].name, need->only.resources[0].name) == 0)
            return true;
    return false;
}

static void list_takers(struct holders *holders, const struct worker *worker)
{
    const struct sched *sched = holders->sched;
    for (uint32_t at = worker->first; at != NONE; at = sched->flights.items[at].next) {
        uint32_t task = sched->flights.items[at].task;
        if (!takes_of(holders->need, &rule_of(sched, task_at(sched, task))->policy))
            continue;
        if (holders->task_count < TASKS_SHOWN)
            holders->tasks[holders->task_count] = task;
        holders->task_count++;
    }
}

/* Is this need met by what is free at no worker that could run the rule? Then `holders` says who
 * has it. */
static bool is_taken(struct holders *holders, uint32_t rule)
{
    const struct sched *sched = holders->sched;
    struct rule only = {.policy = holders->need->only};
    for (uint32_t i = 0; i < sched->workers.count; i++) {
        const struct worker *worker = &sched->workers.items[i];
        if (!worker->is_used || worker->is_silent || worker->is_resting ||
            !sched->offers.items[worker->offer].fits[rule])
            continue;
        if (room_fits_now(sched, worker, &only))
            return false;
        holders->workers++;
        holders->worker = i;
        list_takers(holders, worker);
    }
    return holders->workers > 0;
}

static void put_holders(const struct holders *holders, struct buf *out)
{
    const struct sched *sched = holders->sched;
    buf_put_text(out, "needs ");
    put_need(holders->need, out);
    if (holders->workers == 1)
        buf_format(out, "; %s, the only worker that has it, is busy",
                   worker_name(sched, holders->worker));
    else if (holders->workers == 2)
        buf_put_text(out, "; both workers that have it are busy");
    else
        buf_format(out, "; all %u workers that have it are busy", holders->workers);
    for (uint32_t i = 0; i < TASKS_SHOWN && i < holders->task_count; i++) {
        buf_put_text(out, i == 0 ? " with " : ", ");
        explain_put_task(sched, holders->tasks[i], out);
    }
    if (holders->task_count > TASKS_SHOWN)
        buf_format(out, " and %u more", holders->task_count - TASKS_SHOWN);
}

bool explain_taken(const struct sched *sched, uint32_t rule, struct buf *out)
{
    struct needs needs;
    list_needs(&sched->rules.items[rule].policy, &needs);
    for (uint32_t i = 0; i < needs.count; i++) {
        struct holders holders = {.sched = sched, .need = &needs.items[i]};
        bool is_amount = needs.items[i].type >= NEED_COUNT;
        if (is_amount && !room_is_plain(&needs.items[i].only) && is_taken(&holders, rule)) {
            put_holders(&holders, out);
            return true;
        }
    }
    return false;
}
