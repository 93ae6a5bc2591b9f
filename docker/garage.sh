#!/bin/sh
# The S3 server of the tests, Garage: prints where its program is, and makes it with cargo when there is none. Kept outside the
# tree, in ${XDG_CACHE_HOME:-~/.cache}/penstock, since making it takes about 17 minutes on two cores. Nothing is printed where
# it can't be had; the tests then use moto, from PyPI.
set -u
version=2.3.0
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/penstock/garage
if [ -x "$cache/bin/garage" ]; then
    echo "$cache/bin/garage"
    exit 0
fi
if command -v garage >/dev/null 2>&1; then
    command -v garage
    exit 0
fi
if ! command -v cargo >/dev/null 2>&1; then
    echo "garage: neither it nor cargo is here; the S3 tests run against moto" >&2
    exit 0
fi
echo "garage: made by cargo into $cache, once; this takes about 17 minutes" >&2
if cargo install garage --version "$version" --locked --root "$cache" >"${TMPDIR:-/tmp}/garage-build.log" 2>&1; then
    echo "$cache/bin/garage"
else
    tail -n 3 "${TMPDIR:-/tmp}/garage-build.log" >&2
    echo "garage: could not be made; the S3 tests run against moto" >&2
fi
