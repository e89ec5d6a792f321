import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem, tmpdir } from "node:os";
import { join } from "node:path";
import { hexOf, type Sha256 } from "../src/core/digest.ts";
import { ANNOTATIONS, MEDIA_TYPES } from "../src/core/image/oci.ts";
import { embedded } from "../src/presets/embedded.ts";
import { editApp, readLock, writeJob, writeRecipes, writeRepository, type LocalRepository } from "./job.ts";
import { decideOnce } from "./rollout.ts";
import { startCells } from "./cells.ts";
import { breakLater, declareFleet, haltOf, whileAsking, type Asked } from "./fleet.ts";
import { measure, type Command, type Measurement } from "./measure.ts";

/*
 * npm run bench [-- case …]: every speed claim of the project, beside the peers that this machine has, in one run.
 * Writes docs/benchmarks.md when all cases ran. A peer that is absent is said to be, and the run goes on.
 */

const NODE = process.execPath;
const CLI = join(import.meta.dirname, "..", "dist", "cli.js");
const PAGE = join(import.meta.dirname, "..", "docs", "benchmarks.md");

interface Row {
  readonly case: string;
  readonly who: string;
  readonly measured?: Measurement;
  /** Why there is no figure. */
  readonly absent?: string;
  /** Ours against this peer, in CPU seconds. */
  readonly ratio?: number;
  readonly goal?: string;
}

interface Bench {
  readonly folder: string;
  readonly store: string;
  readonly log: string;
  readonly runs: number;
}

const cli = (bench: Bench, ...words: readonly string[]): Command => ({
  argv: [NODE, "--min-semi-space-size=16", CLI, ...words],
  env: { BAKEHOUSE_HOME: bench.store, NO_COLOR: "1" },
});
const has = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

