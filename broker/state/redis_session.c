// SPDX-License-Identifier: Apache-2.0
#include "broker/state/state_redis.h"

#include "common/clock.h"
#include "common/crypto/sign.h"

/* Twice as long each time, less a random part: brokers that lost one server don't come back to it
 * all at once. */
static uint32_t next_pause(struct redis_session *session)
{
    uint16_t random;
    uint32_t most = session->backoff_ms ? session->backoff_ms * 2 : BACKOFF_MS_MIN;
    session->backoff_ms = most < BACKOFF_MS_MAX ? most : BACKOFF_MS_MAX;
    random_bytes(&random, sizeof random);
    return session->backoff_ms / 2 + random % (session->backoff_ms / 2 + 1);
}

static void hold_off(struct redis_session *session, const struct err *why)
{
    session->why = *why;
    session->retry_at = clock_ms() + next_pause(session);
}

enum status redis_session_ready(struct redis_session *session, const struct redis_url *url,
                                bool *is_new, struct err *err)
{
    struct err why = {0};
    *is_new = false;
    if (session->link)
        return OK;
    if (session->why.code != OK && clock_ms() < session->retry_at)
        return err_set(err, session->why.code, "%s", session->why.text);
    if (redis_link_open(url, &session->link, &why) != OK) {
        hold_off(session, &why);
        return err_set(err, why.code, "%s", why.text);
    }
    *is_new = true;
    return OK;
}

void redis_session_drop(struct redis_session *session, const struct err *why)
{
    if (!session->link)
        return;
    redis_link_close(TAKE(session->link));
    if (why)
        hold_off(session, why);
    else
        session->why = (struct err){0};
}
