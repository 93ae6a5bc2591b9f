/* `worker doctor`: what there is here to confine programs with, and how to mend what is lacking. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/text/json.h"
#include "worker/command.h"
#include "worker/runtime/sandbox_layers.h"

static void put_json(const struct sandbox_layer *layer, struct buf *out)
{
    buf_format(out, "{\"check\": \"%s\", \"ok\": %s, \"found\": ", layer->name,
               layer->is_there || layer->is_optional ? "true" : "false");
    json_write_string(layer->found, strlen(layer->found), out);
    buf_put_text(out, ", \"mend\": ");
    if (layer->is_there)
        buf_put_text(out, "null");
    else
        json_write_string(layer->mend, strlen(layer->mend), out);
    buf_put_char(out, '}');
}

static void put_line(const struct sandbox_layer *layer, struct buf *out)
{
    buf_format(out, "%-8s %-10s %s%s%s\n", layer->is_there ? "ok" : "missing", layer->name,
               layer->found, layer->is_there ? "" : "; mend: ", layer->is_there ? "" : layer->mend);
}

int command_doctor(int argc, char **argv)
{
    static const char usage[] =
        "usage: worker doctor [--json]\n\n"
        "Says what there is on this machine to confine programs of exec with, and how to mend\n"
        "what is missing. Exit code 3 if anything is.\n\n";
    bool is_json = false;
    AUTO(config_list_fini) struct config_list arguments = {0};
    const struct config_option options[] = {
        {"json", 0, CONFIG_FLAG, NULL, NULL, &is_json, "print a JSON list"},
    };
    int exit_status;
    struct err err = {0};
    if (command_parse(usage, options, sizeof options / sizeof *options, argc, argv, &arguments,
                      &exit_status))
        return exit_status;
    if (arguments.count) {
        err_set(&err, E_INVALID, "unexpected \"%s\"; see worker doctor --help", arguments.items[0]);
        return command_fail(&err);
    }
    struct sandbox_layer layers[SANDBOX_LAYERS];
    AUTO(buf_fini) struct buf out = buf_init(0);
    bool is_complete = true;
    sandbox_look(layers);
    for (int i = 0; i < SANDBOX_LAYERS; i++) {
        if (is_json)
            buf_put_text(&out, i ? ",\n " : "[");
        (is_json ? put_json : put_line)(&layers[i], &out);
        is_complete &= layers[i].is_there || layers[i].is_optional;
    }
    printf("%s%s", buf_text(&out), is_json ? "]\n" : "");
    return is_complete ? EXIT_DONE : EXIT_UNREACHABLE;
}