/** A store that holds the packages and nothing baked. */
function coldStore(bench: Bench): void {
  for (const name of [
    "oci",
    "diffs",
    "steps",
    "plans",
    "work",
    "logs",
    "format",
    "catalog.db",
    "catalog.db-wal",
    "catalog.db-shm",
    "locks.db",
    "locks.db-wal",
    "locks.db-shm",
    "stat-cache.json",
  ])
    rmSync(join(bench.store, name), { recursive: true, force: true });
  mkdirSync(bench.store, { recursive: true });
  for (const name of ["oci/blobs/sha256", "diffs", "steps", "plans", "work", "logs"])
    mkdirSync(join(bench.store, name), { recursive: true });
  writeFileSync(join(bench.store, "oci", "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(bench.store, "oci", "index.json"), JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [] }));
  writeFileSync(join(bench.store, "format"), "1\n");
}

const job = (bench: Bench): string => join(bench.folder, "job");

function repositoryOf(bench: Bench): LocalRepository {
  const debOf = ({ sha256 }: { readonly sha256: Sha256 }): string =>
    join(bench.store, "packages", hexOf(sha256).slice(0, 2), `${hexOf(sha256)}.deb`);
  return writeRepository(join(bench.folder, "repository"), readLock(join(job(bench), "bakehouse.lock")), debOf, (deb) =>
    execFileSync("dpkg-deb", ["--field", deb], { encoding: "utf8" }),
  );
}

/** mmdebstrap as its users run it for speed: packages from a local folder, scratch on a tmpfs, /usr merged from the start. */
function mmdebstrap(bench: Bench, repository: LocalRepository, packages: readonly string[], extra: readonly string[]): Command {
  const target = join(bench.folder, "mmdebstrap.tar");
  return {
    argv: [
      ...["mmdebstrap", "--quiet", "--mode=root", "--variant=custom", `--include=${packages.join(",")}`, "--skip=check/empty"],
      "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
      ...extra,
      ...["bookworm", target, `deb [trusted=yes] copy:${repository.folder} ./`],
    ],
    env: { TMPDIR: existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), SOURCE_DATE_EPOCH: "1700000000" },
    before: () => rmSync(target, { force: true }),
  };
}

function peer(
  rows: Row[],
  bench: Bench,
  name: string,
  who: string,
  program: string,
  ours: Measurement,
  command: () => Command,
  goal?: string,
): void {
  if (!has(program)) {
    rows.push({ case: name, who, absent: `${program} is not installed (./bakehouse doctor --install --for test)` });
    return;
  }
  try {
    const measured = measure(command(), bench.runs, bench.log);
    rows.push({ case: name, who, measured, ratio: ours.cpuSeconds / measured.cpuSeconds, ...(goal === undefined ? {} : { goal }) });
  } catch (error) {
    rows.push({ case: name, who, absent: (error as Error).message });
  }
}

function containerfile(bench: Bench, baseApp: readonly string[]): void {
  const install = "apt-get -qq -o Acquire::Languages=none update && apt-get -qq install -y --no-install-recommends";
  writeFileSync(
    join(job(bench), "Containerfile"),
    `FROM scratch
ADD foundation.tar /
RUN rm -f /etc/apt/sources.list.d/* /etc/apt/sources.list && echo "deb [trusted=yes] file:/repository ./" > /etc/apt/sources.list
RUN ${install} curl ca-certificates chrony openssh-server
RUN ${install} ${baseApp.join(" ")}
COPY app /srv/app
`,
  );
}

function buildah(bench: Bench, repository: LocalRepository, before: () => void, options: readonly string[] = ["--layers"]): Command {
  const storage = join(bench.folder, "containers");
  return {
    argv: [
      ...["buildah", "--root", storage, "--runroot", join(bench.folder, "containers-run"), "--storage-driver", "vfs"],
      ...[
        "bud",
        "--isolation",
        "chroot",
        ...options,
        "--timestamp",
        "1700000000",
        "-v",
        `${repository.folder}:/repository:ro`,
        "-t",
        "job",
        job(bench),
      ],
    ],
    env: { DEBIAN_FRONTEND: "noninteractive", TMPDIR: bench.folder },
    before,
  };
}

type Case = (bench: Bench, rows: Row[]) => void | Promise<void>;

const cold: Case = (bench, rows) => {
  const name = "whole job cold, packages cached";
  const ours = measure({ ...cli(bench, "bake", job(bench)), before: () => coldStore(bench) }, bench.runs, bench.log);
  rows.push({ case: name, who: "bakehouse", measured: ours, goal: "≤ 13 CPU s, ≤ 250 MB" });
  const repository = repositoryOf(bench);
  peer(rows, bench, name, "mmdebstrap, the same packages, local folder", "mmdebstrap", ours, () =>
    mmdebstrap(bench, repository, repository.all, [`--customize-hook=copy-in ${join(job(bench), "app")} /srv`]),
  );
  peer(
    rows,
    bench,
    name,
    "mmdebstrap --variant=minbase from the mirror",
    "mmdebstrap",
    ours,
    () => {
      const include = "--include=curl,ca-certificates,chrony,openssh-server,nginx-light";
      return fromMirror(bench, repository, [include, `--customize-hook=copy-in ${join(job(bench), "app")} /srv`]);
    },
    "ratio ≤ 0.45",
  );
  const foundation = join(job(bench), "foundation.tar");
  peer(
    rows,
    bench,
    name,
    "mmdebstrap + buildah",
    "buildah",
    ours,
    () => {
      containerfile(bench, ["nginx-light"]);
      const build = buildah(bench, repository, () => rmSync(join(bench.folder, "containers"), { recursive: true, force: true }));
      const base = mmdebstrap(bench, repository, repository.foundation, []);
      const script = `rm -f ${foundation}; ${base.argv.map(quote).join(" ")} && mv ${join(bench.folder, "mmdebstrap.tar")} ${foundation} && ${build.argv.map(quote).join(" ")}`;
      return { argv: ["sh", "-c", script], env: { ...base.env, ...build.env }, before: () => (base.before?.(), build.before?.()) };
    },
    "ratio ≤ 0.25",
  );
};

const foundation: Case = (bench, rows) => {
  const name = "foundation alone";
  const ours = measure(
    { ...cli(bench, "bake", join(job(bench), "foundation.yaml")), before: () => coldStore(bench) },
    bench.runs,
    bench.log,
  );
  rows.push({ case: name, who: "bakehouse", measured: ours, goal: "≤ 6.5 CPU s" });
  const repository = repositoryOf(bench);
  peer(rows, bench, name, "mmdebstrap, the same packages, local folder", "mmdebstrap", ours, () =>
    mmdebstrap(bench, repository, repository.foundation, []),
  );
  peer(
    rows,
    bench,
    name,
    "mmdebstrap --variant=minbase from the mirror",
    "mmdebstrap",
    ours,
    () => fromMirror(bench, repository, []),
    "ratio ≤ 0.4",
  );
};

/** As its manual shows it: lists and packages from the mirror, recommends left out. Waiting for the network costs wall time, not CPU. */
function fromMirror(bench: Bench, repository: LocalRepository, extra: readonly string[]): Command {
  const target = join(bench.folder, "mmdebstrap.tar");
  return {
    ...mmdebstrap(bench, repository, [], []),
    argv: ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", ...extra, "bookworm", target, hostMirror()],
  };
}

/** The Debian mirror of this host, as one line of a sources.list. */
function hostMirror(): string {
  const text = execFileSync(
    "sh",
    ["-c", "cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null; :"],
    { encoding: "utf8" },
  );
  const url = /^(?:URIs:\s*|deb\s+(?:\[[^\]]*\]\s*)?)(\S+\/debian\/?)(?=\s|$)/m.exec(text)?.[1];
  if (url === undefined) throw new Error("this host's apt configuration names no Debian mirror");
  return `deb ${url} bookworm main`;
}

