#!/bin/sh
# npm test: sets up what the tests need, then runs every check that CI runs (tools/check.mjs lists them).
# The last line is `N passed, N failed`: tests, and one for each other check. Names of checks may follow: npm test -- lint types
set -u
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd) || exit
. "$root/tools/setup.sh"

stop() {
  printf '0 passed, 1 failed\n'
  exit 3
}

prepare "$root" || stop
"$node" "$root/dist/cli.js" doctor --install --for test >"$root/dist/doctor.txt" || {
  cat "$root/dist/doctor.txt" >&2
  stop
}
export PATH="${node%/*}:$PATH:/usr/sbin:/sbin"
exec "$node" "$root/tools/check.mjs" "$@"
