import { dirname, normalize } from "node:path/posix";
import { z } from "zod";
import { BakehouseError } from "../core/errors.ts";
import { defineStep } from "../core/step.ts";
import type { FileRequest } from "../core/step.ts";
import type { Playbook } from "../ports/ansible-runner.ts";
import { glob, listOf, oneOrMany, recipePath } from "./lib/options.ts";
import { heredoc, payloadPath, words } from "./lib/shell.ts";

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const variableName = () => z.string().regex(NAME, "use letters, digits and _, not starting with a digit");
const hostName = () => z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "use letters, digits, dots, - and _");
const tag = () => z.string().regex(/^[^\s,]+$/, "a tag has no spaces and commas");
const secretName = () => z.string().min(1);

const settings = z.strictObject({
  playbook: recipePath().describe("The playbook"),
  project: recipePath()
    .optional()
    .describe(
      "Folder that holds everything the playbook reads: roles, group_vars, files, templates, collections, ansible.cfg. Absent: the playbook's folder",
    ),
  excludes: z.array(glob()).optional().describe("Globs of the project that the playbook does not read; changes there do not bake anew"),
  host: hostName().optional().describe("inventory_hostname of the image, image if absent"),
  groups: oneOrMany(z.string().regex(NAME, "use letters, digits and _"))
    .optional()
    .describe("Inventory groups that the image is a member of, besides all"),
  inventory: recipePath()
    .optional()
    .describe("An inventory of the project that has `host` in it; the image takes that host's place, with its groups and variables"),
  vars: z.record(variableName(), z.json()).optional().describe("Extra variables; they win over all others"),
  varsFiles: oneOrMany(recipePath())
    .optional()
    .describe("YAML or JSON files of extra variables, also encrypted ones; later files win over earlier ones"),
  secretVars: z
    .record(variableName(), secretName())
    .optional()
    .describe("Extra variables whose values are secrets: variable → name of a secret of the step"),
  vault: z
    .union([secretName(), z.record(z.string().regex(/^[A-Za-z0-9_-]+$/, "use letters, digits, - and _"), secretName())])
    .optional()
    .describe("Name of the secret that is the vault password, or vault id → name of a secret"),
  tags: oneOrMany(tag()).optional().describe("Only tasks with one of these tags"),
  skipTags: oneOrMany(tag()).optional().describe("No tasks with one of these tags"),
  facts: z
    .record(variableName(), z.json())
    .optional()
    .describe("Facts of the machine that the image is for, such as processor_vcpus (without ansible_), in place of the nominal ones"),
  lend: oneOrMany(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, "write a Debian package name"))
    .optional()
    .describe("More Debian packages that modules need inside, such as python3-debian; lent for the step, not left in the image"),
  verbosity: z.int().min(0).max(4).optional().describe("As many -v for ansible-playbook, 0 if absent"),
});

const options = z.union([recipePath().describe("The playbook"), settings]);
type Options = z.output<typeof options>;
type Settings = z.output<typeof settings>;

const settingsOf = (value: Options): Settings => (typeof value === "string" ? { playbook: value } : value);

/** Runs an existing Ansible playbook against the image. */
export const ansible = defineStep({
  id: "ansible",
  version: 1,
  role: "provision",
  summary: "Run an Ansible playbook against the image",
  description: `Runs a playbook as it is, with its roles, variables and handlers, against the image that is being baked. Debian's \`ansible-core\` runs on the
machine that bakes; the image needs neither Python nor SSH: what modules need inside is lent for the step (locked, like all packages) and does not stay.

- **Every host is the image**: \`hosts: all\`, \`hosts: localhost\`, \`connection: local\` and \`delegate_to\` all mean it. Plays for groups need \`groups\`, or an \`inventory\`
  of yours and \`host\`. A playbook of which no play matches fails.
- The playbook reads its \`project\` folder and nothing else of the machine that bakes; lookups have no network. Collections lie in \`collections/\` of the project.
  Its \`ansible.cfg\` holds, except for what makes the connection.
- **Nothing runs in a bake.** \`enabled\`, \`masked\` work; \`state: started\`, \`restarted\`, handlers and \`daemon_reload\` succeed and do nothing; services start when the image boots.
- **Facts** about the machine (processors, memory, disks, kernel, addresses, time) are those of a nominal small one, the same on every host; \`facts\` sets others.
- \`become\` works for every user of the image without sudo.
- \`apt\`, \`pip\`, \`get_url\` and the like need \`network: recorded\` on the step.
- A value that differs from run to run (\`now()\`, \`password_hash\` without a salt, \`lookup('password', '/dev/null')\`) makes the image differ as well.`,
  examples: [
    `- ansible: ansible/site.yml`,
    `- name: harden
  secrets: [vault]
  network: recorded
  ansible:
    playbook: ansible/playbooks/base.yml
    project: ansible
    groups: [webservers]
    vars: { ssh_port: 22, release: "{{version}}" }
    vault: vault
    tags: [base, ssh]
    skipTags: slow`,
    `- ansible:
    playbook: ansible/site.yml
    inventory: ansible/inventory/production
    host: web-01.example
    facts: { processor_vcpus: 4, memtotal_mb: 8192 }`,
  ],
  options,
  needs: ["ansible", "inputs", "lent", "root", "sandbox", "secrets"],
  requires: (value) => {
    const chosen = settingsOf(value);
    return {
      files: [projectOf(chosen), ...listOf(chosen.varsFiles).map(asFile), ...named(chosen)],
      lent: { names: ["python3", "python3-apt", ...listOf(chosen.lend)], recommends: false },
    };
  },
  run: async (context) => {
    const summary = await context.ansible.run(playbookOf(settingsOf(context.options)), context);
    const { ok, changed, skipped, forgiven } = summary;
    context.log(
      `${changed} changed, ${ok} as they should be, ${skipped} skipped${forgiven === 0 ? "" : `, ${forgiven} failed and forgiven`}`,
    );
  },
  atLaunch: (value, { address }) => {
    const chosen = settingsOf(value);
    if (chosen.vault !== undefined || chosen.secretVars !== undefined) {
      throw new BakehouseError("RECIPE_INVALID", `${address}: needs secrets, and a machine has none of them at launch`, {
        hint: "bake this step (`cake: baked`), or have the machine fetch its secrets itself",
      });
    }
    return { script: launchScript(chosen), payload: [projectOf(chosen), ...listOf(chosen.varsFiles).map((path) => ({ path }))] };
  },
});

