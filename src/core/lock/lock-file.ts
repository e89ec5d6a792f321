import { z } from "zod";
import { isSha256, type Sha256 } from "../digest.ts";
import { type BakehouseError, problemsError, type Problem } from "../errors.ts";
import { canonicalJson } from "../json.ts";
import { lineAt, lineInJson } from "./place-in-json.ts";
import type { Lock, LockedPackage, LockedStep } from "./model.ts";

/** SHA-256 of a text's UTF-8 bytes. Given from outside, since the core has no hash function of its own. */
export type HashText = (text: string) => Sha256;

export type LockContent = Omit<Lock, "lockVersion" | "integrity">;

const LOCK_VERSION = 1;
/** The command that writes a lock anew. */
const RELOCK = "bakehouse lock";

/** Fills in version and integrity; sorts steps, packages and recorded answers. */
export function sealLock(content: LockContent, hash: HashText): Lock {
  const rest = {
    lockVersion: LOCK_VERSION,
    architecture: content.architecture,
    epochs: sortedRecord(content.epochs),
    parents: sortedRecord(content.parents),
    ...(content.parentReferences === undefined || Object.keys(content.parentReferences).length === 0
      ? {}
      : { parentReferences: sortedRecord(content.parentReferences) }),
    steps: Object.fromEntries(Object.entries(sortedRecord(content.steps)).map(([address, step]) => [address, sortedStep(step)])),
  } as const;
  return { ...rest, integrity: integrityOf(rest, hash) };
}

const integrityOf = (rest: Omit<Lock, "integrity">, hash: HashText): Sha256 => hash(canonicalJson(rest));

/**
 * The text of `bakehouse.lock`: JSON with one package or recorded answer a line, so that a change to one is one line in a
 * review. Equal locks give equal text.
 */
export function serialiseLock(lock: Lock): string {
  const entries = [
    `"lockVersion": ${lock.lockVersion}`,
    `"integrity": "${lock.integrity}"`,
    `"architecture": "${lock.architecture}"`,
    `"epochs": ${record(lock.epochs, "  ")}`,
    `"parents": ${record(lock.parents, "  ")}`,
    ...(lock.parentReferences === undefined ? [] : [`"parentReferences": ${record(lock.parentReferences, "  ")}`]),
    `"steps": ${block(
      Object.entries(lock.steps).map(([address, step]) => `${JSON.stringify(address)}: ${stepText(step)}`),
      "{}",
      "  ",
    )}`,
  ];
  return `${block(entries, "{}", "")}\n`;
}

function stepText(step: LockedStep): string {
  const lists = (["packages", "lent", "recorded"] as const).flatMap((name) => {
    const list: readonly unknown[] | undefined = step[name];
    return list === undefined
      ? []
      : [
          `"${name}": ${block(
            list.map((item) => JSON.stringify(item)),
            "[]",
            "      ",
          )}`,
        ];
  });
  const image = step.image === undefined ? [] : [`"image": ${JSON.stringify(step.image)}`];
  return block([`"request": "${step.request}"`, ...lists, ...image], "{}", "    ");
}

