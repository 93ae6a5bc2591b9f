/* What only places and retries work. Units as people write them: 500ms 2s 10m 1h 7d; 512Mi 2Gi 1G;
 * 0.5 or 500m of a core. Source: Kubernetes, "Resource Management for Pods and Containers"
 * (quantities). */
// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "broker/pipeline/step.h"
#include "common/text/scalar.h"
#include "proto/schema.h"

#define TEBIBYTE 1099511627776.

struct unit {
    const char *suffix;
    double factor;
};

static const struct unit durations[] = {{"ms", 1},       {"s", 1000},      {"m", 60000},
                                        {"h", 3600000.}, {"d", 86400000.}, {NULL, 0}};
static const struct unit sizes[] = {
    {"", 1},       {"k", 1e3},       {"K", 1e3},          {"M", 1e6},       {"G", 1e9}, {"T", 1e12},
    {"Ki", 1024.}, {"Mi", 1048576.}, {"Gi", 1073741824.}, {"Ti", TEBIBYTE}, {NULL, 0}};
static const struct unit cores[] = {{"", 1}, {"m", 0.001}, {NULL, 0}};

/* "2.5Gi" → number × factor. A bare number is taken if `units` has an empty suffix. */
static bool parse_quantity(const struct value *value, const struct unit *units, double *out)
{
    char text[40];
    const char *suffix = "";
    struct value number = *value;
    if (value->type == VALUE_STRING) {
        if (!value->count || value->count >= sizeof text)
            return false;
        size_t digits = strspn(value->text, "0123456789.");
        memcpy(text, value->text, value->count + 1);
        suffix = value->text + digits;
        text[digits] = 0;
        if (scalar_resolve(text, digits, &number, NULL) != OK)
            return false;
    }
    if (number.type != VALUE_INT && number.type != VALUE_REAL)
        return false;
    double amount = number.type == VALUE_INT ? (double)number.integer : number.real;
    for (; units->suffix; units++)
        if (strcmp(units->suffix, suffix) == 0) {
            *out = amount * units->factor;
            return isfinite(*out) && *out >= 0;
        }
    return false;
}

static void show(const struct value *value, struct buf *out)
{
    *out = buf_init(0);
    axis_show(value, out);
}

static void complain(struct pipeline *p, const struct value *value, const char *key,
                     const char *expected)
{
    AUTO(buf_fini) struct buf shown = {0};
    show(value, &shown);
    diagnostics_error(p->d, value, "%s: %.80s: expected %s", key, buf_text(&shown), expected);
}

static void read_duration(struct pipeline *p, const struct value *value, const char *key,
                          uint32_t *out_ms)
{
    double ms = 0;
    bool is_zero = value->type == VALUE_INT && value->integer == 0; /* needs no unit */
    if (!is_zero && !parse_quantity(value, durations, &ms))
        complain(p, value, key, "a duration such as 500ms, 2s, 10m, 1h");
    else if (ms > DURATION_SECONDS_MAX * 1000.)
        complain(p, value, key,
                 arena_format(&p->arena, "at most %dd", DURATION_SECONDS_MAX / (24 * 3600)));
    else
        *out_ms = (uint32_t)llround(ms);
}

static void read_count(struct pipeline *p, const struct value *value, const char *key, int64_t low,
                       int64_t high, int64_t *out)
{
    if (value->type == VALUE_INT && value->integer >= low && value->integer <= high) {
        *out = value->integer;
        return;
    }
    complain(p, value, key,
             arena_format(&p->arena, "a whole number from %lld to %lld", (long long)low,
                          (long long)high));
}

static bool expect_map(struct pipeline *p, const struct value *value, const char *key)
{
    if (value->type == VALUE_MAP)
        return true;
    complain(p, value, key, "a mapping");
    return false;
}

