/* `worker run-task SPEC` and `worker debug TASK`: one task without a broker, on the same fetch,
 * slot and publish code that a joined worker uses. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/death.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/text/json.h"
#include "proto/limits.h"
#include "worker/command.h"
#include "worker/command_sandbox.h"
#include "worker/runtime/secrets.h"
#include "worker/runtime/slot.h"
#include "worker/runtime/work.h"
#include "worker/task_file.h"

/* One job with all that it needs. */
struct solo {
    struct task_file file;
    struct cache *cache;
    struct mover *mover;
    struct secrets *secrets;
    struct works *works;
    uint32_t job, timeout_ms;
    uint64_t memory_bytes;
    bool keeps_no_record;
    struct sandbox_options sandbox;
    const char *secret_folder; /* NULL: none */
};

static void solo_fini(struct solo *solo)
{
    if (solo->mover)
        mover_close(solo->mover);
    if (solo->works)
        works_free(solo->works);
    if (solo->secrets)
        secrets_free(solo->secrets);
    if (solo->cache)
        cache_close(solo->cache);
    task_file_fini(&solo->file);
}
DEFINE_AUTO_VALUE(struct solo, solo_fini)

/* The job as a broker would send it. */
static enum status take(struct solo *solo, struct err *err)
{
    const struct artifact *artifacts =
        (const struct artifact *)(const void *)solo->file.inputs.bytes;
    uint32_t count = (uint32_t)(solo->file.inputs.count / sizeof *artifacts);
    AUTO(buf_fini) struct buf inputs = buf_init(0);
    AUTO(buf_fini) struct buf frame = buf_init(0);
    AUTO(buf_fini) struct buf jobs = buf_init(0);
    size_t room = 8 + (size_t)count * (ID_BYTES + 16);
    struct mp_writer writer = mp_writer(buf_reserve(&inputs, room), room);
    mp_write_array(&writer, count);
    for (uint32_t i = 0; i < count; i++)
        mp_write_artifact(&writer, &artifacts[i]);
    const struct task_msg task = {.attempt = {solo->file.id, 1},
                                  .spec = solo->file.spec.bytes,
                                  .spec_bytes = solo->file.spec.count,
                                  .inputs = writer.out,
                                  .inputs_bytes = writer.need,
                                  .input_count = count,
                                  .timeout_ms = solo->timeout_ms,
                                  .memory_bytes = solo->memory_bytes};
    room = solo->file.spec.count + writer.need + 256;
    writer = mp_writer(buf_reserve(&frame, room), room);
    msg_write_batch_head(&writer, MSG_TASKS, 1);
    msg_write_task(&writer, &task);
    TRY(works_take(solo->works, writer.out, writer.need, &jobs, err));
    memcpy(&solo->job, jobs.bytes, sizeof solo->job);
    return OK;
}

static enum status wait_ended(struct solo *solo, struct err *err)
{
    struct work_ended ended;
    while (!works_next_ended(solo->works, &ended)) {
        struct pollfd fd = {mover_fd(solo->mover), POLLIN, 0};
        (void)!poll(&fd, 1, -1);
    }
    return ended.code == OK ? OK : err_set(err, ended.code, "%s", ended.text);
}

static enum status solo_open(struct solo *solo, const char *task, const char *store,
                             const char *cache, uint64_t cache_bytes, struct err *err)
{
    TRY(mover_open(store, &solo->mover, err));
    TRY(task_file_load(task, mover_store(solo->mover), &solo->file, err));
    TRY(cache_open(cache, cache_bytes, &solo->cache, err));
    const struct works_options options = {solo->mover, solo->cache, "run-task", solo->secrets};
    solo->works = works_new(&options);
    TRY(take(solo, err));
    works_fetch(solo->works, solo->job);
    return wait_ended(solo, err);
}

/* Until the slot has answered, died, or run out of time or memory. The answer's times go to the
 * job. */
