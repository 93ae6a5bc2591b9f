/* The simulator's command line (see world.h for what it simulates).
 *
 *   sim                          a few thousand seeds, and all short histories of small graphs
 *   sim --seeds N [--from N]     so many
 *   sim --minutes N              as long as that
 *   sim --seed N [--units N --runs N --places N --faults BITS --ms N --fault-max N --skip N …]
 *                                one, with a trace; the rest makes it smaller
 *
 * Seeds are spread over --jobs processes; one that dies names the seed it was at. Exit status 1:
 * something failed. */
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/world.h"

enum {
    SEEDS_DEFAULT = 5000,
    JOBS_MAX_COUNT = 64,
    WATCHDOG_SECONDS = 20,
    TWICE_EVERY = 64 /* seeds: that one is run a second time, to see that it is the same */
};

struct options {
    uint64_t from, seeds, minutes;
    uint32_t jobs;
    bool is_one, is_enumerating, is_tracing, has_shrinking;
    struct params params;
};

/* What the processes share: the next seed, and what each has seen. */
struct shared {
    uint64_t next, end, done, events, faults, executions, tries, failures;
    uint64_t histories; /* enumerated */
    uint64_t deadline;
    struct verdict verdicts[JOBS_MAX_COUNT]; /* of the seed each is at */
    uint64_t failed_seed;
    uint32_t longest_ms;
};

static uint64_t seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

/* ---- one process ---- */

static void add(uint64_t *sum, uint64_t more)
{
    __atomic_add_fetch(sum, more, __ATOMIC_RELAXED);
}

static void run_seed(struct shared *shared, struct verdict *verdict, uint64_t seed)
{
    struct params params = params_of_seed(seed);
    memset(verdict, 0, sizeof *verdict);
    verdict->seed = seed;
    alarm(WATCHDOG_SECONDS);
    world_run(&params, false, verdict);
    if (seed % TWICE_EVERY == 0) {
        uint64_t hash = verdict->hash;
        world_run(&params, false, verdict);
        if (verdict->hash != hash) {
            snprintf(verdict->text, TEXT_BYTES, "the same seed gave two histories");
            verdict->is_failed = true;
            _exit(1);
        }
    }
    add(&shared->events, verdict->events);
    add(&shared->faults, verdict->faults);
    add(&shared->executions, verdict->executions);
    add(&shared->tries, verdict->tries);
    add(&shared->done, 1);
    if (verdict->lasted_ms > shared->longest_ms)
        shared->longest_ms = verdict->lasted_ms;
}

static void work(const struct options *options, struct shared *shared, uint32_t job)
{
    int null = open("/dev/null", O_WRONLY);
    if (null >= 0)
        dup2(null, STDERR_FILENO);
    if (options->is_enumerating)
        add(&shared->histories, enumerate_all(job, options->jobs));
    for (;;) {
        if (shared->failures || (shared->deadline && seconds() >= shared->deadline))
            _exit(0);
        uint64_t seed = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);
        if (seed >= shared->end)
            _exit(0);
        run_seed(shared, &shared->verdicts[job], seed);
    }
}

/* ---- all of them ---- */

static pid_t start(const struct options *options, struct shared *shared, uint32_t job)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        work(options, shared, job);
    return child;
}

static void report(uint64_t seed, bool has_shrinking)
{
    if (!seed) /* the enumeration: it has spoken */
        return;
    struct params params = params_of_seed(seed);
    struct verdict verdict;
    AUTO(buf_fini) struct buf command = buf_init(0);
    if (run_apart(&params, false, &verdict)) {
        printf("sim: seed %llu failed, and doesn't alone\n", (unsigned long long)seed);
        return;
    }
    printf("sim: seed %llu FAILED %s\n", (unsigned long long)seed, verdict.text);
    if (has_shrinking)
        shrink(&params, &verdict);
    params_print(&params, &command);
    printf("  smallest: %s\n", verdict.text);
    printf("  again, with a trace: make sim ARGS=\"%s\"\n", buf_text(&command));
    fflush(stdout);
}

static void tell_progress(const struct options *options, const struct shared *shared,
                          uint64_t begun)
{
    static uint64_t told;
    uint64_t now = seconds();
    if (!options->minutes || now < told + 10)
        return;
    told = now;
    printf("sim: %llu s, %llu seeds, %llu events\n", (unsigned long long)(now - begun),
           (unsigned long long)shared->done, (unsigned long long)shared->events);
    fflush(stdout);
}

