/* What a program in the sandbox tries, and what comes of it. The programs are this very test again,
 * as `try NAME [ARGUMENT]`, which ends with the error's number as its status; 0: it went through.
 * A machine without a layer skips what that layer is for. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "tests/unit/worker/runtime/attempts.h"
#include "tests/unit/worker/runtime/running.h"
#include "tests/unit/worker/runtime/support.h"
#include "worker/runtime/sandbox_layers.h"
#include "worker/runtime/sandbox_state.h"

static bool does_ask = true;

struct world {
    struct arena arena;
    const char *folder, *program;
    const char *readable[2];
    struct sandbox_options options;
    struct slot *slot;
    struct slot_job job;
    char text[ERR_TEXT_BYTES];
};

/* A file beside the work folder, as a pipeline's, a home's or a cache's would be. */
static const char *outside(struct world *world)
{
    const char *path = arena_format(&world->arena, "%s/outside.csv", world->folder);
    assert_int_equal(fs_write(path, "a,b\n", 4, NULL), OK);
    return path;
}

static int setup(void **state)
{
    char program[PATH_MAX];
    struct world *world = mem_alloc(sizeof *world);
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    assert_true(bytes > 0);
    world->program = arena_text(&world->arena, program, (size_t)bytes);
    world->folder = temp_folder(&world->arena);
    world->readable[0] = world->program;
    world->options.readable = world->readable;
    world->options.readable_count = 1;
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    if (world->slot)
        slot_stop(world->slot, NULL, NULL);
    assert_int_equal(fs_remove_tree(world->folder, NULL), OK);
    arena_fini(&world->arena);
    mem_free(world);
    return 0;
}

static bool has_landlock(void)
{
    return landlock_version() >= LANDLOCK_VERSION_MIN;
}

static enum status run(struct world *world, const char *params)
{
    if (!world->slot)
        world->slot = slot_started(&world->options);
    world->job = exec_job(&world->arena, world->folder, "[]", params);
    return slot_runs(world->slot, &world->job, world->text);
}

static enum status run_attempt(struct world *world, const char *name, const char *argument,
                               bool has_network)
{
    return run(world, arena_format(&world->arena, "{\"command\":[\"%s\",\"try\",\"%s\",\"%s\"]%s}",
                                   world->program, name, argument,
                                   has_network ? ",\"network\":true" : ""));
}

/* Comes this of it? */
static void expect(struct world *world, const char *name, const char *argument, int error)
{
    char want[64];
    snprintf(want, sizeof want, "exited with status %d", error);
    enum status status = run_attempt(world, name, argument, false);
    if (error ? status == E_EXIT && !strncmp(world->text, want, strlen(want)) : status == OK)
        return;
    fail_msg("%s %s: expected %d, found %s", name, argument, error, world->text);
}

static const char *pair(struct world *world, int family, int type)
{
    return arena_format(&world->arena, "%d,%d", family, type);
}

static void no_network_unless_asked_for(void **state)
{
    struct world *world = *state;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    struct sockaddr *any = (struct sockaddr *)(void *)&address;
    assert_int_equal(bind(listener, any, bytes), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, any, &bytes), 0);
    const char *port = arena_format(&world->arena, "%u", ntohs(address.sin_port));
    expect(world, "connect_port", port, EACCES);
    if (does_ask) /* else nobody knows what was refused */
        assert_non_null(strstr(world->text, "params: {network: true}"));
    assert_int_equal(run_attempt(world, "connect_port", port, true), OK);
    expect(world, "connect_port", port, EACCES); /* and the next one has none again */
    expect(world, "socket", pair(world, AF_INET6, SOCK_DGRAM), EACCES);
    expect(world, "socket", pair(world, AF_NETLINK, SOCK_RAW), EACCES);
    close(listener);
}

static void other_families_are_not_there(void **state)
{
    struct world *world = *state;
    expect(world, "socket", pair(world, AF_PACKET, SOCK_RAW), EAFNOSUPPORT);
    expect(world, "socket", pair(world, AF_ALG, SOCK_SEQPACKET), EAFNOSUPPORT);
    expect(world, "socket", pair(world, AF_VSOCK, SOCK_STREAM), EAFNOSUPPORT);
    expect(world, "socket", pair(world, AF_UNIX, SOCK_DGRAM), EACCES);
    assert_int_equal(run_attempt(world, "socket", pair(world, AF_ALG, SOCK_SEQPACKET), true),
                     E_EXIT);
}

