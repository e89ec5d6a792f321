import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mirrorsFor } from "../../core/debian/sources.ts";
import type { Resolution } from "../../ports/package-resolver.ts";
import { createTransfer, localPackageStore } from "../local-package-store/index.ts";
import { hostSources } from "./host-mirrors.ts";
import { aptResolver } from "./index.ts";

// Real lists have what made-up ones lack: 60,000 packages, three signatures, by-hash, xz only, epochs, tildes.
const hasMirror = mirrorsFor("bookworm", hostSources("/etc/apt")).length > 0;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-mirror-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const nameList = ({ packages }: Resolution): readonly string[] => packages.map(({ name }) => name);

test.skipIf(!hasMirror).each(["bookworm", "trixie"])("minbase and curl of Debian's own %s", { timeout: 180_000 }, async (suite) => {
  const packageStore = localPackageStore(join(folder, "packages"));
  // Without BAKEHOUSE_MIRROR, so that the host's own mirror is found; its proxy settings stay.
  const resolver = aptResolver({ folder: join(folder, "apt"), packageStore, transfer: createTransfer(), environment: {} });
  const foundation = { suite, variant: "minbase", components: ["main"], security: true, updates: true } as const;
  const common = { sources: { foundation, repositories: [], folder }, keep: [], refresh: false, signal: AbortSignal.timeout(180_000) };
  const base = await resolver.resolve({ ...common, installed: [], request: { names: [], recommends: false, foundation } });
  expect(nameList(base)).toEqual(
    expect.arrayContaining(["apt", "base-files", "bash", "dpkg", "libc6", "mount", "tzdata", "usr-is-merged"]),
  );
  expect(nameList(base)).not.toContain("usrmerge");
  expect(nameList(base).filter((name) => name.startsWith("perl"))).toEqual(["perl-base"]);
  // mmdebstrap has 88 and 79 here; new point releases may move that by a few.
  expect(base.packages.length).toBeGreaterThan(70);
  expect(base.packages.length).toBeLessThan(100);
  expect(base.releaseDateSeconds).toBeGreaterThan(Date.UTC(2025, 0) / 1000);
  const { packages } = await resolver.resolve({
    ...common,
    installed: base.packages,
    request: { names: ["curl", "ca-certificates"], recommends: false },
  });
  const names = packages.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(["ca-certificates", "curl", "openssl"]));
  expect(names.filter((name) => base.packages.some((item) => item.name === name))).toEqual([]);
  for (const item of [...base.packages, ...packages]) {
    expect(item.path).toMatch(/^pool\/.+_(amd64|all)\.deb$/);
    expect(["debian", "debian-security"]).toContain(item.repository);
  }
});
