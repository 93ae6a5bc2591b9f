/* A store in S3: small blobs one after the other, and one large file, into it and out of it.
 * `bench_s3 URL FILE COUNT`: the file comes back beside itself and is removed; the environment
 * says where the server is. What a store does beside moving bytes is in it: hashing what goes
 * in, to know its key, and what comes back. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/crypto/sign.h"
#include "common/store/store.h"
#include "tests/bench/report.h"

enum { SMALL_BYTES = 1024 };

static void measure_small(struct store *store, uint32_t count)
{
    struct err err;
    uint8_t blob[SMALL_BYTES];
    AUTO(mem_free) struct id *ids = mem_alloc(count * sizeof *ids);
    AUTO(buf_fini) struct buf out = buf_init(0);
    random_bytes(blob, sizeof blob);
    int64_t begun = clock_us();
    for (uint32_t i = 0; i < count; i++) {
        memcpy(blob, &i, sizeof i);
        report_check(store_put(store, blob, sizeof blob, &ids[i], &err), &err);
    }
    report("small put", count / seconds_since(begun), "/s");
    begun = clock_us();
    for (uint32_t i = 0; i < count; i++) {
        buf_clear(&out);
        report_check(store_get(store, &ids[i], &out, &err), &err);
    }
    report("small get", count / seconds_since(begun), "/s");
    AUTO(mem_free) bool *has = mem_alloc(count);
    begun = clock_us();
    report_check(store_has(store, ids, count, has, &err), &err);
    report("small has", count / seconds_since(begun), "/s");
}

static void measure_large(struct store *store, const char *path)
{
    struct err err;
    struct id id;
    uint64_t bytes;
    AUTO(buf_fini) struct buf back = buf_init(0);
    AUTO(store_close) struct store *hasher = NULL;
    buf_format(&back, "%s.back", path);
    report_check(store_open("null:", &hasher, &err), &err);
    int64_t begun = clock_us();
    report_check(store_put_file(hasher, path, &id, &bytes, &err), &err);
    double hash_s = seconds_since(begun);
    begun = clock_us();
    report_check(store_put_file(store, path, &id, &bytes, &err), &err);
    double put_s = seconds_since(begun);
    report("large put", 1e-6 * (double)bytes / put_s, "MB/s");
    report("large put less its hash", 1e-6 * (double)bytes / (put_s - hash_s), "MB/s");
    begun = clock_us();
    report_check(store_get_file(store, &id, buf_text(&back), &err), &err);
    report("large get", 1e-6 * (double)bytes / seconds_since(begun), "MB/s");
    unlink(buf_text(&back));
}

int main(int argc, char **argv)
{
    if (argc < 3)
        report_fail("usage: bench_s3 URL FILE [COUNT]");
    AUTO(store_close) struct store *store = NULL;
    struct err err;
    report_check(store_open(argv[1], &store, &err), &err);
    measure_small(store, report_count(argc, argv, 3, 2000));
    measure_large(store, argv[2]);
    return 0;
}
