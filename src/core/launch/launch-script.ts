import type { AptRepository } from "../recipe/model.ts";
import type { FileRequest } from "../step.ts";

/** Settings that a machine is given beside the script; none of them is ever part of an image or of the stored files. */
export const LAUNCH_SETTINGS = {
  BAKEHOUSE_PAYLOAD_URL: "where the payload is: a file's address, or a folder's that ends with /",
  BAKEHOUSE_MIRROR: "Debian mirror to install packages from, instead of what the machine has in /etc/apt",
  BAKEHOUSE_SECURITY_MIRROR: "mirror of Debian's security updates",
  BAKEHOUSE_SUITES: "suites of the mirror, the machine's own release if empty",
  BAKEHOUSE_COMPONENTS: "components of the mirror, main if empty",
} as const;
export type LaunchSetting = keyof typeof LAUNCH_SETTINGS;

export interface LaunchStep {
  readonly address: string;
  /** As the step's `atLaunch` gives it. */
  readonly script: string;
}

export interface LaunchPlan {
  /** `<recipe>/<layer>`. */
  readonly name: string;
  readonly steps: readonly LaunchStep[];
  /** Packages are installed: apt needs to know from where. */
  readonly usesApt: boolean;
  /** Of the recipe; empty when no packages are installed. */
  readonly repositories: readonly AptRepository[];
}

/** Where the steps' part lies in the payload when it is too long for user-data. */
export const STEPS_FILE = ".bakehouse/steps.sh";

/** Key files that the script needs besides the steps' own payload. */
export const repositoryKeys = (plan: Pick<LaunchPlan, "repositories">): readonly FileRequest[] =>
  plan.repositories.flatMap(({ keyFile }) => (keyFile === undefined ? [] : [{ path: keyFile }]));

/** The settings that this launch reads. */
export function settingsOf(plan: Pick<LaunchPlan, "usesApt">, hasPayload: boolean): readonly LaunchSetting[] {
  const apt = ["BAKEHOUSE_MIRROR", "BAKEHOUSE_SECURITY_MIRROR", "BAKEHOUSE_SUITES", "BAKEHOUSE_COMPONENTS"] as const;
  return [...(hasPayload ? (["BAKEHOUSE_PAYLOAD_URL"] as const) : []), ...(plan.usesApt ? apt : [])];
}

/** Every step in a shell of its own: what one sets or where it goes is nothing to the next. */
export function stepsScript(plan: LaunchPlan): string {
  const parts = [
    ...(plan.usesApt ? [APT_SOURCES] : []),
    ...plan.repositories.map(repositorySource),
    ...plan.steps.map(({ address, script }, index) => `begin '${address} (${index + 1} of ${plan.steps.length})'\n(\n${script}\n)`),
    ...(plan.usesApt
      ? [
          `begin 'forgetting the mirror'\nrm -f /etc/apt/sources.list.d/bakehouse.* /etc/apt/preferences.d/bakehouse-*\nrm -rf /etc/apt/bakehouse-keys`,
        ]
      : []),
  ];
  return `${parts.join("\n\n")}\n`;
}

/**
 * What a machine runs at its first start: fetches the payload, compares its digest, then carries the steps out in order.
 * POSIX shell, for root, in a Debian of any size. Runs once: a second start finds `/var/lib/bakehouse/launched`.
 *
 * @param launch   name of exactly this launch, 64 hex digits
 * @param payload  SHA-256 of the tarball, 64 hex digits; undefined when there is nothing to fetch
 * @param steps    the text of `stepsScript`; undefined when it lies in the payload
 */
export function launchScript(name: string, launch: string, payload: string | undefined, steps: string | undefined): string {
  const body = steps ?? `. "$BAKEHOUSE_PAYLOAD"/${STEPS_FILE}\n`;
  return `${head(name, launch)}${payload === undefined ? "" : `\n${fetchPayload(payload)}`}\n${body}\n${TAIL}`;
}

const head = (name: string, launch: string): string => `#!/bin/sh
# ${name}: what a machine does at its first start. Made by bakehouse; the same for every machine.
set -eu
umask 022
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root
launch=${launch}
state=/var/lib/bakehouse
policy=

say() { printf 'bakehouse: %s\\n' "$*" >&2; }
begin() { now=$1; say "$now"; }
ended() {
  [ "$1" = 0 ] || say "failed with exit code $1 at: $now"
  rm -rf "$state/payload" "$state/payload.tar" \${policy:+"$policy"}
}

if [ "$(cat "$state/launched" 2>/dev/null || :)" = "$launch" ]; then
  say 'done at an earlier start'
  exit 0
fi
now='the beginning'
trap 'ended $?' EXIT
settings=\${BAKEHOUSE_SETTINGS:-/etc/bakehouse/launch.env}
if [ -r "$settings" ]; then . "$settings"; fi
mkdir -p "$state"
# Packages start nothing by themselves: a service starts when every step is done, as it would when an image boots.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
  chmod 0755 /usr/sbin/policy-rc.d
  policy=/usr/sbin/policy-rc.d
fi
`;

