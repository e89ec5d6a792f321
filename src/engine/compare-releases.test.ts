import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dpkgStatus, fixtureStore, put, type FixtureStore } from "../../test/image-store.ts";
import { builtCli } from "../../test/shared-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { compareImages, type ImageComparison } from "./compare-images.ts";
import { reportChanges } from "./report-changes.ts";
import { writePapers } from "./write-papers.ts";

const CHANGELOG = `nginx (1.22-9+deb12u2) bookworm-security; urgency=high

  * CVE-2024-7347: buffer overread. Also CVE-2025-23419.

 -- A <a@x>  Mon, 01 Jan 2024 00:00:00 +0000

nginx (1.22-9+deb12u1) bookworm-security; urgency=medium

  * CVE-2023-44487 (rapid reset).

 -- A <a@x>  Mon, 01 Jan 2023 00:00:00 +0000
`;

const wants = (directory: string, path: string, target: string): void => {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  symlinkSync(target, join(directory, path));
};
const licence = (name: string): string => `Format: https://x/copyright-format/1.0\n\nFiles: *\nLicense: ${name}\n`;

let fixture: FixtureStore;
let images: ImageParts;
let before: ImageDigest, after: ImageDigest;
let comparison: ImageComparison;

beforeAll(async () => {
  fixture = fixtureStore();
  const list = "/.\n/usr/sbin/nginx\n/usr/share/doc/nginx/changelog.Debian.gz\n/usr/share/doc/nginx/copyright\n";
  const base = await fixture.bake({
    name: "shop/base",
    steps: [
      {
        address: "base/apt",
        change: (at) => {
          put(at, {
            "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nold:x:5:5::/home/old:/bin/sh\n",
            "etc/group": "root:x:0:\nadm:x:4:\n",
            "usr/lib/systemd/system/ssh.socket": "[Socket]\nListenStream=22\n",
            "usr/lib/systemd/system/unused.socket": "[Socket]\nListenStream=99\n",
            "usr/bin/sudo": 10,
            "usr/bin/passwd": 10,
          });
          chmodSync(join(at, "usr/bin/sudo"), 0o4755);
        },
      },
    ],
  });
  const release = (version: string, bakedAt: string, change: (at: string) => void, ports: readonly string[]): Promise<ImageDigest> =>
    fixture.bake({
      name: "shop/release",
      parent: base,
      bakedAt,
      config: { ExposedPorts: Object.fromEntries(ports.map((port) => [port, {}])) },
      steps: [
        {
          address: "release/apt",
          change: (at) => {
            put(at, {
              "var/lib/dpkg/status": dpkgStatus({ nginx: version, "nginx-common": version }),
              "var/lib/dpkg/info/nginx.list": list,
            });
            change(at);
          },
        },
      ],
    });
  before = await release(
    "1.22-9+deb12u1",
    "2026-01-01T00:00:00.000Z",
    (at) => {
      put(at, { "usr/sbin/nginx": 1000, "usr/share/doc/nginx/copyright": licence("Expat") });
      wants(at, "etc/systemd/system/multi-user.target.wants/apache.service", "/usr/lib/systemd/system/apache.service");
    },
    ["80/tcp"],
  );
  after = await release(
    "1.22-9+deb12u2",
    "2026-01-15T00:00:00.000Z",
    (at) => {
      put(at, {
        "usr/sbin/nginx": 3000,
        "usr/share/doc/nginx/copyright": licence("BSD-2-clause"),
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:$6$secret:33:33::/srv:/usr/sbin/nologin\n",
        "etc/group": "root:x:0:\nadm:x:4:web\n",
        "srv/a|b`c": "x",
      });
      writeFileSync(join(at, "usr/share/doc/nginx/changelog.Debian.gz"), gzipSync(CHANGELOG));
      put(at, { "usr/bin/passwd": 10 });
      chmodSync(join(at, "usr/bin/passwd"), 0o2755);
      wants(at, "etc/systemd/system/multi-user.target.wants/nginx.service", "/usr/lib/systemd/system/nginx.service");
      wants(at, "etc/systemd/system/sockets.target.wants/ssh.socket", "/usr/lib/systemd/system/ssh.socket");
      wants(at, "etc/systemd/system/apt-daily.service", "/dev/null");
    },
    ["80/tcp", "443/tcp"],
  );
  images = openImages({ store: fixture.store.root, env: {} });
  comparison = await compareImages({ store: images.store, trees: await images.trees() }, before, after);
});
afterAll(async () => {
  await images.close();
  fixture.remove();
});

