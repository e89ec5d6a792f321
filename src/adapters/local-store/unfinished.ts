/** Folders of the store in which files and folders come to their place by a rename, from a name beside it. */
export const WRITTEN_PLACES = [
  "",
  "oci",
  "oci/blobs/sha256",
  "diffs",
  "steps",
  "plans",
  "packages",
  "downloads",
  "downloads/oci",
  "lent",
  "recorded",
  "keys",
  "artifacts",
  "work",
] as const;

/** `.tmp-<pid>-…`, `.new-<pid>-…`, `<name>.new-<pid>-…`, `<name>.part-<pid>`, `<name>.<pid>.<hex>.tmp`: on their way to their place, by that process. */
const BY_PROCESS = /(?:^|\.)(?:(?:tmp|new|part)-(?<by>\d+)(?:-|$)|(?<from>\d+)\.[0-9a-f]+\.tmp$)/;
/** The same by programs that name no process: mkdtemp(3) and others. */
const BY_ANYBODY = /^\.tmp-|^\.part-|\.new-[A-Za-z0-9]{6}$/;

/** The process that writes something with this name; nothing: it is in its place, or the name does not say. */
export function writerOf(name: string): number | undefined {
  const { by, from } = BY_PROCESS.exec(name)?.groups ?? {};
  const pid = by ?? from;
  return pid === undefined ? undefined : Number(pid);
}

export const isUnfinished = (name: string): boolean => BY_PROCESS.test(name) || BY_ANYBODY.test(name);
