/* Hashing a file as a plan does (read and hash) and as the folder store does (read, hash, keep a
 * copy), beside libsodium's BLAKE2b-256 over the same bytes in memory, which is the limit.
 * `bench_hash FILE FOLDER`: FOLDER must not be there; it is made and removed. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/store/store.h"
#include "tests/bench/report.h"

static void measure_store(const char *name, const char *url, const char *path,
                          const struct id *expected)
{
    AUTO(store_close) struct store *store = NULL;
    struct err err;
    struct id id;
    uint64_t bytes;
    report_check(store_open(url, &store, &err), &err);
    int64_t begun = clock_us();
    report_check(store_put_file(store, path, &id, &bytes, &err), &err);
    report(name, 1e-6 * (double)bytes / seconds_since(begun), "MB/s");
    if (memcmp(&id, expected, sizeof id) != 0)
        report_fail("the store's id of the file is not the hash of its bytes");
}

static struct id measure_memory(const char *path)
{
    AUTO(buf_fini) struct buf content = buf_init(0);
    struct err err;
    struct id id;
    report_check(fs_read(path, &content, &err), &err);
    int64_t begun = clock_us();
    hash_bytes(NULL, content.bytes, content.count, &id);
    report("memory", 1e-6 * (double)content.count / seconds_since(begun), "MB/s");
    return id;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        report_fail("usage: bench_hash FILE FOLDER");
    if (fs_exists(argv[2]))
        report_fail("bench_hash: the folder is there already");
    struct err err;
    struct id id = measure_memory(argv[1]);
    measure_store("file", "null:", argv[1], &id);
    measure_store("file into a folder store", argv[2], argv[1], &id);
    report_check(fs_remove_tree(argv[2], &err), &err);
    return 0;
}
