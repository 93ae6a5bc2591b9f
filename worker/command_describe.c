/* `worker describe [KIND|MODEL]`: kinds, versions, inputs, outputs and parameters, from the same
 * tables that check them. */
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/text/json.h"
#include "proto/kinds.h"
#include "worker/command.h"

static const char *type_name(enum param_type type)
{
    static const char *const names[] = {"boolean", "integer", "real",    "text", "choice",
                                        "texts",   "mapping", "list of", "any"};
    return names[type];
}

static void put_default(const struct param *param, struct buf *out)
{
    struct value value = schema_default(param);
    if (param->has_default != PARAM_VALUE)
        buf_put_text(out, param->has_default == PARAM_REQUIRED ? "required" : "optional");
    else if (value.type == VALUE_STRING)
        buf_put_text(out, value.text);
    else
        json_write(&value, 0, out);
}

static void put_range(const struct param *param, struct buf *out)
{
    if (param->type == PARAM_ENUM) {
        for (const char *const *choice = param->choices; choice && *choice; choice++)
            buf_format(out, "%s%s", choice == param->choices ? "" : " | ", *choice);
    } else if (param->schemas) {
        for (const struct schema *const *at = param->schemas; *at; at++)
            buf_format(out, "%s%s", at == param->schemas ? "" : " | ", (*at)->title);
    } else if ((param->type == PARAM_INT || param->type == PARAM_REAL) &&
               (isfinite(param->low) || isfinite(param->high))) {
        buf_format(out, "%s%.15g … %s%.15g", param->low_is_open ? "above " : "", param->low,
                   param->high_is_open ? "below " : "", param->high);
    }
}

static void put_schema(const struct schema *schema, const char *indent, struct buf *out);

static void put_param(const struct param *param, const char *indent, struct buf *out)
{
    AUTO(buf_fini) struct buf range = buf_init(0);
    put_range(param, &range);
    buf_format(out, "%s%s: %s%s%s%s, ", indent, param->name, type_name(param->type),
               range.count ? " (" : "", buf_text(&range), range.count ? ")" : "");
    if (param->has_default == PARAM_VALUE)
        buf_put_text(out, "default ");
    put_default(param, out);
    buf_format(out, "\n%s    %s", indent, param->help);
    if (*param->source)
        buf_format(out, " [%s]", param->source);
    buf_put_char(out, '\n');
    AUTO(buf_fini) struct buf deeper = buf_init(0);
    for (const struct schema *const *at = param->schemas; at && *at; at++) {
        buf_clear(&deeper);
        buf_format(&deeper, "%s        ", indent);
        buf_format(out, "%s    %s: %s\n", indent, (*at)->title, (*at)->help);
        put_schema(*at, buf_text(&deeper), out);
    }
}

static void put_schema(const struct schema *schema, const char *indent, struct buf *out)
{
    for (size_t i = 0; i < schema->param_count; i++)
        put_param(&schema->params[i], indent, out);
}

static void put_ports(const char *kind, enum port_direction direction, struct buf *out)
{
    const char *before = direction == PORT_INPUT ? "  inputs: " : "  outputs: ";
    for (size_t i = 0; i < kind_port_count; i++) {
        const struct kind_port *port = &kind_ports[i];
        if (strcmp(port->kind, kind) != 0 || port->direction != direction)
            continue;
        buf_format(out, "%s%s%s", before, port->name,
                   port->presence == PORT_OPTIONAL ? " (optional)" : "");
        before = ", ";
    }
    if (*before == ',')
        buf_put_char(out, '\n');
}

static void put_kind(const struct kind_info *info, bool is_full, struct buf *out)
{
    buf_format(out, "%s\n  %s\n", info->offer, info->help);
    if (!is_full)
        return;
    put_ports(info->kind, PORT_INPUT, out);
    put_ports(info->kind, PORT_OUTPUT, out);
    buf_put_text(out, "  parameters:\n");
    for (const struct schema *const *schema = info->schemas; *schema; schema++)
        put_schema(*schema, "    ", out);
}

static void put_json_text(const char *name, const char *text, const char *after, struct buf *out)
{
    buf_format(out, "\"%s\": ", name);
    json_write_string(text, strlen(text), out);
    buf_put_text(out, after);
}

static void put_json_params(const struct schema *const *schemas, struct buf *out);

