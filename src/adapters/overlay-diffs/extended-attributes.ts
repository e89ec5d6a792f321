import type { Xattrs } from "../../core/layer/model.ts";
import type { RawPath } from "../../core/layer/raw-path.ts";
import { formatAttributeDump, parseAttributeDump } from "./attribute-dump.ts";
import { runProgram } from "./run-program.ts";

const GETFATTR = ["getfattr", "-R", "-h", "-P", "-d", "-m", "-", "-e", "hex", "--absolute-names", "."] as const;

/** All extended attributes of a tree, by path relative to it, with one process: Node has no call for them. */
export async function readAttributes(directory: string, signal?: AbortSignal): Promise<ReadonlyMap<RawPath, Xattrs>> {
  return parseAttributeDump(await runProgram(GETFATTR, { cwd: directory, ...(signal === undefined ? {} : { signal }) }));
}

/** The same where a squashfs is part of the tree: one that holds no attribute at all says of every file that it does not know them. */
export async function readAttributesIfAny(directory: string, signal: AbortSignal): Promise<ReadonlyMap<RawPath, Xattrs>> {
  const script = '"$@" 2>&1 >&3 | grep -v "Operation not supported" >&2';
  // what is complained about besides comes to light when the contents are read
  return parseAttributeDump(await runProgram(["sh", "-c", `{ ${script} || true; } 3>&1`, "sh", ...GETFATTR], { cwd: directory, signal }));
}

/** Sets attributes below `directory`, not following links, with one process. */
export async function writeAttributes(directory: string, entries: Iterable<readonly [RawPath, Xattrs]>): Promise<void> {
  const dump = formatAttributeDump(entries);
  if (dump === "") return;
  await runProgram(["setfattr", "-h", "--restore=-"], { cwd: directory, input: Buffer.from(dump, "latin1") });
}

/** Removes attributes: one process per attribute name (a handful) and about 100 kB of paths. */
export async function removeAttributes(directory: string, byName: ReadonlyMap<string, readonly RawPath[]>): Promise<void> {
  for (const [name, paths] of byName) {
    const input = Buffer.from(paths.map((path) => `./${path}\0`).join(""), "latin1");
    await runProgram(["xargs", "-0", "-r", "setfattr", "-h", "-x", name, "--"], { cwd: directory, input });
  }
}

/** Takes every mark of overlayfs off a directory, for content that is to stand by itself. */
export async function withoutOverlayMarks(directory: string, signal?: AbortSignal): Promise<void> {
  const marked = new Map<string, RawPath[]>();
  for (const [path, attributes] of await readAttributes(directory, signal)) {
    for (const name of attributes.keys()) {
      if (!name.startsWith("trusted.overlay.")) continue;
      const paths = marked.get(name);
      if (paths === undefined) marked.set(name, [path]);
      else paths.push(path);
    }
  }
  await removeAttributes(directory, marked);
}
