import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { askedTree, refusals, type AskedTree, type TestFile } from "../../test/checks/asked-tree.ts";
import { hygiene } from "./hygiene.ts";

let tree: AskedTree;
beforeEach(() => {
  tree = askedTree();
});
afterEach(() => tree.dispose());

test.each([[{}], [{ skip: ["setuid"], except: ["/srv/**"], setuid: ["/usr/bin/ping"] }]])("%j is fine", (options) =>
  expect(refusals(hygiene, options)).toEqual([]),
);
test.each([[{ skip: ["keys"] }], [{ except: ["srv"] }], [{ setuid: ["/usr/[z-a]"] }], [{ paths: [] }]])("%j is refused", (options) =>
  expect(refusals(hygiene, options).length).toBeGreaterThan(0),
);

/** In parts, so that nobody takes this file for one that holds a key. */
const key = (kind = ""): string =>
  `-----BEGIN ${kind}PRIVATE ${"KEY-----"}\n${"MIIEvQIBADANBgkq".repeat(6)}\n-----END ${kind}PRIVATE ${"KEY-----"}\n`;

test("a clean tree passes", async () => {
  tree.put({
    "/usr/bin/passwd": { content: "x", mode: 0o4755 },
    "/root/.ssh/authorized_keys": "# nobody\n\n",
    "/var/lib/apt/lists/lock": "",
    "/etc/ssl/certs/ca.pem": `-----BEGIN CERTIFICATE-----\n${"MIIE".repeat(30)}\n`,
    "/usr/share/doc/key.txt": `a text about -----BEGIN PRIVATE ${"KEY-----"} lines, without one, that is long enough to be read`,
  });
  mkdirSync(join(tree.folder, "tmp"));
  chmodSync(join(tree.folder, "tmp"), 0o1777);
  expect(await tree.ask(hygiene, {})).toMatchObject({ verdict: "passed", answered: { findings: [] } });
});

describe("finds", () => {
  const cases: readonly (readonly [string, Readonly<Record<string, TestFile>>, string])[] = [
    ["private-key", { "/srv/app/config/deploy.txt": `# for deploys\n${key("OPENSSH ")}` }, "/srv/app/config/deploy.txt"],
    ["private-key", { "/etc/ssl/private/ssl-cert-snakeoil.key": key() }, "/etc/ssl/private/ssl-cert-snakeoil.key"],
    ["private-key", { "/srv/store.p12": "binary" }, "/srv/store.p12"],
    ["authorized-keys", { "/root/.ssh/authorized_keys": "ssh-ed25519 AAAA me@home\n" }, "/root/.ssh/authorized_keys"],
    ["host-key", { "/etc/ssh/ssh_host_ed25519_key": key("OPENSSH ") }, "/etc/ssh/ssh_host_ed25519_key"],
    ["machine-id", { "/etc/machine-id": "0123456789abcdef0123456789abcdef\n" }, "/etc/machine-id"],
    ["random-seed", { "/var/lib/systemd/random-seed": "xxxx" }, "/var/lib/systemd/random-seed"],
    ["shell-history", { "/root/.bash_history": "mysql -psecret\n" }, "/root/.bash_history"],
    ["cloud-init-state", { "/var/lib/cloud/data/instance-id": "i-1" }, "/var/lib/cloud/data/instance-id"],
    ["package-cache", { "/var/cache/apt/archives/a_1_amd64.deb": "x" }, "/var/cache/apt/archives/a_1_amd64.deb"],
    ["package-cache", { "/var/lib/apt/lists/debian_Packages": "x" }, "/var/lib/apt/lists/debian_Packages"],
    ["left-behind", { "/usr/sbin/policy-rc.d": "exit 101\n" }, "/usr/sbin/policy-rc.d"],
    ["left-behind", { "/etc/resolv.conf": "nameserver 192.0.2.1\n" }, "/etc/resolv.conf"],
    ["world-writable", { "/srv/open": { mode: 0o666 } }, "/srv/open"],
    ["unowned", { "/srv/lost": { uid: 4711 } }, "/srv/lost"],
    ["unowned", { "/srv/lost": { gid: 4711 } }, "/srv/lost"],
    ["setuid", { "/usr/local/bin/root-shell": { mode: 0o4755 } }, "/usr/local/bin/root-shell"],
    ["setuid", { "/usr/local/bin/group-shell": { mode: 0o2755 } }, "/usr/local/bin/group-shell"],
    ["password", { "/etc/shadow": "root:$y$j9T$abc$def:1::::::\n" }, "/etc/shadow"],
    ["password", { "/etc/shadow": "root::1::::::\n" }, "/etc/shadow"],
    ["password", { "/etc/passwd": "root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n" }, "/etc/passwd"],
  ];
  test.each(cases)("%s in %j", async (kind, files, path) => {
    tree.put(files);
    const result = await tree.ask(hygiene, {});
    expect(result.verdict).toBe("failed");
    expect(result.answered).toMatchObject({ found: 1, findings: [{ kind, path, remedy: expect.stringMatching(/./) as string }] });
    expect(result.excerpt[0]).toContain(path);
    expect(await tree.ask(hygiene, { skip: [kind] })).toMatchObject({ verdict: "passed" });
    expect(await tree.ask(hygiene, { except: [path] })).toMatchObject({ verdict: "passed" });
  });
});

