/* What is in the bucket: listings by pages of a thousand, and who is there. */
// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/net/times.h"
#include "common/store/s3.h"

enum {
    PAGE_BYTES_MAX = 16 << 20, /* a thousand keys and what is told of each */
    TOKEN_BYTES = 2048,
    /* A page costs about as much as this many questions of their own. */
    PAGE_WORTH = 64,
};

/* ---- pages ---- */

struct page {
    const char *place, *prefix;
    char next[TOKEN_BYTES]; /* where the next one begins; "": there is none */
    char key[S3_KEY_BYTES]; /* "": none yet, or one that none of ours has */
    uint64_t bytes;
    int64_t modified_s; /* of who does not tell it, it is never old */
    bool is_truncated;
    enum status (*visit)(void *context, const struct store_object *object, struct err *err);
    void *context;
};

static enum status take_field(struct page *page, const char *field, const char *text)
{
    bool is_ours = strncmp(text, page->prefix, strlen(page->prefix)) == 0;
    if (strcmp(field, "Key") == 0 && is_ours && strlen(text) < sizeof page->key)
        memcpy(page->key, text, strlen(text) + 1);
    if (strcmp(field, "Size") == 0)
        page->bytes = strtoull(text, NULL, 10);
    if (strcmp(field, "LastModified") == 0 && !times_parse_iso(text, &page->modified_s))
        page->modified_s = INT64_MAX;
    return OK;
}

static enum status tell(struct page *page, struct err *err)
{
    const struct store_object object = {page->key, page->bytes, page->modified_s};
    enum status status = page->key[0] ? page->visit(page->context, &object, err) : OK;
    page->key[0] = 0;
    page->bytes = 0;
    page->modified_s = INT64_MAX;
    return status;
}

static enum status take_element(void *context, const char *path, const char *text, struct err *err)
{
    struct page *page = context;
    static const char root[] = "ListBucketResult/", content[] = "Contents/";
    if (strncmp(path, root, sizeof root - 1) != 0)
        return OK;
    path += sizeof root - 1;
    if (strcmp(path, "Contents") == 0)
        return tell(page, err);
    if (text && strncmp(path, content, sizeof content - 1) == 0)
        return take_field(page, path + sizeof content - 1, text);
    if (text && strcmp(path, "IsTruncated") == 0)
        page->is_truncated = strcmp(text, "true") == 0;
    if (text && strcmp(path, "NextContinuationToken") == 0) {
        if (strlen(text) >= sizeof page->next)
            return err_set(err, E_PROTOCOL, "%s: a token of %zu bytes", page->place, strlen(text));
        memcpy(page->next, text, strlen(text) + 1);
    }
    return OK;
}

/* Where a listing begins: both or neither of the two may be NULL. */
struct place {
    const char *prefix, *after, *token;
};

static enum status list_page(struct s3 *s3, const struct place *place, struct page *page,
                             struct err *err)
{
    AUTO(buf_fini) struct buf answer = buf_init(PAGE_BYTES_MAX);
    struct s3_op op = {.method = "GET", .out = &answer};
    s3_query(&op, "list-type", "2");
    s3_query(&op, "prefix", place->prefix);
    if (place->token)
        s3_query(&op, "continuation-token", place->token);
    else if (place->after)
        s3_query(&op, "start-after", place->after);
    TRY(s3_do(s3, &op, err));
    page->next[0] = page->key[0] = 0;
    page->modified_s = INT64_MAX;
    page->is_truncated = false;
    page->place = s3->base.url;
    page->prefix = place->prefix;
    TRY(s3_read_xml(s3, &answer, take_element, page, err));
    bool is_same = place->token && strcmp(page->next, place->token) == 0;
    if (page->is_truncated && (!page->next[0] || is_same))
        return err_set(err, E_PROTOCOL, "%s: a listing goes on, but nowhere", page->place);
    return OK;
}

/* All from `place` on. */
static enum status list_all(struct s3 *s3, struct place place, struct page *page, struct err *err)
{
    char token[TOKEN_BYTES];
    do {
        TRY(list_page(s3, &place, page, err));
        memcpy(token, page->next, sizeof token);
        place.token = token;
    } while (page->is_truncated);
    return OK;
}

