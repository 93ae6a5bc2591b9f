/* A control group for each slot, where this process may make some: memory and processes of what a
 * slot runs are bounded by the kernel, and all of it is ended at once, however far it daemonised,
 * also when its slot was killed. Version 1 and 2, or what there is of both; one that gives less is
 * used for that. Where nothing is writable, there is none: memory is watched, processes are found
 * by their ancestry.
 *
 *   OWN GROUP/penstock-PID/slot-N      in each hierarchy; locked while its worker lives, so that
 *                                      what a killed worker left is ended by the next one here
 *
 * In version 2 memory and processes can be bounded only where a group has no processes of its own:
 * if this worker is alone in its group (a container, a service of its own), it moves to one below;
 * a user's worker may find a place beside its own group (systemd delegates a user's).
 * Sources: cgroups(7), the kernel's cgroup-v2 and cgroup-v1/memory documents.
 * Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroups;
struct cgroup;

/* NULL: there is nothing that may be written. `processes` is the most in one group. */
struct cgroups *cgroups_open(uint32_t processes);
/* The groups must be free. */
void cgroups_close(struct cgroups *cgroups);

/* What they do here; NULL: nothing. */
struct cgroup_powers {
    bool has_kill, has_memory, has_processes;
    int version; /* 0, 1, 2; of what bounds memory */
};
void cgroups_powers(const struct cgroups *cgroups, struct cgroup_powers *out);

/* A group that this process is in from now on. NULL: `cgroups` is, or it could not be moved. */
struct cgroup *cgroup_new(struct cgroups *cgroups, pid_t pid);
/* Bounds its memory; 0: no longer. False: it is not bounded, so watch it. */
bool cgroup_limit_memory(struct cgroup *cgroup, uint64_t bytes);
/* Was anything in it killed for want of memory since the last call (or the bound was set)? */
bool cgroup_ran_out(struct cgroup *cgroup);
/* Kills all that is in it, and waits for a while until it is empty. */
void cgroup_kill(struct cgroup *cgroup);
/* It must be empty, or it stays until the next worker finds it. */
void cgroup_free(struct cgroup *cgroup);
