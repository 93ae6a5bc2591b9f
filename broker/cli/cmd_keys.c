/* broker keys: the broker's identity, and the workers that it admits. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/cli/question.h"
#include "broker/cli/view.h"

struct keys_options {
    struct question q;
    const char *output, *public_key;
};

/* ---- answers for people ---- */

static void print_init(const struct value *answer)
{
    printf("%s\n", value_get_text(answer, "public_key"));
    fprintf(stderr, "the broker's key%s, in %s; the workers it admits: %s\n",
            value_get(answer, "is_new")->boolean ? "" : " was there already",
            value_get_text(answer, "key"), value_get_text(answer, "workers"));
}

/* The secret may be on its way to stdout: what is said here goes to stderr. */
static void print_add(const struct value *answer)
{
    const struct value *key = value_get(answer, "key");
    const char *file = key->type == VALUE_STRING ? key->text : "FILE";
    fprintf(stderr,
            "%s may join; on its machine: worker --broker tcp://HOST:PORT --key %s "
            "--broker-key %s\n",
            value_get_text(answer, "name"), file, value_get_text(answer, "broker_key"));
}

static void print_list(const struct value *answer)
{
    enum { COLUMNS = 2 };
    static const char *const head[COLUMNS] = {"worker", "public key"};
    const struct value *workers = value_get(answer, "workers");
    AUTO(arena_fini) struct arena arena = {0};
    const char **cells =
        arena_alloc(&arena, ((size_t)workers->count + 1) * COLUMNS * sizeof *cells);
    fprintf(stderr, "broker's key: %s\n", value_get_text(answer, "public_key"));
    for (uint32_t i = 0; i < workers->count; i++) {
        cells[COLUMNS * i] = value_get_text(&workers->items[i], "name");
        cells[COLUMNS * i + 1] = value_get_text(&workers->items[i], "public_key");
    }
    if (workers->count)
        view_table(head, cells, workers->count, COLUMNS, UINT32_MAX, false);
    else
        fputs("broker: no worker may join yet; broker keys add NAME lets one\n", stderr);
}

static void print_revoke(const struct value *answer)
{
    fprintf(stderr, "%s may not join any more; if it is connected, it is cut off within a second\n",
            value_get_text(answer, "revoked"));
}

/* ---- subcommands ---- */

static enum status init(struct keys_options *o, const char *word, struct value *answer)
{
    (void)word;
    return app_keys_init(o->q.app, &o->q.arena, answer, &o->q.err);
}

static enum status add(struct keys_options *o, const char *word, struct value *answer)
{
    bool to_stdout = !o->output || strcmp(o->output, "-") == 0;
    if (o->public_key && o->output)
        return err_set(&o->q.err, E_INVALID,
                       "-o %s: with --public-key there is no secret to write; leave one of them "
                       "away",
                       o->output);
    if (!o->public_key && to_stdout && o->q.common.json)
        return err_set(&o->q.err, E_INVALID,
                       "keys add --json: say where the identity goes, with -o FILE");
    const struct app_new_key key = {.name = word,
                                    .public_key = o->public_key,
                                    .path = to_stdout ? NULL : o->output,
                                    .fd = STDOUT_FILENO};
    return app_keys_add(o->q.app, &key, &o->q.arena, answer, &o->q.err);
}

static enum status list(struct keys_options *o, const char *word, struct value *answer)
{
    (void)word;
    return app_keys_list(o->q.app, &o->q.arena, answer, &o->q.err);
}

static enum status take_off(struct keys_options *o, const char *word, struct value *answer)
{
    return app_keys_revoke(o->q.app, word, &o->q.arena, answer, &o->q.err);
}

static const struct subcommand {
    const char *name, *argument;
    enum status (*run)(struct keys_options *o, const char *word, struct value *answer);
    void (*print)(const struct value *answer);
} subcommands[] = {
    {"init", NULL, init, print_init},
    {"add", "NAME", add, print_add},
    {"list", NULL, list, print_list},
    {"revoke", "NAME", take_off, print_revoke},
};

static const struct subcommand *find(const char *word)
{
    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++)
        if (strcmp(subcommands[i].name, word) == 0)
            return &subcommands[i];
    return NULL;
}

static int wrong_usage(struct keys_options *o, const char *word)
{
    if (word && find(word))
        err_set(&o->q.err, E_INVALID, "keys %s: expected broker keys %s%s%s", word, word,
                find(word)->argument ? " " : "", find(word)->argument ? find(word)->argument : "");
    else
        err_set(&o->q.err, E_INVALID, "keys %s: expected init, add, list or revoke",
                word ? word : "without a word");
    return question_end_quietly(&o->q, E_INVALID);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct keys_options o = {0};
    struct value answer = {0};
    int exit_code;
    const struct config_option options[] = {
        {"output", 'o', CONFIG_TEXT, NULL, "FILE", &o.output,
         "add: a new file for the worker's identity; - is stdout (the default)"},
        {"public-key", 0, CONFIG_TEXT, NULL, "HEX", &o.public_key,
         "add: the identity was made elsewhere (worker key FILE), and this is its public half"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(&o.q.line, options[i]);
    command_line_keys(&o.q.line, &o.q.common);
    if (!question_begin(&o.q, command, argc, argv, ABOUT_FILES, 2, &exit_code))
        return exit_code;
    const struct config_list *words = &o.q.line.arguments;
    const struct subcommand *found = words->count ? find(words->items[0]) : NULL;
    if (!found || words->count != (found->argument ? 2u : 1u))
        return wrong_usage(&o, words->count ? words->items[0] : NULL);
    enum status status = found->run(&o, words->count > 1 ? words->items[1] : NULL, &answer);
    return question_end(&o.q, status, &answer, found->print);
}

const struct command command_keys = {
    .name = "keys",
    .arguments = "init|add NAME|list|revoke NAME",
    .help = "Say which workers of other machines may join.",
    .details =
        "init    makes the broker's identity and an empty list; what is there stays\n"
        "add     makes an identity for a worker and puts its public half on the list\n"
        "list    shows the broker's public key, which workers pin, and the list\n"
        "revoke  takes a worker (or a public key) off; it is cut off within a second\n\n"
        "An identity is a secret: a file that nobody else may read. Replicas may share one. Into\n"
        "Kubernetes: broker keys add gpu | kubectl create secret generic gpu "
        "--from-file=key=/dev/stdin",
    .run = run};
