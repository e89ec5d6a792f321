import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { gzipSync } from "node:zlib";

/** Control fields besides Package, Version, Architecture, Maintainer, Description. */
export interface TestPackage {
  readonly name: string;
  readonly version: string;
  readonly fields?: Readonly<Record<string, string>>;
}

/** A folder of our own for gpg, with one signing key. */
export interface TestKey {
  readonly id: string;
  readonly armoured: string;
  readonly binaryFile: string;
  readonly armouredFile: string;
  clearSign(text: string): string;
  detachSign(text: string): Buffer;
  remove(): void;
}

export function createKey(name: string, options: { readonly expired?: boolean } = {}): TestKey {
  const home = mkdtempSync(join(tmpdir(), "bakehouse-gpg-"));
  chmodSync(home, 0o700);
  const time = options.expired === true ? ["--faked-system-time", "20200101T000000"] : [];
  const gpg = (argv: readonly string[], input = ""): Buffer =>
    execFileSync("gpg", ["--homedir", home, "--batch", "--quiet", "--no-tty", ...time, ...argv], {
      input,
      stdio: ["pipe", "pipe", "ignore"],
    });
  gpg([
    "--passphrase",
    "",
    "--quick-gen-key",
    `${name} <${name}@example.org>`,
    "ed25519",
    "sign",
    options.expired === true ? "1d" : "never",
  ]);
  const binaryFile = join(home, "key.gpg");
  const armouredFile = join(home, "key.asc");
  writeFileSync(binaryFile, gpg(["--export"]));
  writeFileSync(armouredFile, gpg(["--export", "--armor"]));
  const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(gpg(["--list-keys", "--with-colons"]).toString())?.[1] ?? "";
  return {
    id: fingerprint.slice(-16),
    armoured: readFileSync(armouredFile, "utf8"),
    binaryFile,
    armouredFile,
    clearSign: (text) => gpg(["--clearsign"], text).toString(),
    detachSign: (text) => gpg(["--detach-sign", "--armor"], text),
    remove: () => {
      execFileSync("gpgconf", ["--homedir", home, "--kill", "all"], { stdio: "ignore" });
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Builds a `.deb` in a folder; its path. */
export function buildDeb(folder: string, { name, version, fields = {} }: TestPackage): string {
  const tree = mkdtempSync(join(tmpdir(), "bakehouse-deb-"));
  try {
    mkdirSync(join(tree, "DEBIAN"));
    mkdirSync(join(tree, "usr/share", name), { recursive: true });
    writeFileSync(join(tree, "usr/share", name, "version"), `${version}\n`);
    const control = {
      Package: name,
      Version: version,
      Architecture: "amd64",
      Maintainer: "Test <test@example.org>",
      Description: "for tests",
      ...fields,
    };
    writeFileSync(
      join(tree, "DEBIAN/control"),
      Object.entries(control)
        .map(([key, value]) => `${key}: ${value}\n`)
        .join(""),
    );
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `${name}_${version.replace(/^\d+:/, "")}_amd64.deb`);
    execFileSync("dpkg-deb", ["--root-owner-group", "-Znone", "--build", tree, path], {
      env: { ...process.env, SOURCE_DATE_EPOCH: "1700000000" },
      stdio: ["ignore", "ignore", "inherit"],
    });
    return path;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

export interface TestSuite {
  /** Ends in `/` for a flat repository. */
  readonly suite: string;
  readonly packages: readonly TestPackage[];
  readonly key?: TestKey;
  readonly date?: Date;
  readonly validUntil?: Date;
  /** More fields of the release file. */
  readonly fields?: Readonly<Record<string, string>>;
  /** `in`: InRelease; `detached`: Release and Release.gpg; `none`: Release alone; `bare`: no release file at all. Default `in` with a key, else `none`. */
  readonly signature?: "in" | "detached" | "none" | "bare";
}

const built = new Map<string, Buffer>();

/** Writes a repository, or another state of it, with one component `main`. Packages of before stay in the pool. */
export function writeRepository(root: string, suite: TestSuite): void {
  const isFlat = suite.suite.endsWith("/");
  const stanzas = suite.packages.map((item) => addToPool(root, isFlat ? "" : `pool/main/${item.name}`, item));
  const folder = isFlat ? root : join(root, "dists", suite.suite);
  const list = isFlat ? "Packages" : "main/binary-amd64/Packages";
  for (const name of ["InRelease", "Release", "Release.gpg"]) rmSync(join(folder, name), { force: true });
  mkdirSync(dirname(join(folder, list)), { recursive: true });
  const text = stanzas.join("\n");
  writeFileSync(join(folder, list), text);
  writeFileSync(join(folder, `${list}.gz`), gzipSync(text));
  const signature = suite.signature ?? (suite.key === undefined ? "none" : "in");
  if (signature === "bare") return;
  const release = releaseText(folder, [list, `${list}.gz`], suite);
  if (signature === "in" && suite.key !== undefined) return writeFileSync(join(folder, "InRelease"), suite.key.clearSign(release));
  writeFileSync(join(folder, "Release"), release);
  if (signature === "detached" && suite.key !== undefined) writeFileSync(join(folder, "Release.gpg"), suite.key.detachSign(release));
}

function addToPool(root: string, folder: string, item: TestPackage): string {
  const key = JSON.stringify(item);
  const path = join(root, folder, `${item.name}_${item.version.replace(/^\d+:/, "")}_amd64.deb`);
  const known = built.get(key);
  if (known === undefined) built.set(key, readFileSync(buildDeb(dirname(path), item)));
  else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, known);
  }
  const content = readFileSync(path);
  const control = {
    Package: item.name,
    Version: item.version,
    Architecture: "amd64",
    Description: "for tests",
    ...item.fields,
    Filename: `${folder === "" ? "./" : ""}${relative(root, path)}`,
    Size: String(content.length),
    SHA256: sha256(content),
  };
  return Object.entries(control)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("");
}

const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");

function releaseText(folder: string, files: readonly string[], suite: TestSuite): string {
  const stamp = (date: Date): string => date.toUTCString().replace("GMT", "UTC");
  const fields = {
    Origin: "Test",
    Label: "Test",
    Suite: suite.suite,
    Codename: suite.suite,
    Date: stamp(suite.date ?? new Date(Date.now() - 3_600_000)),
    ...(suite.validUntil === undefined ? {} : { "Valid-Until": stamp(suite.validUntil) }),
    Architectures: "amd64",
    Components: "main",
    ...suite.fields,
  };
  const sums = files.map((file) => ` ${sha256(readFileSync(join(folder, file)))} ${statSync(join(folder, file)).size} ${file}\n`).join("");
  return `${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("")}SHA256:\n${sums}`;
}
