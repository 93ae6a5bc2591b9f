// SPDX-License-Identifier: Apache-2.0
#include "broker/state/segments.h"

#include <string.h>

#include "common/base/mem.h"

enum {
    NAMES_MAX = 1 << 16, /* in memory at once */
    FULL_BYTES = SEGMENT_BYTES / 2,
    LISTINGS_MAX = 100 /* without a step forward: others merge, and merge again */
};

/* ---- names ---- */

struct part {
    struct mark mark;
    uint64_t bytes;
    int64_t modified_s;
};

/* The next objects behind `last`, NAMES_MAX at most. */
struct names {
    const struct segments *segments;
    struct mark after; /* that was asked for */
    char last[SEGMENT_NAME_BYTES];
    struct part *parts;
    size_t count;
};

static enum status note_name(void *context, const struct store_object *object, struct err *err)
{
    struct names *names = context;
    struct mark mark;
    if (!segment_read_name(names->segments->ns, object->key, &mark) ||
        !mark_is_after(mark, names->after))
        return OK;
    if (names->count == NAMES_MAX)
        return err_set(err, E_CANCELLED, "enough");
    names->parts[names->count++] = (struct part){mark, object->bytes, object->modified_s};
    return OK;
}

static void names_begin(struct names *names, const struct segments *segments, struct mark after)
{
    *names = (struct names){.segments = segments, .after = after};
    names->parts = mem_alloc(NAMES_MAX * sizeof *names->parts);
    segment_name(segments->ns, (struct mark){.epoch = after.epoch}, names->last);
}

static void names_end(struct names *names)
{
    mem_free(names->parts);
}
DEFINE_AUTO_VALUE(struct names, names_end)

static enum status names_list(struct names *names, struct err *err)
{
    char prefix[SEGMENT_NAME_BYTES];
    segment_prefix(names->segments->ns, prefix);
    const struct store_range range = {prefix, names->last};
    names->count = 0;
    enum status status = store_list_range(names->segments->store, &range, note_name, names, err);
    return status == E_CANCELLED && names->count == NAMES_MAX ? OK : status;
}

/* ---- reading ---- */

struct reading {
    struct names names;
    struct buf bytes;
    segments_visit_fn *visit;
    void *context;
    bool is_enough;
};

static void reading_end(struct reading *reading)
{
    names_end(&reading->names);
    buf_fini(&reading->bytes);
}
DEFINE_AUTO_VALUE(struct reading, reading_end)

/* Up to one that is gone; *steps objects were there. */
static enum status read_listed(struct reading *reading, size_t *steps, struct err *err)
{
    struct names *names = &reading->names;
    for (*steps = 0; *steps < names->count && !reading->is_enough; ++*steps) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(names->segments->ns, names->parts[*steps].mark, name);
        buf_clear(&reading->bytes);
        enum status status = store_get_object(names->segments->store, name, &reading->bytes, err);
        if (status == E_NOTFOUND)
            return OK;
        if (status != OK)
            return status;
        TRY(reading->visit(reading->context, name, names->parts[*steps].mark,
                           (struct mp_view){reading->bytes.bytes, reading->bytes.count},
                           &reading->is_enough, err));
        memcpy(names->last, name, sizeof name);
    }
    return OK;
}

enum status segments_each(const struct segments *segments, struct mark after,
                          segments_visit_fn *visit, void *context, struct err *err)
{
    AUTO(reading_end)
    struct reading reading = {.bytes = buf_init(0), .visit = visit, .context = context};
    names_begin(&reading.names, segments, after);
    for (int tries = 0; tries < LISTINGS_MAX; tries++) {
        size_t steps;
        TRY(names_list(&reading.names, err));
        TRY(read_listed(&reading, &steps, err));
        if (!reading.names.count || reading.is_enough)
            return OK;
        if (steps)
            tries = 0;
    }
    return err_set(err, E_NOTFOUND, "journal: what is behind %s is listed, but not there",
                   reading.names.last);
}

/* ---- merging ---- */

