import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { installedStanza, scanPackages } from "../../core/debian/packages.ts";
import { hexOf } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { LockedPackage } from "../../core/lock/model.ts";
import type { PackageStore } from "../../ports/package-store.ts";
import { readIfThere, writeAtomically } from "../local-store/files.ts";
import type { PackageIndex } from "./package-index.ts";
import { runProgram } from "./run-program.ts";

export interface StanzaSources {
  /** `<store>/apt/stanzas/<hex>`: the control stanza of every package that was ever locked here. */
  readonly folder: string;
  readonly indexes: readonly PackageIndex[];
  readonly packageStore: PackageStore;
  readonly signal: AbortSignal;
}

export function keepStanza(folder: string, item: LockedPackage, stanza: string): void {
  const path = join(folder, hexOf(item.sha256));
  if (readIfThere(path) !== undefined) return;
  mkdirSync(folder, { recursive: true });
  writeAtomically(path, stanza);
}

/**
 * The control fields of a locked package: as they were when it was locked, else from lists that still have it, else out of
 * its bytes.
 *
 * @returns undefined when nothing on this machine knows them
 */
export async function stanzaOf(item: LockedPackage, sources: StanzaSources): Promise<string | undefined> {
  const kept = readIfThere(join(sources.folder, hexOf(item.sha256)));
  if (kept !== undefined) return kept;
  const found = stanzaFromLists(item, sources.indexes) ?? (await stanzaFromBytes(item, sources));
  if (found !== undefined) keepStanza(sources.folder, item, found);
  return found;
}

function stanzaFromLists(item: LockedPackage, indexes: readonly PackageIndex[]): string | undefined {
  for (const index of indexes) {
    for (const row of index.find(item.name)) {
      if (row.version !== item.version) continue;
      const stanza = index.stanza(row);
      if (stanza.includes(hexOf(item.sha256))) return stanza;
    }
  }
  return undefined;
}

async function stanzaFromBytes(item: LockedPackage, { packageStore, signal }: StanzaSources): Promise<string | undefined> {
  const path = packageStore.find(item.sha256);
  return path === undefined ? undefined : readControl(path, signal);
}

/** @throws BakehouseError INPUT_INVALID when dpkg cannot read the file */
export async function readControl(debFile: string, signal: AbortSignal): Promise<string> {
  const { exitCode, stdout, stderr } = await runProgram(["dpkg-deb", "--field", debFile], { debianPackage: "dpkg", signal });
  if (exitCode === 0) return stdout;
  throw new BakehouseError("INPUT_INVALID", `${debFile} is no Debian package: ${stderr.trim().replace(/^dpkg-deb: error: /, "")}`, {
    hint: "replace it with a whole .deb file",
  });
}

/** How many packages are read at once where their bytes have to be opened. */
const AT_ONCE = 4;

/**
 * A dpkg status file in which exactly these are installed. A later package replaces an earlier one of its name.
 *
 * @param base  status file of what lies below all of them
 * @throws BakehouseError PACKAGE_NOT_FOUND for packages that nothing here knows any more
 */
export async function statusOf(installed: readonly LockedPackage[], base: string, sources: StanzaSources): Promise<string> {
  const stanzas = new Map<string, string>();
  scanPackages(base, ({ name, offset, length }) => stanzas.set(name, base.slice(offset, offset + length)));
  const packages = [...new Map(installed.map((item) => [item.name, item])).values()];
  const unknown: string[] = [];
  const turns = packages[Symbol.iterator]();
  const work = async (): Promise<void> => {
    for (const item of turns) {
      const control = await stanzaOf(item, sources);
      if (control === undefined) unknown.push(`${item.name} ${item.version}`);
      else stanzas.set(item.name, installedStanza(control));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (unknown.length > 0) {
    const message = `The layers below have ${unknown.join(", ")}, which neither the repositories nor the package store know any more`;
    throw new BakehouseError("PACKAGE_NOT_FOUND", message, {
      hint: "bakehouse lock --update, to move to versions that there are",
      details: { packages: unknown },
    });
  }
  return [...stanzas.values()].map((stanza) => (stanza.endsWith("\n") ? stanza : `${stanza}\n`)).join("\n");
}
