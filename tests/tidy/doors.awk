# One library, one door: awk -f doors.awk doors.txt FILES.
FNR == NR { if ($1 != "#" && NF > 1) for (i = 2; i <= NF; i++) may[$1] = may[$1] " " $i; next }
/^#include </ {
    header = $2; gsub(/[<>]/, "", header)
    for (door in may) {
        if (index(header, door) != 1) continue
        is_allowed = 0; n = split(may[door], places, " ")
        for (i = 1; i <= n; i++) if (index(FILENAME, places[i]) == 1) is_allowed = 1
        if (!is_allowed) { printf "%s:%d: <%s> is not for this file: its door is%s\n", FILENAME, FNR, header, may[door]; bad = 1 }
    }
}
END { exit bad }
