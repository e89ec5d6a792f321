import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { BakehouseError } from "../errors.ts";
import { diffLocks, formatLockChanges, hasChanges } from "./lock-diff.ts";
import { parseLock, sealLock, serialiseLock, type HashText, type LockContent } from "./lock-file.ts";
import type { LockedPackage } from "./model.ts";

const hash: HashText = (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
const deb = (name: string, version: string): LockedPackage => ({
  name,
  version,
  architecture: "amd64",
  sha256: hash(name + version),
  sizeBytes: 10,
  path: `pool/main/${name}_${version.replace(/^\d+:/, "")}_amd64.deb`,
  repository: "debian",
});
const content: LockContent = {
  architecture: "amd64",
  epochs: { foundation: 1_700_000_000 },
  parents: {},
  steps: {
    "base/apt": { request: hash("b"), packages: [deb("jq", "1.6-2"), deb("curl", "7.88-1")] },
    "foundation/debian": { request: hash("a"), packages: [deb("bash", "5.2-1"), deb("zlib1g", "1:1.2-3")] },
  },
};
const text = serialiseLock(sealLock(content, hash));
const read = (changed: string): unknown => parseLock(changed, { file: "bakehouse.lock", hash });
const refusal = (changed: string): BakehouseError => {
  try {
    read(changed);
  } catch (error) {
    if (error instanceof BakehouseError) return error;
    throw error;
  }
  throw new Error("was not refused");
};

test("written with one package a line, sorted, and read back", () => {
  const lock = sealLock(content, hash);
  expect(parseLock(text, { file: "l", hash })).toEqual(lock);
  expect(
    text
      .split("\n")
      .filter((line) => line.includes('"name"'))
      .map((line) => /"name":"([^"]*)"/.exec(line)?.[1]),
  ).toEqual(["curl", "jq", "bash", "zlib1g"]);
  expect(Object.keys(lock.steps)).toEqual(["base/apt", "foundation/debian"]);
  expect(JSON.parse(text)).toEqual(lock);
});

const line = (needle: string): number => text.split("\n").findIndex((one) => one.includes(needle)) + 1;

test.each([
  [
    "a version edited",
    text.replace('"version":"7.88-1"', '"version":"7.99-1"'),
    `bakehouse.lock:${line('"curl"')}:1: curl has version 7.99-1, but its file is curl_7.88-1_amd64.deb`,
  ],
  [
    "a digest that is none",
    text.replace(hash("jq1.6-2"), "sha256:abc"),
    `bakehouse.lock:${line('"jq"')}:1: steps.base/apt.packages.1.sha256: is no sha256`,
  ],
  [
    "a package copied in",
    text.replace(
      '        {"name":"bash"',
      '        {"name":"zzz","version":"1","architecture":"all","sha256":"' +
        hash("z") +
        '","sizeBytes":1,"path":"pool/zzz_1_all.deb","repository":"debian"},\n        {"name":"bash"',
    ),
    "bash is out of order",
  ],
  ["a size edited", text.replace('"sizeBytes":10', '"sizeBytes":11'), "its integrity does not match"],
  [
    "reformatted and edited",
    JSON.stringify({ ...(JSON.parse(text) as object), epochs: {} }, null, 4),
    "bakehouse.lock:2:1: was changed after Bakehouse wrote it",
  ],
  ["a host in a path", text.replace("pool/main/jq", "http://mirror/jq"), "must be a path below the repository's root"],
  ["a path that climbs", text.replace("pool/main/jq", "pool/../../jq"), "must be a path below the repository's root"],
  ["an unknown key", text.replace('"epochs"', '"epoch": 1,\n  "epochs"'), "Unrecognized key"],
  ["cut off", text.slice(0, 400), "is not JSON"],
  ["a comma lost", text.replace('"curl","version"', '"curl" "version"'), `bakehouse.lock:${line('"curl"')}:1: is not JSON`],
  ["empty", "", "is empty"],
])("refused: %s", (_, changed, message) => {
  const error = refusal(changed);
  expect(error.code).toBe("LOCK_INVALID");
  expect(error.message).toContain(message);
  expect(error.help.hint).toContain("bakehouse lock");
});

test("a merge conflict and a newer version have messages of their own", () => {
  const conflict = refusal(text.replace('        {"name":"jq"', '<<<<<<< HEAD\n        {"name":"jq"'));
  expect(conflict.message).toContain("merge conflict");
  expect(conflict.message).toContain(`:${line('"jq"')}:`);
  expect(refusal(text.replace('"lockVersion": 1', '"lockVersion": 2')).message).toContain(
    "newer Bakehouse (lockVersion 2; this one reads 1)",
  );
});

test("any one changed character is refused, or changes nothing that the lock says", () => {
  const lock = sealLock(content, hash);
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.constantFrom(...'0aZ"{}[],: \n'), (at, char) => {
      const changed = text.slice(0, at) + char + text.slice(at + 1);
      try {
        expect(read(changed)).toEqual(lock); // white space between members
      } catch (error) {
        if (!(error instanceof BakehouseError)) throw error;
        expect(error.code).toBe("LOCK_INVALID");
      }
    }),
  );
});

test("the difference of two locks, for programs and for people", () => {
  const before = sealLock(content, hash);
  const rebuilt: LockedPackage = { ...deb("bash", "5.2-1"), sha256: hash("other") };
  const after = sealLock(
    {
      ...content,
      epochs: { foundation: 1_800_000_000 },
      steps: {
        "foundation/debian": { request: hash("a"), packages: [rebuilt, deb("zlib1g", "1:1.2-2")] },
        "base/apt": { request: hash("c"), packages: [deb("curl", "7.88-2"), deb("nginx", "1.22-9")] },
        "release/apt": { request: hash("d"), lent: [deb("python3", "3.11")] },
      },
    },
    hash,
  );
  const changes = diffLocks(before, after);
  expect(formatLockChanges(changes)).toEqual([
    "base/apt",
    "  - jq 1.6-2",
    "  ↑ curl 7.88-1 → 7.88-2",
    "  + nginx 1.22-9",
    "foundation/debian",
    "  ↓ zlib1g 1:1.2-3 → 1:1.2-2",
    "  ≠ bash 5.2-1 → 5.2-1",
    "release/apt (added)",
    "  + python3 3.11 (lent)",
    "foundation: dated 2023-11-14 → 2027-01-15",
  ]);
  expect(hasChanges(diffLocks(after, after))).toBe(false);
  expect(formatLockChanges(diffLocks(after, after))).toEqual([]);
  expect(diffLocks(undefined, before).steps.map(({ step }) => step)).toEqual(["added", "added"]);
});