static enum status watch(struct solo *solo, struct slot **slot_p, struct err *err)
{
    enum { SAMPLE_MS = 25 };
    struct slot_message message;
    char words[DEATH_WORDS_BYTES], found[32];
    ms_t deadline = solo->timeout_ms ? clock_ms() + solo->timeout_ms : MS_NEVER;
    bool is_bad = false;
    for (enum status status = OK; status == OK && !is_bad;) {
        struct pollfd fd = {slot_fd(*slot_p), slot_is_writing(*slot_p) ? POLLIN | POLLOUT : POLLIN,
                            0};
        (void)!poll(&fd, 1, solo->timeout_ms || solo->memory_bytes ? SAMPLE_MS : -1);
        slot_flush(*slot_p);
        uint64_t resident = solo->memory_bytes ? slot_resident(*slot_p) : 0;
        if (resident > solo->memory_bytes)
            return err_set(err, E_MEMORY, "grew past its memory limit of %s (resident %s)",
                           agent_describe_bytes(solo->memory_bytes, words, sizeof words),
                           agent_describe_bytes(resident, found, sizeof found));
        if (clock_ms() >= deadline)
            return err_set(err, E_TIMEOUT, "ran past its timeout of %s",
                           agent_describe_ms(solo->timeout_ms, words, sizeof words));
        status = fd.revents ? slot_receive(*slot_p, NULL) : OK;
        while (slot_next(*slot_p, &message, &is_bad)) {
            if (message.type != SLOT_DONE && message.type != SLOT_FAILED)
                continue;
            works_get(solo->works, solo->job)->begun_us = message.begun_us;
            works_get(solo->works, solo->job)->took_us = message.took_us;
            return message.type == SLOT_DONE
                       ? OK
                       : err_set(err, message.code, "%.*s", (int)message.text_bytes, message.text);
        }
    }
    int signal, exit_status;
    slot_stop(TAKE(*slot_p), &signal, &exit_status);
    return err_set(err, signal ? E_CRASHED : E_EXIT, "%s",
                   death_describe(signal, signal ? signal : exit_status, words));
}

static enum status run_in_slot(struct solo *solo, struct err *err)
{
    struct slot_job job;
    AUTO(slot_stop) struct slot *slot = NULL;
    const struct slot_options options = {.sandbox = &solo->sandbox};
    TRY(slot_start(&options, &slot, err));
    works_slot_job(solo->works, solo->job, &job);
    slot_put(slot, &job);
    slot_flush(slot);
    return watch(solo, &slot, err);
}

/* The record as JSON to stdout, and to where the next task looks for it. */
static enum status show(struct solo *solo, const struct result_msg *result, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(buf_fini) struct buf text = buf_init(0);
    struct value record;
    TRY(value_decode(result->record, result->record_bytes, arena_memory(&arena), &record, err));
    json_write(&record, 2, &text);
    printf("%s\n", buf_text(&text));
    if (solo->keeps_no_record)
        return OK;
    return task_file_save_record(mover_store(solo->mover), &solo->file.id, result->record,
                                 result->record_bytes, err);
}

static enum status run_task(struct solo *solo, struct err *err)
{
    struct result_msg result;
    struct err why = {0};
    struct slot_job job;
    enum status status = run_in_slot(solo, &why);
    works_slot_job(solo->works, solo->job, &job);
    AUTO(buf_fini) struct buf log = buf_init(LOG_BYTES_MAX);
    if (fs_read(job.log_path, &log, NULL) == OK && log.count)
        fwrite(log.bytes, 1, log.count, stderr);
    works_publish(solo->works, solo->job, status, why.text);
    TRY(wait_ended(solo, err));
    TRY(works_result(solo->works, solo->job, OK, "", &result, err));
    TRY(show(solo, &result, err));
    return store_flush(mover_store(solo->mover), err);
}

int command_run_task(int argc, char **argv)
{
    static const char usage[] =
        "usage: worker run-task SPEC [--store URL]\n\n"
        "Runs one task without a broker: SPEC is a file with the task's specification, as\n"
        "MessagePack or JSON (ids as hex text). Inputs come from the store, outputs go there,\n"
        "the record goes to records/<task id> in it and, as JSON, to stdout.\n\n";
    const char *store = ".penstock/store", *cache = ".penstock/cache", *cache_size = "10GiB";
    const char *timeout = "", *memory = "";
    AUTO(solo_fini) struct solo solo = {0};
    AUTO(command_sandbox_fini) struct command_sandbox sandbox = COMMAND_SANDBOX;
    AUTO(config_list_fini) struct config_list arguments = {0};
    const struct config_option options[] = {
        {"store", 0, CONFIG_TEXT, "PENSTOCK_STORE", "URL", &store, "where artifacts live"},
        {"cache", 0, CONFIG_TEXT, "PENSTOCK_CACHE", "FOLDER", &cache,
         "where artifacts and work folders are kept on this machine"},
        {"cache-size", 0, CONFIG_TEXT, "PENSTOCK_CACHE_SIZE", "SIZE", &cache_size,
         "above which the longest unused artifacts go"},
        {"timeout", 0, CONFIG_TEXT, NULL, "TIME", &timeout, "after which the task is ended"},
        {"memory", 0, CONFIG_TEXT, NULL, "SIZE", &memory, "above which the task is ended"},
        {"no-record", 0, CONFIG_FLAG, NULL, NULL, &solo.keeps_no_record,
         "print the record, and keep it nowhere: for comparing"},
        COMMAND_SANDBOX_OPTIONS(sandbox),
    };
    int exit_status;
    struct err err = {0};
    uint64_t cache_bytes = 0;
    if (command_parse(usage, options, sizeof options / sizeof *options, argc, argv, &arguments,
                      &exit_status))
        return exit_status;
    enum status status =
        arguments.count == 1 ? OK : err_set(&err, E_INVALID, "expected one SPEC; see --help");
    if (status == OK)
        status = command_parse_bytes("cache-size", cache_size, &cache_bytes, &err);
    if (status == OK && *timeout)
        status = config_parse_ms("timeout", timeout, &solo.timeout_ms, &err);
    if (status == OK && *memory)
        status = command_parse_bytes("memory", memory, &solo.memory_bytes, &err);
    if (status == OK)
        status = command_sandbox_read(&sandbox, &solo.sandbox, &err);
    solo.sandbox.hidden = command_sandbox_hidden(&sandbox, cache, false);
    solo.secret_folder = sandbox.secrets;
    if (status == OK)
        status = solo_open(&solo, arguments.items[0], store, cache, cache_bytes, &err);
    if (status != OK)
        return command_fail(&err);
    if (run_task(&solo, &err) == OK)
        return EXIT_DONE;
    exit_status = command_fail(&err);
    return exit_status == EXIT_USAGE ? EXIT_TASK_FAILED : exit_status;
}

