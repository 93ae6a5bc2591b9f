/* broker doctor: what is wrong here, or with a served broker, and how to mend it. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "broker/api/api.h"
#include "broker/cli/question.h"
#include "common/base/doc.h"

static void print_doctor(const struct value *checks)
{
    for (uint32_t i = 0; i < checks->count; i++) {
        const struct value *check = &checks->items[i], *ok = value_get(check, "ok");
        printf("%-4s %-14s %s\n", ok->boolean ? "ok" : "BAD", value_get_text(check, "check"),
               value_get_text(check, "found"));
        if (!ok->boolean)
            printf("     mend: %s\n", value_get_text(check, "mend"));
    }
}

/* Could `broker serve --http ADDRESS` listen there? One that serves there already is well, too. */
static void check_http(const char *address, struct arena *arena, struct value *checks)
{
    struct err err = {0};
    bool is_served = false, ok = api_check(address, &is_served, &err) == OK;
    struct value *entry = doc_add(arena, checks, doc_map());
    doc_put(arena, entry, "check", value_string("http"));
    doc_put(arena, entry, "ok", value_bool(ok));
    doc_put(
        arena, entry, "found",
        ok ? doc_format(arena, "%s %s", address, is_served ? "is served by a broker" : "is free")
           : doc_format(arena, "%s", err.text));
    doc_put(arena, entry, "mend",
            ok ? value_nil()
               : value_string("end what listens there, or choose another: broker serve --http "
                              "127.0.0.1:PORT"));
}

static int doctor(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    const char *http = NULL;
    int exit_code;
    struct value answer = {0};
    command_line_add(&q.line, (struct config_option){"http", 0, CONFIG_TEXT, NULL, "ADDRESS", &http,
                                                     "could a broker serve there?"});
    command_line_listen(&q.line, &q.common);
    q.common.app.looks_only = true;
    if (!question_begin(&q, command, argc, argv, ABOUT_STORED, 0, &exit_code))
        return exit_code;
    enum status status = app_doctor(q.app, &q.arena, &answer, &q.err);
    if (status == OK && http)
        check_http(http, &q.arena, &answer);
    bool is_well = true;
    for (uint32_t i = 0; status == OK && i < answer.count; i++)
        is_well &= value_get(&answer.items[i], "ok")->boolean;
    exit_code = question_end(&q, status, &answer, print_doctor);
    return exit_code == EXIT_DONE && !is_well ? EXIT_ENVIRONMENT : exit_code;
}

const struct command command_doctor = {.name = "doctor",
                                       .arguments = "",
                                       .help =
                                           "Check this machine and say how to mend what is wrong.",
                                       .run = doctor};
