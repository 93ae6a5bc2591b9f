// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/completion.h"

#include <string.h>

#include "broker/cli/command.h"

static const char bash_script[] =
    "_broker() {\n"
    "    local word=\"${COMP_WORDS[COMP_CWORD]}\" program=\"${COMP_WORDS[0]}\" command=run\n"
    "    COMPREPLY=()\n"
    "    case \" $commands \" in *\" ${COMP_WORDS[1]} \"*) command=\"${COMP_WORDS[1]}\" ;; esac\n"
    "    if [[ $word == -* ]]; then\n"
    "        local options=\"$(\"$program\" \"$command\" --help 2>/dev/null |\n"
    "            sed -nE 's/^ +(-., )?(--[a-z-]+).*/\\2/p') --help\"\n"
    "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
    "    elif [[ $COMP_CWORD -eq 1 ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$commands\" -- \"$word\"))\n"
    "    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == --format ]]; then\n"
    "        COMPREPLY=($(compgen -W \"dot mermaid\" -- \"$word\"))\n"
    "    fi\n"
    "}\n"
    "complete -o default -F _broker broker\n";

int completion_print(const char *shell, FILE *out)
{
    bool is_zsh = strcmp(shell, "zsh") == 0;
    if (!is_zsh && strcmp(shell, "bash") != 0) {
        fprintf(stderr, "broker: --completion %s: expected bash or zsh\n", shell);
        return EXIT_USAGE;
    }
    if (is_zsh)
        fputs("autoload -U +X bashcompinit && bashcompinit\n", out);
    /* The list is written into the function's first line, so that it needs no global. */
    const char *body = strchr(bash_script, '\n') + 1;
    fwrite(bash_script, 1, (size_t)(body - bash_script), out);
    fputs("    local commands=\"", out);
    for (const struct command *const *c = commands; *c; c++)
        fprintf(out, "%s%s", c == commands ? "" : " ", (*c)->name);
    fputs("\"\n", out);
    fputs(body, out);
    return EXIT_DONE;
}
