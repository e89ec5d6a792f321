import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { archives } from "../adapters/overlay-diffs/index.ts";
import { changes, plainImage, refusals } from "../../test/steps/step-image.ts";
import type { StepImage } from "../../test/steps/step-image.ts";
import { fetch } from "./fetch.ts";

const HEX = "a".repeat(64);
const URL = "https://downloads.example.org/tool-1.0/tool";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
});
afterEach(() => image.dispose());

test.each([
  [{ url: "ftp://x/y", sha256: HEX, to: "/x" }, 'url: "ftp://x/y" is no address of a file that starts with http:// or https://'],
  [
    { url: "https://example.org", sha256: HEX, to: "/x" },
    'url: "https://example.org" is no address of a file that starts with http:// or https://',
  ],
  [{ url: "https://me:pw@example.org/x", sha256: HEX, to: "/x" }, "url: must not hold a user name or password"],
  [
    { url: URL, sha256: HEX.toUpperCase(), to: "/x" },
    `sha256: "${HEX.toUpperCase()}" is no SHA-256: write the 64 hex digits that \`sha256sum FILE\` prints`,
  ],
  [{ url: URL, sha256: HEX, to: "x" }, 'to: "x" is not absolute: a path inside the image starts with /'],
  [
    { url: URL, sha256: HEX, to: "/dev/x" },
    'to: "/dev/x" would not be seen below /dev: each machine fills it by itself; for devices of your own, write rules to /etc/udev/rules.d',
  ],
  [{ url: URL, sha256: HEX, to: "/x", strip: 1 }, "strip: only means something together with unpack"],
  [{ url: URL, sha256: HEX, to: "/x", unpack: true, mode: "0644" }, "mode: an unpacked tarball has the modes of its own"],
])("%j is refused", (options, message) => expect(refusals(fetch, options)).toContain(message));

test("names the download by its digest", () => {
  expect(fetch.requires?.({ url: URL, sha256: `sha256:${HEX}`, to: "/x", unpack: false })).toEqual({
    downloads: [{ url: URL, sha256: `sha256:${HEX}` }],
  });
});

/** The file as the store hands it out. */
const given = (file: string) => {
  const sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");
  const downloads = {
    file: (wanted: string): string => {
      expect(wanted).toBe(`sha256:${sha256}`);
      return file;
    },
  };
  return { sha256, extra: { services: { downloads, archives: archives(image.root) } } };
};

describe("a file", () => {
  test.each([
    ["/usr/local/bin/", "/usr/local/bin/tool"],
    ["/usr/local/bin/other", "/usr/local/bin/other"],
  ])("goes to %s", async (to, path) => {
    const { sha256, extra } = given(image.put("download", "#!/bin/sh\n"));
    const before = image.tree();
    await image.run(fetch, { url: URL, sha256, to, mode: "0755", owner: "app" }, extra);
    expect(changes(before, image.tree()).added).toMatchObject({ [path]: 'file 0755 1001:1002 "#!/bin/sh\\n"' });
  });

  test("does not replace a directory", async () => {
    const { sha256, extra } = given(image.put("download"));
    await expect(image.run(fetch, { url: URL, sha256, to: "/etc" }, extra)).rejects.toMatchObject({
      code: "STEP_FAILED",
      help: { hint: expect.stringContaining("/etc/") },
    });
  });
});

describe("a tarball", () => {
  const tarball = (...flags: string[]): string => {
    mkdirSync(join(image.folder, "app-1.0/bin"), { recursive: true });
    writeFileSync(join(image.folder, "app-1.0/bin/app"), "x", { mode: 0o755 });
    execFileSync("tar", ["-C", image.folder, "-czf", join(image.folder, "app.tar.gz"), ...flags, "app-1.0"]);
    return join(image.folder, "app.tar.gz");
  };

  test("is unpacked, without its leading folder", async () => {
    const { sha256, extra } = given(tarball());
    await image.run(fetch, { url: URL, sha256, to: "/opt/app/", unpack: true, strip: 1, owner: "app" }, extra);
    expect(image.tree("/opt/app")).toMatchObject({ "/opt/app/bin/app": 'file 0755 1001:1002 "x"' });
    expect(image.root.stat("/opt/app")).toMatchObject({ uid: 1001, gid: 1002 });
  });

  test("that would leave its folder is refused", async () => {
    const { sha256, extra } = given(tarball("-P", "--transform=s,^app-1.0/bin/app,../../escape,"));
    await expect(image.run(fetch, { url: URL, sha256, to: "/opt/app", unpack: true }, extra)).rejects.toMatchObject({
      code: "ARCHIVE_UNSAFE",
    });
    expect(image.tree("/opt")).toEqual({ "/opt/app": "directory 0755 0:0" });
  });
});
