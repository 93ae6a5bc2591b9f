# Who may include whom: awk -f layers.awk layers.txt FILES. The longest matching prefix of the including file names its row; a
# quoted include must begin with one of the row's prefixes.
FNR == NR { for (i = 2; i <= NF; i++) may[$1] = may[$1] " " $i; next }
/^#include "/ {
    split($0, quoted, "\""); row = ""
    for (m in may)
        if (index(FILENAME, m "/") == 1 && length(m) > length(row)) row = m
    is_allowed = quoted[2] == "lib_versions.h"; n = split(may[row], prefixes, " ")
    for (i = 1; i <= n; i++) if (prefixes[i] == "*" || index(quoted[2], prefixes[i]) == 1) is_allowed = 1
    if (!is_allowed) { printf "%s:%d: %s may not include \"%s\"\n", FILENAME, FNR, row, quoted[2]; bad = 1 }
}
END { exit bad }
