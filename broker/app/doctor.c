/* What a run here would need, checked one by one, each with how to mend it. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "broker/app/doctor.h"
#include "common/base/doc.h"
#include "common/child.h"
#include "common/cores.h"
#include "common/fs.h"
#include "common/program.h"
#include "common/text/json.h"

enum { FILES_WANTED = 1024 };
static const uint64_t disk_wanted_bytes = 1u << 30;

void doctor_put(struct doctor *d, const char *check, bool ok, struct value found, const char *mend)
{
    struct value *entry = doc_add(d->arena, d->out, doc_map());
    doc_put(d->arena, entry, "check", value_string(check));
    doc_put(d->arena, entry, "ok", value_bool(ok));
    doc_put(d->arena, entry, "found", found);
    doc_put(d->arena, entry, "mend", ok ? value_nil() : value_string(mend));
}

/* What `worker doctor --json` prints; "" where it can't be run. */
static void ask_worker(const char *path, struct buf *out)
{
    int pair[2];
    struct child child;
    const char *const arguments[] = {"worker", "doctor", "--json", NULL};
    if (pipe2(pair, O_CLOEXEC))
        return;
    const struct child_fd fds[] = {{pair[1], STDOUT_FILENO}};
    const struct child_options options = {
        .path = path, .argv = arguments, .fds = fds, .fd_count = 1, .dies_with_parent = true};
    enum status status = child_start(&options, &child, NULL);
    close(pair[1]);
    if (status == OK) {
        (void)!fs_read_fd(pair[0], "worker doctor", out, NULL);
        (void)!child_wait(&child, -1, NULL);
    }
    close(pair[0]);
}

/* What confines programs is the local worker's to know. */
static void check_sandbox(struct doctor *d, const char *path)
{
    enum { ANSWER_BYTES_MAX = 1 << 16 };
    struct value rows;
    AUTO(buf_fini) struct buf text = buf_init(ANSWER_BYTES_MAX);
    ask_worker(path, &text);
    if (json_parse("worker doctor", buf_text(&text), text.count, d->arena, &rows, NULL) != OK ||
        rows.type != VALUE_ARRAY)
        return; /* the worker's own row says that it can't be run */
    for (uint32_t i = 0; i < rows.count; i++)
        *doc_add(d->arena, d->out, doc_map()) = rows.items[i];
}

static void check_worker(struct doctor *d)
{
    char path[PATH_MAX] = "";
    struct err err = {0};
    bool ok = program_sibling("worker", path, &err) == OK && access(path, X_OK) == 0;
    doctor_put(d, "worker", ok,
               doc_format(d->arena, "%s",
                          ok            ? path
                          : err.text[0] ? err.text
                                        : path),
               "build it (make), or name it with PENSTOCK_WORKER");
    if (ok)
        check_sandbox(d, path);
}

static void check_home(struct doctor *d)
{
    const char *home = d->app->home, *parent = fs_exists(home) ? home : ".";
    bool ok = access(parent, W_OK) == 0;
    doctor_put(d, "home", ok,
               doc_format(d->arena, "%s %s", home,
                          !ok               ? strerror(errno)
                          : fs_exists(home) ? "is there"
                                            : "will be made"),
               "make the folder writable, or choose another with --home");
    struct statvfs disk;
    bool is_known = statvfs(parent, &disk) == 0;
    uint64_t free_bytes = is_known ? (uint64_t)disk.f_bavail * disk.f_frsize : 0;
    doctor_put(
        d, "disk", free_bytes >= disk_wanted_bytes,
        doc_format(d->arena, "%.1f GiB free", (double)free_bytes / (double)disk_wanted_bytes),
        "free some space: artifacts and the worker's cache are kept there");
}

static void put_finding(void *context, const char *check, bool ok, const char *found,
                        const char *mend)
{
    struct doctor *d = context;
    doctor_put(d, check, ok, doc_format(d->arena, "%s", found), mend);
}

/* A folder that is not there yet is nothing to look into; it will be made. */
static void check_store(struct doctor *d)
{
    enum { PATIENCE_MS = 1000 };
    struct err err = {0};
    AUTO(store_close) struct store *store = NULL;
    const char *url = d->app->store_url;
    if (!strchr(url, ':') && !fs_exists(url)) {
        doctor_put(d, "store", true, doc_format(d->arena, "%s will be made", url), "");
        return;
    }
    bool ok = store_open(url, &store, &err) == OK;
    if (ok) {
        store_set_patience(store, PATIENCE_MS);
        ok = store_probe(store, &err) == OK;
    }
    const char *advice = ok ? store_advice(store) : "";
    doctor_put(d, "store", ok && !*advice,
               doc_format(d->arena, "%s%s%s", ok ? url : err.text, *advice ? ": " : "", advice),
               "set what is named here as it says, then look again with doctor");
}

static void check_state(struct doctor *d)
{
    struct err err = {0};
    enum status status = local_open_reader(d->app, &err);
    bool is_redis = strncmp(d->app->state_url, "redis", 5) == 0;
    bool ok = status == OK || (status == E_NOTFOUND && !is_redis);
    doctor_put(
        d, "state", ok,
        doc_format(d->arena, "%s",
                   ok && status == OK && !is_redis ? d->app->state_url
                   : ok && status == OK            ? "Redis answers"
                                                   : err.text),
        state_is_loading(&err) ? "wait until it has: a run that is started now does so, too"
        : is_redis
            ? "see REDIS_URL or --state: redis://USER:PASSWORD@HOST:PORT"
            : "the state is an index of its journal: move the index away and it is made again");
    if (d->app->state && state_examine(d->app->state, put_finding, d, &err) != OK)
        doctor_put(d, "redis", false, doc_format(d->arena, "%s", err.text), "see the line above");
}

/* A state that several brokers share: is there one that leads? */
static void check_lead(struct doctor *d)
{
    struct state_lead lead;
    struct err err = {0};
    if (!d->app->state || strncmp(d->app->state_url, "redis", 5) != 0)
        return;
    bool ok = state_leader(d->app->state, &lead, &err) == OK;
    struct value found = doc_format(d->arena, "%s", err.text);
    if (ok && !lead.epoch)
        found = doc_format(d->arena, "nobody has led yet");
    else if (ok && lead.is_held)
        found = doc_format(d->arena, "%s leads, as epoch %llu", lead.holder,
                           (unsigned long long)lead.epoch);
    else if (ok)
        found = doc_format(d->arena, "nobody leads; the last one was %s, as epoch %llu",
                           lead.holder, (unsigned long long)lead.epoch);
    doctor_put(d, "lead", ok, found, "see the line of the state");
}

static void check_limits(struct doctor *d)
{
    struct rlimit files;
    bool is_known = getrlimit(RLIMIT_NOFILE, &files) == 0;
    doctor_put(
        d, "open files", is_known && files.rlim_cur >= FILES_WANTED,
        doc_format(d->arena, "%llu at most", is_known ? (unsigned long long)files.rlim_cur : 0),
        "ulimit -n 4096");
    doctor_put(d, "cores", true,
               doc_format(d->arena, "%u, so %u slots", cores_count(), d->app->slots), "");
}

enum status local_doctor(struct app *base, struct arena *arena, struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    (void)err;
    *out = doc_list();
    struct doctor doctor = {app, arena, out};
    check_worker(&doctor);
    check_home(&doctor);
    check_store(&doctor);
    check_state(&doctor);
    check_lead(&doctor);
    check_limits(&doctor);
    doctor_keys(&doctor);
    return OK;
}
