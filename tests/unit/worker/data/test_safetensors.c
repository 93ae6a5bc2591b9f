// SPDX-License-Identifier: Apache-2.0
#include "worker/data/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

static const double reals[] = {1.5, -2.25, 3, 4, 5, 6};
static const int64_t integers[] = {7, -8, 9};
static const uint8_t bytes5[] = {1, 2, 3, 4, 5};

static void write_example(struct buf *out)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value metadata = doc_map();
    doc_put(&arena, &metadata, "zeta", value_string("last"));
    doc_put(&arena, &metadata, "alpha", value_string("a \"quoted\" ünï"));
    struct tensor tensors[] = {
        {"weights", TENSOR_F64, 2, {3, 2}, reals},
        {"odd", TENSOR_U8, 1, {5}, bytes5},
        {"row_id", TENSOR_I64, 1, {3}, integers},
    };
    assert_int_equal(safetensors_write(tensors, 3, &metadata, out, NULL), OK);
}

static void written_is_canonical(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = buf_init(0);
    write_example(&file);
    const char *header =
        "{\"__metadata__\":{\"alpha\":\"a \\\"quoted\\\" ünï\",\"zeta\":\"last\"},"
        "\"odd\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
        "\"row_id\":{\"dtype\":\"I64\",\"shape\":[3],\"data_offsets\":[5,29]},"
        "\"weights\":{\"dtype\":\"F64\",\"shape\":[3,2],\"data_offsets\":[29,77]}}";
    size_t padded = (strlen(header) + 7) / 8 * 8;
    assert_int_equal(file.bytes[0] | file.bytes[1] << 8, padded);
    assert_memory_equal(file.bytes + 8, header, strlen(header));
    assert_int_equal(file.count, 8 + padded + 77);
}

static void reads_back_what_was_written(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = buf_init(0);
    AUTO(arena_fini) struct arena arena = {0};
    write_example(&file);
    struct safetensors read;
    assert_int_equal(safetensors_read("x", file.bytes, file.count, &arena, &read, NULL), OK);
    assert_int_equal(read.count, 3);
    const struct tensor *weights = safetensors_find(&read, "weights");
    assert_non_null(weights);
    assert_int_equal(weights->dims, 2);
    assert_int_equal(weights->shape[0], 3);
    assert_int_equal((uintptr_t)weights->data % 8, 0);
    assert_memory_equal(weights->data, reals, sizeof reals);
    assert_memory_equal(safetensors_find(&read, "row_id")->data, integers, sizeof integers);
    assert_string_equal(value_get_text(&read.metadata, "alpha"), "a \"quoted\" ünï");
    assert_null(safetensors_find(&read, "absent"));
}

static void doubled_names_are_refused(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = buf_init(0);
    struct tensor tensors[] = {{"a", TENSOR_U8, 1, {5}, bytes5}, {"a", TENSOR_U8, 1, {1}, bytes5}};
    assert_int_equal(safetensors_write(tensors, 2, NULL, &file, NULL), E_INVALID);
    tensors[0].name = "__metadata__";
    assert_int_equal(safetensors_write(tensors, 2, NULL, &file, NULL), E_INVALID);
}

static void expect(const char *header, size_t data_bytes, enum status status, const char *text)
{
    AUTO(buf_fini) struct buf file = buf_init(0);
    AUTO(arena_fini) struct arena arena = {0};
    uint8_t prefix[8] = {(uint8_t)strlen(header), (uint8_t)(strlen(header) >> 8)};
    buf_put(&file, prefix, sizeof prefix);
    buf_put_text(&file, header);
    for (size_t i = 0; i < data_bytes; i++)
        buf_put_char(&file, 'x');
    struct safetensors read;
    struct err err = {0};
    assert_int_equal(safetensors_read("f", file.bytes, file.count, &arena, &read, &err), status);
    if (status != OK && !strstr(err.text, text))
        fail_msg("`%s` lacks `%s`", err.text, text);
}

static void hostile_headers_are_refused(void **state)
{
    (void)state;
    expect("{}", 0, OK, "");
    expect("[]", 0, E_CORRUPT, "not a mapping");
    expect("{\"a\":1}", 0, E_CORRUPT, "not a mapping");
    expect("{nonsense", 0, E_CORRUPT, "JSON");
    expect("{\"a\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2, E_UNSUPPORTED,
           "BF16");
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,2]}}", 2, E_CORRUPT,
           "shape");
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, E_CORRUPT,
           "shape");
    expect("{\"a\":{\"dtype\":\"F64\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}}",
           8, E_CORRUPT, "memory");
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,3]}}", 3, E_CORRUPT,
           "disagree");
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3, E_CORRUPT, "gap");
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[-2,0]}}", 3, E_CORRUPT,
           "outside");
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}", 3, E_CORRUPT,
           "outside");
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 3, E_CORRUPT,
           "behind");
    expect("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
           3, E_CORRUPT, "overlap");
    expect("{\"__metadata__\":{\"a\":1}}", 0, E_CORRUPT, "text");
}

static void cut_off_files_are_refused(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = buf_init(0);
    write_example(&file);
    for (size_t count = 0; count < file.count; count++) {
        AUTO(arena_fini) struct arena arena = {0};
        AUTO(mem_free) uint8_t *exact = mem_alloc(count + 1); /* so that ASan sees a byte too far */
        memcpy(exact, file.bytes, count);
        struct safetensors read;
        assert_int_not_equal(safetensors_read("cut", exact, count, &arena, &read, NULL), OK);
    }
}

static void mutations_never_crash(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = buf_init(0);
    write_example(&file);
    struct rng rng = rng_seed(1);
    for (int round = 0; round < 20000; round++) {
        AUTO(arena_fini) struct arena arena = {0};
        AUTO(mem_free) uint8_t *copy = mem_alloc(file.count);
        memcpy(copy, file.bytes, file.count);
        for (uint32_t i = rng_below(&rng, 4) + 1; i; i--)
            copy[rng_below(&rng, (uint32_t)file.count)] = (uint8_t)rng_next(&rng);
        struct safetensors read;
        if (safetensors_read("mutant", copy, file.count, &arena, &read, NULL) != OK)
            continue;
        for (size_t i = 0; i < read.count; i++) {
            const uint8_t *data = read.tensors[i].data;
            size_t bytes = tensor_bytes(&read.tensors[i]);
            volatile uint8_t last = bytes ? data[bytes - 1] : 0;
            (void)last;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_is_canonical),      cmocka_unit_test(reads_back_what_was_written),
        cmocka_unit_test(doubled_names_are_refused), cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(cut_off_files_are_refused), cmocka_unit_test(mutations_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
