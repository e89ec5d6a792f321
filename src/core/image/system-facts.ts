import { textOfRaw } from "../layer/raw-path.ts";
import type { TreeEntry } from "../layer/merge-layers.ts";

/** Facts by name, each as a text that people can compare. */
export type Facts = ReadonlyMap<string, string>;

/** What a running machine would be like, as far as files alone say it. */
export interface SystemFacts {
  /** Units that are enabled or masked in /etc, by name. */
  readonly services: Facts;
  readonly users: Facts;
  readonly groups: Facts;
  /** `22/tcp`: sockets that systemd opens. */
  readonly ports: Facts;
  /** Files that run with more rights than who starts them: setuid, setgid, file capabilities. By path. */
  readonly privileged: Facts;
}

const UNITS = /^etc\/systemd\/system\/([^/]+)$/;
const WANTS = /^etc\/systemd\/system\/([^/]+)\.(wants|requires)\/([^/]+)$/;
const SOCKET_WANTS = /^(?:etc|usr\/lib|lib)\/systemd\/system\/[^/]+\.(?:wants|requires)\/([^/]+\.socket)$/;
const SOCKET = /^(etc|usr\/lib|lib)\/systemd\/system\/([^/]+\.socket)$/;

/** Whether the content of a file is needed. */
export const isFactSource = ({ path }: { readonly path: string }): boolean =>
  path === "etc/passwd" || path === "etc/group" || SOCKET.test(path);

export function systemFacts(tree: readonly TreeEntry[]): SystemFacts {
  const text = (path: string): string => new TextDecoder().decode(tree.find((entry) => entry.path === path)?.content ?? new Uint8Array());
  return {
    services: servicesOf(tree),
    users: accounts(text("etc/passwd"), ([, , uid, gid, , home, shell]) => `uid ${uid}, gid ${gid}, ${home}, ${shell}`),
    groups: accounts(text("etc/group"), ([, , gid, members]) => `gid ${gid}${members === "" ? "" : `: ${members}`}`),
    ports: portsOf(tree),
    privileged: privilegedOf(tree),
  };
}

function servicesOf(tree: readonly TreeEntry[]): Facts {
  const found = new Map<string, string[]>();
  const add = (unit: string, fact: string): void => void found.set(unit, [...(found.get(unit) ?? []), fact]);
  for (const { path, kind, linkTarget } of tree) {
    if (kind !== "symlink") continue;
    const [, by, how, unit] = WANTS.exec(path) ?? [];
    if (unit !== undefined) add(unit, `${how === "wants" ? "wanted" : "required"} by ${by ?? ""}`);
    const [, own] = UNITS.exec(path) ?? [];
    if (own !== undefined && linkTarget === "/dev/null") add(own, "masked");
    if (own === "default.target") add(own, linkTarget?.split("/").at(-1) ?? "");
  }
  return new Map([...found].map(([unit, facts]) => [unit, facts.sort().join(", ")]));
}

/** Passwords stay out: `x` or a hash, neither says anything that should be shown. */
function accounts(text: string, describe: (fields: readonly string[]) => string): Facts {
  const lines = text.split("\n").filter((line) => line.includes(":"));
  return new Map(
    lines.map((line) => {
      const fields = line.split(":");
      return [fields[0] ?? "", describe(Array.from({ length: 7 }, (_, at) => fields[at] ?? ""))];
    }),
  );
}

function portsOf(tree: readonly TreeEntry[]): Facts {
  const enabled = new Set(tree.flatMap(({ path, kind }) => (kind === "symlink" ? (SOCKET_WANTS.exec(path)?.[1] ?? []) : [])));
  const units = new Map<string, string>();
  // what lies in /etc replaces what the vendor ships
  for (const { path, content } of [...tree].sort((a, b) => Number(a.path.startsWith("etc/")) - Number(b.path.startsWith("etc/")))) {
    const name = content === undefined ? undefined : SOCKET.exec(path)?.[2];
    if (name !== undefined && enabled.has(name)) units.set(name, new TextDecoder().decode(content));
  }
  const found = new Map<string, string>();
  for (const [name, unit] of units)
    for (const [, kind, address] of unit.matchAll(/^Listen(Stream|Datagram)=\s*(?:\S*:)?(\d+)\s*$/gm))
      found.set(`${address ?? ""}/${kind === "Stream" ? "tcp" : "udp"}`, `socket ${name}`);
  return found;
}

const SETUID = 0o4000;
const SETGID = 0o2000;

function privilegedOf(tree: readonly TreeEntry[]): Facts {
  return new Map(
    tree.flatMap((entry): readonly (readonly [string, string])[] => {
      if (entry.kind !== "file" && entry.kind !== "hardlink") return [];
      const facts = [
        ...((entry.mode & SETUID) === 0 ? [] : ["setuid"]),
        ...((entry.mode & SETGID) === 0 ? [] : ["setgid"]),
        ...(entry.xattrs?.has("security.capability") === true ? ["capabilities"] : []),
      ];
      if (facts.length === 0) return [];
      return [[`/${textOfRaw(entry.path)}`, `${facts.join(", ")}, mode ${entry.mode.toString(8)}, owner ${entry.uid}:${entry.gid}`]];
    }),
  );
}

/** One fact that is not the same; null where there is none. */
export interface FactChange {
  readonly name: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** In the order of the names. */
export const compareFacts = (before: Facts, after: Facts): readonly FactChange[] =>
  [...new Set([...before.keys(), ...after.keys()])]
    .sort()
    .map((name) => ({ name, before: before.get(name) ?? null, after: after.get(name) ?? null }))
    .filter((change) => change.before !== change.after);