const unchanged: Case = (bench, rows) => {
  const name = "nothing changed";
  measure(cli(bench, "bake", job(bench)), 1, bench.log);
  const bare = measure({ argv: [NODE, "-e", "0"] }, 7, bench.log);
  const ours = measure(cli(bench, "bake", job(bench)), 7, bench.log);
  rows.push({ case: name, who: "bare node", measured: bare });
  rows.push({
    case: name,
    who: "bakehouse",
    measured: ours,
    goal: `≤ 150 ms over bare node; here ${Math.round((ours.wallSeconds - bare.wallSeconds) * 1000)} ms`,
  });
  if (existsSync(join(bench.folder, "containers")))
    peer(rows, bench, name, "buildah --layers", "buildah", ours, () => buildah(bench, repositoryOf(bench), () => undefined));
};

const oneFile: Case = (bench, rows) => {
  const name = "one file of the app changed → new image digest";
  const edit = (): void => editApp(job(bench));
  const layer = measure({ ...cli(bench, "bake", job(bench)), before: edit }, 5, bench.log);
  rows.push({ case: name, who: "bakehouse, release as layer", measured: layer, goal: "≤ 0.8 s wall" });
  measure(cli(bench, "bake", join(job(bench), "volume.yaml")), 1, bench.log);
  const volume = measure({ ...cli(bench, "bake", join(job(bench), "volume.yaml")), before: edit }, 5, bench.log);
  rows.push({ case: name, who: "bakehouse, release as volume", measured: volume, goal: "≤ 0.5 s wall" });
  if (existsSync(join(bench.folder, "containers")))
    peer(rows, bench, name, "buildah --layers", "buildah", layer, () => buildah(bench, repositoryOf(bench), edit));
};

