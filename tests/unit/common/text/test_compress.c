// SPDX-License-Identifier: Apache-2.0
#include "common/text/compress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rng.h"

enum { PLAIN = 700000 };

static struct err err;
static char plain[PLAIN];

static void fill(void)
{
    struct rng rng = rng_seed(5);
    for (int i = 0; i < PLAIN; i++)
        plain[i] = (char)('a' + rng_below(&rng, 1 + (uint32_t)i % 20));
}

/* Appends one gzip member or zstd frame. */
static void pack(enum compression kind, const void *data, size_t bytes, struct buf *out)
{
    size_t bound = kind == COMPRESSION_ZSTD ? ZSTD_compressBound(bytes) : compressBound(bytes) + 64;
    uint8_t *room = buf_reserve(out, bound);
    if (kind == COMPRESSION_ZSTD) {
        out->count += ZSTD_compress(room, bound, data, bytes, 1);
        return;
    }
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)bytes;
    stream.next_out = room;
    stream.avail_out = (uInt)bound;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->count += bound - stream.avail_out;
    deflateEnd(&stream);
}

static const enum compression kinds[] = {COMPRESSION_GZIP, COMPRESSION_ZSTD};

static void magic_numbers(void **state)
{
    (void)state;
    assert_int_equal(compression_of((const uint8_t *)"\x1f\x8b", 2), COMPRESSION_GZIP);
    assert_int_equal(compression_of((const uint8_t *)"\x28\xb5\x2f\xfd", 4), COMPRESSION_ZSTD);
    assert_int_equal(compression_of((const uint8_t *)"\x28\xb5\x2f", 3), COMPRESSION_NONE);
    assert_int_equal(compression_of((const uint8_t *)"a,b\n", 4), COMPRESSION_NONE);
    assert_int_equal(compression_of(NULL, 0), COMPRESSION_NONE);
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(decompress("t", (const uint8_t *)"a,b\n", 4, &out, &err), E_INVALID);
}

static void round_trip_with_several_members(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        AUTO(buf_fini) struct buf packed = buf_init(0), out = buf_init(0);
        pack(kinds[i], plain, PLAIN, &packed);
        pack(kinds[i], "", 0, &packed);
        pack(kinds[i], "tail", 4, &packed);
        buf_put_text(&out, "head");
        if (decompress("t.gz", packed.bytes, packed.count, &out, &err) != OK)
            fail_msg("%s", err.text);
        assert_int_equal(out.count, PLAIN + 8);
        assert_memory_equal(out.bytes, "head", 4);
        assert_memory_equal(out.bytes + 4, plain, PLAIN);
        assert_memory_equal(out.bytes + 4 + PLAIN, "tail", 4);
    }
}

static void zeros_may_pad_gzip(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf packed = buf_init(0), out = buf_init(0);
    pack(COMPRESSION_GZIP, "abc", 3, &packed);
    buf_put(&packed, "\0\0\0", 3);
    assert_int_equal(decompress("t", packed.bytes, packed.count, &out, &err), OK);
    assert_int_equal(out.count, 3);
    buf_put_text(&packed, "x");
    assert_int_equal(decompress("t", packed.bytes, packed.count, &out, &err), E_CORRUPT);
    assert_int_equal(out.count, 3);
}

static void the_maximum_bounds_a_bomb(void **state)
{
    (void)state;
    AUTO(mem_free) char *zeros = mem_alloc(50 << 20);
    for (int i = 0; i < 2; i++) {
        AUTO(buf_fini) struct buf packed = buf_init(0), out = buf_init(1 << 20);
        pack(kinds[i], zeros, 50 << 20, &packed);
        assert_true(packed.count < 100000);
        assert_int_equal(decompress("bomb.csv", packed.bytes, packed.count, &out, &err), E_LIMIT);
        assert_string_equal(err.text, "bomb.csv: more than 1048576 bytes once it is unpacked");
        assert_int_equal(out.count, 0);
        assert_true(out.capacity <= 2 << 20);
        /* One that fits exactly is no bomb. */
        AUTO(buf_fini)
        struct buf small = buf_init(0), exact = buf_init(PLAIN), less = buf_init(PLAIN - 1);
        pack(kinds[i], plain, PLAIN, &small);
        assert_int_equal(decompress("t", small.bytes, small.count, &exact, &err), OK);
        assert_int_equal(exact.count, PLAIN);
        assert_int_equal(decompress("t", small.bytes, small.count, &less, &err), E_LIMIT);
        AUTO(buf_fini) struct buf empty = buf_init(0), nothing = buf_init(1);
        buf_put_char(&nothing, 'x');
        pack(kinds[i], "", 0, &empty);
        assert_int_equal(decompress("t", empty.bytes, empty.count, &nothing, &err), OK);
    }
}

static void cut_short_is_corrupt(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        AUTO(buf_fini) struct buf packed = buf_init(0), out = buf_init(0);
        pack(kinds[i], "some text that is packed", 24, &packed);
        for (size_t count = 4; count < packed.count; count++) {
            assert_int_equal(decompress("t.gz", packed.bytes, count, &out, &err), E_CORRUPT);
            assert_non_null(strstr(err.text, "t.gz: damaged or cut short"));
            assert_int_equal(out.count, 0);
        }
        assert_int_equal(decompress("t.gz", packed.bytes, packed.count, &out, &err), OK);
    }
}

static void mutations_never_crash(void **state)
{
    (void)state;
    struct rng rng = rng_seed(9);
    for (int i = 0; i < 2; i++) {
        AUTO(buf_fini) struct buf packed = buf_init(0);
        pack(kinds[i], plain, 3000, &packed);
        int bad_count = 0;
        for (int k = 0; k < 5000; k++) {
            AUTO(buf_fini) struct buf copy = buf_init(0), out = buf_init(100000);
            buf_put(&copy, packed.bytes, packed.count);
            for (uint32_t n = 1 + rng_below(&rng, 4); n > 0; n--)
                copy.bytes[4 + rng_below(&rng, (uint32_t)copy.count - 4)] ^=
                    (uint8_t)(1u << rng_below(&rng, 8));
            enum status status = decompress("t", copy.bytes, copy.count, &out, &err);
            assert_true(status == OK || status == E_CORRUPT || status == E_LIMIT);
            bad_count += status != OK;
        }
        assert_true(bad_count > 500); /* zstd's frames carry no checksum here */
    }
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        AUTO(buf_fini) struct buf packed = buf_init(0);
        pack(kinds[i], plain, PLAIN, &packed);
        for (size_t k = 1;; k++) {
            AUTO(buf_fini) struct buf out = buf_init(0);
            mem_fail_after(k);
            enum status status = decompress("t", packed.bytes, packed.count, &out, &err);
            mem_fail_after(0);
            if (status == OK) {
                assert_true(k > 2);
                break;
            }
            assert_int_equal(status, E_NOMEM);
        }
    }
}

int main(void)
{
    fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(magic_numbers),         cmocka_unit_test(round_trip_with_several_members),
        cmocka_unit_test(zeros_may_pad_gzip),    cmocka_unit_test(the_maximum_bounds_a_bomb),
        cmocka_unit_test(cut_short_is_corrupt),  cmocka_unit_test(mutations_never_crash),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
