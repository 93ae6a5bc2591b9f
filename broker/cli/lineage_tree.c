/* Lineage as a tree: an artifact, what made it, and below that what was read. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/view.h"
#include "common/text/json.h"

enum { ID_DIGITS = 8 };

/* "split.seed=42, target=species" */
static void put_params(const struct value *params, const char *path, struct buf *out)
{
    for (uint32_t i = 0; i < params->count; i++) {
        const struct value *value = &params->items[2 * i + 1];
        AUTO(buf_fini) struct buf name = buf_init(0);
        buf_format(&name, "%s%s%s", path, *path ? "." : "", params->items[2 * i].text);
        if (value->type == VALUE_MAP && value->count) {
            put_params(value, buf_text(&name), out);
            continue;
        }
        buf_format(out, "%s%s=", out->count ? ", " : "", buf_text(&name));
        if (value->type == VALUE_STRING)
            buf_put_text(out, value->text);
        else
            json_write(value, 0, out);
    }
}

static void print_artifact(const struct value *artifact, const char *name, const char *indent);

static void print_inputs(const struct value *inputs, const char *indent)
{
    for (uint32_t i = 0; inputs && i < inputs->count; i++) {
        const char *name = inputs->items[2 * i].text;
        const struct value *input = &inputs->items[2 * i + 1];
        if (input->type == VALUE_MAP)
            print_artifact(input, name, indent);
        for (uint32_t k = 0; input->type == VALUE_ARRAY && k < input->count; k++) {
            AUTO(buf_fini) struct buf place = buf_init(0);
            buf_format(&place, "%s[%u]", name, k);
            print_artifact(&input->items[k], buf_text(&place), indent);
        }
    }
}

static void print_artifact(const struct value *artifact, const char *name, const char *indent)
{
    const struct value *made_by = value_get(artifact, "made_by");
    const char *id = value_get_text(artifact, "id");
    printf("%s%s  %.*s", indent, name, ID_DIGITS, id ? id : "");
    if (!made_by) {
        const char *location = value_get_text(artifact, "location");
        printf("  source %s\n", location ? location : "(of a run that is not known any more)");
    } else if (made_by->type != VALUE_MAP) {
        printf("  (%s)\n", made_by->type == VALUE_STRING ? made_by->text : "?");
    } else {
        AUTO(buf_fini) struct buf params = buf_init(0), deeper = buf_init(0);
        put_params(value_get(made_by, "params"), "", &params);
        printf("  %s@%s  %s\n", value_get_text(made_by, "kind"), value_get_text(made_by, "version"),
               params.count ? buf_text(&params) : "");
        buf_format(&deeper, "%s    ", indent);
        print_inputs(value_get(made_by, "inputs"), buf_text(&deeper));
    }
}

void view_lineage(const struct value *answer)
{
    print_artifact(value_get(answer, "artifact"), "artifact", "");
}