const onePackage: Case = (bench, rows) => {
  const name = "jq added to base-app, everything above rebuilt";
  const runs = Array.from({ length: bench.runs }, (_, index) => index);
  const lock = measure({ ...cli(bench, "lock", job(bench)), before: () => relock(bench) }, runs.length, bench.log);
  const bake = measure({ ...cli(bench, "bake", job(bench), "--from", "base-app/apt"), before: () => undefined }, runs.length, bench.log);
  rows.push({ case: name, who: "bakehouse bake", measured: bake, goal: "≤ 2.5 CPU s" });
  rows.push({ case: name, who: "bakehouse lock before it", measured: lock });
  if (existsSync(join(bench.folder, "containers"))) {
    const repository = repositoryOf(bench);
    let turn = 0;
    peer(rows, bench, name, "buildah --layers", "buildah", bake, () =>
      buildah(bench, repository, () => containerfile(bench, turn++ % 2 === 0 ? ["nginx-light", "jq"] : ["jq", "nginx-light"])),
    );
  }
};

/** The state before jq: its recipe and lock, then the recipe that asks for jq. */
function relock(bench: Bench): void {
  writeRecipes(job(bench), ["nginx-light"]);
  rmSync(join(job(bench), "bakehouse.lock"), { force: true });
  measure(cli(bench, "lock", job(bench)), 1, bench.log);
  writeRecipes(job(bench), ["nginx-light", "jq"]);
}

const papers: Case = (bench, rows) => {
  const name = "SBOM, provenance and signatures of the release";
  measure(cli(bench, "bake", job(bench)), 1, bench.log);
  // an unknown key signed what is there: all of it is written anew
  const forget = (): void => rmSync(join(bench.store, "keys"), { recursive: true, force: true });
  const attest = measure({ ...cli(bench, "attest", "job/release", "--only"), before: forget }, bench.runs, bench.log);
  rows.push({ case: name, who: "bakehouse attest", measured: attest, goal: "≤ 1 CPU s" });
  measure(cli(bench, "attest", "job/release"), 1, bench.log);
  const verify = measure(cli(bench, "image", "verify", "job/release"), bench.runs, bench.log);
  rows.push({
    case: "every digest, signature and parent of the release",
    who: "bakehouse image verify",
    measured: verify,
    goal: `≥ 400 MB/s; here ${Math.round(verifiedBytes(bench) / 1e6 / verify.wallSeconds)} MB/s with start-up`,
  });
};

/** Of the blobs that are hashed. */
function verifiedBytes(bench: Bench): number {
  const { argv, env } = cli(bench, "image", "verify", "job/release", "--json");
  const [program = "", ...words] = argv;
  const verified = execFileSync(program, words, { encoding: "utf8", env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "ignore"] });
  return (JSON.parse(verified) as { readonly bytes: number }).bytes;
}

/** The image of the job with a kernel in it, as `examples/machine` has it. */
const artifacts: Case = (bench, rows) => {
  const name = "a disk of a 280 MB image";
  const folder = join(bench.folder, "machine");
  cpSync(join(import.meta.dirname, "..", "examples", "machine"), folder, { recursive: true });
  measure(cli(bench, "bake", folder, "--update-lock"), 1, bench.log);
  const target = join(bench.folder, "disk");
  const before = (): void => rmSync(target, { force: true });
  const written = (...words: readonly string[]): Measurement =>
    measure({ ...cli(bench, "export", "machine/release", "--output", target, ...words), before }, bench.runs, bench.log);
  const raw = written("--format", "raw");
  rows.push({ case: name, who: "bakehouse export --format raw", measured: raw, goal: "≤ 3 CPU s" });
  rows.push({ case: name, who: "… --root squashfs", measured: written("--format", "raw", "--root", "squashfs"), goal: "≤ 3 CPU s" });
  rows.push({ case: name, who: "… --root ext4", measured: written("--format", "raw", "--root", "ext4") });
  const qcow2 = written("--format", "qcow2");
  const more = (qcow2.cpuSeconds - raw.cpuSeconds).toFixed(1);
  rows.push({ case: name, who: "bakehouse export --format qcow2", measured: qcow2, goal: `≤ 2 CPU s more than raw; here ${more}` });
  const verified = measure(cli(bench, "image", "verify", "--artifact", target), bench.runs, bench.log);
  rows.push({ case: "every file of that disk read back", who: "bakehouse image verify --artifact", measured: verified });
  before();
};

