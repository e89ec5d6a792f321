import { execFileSync } from "node:child_process";
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { encodeCpio } from "./cpio.ts";

const folder = mkdtempSync(join(tmpdir(), "bakehouse-cpio-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("is what busybox unpacks, with modes, links, devices and content of every length", () => {
  const archive = encodeCpio(
    [
      { path: "a", kind: "directory" },
      { path: "a/one", kind: "file", content: "1" },
      { path: "a/four", kind: "file", mode: 0o755, content: "1234" },
      { path: "a/none", kind: "file" },
      { path: "a/link", kind: "symlink", target: "four" },
      { path: "console", kind: "character-device", device: { major: 5, minor: 1 } },
    ],
    1_700_000_000,
  );
  expect(archive.length % 512).toBe(0);
  execFileSync("/bin/busybox", ["cpio", "-idm"], { cwd: folder, input: archive, stdio: ["pipe", "ignore", "ignore"] });
  expect(readFileSync(join(folder, "a/one"), "utf8")).toBe("1");
  expect(readFileSync(join(folder, "a/four"), "utf8")).toBe("1234");
  expect(readFileSync(join(folder, "a/none"), "utf8")).toBe("");
  expect(lstatSync(join(folder, "a/four")).mode & 0o777).toBe(0o755);
  expect(lstatSync(join(folder, "a/one")).mtimeMs).toBe(1_700_000_000_000);
  expect(readlinkSync(join(folder, "a/link"))).toBe("four");
  expect(lstatSync(join(folder, "console")).rdev).toBe(0x501);
});
