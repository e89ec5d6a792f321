import { describe, expect, test } from "vitest";
import { plainImage, refusals } from "../../test/steps/step-image.ts";
import type { AnsibleRunner, Playbook } from "../ports/ansible-runner.ts";
import { ansible } from "./ansible.ts";

describe("options", () => {
  test.each([
    "site.yml",
    { playbook: "ansible/site.yml", groups: "web", tags: ["a", "b"], vars: { list: [1, { two: null }] } },
    {
      playbook: "a/p.yml",
      project: "a",
      inventory: "a/hosts",
      host: "web-01.example",
      vault: { prod: "vault-prod" },
      secretVars: { db_password: "db" },
    },
    { playbook: "a/p.yml", facts: { processor_vcpus: 4 }, lend: "python3-debian", verbosity: 4 },
  ])("%j is fine", (options) => expect(refusals(ansible, options)).toEqual([]));

  test.each([
    ["/site.yml", "is absolute"],
    [{ playbook: "../site.yml" }, "leads out of the recipe's folder"],
    [{ playbook: "a.yml", tags: ["a b"] }, "a tag has no spaces and commas"],
    [{ playbook: "a.yml", vars: { "a-b": 1 } }, "vars.a-b: Invalid key"],
    [{ playbook: "a.yml", groups: ["web servers"] }, "use letters, digits and _"],
    [{ playbook: "a.yml", lend: "Python3" }, "write a Debian package name"],
    [{ playbook: "a.yml", verbosity: 5 }, "verbosity: "],
    [{ playbook: "a.yml", become: true }, 'Unrecognized key: "become"'],
  ])("%j is refused", (options, message) => expect(refusals(ansible, options).join("\n")).toContain(message));

  test("name what enters the cache key", () => {
    expect(ansible.requires?.("ansible/site.yml")).toEqual({
      files: [{ path: "ansible" }, { path: "ansible/site.yml", kind: "file" }],
      lent: { names: ["python3", "python3-apt"], recommends: false },
    });
    expect(
      ansible.requires?.({ playbook: "a/p/site.yml", project: "a/", excludes: ["*.md"], varsFiles: "prod.yml", lend: ["python3-debian"] }),
    ).toEqual({
      files: [
        { path: "a", excludes: ["*.md"] },
        { path: "prod.yml", kind: "file" },
        { path: "a/p/site.yml", kind: "file" },
      ],
      lent: { names: ["python3", "python3-apt", "python3-debian"], recommends: false },
    });
    // a playbook beside the recipe: the whole folder, but for what changes with every lock
    expect(ansible.requires?.("site.yml").files).toEqual([
      { path: ".", excludes: ["/bakehouse.lock", "/.git", "/node_modules"] },
      { path: "site.yml", kind: "file" },
    ]);
  });
});

test("the runner gets the playbook with every default filled in", async () => {
  const image = await plainImage();
  try {
    image.put("ansible/site.yml", "[]");
    const seen: Playbook[] = [];
    const summary = { ok: 2, changed: 1, skipped: 0, forgiven: 0, changes: [] };
    const runner: AnsibleRunner = { run: async (playbook) => (seen.push(playbook), summary), check: async () => summary };
    await image.run(ansible, { playbook: "ansible/site.yml", vault: "vault-password", tags: "web" }, { services: { ansible: runner } });
    expect(seen).toEqual([
      {
        playbook: "ansible/site.yml",
        project: { path: "ansible" },
        host: "image",
        groups: [],
        vars: {},
        varsFiles: [],
        secretVars: {},
        vault: { default: "vault-password" },
        tags: ["web"],
        skipTags: [],
        verbosity: 0,
        facts: {},
      },
    ]);
    expect(image.lines).toEqual(["1 changed, 2 as they should be, 0 skipped"]);
  } finally {
    await image.dispose();
  }
});

describe("at launch", () => {
  const context = { address: "base/ansible", parameters: {} };
  test("the machine runs the playbook on itself", () => {
    const fragment = ansible.atLaunch?.({ playbook: "a/site.yml", groups: ["web"], vars: { who: "it's" }, tags: "x" }, context);
    expect(fragment?.payload).toEqual([{ path: "a" }]);
    expect(fragment?.script).toContain("[web]\nimage\n");
    expect(fragment?.script).toContain(`-e '{"who":"it'\\''s"}' -t x "$BAKEHOUSE_PAYLOAD"/a/site.yml`);
  });
  test("secrets are not there", () =>
    expect(() => ansible.atLaunch?.({ playbook: "a.yml", vault: "v" }, context)).toThrow(/needs secrets/));
});
