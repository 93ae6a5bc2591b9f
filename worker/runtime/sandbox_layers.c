// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/sandbox_layers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "worker/runtime/cgroup.h"
#include "worker/runtime/sandbox_state.h"

static void look_at_landlock(struct sandbox_layer *out)
{
    errno = 0;
    int version = landlock_version(), error = errno;
    *out = (struct sandbox_layer){.name = "landlock", .is_there = version >= LANDLOCK_VERSION_MIN};
    if (out->is_there) {
        snprintf(out->found, sizeof out->found, "version %d: files%s%s", version,
                 version >= LANDLOCK_VERSION_NETWORK ? ", network" : "",
                 version >= LANDLOCK_VERSION_SCOPES ? ", signals" : "");
        return;
    }
    if (version)
        snprintf(out->found, sizeof out->found, "version %d, too old: files could not be moved",
                 version);
    else
        snprintf(out->found, sizeof out->found, "%s", strerror(error));
    out->mend = error == EOPNOTSUPP
                    ? "it is switched off: add landlock to lsm= on the kernel's command line"
                    : "Linux 5.19 or later; in a container a seccomp profile that allows "
                      "landlock_create_ruleset (Docker 23 or later has it)";
}

static void look_at_seccomp(struct sandbox_layer *out)
{
    *out = (struct sandbox_layer){.name = "seccomp", .is_there = seccomp_is_there()};
    snprintf(out->found, sizeof out->found, "%s",
             !out->is_there ? strerror(errno)
             : seccomp_asks() && asked_can_take()
                 ? "filters that ask"
                 : "filters; whom local sockets connect to is not looked at");
    if (!out->is_there)
        out->mend = "a kernel with CONFIG_SECCOMP_FILTER; in a container a profile that allows "
                    "seccomp";
}

/* Opened and closed again, which is how to know. */
static void look_at_groups(struct sandbox_layer *out)
{
    struct cgroup_powers powers;
    struct cgroups *cgroups = cgroups_open(1);
    cgroups_powers(cgroups, &powers);
    if (cgroups)
        cgroups_close(cgroups);
    *out = (struct sandbox_layer){.name = "cgroup",
                                  .is_there = powers.has_memory && powers.has_processes,
                                  .is_optional = true};
    snprintf(out->found, sizeof out->found, "%s%s%s",
             powers.has_kill ? "ends all at once"
                             : "none: memory is watched, and nothing bounds the processes of root",
             powers.version == 1   ? ", memory (version 1)"
             : powers.version == 2 ? ", memory (version 2)"
                                   : "",
             powers.has_processes ? ", processes" : "");
    out->mend =
        "run the worker as a systemd service with Delegate=yes, or in a container of its own whose "
        "cgroup is writable";
}

void sandbox_look(struct sandbox_layer out[SANDBOX_LAYERS])
{
    look_at_landlock(&out[0]);
    look_at_seccomp(&out[1]);
    look_at_groups(&out[2]);
}

enum status sandbox_check(const struct sandbox_options *options, struct err *err)
{
    struct sandbox_layer layers[SANDBOX_LAYERS];
    if (options->mode != SANDBOX_REQUIRE)
        return OK;
    sandbox_look(layers);
    for (int i = 0; i < SANDBOX_LAYERS; i++)
        if (!layers[i].is_there && !layers[i].is_optional)
            return err_set(err, E_UNSUPPORTED, "--sandbox=require: no %s (%s): %s", layers[i].name,
                           layers[i].found, layers[i].mend);
    return OK;
}