/* `retry: 3` or `retry: {limit: 3, backoff: 2s, max_backoff: 1m}`. */
static void read_retry(struct pipeline *p, const struct value *value, struct task_policy *policy)
{
    static const char *const keys[] = {"limit", "backoff", "max_backoff", "poison", NULL};
    int64_t limit = policy->retry_limit, poison = policy->poison_kills;
    if (value->type != VALUE_MAP) {
        read_count(p, value, "retry", 0, RETRY_LIMIT_MAX, &limit);
        policy->retry_limit = (uint32_t)limit;
        return;
    }
    check_keys(p, value, "of retry", keys);
    const struct value *item;
    if ((item = value_get(value, "limit")))
        read_count(p, item, "retry.limit", 0, RETRY_LIMIT_MAX, &limit);
    if ((item = value_get(value, "poison")))
        read_count(p, item, "retry.poison", 1, POISON_KILLS_MAX, &poison);
    if ((item = value_get(value, "backoff")))
        read_duration(p, item, "retry.backoff", &policy->backoff_ms);
    if ((item = value_get(value, "max_backoff")))
        read_duration(p, item, "retry.max_backoff", &policy->backoff_max_ms);
    else if (policy->backoff_max_ms < policy->backoff_ms)
        policy->backoff_max_ms = policy->backoff_ms;
    policy->retry_limit = (uint32_t)limit;
    policy->poison_kills = (uint32_t)poison;
    if (policy->backoff_max_ms < policy->backoff_ms)
        complain(p, value_get(value, "max_backoff"), "retry.max_backoff",
                 arena_format(&p->arena, "at least the backoff of %u ms", policy->backoff_ms));
}

static void read_labels(struct pipeline *p, const struct value *value, struct task_policy *policy)
{
    if (!expect_map(p, value, "resources.labels"))
        return;
    if (value->count > LABELS_MAX) {
        diagnostics_error(p->d, value, "resources.labels: %u labels; at most %d are possible",
                          value->count, LABELS_MAX);
        return;
    }
    const char **labels = arena_alloc(&p->arena, 2 * (size_t)value->count * sizeof *labels);
    for (uint32_t i = 0; i < value->count; i++) {
        AUTO(buf_fini) struct buf shown = {0};
        const struct value *label = &value->items[2 * i + 1];
        show(label, &shown);
        if (label->type == VALUE_ARRAY || label->type == VALUE_MAP || label->type == VALUE_NIL ||
            shown.count > LABEL_BYTES_MAX || value->items[2 * i].count > LABEL_BYTES_MAX)
            complain(p, label, "resources.labels",
                     arena_format(&p->arena, "a text of at most %d bytes", LABEL_BYTES_MAX));
        labels[2 * i] = value->items[2 * i].text;
        labels[2 * i + 1] = arena_format(&p->arena, "%s", buf_text(&shown));
    }
    policy->labels = labels;
    policy->label_count = value->count;
}

void policy_add_label(struct pipeline *p, const struct value *at, const char *key,
                      const char *value, struct task_policy *policy)
{
    uint32_t count = policy->label_count;
    if (count == LABELS_MAX || strlen(key) > LABEL_BYTES_MAX) {
        diagnostics_error(p->d, at, "%.80s: over %d labels, or over %d bytes", key, LABELS_MAX,
                          LABEL_BYTES_MAX);
        return;
    }
    const char **labels = arena_alloc(&p->arena, 2 * ((size_t)count + 1) * sizeof *labels);
    for (uint32_t i = 0; i < 2 * count; i++)
        labels[i] = policy->labels[i];
    labels[2 * count] = key;
    labels[2 * count + 1] = value;
    policy->labels = labels;
    policy->label_count = count + 1;
}

static void read_cpu(struct pipeline *p, const struct value *value, struct task_policy *policy)
{
    double cpu;
    if (parse_quantity(value, cores, &cpu) && cpu >= 0.01 && cpu <= CPU_MAX)
        policy->cpu_hundredths = (uint32_t)ceil(cpu * 100 - 1e-9);
    else
        complain(p, value, "resources.cpu",
                 arena_format(&p->arena, "cores such as 2, 0.5 or 500m, from 0.01 to %d", CPU_MAX));
}

static void read_memory(struct pipeline *p, const struct value *value, struct task_policy *policy)
{
    double bytes;
    if (parse_quantity(value, sizes, &bytes) && bytes >= 1 &&
        bytes <= MEMORY_TEBIBYTES_MAX * TEBIBYTE)
        policy->memory_bytes = (uint64_t)bytes;
    else
        complain(p, value, "resources.memory",
                 arena_format(&p->arena, "a size such as 512Mi, 2Gi or 1G, at most %dTi",
                              MEMORY_TEBIBYTES_MAX));
}

/* Is `key` a slip of the pen for `word`: cut short, one letter off, or in capitals? Any other key
 * is a count's name, so this is narrower than a suggestion: gpu, tpu, npu are no misspelt cpu. */