/* ---- blobs and manifests ---- */

struct listing {
    size_t prefix_bytes;
    bool is_manifest;
    store_visit_item *visit;
    store_visit_object *visit_object;
    void *context;
};

/* "ab/cdef…" behind blobs/ or trees/; anything else is a stranger's. */
static bool parse_key(const char *text, struct id *out)
{
    char hex[ID_HEX_BYTES];
    if (strlen(text) != ID_HEX_BYTES || text[2] != '/')
        return false;
    snprintf(hex, sizeof hex, "%.2s%s", text, text + 3);
    return id_parse(hex, ID_HEX_BYTES - 1, out, NULL) == OK;
}

static enum status tell_item(void *context, const struct store_object *object, struct err *err)
{
    const struct listing *listing = context;
    struct store_item item = {.is_manifest = listing->is_manifest,
                              .bytes = object->bytes,
                              .modified_s = object->modified_s};
    if (!parse_key(object->key + listing->prefix_bytes, &item.id))
        return OK;
    return listing->visit(listing->context, &item, err);
}

enum status s3_list(struct store *store, store_visit_item *visit, void *context, struct err *err)
{
    struct s3 *s3 = s3_of(store);
    static const char *const folders[] = {"blobs/", "trees/"};
    for (int i = 0; i < 2; i++) {
        char prefix[S3_KEY_BYTES];
        int bytes = snprintf(prefix, sizeof prefix, "%s%s", s3->config.prefix, folders[i]);
        struct listing listing = {.prefix_bytes = (size_t)bytes,
                                  .is_manifest = i == 1,
                                  .visit = visit,
                                  .context = context};
        AUTO(mem_free) struct page *page = mem_alloc(sizeof *page);
        page->visit = tell_item;
        page->context = &listing;
        TRY(list_all(s3, (struct place){.prefix = prefix}, page, err));
    }
    return OK;
}

static enum status tell_object(void *context, const struct store_object *object, struct err *err)
{
    const struct listing *listing = context;
    struct store_object told = *object;
    told.key += listing->prefix_bytes;
    return listing->visit_object(listing->context, &told, err);
}

enum status s3_list_objects(struct store *store, const struct store_range *range,
                            store_visit_object *visit, void *context, struct err *err)
{
    struct s3 *s3 = s3_of(store);
    char prefix[S3_KEY_BYTES], after[S3_KEY_BYTES];
    snprintf(prefix, sizeof prefix, "%s%s", s3->config.prefix, range->prefix);
    if (range->after)
        snprintf(after, sizeof after, "%s%s", s3->config.prefix, range->after);
    struct listing listing = {
        .prefix_bytes = strlen(s3->config.prefix), .visit_object = visit, .context = context};
    AUTO(mem_free) struct page *page = mem_alloc(sizeof *page);
    page->visit = tell_object;
    page->context = &listing;
    return list_all(s3, (struct place){prefix, range->after ? after : NULL, NULL}, page, err);
}

/* ---- who is there ---- */

struct wanted {
    struct id id;
    size_t index; /* in the caller's arrays */
};

struct question {
    struct s3 *s3;
    enum store_space space;
    bool *is_old;          /* or NULL: nobody asks; by the caller's index */
    struct wanted *wanted; /* sorted by id */
    size_t count, at;      /* those before `at` are answered, or asked */
    bool *has;
    bool is_busy[S3_PARALLEL];
    struct s3_op ops[S3_PARALLEL];
};

static int compare_wanted(const void *a, const void *b)
{
    return id_compare(&((const struct wanted *)a)->id, &((const struct wanted *)b)->id);
}

static struct s3_op *next_head(void *context)
{
    struct question *question = context;
    if (question->at == question->count)
        return NULL;
    size_t i = 0;
    while (question->is_busy[i])
        i++;
    question->is_busy[i] = true;
    question->ops[i] =
        (struct s3_op){.method = "HEAD", .may_be_absent = true, .number = question->at};
    s3_key(question->s3, question->space, &question->wanted[question->at++].id,
           question->ops[i].key);
    return &question->ops[i];
}

