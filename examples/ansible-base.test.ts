import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readLockText } from "../src/adapters/local-host/recipe-files.ts";
import { bakeExample, type BakedExample } from "../test/cells/bake-example.ts";
import { bootCell, type Cell } from "../test/cells/boot-cell.ts";

describe("a base made by a playbook", () => {
  let baked: BakedExample;
  let cell: Cell;
  beforeAll(async () => {
    baked = await bakeExample("examples/ansible-base");
    cell = await bootCell({ store: baked.bakehouse.parts.store, image: "ansible-base/base" });
  });
  afterAll(async () => {
    await cell?.stop();
    await baked?.dispose();
  });

  it("is hermetic: what the playbook fetched is in the lock, by path and digest, without a host", () => {
    expect(baked.result.images.at(-1)).toMatchObject({ name: "ansible-base/base", hermetic: true });
    const lock = readLockText(baked.loaded.lockFile) ?? "";
    expect(lock).toMatch(/"url":"mirror:\/\/debian\/pool\/main\/c\/curl\/curl_[^"]*_amd64\.deb"/);
    expect(lock).not.toMatch(/https?:\/\//);
  });

  it("boots with every unit running", async () => {
    expect(await cell.booted()).toBe("running");
    expect((await cell.run("systemctl", "is-active", "ssh.service")).trim()).toBe("active");
  });

  it("has the packages, and nothing that Ansible or the mirror left", async () => {
    expect(await cell.run("curl", "--version")).toMatch(/^curl 7/);
    expect(
      await cell.run(
        "sh",
        "-c",
        "ls -A /etc/apt/sources.list.d; find /var/lib/apt/lists -type f; command -v python3 ansible || echo no Python",
      ),
    ).toBe("no Python\n");
    expect((await cell.run("sh", "-c", "grep -rl bakehouse.internal /etc /var || echo none")).trim()).toBe("none");
  });

  it("has the user, who may become root", async () => {
    expect(await cell.run("id", "steward")).toBe("uid=2100(steward) gid=2100(stewards) groups=2100(stewards)\n");
    expect((await cell.run("setpriv", "--reuid=steward", "--regid=stewards", "--init-groups", "sudo", "-n", "id", "-u")).trim()).toBe("0");
  });

  it("has a hardened sshd", async () => {
    const settings = (await cell.run("sshd", "-T")).split("\n");
    expect(settings).toEqual(
      expect.arrayContaining(["permitrootlogin no", "passwordauthentication no", "maxauthtries 3", "allowgroups stewards"]),
    );
  });

  it("has the kernel's parameters for the next boot", async () => {
    expect(await cell.run("cat", "/etc/sysctl.d/60-hardening.conf")).toContain("kernel.kptr_restrict = 2\n");
  });
});
