#!/bin/sh
# npm run demo:bad-release: rolls a release out to the fleet of `npm start` that is well at first and answers 500 two seconds after it has
# started, while a client asks without a pause. The rollout halts, goes back, and never takes that image again.
set -u
root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd) || exit
. "$root/tools/setup.sh"
prepare "$root" || exit
export BAKEHOUSE_HOME="$root/.bakehouse"
cd "$root" || exit
if ! ./bakehouse fleet status web --recipe examples/shop 2>/dev/null | grep -q '6 of 6 healthy'; then
  echo "The fleet of the example does not run: npm start brings it up" >&2
  exit 3
fi

bad=$(mktemp -d) || exit
client=
tidy() {
  [ -z "$client" ] || kill "$client" 2>/dev/null
  rm -rf "$bad"
  # the name shop/release-volume means what the recipe says again
  ./bakehouse bake examples/shop --layer release-volume --quiet >/dev/null
}
trap tidy EXIT
trap 'exit 130' INT TERM
cp -R examples/shop "$bad/shop" || exit
sed -i 's|^HOME = |import time\nSTARTED = time.monotonic()\nHOME = |; s|self.answer(200, {"status": "ok"|self.answer(200 if time.monotonic() < STARTED + 2 else 500, {"status": "ok"|' \
  "$bad/shop/app/service.py"
echo "A release that breaks two seconds after it has started:"
diff examples/shop/app/service.py "$bad/shop/app/service.py"
./bakehouse bake "$bad/shop" --layer release-volume --set "version=bad-$(date +%s)" --quiet || exit

"$node" tools/ask.mjs http://127.0.0.1:8480/health >"$bad/answers" &
client=$!
echo
./bakehouse rollout start web --recipe examples/shop --image shop/release-volume
code=$?
kill "$client" && wait "$client"
client=
echo
echo "Meanwhile a client asked without a pause. $(cat "$bad/answers")"
echo
./bakehouse fleet status web
if [ "$code" = 0 ]; then
  echo "The broken release went through: that should not be" >&2
  exit 1
fi
