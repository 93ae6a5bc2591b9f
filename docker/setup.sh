#!/bin/sh
# Installs the Debian packages of packages.txt that are missing: `setup.sh build`, or `setup.sh build test`.
# Says what and why before it does; uses sudo when not root.
set -eu
here=$(dirname "$0")

has() { # probe
    case $1 in
    command:*) command -v "${1#*:}" >/dev/null 2>&1 ;;
    pkg:*) command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "${1#*:}" ;;
    header:*) command -v gcc >/dev/null 2>&1 && echo "#include <${1#*:}>" | gcc -E -x c - >/dev/null 2>&1 ;;
    asan:*) echo 'int main(void){return 0;}' | "${1#*:}" -fsanitize=address -x c -o /dev/null - >/dev/null 2>&1 ;;
    python:*) python3 -c "import ${1#*:}" >/dev/null 2>&1 ;;
    *) echo "packages.txt: unknown probe $1" >&2; exit 2 ;;
    esac
}

missing=
while read -r group probe package why; do
    case " $* " in *" $group "*) ;; *) continue ;; esac
    has "$probe" && continue
    echo "missing: $package ($why)"
    missing="$missing $package"
done <"$here/packages.txt"
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "not root and no sudo; install by hand:$missing" >&2; exit 3; }
    sudo=sudo
fi
command -v apt-get >/dev/null || { echo "no apt-get here; install by hand:$missing" >&2; exit 3; }
echo "installing with apt-get:$missing"
export DEBIAN_FRONTEND=noninteractive
# A service must not be started because a test wants its program.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '$sudo rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod +x $policy
fi
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