const startUp: Case = async (bench, rows) => {
  const bare = measure({ argv: [NODE, "-e", "0"] }, 15, bench.log);
  const over = (measured: Measurement): string =>
    `≤ 60 ms over bare node; here ${Math.round((measured.wallSeconds - bare.wallSeconds) * 1000)} ms`;
  const version = measure(cli(bench, "--version"), 15, bench.log);
  rows.push({ case: "start-up", who: "bare node", measured: bare });
  rows.push({ case: "start-up", who: "bakehouse --version", measured: version, goal: over(version) });
  const many = { ...bench, store: join(bench.folder, "thousand") };
  await thousandImages(many.store);
  measure(cli(many, "images"), 1, bench.log);
  const images = measure(cli(many, "images"), 15, bench.log);
  rows.push({ case: "start-up", who: "bakehouse images, 1,000 images", measured: images, goal: over(images) });
};

async function thousandImages(store: string): Promise<void> {
  const parts = embedded({ store });
  const digest = (number: number): Sha256 => `sha256:${number.toString(16).padStart(64, "0")}`;
  const entries = Array.from({ length: 1000 }, (_, number) => {
    const config = parts.store.blobs.putText("{}");
    const manifest = parts.store.blobs.putJson({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: { mediaType: MEDIA_TYPES.config, digest: config.digest, size: config.sizeBytes },
      layers: [{ mediaType: MEDIA_TYPES.layer, digest: digest(number), size: number * 1000 }],
    });
    return {
      mediaType: MEDIA_TYPES.manifest,
      digest: manifest.digest,
      size: manifest.sizeBytes,
      annotations: {
        [ANNOTATIONS.name]: `app-${number % 250}/layer-${Math.floor(number / 250)}`,
        [ANNOTATIONS.recipe]: `app-${number % 250}`,
        [ANNOTATIONS.layer]: `layer-${Math.floor(number / 250)}`,
        [ANNOTATIONS.hermetic]: "true",
        [ANNOTATIONS.bakedAt]: new Date(1_700_000_000_000 + number * 1000).toISOString(),
        [ANNOTATIONS.bakedBy]: "bench",
        [ANNOTATIONS.bake]: "bench",
        [ANNOTATIONS.tool]: "bench",
      },
    };
  });
  await parts.store.images.put(entries);
  await parts.close();
}

/** As many at a time as processors can start; memory is that of all of them together. */
async function fiftyCells(bench: Bench, rows: Row[]): Promise<void> {
  const { memoryBytes, ...measured } = await startCells(bench.store, join(bench.folder, "cells"), 50, cpus().length);
  const goal = `≤ 25 s wall, ≤ 1.2 GB in all; here ${(memoryBytes / 1e9).toFixed(2)} GB`;
  rows.push({ case: "cells", who: "bakehouse, 50 cells with systemd and nginx", measured, goal });
}

/** The recipe of the shop as it stands, apart from its channels' freeze: a figure does not depend on the day of the week. */
function bakedShop(bench: Bench): string {
  const folder = join(bench.folder, "shop");
  if (existsSync(folder)) return folder;
  cpSync(join(import.meta.dirname, "..", "examples", "shop"), folder, { recursive: true, filter: (path) => !path.endsWith(".lock") });
  measure(cli(bench, "bake", folder, "--update-lock"), 1, bench.log);
  return folder;
}