const TAIL = `rm -f \${policy:+"$policy"}
policy=
begin 'starting what is enabled'
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # A target that is reached already pulls in what it newly wants, but only what it wants itself.
  systemctl start --no-block sockets.target timers.target paths.target multi-user.target default.target
fi
printf '%s\\n' "$launch" > "$state/launched"
say 'ready'
`;

/** The query of an address may hold a signature, so it is not shown. */
const fetchPayload = (payload: string): string => `payload=${payload}
fetch_once() {
  case $1 in
  file://*) cp "\${1#file://}" "$2" ;;
  *)
    if command -v curl >/dev/null; then curl --fail --silent --show-error --location --output "$2" "$1"
    elif command -v wget >/dev/null; then wget --quiet --output-document="$2" "$1"
    elif command -v python3 >/dev/null; then python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(sys.argv[1], sys.argv[2])' "$1" "$2"
    else /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$1" "$2" >/dev/null
    fi
    ;;
  esac
}
fetch() {
  for pause in 0 1 2 4 8 16; do
    sleep "$pause"
    if fetch_once "$1" "$2"; then return 0; fi
    say "cannot fetch \${1%%\\?*}"
  done
  return 1
}
begin "fetching the payload $payload"
if [ -z "\${BAKEHOUSE_PAYLOAD_URL:-}" ]; then
  say 'BAKEHOUSE_PAYLOAD_URL is not set: the user-data has to say where the payload is'
  exit 1
fi
case $BAKEHOUSE_PAYLOAD_URL in */) BAKEHOUSE_PAYLOAD_URL=$BAKEHOUSE_PAYLOAD_URL$payload.tar ;; esac
fetch "$BAKEHOUSE_PAYLOAD_URL" "$state/payload.tar"
found=$(sha256sum < "$state/payload.tar")
if [ "\${found%% *}" != "$payload" ]; then
  say "what came is not the payload: its SHA-256 is \${found%% *}"
  exit 1
fi
export BAKEHOUSE_PAYLOAD="$state/payload"
rm -rf "$BAKEHOUSE_PAYLOAD"
mkdir "$BAKEHOUSE_PAYLOAD"
tar -xf "$state/payload.tar" -C "$BAKEHOUSE_PAYLOAD"
rm -f "$state/payload.tar"
`;

const APT_SOURCES = `begin 'naming the mirror'
codename=$(. /etc/os-release && printf %s "$VERSION_CODENAME")
if [ -n "\${BAKEHOUSE_MIRROR:-}" ]; then
  mkdir -p /etc/apt/sources.list.d
  for suite in \${BAKEHOUSE_SUITES:-$codename}; do
    printf 'deb %s %s %s\\n' "$BAKEHOUSE_MIRROR" "$suite" "\${BAKEHOUSE_COMPONENTS:-main}"
  done > /etc/apt/sources.list.d/bakehouse.list
  if [ -n "\${BAKEHOUSE_SECURITY_MIRROR:-}" ]; then
    printf 'deb %s %s-security %s\\n' "$BAKEHOUSE_SECURITY_MIRROR" "$codename" "\${BAKEHOUSE_COMPONENTS:-main}" >> /etc/apt/sources.list.d/bakehouse.list
  fi
fi`;

function repositorySource({ name, url, suites, components, keyFile, trusted, priority }: AptRepository): string {
  const key = keyFile === undefined ? undefined : `/etc/apt/bakehouse-keys/${name}${keyFile.endsWith(".asc") ? ".asc" : ".gpg"}`;
  const source = [
    "Types: deb",
    `URIs: ${url}`,
    `Suites: ${suites.join(" ")}`,
    ...(components.length === 0 ? [] : [`Components: ${components.join(" ")}`]),
    ...(key === undefined ? [] : [`Signed-By: ${key}`]),
    ...(trusted === true ? ["Trusted: yes"] : []),
  ];
  const host = /^[a-z]+:\/\/([^/:]+)/.exec(url)?.[1] ?? "";
  return [
    `mkdir -p /etc/apt/bakehouse-keys /etc/apt/sources.list.d /etc/apt/preferences.d`,
    ...(key === undefined ? [] : [`install -m 0644 "$BAKEHOUSE_PAYLOAD"/${quote(keyFile ?? "")} ${key}`]),
    `cat > /etc/apt/sources.list.d/bakehouse.${name}.sources <<'BAKEHOUSE_END'\n${source.join("\n")}\nBAKEHOUSE_END`,
    ...(priority === undefined
      ? []
      : [
          `printf 'Package: *\\nPin: origin "%s"\\nPin-Priority: %s\\n' ${quote(host)} ${priority} > /etc/apt/preferences.d/bakehouse-${name}`,
        ]),
  ].join("\n");
}

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
