#!/bin/sh
# npm start: from a bare machine to a candidate in the channel dev. Installs what is missing, builds, bakes examples/shop into the
# examples' own store (.bakehouse/ in this clone), boots and checks it, signs what it is made of, and says what to type next.
# When nothing changed, it says so.
set -u
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd) || exit
. "$root/tools/setup.sh"

prepare "$root" || exit
# Lists everything that is missing, with the commands for it, when this user or system cannot install it.
"$node" "$root/dist/cli.js" doctor --install --for core --for cells >"$root/dist/doctor.txt" || {
  status=$?
  cat "$root/dist/doctor.txt" >&2
  exit "$status"
}
export BAKEHOUSE_HOME="$root/.bakehouse"
# The examples' locks are not committed: which versions a mirror still has differs from one machine to the next.
cd "$root" && ./bakehouse bake examples/shop --update-lock "$@" || exit

# An image that was promoted before has been checked and signed before.
if ! ./bakehouse promote shop/release --to dev >dist/promoted.txt 2>/dev/null; then
  echo
  ./bakehouse check shop/release || exit
  ./bakehouse attest shop/release || exit
  ./bakehouse promote shop/release --to dev >dist/promoted.txt || exit
fi
cat dist/promoted.txt

cat <<END

The examples' store is .bakehouse/ in this clone; your own will be another. Next:
  export BAKEHOUSE_HOME='$BAKEHOUSE_HOME'
  ./bakehouse images                  what is in it
  ./bakehouse image show shop/release where an image comes from
  ./bakehouse run shop/release --publish 8080:80    a machine of it, at http://127.0.0.1:8080
  ./bakehouse image papers shop/release             what was checked, what it is made of, who signed that
  ./bakehouse channels shop                         how far it has come on its way to prod
Change a file below examples/shop and type npm start again: only what it touches is baked.
END
