// SPDX-License-Identifier: Apache-2.0
#include "common/net/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/mem.h"

struct mailbox {
    pthread_mutex_t lock;
    struct mail *first, **last;
    int fd;
};

enum status mailbox_new(struct mailbox **out, struct err *err)
{
    *out = NULL;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return err_set(err, E_IO, "eventfd: %s", strerror(errno));
    struct mailbox *mailbox = mem_alloc(sizeof *mailbox);
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->last = &mailbox->first;
    mailbox->fd = fd;
    *out = mailbox;
    return OK;
}

void mailbox_free(struct mailbox *mailbox)
{
    ASSERT(!mailbox->first);
    close(mailbox->fd);
    pthread_mutex_destroy(&mailbox->lock);
    mem_free(mailbox);
}

void mailbox_put(struct mailbox *mailbox, struct mail *mail)
{
    mail->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    bool was_empty = !mailbox->first;
    *mailbox->last = mail;
    mailbox->last = &mail->next;
    if (was_empty) { /* under the lock: the taker's read can't come between */
        ssize_t ignored = write(mailbox->fd, &(uint64_t){1}, sizeof(uint64_t));
        (void)ignored;
    }
    pthread_mutex_unlock(&mailbox->lock);
}

struct mail *mailbox_take(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct mail *first = mailbox->first;
    mailbox->first = NULL;
    mailbox->last = &mailbox->first;
    if (first) {
        uint64_t count;
        ssize_t ignored = read(mailbox->fd, &count, sizeof count);
        (void)ignored;
    }
    pthread_mutex_unlock(&mailbox->lock);
    return first;
}

int mailbox_fd(const struct mailbox *mailbox)
{
    return mailbox->fd;
}
