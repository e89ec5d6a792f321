import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createBakehouse } from "../src/presets/create-bakehouse.ts";
import { copyTree, debianStore } from "./shared-store.ts";

const RECIPE = `name: checked
layers:
  foundation:
    steps:
      - debian: { suite: bookworm }
  base:
    from: foundation
    steps:
      - ansible: { playbook: play/site.yml }
`;

const PLAYBOOK = `- hosts: all
  gather_facts: false
  tasks:
    - name: Say hello
      copy: { content: "hello\\n", dest: /etc/motd }
    - name: Nothing to do
      file: { path: /etc, state: directory }
    - name: Needs what check mode has not done
      command: cat /etc/motd.d/hello
      check_mode: false
`;

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-check-"));
  copyTree((await debianStore()).store, join(folder, "store"));
  mkdirSync(join(folder, "play"));
  writeFileSync(join(folder, "bakehouse.yaml"), RECIPE);
  writeFileSync(join(folder, "play", "site.yml"), PLAYBOOK);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("shows what a playbook would change, how far check mode came, and leaves nothing of it", async () => {
  const bakehouse = createBakehouse({ store: join(folder, "store") });
  try {
    const loaded = bakehouse.load(folder);
    await bakehouse.lock(loaded);
    const [check] = await bakehouse.checkPlaybooks(loaded, bakehouse.plan(loaded));
    expect(check).toMatchObject({ address: "base/ansible", changes: [{ task: "Say hello", place: "play/site.yml:4" }] });
    expect(check?.stoppedBy).toContain("Needs what check mode has not done");
    const after = bakehouse.plan(loaded);
    expect(after.layers.flatMap((layer) => layer.steps.map((step) => [step.address, step.hit]))).toEqual([
      ["foundation/debian", true],
      ["base/ansible", false],
    ]);
    expect(bakehouse.parts.store.kept()).toEqual([]);
  } finally {
    await bakehouse.close();
  }
});