/** Every run starts another cell; nothing of an earlier one is kept but its papers. */
const checkShop: Case = (bench, rows) => {
  bakedShop(bench);
  measure(cli(bench, "check", "shop/release"), 1, bench.log);
  const ours = measure(cli(bench, "check", "shop/release"), 5, bench.log);
  rows.push({
    case: "the shop's ten checks, from cold cell to verdict",
    who: "bakehouse check",
    measured: ours,
    goal: "≤ 1.5 s wall, ≤ 1 CPU s",
  });
};

/** What `npm start` does after an edit, as separate commands. */
const candidate: Case = (bench, rows) => {
  const folder = bakedShop(bench);
  const commands = [
    ["bake", folder],
    ["check", "shop/release"],
    ["attest", "shop/release"],
    ["promote", "shop/release", "--to", "dev"],
  ].map((words) => cli(bench, ...words));
  const all: Command = { ...cli(bench), argv: ["sh", "-c", commands.map(({ argv }) => argv.map(quote).join(" ")).join(" && ")] };
  measure(all, 1, bench.log);
  let turn = 0;
  const edit = (): void => writeFileSync(join(folder, "app", "content", "edited.html"), `<p>edit ${turn++}\n`);
  const ours = measure({ ...all, before: edit }, 5, bench.log);
  const name = "one file of the shop changed → checked, signed, in dev";
  rows.push({ case: name, who: "bakehouse bake, check, attest, promote", measured: ours, goal: "≤ 5 s wall" });
};

/** From the command to the verdict: the root image, the start under QEMU without KVM (or with it, where it works), the first answer. */
const vmBoot: Case = (bench, rows) => {
  const folder = join(bench.folder, "machine");
  cpSync(join(import.meta.dirname, "..", "examples", "machine"), folder, { recursive: true, filter: (path) => !path.endsWith(".lock") });
  measure(cli(bench, "bake", folder, "--update-lock"), 1, bench.log);
  measure(cli(bench, "check", "machine/release"), 1, bench.log); // finds out whether this host has KVM
  const ours = measure(cli(bench, "check", "machine/release"), bench.runs, bench.log);
  rows.push({ case: "trimmed start as a virtual machine, to HTTP 200", who: "bakehouse check", measured: ours, goal: "≤ 13 CPU s" });
};

const simulation: Case = (bench, rows) => {
  const fleet = measure(cli(bench, "simulate", join(import.meta.dirname, "large-fleet.yaml")), bench.runs, bench.log);
  rows.push({
    case: "a canary over 100,000 hosts with 1 % failing, simulated",
    who: "bakehouse simulate",
    measured: fleet,
    goal: "≤ 30 s, ≤ 1 GB",
  });
  const measured = decideOnce(100_000, 1000);
  const told = `${(measured.wallSeconds * 1000).toFixed(1)} ms`;
  rows.push({ case: "one decision over 100,000 hosts, 1,000 reports", who: "decide", measured, goal: `≤ 20 ms; here ${told}` });
};

