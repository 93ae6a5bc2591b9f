/* recover: what the store's journal has, back into Redis. */
// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>

#include "broker/cli/question.h"

static int64_t count_of(const struct value *answer, const char *name)
{
    return value_get(answer, name)->integer;
}

static void print_recovered(const struct value *answer)
{
    printf("%" PRId64 " records from %" PRId64 " segments of the journal\n",
           count_of(answer, "records"), count_of(answer, "segments"));
    if (count_of(answer, "refused"))
        printf("%" PRId64 " records left out: their signatures do not hold (see the log)\n",
               count_of(answer, "refused"));
    if (count_of(answer, "damaged"))
        printf("%" PRId64
               " segments damaged: what is behind the damage is left out (see the log)\n",
               count_of(answer, "damaged"));
}

static int recover(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    int exit_code;
    struct value answer = {0};
    if (!question_begin(&q, command, argc, argv, ABOUT_STORED, 0, &exit_code))
        return exit_code;
    enum status status = app_recover(q.app, &q.arena, &answer, &q.err);
    bool is_whole =
        status != OK || (!count_of(&answer, "refused") && !count_of(&answer, "damaged"));
    exit_code = question_end(&q, status, &answer, print_recovered);
    return is_whole ? exit_code : EXIT_DAMAGED;
}

const struct command command_recover = {
    .name = "recover",
    .arguments = "",
    .help = "Put everything that the store's journal has back into Redis.",
    .details = "Signatures are checked. What Redis has stays. A broker that starts puts back by\n"
               "itself what Redis has lost since the last one; this is for one that was\n"
               "emptied, or restored from an old copy. Exit code 4: some of the journal is\n"
               "damaged or not signed as it should be, and was left out.",
    .run = recover};