/* Where the debugged task lives; made new, so that nothing of an earlier look is mistaken for this
 * one. */
static enum status make_debug_folders(char *folder, size_t bytes, char paths[3][PATH_MAX],
                                      struct err *err)
{
    static const char *const names[] = {"work", "outputs", "inputs"};
    char here[PATH_MAX - 64];
    if (!getcwd(here, sizeof here))
        return fs_error(err, errno, ".", "getcwd");
    AUTO(buf_fini) struct buf prefix = buf_init(0);
    buf_format(&prefix, "%s/debug-", here);
    TRY(fs_make_temp_dir(buf_text(&prefix), folder, bytes, err));
    for (int i = 0; i < 3; i++) {
        if (snprintf(paths[i], PATH_MAX, "%s/%s", folder, names[i]) >= PATH_MAX)
            return err_set(err, E_LIMIT, "%s: the path is too long", folder);
        TRY(fs_make_dirs(paths[i], err));
    }
    return OK;
}

static enum status debug(const char *task, const char *store, struct command_sandbox *sandbox,
                         char folder[PATH_MAX], struct err *err)
{
    char paths[3][PATH_MAX];
    AUTO(solo_fini) struct solo solo = {0};
    struct slot_job job;
    TRY(command_sandbox_read(sandbox, &solo.sandbox, err));
    solo.secret_folder = sandbox->secrets;
    TRY(make_debug_folders(folder, PATH_MAX, paths, err));
    TRY(solo_open(&solo, task, store, paths[2], UINT64_MAX, err));
    works_slot_job(solo.works, solo.job, &job);
    job.work_dir = paths[0];
    job.output_dir = paths[1];
    job.log_path = NULL;
    return slot_run_here(&job, &solo.sandbox, err);
}

int command_debug(int argc, char **argv)
{
    static const char usage[] =
        "usage: worker debug TASK [--store URL]\n\n"
        "Fetches a task's inputs into a new folder debug-… and runs its handler right here, in\n"
        "the foreground, so that a debugger or strace can watch. TASK is a specification's file\n"
        "or the id of a task whose record is in the store. Nothing is published.\n\n";
    const char *store = ".penstock/store";
    char folder[PATH_MAX] = "";
    AUTO(command_sandbox_fini) struct command_sandbox sandbox = COMMAND_SANDBOX;
    AUTO(config_list_fini) struct config_list arguments = {0};
    const struct config_option options[] = {
        {"store", 0, CONFIG_TEXT, "PENSTOCK_STORE", "URL", &store, "where artifacts live"},
        COMMAND_SANDBOX_OPTIONS(sandbox),
    };
    int exit_status;
    struct err err = {0};
    if (command_parse(usage, options, sizeof options / sizeof *options, argc, argv, &arguments,
                      &exit_status))
        return exit_status;
    if (arguments.count != 1) {
        err_set(&err, E_INVALID, "expected one TASK; see --help");
        return command_fail(&err);
    }
    enum status status = debug(arguments.items[0], store, &sandbox, folder, &err);
    if (*folder)
        fprintf(stderr, "folder: %s\n", folder);
    return status == OK ? EXIT_DONE : command_fail(&err);
}
