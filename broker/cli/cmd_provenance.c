/* Where an artifact comes from, and whether that is so: lineage, verify. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/question.h"
#include "broker/cli/view.h"

/* ---- lineage ---- */

static int attest(struct question *q, bool all, const char *path)
{
    AUTO(buf_fini) struct buf lines = buf_init(0);
    const char *name = path ? path : "stdout";
    enum status status = app_attest(q->app, q->line.arguments.items[0], all, &lines, &q->err);
    FILE *file = status != OK ? NULL : path ? fopen(path, "w") : stdout;
    if (status == OK &&
        (!file || fwrite(lines.bytes, 1, lines.count, file) != lines.count || fflush(file) != 0))
        status = err_set(&q->err, E_IO, "%s: cannot write %zu bytes", name, lines.count);
    if (file && path && fclose(file) != 0 && status == OK)
        status = err_set(&q->err, E_IO, "%s: cannot write %zu bytes", name, lines.count);
    return question_end_quietly(q, status);
}

static int lineage(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    const char *attested = NULL, *path = NULL;
    int exit_code;
    struct value answer = {0};
    command_line_add(
        &q.line, (struct config_option){"attest", 0, CONFIG_OPTIONAL_TEXT, NULL, "all", &attested,
                                        "print it as a signed in-toto statement (SLSA "
                                        "provenance, DSSE); =all: one for everything that "
                                        "made it, too"});
    command_line_add(&q.line, (struct config_option){"output", 'o', CONFIG_TEXT, NULL, "FILE",
                                                     &path, "where --attest writes"});
    command_line_keys(&q.line, &q.common);
    if (!question_begin(&q, command, argc, argv, ABOUT_STORED, 1, &exit_code))
        return exit_code;
    const char *ref = q.line.arguments.items[0];
    if (attested && *attested && strcmp(attested, "all") != 0)
        return question_end_quietly(
            &q,
            err_set(&q.err, E_INVALID, "--attest=%s: expected --attest or --attest=all", attested));
    if (attested)
        return attest(&q, *attested, path);
    return question_end(&q, app_lineage(q.app, ref, &q.arena, &answer, &q.err), &answer,
                        view_lineage);
}

const struct command command_lineage = {
    .name = "lineage",
    .arguments = "REF",
    .help = "Show every byte and parameter that made an artifact.",
    .details = REF_HELP "\n--attest signs with the broker's identity (broker keys init); others "
                        "check it with: broker verify\nPATH --attestation FILE --broker-key HEX",
    .run = lineage};

/* ---- verify ---- */

struct verify_options {
    struct question q;
    struct app_verify verify;
    const char *attestation, *broker_key;
};

static void print_checks(const struct value *answer)
{
    const struct value *checks = value_get(answer, "checks");
    for (uint32_t i = 0; i < checks->count; i++) {
        const struct value *check = &checks->items[i];
        printf("%-6s %-11s %s: %s\n", value_get(check, "ok")->boolean ? "ok" : "NOT OK",
               value_get_text(check, "check"), value_get_text(check, "subject"),
               value_get_text(check, "found"));
    }
}

static int verify_ref(struct verify_options *o, const char *ref)
{
    struct value answer = {0};
    enum status status = app_verify(o->q.app, ref, &o->verify, &o->q.arena, &answer, &o->q.err);
    bool is_bad = status == OK && !value_get(&answer, "ok")->boolean;
    int exit_code = question_end(&o->q, status, &answer, print_checks);
    return is_bad && exit_code == EXIT_DONE ? EXIT_DAMAGED : exit_code;
}

static void print_attested(const struct value *statement)
{
    const struct value *definition =
        value_get(value_get(statement, "predicate"), "buildDefinition");
    const struct value *parameters =
        definition ? value_get(definition, "externalParameters") : NULL;
    const char *kind = parameters ? value_get_text(parameters, "kind") : NULL;
    const char *version = parameters ? value_get_text(parameters, "version") : NULL;
    const struct value *inputs = definition ? value_get(definition, "resolvedDependencies") : NULL;
    printf("ok     made by %s@%s from %u input%s\n", kind ? kind : "?", version ? version : "?",
           inputs ? inputs->count : 0, inputs && inputs->count == 1 ? "" : "s");
}

/* Fails closed: whatever is missing or odd, it is not verified. */
static int verify_attestation(struct verify_options *o, const char *path)
{
    struct value statement = {0};
    enum status status =
        o->broker_key
            ? app_verify_attestation(o->q.app, o->attestation, path, o->broker_key, &o->q.arena,
                                     &statement, &o->q.err)
            : err_set(&o->q.err, E_INVALID,
                      "--attestation needs --broker-key HEX: whose signature counts (broker keys "
                      "list shows it)");
    return question_end(&o->q, status, &statement, print_attested);
}

static int verify(const struct command *command, int argc, char **argv)
{
    struct verify_options o = {0};
    int exit_code;
    const struct config_option options[] = {
        {"deep", 0, CONFIG_FLAG, NULL, NULL, &o.verify.is_deep,
         "also the bytes of all that made it, down to the sources"},
        {"reexecute", 0, CONFIG_FLAG, NULL, NULL, &o.verify.reexecutes,
         "run the task again here; it has to make the same bytes"},
        {"signer", 0, CONFIG_TEXT, NULL, "HEX", &o.verify.signer,
         "the worker's public key that every record must be signed with"},
        {"attestation", 0, CONFIG_TEXT, NULL, "FILE", &o.attestation,
         "check a file or folder against what broker lineage --attest wrote"},
        {"broker-key", 0, CONFIG_TEXT, "PENSTOCK_BROKER_KEY", "HEX", &o.broker_key,
         "the public key of the broker that attested it"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(&o.q.line, options[i]);
    if (!question_begin(&o.q, command, argc, argv, ABOUT_STORED, 1, &exit_code))
        return exit_code;
    const char *word = o.q.line.arguments.items[0];
    return o.attestation ? verify_attestation(&o, word) : verify_ref(&o, word);
}

const struct command command_verify = {
    .name = "verify",
    .arguments = "REF|PATH",
    .help = "Check an artifact's bytes, and that its record and those of what made it are signed.",
    .details = REF_HELP "\nOf a served broker only --deep looks at the records of what made it. "
                        "With --attestation, PATH\nis a file or folder; nothing but these files "
                        "is asked. Exit code 4: not verified.",
    .run = verify};