/** Cells behind HAProxy, and a client that asks throughout; nothing of it is asked of the processor by cells that are there already. */
const fleet: Case = async (bench, rows) => {
  const folder = bakedShop(bench);
  const run = (...words: readonly string[]): Command => ({ ...cli(bench, ...words), cwd: folder });
  const once = (...words: readonly string[]): Measurement => measure(run(...words), 1, bench.log);
  const candidateOf = (image: string): void => {
    once("check", image);
    once("attest", image);
    once("promote", image, "--to", "dev");
  };
  const shown = ({ requests, failed, bad }: Asked): string =>
    `${requests.toLocaleString("en")} requests meanwhile, ${failed} failed${bad.length === 0 ? "" : ` (${bad.join(", ")})`}`;
  declareFleet(folder, 20);
  once("bake", folder);
  candidateOf("shop/release-volume");
  try {
    const started = once("fleet", "converge", "web");
    rows.push({ case: "a fleet of 20 cells, from nothing to all healthy", who: "bakehouse fleet converge", measured: started });
    once("bake", folder, "--set", "version=2.0.0");
    candidateOf("shop/release-volume");
    const volume = await whileAsking(() => once("rollout", "start", "web"));
    rows.push({
      case: "20 cells to another release volume, canary with a gate, soak 1 s",
      who: "bakehouse rollout start",
      measured: volume.result,
      goal: `≤ 8 s wall, no failed request; here ${shown(volume.asked)}`,
    });
    const root = await whileAsking(() => once("rollout", "start", "web", "--image", "shop/release"));
    rows.push({
      case: "20 cells to another root image, by other machines",
      who: "bakehouse rollout start",
      measured: root.result,
      goal: `≤ 30 s wall, no failed request; here ${shown(root.asked)}`,
    });
    const mend = breakLater(folder);
    once("bake", folder, "--set", "version=3.0.0");
    mend();
    const broken = await whileAsking(() => {
      const { argv, ...rest } = run("rollout", "start", "web", "--image", "shop/release");
      return measure({ ...rest, argv: ["sh", "-c", `${argv.map(quote).join(" ")}; test $? = 1`] }, 1, bench.log);
    });
    const { haltedMs, backMs } = haltOf(bench.store);
    const signalMs = broken.asked.firstFailedMs ?? Number.NaN;
    rows.push({
      case: "20 cells, a release that breaks after 2 s: the first bad answer → halted → all back",
      who: "bakehouse rollout start",
      measured: broken.result,
      goal: `≤ 1 s, ≤ 5 s; here ${seconds((haltedMs - signalMs) / 1000)} s, ${seconds((backMs - signalMs) / 1000)} s; ${shown(broken.asked)}`,
    });
  } finally {
    endFleet(bench, folder);
  }
  await commitToFleet(bench, rows, folder);
};

/** What somebody waits for who changed a line: a tested, signed candidate in dev, on ten machines. */
async function commitToFleet(bench: Bench, rows: Row[], folder: string): Promise<void> {
  const run = (...words: readonly string[]): Command => ({ ...cli(bench, ...words), cwd: folder });
  const once = (...words: readonly string[]): Measurement => measure(run(...words), 1, bench.log);
  const image = "shop/release-volume";
  declareFleet(folder, 10);
  once("bake", folder);
  try {
    once("fleet", "converge", "web");
    writeFileSync(join(folder, "app", "content", "committed.html"), "<p>committed\n");
    const words = [
      ["bake", folder],
      ["check", image],
      ["attest", image],
      ["promote", image, "--to", "dev"],
      ["rollout", "start", "web"],
    ];
    const all: Command = {
      ...run(),
      argv: [
        "sh",
        "-c",
        words
          .map((each) =>
            run(...each)
              .argv.map(quote)
              .join(" "),
          )
          .join(" && "),
      ],
    };
    const { result, asked } = await whileAsking(() => measure(all, 1, bench.log));
    rows.push({
      case: "commit → tested candidate → on a fleet of 10, by canary",
      who: "bakehouse bake, check, attest, promote, rollout start",
      measured: result,
      goal: `≤ 15 s wall; ${asked.failed} of ${asked.requests.toLocaleString("en")} requests failed`,
    });
  } finally {
    endFleet(bench, folder);
  }
}

/** Also of a rollout that did not end as it should: what went wrong is told by whoever saw it. */
function endFleet(bench: Bench, folder: string): void {
  for (const words of [
    ["rollout", "abort", "web"],
    ["rollout", "watch", "web", "--carry"],
    ["fleet", "dissolve", "web"],
  ]) {
    const { argv, env } = cli(bench, ...words);
    const [program = "", ...rest] = argv;
    spawnSync(program, rest, { cwd: folder, env: { ...process.env, ...env }, stdio: "ignore" });
  }
}

