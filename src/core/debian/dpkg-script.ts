import { BakehouseError } from "../errors.ts";
import { LOOK_AT_FAILURE } from "../look-at-failure.ts";
import { SHIMS, type Shim } from "./shims/index.ts";

/** What a sandbox needs to know to run dpkg; the fields mean what they mean in its commands. */
export interface DpkgCommand {
  readonly argv: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly memoryFiles: readonly { readonly path: string; readonly content: string; readonly mode: number }[];
}

/** A `preinst` whose package was unpacked without dpkg, which would have run it. */
export interface Preinst {
  readonly packageName: string;
  readonly architecture: string;
  /** Folder in dpkg's directory with the package's control files, which becomes `tmp.ci` while the script runs. */
  readonly controlFolder: string;
}

/** One part of a run; parts are done in order until one fails. */
export type DpkgPart =
  | { readonly kind: "preseed"; readonly selections: string }
  | { readonly kind: "preinst"; readonly scripts: readonly Preinst[] }
  /** Files inside the image. Nothing is configured and no trigger is processed yet. */
  | { readonly kind: "unpack"; readonly files: readonly string[] }
  /** Everything that is unpacked, then every pending trigger once. */
  | { readonly kind: "configure" };

/**
 * dpkg never asks (an administrator's conffile stays), spares syncs (a bake that dies starts its step anew), and may take
 * the configuration back from packages that others break for a moment, as apt lets it.
 */
const OPTIONS = "--force-unsafe-io --force-confold --auto-deconfigure";
const ADMINISTRATION = "/var/lib/dpkg";
const PRESEED = "bakehouse/preseed";

/**
 * All parts in one command, since entering a sandbox costs more than what many parts do there.
 *
 * @param parts at least one
 * @param way   `plain` leaves out whatever only saves time: the reference that `fast` is compared with in tests
 */
