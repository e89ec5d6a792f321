import { fieldOf } from "../../core/debian/deb822.ts";
import type { PackageControl } from "./binary-package.ts";
import { parseRelations, type Relation } from "./relations.ts";

/**
 * Splits packages so that whatever one pre-depends on comes in an earlier round, with all that it depends on itself: it
 * has to be configured, not only there, when the other is unpacked (Debian policy §7.2). Nearly always one round.
 *
 * What is not among the packages is in the system already; the lock has seen to that. Circles end up in one round.
 */
export function installRounds(packages: readonly PackageControl[]): readonly (readonly PackageControl[])[] {
  const rounds: (readonly PackageControl[])[] = [];
  let rest = packages;
  while (rest.length > 0) {
    const round = firstRound(rest);
    rounds.push(rest.filter((pack) => round.has(pack)));
    rest = rest.filter((pack) => !round.has(pack));
  }
  return rounds;
}

/** A smallest set that is closed under dependencies and waits for nothing outside itself, if there is one. */
function firstRound(packages: readonly PackageControl[]): ReadonlySet<PackageControl> {
  const providers = providersOf(packages);
  let candidates: ReadonlySet<PackageControl> = new Set(packages);
  for (;;) {
    const needed = new Set<PackageControl>();
    for (const pack of candidates)
      for (const other of targets(pack, ["Pre-Depends"], providers))
        if (other !== pack && candidates.has(other)) addClosure(other, providers, needed);
    const narrower = new Set([...needed].filter((pack) => candidates.has(pack)));
    if (narrower.size === 0 || narrower.size === candidates.size) return candidates;
    candidates = narrower;
  }
}

function addClosure(pack: PackageControl, providers: Providers, closed: Set<PackageControl>): void {
  if (closed.has(pack)) return;
  closed.add(pack);
  for (const other of targets(pack, ["Pre-Depends", "Depends"], providers)) addClosure(other, providers, closed);
}

type Providers = ReadonlyMap<string, readonly PackageControl[]>;

/** By own name and by what is provided. */
function providersOf(packages: readonly PackageControl[]): Providers {
  const providers = new Map<string, PackageControl[]>();
  const note = (name: string, pack: PackageControl): void => void (providers.get(name)?.push(pack) ?? providers.set(name, [pack]));
  for (const pack of packages) {
    note(pack.name, pack);
    for (const relation of relations(pack, "Provides")) note(relation.name, pack);
  }
  return providers;
}

const targets = (pack: PackageControl, fields: readonly string[], providers: Providers): readonly PackageControl[] =>
  fields.flatMap((field) => relations(pack, field)).flatMap((relation) => providers.get(relation.name) ?? []);

const relations = (pack: PackageControl, field: string): readonly Relation[] => parseRelations(fieldOf(pack.stanza, field)).flat();
