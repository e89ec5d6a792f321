import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { BakehouseError } from "../../core/errors.ts";
import { formatStanza } from "../../core/debian/deb822.ts";
import type { FoundationInstaller, FoundationRequest } from "../../ports/foundation-installer.ts";
import { addPackages } from "./add-packages.ts";
import { readControl, type PackageControl } from "./binary-package.ts";
import { clearMountPoints, mergedLinks } from "./merged-usr.ts";
import { neutralise } from "./neutralise.ts";
import { unreadable } from "./scheduling.ts";

/**
 * Installs a foundation with mmdebstrap and everything else with plain dpkg: the reference that the own installer is
 * compared with. Takes 120 MB more memory (a tmpfs) and about three times the CPU time.
 */
export function mmdebstrapInstaller(): FoundationInstaller {
  return { install, add: (request) => addPackages(request, { plain: true }) };
}

async function install(request: FoundationRequest): Promise<void> {
  const { root, signal, packages } = request;
  const control = await readControl(
    packages.map((file) => file.hostPath),
    { directory: root.hostPath, jobs: 1, signal },
  ).catch((cause: unknown) => {
    throw unreadable(cause, signal);
  });
  clearMountPoints(root);
  request.progress("mmdebstrap", 0);
  await runMmdebstrap(request, control);
  // mmdebstrap's own settings, and device nodes for its chroot: machines mount /dev
  root.remove("/etc/apt/apt.conf.d/99mmdebstrap");
  for (const name of root.list("/dev")) root.remove(`/dev/${name}`);
  neutralise(root);
}

/**
 * Runs in mount and process namespaces of its own: what mmdebstrap mounts and makes is in a tmpfs there and gone when it
 * ends, also by `kill -9` (of it, or of this process).
 *
 * stdin: the repository's Packages file. Arguments: where to mount the tmpfs, suite, packages, then the .deb files.
 */
const SCRIPT = String.raw`set -e
work=$1 suite=$2 include=$3 links=$4; shift 4
mount -t proc proc /proc
mount -t tmpfs -o mode=755,size=100% tmpfs "$work"
mkdir "$work/repository" "$work/tmp"
cat > "$work/repository/Packages"
number=0
for file in "$@"; do cp -- "$file" "$work/repository/$number.deb"; number=$((number + 1)); done
export TMPDIR="$work/tmp"
exec mmdebstrap --quiet --mode=root --variant=custom --format=tar --include="$include" \
  --setup-hook="for name in $links; do ln -s usr/\$name \"\$1/\$name\"; mkdir -p \"\$1/usr/\$name\"; done" \
  --aptopt='Acquire::Languages "none"' --skip=check/empty \
  "$suite" - "deb [trusted=yes] copy:$work/repository ./"
`;

async function runMmdebstrap(request: FoundationRequest, control: readonly PackageControl[]): Promise<void> {
  const { root, signal, suite, packages } = request;
  const argv = [
    workPlace(request),
    suite,
    control.map((pack) => pack.name).join(","),
    mergedLinks(control).join(" "),
    ...packages.map((file) => file.hostPath),
  ];
  const environment = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8", SOURCE_DATE_EPOCH: String(request.epochSeconds) };
  const builder = spawn(
    "setpriv",
    [
      "--pdeathsig",
      "KILL",
      "unshare",
      "--mount",
      "--pid",
      "--fork",
      "--kill-child=KILL",
      "--propagation",
      "private",
      "sh",
      "-c",
      SCRIPT,
      "sh",
      ...argv,
    ],
    {
      env: environment,
      stdio: ["pipe", "pipe", "pipe"],
      signal,
      killSignal: "SIGKILL",
    },
  );
  const unpack = spawn(
    "tar",
    ["-C", root.hostPath, "--extract", "--preserve-permissions", "--same-owner", "--numeric-owner", "--xattrs", "--file", "-"],
    { stdio: ["pipe", "ignore", "pipe"] },
  );
  builder.stdin.on("error", () => undefined); // it may end before it has read all
  builder.stdin.end(packagesIndex(request, control));
  unpack.stdin.on("error", () => undefined);
  builder.stdout.pipe(unpack.stdin);
  const said: string[] = [];
  const listen = (text: string): void => {
    for (const line of text.split("\n").filter((one) => one.trim() !== "")) {
      said.push(line);
      request.log(line);
    }
  };
  builder.stderr.setEncoding("utf8").on("data", listen);
  unpack.stderr.setEncoding("utf8").on("data", listen);
  const [built, unpacked] = await Promise.all([ended(builder), ended(unpack)]);
  if (signal.aborted) throw new BakehouseError("CANCELLED", "Stopped while mmdebstrap was at work");
  if (built === "exit code 0" && unpacked === "exit code 0") return;
  throw new BakehouseError(
    "STEP_FAILED",
    `mmdebstrap ended with ${built}, tar with ${unpacked}${said
      .slice(-25)
      .map((line) => `\n  | ${line}`)
      .join("")}`,
    {
      hint: "foundation.builder: own does not need mmdebstrap",
    },
  );
}

const ended = (child: ReturnType<typeof spawn>): Promise<string> =>
  new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });

/** A directory that every Debian has and that hides no package when a file system is mounted on it, in a namespace of its own. */
function workPlace({ packages }: FoundationRequest): string {
  const place = ["/mnt", "/media", "/srv", "/opt"].find(
    (path) => existsSync(path) && !packages.some((file) => file.hostPath.startsWith(`${path}/`)),
  );
  if (place === undefined)
    throw new BakehouseError("SETUP_INCOMPLETE", "mmdebstrap needs one of /mnt, /media, /srv, /opt to work in", { hint: "mkdir /mnt" });
  return place;
}

/** A flat repository's index: what the packages say, and where they are. */
function packagesIndex({ packages }: FoundationRequest, control: readonly PackageControl[]): string {
  const stanzas = control.map((pack, index) => {
    const file = packages[index];
    const fields = pack.stanza.fields.filter(({ name }) => !["filename", "size", "sha256"].includes(name.toLowerCase()));
    const place = [
      { name: "Filename", value: `./${index}.deb` },
      { name: "Size", value: String(file?.sizeBytes ?? 0) },
      { name: "SHA256", value: file?.sha256.slice("sha256:".length) ?? "" },
    ];
    return formatStanza([...fields, ...place]);
  });
  return stanzas.join("\n");
}
