// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/common/store/helpers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct err store_err;

struct store *store_open_at(struct temp *temp, const char *format)
{
    AUTO(buf_fini) struct buf url = buf_init(0);
    const char *hole = strstr(format, "%s");
    if (hole) {
        buf_put(&url, format, (size_t)(hole - format));
        buf_format(&url, "%s%s", temp->path, hole + 2);
    } else {
        buf_put_text(&url, format);
    }
    struct store *store;
    if (store_open(buf_text(&url), &store, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_string_equal(store_url(store), buf_text(&url));
    return store;
}

struct id store_put_text(struct store *store, const char *text)
{
    struct id id;
    if (store_put(store, text, strlen(text), &id, &store_err) != OK)
        fail_msg("%s", store_err.text);
    return id;
}

bool store_has_one(struct store *store, const struct id *id)
{
    bool is_there;
    assert_int_equal(store_has(store, id, 1, &is_there, &store_err), OK);
    return is_there;
}

void store_expect_text(struct store *store, const struct id *id, const char *text)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    if (store_get(store, id, &out, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_string_equal(buf_text(&out), text);
}

enum status store_count_blob(void *context, const struct store_item *item, struct err *err)
{
    *(uint64_t *)context += (item->is_manifest ? 1000000 : 1000) + item->bytes;
    return item->bytes == 99 ? err_set(err, E_CANCELLED, "enough") : OK;
}

enum status store_count_object(void *context, const struct store_object *object, struct err *err)
{
    (void)err;
    *(uint64_t *)context += 1000 + object->bytes;
    return OK;
}

static void each_part(struct temp *temp, const char *format, store_part *part)
{
    AUTO(store_close) struct store *store = store_open_at(temp, format);
    part(temp, store);
}

void store_each(struct temp *temp, store_part *part)
{
    static const char *const formats[] = {"%s/store", "file://%s/store2",
                                          "mem:", "fault+%s/store3?on=put&fail=0"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        each_part(temp, formats[i], part);
    const char *s3 = getenv("PENSTOCK_TEST_S3");
    if (!s3)
        return;
    AUTO(buf_fini) struct buf format = buf_init(0);
    buf_format(&format, "%s%%s/store", s3);
    each_part(temp, buf_text(&format), part);
}
