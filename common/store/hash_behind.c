// SPDX-License-Identifier: Apache-2.0
#include "common/store/hash_behind.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"

enum { PIECE_BYTES = 256 << 10 }; /* stays in the second-level cache between read and hash */

struct hash_behind {
    int fd;
    const char *path;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    uint64_t up_to;
    bool is_ended, is_dropped;
    /* The thread's until it is joined. */
    struct hasher hasher;
    uint64_t hashed;
    uint8_t piece[PIECE_BYTES];
    enum status status;
    struct err err;
};

static enum status hash_up_to(struct hash_behind *behind, uint64_t up_to)
{
    while (behind->hashed < up_to) {
        uint64_t rest = up_to - behind->hashed;
        size_t bytes = rest < PIECE_BYTES ? (size_t)rest : PIECE_BYTES;
        ssize_t got = pread(behind->fd, behind->piece, bytes, (off_t)behind->hashed);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fs_error(&behind->err, got ? errno : EIO, behind->path, "cannot read back");
        hash_update(&behind->hasher, behind->piece, (size_t)got);
        behind->hashed += (uint64_t)got;
    }
    return OK;
}

static void *follow(void *context)
{
    struct hash_behind *behind = context;
    while (behind->status == OK) {
        pthread_mutex_lock(&behind->lock);
        while (behind->hashed == behind->up_to && !behind->is_ended)
            pthread_cond_wait(&behind->changed, &behind->lock);
        uint64_t up_to = behind->is_dropped ? behind->hashed : behind->up_to;
        pthread_mutex_unlock(&behind->lock);
        if (behind->hashed == up_to)
            break;
        behind->status = hash_up_to(behind, up_to);
    }
    return NULL;
}

struct hash_behind *hash_behind_begin(int fd, const char *path)
{
    struct hash_behind *behind = mem_alloc(sizeof *behind);
    behind->fd = fd;
    behind->path = path;
    hash_init(&behind->hasher, NULL);
    pthread_mutex_init(&behind->lock, NULL);
    pthread_cond_init(&behind->changed, NULL);
    behind->has_thread = pthread_create(&behind->thread, NULL, follow, behind) == 0;
    return behind;
}

void hash_behind_reach(struct hash_behind *behind, uint64_t up_to)
{
    pthread_mutex_lock(&behind->lock);
    if (up_to > behind->up_to) {
        behind->up_to = up_to;
        pthread_cond_signal(&behind->changed);
    }
    pthread_mutex_unlock(&behind->lock);
}

static void finish(struct hash_behind *behind, bool is_dropped)
{
    pthread_mutex_lock(&behind->lock);
    behind->is_ended = true;
    behind->is_dropped = is_dropped;
    pthread_cond_signal(&behind->changed);
    pthread_mutex_unlock(&behind->lock);
    if (behind->has_thread)
        pthread_join(behind->thread, NULL);
    else if (!is_dropped) /* no thread was to be had: later, then */
        behind->status = hash_up_to(behind, behind->up_to);
    behind->has_thread = false;
}

static void release(struct hash_behind *behind)
{
    pthread_cond_destroy(&behind->changed);
    pthread_mutex_destroy(&behind->lock);
    mem_free(behind);
}

enum status hash_behind_end(struct hash_behind *behind, struct id *out, struct err *err)
{
    finish(behind, false);
    enum status status = behind->status;
    if (status == OK)
        hash_final(&behind->hasher, out);
    else
        err_set(err, status, "%s", behind->err.text);
    release(behind);
    return status;
}

void hash_behind_drop(struct hash_behind *behind)
{
    finish(behind, true);
    release(behind);
}
