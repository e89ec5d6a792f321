import { createHash } from "node:crypto";
import { appendFileSync, copyFileSync, linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lock, LockedPackage } from "../src/core/lock/model.ts";

const FILES = 2000;
const FILE_BYTES = 25_000;

/** Writes the job of docs/benchmarks.md: a 50 MB app of 2,000 files (bytes that do not compress, the same each time) and its recipes. */
export function writeJob(folder: string): void {
  for (let number = 0; number < FILES; number += 1) {
    const place = join(folder, "app", `part-${String(number % 40).padStart(2, "0")}`);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, `file-${String(number).padStart(4, "0")}`), pseudoRandom(`file ${number}`, FILE_BYTES));
  }
  writeRecipes(folder, ["nginx-light"]);
}

export function writeRecipes(folder: string, baseApp: readonly string[]): void {
  writeFileSync(join(folder, "bakehouse.yaml"), recipe("job", baseApp, ""));
  writeFileSync(join(folder, "volume.yaml"), recipe("job-volume", baseApp, "    release: { volume: /srv/app }\n"));
  writeFileSync(
    join(folder, "foundation.yaml"),
    `name: job-foundation\nlayers:\n  foundation:\n    steps:\n      - debian: { suite: bookworm }\n`,
  );
}

const recipe = (name: string, baseApp: readonly string[], release: string): string => `name: ${name}
layers:
  foundation:
    steps:
      - debian: { suite: bookworm }
  base:
    from: foundation
    steps:
      - apt: [curl, ca-certificates, chrony, openssh-server]
  base-app:
    from: base
    steps:
      - apt: [${baseApp.join(", ")}]
  release:
    from: base-app
${release}    steps:
      - copy: { from: app, to: /srv/app }
    image: {}
`;

let edits = 0;
/** Changes one file of the app. */
export const editApp = (folder: string): void => appendFileSync(join(folder, "app", "part-01", "file-0001"), `edit ${edits++}\n`);

function pseudoRandom(seed: string, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let size = 0, number = 0; size < length; size += 64, number += 1)
    blocks.push(createHash("sha512").update(`${seed} ${number}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

export interface LocalRepository {
  readonly folder: string;
  readonly foundation: readonly string[];
  readonly all: readonly string[];
}

/** A flat apt repository with exactly the job's packages, for the peers. `control`: a stanza of Packages for each. */
export function writeRepository(
  folder: string,
  lock: Lock,
  debOf: (pack: LockedPackage) => string,
  control: (deb: string) => string,
): LocalRepository {
  mkdirSync(folder, { recursive: true });
  const packages = Object.values(lock.steps).flatMap((step) => step.packages ?? []);
  const stanzas = packages.map((pack) => {
    const file = `${pack.name}_${pack.version.replaceAll(":", "%3a")}_${pack.architecture}.deb`;
    linkOrCopy(debOf(pack), join(folder, file));
    return `${control(debOf(pack)).trim()}\nFilename: ./${file}\nSize: ${pack.sizeBytes}\nSHA256: ${pack.sha256.slice("sha256:".length)}\n`;
  });
  writeFileSync(join(folder, "Packages"), `${stanzas.join("\n")}\n`);
  const foundation = Object.entries(lock.steps).flatMap(([address, step]) =>
    address.startsWith("foundation/") ? (step.packages ?? []).map((pack) => pack.name) : [],
  );
  return { folder, foundation, all: packages.map((pack) => pack.name) };
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

export const readLock = (file: string): Lock => JSON.parse(readFileSync(file, "utf8")) as Lock;