static void watch(const struct options *options, struct shared *shared)
{
    pid_t children[JOBS_MAX_COUNT];
    uint64_t begun = seconds();
    uint32_t running = options->jobs;
    for (uint32_t i = 0; i < options->jobs; i++)
        children[i] = start(options, shared, i);
    while (running > 0) {
        int status = 0;
        pid_t child = waitpid(-1, &status, WNOHANG);
        if (child <= 0) {
            nanosleep(&(struct timespec){0, 20000000}, NULL);
            tell_progress(options, shared, begun);
            continue;
        }
        running--;
        for (uint32_t i = 0; i < options->jobs; i++)
            if (children[i] == child && status != 0) {
                shared->failed_seed = shared->verdicts[i].seed;
                shared->failures++;
            }
    }
}

/* 1234567 as "1,234,567"; four at a time. */
static const char *put(uint64_t number)
{
    static char texts[4][32];
    static uint32_t next;
    char *at = texts[next++ % 4] + sizeof texts[0] - 1;
    *at = 0;
    for (uint32_t digits = 0; number || !digits; number /= 10, digits++) {
        if (digits && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + number % 10);
    }
    return at;
}

static int run_all(const struct options *options)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    shared->next = options->from;
    shared->end = options->minutes ? UINT64_MAX : options->from + options->seeds;
    for (uint32_t i = 0; i < options->jobs; i++)
        shared->verdicts[i].seed = 0;
    shared->deadline = options->minutes ? seconds() + 60 * options->minutes : 0;
    watch(options, shared);
    if (shared->failures)
        report(shared->failed_seed, options->has_shrinking);
    if (options->is_enumerating)
        printf("sim: %s short histories of small graphs enumerated\n", put(shared->histories));
    printf("sim: %s faults, %s tries, %s executions; all over %s ms after the last fault\n",
           put(shared->faults), put(shared->tries), put(shared->executions),
           put(shared->longest_ms));
    printf("sim: %s seeds, %s events, %s failures\n", put(shared->done), put(shared->events),
           put(shared->failures));
    return shared->failures ? 1 : 0;
}

static int run_one(const struct options *options)
{
    struct verdict verdict;
    bool is_good = run_apart(&options->params, options->is_tracing, &verdict);
    printf("sim: seed %llu: %s, %llu events, hash %016llx\n",
           (unsigned long long)options->params.seed, is_good ? "ok" : verdict.text,
           (unsigned long long)verdict.events, (unsigned long long)verdict.hash);
    return is_good ? 0 : 1;
}

/* ---- the command line ---- */

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text ? text : "", &end, 0);
    if (!text || !*text || *end) {
        fprintf(stderr, "sim: \"%s\" is not a number\n", text ? text : "");
        exit(2);
    }
    return value;
}

/* A parameter of the one history; false: not its name. */
static bool take_param(struct params *params, const char *name, const char *value)
{
    uint32_t *field = NULL;
    if (!strcmp(name, "--units"))
        field = &params->units;
    else if (!strcmp(name, "--runs"))
        field = &params->runs;
    else if (!strcmp(name, "--places"))
        field = &params->places;
    else if (!strcmp(name, "--faults"))
        field = &params->faults;
    else if (!strcmp(name, "--ms"))
        field = &params->faulty_ms;
    else if (!strcmp(name, "--fault-max"))
        field = &params->fault_max;
    else if (!strcmp(name, "--skip") && params->skip_count < SKIPS_MAX)
        field = &params->skips[params->skip_count++];
    if (field)
        *field = (uint32_t)number(value);
    return field != NULL;
}

static void take_option(struct options *options, const char *name, const char *value)
{
    if (!strcmp(name, "--seed")) {
        options->is_one = true;
        options->params = params_of_seed(number(value));
    } else if (!strcmp(name, "--seeds")) {
        options->seeds = number(value);
    } else if (!strcmp(name, "--from")) {
        options->from = number(value);
    } else if (!strcmp(name, "--minutes")) {
        options->minutes = number(value);
    } else if (!strcmp(name, "--jobs")) {
        options->jobs = (uint32_t)number(value);
    } else if (!take_param(&options->params, name, value)) {
        fprintf(stderr, "sim: unknown option \"%s\"; see the head of tests/sim/sim.c\n", name);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct options options = {.from = 1,
                              .seeds = SEEDS_DEFAULT,
                              .is_enumerating = true,
                              .is_tracing = true,
                              .has_shrinking = true,
                              .jobs = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-enumeration")) {
            options.is_enumerating = false;
        } else if (!strcmp(argv[i], "--no-trace")) {
            options.is_tracing = false;
        } else if (!strcmp(argv[i], "--no-shrink")) {
            options.has_shrinking = false;
        } else {
            take_option(&options, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            i++;
        }
    }
    if (options.jobs < 1 || options.jobs > JOBS_MAX_COUNT)
        options.jobs = 2;
    return options.is_one ? run_one(&options) : run_all(&options);
}
