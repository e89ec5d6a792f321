#!/bin/sh
# npm start: from a bare machine to a baked image. Installs what is missing, builds, bakes examples/shop into the
# examples' own store (.bakehouse/ in this clone), and says what to type next. When nothing changed, it says so.
set -u
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd) || exit
. "$root/tools/setup.sh"

prepare "$root" || exit
# Lists everything that is missing, with the commands for it, when this user or system cannot install it.
"$node" "$root/dist/cli.js" doctor --install --for core >"$root/dist/doctor.txt" || {
  status=$?
  cat "$root/dist/doctor.txt" >&2
  exit "$status"
}
export BAKEHOUSE_HOME="$root/.bakehouse"
# The examples' locks are not committed: which versions a mirror still has differs from one machine to the next.
cd "$root" && ./bakehouse bake examples/shop --update-lock "$@" || exit

cat <<END

The examples' store is .bakehouse/ in this clone; your own will be another. Next:
  export BAKEHOUSE_HOME='$BAKEHOUSE_HOME'
  ./bakehouse images                  what is in it
  ./bakehouse image show shop/release where an image comes from
  ./bakehouse shell shop/release      look around inside
Change a file below examples/shop and type npm start again: only what it touches is baked.
END
