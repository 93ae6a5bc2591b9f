// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <string.h>

#include "broker/pipeline/step.h"
#include "proto/schema.h"

uint64_t name_hash(const char *name)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, its high half folded in */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 1099511628211u;
    return hash ^ hash >> 32;
}

void name_index_init(struct name_index *index, struct arena *arena, const char *const *names,
                     uint32_t count)
{
    uint32_t slots = 8;
    while (slots < 2 * count)
        slots *= 2;
    index->mask = slots - 1;
    index->slots = arena_alloc(arena, slots * sizeof *index->slots);
    index->names = arena_alloc(arena, ((size_t)count + 1) * sizeof *index->names);
    for (uint32_t i = 0; i < count; i++) {
        index->names[i] = names[i];
        uint32_t at = (uint32_t)name_hash(names[i]) & index->mask;
        while (index->slots[at])
            at = (at + 1) & index->mask;
        index->slots[at] = i + 1;
    }
}

uint32_t name_index_get(const struct name_index *index, const char *name)
{
    uint32_t at = (uint32_t)name_hash(name) & index->mask;
    for (; index->slots[at]; at = (at + 1) & index->mask)
        if (strcmp(index->names[index->slots[at] - 1], name) == 0)
            return index->slots[at] - 1;
    return STEP_NONE;
}

const char *suggest(struct arena *arena, const char *word, const char *const *names)
{
    const char *near = schema_suggest(word, names);
    return near ? arena_format(arena, "; did you mean \"%s\"?", near) : "";
}

static bool is_name(const char *text, bool dash)
{
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && *text != '_' && !(dash && *text == '-'))
            return false;
    return true;
}

bool check_name(struct pipeline *p, const struct value *name, const char *what, bool dash)
{
    if (name->count <= NAME_BYTES_MAX && is_name(name->text, dash))
        return true;
    diagnostics_error(p->d, name,
                      "\"%.80s\" can't be the name of %s: expected a letter or _, then letters, "
                      "digits%s or _, at most %d bytes",
                      name->text, what, dash ? ", -" : "", NAME_BYTES_MAX);
    return false;
}

bool check_path(struct pipeline *p, const struct value *path, const char *what)
{
    const char *problem = NULL;
    if (path->type != VALUE_STRING || !path->count)
        problem = "expected a path";
    else if (path->count > TREE_PATH_BYTES_MAX)
        problem = "the path is too long";
    else if (path->text[0] == '/')
        problem = "expected a path relative to the work folder";
    for (const char *part = problem ? NULL : path->text; part;) {
        size_t bytes = strcspn(part, "/");
        if (!bytes || (bytes == 1 && part[0] == '.') || (bytes == 2 && memcmp(part, "..", 2) == 0))
            problem = "a path here has no empty, \".\" or \"..\" part";
        part = part[bytes] ? part + bytes + 1 : NULL;
    }
    if (problem)
        diagnostics_error(p->d, path, "%s: \"%.200s\": %s", what,
                          path->type == VALUE_STRING ? path->text : "", problem);
    return !problem;
}

void check_keys(struct pipeline *p, const struct value *map, const char *where,
                const char *const *known)
{
    for (uint32_t i = 0; i < map->count; i++) {
        const struct value *key = &map->items[2 * i];
        bool is_known = false;
        for (const char *const *k = known; *k && !is_known; k++)
            is_known = strcmp(*k, key->text) == 0;
        if (!is_known)
            diagnostics_error(p->d, key, "unknown key \"%.64s\" %s%s", key->text, where,
                              suggest(&p->arena, key->text, known));
    }
}
