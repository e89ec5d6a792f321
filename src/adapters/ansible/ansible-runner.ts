import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, posix } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { JsonValue } from "../../core/json.ts";
import type { AnsibleRunner, Playbook, PlaybookContext, PlaybookSummary } from "../../ports/ansible-runner.ts";
import { restoreLentDirectories } from "../lent-tools/restore-directories.ts";
import { stopServer } from "./bridge.ts";
import { PLACE, runController } from "./controller.ts";
import { parseEvent } from "./events.ts";
import { nominalFacts } from "./nominal-facts.ts";
import { pluginFolder } from "./plugin-folder.ts";
import { PlaybookReport } from "./report.ts";
import { stageFile, stageProject } from "./stage-project.ts";

/** Debian's place for ansible-core; the modules that it holds are lent to the sandbox, read-only. */
const ANSIBLE = "/usr/lib/python3/dist-packages/ansible";
/** Where the server and its files appear inside the image's sandbox: on its tmpfs, so nothing stays. */
const INSIDE = "/run/bakehouse-ansible";

export interface AnsibleRunnerOptions {
  /** Where the files of a run lie while it lasts; each run makes a folder of its own in it and removes it. */
  scratchFolder(): string;
}

/** Ansible from the host, tasks in the sandbox: see plugin/bakehouse_server.py for how they meet. */
export function ansibleRunner(options: AnsibleRunnerOptions): AnsibleRunner {
  return {
    run: (playbook, context) => runPlaybook(options, playbook, context, false),
    check: (playbook, context) => runPlaybook(options, playbook, context, true),
  };
}

/** The version of the host's ansible-core, or undefined. */
export function ansibleVersion(): string | undefined {
  const release = join(ANSIBLE, "release.py");
  return existsSync(release) ? /__version__ = '([^']+)'/.exec(readFileSync(release, "utf8"))?.[1] : undefined;
}