test("a key that a package brought below /usr is no secret, one that it brought elsewhere is", async () => {
  tree.put({
    "/usr/share/tests/key.pem": key(),
    "/etc/tests/key.pem": key(),
    "/var/lib/dpkg/info/tests.list": "/.\n/usr/share/tests/key.pem\n/etc/tests/key.pem\n",
  });
  const { answered } = await tree.ask(hygiene, {});
  expect(answered).toMatchObject({ found: 1, findings: [{ path: "/etc/tests/key.pem" }] });
});

test("a key in a file whose name is no UTF-8 is found", async () => {
  writeFileSync(Buffer.concat([Buffer.from(`${tree.folder}/br`), Buffer.from([0xf6]), Buffer.from("tchen")]), key());
  const { answered } = await tree.ask(hygiene, {});
  expect(answered).toMatchObject({ found: 1, findings: [{ kind: "private-key", path: "/br\ufffdtchen" }] });
});

test("a setuid program that is named is meant", async () => {
  tree.put({ "/opt/tool/run": { mode: 0o4755 } });
  expect(await tree.ask(hygiene, { setuid: ["/opt/*/run"] })).toMatchObject({ verdict: "passed" });
});

describe("secrets of the bake", () => {
  const secrets = [
    { name: "licence", env: "SHOP_LICENCE" },
    { name: "from-file", file: "secrets/token" },
  ];

  test("are found in whatever form, and named, never shown", async () => {
    tree.put({ "/srv/a.conf": `licence=${Buffer.from("correct-horse-battery").toString("base64")}` });
    const result = await tree.ask(hygiene, {}, { secrets, environment: { SHOP_LICENCE: "correct-horse-battery" } });
    expect(result).toMatchObject({ verdict: "failed", answered: { findings: [{ kind: "secret", path: "/srv/a.conf" }] } });
    expect(JSON.stringify(result)).not.toContain("correct-horse");
  });

  test("are known when they came from a file beside the recipe, too", async () => {
    const recipeFolder = mkdtempSync(join(tmpdir(), "bakehouse-recipe-"));
    mkdirSync(join(recipeFolder, "secrets"));
    writeFileSync(join(recipeFolder, "secrets/token"), "battery-staple-correct\n");
    tree.put({ "/srv/b.conf": "token=battery-staple-correct" });
    try {
      const result = await tree.ask(hygiene, {}, { secrets, environment: {}, recipeFolder });
      expect(result).toMatchObject({
        verdict: "failed",
        answered: { findings: [{ kind: "secret", path: "/srv/b.conf" }], secretsNotGiven: ["licence"] },
      });
    } finally {
      rmSync(recipeFolder, { recursive: true });
    }
  });

  test("whose values are not given are named: silence would promise something", async () => {
    const result = await tree.ask(hygiene, {}, { secrets, environment: {} });
    expect(result.summary).toContain("not looked for, as their values are not given here: licence, from-file");
  });
});
