#!/bin/sh
# npm run bench: the cases of docs/benchmarks.md, beside the peers that this machine has. Names of cases may follow.
set -u
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd) || exit
. "$root/tools/setup.sh"

prepare "$root" || exit
exec "$node" "$root/bench/main.ts" "$@"
