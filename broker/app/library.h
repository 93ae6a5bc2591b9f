/* Who made what: every record's outputs by id, and what is known of bytes from outside. Read from
 * the state in one go, for questions that walk from an artifact to all that made it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/local.h"
#include "common/base/id_map.h"
#include "common/base/id_set.h"

/* The first that made some bytes stands for them, but whoever only passes them on gives way to who
 * made them. */
struct made {
    struct id output, task;
    const uint8_t *record;
    size_t record_bytes;
    bool is_passed_on; /* its maker read these bytes: a selection, say */
    bool is_shown;     /* for lineage: told once already */
};

struct library {
    struct arena *arena;
    struct made *items;
    uint32_t count, capacity;
    struct id_map by_output;
    struct value sources; /* of all runs, newest first: {"name", "location", "id", …} */
};

/* Records are copied into the arena. */
MUST_USE enum status library_open(struct local *app, struct arena *arena, struct library *out,
                                  struct err *err);
void library_close(struct library *library);
/* NULL: no task made it. */
struct made *library_find(struct library *library, const struct id *output);

/* What is still to be looked at of all that made an artifact, each once; a list, since a chain may
 * be as long as it likes. */
struct library_item {
    struct artifact artifact;
    bool has_task; /* whose reader's specification says that it is this output of this task */
    struct id task;
    const char *output; /* not NUL-terminated; lives as long as that specification */
    uint32_t output_bytes;
};
struct library_walk {
    struct buf todo; /* struct library_item */
    struct id_set seen;
};
void library_walk_init(struct library_walk *walk); /* must stay where it is */
void library_walk_fini(struct library_walk *walk);
/* What the record's task read. `spec`: what the task was, of which the record's action is that;
 * NULL: not known. */
MUST_USE enum status library_walk_add(struct library_walk *walk, const struct record *record,
                                      const struct task_spec *spec, struct err *err);
bool library_walk_next(struct library_walk *walk, struct library_item *out);

DEFINE_AUTO_VALUE(struct library, library_close)
DEFINE_AUTO_VALUE(struct library_walk, library_walk_fini)
