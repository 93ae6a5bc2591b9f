// SPDX-License-Identifier: Apache-2.0
#include "worker/kinds/exec_mask.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crypto/sign.h"
#include "common/fs.h"
#include "proto/limits.h"

enum { WINDOW_BYTES = 2 * SECRET_BYTES_MAX };

/* The secret that begins here; the longest, where one begins with another. */
static const struct kind_secret *secret_at(const struct exec_mask *mask, const uint8_t *at,
                                           size_t left)
{
    const struct kind_secret *found = NULL;
    for (uint32_t i = 0; i < mask->count; i++) {
        const struct kind_secret *secret = &mask->secrets[i];
        if (secret->bytes <= left && !memcmp(at, secret->value, secret->bytes) &&
            (!found || secret->bytes > found->bytes))
            found = secret;
    }
    return found;
}

/* May more bytes make a (longer) secret of this end of the stream? */
static bool may_begin(const struct exec_mask *mask, const uint8_t *at, size_t left)
{
    for (uint32_t i = 0; i < mask->count; i++)
        if (left < mask->secrets[i].bytes && !memcmp(at, mask->secrets[i].value, left))
            return true;
    return false;
}

void exec_mask_fini(struct exec_mask *mask)
{
    if (mask->held.capacity)
        secret_wipe(mask->held.bytes, mask->held.capacity);
    buf_fini(&mask->held);
}

void exec_mask_pass(struct exec_mask *mask, const char *text, size_t bytes, bool is_end,
                    struct buf *out)
{
    struct buf *held = &mask->held;
    buf_put(held, text, bytes);
    size_t at = 0;
    while (at < held->count) {
        size_t left = held->count - at;
        if (!is_end && may_begin(mask, held->bytes + at, left))
            break;
        const struct kind_secret *secret = secret_at(mask, held->bytes + at, left);
        if (secret)
            buf_format(out, "[%s]", secret->name);
        else
            buf_put_char(out, (char)held->bytes[at]);
        at += secret ? secret->bytes : 1;
    }
    held->count -= at;
    if (held->count)
        memmove(held->bytes, held->bytes + at, held->count);
}

/* ---- outputs ---- */

struct search {
    const struct kind_call *call;
    const char *name, *path; /* of the output */
};

static enum status search_window(const struct search *search, const uint8_t *window, size_t bytes,
                                 struct err *err)
{
    for (uint32_t i = 0; i < search->call->secret_count; i++) {
        const struct kind_secret *secret = &search->call->secrets[i];
        if (memmem(window, bytes, secret->value, secret->bytes))
            return err_set(err, E_INVALID,
                           "output %s holds the secret %s: outputs are kept, and others may see "
                           "them",
                           search->name, secret->name);
    }
    return OK;
}

static enum status search_file(const struct search *search, const char *path, struct err *err)
{
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, path, "open");
    static uint8_t window[WINDOW_BYTES]; /* what a secret may have begun in moves to its front */
    size_t kept = 0;
    for (;;) {
        ssize_t got = read(fd, window + kept, sizeof window - kept);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fs_error(err, errno, path, "read");
        if (got == 0)
            return OK;
        size_t bytes = kept + (size_t)got;
        TRY(search_window(search, window, bytes, err));
        kept = bytes < SECRET_BYTES_MAX ? bytes : SECRET_BYTES_MAX;
        memmove(window, window + bytes - kept, kept);
    }
}

static enum status search_member(void *context, const char *path, bool is_executable,
                                 uint64_t bytes, struct err *err)
{
    (void)is_executable, (void)bytes;
    const struct search *search = context;
    char full[PATH_MAX];
    TRY(search_window(search, (const uint8_t *)path, strlen(path), err));
    if (snprintf(full, sizeof full, "%s/%s", search->path, path) >= (int)sizeof full)
        return err_set(err, E_LIMIT, "output %s: %s: the path is too long", search->name, path);
    return search_file(search, full, err);
}

enum status exec_search_outputs(const struct kind_call *call, struct err *err)
{
    for (uint32_t i = 0; call->secret_count && i < call->output_count; i++) {
        char path[PATH_MAX];
        struct stat found;
        struct search search = {call, call->outputs[i], path};
        TRY(kind_output_path(call, call->outputs[i], path, sizeof path, err));
        if (lstat(path, &found))
            return fs_error(err, errno, path, "lstat");
        if (S_ISREG(found.st_mode))
            TRY(search_file(&search, path, err));
        else if (S_ISDIR(found.st_mode))
            TRY(fs_walk(path, search_member, &search, err));
    }
    return OK;
}