static bool is_slip(const char *key, const char *word)
{
    char lower[16];
    size_t bytes = strlen(key);
    if (bytes >= sizeof lower)
        return false;
    for (size_t i = 0; i <= bytes; i++)
        lower[i] = (char)tolower((unsigned char)key[i]);
    if (bytes == 3 && strcmp(lower, word) != 0 && strcmp(lower + 1, "pu") == 0)
        return false;
    return (bytes >= 3 && strncmp(word, lower, bytes) == 0) || schema_distance(lower, word) <= 1;
}

/* The counts stay sorted by name, so that equal ones look alike; 0 takes away what a default asks
 * for. */
static void set_count(struct pipeline *p, const struct value *key, uint32_t count,
                      struct task_policy *policy)
{
    uint32_t old = policy->resource_count, at = 0;
    struct resource *all = arena_alloc(&p->arena, ((size_t)old + 1) * sizeof *all);
    while (at < old && strcmp(policy->resources[at].name, key->text) < 0)
        at++;
    bool is_there = at < old && strcmp(policy->resources[at].name, key->text) == 0;
    if (old) {
        memcpy(all, policy->resources, at * sizeof *all);
        memcpy(all + at + (count > 0), policy->resources + at + is_there,
               (old - at - is_there) * sizeof *all);
    }
    if (count)
        all[at] = (struct resource){key->text, count};
    policy->resources = all;
    policy->resource_count = old - is_there + (count > 0);
    if (policy->resource_count > RESOURCES_MAX) {
        diagnostics_error(p->d, key, "resources.%s: at most %d named counts are possible",
                          key->text, RESOURCES_MAX);
        policy->resource_count = RESOURCES_MAX;
    }
}

/* `gpu: 1`: a count of whatever the workers call so. */
static void read_named_count(struct pipeline *p, const struct value *key, const char *const *words,
                             struct task_policy *policy)
{
    int64_t count = 0;
    for (; *words; words++)
        if (is_slip(key->text, *words)) {
            diagnostics_error(p->d, key, "unknown key \"%.64s\" of resources; did you mean \"%s\"?",
                              key->text, *words);
            return;
        }
    if (!check_name(p, key, "a resource", true))
        return;
    read_count(p, key + 1, arena_format(&p->arena, "resources.%s", key->text), 0,
               RESOURCE_COUNT_MAX, &count);
    set_count(p, key, (uint32_t)count, policy);
}

static void read_resources(struct pipeline *p, const struct value *value,
                           struct task_policy *policy)
{
    static const char *const words[] = {"cpu", "memory", "labels", NULL};
    static void (*const readers[])(struct pipeline *, const struct value *,
                                   struct task_policy *) = {read_cpu, read_memory, read_labels};
    if (!expect_map(p, value, "resources"))
        return;
    for (uint32_t i = 0; i < value->count; i++) {
        const struct value *key = &value->items[2 * i];
        size_t word = 0;
        while (words[word] && strcmp(words[word], key->text) != 0)
            word++;
        if (words[word])
            readers[word](p, key + 1, policy);
        else
            read_named_count(p, key, words, policy);
    }
}

struct task_policy policy_default(void)
{
    return (struct task_policy){.retry_limit = RETRY_LIMIT_DEFAULT,
                                .backoff_ms = BACKOFF_MS_DEFAULT,
                                .backoff_max_ms = BACKOFF_MAX_MS_DEFAULT,
                                .cpu_hundredths = CPU_HUNDREDTHS_DEFAULT,
                                .poison_kills = POISON_KILLS_DEFAULT};
}

void policy_read(struct pipeline *p, const struct value *node, struct task_policy *policy)
{
    static const char *const keys[] = {"retry", "timeout", "resources", "priority"};
    struct scope scope = {.pipeline = p, .arena = &p->arena};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct value *raw = value_get(node, keys[i]);
        struct value item;
        if (!raw || raw->type == VALUE_NIL || substitute(&scope, raw, &item) != OK)
            continue;
        int64_t priority = 0;
        if (i == 0) {
            read_retry(p, &item, policy);
        } else if (i == 1) {
            read_duration(p, &item, keys[i], &policy->timeout_ms);
        } else if (i == 2) {
            read_resources(p, &item, policy);
        } else {
            read_count(p, &item, keys[i], -PRIORITY_MAX, PRIORITY_MAX, &priority);
            policy->priority = (int32_t)priority;
        }
    }
}