async function runPlaybook(
  options: AnsibleRunnerOptions,
  playbook: Playbook,
  context: PlaybookContext,
  check: boolean,
): Promise<PlaybookSummary> {
  const version = ansibleVersion();
  if (version === undefined || !existsSync("/usr/bin/ansible-playbook")) {
    throw new BakehouseError("SETUP_INCOMPLETE", `${context.address}: this machine has no ansible-core`, {
      hint: "apt-get install ansible-core",
    });
  }
  mkdirSync(options.scratchFolder(), { recursive: true });
  const folder = mkdtempSync(join(options.scratchFolder(), "ansible-"));
  try {
    context.log(`ansible-core ${version}`);
    return await inFolder(folder, playbook, context, check);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function inFolder(folder: string, playbook: Playbook, context: PlaybookContext, check: boolean): Promise<PlaybookSummary> {
  const bridge = join(folder, "bridge");
  mkdirSync(bridge, { mode: 0o700 });
  stageProject(context.inputs, playbook.project, join(folder, "project"));
  const report = new PlaybookReport(context, recipePaths(playbook));
  const linkerCache = context.root.read(LINKER_CACHE);
  const ended = new AbortController();
  // Both start at once: the server imports its modules while the controller reads the playbook.
  const server = startServer(bridge, context).finally(() => writeFileSync(join(bridge, "ended"), ""));
  const controller = runController({
    args: playbookArguments(playbook, check),
    environment: controllerEnvironment(folder),
    writable: { project: join(folder, "project"), bridge },
    readOnly: { plugin: pluginFolder(), ...writeFiles(folder, playbook, context) },
    memoryFiles: secretFiles(playbook, context),
    signal: AbortSignal.any([context.signal, ended.signal]),
    onLine: (line) => {
      const event = parseEvent(line);
      if (event === undefined) report.note(line);
      else report.take(event);
    },
  });
  server.catch(() => ended.abort()); // the step's time is over, or it was stopped
  const exitCode = await controller.finally(() => stopServer(bridge));
  const served = await server;
  context.signal.throwIfAborted();
  if (served.exitCode !== 0 && exitCode !== 0) for (const line of served.tail) report.note(line);
  const problem = report.problem(exitCode);
  if (problem?.code === "STEP_FAILED" && check) return { ...report.summary(), stoppedBy: problem.message };
  if (problem !== undefined) throw problem;
  if (!check) await removeTraces(context, linkerCache);
  return report.summary();
}

const startServer = (bridge: string, context: PlaybookContext) =>
  context.sandbox.run({
    argv: ["/usr/bin/python3", "-s", `${INSIDE}/plugin/bakehouse_server.py`, `${INSIDE}/bridge/socket`, `${INSIDE}/lib`],
    environment: {
      // lent modules must not be compiled into the image, and sets must come in the same order each time
      PYTHONDONTWRITEBYTECODE: "1",
      PYTHONHASHSEED: "0",
      // systemctl enables and masks by itself; start, stop, restart and daemon-reload do nothing, and succeed
      SYSTEMD_OFFLINE: "1",
    },
    mounts: [
      { hostPath: pluginFolder(), path: `${INSIDE}/plugin` },
      { hostPath: ANSIBLE, path: `${INSIDE}/lib/ansible` },
      { hostPath: bridge, path: `${INSIDE}/bridge`, readOnly: false },
    ],
    ...(context.lent.digest === undefined ? {} : { lent: context.lent.digest }),
    onLine: (line) => context.log(line),
  });

const LINKER_CACHE = "/etc/ld.so.cache";

/** What tasks did while lent tools lay beneath the image can have come out other than without them. */
async function removeTraces(context: PlaybookContext, linkerCache: Uint8Array | undefined): Promise<void> {
  if (context.lent.hostPath === undefined) return;
  restoreLentDirectories(context.root, context.lent.hostPath);
  const now = context.root.read(LINKER_CACHE);
  const same = now === undefined || (linkerCache !== undefined && Buffer.compare(linkerCache, now) === 0);
  if (!same) await context.sandbox.check({ argv: ["/sbin/ldconfig"] }); // it would name lent libraries
}

function playbookArguments(playbook: Playbook, check: boolean): readonly string[] {
  const inventories = [...(playbook.inventory === undefined ? [] : [projectPath(playbook, playbook.inventory)]), `${PLACE}/inventory.json`];
  return [
    ...inventories.flatMap((path) => ["--inventory", path]),
    ...(playbook.inventory === undefined ? [] : ["--limit", `${playbook.host},localhost`]),
    ...playbook.varsFiles.flatMap((_, index) => ["--extra-vars", `@${PLACE}/vars/${index}.yml`]),
    ...["--extra-vars", `@${PLACE}/vars.json`],
    ...(Object.keys(playbook.secretVars).length === 0 ? [] : ["--extra-vars", `@${PLACE}/secrets/vars.json`]),
    ...["--extra-vars", `@${PLACE}/connection.json`],
    ...Object.keys(playbook.vault).flatMap((id) => ["--vault-id", `${id}@${PLACE}/secrets/vault-${id}`]),
    ...(playbook.tags.length === 0 ? [] : ["--tags", playbook.tags.join(",")]),
    ...(playbook.skipTags.length === 0 ? [] : ["--skip-tags", playbook.skipTags.join(",")]),
    ...(playbook.verbosity === 0 ? [] : [`-${"v".repeat(playbook.verbosity)}`]),
    ...(check ? ["--check", "--diff"] : []),
    projectPath(playbook, playbook.playbook),
  ];
}

/** The environment wins over the project's ansible.cfg, so these hold whatever it says. */
const controllerEnvironment = (folder: string): Readonly<Record<string, string>> => ({
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  LC_ALL: "C.UTF-8",
  TZ: "UTC",
  PYTHONDONTWRITEBYTECODE: "1",
  PYTHONHASHSEED: "0",
  ANSIBLE_HOME: "/tmp/ansible",
  ANSIBLE_CONFIG: existsSync(join(folder, "project/ansible.cfg")) ? `${PLACE}/project/ansible.cfg` : `${PLACE}/ansible.cfg`,
  ANSIBLE_CONNECTION_PLUGINS: `${PLACE}/plugin/connection`,
  ANSIBLE_CALLBACK_PLUGINS: `${PLACE}/plugin/callback`,
  ANSIBLE_BECOME_PLUGINS: `${PLACE}/plugin/become`,
  ANSIBLE_STDOUT_CALLBACK: "bakehouse",
  ANSIBLE_STRATEGY: "linear",
  ANSIBLE_FORKS: "1",
  ANSIBLE_PIPELINING: "1",
  ANSIBLE_REMOTE_TMP: "/tmp/.ansible",
  ANSIBLE_COLLECTIONS_SCAN_SYS_PATH: "0",
  ANSIBLE_FACT_CACHING: "memory",
  ANSIBLE_NOCOLOR: "1",
  ANSIBLE_NOCOWS: "1",
  ANSIBLE_RETRY_FILES_ENABLED: "0",
  ANSIBLE_LOCALHOST_WARNING: "0",
  ANSIBLE_INVENTORY_UNPARSED_WARNING: "0",
});

/** Writes what the controller reads besides the project; returns it by name below PLACE. */
function writeFiles(folder: string, playbook: Playbook, context: PlaybookContext): Readonly<Record<string, string>> {
  const put = (name: string, content: JsonValue | string): string => {
    const path = join(folder, name);
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  };
  const varsFiles = playbook.varsFiles.map((source, index): readonly [string, string] => {
    const target = join(folder, "vars", String(index));
    stageFile(context.inputs.hostPath(source), target, false);
    return [`vars/${index}.yml`, target];
  });
  const { set, remove } = nominalFacts(context.epochSeconds, playbook.facts);
  return {
    ...Object.fromEntries(varsFiles),
    "inventory.json": put("inventory.json", inventory(playbook)),
    "vars.json": put("vars.json", { ...playbook.vars }),
    "connection.json": put("connection.json", CONNECTION),
    "ansible.cfg": put("ansible.cfg", ""),
    "facts.json": put("facts.json", { set, remove: [...remove] }),
    "/etc/passwd": put("passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
    "/etc/group": put("group", "root:x:0:\nnogroup:x:65534:\n"),
  };
}

/** As extra variables these win over keywords, inventories and roles: every host, `localhost` and `connection: local` too, is the image. */
const CONNECTION: JsonValue = {
  ansible_connection: "bakehouse",
  ansible_user: "root",
  ansible_become_method: "bakehouse",
  ansible_python_interpreter: "/usr/bin/python3",
  ansible_pipelining: true,
};

/** Ansible reads JSON as YAML. */
const inventory = ({ host, groups }: Playbook): JsonValue => ({
  all: { hosts: { [host]: {} }, children: Object.fromEntries(groups.map((group) => [group, { hosts: { [host]: {} } }])) },
});

const secretFiles = (playbook: Playbook, { secrets }: PlaybookContext): Readonly<Record<string, string>> => {
  const variables = Object.entries(playbook.secretVars).map(([name, secret]) => [name, secrets.get(secret)] as const);
  return {
    ...(variables.length === 0 ? {} : { "secrets/vars.json": JSON.stringify(Object.fromEntries(variables)) }),
    ...Object.fromEntries(Object.entries(playbook.vault).map(([id, secret]) => [`secrets/vault-${id}`, secrets.get(secret)])),
  };
};

const projectPath = (playbook: Playbook, path: string): string => `${PLACE}/project/${posix.relative(playbook.project.path, path)}`;

const recipePaths =
  ({ project, varsFiles }: Playbook) =>
  (text: string): string => {
    const inProject = text.replaceAll(
      `${PLACE}/project/`,
      project.path === "." ? "" : `${posix.normalize(project.path).replace(/\/$/, "")}/`,
    );
    return varsFiles.reduce((replaced, file, index) => replaced.replaceAll(`${PLACE}/vars/${index}.yml`, file), inProject);
  };
