// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "broker/pipeline/step.h"
#include "proto/schema.h"

struct row {
    const char *name;
    uint32_t index;
};

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

void name_index_init(struct name_index *index, struct arena *arena, const char *const *names,
                     uint32_t count)
{
    AUTO(arena_fini) struct arena scratch = {0};
    struct row *rows = arena_alloc(&scratch, count * sizeof *rows);
    for (uint32_t i = 0; i < count; i++)
        rows[i] = (struct row){names[i], i};
    if (count)
        qsort(rows, count, sizeof *rows, compare_rows);
    index->count = count;
    index->names = arena_alloc(arena, (count + 1) * sizeof *index->names); /* NULL-terminated */
    index->indices = arena_alloc(arena, count * sizeof *index->indices);
    for (uint32_t i = 0; i < count; i++) {
        index->names[i] = rows[i].name;
        index->indices[i] = rows[i].index;
    }
}

uint32_t name_index_get(const struct name_index *index, const char *name)
{
    uint32_t low = 0, high = index->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, index->names[middle]);
        if (order == 0)
            return index->indices[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
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
