/* `worker key FILE`: the identity of a worker, made on its own machine, so that the secret never
 * leaves it. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/crypto/identity.h"
#include "worker/command.h"

static const char usage[] =
    "usage: worker key FILE [--json]\n"
    "\n"
    "Makes this worker's identity in FILE, unless it is there, and prints its public half, which\n"
    "the broker is told of by: broker keys add NAME --public-key HEX. The secret half stays here.\n"
    "Without FILE: that of PENSTOCK_KEY.\n\n";

static enum status get_identity(const char *path, struct signer **out, bool *is_new,
                                struct err *err)
{
    enum status status = identity_read(path, out, err);
    *is_new = status == E_NOTFOUND;
    if (!*is_new)
        return status;
    AUTO(signer_free) struct signer *made = signer_new();
    TRY(identity_create(path, made, err));
    *out = TAKE(made);
    return OK;
}

int command_key(int argc, char **argv)
{
    const char *path = NULL;
    bool json = false, is_new;
    AUTO(config_list_fini) struct config_list arguments = {0};
    const struct config_option options[] = {
        {"key", 0, CONFIG_TEXT, "PENSTOCK_KEY", "FILE", &path, "the same as FILE"},
        {"json", 0, CONFIG_FLAG, NULL, NULL, &json, "print the answer as JSON"},
    };
    int exit_status;
    struct err err = {0};
    AUTO(signer_free) struct signer *signer = NULL;
    if (command_parse(usage, options, sizeof options / sizeof *options, argc, argv, &arguments,
                      &exit_status))
        return exit_status;
    if (arguments.count)
        path = arguments.items[0];
    if (arguments.count > 1 || !path) {
        err_set(&err, E_INVALID, "key: expected one FILE; see worker key --help");
        return command_fail(&err);
    }
    if (get_identity(path, &signer, &is_new, &err) != OK)
        return command_fail(&err);
    struct id key;
    char hex[ID_HEX_BYTES];
    memcpy(key.bytes, signer_public(signer), sizeof key.bytes);
    id_hex(&key, hex);
    if (json) {
        printf("{\"public_key\": \"%s\", \"is_new\": %s}\n", hex, is_new ? "true" : "false");
        return EXIT_DONE;
    }
    puts(hex);
    fprintf(stderr, "%s %s; on the broker's machine: broker keys add NAME --public-key %s\n", path,
            is_new ? "is new" : "was there already", hex);
    return EXIT_DONE;
}