static enum status head_done(void *context, struct s3_op *op, struct err *err)
{
    (void)err;
    struct question *question = context;
    size_t index = question->wanted[op->number].index;
    question->has[index] = !op->is_absent;
    if (question->is_old)
        question->is_old[index] = !op->is_absent && !s3_is_new(op);
    question->is_busy[op - question->ops] = false;
    return OK;
}

/* A listed blob settles all that are wanted up to it. */
static void settle_up_to(struct question *question, const struct id *listed)
{
    for (; question->at < question->count; question->at++) {
        const struct wanted *wanted = &question->wanted[question->at];
        int order = id_compare(&wanted->id, listed);
        if (order > 0)
            return;
        question->has[wanted->index] = order == 0;
    }
}

struct sweep {
    struct question *question;
    size_t prefix_bytes;
};

static enum status settle_listed(void *context, const struct store_object *object, struct err *err)
{
    (void)err;
    const struct sweep *sweep = context;
    struct id id;
    if (parse_key(object->key + sweep->prefix_bytes, &id))
        settle_up_to(sweep->question, &id);
    return OK;
}

/* Pages, each from the next one wanted on, as long as a page settles many. */
static enum status sweep_pages(struct question *question, struct err *err)
{
    struct s3 *s3 = question->s3;
    char prefix[S3_KEY_BYTES], after[S3_KEY_BYTES];
    int bytes = snprintf(prefix, sizeof prefix, "%sblobs/", s3->config.prefix);
    struct sweep sweep = {question, (size_t)bytes};
    AUTO(mem_free) struct page *page = mem_alloc(sizeof *page);
    page->visit = settle_listed;
    page->context = &sweep;
    while (question->count - question->at > PAGE_WORTH) {
        size_t before = question->at;
        s3_key(s3, STORE_BLOBS, &question->wanted[before].id, after);
        after[strlen(after) - 1]--; /* just before it: no key of ours lies between */
        const struct place place = {.prefix = prefix, .after = after};
        TRY(list_page(s3, &place, page, err));
        if (!page->is_truncated) { /* what was not listed is not there */
            for (; question->at < question->count; question->at++)
                question->has[question->wanted[question->at].index] = false;
            return OK;
        }
        if (question->at - before < PAGE_WORTH)
            return OK;
    }
    return OK;
}

static enum status ask(struct question *question, const struct id *ids, struct err *err)
{
    AUTO(mem_free)
    struct wanted *wanted = mem_alloc((question->count + 1) * sizeof *wanted);
    for (size_t i = 0; i < question->count; i++)
        wanted[i] = (struct wanted){ids[i], i};
    if (question->count)
        qsort(wanted, question->count, sizeof *wanted, compare_wanted);
    question->wanted = wanted;
    if (!question->is_old)
        TRY(sweep_pages(question, err));
    const struct s3_batch batch = {
        .parallel = S3_PARALLEL, .next = next_head, .done = head_done, .context = question};
    return s3_run(question->s3, &batch, err);
}

enum status s3_has(struct store *store, const struct id *ids, size_t count, bool *has,
                   struct err *err)
{
    AUTO(mem_free) struct question *question = mem_alloc(sizeof *question);
    *question = (struct question){.s3 = s3_of(store), .count = count, .has = has};
    return ask(question, ids, err);
}

enum status s3_renew(struct store *store, enum store_space space, const struct id *ids,
                     size_t count, bool *has, struct err *err)
{
    AUTO(mem_free) struct question *question = mem_alloc(sizeof *question);
    AUTO(mem_free) bool *is_old = mem_alloc(count + 1);
    *question = (struct question){
        .s3 = s3_of(store), .space = space, .is_old = is_old, .count = count, .has = has};
    TRY(ask(question, ids, err));
    for (size_t i = 0; i < count; i++) {
        char key[S3_KEY_BYTES];
        s3_key(s3_of(store), space, &ids[i], key);
        if (is_old[i])
            TRY(s3_make_new(s3_of(store), key, &has[i], err));
    }
    return OK;
}