static void local_sockets_reach_no_further_than_the_work_folder(void **state)
{
    struct world *world = *state;
    const char *path = arena_format(&world->arena, "%s/door", world->folder);
    int listener = listen_at(path);
    assert_true(listener >= 0);
    expect(world, "own_socket", "mine", 0);
    expect(world, "full_socket", "full", EAGAIN); /* nobody waits for ever */
    assert_int_equal(run_attempt(world, "own_socket", "mine-too", true), OK);
    assert_int_equal(run_attempt(world, "connect_local", path, true), E_EXIT);
    expect(world, "connect_local", path, EACCES);
    expect(world, "connect_local", "../door", EACCES);
    expect(world, "connect_local", "not-there", ENOENT);
    assert_int_equal(run(world, arena_format(&world->arena,
                                             "{\"command\":\"ln -s ../door d && '%s' try "
                                             "connect_local d\"}",
                                             world->program)),
                     E_EXIT);
    const char *name = arena_format(&world->arena, "@penstock-test-%d", (int)getpid());
    int abstract = listen_at(name);
    assert_true(abstract >= 0);
    assert_int_equal(run_attempt(world, "connect_local", name, false), E_EXIT);
    close(listener);
    close(abstract);
}

static void files_outside_are_neither_read_nor_written(void **state)
{
    struct world *world = *state;
    const char *path = outside(world);
    if (!has_landlock())
        skip();
    expect(world, "read", path, EACCES);
    expect(world, "read", "../outside.csv", EACCES);
    expect(world, "through_link", path, EACCES);
    expect(world, "write", path, EACCES);
    expect(world, "cut", path, EACCES);
    expect(world, "move_away", path, EACCES);
    expect(world, "link", path, EXDEV); /* as between file systems */
    expect(world, "list", world->folder, EACCES);
    expect(world, "list", "/", EACCES);
    expect(world, "list", "/tmp", EACCES);
    assert_int_equal(run_attempt(world, "read", "/etc/shadow", false), E_EXIT);
    expect(world, "read", "/etc/passwd", 0);
    expect(world, "write", "/dev/null", 0);
    expect(world, "write", "inside", 0);
    expect(world, "list", "/usr", 0);
}

static void what_is_shown_is_seen_and_what_is_lent_is_written(void **state)
{
    struct world *world = *state;
    const char *path = outside(world);
    const char *lent = arena_format(&world->arena, "%s/lent", world->folder);
    assert_int_equal(mkdir(lent, 0700), 0);
    if (!has_landlock())
        skip();
    world->readable[1] = path;
    world->options.readable_count = 2;
    world->options.writable = &lent;
    world->options.writable_count = 1;
    expect(world, "read", path, 0);
    expect(world, "write", path, EACCES);
    expect(world, "write", arena_format(&world->arena, "%s/x", lent), 0);
}

/* As with npm's prefix in a home, or with an environment made in a pipeline's folder. */
static void beside_programs_only_what_belongs_to_them_is_seen(void **state)
{
    static const char *const marks[] = {"lib/node_modules", "pyvenv.cfg"};
    struct world *world = *state;
    if (!has_landlock())
        skip();
    const char *before = arena_format(&world->arena, "%s", getenv("PATH"));
    for (size_t i = 0; i < 2; i++) {
        const char *home = arena_format(&world->arena, "%s/home-%zu", world->folder, i);
        const char *lib = arena_format(&world->arena, "%s/lib/x", home);
        const char *own = arena_format(&world->arena, "%s/key", home);
        assert_int_equal(fs_make_dirs(arena_format(&world->arena, "%s/bin", home), NULL), OK);
        assert_int_equal(fs_make_dirs(arena_format(&world->arena, "%s/lib", home), NULL), OK);
        assert_int_equal(fs_make_dirs(arena_format(&world->arena, "%s/%s", home, marks[i]), NULL),
                         OK);
        assert_int_equal(fs_write(lib, "x", 1, NULL) | fs_write(own, "x", 1, NULL), OK);
        setenv("PATH", arena_format(&world->arena, "%s/bin:%s", home, before), 1);
        expect(world, "read", lib, 0);
        expect(world, "read", own, EACCES);
        slot_stop(TAKE(world->slot), NULL, NULL);
    }
    setenv("PATH", before, 1);
}

static void shared_memory_is_there_but_not_listed(void **state)
{
    struct world *world = *state;
    if (!has_landlock() || access("/dev/shm", W_OK))
        skip();
    expect(world, "shared_memory", arena_format(&world->arena, "/penstock-test-%d", (int)getpid()),
           0);
    expect(world, "list", "/dev/shm", EACCES);
}

static void an_undeclared_file_is_named_in_the_failure(void **state)
{
    struct world *world = *state;
    const char *path = outside(world);
    if (!has_landlock())
        skip();
    assert_int_equal(run(world, arena_format(&world->arena, "{\"command\":\"cat %s\"}", path)),
                     E_EXIT);
    assert_non_null(strstr(world->text, arena_format(&world->arena,
                                                     "%s exists but is not declared: add it to "
                                                     "inputs or code",
                                                     path)));
    /* Not of what is not there, nor of what may be seen. */
    assert_int_equal(run(world, "{\"command\":\"cat /etc/passwd/x /not-there\"}"), E_EXIT);
    assert_null(strstr(world->text, "declared"));
    assert_int_equal(run(world, "{\"command\":\"cat /etc/passwd >&2; exit 3\"}"), E_EXIT);
    assert_null(strstr(world->text, "declared"));
}

