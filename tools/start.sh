#!/bin/sh
# npm start: from a bare machine to a fleet that runs a candidate of the channel dev. Installs what is missing, builds, bakes
# examples/shop into the examples' own store (.bakehouse/ in this clone), boots and checks it, signs what it is made of, brings six
# machines to it by canary, and says what to type next. When nothing changed, it says so.
set -u
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd) || exit
. "$root/tools/setup.sh"

prepare "$root" || exit
# Lists everything that is missing, with the commands for it, when this user or system cannot install it.
"$node" "$root/dist/cli.js" doctor --install --for core --for cells --for fleets >"$root/dist/doctor.txt" || {
  status=$?
  cat "$root/dist/doctor.txt" >&2
  exit "$status"
}
export BAKEHOUSE_HOME="$root/.bakehouse"
# The examples' locks are not committed: which versions a mirror still has differs from one machine to the next.
cd "$root" && ./bakehouse bake examples/shop --update-lock "$@" || exit

# Checked, signed and promoted, unless it was before.
release() {
  ./bakehouse promote "$1" --to dev >dist/promoted.txt 2>/dev/null && return
  echo
  ./bakehouse check "$1" && ./bakehouse attest "$1" && ./bakehouse promote "$1" --to dev >dist/promoted.txt
}
release shop/release || exit
cat dist/promoted.txt

# A fleet of six begins with the release before, once, and is brought to this one by canary.
if ./bakehouse fleet status web --recipe examples/shop | grep -q 'declared nothing'; then
  echo
  ./bakehouse bake examples/shop --layer release-volume --set version=0.9.0 --quiet &&
    ./bakehouse fleet converge web --recipe examples/shop --image shop/release-volume &&
    ./bakehouse bake examples/shop --quiet || exit
else
  ./bakehouse fleet converge web --quiet >/dev/null || exit
fi
release shop/release-volume || exit
echo
./bakehouse rollout start web --recipe examples/shop || exit

cat <<END

The examples' store is .bakehouse/ in this clone; your own will be another. Next:
  export BAKEHOUSE_HOME='$BAKEHOUSE_HOME'
  ./bakehouse images                  what is in it
  ./bakehouse image show shop/release where an image comes from
  ./bakehouse run shop/release --publish 8080:80    a machine of it, at http://127.0.0.1:8080
  ./bakehouse image papers shop/release             what was checked, what it is made of, who signed that
  ./bakehouse channels shop                         how far it has come on its way to prod
  ./bakehouse fleet ps web            six machines, at http://127.0.0.1:8480/
  npm run demo:bad-release            a broken release, halted and brought back while a client asks
  ./bakehouse fleet dissolve web      end them
Change a file below examples/shop and type npm start again: only what it touches is baked.
END
