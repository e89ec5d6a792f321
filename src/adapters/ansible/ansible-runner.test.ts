import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { addPrograms, makeBase, type Base } from "../../../test/steps/step-image.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { Playbook, PlaybookSummary } from "../../ports/ansible-runner.ts";
import type { Workspace } from "../../ports/workspaces.ts";
import { recipeInputs } from "../recipe-inputs/index.ts";
import { overlayWorkspaces } from "../sandbox/overlay-workspaces.ts";
import { ansibleRunner, ansibleVersion } from "./index.ts";
import { dateTimeFacts } from "./nominal-facts.ts";

const EPOCH_SECONDS = 1_700_000_000;
const LENT_DIGEST = `sha256:${"1".repeat(64)}` as const;

let base: Base;
let lent: string;
let top: string;
let workspace: Workspace | undefined;

beforeAll(() => {
  base = makeBase(["chown", "getent", "groupadd", "mktemp", "stat", "true", "false", "test"]);
  // An image without Python, and under it the Python of this machine: what lent packages give.
  lent = mkdtempSync(join(tmpdir(), "bakehouse-lent-"));
  const real = execFileSync("realpath", ["/usr/bin/python3"], { encoding: "utf8" }).trim();
  const version = real.slice(real.lastIndexOf("/") + 1);
  addPrograms(lent, ["python3", version]);
  cpSync(`/usr/lib/${version}`, join(lent, "usr/lib", version), {
    recursive: true,
    filter: (path) => !/\/(?:test|lib2to3|idlelib|config-.*|tkinter|ensurepip)$/.test(path),
  });
});
afterAll(() => {
  base.dispose();
  rmSync(lent, { recursive: true, force: true });
});
afterEach(async () => {
  await workspace?.close();
  workspace = undefined;
  if (top !== undefined) rmSync(top, { recursive: true, force: true });
});

interface Run {
  readonly upper: string;
  readonly lines: readonly string[];
  readonly summary?: PlaybookSummary;
  readonly error?: BakehouseError;
}

/** Runs a playbook of these files in a fresh image. */
async function run(
  files: Readonly<Record<string, string>>,
  more: Partial<Playbook> = {},
  options: { readonly check?: boolean; readonly secrets?: Readonly<Record<string, string>>; readonly timeoutMs?: number } = {},
): Promise<Run> {
  await workspace?.close();
  top = mkdtempSync(join(tmpdir(), "bakehouse-ansible-"));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(top, "recipe", path)), { recursive: true });
    writeFileSync(join(top, "recipe", path), content, { mode: path.endsWith(".sh") ? 0o700 : 0o600 });
  }
  mkdirSync(join(top, "workspace"));
  const open = await overlayWorkspaces({ diffs: base.diffs, diffName: () => "base" }).open({
    folder: join(top, "workspace"),
    lowers: [`sha256:${"0".repeat(64)}`],
    runner: "bubblewrap",
  });
  workspace = open;
  const { signal } = new AbortController();
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const sandbox = open.sandbox({
    epochSeconds: EPOCH_SECONDS,
    network: "none",
    timeoutMs: options.timeoutMs ?? 50_000,
    address: "base/ansible",
    signal,
    lentFolder: () => lent,
    onLine: log,
    mask: (line) => line,
  });
  const playbook: Playbook = {
    playbook: "ansible/site.yml",
    project: { path: "ansible" },
    host: "image",
    groups: [],
    vars: {},
    varsFiles: [],
    secretVars: {},
    vault: {},
    tags: [],
    skipTags: [],
    verbosity: 0,
    facts: {},
    ...more,
  };
  const runner = ansibleRunner({ scratchFolder: () => join(top, "scratch") });
  const inputs = recipeInputs(join(top, "recipe"), [playbook.project, ...playbook.varsFiles.map((path) => ({ path }))]);
  const context = {
    address: "base/ansible",
    root: open.root,
    sandbox,
    inputs,
    lent: { digest: LENT_DIGEST, hostPath: lent },
    secrets: { names: Object.keys(options.secrets ?? {}), get: (name: string) => options.secrets?.[name] ?? "" },
    epochSeconds: EPOCH_SECONDS,
    signal,
    log,
    progress: () => undefined,
  };
  const upper = open.upper;
  try {
    return { upper, lines, summary: await (options.check ? runner.check(playbook, context) : runner.run(playbook, context)) };
  } catch (error) {
    if (error instanceof BakehouseError) return { upper, lines, error };
    throw error;
  } finally {
    expect(readdirSync(join(top, "scratch"))).toEqual([]);
  }
}

