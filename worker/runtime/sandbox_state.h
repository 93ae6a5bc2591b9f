/* The inside of the sandbox, shared by sandbox.c (what happens when), sandbox_paths.c (what
 * programs see), sandbox_landlock.c, sandbox_seccomp.c (rules and filters) and sandbox_asked.c (the
 * thread that answers); nobody else includes it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/base/buf.h"
#include "common/landlock.h"
#include "worker/runtime/sandbox.h"

enum {
    /* Rules of that many folders are kept: a slot is given the same few again and again. */
    SANDBOX_RULES_MAX = 8,
    /* Since when Landlock knows more. */
    LANDLOCK_VERSION_TRUNCATE = 3,
    LANDLOCK_VERSION_NETWORK = 4,
    LANDLOCK_VERSION_DEVICES = 5,
    LANDLOCK_VERSION_SCOPES = 6
};

enum sight {
    SIGHT_READ,    /* and run */
    SIGHT_NETWORK, /* the same, of programs that have the network */
    SIGHT_DEVICE,  /* read and write, nothing else */
    SIGHT_SHARED,  /* shared memory: make, open and remove by name, no listing */
    SIGHT_WRITE
};

/* What a filter does where the network is called. */
enum network { NETWORK_ASKS, NETWORK_NONE, NETWORK_FREE, NETWORK_COUNT };

/* Something that programs may see: a file, or a folder with all that is below. */
struct visible {
    const char *path; /* without symlinks */
    enum sight sight;
    bool is_folder;
};

/* The rules for one work folder. */
struct folder_rules {
    int fd, folder_fd; /* −1: none; the second keeps the folder's number from being used again */
    dev_t device;
    ino_t inode;
    bool has_network;
    char path[PATH_MAX]; /* without symlinks */
};

/* What the thread has to know; `lock` is held while it answers. */
struct asked {
    pthread_mutex_t lock;
    int listener;
    char folder[PATH_MAX]; /* of the job, without symlinks; "": none yet */
    bool has_network, was_refused;
    const struct sandbox *sandbox;
};

struct sandbox {
    struct sandbox_options options;
    struct arena arena;
    struct visible *visible;
    size_t visible_count, visible_room;
    char hidden[2][PATH_MAX]; /* without symlinks; "": none */
    int landlock_version;     /* 0: none, or too old */
    bool has_seccomp, is_settled, has_asked;
    bool can_take_sockets; /* of its programs, to connect them; Docker's usual profile forbids it */
    struct buf
        filters[NETWORK_COUNT]; /* by enum network: struct sock_filter each; empty: not made yet */
    struct folder_rules rules[SANDBOX_RULES_MAX];
    unsigned next_rules;
    unsigned fd_end; /* its descriptors, and those before it, are below */
    struct asked asked;
    /* Of the program that is about to start. */
    int rules_fd;
    const struct buf *filter;
    uint64_t cpu_s;
    struct rlimit file_limit, process_limit; /* the hard ones that there are */
    struct kind_confine confine;
};

/* ---- sandbox_paths.c ---- */

/* Lists all that programs may see. */
void sandbox_find_visible(struct sandbox *sandbox);
/* Is it, or what it leads to, something that programs may see (the work folder aside)? */
bool sandbox_is_visible(const struct sandbox *sandbox, const char *path);
/* `path` is `folder`, or below it? */
bool sandbox_is_below(const char *path, const char *folder);

/* ---- sandbox_landlock.c ---- */

/* The descriptor of the rules for a work folder; `folder` is its path without symlinks. −1 with
 * errno. */
int landlock_make(const struct sandbox *sandbox, int folder_fd, const char *folder,
                  bool has_network);
/* This process, from now on. −1 with errno. */
int landlock_enter(int rules_fd);

/* ---- sandbox_seccomp.c ---- */

bool seccomp_is_there(void); /* else errno */
/* Can a filter ask a process? */
bool seccomp_asks(void);
/* Made once. Errors: E_UNSUPPORTED the library refuses. */
MUST_USE enum status seccomp_make(struct sandbox *sandbox, enum network network, struct err *err);
/* This thread, and what it starts. `listener` (may be NULL) gets the descriptor where the kernel
 * asks. −1 with errno. */
int seccomp_enter(const struct buf *filter, int *listener);

/* ---- sandbox_asked.c ---- */

/* May this process have descriptors of another one? */
bool asked_can_take(void);
/* Starts the thread and loads the asking filter into the calling one. False: the kernel can't. */
bool asked_start(struct sandbox *sandbox);