static void the_slot_and_the_worker_are_out_of_reach(void **state)
{
    struct world *world = *state;
    expect(world, "trace_parent", "", EPERM);
    expect(world, "kill_parent", "", EPERM);
    const char *pid = arena_format(&world->arena, "%d", (int)getpid());
    expect(world, "kill", pid, EPERM);
    expect(world, "signal_by_folder", pid, EPERM);
    if (landlock_version() < LANDLOCK_VERSION_SCOPES) { /* else the signal itself is refused */
        expect(world, "signal_by_owner", pid, EPERM);
        expect(world, "signal_by_group", "", EPERM);
    }
    expect(world, "environment", "", EACCES);
}

/* A limit of the processor's time would end the worker as a signal does, a priority starve it. */
static void limits_and_priorities_of_others_stay(void **state)
{
    struct world *world = *state;
    const char *pid = arena_format(&world->arena, "%d", (int)getpid());
    expect(world, "limit", pid, EPERM);
    expect(world, "priority", pid, EPERM);
    expect(world, "priority_of_user", "", EPERM);
    expect(world, "io_priority", pid, EPERM);
    expect(world, "limits_of_own", does_ask ? "asks" : "", 0);
}

static void a_program_may_trace_its_own(void **state)
{
    struct world *world = *state;
    if (!has_landlock()) /* then nobody may */
        skip();
    expect(world, "trace_child", "", 0);
}

static void privileges_are_gone(void **state)
{
    static const struct {
        const char *call;
        int error;
    } calls[] = {{"mount", EPERM},     {"unshare", EPERM}, {"clone", EPERM},
                 {"bpf", EPERM},       {"keyctl", ENOSYS}, {"userfaultfd", ENOSYS},
                 {"io_uring", ENOSYS}, {"chroot", EPERM},  {"type", EPERM},
                 {"owner", EPERM}};
    struct world *world = *state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        expect(world, "call", calls[i].call, calls[i].error);
    assert_int_equal(run_attempt(world, "call", "device", false), E_EXIT);
    assert_int_equal(run(world, "{\"command\":\"grep -q 'NoNewPrivs:.1' /proc/self/status && "
                                "grep -q 'CapEff:.0000000000000000' /proc/self/status\"}"),
                     OK);
}

static void limits_hold(void **state)
{
    struct world *world = *state;
    world->options.file_bytes = 1 << 20;
    expect(world, "grow", "1000000", 0);
    assert_int_equal(run_attempt(world, "grow", "1073741824", false), E_CRASHED);
    assert_non_null(strstr(world->text, "SIGXFSZ"));
    assert_int_equal(run(world, "{\"command\":\"test $(ulimit -c) = 0\"}"), OK);
}

/* Rules are kept for folders that are used again; a new folder under an old path has its own. */
static void rules_belong_to_a_folder_not_to_its_path(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 2 * SANDBOX_RULES_MAX + 3; i++) {
        expect(world, "write", "file", 0);
        expect(world, "write", "again", 0);
        assert_int_equal(fs_remove_tree(world->job.work_dir, NULL), OK);
    }
}

static void off_is_off(void **state)
{
    struct world *world = *state;
    world->options.mode = SANDBOX_OFF;
    expect(world, "read", outside(world), 0);
    expect(world, "socket", pair(world, AF_INET, SOCK_STREAM), 0);
}

/* As `worker debug` does it: not in a slot, so each program carries all of it. */
static void it_holds_without_a_slot_too(void **state)
{
    struct world *world = *state;
    struct err err = {0};
    const char *path = outside(world);
    world->job = exec_job(&world->arena, world->folder, "[]",
                          arena_format(&world->arena,
                                       "{\"command\":[\"%s\",\"try\",\"socket\",\"%d,"
                                       "%d\"]}",
                                       world->program, AF_INET, SOCK_STREAM));
    world->job.log_path = NULL;
    assert_int_equal(slot_run_here(&world->job, &world->options, &err), E_EXIT);
    assert_non_null(strstr(err.text, "status 13"));
    if (has_landlock()) {
        world->job =
            exec_job(&world->arena, world->folder, "[]",
                     arena_format(&world->arena, "{\"command\":[\"%s\",\"try\",\"read\",\"%s\"]}",
                                  world->program, path));
        world->job.log_path = NULL;
        assert_int_equal(slot_run_here(&world->job, &world->options, &err), E_EXIT);
        assert_non_null(strstr(err.text, "status 13"));
    }
    assert_int_equal(chdir("/"), 0);
}