/** `name: !vault …`, as ansible-vault writes it. */
function encrypted(name: string, value: string, password: string): string {
  const home = mkdtempSync(join(tmpdir(), "bakehouse-vault-"));
  try {
    writeFileSync(join(home, "password"), password);
    const args = ["encrypt_string", "--vault-id", `prod@${join(home, "password")}`, "--encrypt-vault-id", "prod", "--name", name, value];
    return execFileSync("ansible-vault", args, {
      encoding: "utf8",
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8", ANSIBLE_HOME: home },
      stdio: ["ignore", "pipe", "pipe"],
    });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

const tree = (upper: string): readonly string[] =>
  execFileSync("find", [".", "-mindepth", "1", "!", "-type", "d", "-printf", "%P %y %m %u:%g\n"], { cwd: upper, encoding: "utf8" })
    .trim()
    .split("\n")
    .filter(Boolean)
    .sort();

describe.skipIf(ansibleVersion() === undefined)("a playbook", { timeout: 60_000 }, () => {
  test("changes the image, and nothing of what it was lent stays", async () => {
    const files = {
      "ansible/ansible.cfg": "[defaults]\nstdout_callback = minimal\ntransport = ssh\n",
      "ansible/group_vars/web.yml": "port: 80\n",
      "ansible/site.yml": `
- name: base
  hosts: web
  become: true
  roles: [web]
  post_tasks:
    - name: as another user
      command: id -un
      become_user: app
      environment: { FOO: "a b" }
      register: who
      changed_when: false
    - name: remember
      copy: { content: "{{ who.stdout }} {{ fromfile }} {{ given }} {{ token }}\\n", dest: /srv/facts/who, mode: "0640", group: app }
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - { name: localhost is the image, file: { path: /srv/facts/local, state: touch, mode: "0600" }, delegate_to: elsewhere }
`,
      "ansible/roles/web/tasks/main.yml": `
- { name: folder, file: { path: /srv/facts, state: directory, mode: "0755" } }
- { name: template, template: { src: facts.j2, dest: /srv/facts/machine, mode: preserve }, notify: restart }
- { name: script, script: tool.sh one }
- { name: items, lineinfile: { path: /srv/facts/lines, line: "{{ item }}", create: true, mode: "0644" }, loop: [a, b, a] }
- { name: never, command: "false", when: false }
- { name: forgiven, command: "false", ignore_errors: true }
`,
      "ansible/roles/web/handlers/main.yml": "- { name: restart, command: touch /srv/facts/handled }\n",
      "ansible/roles/web/templates/facts.j2":
        "{{ ansible_hostname }} {{ ansible_processor_vcpus }} {{ ansible_memtotal_mb }} {{ ansible_date_time.iso8601 }} {{ ansible_kernel }} {{ ansible_env.HOME }} {{ ansible_service_mgr }} {{ ansible_machine_id is defined }} {{ port }}\n",
      "ansible/roles/web/files/tool.sh": "#!/bin/sh\necho $1 > /srv/facts/script\n",
      "vars.yml": "fromfile: yes-it-is\n",
    };
    const more: Partial<Playbook> = {
      groups: ["web"],
      vars: { given: 7 },
      varsFiles: ["vars.yml"],
      secretVars: { token: "api" },
      facts: { processor_vcpus: 4 },
    };
    const { upper, lines, summary, error } = await run(files, more, { secrets: { api: "s3cret" } });
    expect(error).toBeUndefined();
    expect(summary).toMatchObject({ changed: 8, skipped: 1, forgiven: 1 });
    expect(tree(upper)).toEqual([
      "srv/facts/handled f 644 root:root",
      "srv/facts/lines f 644 root:root",
      "srv/facts/local f 600 root:root",
      "srv/facts/machine f 644 root:root",
      "srv/facts/script f 644 root:root",
      expect.stringMatching(/^srv\/facts\/who f 640 root:/),
    ]);
    const text = (name: string): string => readFileSync(join(upper, "srv/facts", name), "utf8");
    expect(text("machine")).toBe("bakehouse 4 1024 2023-11-14T22:13:20Z 0.0.0-bakehouse /root systemd False 80\n");
    expect(text("who")).toBe("app yes-it-is 7 s3cret\n");
    expect(text("lines")).toBe("a\nb\n");
    expect(text("script")).toBe("one\n");
    expect(lines.filter((line) => /^(PLAY|TASK|HANDLER)/.test(line)).slice(0, 4)).toEqual([
      "PLAY base",
      "TASK Gathering Facts  (ansible/site.yml:2)",
      "TASK web : folder  (ansible/roles/web/tasks/main.yml:2)",
      "TASK web : template  (ansible/roles/web/tasks/main.yml:3)",
    ]);
    expect(lines.join("\n")).not.toContain("/run/bakehouse/project");
  });

  test("that fails names play, task, message and place", async () => {
    const { error } = await run({
      "ansible/site.yml": "- name: first\n  hosts: all\n  gather_facts: false\n  tasks:\n    - include_tasks: more.yml\n",
      "ansible/more.yml": "- name: fine\n  command: 'true'\n- name: break it\n  command: sh -c 'echo out; echo why >&2; exit 3'\n",
    });
    expect(error?.code).toBe("STEP_FAILED");
    expect(error?.message).toBe(
      'base/ansible: task "break it" of play "first" failed\n  at ansible/more.yml:3\n  | non-zero return code\n  | why\n  | out\n  | exit code 3',
    );
  });

  test("that fails for some items names them; what a rescue catches is no failure", async () => {
    const { error, lines } = await run({
      "ansible/site.yml": `
- hosts: all
  gather_facts: false
  tasks:
    - block: [{ name: caught, command: "false" }]
      rescue: [{ debug: { msg: "saved\\nby rescue" } }]
    - { name: hidden, command: sh -c 'echo topsecret; false', no_log: true, ignore_errors: true }
    - { name: some, command: "test {{ item }} = good", loop: [good, bad] }
`,
    });
    expect(error?.message).toMatch(/task "some" of play "all" failed\n {2}at ansible\/site.yml:8\n {2}\| item bad:/);
    expect(error?.message).not.toContain("caught");
    expect(lines).toContain("  | by rescue");
    expect(lines.join("\n")).not.toContain("topsecret");
  });

  test("that is for other machines fails", async () => {
    const { error } = await run({ "ansible/site.yml": "- name: web servers\n  hosts: webservers\n  tasks: []\n" });
    expect(error?.message).toContain('no play is for this image: "web servers" matched no host');
    expect(error?.help.hint).toContain("groups: [webservers]");
  });

  test("with a mistake is told with its place in the recipe's folder", async () => {
    const { error } = await run({ "ansible/site.yml": "- hosts: all\n  tasks:\n    - nosuchmodule: {}\n" });
    expect(error?.message).toContain("couldn't resolve module/action 'nosuchmodule'");
    expect(error?.message).toContain("'ansible/site.yml': line 3");
  });

  test("cannot read this machine or reach a network from its lookups", async () => {
    const { error } = await run({
      "ansible/site.yml": `
- hosts: all
  gather_facts: false
  tasks:
    - { name: home, assert: { that: "lookup('pipe', 'ls -A /root /home 2>/dev/null; hostname') in ['/root:\\nbakehouse', '/root:\\n\\nbakehouse']" } }
    - { name: net, assert: { that: "lookup('pipe', 'cat /proc/net/dev | wc -l') == '3'" } }
`,
    });
    expect(error).toBeUndefined();
  });

  test("takes an inventory, vault files and tags", async () => {
    const vault = encrypted("sealed", "inner", "open sesame");
    const { upper, error } = await run(
      {
        "ansible/site.yml":
          "- hosts: app\n  gather_facts: false\n  tasks:\n    - { copy: { content: '{{ sealed }} {{ size }} {{ inventory_hostname }}', dest: /out }, tags: now }\n    - { command: 'false', tags: later }\n",
        "ansible/hosts.ini": "[app]\nweb-01 ansible_connection=ssh ansible_host=192.0.2.1 size=big\nweb-02 size=small\n",
        "ansible/group_vars/app.yml": vault,
      },
      { inventory: "ansible/hosts.ini", host: "web-01", tags: ["now"], vault: { prod: "vault" } },
      { secrets: { vault: "open sesame" } },
    );
    expect(error).toBeUndefined();
    expect(readFileSync(join(upper, "out"), "utf8")).toBe("inner big web-01");
  });

  test("says in check mode what it would change", async () => {
    const { upper, summary } = await run(
      {
        "ansible/site.yml":
          "- hosts: all\n  gather_facts: false\n  tasks:\n    - { name: motd, copy: { content: 'hello\\n', dest: /etc/motd } }\n",
      },
      {},
      { check: true },
    );
    expect(summary).toMatchObject({ changed: 1, changes: [{ task: "motd", place: "ansible/site.yml:4" }] });
    expect(summary?.changes[0]?.diff).toContain("+hello");
    expect(existsSync(join(upper, "etc/motd"))).toBe(false);
  });

  test("that overrides module_utils runs with its own", async () => {
    const { upper, error } = await run({
      "ansible/site.yml":
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - { mine: {}, register: result }\n    - { copy: { content: '{{ result.said }}', dest: /said } }\n",
      "ansible/library/mine.py":
        "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\nfrom ansible.module_utils.words import WORD\nm = AnsibleModule(argument_spec={})\nm.exit_json(said=WORD)\n",
      "ansible/module_utils/words.py": "WORD = 'from the project'\n",
    });
    expect(error).toBeUndefined();
    expect(readFileSync(join(upper, "said"), "utf8")).toBe("from the project");
  });

  test("that never ends is ended by the step's timeout", async () => {
    const { error } = await run(
      { "ansible/site.yml": "- hosts: all\n  gather_facts: false\n  tasks:\n    - command: sleep 600\n" },
      {},
      { timeoutMs: 2500 },
    );
    expect(error?.code).toBe("STEP_TIMEOUT");
  });
});

test("facts about time are what Ansible would say at that instant", () => {
  expect(dateTimeFacts(EPOCH_SECONDS)).toMatchObject({
    date: "2023-11-14",
    time: "22:13:20",
    weekday: "Tuesday",
    weekday_number: "2",
    weeknumber: "46",
    iso8601: "2023-11-14T22:13:20Z",
    iso8601_basic_short: "20231114T221320",
    epoch: "1700000000",
  });
  expect(dateTimeFacts(Date.UTC(2023, 0, 1) / 1000)["weeknumber"]).toBe("00");
  expect(dateTimeFacts(Date.UTC(2023, 0, 2) / 1000)["weeknumber"]).toBe("01");
});
