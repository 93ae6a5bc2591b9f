// SPDX-License-Identifier: Apache-2.0
#include "common/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/schema.h"

enum { NAME_WIDTH = 24, LINE_WIDTH = 80, SUGGEST_MAX = 64, SUGGEST_BYTES = 64 };

/* Where a value came from, for messages: "--slots" or "PENSTOCK_SLOTS". */
struct source {
    const char *dashes, *name;
};

struct parse {
    const struct config_option *options;
    size_t option_count;
    int argc, at;
    char **argv;
    struct config_list *arguments;
    bool only_help; /* looks for --help and stores nothing */
    bool wants_help;
    struct err *err;
};

static struct source flag_source(const struct config_option *option)
{
    return (struct source){"--", option->name};
}

static enum status store_count(const struct source *source, const char *text, int64_t *out,
                               struct err *err)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9')
        return err_set(err, E_INVALID, "%s%s=%s: not a whole number", source->dashes, source->name,
                       text);
    *out = number;
    return OK;
}

static void list_add(struct config_list *list, int capacity, const char *text)
{
    if (!list->items)
        list->items = mem_alloc((size_t)capacity * sizeof *list->items);
    list->items[list->count++] = text;
}

static bool is_off(const char *text)
{
    static const char *const words[] = {"0", "false", "no", "off"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

static enum status store_value(const struct parse *parse, const struct config_option *option,
                               const struct source *source, const char *text)
{
    if (parse->only_help)
        return OK;
    switch (option->type) {
    case CONFIG_TEXT:
    case CONFIG_OPTIONAL_TEXT: *(const char **)option->out = text; break;
    case CONFIG_FLAG: *(bool *)option->out = !is_off(text); break;
    case CONFIG_COUNT: return store_count(source, text, option->out, parse->err);
    case CONFIG_LIST: list_add(option->out, parse->argc + 1, text); break;
    }
    return OK;
}

/* Lists come after the flags: the variable counts only where no flag gave an item. */
static enum status read_environment(struct parse *parse, bool is_lists)
{
    for (size_t i = 0; i < parse->option_count; i++) {
        const struct config_option *option = &parse->options[i];
        if ((option->type == CONFIG_LIST) != is_lists ||
            (is_lists && ((struct config_list *)option->out)->count))
            continue;
        const char *text = option->environment ? getenv(option->environment) : NULL;
        if (!text || !text[0])
            continue;
        const struct source source = {"", option->environment};
        TRY(store_value(parse, option, &source, text));
    }
    return OK;
}

/* ---- flags ---- */

static enum status unknown_flag(const struct parse *parse, const char *name, size_t bytes)
{
    char word[SUGGEST_BYTES];
    const char *names[SUGGEST_MAX + 1] = {NULL};
    if (bytes >= sizeof word)
        return err_set(parse->err, E_INVALID, "--%.60s…: no such flag", name);
    memcpy(word, name, bytes);
    word[bytes] = 0;
    for (size_t i = 0; i < parse->option_count && i < SUGGEST_MAX; i++)
        names[i] = parse->options[i].name;
    const char *near = schema_suggest(word, names);
    if (near)
        return err_set(parse->err, E_INVALID, "--%s: no such flag; did you mean --%s?", word, near);
    return err_set(parse->err, E_INVALID, "--%s: no such flag; --help lists them", word);
}

static bool takes_value(const struct config_option *option)
{
    return option->type != CONFIG_FLAG && option->type != CONFIG_OPTIONAL_TEXT;
}

/* The argument behind the flag. */
static enum status next_value(struct parse *parse, const struct config_option *option,
                              const char **out)
{
    if (parse->at >= parse->argc)
        return err_set(parse->err, E_INVALID, "--%s needs a value: --%s=%s", option->name,
                       option->name, option->value_name ? option->value_name : "VALUE");
    *out = parse->argv[parse->at++];
    return OK;
}

static enum status parse_long(struct parse *parse, const char *flag)
{
    size_t bytes = strcspn(flag, "=");
    const char *value = flag[bytes] ? flag + bytes + 1 : NULL;
    if (bytes == 4 && memcmp(flag, "help", 4) == 0) {
        parse->wants_help = true;
        return OK;
    }
    for (size_t i = 0; i < parse->option_count; i++) {
        const struct config_option *option = &parse->options[i];
        if (strlen(option->name) != bytes || memcmp(option->name, flag, bytes) != 0)
            continue;
        if (value && option->type == CONFIG_FLAG)
            return err_set(parse->err, E_INVALID, "--%s takes no value", flag);
        if (!value && takes_value(option))
            TRY(next_value(parse, option, &value));
        const struct source source = flag_source(option);
        return store_value(parse, option, &source, value ? value : "");
    }
    return unknown_flag(parse, flag, bytes);
}

static const struct config_option *find_short(const struct parse *parse, char name)
{
    for (size_t i = 0; i < parse->option_count; i++)
        if (parse->options[i].short_name == name)
            return &parse->options[i];
    return NULL;
}

/* "-q", several as "-qv", a value as "-pseed=7" or "-p seed=7". */
static enum status parse_short(struct parse *parse, const char *flags)
{
    for (; *flags; flags++) {
        const struct config_option *option = find_short(parse, *flags);
        if (!option && *flags == 'h') {
            parse->wants_help = true;
            continue;
        }
        if (!option)
            return err_set(parse->err, E_INVALID, "-%s: no such flag; --help lists them", flags);
        const struct source source = flag_source(option);
        const char *value = flags + 1;
        if (!takes_value(option)) {
            TRY(store_value(parse, option, &source, ""));
            continue;
        }
        if (!*value)
            TRY(next_value(parse, option, &value));
        return store_value(parse, option, &source, value);
    }
    return OK;
}

static enum status read_arguments(struct parse *parse)
{
    bool is_flags = true;
    for (parse->at = 1; parse->at < parse->argc;) {
        const char *argument = parse->argv[parse->at++];
        if (is_flags && strcmp(argument, "--") == 0)
            is_flags = false;
        else if (is_flags && strncmp(argument, "--", 2) == 0)
            TRY(parse_long(parse, argument + 2));
        else if (is_flags && argument[0] == '-' && argument[1])
            TRY(parse_short(parse, argument + 1));
        else if (!parse->only_help)
            list_add(parse->arguments, parse->argc + 1, argument);
    }
    return OK;
}

enum status config_parse(const struct config_option *options, size_t option_count, int argc,
                         char **argv, struct config_list *arguments, bool *wants_help,
                         struct err *err)
{
    struct parse look = {.options = options,
                         .option_count = option_count,
                         .argc = argc,
                         .argv = argv,
                         .arguments = arguments,
                         .only_help = true};
    *wants_help = read_arguments(&look) == OK && look.wants_help;
    if (*wants_help)
        return OK;
    struct parse parse = {.options = options,
                          .option_count = option_count,
                          .argc = argc,
                          .argv = argv,
                          .arguments = arguments,
                          .err = err};
    TRY(read_environment(&parse, false));
    TRY(read_arguments(&parse));
    return read_environment(&parse, true);
}

enum status config_parse_ms(const char *name, const char *text, uint32_t *out, struct err *err)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}, {"h", 3600000}};
    char *unit = NULL;
    double amount = *text >= '0' && *text <= '9' ? strtod(text, &unit) : -1;
    if (amount >= 0)
        unit += strspn(unit, " ");
    for (size_t i = 0; amount >= 0 && i < sizeof units / sizeof *units; i++)
        if (strcmp(units[i].name, unit) == 0 &&
            amount * units[i].ms <= 1000.0 * DURATION_SECONDS_MAX) {
            *out = (uint32_t)(amount * units[i].ms);
            return OK;
        }
    return err_set(err, E_INVALID,
                   "--%s \"%s\": expected a duration such as 30s or 10m, at most %dh", name, text,
                   DURATION_SECONDS_MAX / 3600);
}