struct merging {
    const struct segments *segments;
    int64_t before_s;
    bool merges;
    struct state_merged *out;
    const struct part *parts; /* of the group, in order */
    size_t count;
    struct buf bytes;
};

/* Nothing but whole entries? */
static bool is_sound(const uint8_t *bytes, size_t count)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct entry entry;
    for (; count; bytes += entry.byte_count, count -= entry.byte_count) {
        arena_clear(&arena);
        if (entry_decode(bytes, count, &arena, &entry, NULL) != OK)
            return false;
    }
    return true;
}

/* The first of the group in one; *count of them were sound. E_NOTFOUND: another merges. */
static enum status gather(struct merging *m, size_t *count, struct err *err)
{
    char name[SEGMENT_NAME_BYTES];
    buf_clear(&m->bytes);
    for (*count = 0; *count < m->count; ++*count) {
        size_t before = m->bytes.count;
        segment_name(m->segments->ns, m->parts[*count].mark, name);
        TRY(store_get_object(m->segments->store, name, &m->bytes, err));
        if (!is_sound(m->bytes.bytes + before, m->bytes.count - before)) {
            m->bytes.count = before;
            break;
        }
    }
    return OK;
}

static enum status replace(struct merging *m, size_t count, struct err *err)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(m->segments->ns, m->parts[count - 1].mark, name);
    TRY(store_put_object(m->segments->store, name, m->bytes.bytes, m->bytes.count, err));
    /* A power loss must not take both. */
    TRY(store_flush(m->segments->store, err));
    for (size_t i = count - 1; i-- > 0;) {
        segment_name(m->segments->ns, m->parts[i].mark, name);
        TRY(store_remove_object(m->segments->store, name, err));
        m->out->removed++;
    }
    return OK;
}

static enum status merge_group(struct merging *m, struct err *err)
{
    while (m->count > 1) {
        size_t sound = m->count;
        if (m->merges) {
            TRY(gather(m, &sound, err));
            if (sound > 1)
                TRY(replace(m, sound, err));
        } else {
            m->out->removed += m->count - 1;
        }
        sound += sound < m->count; /* the damaged one stays as it is */
        m->parts += sound;
        m->count -= sound;
    }
    return OK;
}

/* How many from the first on may be one object; at least one. */
static size_t group_size(const struct part *parts, size_t count, int64_t before_s)
{
    uint64_t bytes = parts[0].bytes;
    size_t n = 1;
    for (; n < count && parts[n].modified_s < before_s && parts[n - 1].bytes <= FULL_BYTES &&
           parts[n].bytes <= FULL_BYTES && bytes + parts[n].bytes <= SEGMENT_BYTES;
         n++) {
        const struct mark *a = &parts[n - 1].mark, *b = &parts[n].mark;
        if (a->epoch == b->epoch && a->writer != b->writer)
            break;
        bytes += parts[n].bytes;
    }
    return n;
}

static enum status merge_listed(struct merging *m, const struct names *names, struct err *err)
{
    for (size_t at = 0, n; at < names->count; at += n) {
        n = group_size(names->parts + at, names->count - at, m->before_s);
        m->parts = names->parts + at;
        m->count = n;
        TRY(merge_group(m, err));
    }
    return OK;
}

enum status segments_merge(const struct segments *segments, int64_t before_s, bool merges,
                           struct state_merged *out, struct err *err)
{
    struct merging m = {segments, before_s, merges, out, .bytes = buf_init(0)};
    AUTO(names_end) struct names names = {0};
    enum status status = OK;
    *out = (struct state_merged){0};
    names_begin(&names, segments, (struct mark){0});
    do {
        status = names_list(&names, err);
        out->segments += names.count;
        if (status == OK && names.count) {
            segment_name(segments->ns, names.parts[names.count - 1].mark, names.last);
            status = merge_listed(&m, &names, err);
        }
    } while (status == OK && names.count);
    buf_fini(&m.bytes);
    return status == E_NOTFOUND ? OK : status; /* another merges: let it */
}