const record = (members: Readonly<Record<string, unknown>>, indent: string): string =>
  block(
    Object.entries(members).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`),
    "{}",
    indent,
  );

const block = (items: readonly string[], [open = "", close = ""]: string, indent: string): string =>
  items.length === 0 ? `${open}${close}` : `${open}\n${items.map((item) => `${indent}  ${item}`).join(",\n")}\n${indent}${close}`;

const digest = z.custom<Sha256>((value) => typeof value === "string" && isSha256(value), "is no sha256:… with 64 lower-case hex digits");
const bytes = z.int().min(0);
const lockedPackage = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, "is no name of a Debian package"),
  version: z.string().regex(/^[0-9A-Za-z.+~:-]+$/, "is no Debian version"),
  architecture: z.string().min(1),
  sha256: digest,
  sizeBytes: bytes,
  path: z
    .string()
    .min(1)
    .refine((path) => !/^\/|^[a-z+]+:|(^|\/)\.\.(\/|$)/.test(path), "must be a path below the repository's root"),
  repository: z.string().min(1),
});
const recordedResponse = z.strictObject({
  method: z.string(),
  url: z.string(),
  status: z.int(),
  headers: z.record(z.string(), z.string()),
  sha256: digest,
  sizeBytes: bytes,
});
const lockedStep = z.strictObject({
  request: digest,
  packages: z.array(lockedPackage).optional(),
  lent: z.array(lockedPackage).optional(),
  recorded: z.array(recordedResponse).optional(),
  image: z.strictObject({ reference: z.string(), digest }).optional(),
});
const lockSchema = z.strictObject({
  lockVersion: z.literal(LOCK_VERSION),
  integrity: digest,
  architecture: z.literal("amd64"),
  epochs: z.record(z.string(), z.int()),
  parents: z.record(z.string(), digest),
  parentReferences: z.record(z.string(), z.string()).optional(),
  steps: z.record(z.string(), lockedStep),
});

/**
 * Reads `bakehouse.lock` and checks that nobody changed it by hand.
 *
 * @param file  as shown in messages
 * @throws BakehouseError LOCK_INVALID with the line where that can be told: merge conflicts, a newer version, broken JSON, wrong
 *         fields (all at once), and an `integrity` that does not match the rest
 */
export function parseLock(text: string, options: { readonly file: string; readonly hash: HashText }): Lock {
  const { file, hash } = options;
  refuseConflicts(text, file);
  const value = parseJson(text, file);
  refuseOtherVersions(value, text, file);
  const result = lockSchema.safeParse(value);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => ({
      file,
      line: lineInJson(text, issue.path),
      column: 1,
      message: `${issue.path.map(String).join(".")}: ${issue.message}`,
    }));
    throw invalid(problems);
  }
  // zod gives `undefined` members their type but never writes them, which is what exactOptionalPropertyTypes asks for.
  const lock = result.data as Lock;
  const { integrity, ...rest } = lock;
  if (integrityOf(rest, hash) !== integrity) throw invalid(suspects(lock, text, file));
  return lock;
}

const invalid = (
  problems: readonly Problem[],
  hint = `git checkout -- the lock file brings back what was committed; ${RELOCK} --update resolves all of it anew`,
): BakehouseError => problemsError("LOCK_INVALID", problems, hint);

function refuseConflicts(text: string, file: string): void {
  const found = /^(?:<{7}|={7}|>{7}|\|{7})(?: |$)/m.exec(text);
  if (found === null) return;
  const message = "two branches changed the lock and git left both here (merge conflict)";
  throw invalid(
    [{ file, line: lineAt(text, found.index), column: 1, message }],
    `take one side whole (git checkout --ours or --theirs, and the lock file), then: ${RELOCK}`,
  );
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const { message } = error as Error;
    const offset = Number(/at position (\d+)/.exec(message)?.[1] ?? text.trimEnd().length);
    const what = text.trim() === "" ? "is empty" : `is not JSON: ${message.replace(/ in JSON at position.*| \(line .*/s, "")}`;
    throw invalid([{ file, line: lineAt(text, offset), column: 1, message: what }]);
  }
}

function refuseOtherVersions(value: unknown, text: string, file: string): void {
  const version = typeof value === "object" && value !== null && "lockVersion" in value ? value.lockVersion : undefined;
  if (typeof version !== "number" || version <= LOCK_VERSION) return;
  const message = `was written by a newer Bakehouse (lockVersion ${version}; this one reads ${LOCK_VERSION})`;
  throw invalid(
    [{ file, line: lineInJson(text, ["lockVersion"]), column: 1, message }],
    `update Bakehouse, or let this one resolve anew: remove the file, then ${RELOCK}`,
  );
}

/** What looks as if it had been changed by hand. The digest tells only that something was. */
function suspects(lock: Lock, text: string, file: string): readonly Problem[] {
  const found = Object.entries(lock.steps).flatMap(([address, step]) =>
    (["packages", "lent"] as const).flatMap((list) =>
      (step[list] ?? []).flatMap((item, index, all) => {
        const message = oddity(item, all[index - 1]);
        return message === undefined ? [] : [{ file, line: lineInJson(text, ["steps", address, list, index]), column: 1, message }];
      }),
    ),
  );
  if (found.length > 0) return found;
  const line = firstForeignLine(serialiseLock(lock), text);
  if (line !== undefined) return [{ file, line, column: 1, message: "was changed after Bakehouse wrote it" }];
  return [
    {
      file,
      line: lineInJson(text, ["integrity"]),
      column: 1,
      message: "something below was changed after Bakehouse wrote it: its integrity does not match",
    },
  ];
}

/** A `.deb` of an archive carries name, version and architecture in its file name: an edit mostly misses one of the two. */
function oddity(item: LockedPackage, before: LockedPackage | undefined): string | undefined {
  if (before !== undefined && before.name === item.name) return `${item.name} stands here a second time`;
  if (before !== undefined && before.name > item.name) return `${item.name} is out of order: it was added by hand`;
  if (item.repository === "local") return undefined;
  const base = item.path.slice(item.path.lastIndexOf("/") + 1);
  const [name, version] = base.split("_");
  if (base.split("_").length !== 3 || name !== item.name) return undefined;
  const bare = item.version.replace(/^\d+:/, "");
  if (decodedVersion(version ?? "") === bare || decodedVersion(version ?? "") === item.version) return undefined;
  return `${item.name} has version ${item.version}, but its file is ${base}`;
}

const decodedVersion = (version: string): string => version.replace(/%3a/gi, ":");

function firstForeignLine(expected: string, text: string): number | undefined {
  const lines = text.split("\n");
  const index = expected.split("\n").findIndex((line, at) => line !== lines[at]);
  return index === -1 ? undefined : index + 1;
}

const byKey =
  <T>(key: (item: T) => string) =>
  (a: T, b: T): number =>
    key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0;

const sortedRecord = <T>(members: Readonly<Record<string, T>>): Readonly<Record<string, T>> =>
  Object.fromEntries(Object.entries(members).sort(byKey(([name]) => name)));

/** Members in the order in which they are written, whatever order the caller built them in. */
function sortedStep(step: LockedStep): LockedStep {
  const packages = (list: readonly LockedPackage[]): readonly LockedPackage[] =>
    list
      .map(({ name, version, architecture, sha256, sizeBytes, path, repository }) => ({
        name,
        version,
        architecture,
        sha256,
        sizeBytes,
        path,
        repository,
      }))
      .sort(byKey((item) => item.name));
  return {
    request: step.request,
    ...(step.packages === undefined ? {} : { packages: packages(step.packages) }),
    ...(step.lent === undefined ? {} : { lent: packages(step.lent) }),
    ...(step.recorded === undefined
      ? {}
      : { recorded: [...step.recorded].sort(byKey((item) => `${item.url} ${item.method} ${item.sha256}`)) }),
    ...(step.image === undefined ? {} : { image: step.image }),
  };
}
