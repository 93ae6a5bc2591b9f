/* Identity, brokers, and what keys they need. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "common/crypto/identity.h"
#include "common/log.h"
#include "common/net/endpoint.h"
#include "proto/limits.h"
#include "worker/join_state.h"

struct brokers {
    char *text; /* the list, cut into words */
    const char *items[BROKERS_MAX];
    uint32_t count;
};

static void brokers_fini(struct brokers *brokers)
{
    mem_free(brokers->text);
}
DEFINE_AUTO_VALUE(struct brokers, brokers_fini)

static enum status split(const char *list, struct brokers *out, struct err *err)
{
    out->text = mem_copy_text(list, strlen(list));
    for (char *at = out->text; at;) {
        if (out->count == BROKERS_MAX)
            return err_set(err, E_LIMIT, "--broker %s: more than %d", list, BROKERS_MAX);
        out->items[out->count++] = strsep(&at, ",");
    }
    return OK;
}

/* Whoever could be somebody else must prove who it is. */
static enum status check_reach(const struct join_options *options, const char *broker,
                               struct err *err)
{
    struct endpoint endpoint;
    TRY(endpoint_parse("--broker", broker, ENDPOINT_CONNECT, &endpoint, err));
    if (endpoint.is_local || (options->broker_key && *options->broker_key))
        return OK;
    if (!options->insecure)
        return err_set(err, E_DENIED,
                       "--broker %s: not at 127.0.0.1, so it must prove who it is: give its public "
                       "key (broker keys list) with --broker-key or PENSTOCK_BROKER_KEY, and this "
                       "worker's identity with --key or PENSTOCK_KEY",
                       broker);
    log_event(LOG_WARN, "link.insecure",
              "broker=%s reason=\"whoever is there is believed, and whoever is between can read "
              "along (--insecure)\"",
              broker);
    return OK;
}

static enum status read_identity(struct join *join, struct err *err)
{
    const char *path = join->options->key;
    if (!path || !*path) {
        if (join->has_keys)
            return err_set(err, E_DENIED,
                           "--broker-key is given, so this worker needs an identity: --key FILE or "
                           "PENSTOCK_KEY; make one with: worker key FILE");
        join->signer = signer_new();
        return OK;
    }
    enum status status = identity_read(path, &join->signer, err);
    if (status == E_NOTFOUND)
        return err_set(err, E_DENIED, "--key %s: no such file; make one with: worker key %s", path,
                       path);
    return status == OK ? OK : err_prefix(err, "--key");
}

enum status join_connect(struct join *join, struct err *err)
{
    const struct join_options *options = join->options;
    struct id broker_key;
    AUTO(brokers_fini) struct brokers brokers = {0};
    join->has_keys = options->broker_key && *options->broker_key;
    TRY(split(options->broker, &brokers, err));
    for (uint32_t i = 0; i < brokers.count; i++)
        TRY(check_reach(options, brokers.items[i], err));
    if (join->has_keys)
        TRY(public_key_parse("--broker-key", options->broker_key, &broker_key, err));
    TRY(read_identity(join, err));
    join->broker_count = brokers.count;
    const struct link_options link = {.brokers = brokers.items,
                                      .broker_count = brokers.count,
                                      .broker_key = join->has_keys ? &broker_key : NULL,
                                      .identity = join->signer};
    return link_open(&link, &join->link, err);
}