static void put_json_param(const struct param *param, struct buf *out)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_put_char(out, '{');
    put_json_text("name", param->name, ", ", out);
    put_json_text("type", type_name(param->type), ", ", out);
    struct value value = schema_default(param);
    buf_format(out, "\"required\": %s, ", param->has_default == PARAM_REQUIRED ? "true" : "false");
    if (param->has_default == PARAM_VALUE) {
        buf_put_text(out, "\"default\": ");
        json_write(&value, 0, out);
        buf_put_text(out, ", ");
    }
    put_range(param, &text);
    put_json_text("range", buf_text(&text), ", ", out);
    put_json_text("source", param->source, ", ", out);
    put_json_text("help", param->help, "", out);
    for (const struct schema *const *at = param->schemas; at && *at; at++) {
        buf_put_text(out, at == param->schemas ? ", \"of\": [{" : ", {");
        put_json_text("title", (*at)->title, ", \"parameters\": ", out);
        put_json_params((const struct schema *const[]){*at, NULL}, out);
        buf_put_text(out, at[1] ? "}" : "}]");
    }
    buf_put_char(out, '}');
}

static void put_json_params(const struct schema *const *schemas, struct buf *out)
{
    buf_put_char(out, '[');
    bool is_first = true;
    for (; *schemas; schemas++)
        for (size_t i = 0; i < (*schemas)->param_count; i++) {
            buf_put_text(out, is_first ? "" : ", ");
            put_json_param(&(*schemas)->params[i], out);
            is_first = false;
        }
    buf_put_char(out, ']');
}

static void put_json_kind(const struct kind_info *info, struct buf *out)
{
    buf_put_char(out, '{');
    put_json_text("kind", info->kind, ", ", out);
    put_json_text("variant", info->variant, ", ", out);
    put_json_text("version", info->version, ", ", out);
    put_json_text("help", info->help, ", \"parameters\": ", out);
    put_json_params(info->schemas, out);
    buf_put_char(out, '}');
}

/* "train", "random_forest", or both as they stand in an offer: "train.random_forest". */
static bool is_meant(const struct kind_info *info, const char *name)
{
    if (!name || !strcmp(info->kind, name) || !strcmp(info->variant, name))
        return true;
    size_t bytes = strlen(info->kind);
    return !strncmp(name, info->kind, bytes) && name[bytes] == '.' &&
           !strcmp(name + bytes + 1, info->variant);
}

static void unknown(const char *name, struct err *err)
{
    const char *names[64] = {0};
    size_t count = 0;
    for (size_t i = 0; i < kind_info_count && count + 2 < sizeof names / sizeof *names; i++) {
        names[count++] = kind_infos[i].kind;
        if (*kind_infos[i].variant)
            names[count++] = kind_infos[i].variant;
    }
    const char *near = schema_suggest(name, names);
    err_set(err, E_NOTFOUND, "no kind or model \"%s\"%s%s%s; see worker describe", name,
            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

int command_describe(int argc, char **argv)
{
    static const char usage[] =
        "usage: worker describe [KIND | MODEL] [--json]\n\n"
        "Says what this worker can do: its kinds and models, their versions, inputs, outputs and\n"
        "parameters with type, range, default, meaning and [source].\n\n";
    bool is_json = false;
    AUTO(config_list_fini) struct config_list arguments = {0};
    const struct config_option options[] = {
        {"json", 0, CONFIG_FLAG, NULL, NULL, &is_json, "print a JSON list"},
    };
    int exit_status;
    struct err err = {0};
    if (command_parse(usage, options, 1, argc, argv, &arguments, &exit_status))
        return exit_status;
    const char *name = arguments.count ? arguments.items[0] : NULL;
    AUTO(buf_fini) struct buf out = buf_init(0);
    size_t shown = 0;
    for (size_t i = 0; i < kind_info_count; i++) {
        if (!is_meant(&kind_infos[i], name))
            continue;
        if (is_json)
            buf_put_text(&out, shown ? ",\n" : "[");
        else if (shown)
            buf_put_char(&out, '\n');
        if (is_json)
            put_json_kind(&kind_infos[i], &out);
        else
            put_kind(&kind_infos[i], name != NULL, &out);
        shown++;
    }
    if (!shown) {
        unknown(name, &err);
        return command_fail(&err);
    }
    printf("%s%s", buf_text(&out), is_json ? "]\n" : "");
    return EXIT_DONE;
}
