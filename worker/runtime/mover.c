// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/mover.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/store/tree.h"

struct list {
    struct move *first, *last;
};

/* Requests to a server that wait beside each other; a folder is no faster with more than one. */
enum { THREADS_MAX = 4 };

struct mover {
    struct store *store;
    struct list small; /* done already, by the loop's thread */
    int event_fd;
    char *url;
    uint32_t thread_count;
    pthread_t threads[THREADS_MAX];
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t has_work;
    struct list wanted, done;
    uint32_t idle_count, wanted_count;
    bool must_stop;
};

static void list_put(struct list *list, struct move *move)
{
    move->next = NULL;
    *(list->first ? &list->last->next : &list->first) = move;
    list->last = move;
}

static struct move *list_take(struct list *list)
{
    struct move *move = list->first;
    if (move)
        list->first = move->next;
    return move;
}

/* Does the file at `path` hold the blob? */
static bool matches(const char *path, const struct id *id)
{
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    AUTO(mem_free) uint8_t *chunk = mem_alloc(1 << 18);
    struct hasher hasher;
    struct id found;
    hash_init(&hasher, NULL);
    for (ssize_t n; (n = read(fd, chunk, 1 << 18)) != 0;) {
        if (n < 0)
            return false;
        hash_update(&hasher, chunk, (size_t)n);
    }
    hash_final(&hasher, &found);
    return id_equal(&found, id);
}

enum status mover_fetch(struct store *store, const struct artifact *artifact, const char *path,
                        struct err *err)
{
    char temporary[CACHE_PATH_BYTES + 8], hex[ID_HEX_BYTES];
    if (!artifact->is_tree && matches(path, &artifact->id))
        return OK;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    TRY(fs_remove_tree(path, err));
    TRY(fs_remove_tree(temporary, err));
    struct err why = {0};
    enum status status = artifact->is_tree ? tree_get(store, &artifact->id, temporary, &why)
                                           : store_get_file(store, &artifact->id, temporary, &why);
    if (status == E_NOTFOUND || status == E_CORRUPT)
        status = err_set(err, E_LOST, "input %s is %s", id_hex(&artifact->id, hex),
                         status == E_NOTFOUND ? "missing from the store" : "corrupt in the store");
    else if (status != OK && err)
        *err = why;
    if (status == OK && !artifact->is_tree && chmod(temporary, 0444))
        status = fs_error(err, errno, temporary, "chmod");
    if (status == OK && rename(temporary, path))
        status = fs_error(err, errno, path, "rename");
    if (status != OK)
        (void)!fs_remove_tree(temporary, NULL);
    return status;
}

static void run(struct store *store, struct move *move)
{
    move->err = (struct err){0};
    move->status = move->is_publication
                       ? publish_run(store, &move->publication, &move->err)
                       : mover_fetch(store, &move->artifact, move->path, &move->err);
}

static void give_back(struct mover *mover, struct move *move)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&mover->mutex);
    list_put(&mover->done, move);
    pthread_mutex_unlock(&mover->mutex);
    ssize_t n = write(mover->event_fd, &one, sizeof one);
    ASSERT(n == sizeof one);
}

static void *thread_main(void *context)
{
    struct mover *mover = context;
    AUTO(store_close) struct store *store = NULL;
    for (;;) {
        pthread_mutex_lock(&mover->mutex);
        mover->idle_count++;
        while (!mover->wanted.first && !mover->must_stop)
            pthread_cond_wait(&mover->has_work, &mover->mutex);
        mover->idle_count--;
        struct move *move = mover->must_stop ? NULL : list_take(&mover->wanted);
        mover->wanted_count -= move ? 1 : 0;
        pthread_mutex_unlock(&mover->mutex);
        if (!move)
            return NULL;
        move->status = store ? OK : store_open(mover->url, &store, &move->err);
        if (move->status == OK)
            run(store, move);
        give_back(mover, move);
    }
}

/* With the blob that every worker has use for: the empty log. */
static enum status try_out(struct store *store, struct err *err)
{
    char quoted[2 * ERR_TEXT_BYTES];
    struct id id;
    struct err why = {.text = ""};
    enum status status = store_is_remote(store) ? store_put(store, "", 0, &id, &why) : OK;
    if (status == E_UNREACHABLE)
        log_event(LOG_WARN, "store.away", "reason=%s", log_quote(why.text, quoted, sizeof quoted));
    return status == OK || status == E_UNREACHABLE ? OK : err_set(err, status, "%s", why.text);
}

enum status mover_open(const char *store_url, struct mover **out, struct err *err)
{
    *out = NULL;
    AUTO(mover_close) struct mover *mover = mem_alloc(sizeof *mover);
    mover->event_fd = -1;
    pthread_mutex_init(&mover->mutex, NULL);
    pthread_cond_init(&mover->has_work, NULL);
    mover->url = mem_copy_text(store_url, strlen(store_url));
    TRY(store_open(store_url, &mover->store, err));
    TRY(try_out(mover->store, err));
    mover->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mover->event_fd < 0)
        return err_set(err, E_IO, "eventfd: %s", strerror(errno));
    *out = TAKE(mover);
    return OK;
}

void mover_close(struct mover *mover)
{
    pthread_mutex_lock(&mover->mutex);
    mover->must_stop = true;
    pthread_cond_broadcast(&mover->has_work);
    pthread_mutex_unlock(&mover->mutex);
    for (uint32_t i = 0; i < mover->thread_count; i++)
        pthread_join(mover->threads[i], NULL);
    pthread_cond_destroy(&mover->has_work);
    pthread_mutex_destroy(&mover->mutex);
    if (mover->event_fd >= 0)
        close(mover->event_fd);
    if (mover->store)
        store_close(mover->store);
    mem_free(mover->url);
    mem_free(mover);
}

/* One thread more, if all have work and there may be more. */
static bool has_threads(struct mover *mover)
{
    uint32_t most = store_is_remote(mover->store) ? THREADS_MAX : 1;
    pthread_mutex_lock(&mover->mutex);
    bool is_enough = mover->idle_count > mover->wanted_count;
    pthread_mutex_unlock(&mover->mutex);
    if (!is_enough && mover->thread_count < most &&
        !pthread_create(&mover->threads[mover->thread_count], NULL, thread_main, mover))
        mover->thread_count++;
    return mover->thread_count > 0;
}

void mover_submit(struct mover *mover, struct move *move, uint64_t bytes)
{
    bool is_quick = bytes <= MOVE_SMALL_BYTES && !store_is_remote(mover->store);
    if (is_quick || !has_threads(mover)) {
        run(mover->store, move);
        list_put(&mover->small, move);
        return;
    }
    pthread_mutex_lock(&mover->mutex);
    list_put(&mover->wanted, move);
    mover->wanted_count++;
    pthread_cond_signal(&mover->has_work);
    pthread_mutex_unlock(&mover->mutex);
}

struct move *mover_take(struct mover *mover)
{
    struct move *move = list_take(&mover->small);
    if (move || !mover->thread_count)
        return move;
    uint64_t count;
    pthread_mutex_lock(&mover->mutex);
    move = list_take(&mover->done);
    bool is_empty = !mover->done.first;
    if (is_empty) /* under the mutex, so that no wake-up of a move put meanwhile is lost */
        (void)!read(mover->event_fd, &count, sizeof count);
    pthread_mutex_unlock(&mover->mutex);
    return move;
}

int mover_fd(const struct mover *mover)
{
    return mover->event_fd;
}

struct store *mover_store(struct mover *mover)
{
    return mover->store;
}