export function dpkgCommand(parts: readonly DpkgPart[], way: "fast" | "plain"): DpkgCommand {
  const shims = SHIMS.filter((shim) => way === "fast" || shim.purpose === "safety");
  const selections = parts.flatMap((part) => (part.kind === "preseed" ? [part.selections] : []));
  return {
    // one stream, so that what a script says stands between the right lines of dpkg
    argv: ["/bin/sh", "-e", "-c", ["exec 2>&1", ...parts.flatMap((part) => linesOf(part, way))].join("\n")],
    environment: { PATH: `/run/${shimFolder(undefined)}:${PATH}`, UCF_FORCE_CONFFOLD: "1", APT_LISTCHANGES_FRONTEND: "none" },
    memoryFiles: [
      ...shims.map((shim) => ({ path: `${shimFolder(shim)}/${shim.name}`, content: shim.script, mode: 0o755 })),
      ...(selections.length === 0 ? [] : [{ path: PRESEED, content: `${selections.join("\n")}\n`, mode: 0o400 }]),
    ],
  };
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A shim for one version of a program has a folder of its own, which comes into PATH only if that version is there. */
const shimFolder = (shim: Shim | undefined): string => (shim?.replaces === undefined ? "bakehouse/bin" : `bakehouse/for-${shim.name}`);

function linesOf(part: DpkgPart, way: "fast" | "plain"): readonly string[] {
  switch (part.kind) {
    case "preseed":
      return [`debconf-set-selections /run/${PRESEED}`];
    case "preinst":
      return part.scripts.flatMap(preinstLines);
    case "unpack":
      return [`dpkg ${OPTIONS} --no-triggers --unpack -- ${part.files.map(quote).join(" ")}`];
    case "configure":
      return way === "fast" ? [...SHIMS.flatMap(admitShim), ...configureSwiftly] : [CONFIGURE];
  }
}

const admitShim = (shim: Shim): readonly string[] =>
  shim.replaces === undefined
    ? []
    : [
        `if [ -f ${shim.replaces.path} ] && [ "$(sha256sum < ${shim.replaces.path})" = "${shim.replaces.sha256}  -" ]; then PATH=/run/${shimFolder(shim)}:$PATH; fi`,
      ];

/**
 * ca-certificates asks for each of its 148 certificates whether the administrator's list, which a first installation does
 * not have, names it: 600 processes to search an empty text. For this run the question becomes its answer, `false`.
 */
const CA_CONFIG = `${ADMINISTRATION}/info/ca-certificates.config`;
const CA_QUESTION = String.raw`(echo "\$CERTS_\(DISABLED\|TRUST\)" | grep -F -q -x "\$crt") > /dev/null 2>&1`;

const CONFIGURE = `dpkg ${OPTIONS} --configure -a`;

const configureSwiftly: readonly string[] = [
  `if [ -f ${CA_CONFIG} ] && [ ! -e /etc/ca-certificates.conf ]; then`,
  `  cp -p ${CA_CONFIG} /run/ca-certificates.config`,
  `  sed 's:${CA_QUESTION}:false:' /run/ca-certificates.config > ${CA_CONFIG}`,
  `fi`,
  `code=0; ${CONFIGURE} || code=$?`,
  `[ ! -f /run/ca-certificates.config ] || { cp -p /run/ca-certificates.config ${CA_CONFIG}; rm /run/ca-certificates.config; }`,
  `[ $code -eq 0 ] || exit $code`,
];

/** The environment is dpkg's (dpkg(1), "Internal environment"). A failure is reported in dpkg's own words, so that readers of its output need to know one form. */
const preinstLines = ({ packageName, architecture, controlFolder }: Preinst): readonly string[] => [
  `echo ${quote(`Preparing ${packageName} ...`)}`,
  `mv ${ADMINISTRATION}/${controlFolder} ${ADMINISTRATION}/tmp.ci`,
  `code=0; DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE=${quote(packageName)} DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 \\`,
  `  DPKG_MAINTSCRIPT_ARCH=${quote(architecture)} DPKG_MAINTSCRIPT_DEBUG=0 DPKG_ADMINDIR=${ADMINISTRATION} DPKG_ROOT= ${ADMINISTRATION}/tmp.ci/preinst install || code=$?`,
  `rm -rf ${ADMINISTRATION}/tmp.ci`,
  `if [ $code -ne 0 ]; then`,
  `  echo ${quote(`dpkg: error processing package ${packageName} (--unpack):`)} >&2`,
  `  echo "new preinst script returned error exit status $code" >&2; exit 1`,
  `fi`,
];

const quote = (text: string): string => (/^[A-Za-z0-9_./:+~@%^=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/**
 * Whether a `preinst` does nothing when its package is installed for the first time, as most that debhelper writes: calls
 * of dpkg-maintscript-helper, whose four helpers ask for an old version before they act in a preinst, and blocks that ask
 * for an upgrade or for an old version. Running them for nothing takes a tenth of a foundation's time.
 */
export function isIdleAtFirst(preinst: string): boolean {
  if (!/^#! ?\/bin\/(?:ba|da)?sh\b/.test(preinst)) return false;
  let inBlock = false;
  return logicalLines(preinst).every((line) => {
    if (!inBlock) {
      inBlock = IDLE_BLOCK.test(line);
      return inBlock || IDLE_LINE.test(line);
    }
    inBlock = line !== "fi";
    return !/^(?:else|elif)\b/.test(line.trim());
  });
}

/** Lines with those that a backslash makes go on; a comment does not go on. */
function logicalLines(script: string): readonly string[] {
  const lines: string[] = [];
  let open = false;
  for (const line of script.split("\n")) {
    const text = line.replace(/\\$/, "");
    if (open) lines.push(`${lines.pop() ?? ""} ${text.trim()}`);
    else lines.push(text);
    open = line.endsWith("\\") && (open || !/^\s*#/.test(line));
  }
  return lines;
}

const IDLE_LINE =
  /^\s*(#.*|set -eu?|exit 0|dpkg-maintscript-helper (rm_conffile|mv_conffile|symlink_to_dir|dir_to_symlink)( +[^\s;&|`$()<>]+)* +-- "\$@"|)\s*$/;

/** Conditions that all have to hold (no `||`, nothing executed), one of which cannot: `$2` is empty, `$1` is `install`. */
const IDLE_BLOCK = /^if (?=.*\[ (-n "\$2"|"\$1" = "?upgrade"?) \])\[ [^\]|;`(]+ \]( && \[ [^\]|;`(]+ \])* ?; then$/;

/** How a dpkg run ended, as a sandbox tells it. */
export interface DpkgEnd {
  readonly exitCode: number;
  readonly signal?: string;
}

/** Lines of a failed package's output that are shown; a script's reason stands near its end. */
const SHOWN_LINES = 25;

/**
 * The error for a dpkg run that failed: which packages, and what they said. dpkg goes on after a failure and sums up at its
 * end, so that the reason is not what it printed last.
 *
 * @param lines all that it printed, stdout and stderr in the order seen
 */
export function dpkgFailure(lines: readonly string[], end: DpkgEnd): BakehouseError {
  const failures = failuresIn(lines);
  const ended = end.signal ?? `exit code ${end.exitCode}`;
  if (failures.length === 0)
    return new BakehouseError("STEP_FAILED", `dpkg ended with ${ended}${shown(lines)}`, {
      hint: LOOK_AT_FAILURE,
      details: { packages: [] },
    });
  // A package that waits for a failed one fails too; the first is the cause.
  const [first] = failures;
  const others = failures.slice(1).map((failure) => failure.packageName);
  const rest =
    others.length === 0 ? "" : `\n  and ${others.join(", ")}, which ${others.length === 1 ? "waits" : "wait"} for it or failed after it`;
  return new BakehouseError(
    "STEP_FAILED",
    `${first?.packageName ?? "dpkg"}: ${first?.reason ?? ended}${shown(first?.output ?? [])}${rest}`,
    {
      hint: LOOK_AT_FAILURE,
      details: { packages: failures.map((failure) => failure.packageName) },
    },
  );
}

const shown = (lines: readonly string[]): string =>
  lines
    .slice(-SHOWN_LINES)
    .map((line) => `\n  | ${line}`)
    .join("");

interface PackageFailure {
  readonly packageName: string;
  readonly reason: string;
  readonly output: readonly string[];
}

function failuresIn(lines: readonly string[]): readonly PackageFailure[] {
  const failures: PackageFailure[] = [];
  let start = 0;
  lines.forEach((line, index) => {
    if (/^(Setting up|Preparing|Unpacking|Processing triggers for|\(Reading database) /.test(line) && !line.startsWith("Unpacking"))
      start = index + 1;
    const [, subject] = /^dpkg: error processing (?:package|archive) (\S+) \(--\w+\):$/.exec(line) ?? [];
    if (subject === undefined) return;
    failures.push({
      packageName: packageOf(subject),
      reason: lines[index + 1]?.trim() ?? "failed",
      output: lines.slice(start, index).filter((said) => !said.startsWith("dpkg: error processing")),
    });
    start = index + 2;
  });
  return failures;
}

/** `libssl3:amd64`, or the path of a .deb. */
const packageOf = (subject: string): string =>
  (/^.*\/(?<name>[^/_]+)_[^/]*$/.exec(subject)?.groups?.["name"] ?? subject).replace(/:\w+$/, "");
