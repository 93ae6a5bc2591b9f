// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/moody.h"

static struct moody *moody(struct state *state)
{
    return (struct moody *)state;
}

static enum status moody_begin(struct state *state, const struct state_batch *batch,
                               struct err *err)
{
    struct moody *self = moody(state);
    self->begins++;
    self->ahead_count = batch->ahead_count;
    for (uint32_t i = 0; i < batch->ahead_count; i++)
        self->ahead[i] = batch->ahead[i];
    if (self->failures_left > 0) {
        self->failures_left--;
        return err_set(err, E_FULL, "journal: no space left");
    }
    return self->failures_left < 0 ? err_set(err, E_FENCED, "another broker leads")
                                   : state_begin(self->real, batch, err);
}

static enum status moody_poll(struct state *state, bool *is_done, struct err *err)
{
    struct moody *self = moody(state);
    if (self->polls_left > 0) {
        self->polls_left--;
        *is_done = false;
        return OK;
    }
    return state_poll(self->real, is_done, err);
}

static int moody_fd(const struct state *state)
{
    return state_fd(((const struct moody *)state)->real);
}

static void moody_flush_begin(struct state *state)
{
    state_flush_begin(moody(state)->real);
}

static enum status moody_flush_poll(struct state *state, bool *is_done, struct err *err)
{
    struct moody *self = moody(state);
    if (self->flush_polls_left > 0) {
        self->flush_polls_left--;
        *is_done = false;
        return OK;
    }
    return state_flush_poll(self->real, is_done, err);
}

static enum status real_find(struct state *real, enum space space, const struct id *keys,
                             uint32_t count, state_found_fn *found, void *context, struct err *err)
{
    return space == SPACE_TASK ? state_find_tasks(real, keys, count, found, context, err)
                               : state_find_actions(real, keys, count, found, context, err);
}

static enum status moody_find(struct state *state, enum space space, const struct id *keys,
                              uint32_t count, state_found_fn *found, void *context, struct err *err)
{
    struct moody *self = moody(state);
    for (uint32_t i = 0; space == SPACE_ACTION && i < count; i++) {
        self->finds++;
        for (uint32_t k = 0; k < self->ahead_count; k++)
            self->finds_ahead += id_equal(&self->ahead[k], &keys[i]);
    }
    if (!self->silent_finds)
        return real_find(self->real, space, keys, count, found, context, err);
    self->silent_finds--;
    uint32_t answered = count < self->answers ? count : self->answers;
    TRY(real_find(self->real, space, keys, answered, found, context, err));
    return err_set(err, E_UNREACHABLE, "redis: no answer");
}

static uint64_t moody_epoch(const struct state *state)
{
    return state_epoch(((const struct moody *)state)->real);
}

static enum status moody_renew(struct state *state, struct err *err)
{
    struct moody *self = moody(state);
    return self->is_deposed ? err_set(err, E_FENCED, "another broker leads")
                            : state_renew(self->real, err);
}

static enum status moody_raise_epoch(struct state *state, uint64_t seen, struct err *err)
{
    return state_raise_epoch(moody(state)->real, seen, err);
}

static const struct state_backend moody_backend = {.begin = moody_begin,
                                                   .poll = moody_poll,
                                                   .fd = moody_fd,
                                                   .looks_ahead = true,
                                                   .flush_begin = moody_flush_begin,
                                                   .flush_poll = moody_flush_poll,
                                                   .find = moody_find,
                                                   .epoch = moody_epoch,
                                                   .renew = moody_renew,
                                                   .raise_epoch = moody_raise_epoch};

enum status moody_open(struct moody *self)
{
    *self = (struct moody){.base.backend = &moody_backend};
    return state_open(&(struct state_options){.url = "mem:", .mode = STATE_WRITE}, &self->real,
                      NULL);
}