describe("comparing two releases", () => {
  it("tells what vulnerabilities the newer packages mend, by source package", () => {
    expect(comparison.fixes).toEqual([
      {
        source: "nginx",
        before: "1.22-9+deb12u1",
        after: "1.22-9+deb12u2",
        packages: ["nginx"],
        vulnerabilities: ["CVE-2024-7347", "CVE-2025-23419"],
      },
    ]);
  });

  it("tells services that are enabled or masked, users and groups, never a password", () => {
    expect(comparison.system.services).toEqual([
      { name: "apache.service", before: "wanted by multi-user.target", after: null },
      { name: "apt-daily.service", before: null, after: "masked" },
      { name: "nginx.service", before: null, after: "wanted by multi-user.target" },
      { name: "ssh.socket", before: null, after: "wanted by sockets.target" },
    ]);
    expect(comparison.system.users).toEqual([
      { name: "old", before: "uid 5, gid 5, /home/old, /bin/sh", after: null },
      { name: "root", before: "uid 0, gid 0, /root, /bin/bash", after: "uid 0, gid 0, /root, /bin/sh" },
      { name: "web", before: null, after: "uid 33, gid 33, /srv, /usr/sbin/nologin" },
    ]);
    expect(comparison.system.groups).toEqual([{ name: "adm", before: "gid 4", after: "gid 4: web" }]);
    expect(JSON.stringify(comparison)).not.toContain("secret");
  });

  it("tells ports that are exposed or that enabled sockets open, and files with privileges", () => {
    expect(comparison.system.ports).toEqual([
      { name: "22/tcp", before: null, after: "socket ssh.socket" },
      { name: "443/tcp", before: null, after: "exposed" },
    ]);
    expect(comparison.system.privileged).toEqual([{ name: "/usr/bin/passwd", before: null, after: "setgid, mode 2755, owner 0:0" }]);
  });

  it("tells licences and sizes of packages", () => {
    expect(comparison.sbom).toMatchObject({
      licences: [{ name: "nginx", before: "MIT", after: "BSD-2-Clause" }],
      newLicences: ["BSD-2-Clause"],
      goneLicences: ["MIT"],
    });
    expect(comparison.sbom.sizes[0]).toMatchObject({ name: "nginx" });
    expect(comparison.sbom.sizes[0]!.afterBytes - comparison.sbom.sizes[0]!.beforeBytes).toBeGreaterThan(2000);
  });

  it("finds nothing where nothing differs", async () => {
    const same = await compareImages({ store: images.store, trees: await images.trees() }, after, after);
    expect(same).toMatchObject({
      fixes: [],
      sbom: { licences: [], newLicences: [], sizes: [] },
      system: { services: [], users: [], groups: [], ports: [], privileged: [] },
    });
  });
});

describe("a report of changes", () => {
  it("compares with the image that had the name before, and says what is proved", async () => {
    await writePapers(await images.paperParts(), after);
    await (await images.papers()).attach({ name: "shop/release", digest: after }, PREDICATES.checks, { verdict: "passed" });
    const report = await reportChanges({ store: images.store, trees: await images.trees(), papers: await images.papers() }, "shop/release");
    expect(report).toMatchObject({ before, after });
    expect(report.markdown).toMatch(/^# shop\/release: what changed\n/);
    for (const line of [
      `| digest | \`${before}\` | \`${after}\` |`,
      "| provenance signed | **no** | yes |",
      "| checks | none | passed |",
      "| nginx | 1.22-9+deb12u1 | 1.22-9+deb12u2 | CVE-2024-7347, CVE-2025-23419 |",
      "| root | uid 0, gid 0, /root, /bin/bash | uid 0, gid 0, /root, /bin/sh |",
      "+ /srv/a|b'c",
    ])
      expect(report.markdown.split("\n")).toContain(line);
  });

  it("is refused when there was none before", async () => {
    const parts = { store: images.store, trees: await images.trees(), papers: await images.papers() };
    await expect(reportChanges(parts, before)).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
      help: { hint: expect.stringContaining("--since") },
    });
    expect((await reportChanges(parts, before, { since: after })).markdown).toContain("1.22-9+deb12u2");
  });

  it("is what `image report` writes, and `image diff` shows", async () => {
    const cli = await builtCli();
    const run = (...words: readonly string[]): string =>
      spawnSync(process.execPath, [cli, "--store", fixture.store.root, ...words], { encoding: "utf8", cwd: fixture.folder }).stdout;
    expect(run("image", "report", "shop/release", "--output", "CHANGES.md")).toBe("CHANGES.md\n");
    expect(readFileSync(join(fixture.folder, "CHANGES.md"), "utf8")).toContain("## Known fixes");
    const shown = run("image", "diff", before, after);
    for (const text of [
      "Known fixes",
      "CVE-2024-7347",
      "Services",
      "apt-daily.service masked",
      "Files with privileges",
      "Sizes per package",
    ])
      expect(shown).toContain(text);
  });
});
