/* Parameters as data. Each kind, model and preprocess operation has one file `schema/NAME.def`: a
 * list of
 *
 *     PARAM(type, name, default, range, source, help)
 *
 * lines. From it the preprocessor makes the C struct that handlers read (`struct NAME_params`), the
 * table below, and through the table: the validator, the canonical form, the text of `worker
 * describe` and the reference in the docs. Both programs see the same table, so they can't
 * disagree.
 *
 *   type    BOOL INT REAL STRING ENUM STRINGS OBJECT LIST ANY      (see enum param_type)
 *   default DEFAULT(value), or REQUIRED, or NONE (optional; then the struct's has_NAME is false)
 *   range   ANY_VALUE | RANGE(low, high) | ABOVE(low) (open) | BETWEEN(low, high) (both open) |
 *           FROM_ABOVE(low, high) (low open) | FROM_BELOW(low, high) (high open) |
 *           CHOICES("a", "b") | OF(&schema_a, …)
 *   source  where the name and the default come from ("scikit-learn LogisticRegression.C"), or ""
 *   help    one sentence
 *
 * Defaults of a kind version are frozen by a test: a parameter equal to its default is left out of
 * the canonical form, so adding one never changes an old task id, and changing one always would. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"
#include "proto/value.h"

enum param_type {
    PARAM_BOOL,    /* bool */
    PARAM_INT,     /* int64_t, in [low, high] */
    PARAM_REAL,    /* double, in [low, high]; an integer is accepted and becomes real */
    PARAM_STRING,  /* const char * */
    PARAM_ENUM,    /* int: index into choices */
    PARAM_STRINGS, /* const struct value *: a list of strings; a single string is a list of one */
    PARAM_OBJECT,  /* const struct value *: a mapping that another schema checks */
    PARAM_LIST, /* const struct value *: a list of single-key mappings {schema name: its params} */
    PARAM_ANY   /* const struct value *: anything (exec's command, sleep's index) */
};

enum param_default { PARAM_REQUIRED, PARAM_NONE, PARAM_VALUE };

struct schema;

struct param {
    const char *name;
    enum param_type type;
    enum param_default has_default;
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *text;        /* STRING; ENUM: the choice's name */
        const struct value *any; /* ANY: written INTEGER(2) in the .def file */
    } value;
    double low, high; /* −inf … inf where unbounded */
    bool low_is_open, high_is_open;
    const char *const *choices;          /* ENUM: NULL-terminated */
    const struct schema *const *schemas; /* OBJECT: one; LIST: the accepted ones; NULL-terminated */
    size_t offset, has_offset;           /* into the params struct */
    const char *source, *help;
};

struct schema {
    const char *name, *title, *help; /* the title is what people write: "scale" for op_scale */
    const struct param *params;
    size_t param_count, struct_bytes;
    /* Beyond single parameters: may be NULL. `params` is the decoded struct. */
    enum status (*check)(const void *params, struct err *err);
};

/* Where complaints go: called once per problem with the offending value's place. All problems of a
 * document are reported, not the first alone. `text` says value, what was expected, and "did you
 * mean". */
struct schema_report {
    void (*problem)(void *context, const struct value *at, const char *text);
    void *context;
};

/* How an item of a LIST may be written: `title` alone where nothing is required; `title: {params}`
 * where every key is one of the schema's parameters; else `title: value`, which is the value of the
 * schema's first parameter
 * (`- drop: [a, b]`, `- rename: {old: new}`). Canonical is {title: {params}}. */

/* A kind may take parameters of several schemas at once (train: its own and its model's): a key
 * must belong to exactly one of `schemas` (NULL-terminated). Checks `params` (a VALUE_MAP, or
 * VALUE_NIL for none) and builds the canonical map in `memory`: defaults left out, integers made
 * real where the schema says so, enum case checked, keys sorted. `out` is what value_encode() and
 * schema_decode() take. Returns E_INVALID if anything was reported. */
MUST_USE enum status schema_canonical(const struct schema *const *schemas,
                                      const struct value *params, struct value_memory memory,
                                      const struct schema_report *report, struct value *out);

/* Fills the params struct of `schema` from a canonical map, defaults included; keys of other
 * schemas are ignored. The struct borrows from `params`. Errors: E_INVALID, for input that skipped
 * the broker. */
MUST_USE enum status schema_decode(const struct schema *schema, const struct value *params,
                                   void *out, struct err *err);

/* A parameter's default as a value; null where it has none. */
struct value schema_default(const struct param *param);

/* Levenshtein's distance of two words of at most SUGGEST_BYTES_MAX bytes, with transpositions of
 * neighbours (optimal string alignment). */
enum { SUGGEST_BYTES_MAX = 63 };
unsigned schema_distance(const char *a, const char *b);
/* The nearest of NULL-terminated `names` to `word` by edit distance, or NULL if none is near. */
const char *schema_suggest(const char *word, const char *const *names);