const CASES: Readonly<Record<string, Case>> = {
  cold,
  foundation,
  unchanged,
  "one-file": oneFile,
  "one-package": onePackage,
  papers,
  artifacts,
  "start-up": startUp,
  cells: fiftyCells,
  check: checkShop,
  candidate,
  "vm-boot": vmBoot,
  simulate: simulation,
  fleet,
};

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
const seconds = (value: number): string => (value < 1 ? value.toFixed(3) : value.toFixed(1));

function printed(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    if (row.measured === undefined) return `| ${row.case} | ${row.who} | | | | | ${row.absent ?? ""} |`;
    const { wallSeconds, cpuSeconds, largestBytes } = row.measured;
    return `| ${row.case} | ${row.who} | ${seconds(wallSeconds)} | ${seconds(cpuSeconds)} | ${Math.round(largestBytes / 1_000_000)} | ${row.ratio === undefined ? "" : row.ratio.toFixed(2)} | ${row.goal ?? ""} |`;
  });
  return [
    "| case | who | wall s | CPU s | largest process MB | ours / theirs (CPU) | goal |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}

function versions(): string {
  const first = (program: string, ...words: readonly string[]): string =>
    spawnSync(program, words, { encoding: "utf8" }).stdout?.split("\n")[0]?.trim() ?? "";
  return [`node ${process.versions.node}`, first("mmdebstrap", "--version"), first("buildah", "--version")]
    .filter((text) => text !== "")
    .join("; ");
}

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter((name) => CASES[name] === undefined);
  if (unknown.length > 0) throw new Error(`No case is called ${unknown.join(", ")}; there are ${Object.keys(CASES).join(", ")}`);
  const folder = mkdtempSync(join(tmpdir(), "bakehouse-bench-"));
  const bench: Bench = { folder, store: join(folder, "store"), log: join(folder, "log.txt"), runs: 3 };
  try {
    console.error(`Preparing the job in ${folder} (packages are fetched once) …`);
    writeJob(job(bench));
    for (const name of ["bakehouse.yaml", "volume.yaml", "foundation.yaml"])
      measure(cli(bench, "lock", join(job(bench), name)), 1, bench.log);
    const rows: Row[] = [];
    for (const [name, run] of Object.entries(CASES)) {
      if (names.length > 0 && !names.includes(name)) continue;
      console.error(`${name} …`);
      await run(bench, rows);
    }
    const table = printed(rows);
    console.log(table);
    if (names.length === 0) writeFileSync(PAGE, page(table));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const page = (table: string): string => `# Benchmarks

Written by \`npm run bench\` (\`npm run bench -- cold\` runs one case). Every case and its peers run one after the other on the same
machine; the median of three runs or more is shown. Machines differ and are noisy: compare CPU seconds and ratios, not wall time.

The job: Debian bookworm minbase; base adds curl, ca-certificates, chrony, openssh-server; base-app adds nginx-light; release adds a
50 MB app of 2,000 files that do not compress. The .deb files are on disk before the clock starts, nothing else is.
"largest process" is the largest resident set of any one process that took part.

This run: ${new Date().toISOString().slice(0, 10)}, ${cpus().length} processors, ${Math.round(totalmem() / 1e9)} GB, ${versions()}.

${table}

What the peers do and do not do: mmdebstrap gets the packages from a local folder, scratch space in memory and /usr merged from the
start, which is its fastest way; it has no cache, so a change costs a whole run. buildah starts from mmdebstrap's tar, with
\`--isolation chroot\` and its layer cache. Neither verifies packages against a lock, and both leave ssh host keys in the image.

One file changed costs less when nothing ran before it: \`npm run bench -- one-file\` gave 0.67 s and 0.8 CPU s as layer, 0.56 s and 0.7 CPU s as
volume on the machine of this page. Why it is dearer after the peers' runs is not known.
So does the canary of 20 cells in place: \`npm run bench -- fleet\` gave 8.0, 7.8 and 7.8 s, the whole bench 8.3 s.
`;

await main(process.argv.slice(2));