/** Files that change with every lock or commit, and that no playbook reads, where the project is the recipe's own folder. */
const NEVER_READ = ["/bakehouse.lock", "/.git", "/node_modules"];

function projectOf({ playbook, project, excludes = [] }: Settings): FileRequest {
  const path = normalize(project ?? dirname(playbook)).replace(/(?<=.)\/$/, "");
  const all = [...(path === "." ? NEVER_READ : []), ...excludes];
  return { path, ...(all.length === 0 ? {} : { excludes: all }) };
}

/** By name, so that one that is missing is told before anything is baked; one outside of the project is told when inputs are read. */
const named = ({ playbook, inventory }: Settings): readonly FileRequest[] => [
  asFile(playbook),
  ...(inventory === undefined ? [] : [{ path: inventory }]),
];

const asFile = (path: string): FileRequest => ({ path, kind: "file" });

function playbookOf(chosen: Settings): Playbook {
  return {
    playbook: chosen.playbook,
    project: projectOf(chosen),
    host: chosen.host ?? "image",
    groups: listOf(chosen.groups),
    ...(chosen.inventory === undefined ? {} : { inventory: chosen.inventory }),
    vars: chosen.vars ?? {},
    varsFiles: listOf(chosen.varsFiles),
    secretVars: chosen.secretVars ?? {},
    vault: typeof chosen.vault === "string" ? { default: chosen.vault } : (chosen.vault ?? {}),
    tags: listOf(chosen.tags),
    skipTags: listOf(chosen.skipTags),
    verbosity: chosen.verbosity ?? 0,
    facts: chosen.facts ?? {},
  };
}

/** At launch the machine itself is the host: Ansible runs on it, with real facts and real services. */
function launchScript(chosen: Settings): string {
  const host = chosen.host ?? "image";
  const groups = listOf(chosen.groups).map((group) => `[${group}]\n${host}\n`);
  const inventory = "/run/bakehouse-inventory.ini";
  const args = [
    ...(chosen.inventory === undefined ? [] : ["-i", payloadPath(chosen.inventory)]),
    ...["-i", inventory, "-l", words(`${host},localhost`), "-e", words("ansible_python_interpreter=/usr/bin/python3")],
    ...listOf(chosen.varsFiles).flatMap((path) => ["-e", `@${payloadPath(path)}`]),
    ...(chosen.vars === undefined ? [] : ["-e", words(JSON.stringify(chosen.vars))]),
    ...(chosen.tags === undefined ? [] : ["-t", words(listOf(chosen.tags).join(","))]),
    ...(chosen.skipTags === undefined ? [] : ["--skip-tags", words(listOf(chosen.skipTags).join(","))]),
    payloadPath(chosen.playbook),
  ];
  return [
    "command -v ansible-playbook >/dev/null || { apt-get -q update; apt-get -qy install --no-install-recommends ansible-core python3-apt; }",
    heredoc(`cat > ${inventory}`, `${host} ansible_connection=local\nlocalhost ansible_connection=local\n${groups.join("")}`),
    `cd ${payloadPath(projectOf(chosen).path)}`,
    `ansible-playbook ${args.join(" ")}`,
  ].join("\n");
}
