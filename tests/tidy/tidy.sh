#!/bin/sh
# What a reader may rely on, checked: format, layers, doors, lengths, banned functions, headers that compile alone, every
# kind and every pipeline tested. Run by `make tidy`; prints what is wrong and where.
set -u
cd "$(dirname "$0")/../.." || exit 2
here=tests/tidy
files=$(git ls-files -co --exclude-standard '*.c' '*.h')
bad=0
check() { # name, command…
    name=$1
    shift
    if "$@"; then echo "tidy $name: ok"; else echo "tidy $name: FAILED"; bad=1; fi
}

format() { clang-format-14 --dry-run -Werror $files; }
layers() { awk -f $here/layers.awk $here/layers.txt $files; }
doors() { awk -f $here/doors.awk $here/doors.txt $files; }
lengths() { LC_ALL=C awk -f $here/lengths.awk $files; }

# Allocation has one door (mem.c), text goes through bounded functions, randomness is seeded, processes through child.c. The
# pure folders know no clock, no thread and no file.
banned() {
    pure=$(echo "$files" | grep -E '^(proto/|common/base/|broker/pipeline/|broker/sched/|worker/models/|worker/runtime/agent)')
    ! grep -nEw '(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok|rand|srand|random|gettimeofday|system|alloca|popen)\(' $files &&
        ! grep -nEw '(malloc|calloc|realloc|free|strdup|strndup)\(' $(echo "$files" | tr ' ' '\n' | grep -v -e '^common/base/mem\.c$' -e '^tests/') &&
        ! grep -nE '^#include <(time|unistd|pthread)\.h>' $pure /dev/null &&
        ! grep -nEw '(fopen|fread|fwrite|fprintf|printf|fputs|puts|openat?|creat|read|write|socket|getenv|getrandom)\(' $pure /dev/null
}

headers() {
    gen=$(mktemp -d) && trap 'rm -rf "$gen"' EXIT
    MAKEFLAGS= ${MAKE:-make} -s B="$gen" "$gen/gen/lib_versions.h" || return 1
    for header in $(echo "$files" | grep '\.h$'); do
        echo "#include \"$header\"" | gcc -std=c17 -D_GNU_SOURCE -I. -I"$gen/gen" -fsyntax-only -x c - || {
            echo "$header does not compile alone"
            return 1
        }
    done
}

# A pipeline of configs/ that no test runs is documentation that rots; a kind that none runs, too.
tested() {
    missing=0
    for pipeline in configs/*.yaml; do
        grep -rqF "$(basename "$pipeline")" tests Makefile || { echo "$pipeline: no test runs it"; missing=1; }
    done
    for kind in $(sed -n 's/^KIND(\([a-z_]*\), .*/\1/p' proto/kinds.def | sort -u); do
        grep -rqE "kind: $kind|\"kind\": \"$kind\"|kind_$kind" tests configs || { echo "kind $kind: no test runs it"; missing=1; }
    done
    return $missing
}

check format format
check layers layers
check doors doors
check lengths lengths
check banned banned
check headers headers
check tested tested
exit $bad