/* ---- help ---- */

/* Columns, not bytes: continuation bytes of UTF-8 take no room. */
static size_t width(const char *text, size_t bytes)
{
    size_t columns = 0;
    for (size_t i = 0; i < bytes; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

static void put_spaces(struct buf *out, size_t count)
{
    while (count--)
        buf_put_char(out, ' ');
}

/* Words flow from `column` on, in lines that begin at `left`. */
static void put_wrapped(struct buf *out, const char *text, size_t left)
{
    size_t column = left;
    while (*text) {
        size_t bytes = strcspn(text, " "), columns = width(text, bytes);
        if (column > left && column + 1 + columns > LINE_WIDTH) {
            buf_put_char(out, '\n');
            put_spaces(out, left);
            column = left;
        }
        if (column > left) {
            buf_put_char(out, ' ');
            column++;
        }
        buf_put(out, text, bytes);
        column += columns;
        text += bytes;
        text += strspn(text, " ");
    }
    buf_put_char(out, '\n');
}

static void put_flag(const struct config_option *option, struct buf *out)
{
    if (option->short_name)
        buf_format(out, "  -%c, --%s", option->short_name, option->name);
    else
        buf_format(out, "      --%s", option->name);
    const char *value = option->value_name ? option->value_name : "VALUE";
    if (takes_value(option))
        buf_format(out, " %s", value);
    else if (option->type == CONFIG_OPTIONAL_TEXT)
        buf_format(out, "[=%s]", value);
}

/* What follows the sentence: "(PENSTOCK_SLOTS; default 4)". */
static void put_facts(const struct config_option *option, struct buf *out)
{
    struct buf facts = buf_init(0);
    if (option->environment)
        buf_put_text(&facts, option->environment);
    const char *between = facts.count ? "; " : "";
    if (option->type == CONFIG_TEXT && *(const char **)option->out && **(const char **)option->out)
        buf_format(&facts, "%sdefault %s", between, *(const char **)option->out);
    if (option->type == CONFIG_COUNT && *(int64_t *)option->out >= 0)
        buf_format(&facts, "%sdefault %lld", between, (long long)*(int64_t *)option->out);
    if (option->type == CONFIG_LIST)
        buf_format(&facts, "%smay be repeated", between);
    if (facts.count)
        buf_format(out, " (%s)", buf_text(&facts));
    buf_fini(&facts);
}

void config_help(const struct config_option *options, size_t option_count, struct buf *out)
{
    for (size_t i = 0; i < option_count; i++) {
        AUTO(buf_fini) struct buf flag = buf_init(0), text = buf_init(0);
        put_flag(&options[i], &flag);
        buf_put_text(&text, options[i].help ? options[i].help : "");
        put_facts(&options[i], &text);
        size_t columns = width((const char *)flag.bytes, flag.count);
        buf_put(out, flag.bytes, flag.count);
        if (columns + 2 > NAME_WIDTH) {
            buf_put_char(out, '\n');
            columns = 0;
        }
        put_spaces(out, NAME_WIDTH - columns);
        put_wrapped(out, buf_text(&text), NAME_WIDTH);
    }
}