/* ---- machines that lack something ---- */

/* landlock_create_ruleset and pidfd_getfd, on every architecture. */
enum { LANDLOCK_CALL = 444, TAKE_CALL = 438, SOMEBODY = 65534 };

/* This process, from now on, is on such a machine. Without "landlock": its calls are not there;
 * without "asking": the kernel asks nobody anything, since somebody above is asked already; without
 * "taking": nobody's descriptors can be had. */
static int lack(const char *what)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LANDLOCK_CALL, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    bool is_asking = !strcmp(what, "asking");
    code[1].k = strcmp(what, "taking") ? LANDLOCK_CALL : TAKE_CALL;
    const struct sock_fprog program = {.len = is_asking ? 1 : 4,
                                       .filter = is_asking ? &code[3] : code};
    bool is_root = !strcmp(what, "landlock") && geteuid() == 0; /* whose processes keep more out */
    if ((is_root && setuid(SOMEBODY)) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                        is_asking ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &program);
}

/* This very test again, on such a machine: what the other layers are for holds all the same. */
static void run_without(const char *what)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test_sandbox", "without", what, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void without_landlock_the_rest_holds(void **state)
{
    (void)state;
    run_without("landlock");
}

static void without_being_asked_the_rest_holds(void **state)
{
    (void)state;
    run_without("asking");
}

static void where_no_socket_can_be_taken_a_program_still_has_its_own(void **state)
{
    (void)state;
    run_without("taking");
}

static void it_talks_to_itself(void **state)
{
    struct world *world = *state;
    expect(world, "own_socket", "mine", 0);
}

static void what_is_required_must_be_there(void **state)
{
    (void)state;
    struct err err = {0};
    const struct sandbox_options options = {.mode = SANDBOX_REQUIRE};
    assert_int_equal(sandbox_check(&options, &err), E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "landlock"));
}

#define SANDBOX_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc >= 2 && !strcmp(argv[1], "slot"))
        return slot_main(argc - 2, argv + 2);
    if (argc >= 4 && !strcmp(argv[1], "try"))
        _exit(attempt(argv[2],
                      argv[3])); /* a leak checker would trace, which is not always allowed */
    const struct CMUnitTest lacking[] = {
        SANDBOX_TEST(no_network_unless_asked_for),
        SANDBOX_TEST(other_families_are_not_there),
        SANDBOX_TEST(files_outside_are_neither_read_nor_written),
        SANDBOX_TEST(the_slot_and_the_worker_are_out_of_reach),
        SANDBOX_TEST(limits_and_priorities_of_others_stay),
        SANDBOX_TEST(a_program_may_trace_its_own),
        SANDBOX_TEST(privileges_are_gone),
        SANDBOX_TEST(limits_hold),
        SANDBOX_TEST(it_holds_without_a_slot_too),
        SANDBOX_TEST(it_talks_to_itself),
        SANDBOX_TEST(what_is_required_must_be_there), /* without Landlock alone */
    };
    if (argc == 3 && !strcmp(argv[1], "without")) {
        does_ask = strcmp(argv[2], "asking") != 0;
        size_t count = sizeof lacking / sizeof *lacking - !!strcmp(argv[2], "landlock");
        return lack(argv[2]) < 0 ? 1 : _cmocka_run_group_tests(argv[2], lacking, count, NULL, NULL);
    }
    const struct CMUnitTest tests[] = {
        SANDBOX_TEST(no_network_unless_asked_for),
        SANDBOX_TEST(other_families_are_not_there),
        SANDBOX_TEST(local_sockets_reach_no_further_than_the_work_folder),
        SANDBOX_TEST(files_outside_are_neither_read_nor_written),
        SANDBOX_TEST(what_is_shown_is_seen_and_what_is_lent_is_written),
        SANDBOX_TEST(beside_programs_only_what_belongs_to_them_is_seen),
        SANDBOX_TEST(shared_memory_is_there_but_not_listed),
        SANDBOX_TEST(an_undeclared_file_is_named_in_the_failure),
        SANDBOX_TEST(the_slot_and_the_worker_are_out_of_reach),
        SANDBOX_TEST(limits_and_priorities_of_others_stay),
        SANDBOX_TEST(a_program_may_trace_its_own),
        SANDBOX_TEST(privileges_are_gone),
        SANDBOX_TEST(limits_hold),
        SANDBOX_TEST(rules_belong_to_a_folder_not_to_its_path),
        SANDBOX_TEST(off_is_off),
        SANDBOX_TEST(it_holds_without_a_slot_too),
        cmocka_unit_test(without_landlock_the_rest_holds),
        cmocka_unit_test(without_being_asked_the_rest_holds),
        cmocka_unit_test(where_no_socket_can_be_taken_a_program_still_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
