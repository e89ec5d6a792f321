import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { localPackageStore, packageSet } from "../../src/adapters/local-package-store/index.ts";
import type { LockedPackage } from "../../src/core/lock/model.ts";
import type { PackageSet } from "../../src/ports/package-store.ts";
import { scratchFolder } from "./image.ts";

/** A package to build with dpkg-deb. */
export interface DebSource {
  readonly name: string;
  /** Default `1.0`. */
  readonly version?: string;
  /** Default `all`. */
  readonly architecture?: string;
  /** Further control fields, such as `Depends: x`. */
  readonly fields?: readonly string[];
  /** Control files: `postinst`, `conffiles`, `triggers`, … Scripts get `#!/bin/sh` and `set -e` before them. */
  readonly control?: Readonly<Record<string, string>>;
  /** A shell script that makes the files, in the tree's top. */
  readonly build?: string;
  /** Default xz. */
  readonly compression?: "xz" | "gzip" | "zstd" | "none";
}

const SCRIPTS = new Set(["preinst", "postinst", "prerm", "postrm", "config"]);

/** Builds a package; the path of the file. */
export function buildDeb(source: DebSource): string {
  const folder = scratchFolder();
  const tree = join(folder, "tree");
  mkdirSync(join(tree, "DEBIAN"), { recursive: true, mode: 0o755 });
  chmodSync(tree, 0o755);
  const { name, version = "1.0", architecture = "all" } = source;
  const fields = [
    `Package: ${name}`,
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    "Maintainer: Nobody <nobody@example.org>",
    "Priority: optional",
    "Section: misc",
    ...(source.fields ?? []),
    "Description: a test",
  ];
  writeFileSync(join(tree, "DEBIAN/control"), `${fields.join("\n")}\n`);
  for (const [file, text] of Object.entries(source.control ?? {})) {
    writeFileSync(join(tree, "DEBIAN", file), SCRIPTS.has(file) ? `#!/bin/sh\nset -e\n${text}\n` : `${text}\n`, {
      mode: SCRIPTS.has(file) ? 0o755 : 0o644,
    });
  }
  execFileSync("/bin/sh", ["-ec", `umask 022; ${source.build ?? ":"}`], { cwd: tree });
  const file = join(folder, `${name}_${version.replaceAll(":", "%3a")}_${architecture}.deb`);
  execFileSync("dpkg-deb", [`-Z${source.compression ?? "xz"}`, "--build", tree, file], {
    stdio: "ignore",
    env: { ...process.env, SOURCE_DATE_EPOCH: "1600000000" },
  });
  return file;
}

/** A set as the engine hands it to a step. */
export async function debSet(sources: readonly DebSource[]): Promise<PackageSet> {
  const folder = scratchFolder();
  const store = localPackageStore(join(folder, "packages"));
  const locked: LockedPackage[] = [];
  for (const source of sources) {
    const file = buildDeb(source);
    const sha256 = `sha256:${createHash("sha256").update(readFileSync(file)).digest("hex")}` as const;
    await store.add(file, sha256);
    locked.push({
      name: source.name,
      version: source.version ?? "1.0",
      architecture: source.architecture ?? "all",
      sha256,
      sizeBytes: statSync(file).size,
      path: file,
      repository: "local",
    });
  }
  return packageSet(store, locked, folder);
}
