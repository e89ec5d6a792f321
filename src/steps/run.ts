import { z } from "zod";
import { BakehouseError } from "../core/errors.ts";
import { LOOK_AT_FAILURE } from "../core/look-at-failure.ts";
import { defineStep } from "../core/step.ts";
import type { StepContext } from "../core/step.ts";
import type { SandboxCommand, SandboxResult } from "../ports/sandbox.ts";
import { readGroups } from "./lib/accounts.ts";
import { environmentName, imagePath, listOf, matching, recipePath, scalar } from "./lib/options.ts";
import { findUser, resolveOwner } from "./lib/owner.ts";
import { heredoc, payloadPath, quote, words } from "./lib/shell.ts";
import { stepFailed } from "./lib/step-error.ts";

const scriptText = () =>
  z
    .string()
    .refine((text) => text.trim() !== "", "is an empty script")
    .refine((text) => !text.includes("\0"), "a script has no NUL in it");

const USER = /^(?:[a-z_][a-z0-9_-]{0,31}|\d{1,10})(?::(?:[a-z_][a-z0-9_-]{0,31}|\d{1,10}))?$/;

const settings = z
  .strictObject({
    script: scriptText().optional().describe("The script itself; {{parameter}} is filled in"),
    file: recipePath().optional().describe("A script beside the recipe; what it is part of the cache key, {{parameter}} is not filled in"),
    shell: z
      .union([z.enum(["sh", "bash"]), z.array(z.string().min(1)).min(1)])
      .optional()
      .describe(
        "sh (with -eu), bash (with -eu and pipefail), or an interpreter and its arguments such as [python3, -I]. Absent: what the script's #! line says, else sh",
      ),
    arguments: z.array(scalar()).optional().describe("Arguments of the script"),
    environment: z.record(environmentName(), scalar()).optional().describe("Environment variables, on top of the fixed ones"),
    workingDirectory: imagePath().optional().describe("Directory inside the image to start in, / if absent"),
    user: z
      .union([matching(USER, 'is no user: write "app", "app:www-data" or "1000:1000"'), z.int().min(0)])
      .optional()
      .describe("User of the image that runs it, root if absent"),
  })
  .superRefine((value, context) => {
    if ((value.script === undefined) === (value.file === undefined)) {
      context.addIssue({
        code: "custom",
        message: `needs either script or file; ${value.script === undefined ? "none is" : "both are"} there`,
        input: value,
      });
    }
  });

const options = z.union([scriptText().describe("The script itself"), settings]);
type Settings = z.output<typeof settings>;

/** Where the script and its helper lie while it runs, in memory. */
const SCRIPT = "bakehouse/script";
const BASH_PRELUDE = "bakehouse/bash-prelude";

/** Runs a script inside the image. */
export const run = defineStep({
  id: "run",
  version: 1,
  role: "provision",
  summary: "Run a script inside the image",
  description: `Runs a script in the sandbox, as root unless \`user\` says otherwise. What it changes in the image is the step's result; it is cached until
the script, its options or anything below changes.

- The script is POSIX \`sh\` with \`-eu\` (stops at the first command that fails and at variables that are not set), or \`bash\` with
  \`-eu -o pipefail\`, or any interpreter that the image has. A script that starts with \`#!\` is run as that line says and has to look
  after its errors itself. With bash, a failure is reported with the line it happened in.
- Every host looks the same from inside: \`PATH\`, \`HOME=/root\`, \`LC_ALL=C.UTF-8\`, \`TZ=UTC\`, \`DEBIAN_FRONTEND=noninteractive\`,
  \`SOURCE_DATE_EPOCH\` and \`environment\` are all there is, with umask 022 and host name \`bakehouse\`. \`/tmp\` and \`/run\` are empty and do not stay.
- There is **no network**, unless the step says \`network: recorded\` (replays what \`bakehouse lock\` recorded) or \`network: true\`
  (the image is then marked as not hermetic).
- **Secrets** named by the step's \`secrets\` are files at \`/run/secrets/<name>\`, in memory, gone with the step. They must not end up in the image; a bake that leaves one fails.
- Programs that it leaves running are killed when it ends. A step may take 30 minutes, or what its \`timeout\` says.`,
  examples: [
    `- run: adduser --version`,
    `- name: compile
  timeout: 10m
  run:
    script: |
      python3 -m compileall -q /srv/shop
      chown -R shop: /srv/shop
    environment: { PYTHONHASHSEED: "0" }`,
    `- run:
    file: scripts/harden.sh
    shell: bash
    arguments: [--strict]`,
    `- run:
    script: print("baked for {{version}}")
    shell: [python3, -I]
    user: nobody
    workingDirectory: /srv`,
  ],
  options,
  needs: ["root", "sandbox", "inputs", "secrets"],
  requires: (value) => {
    const { file } = normalise(value);
    return file === undefined ? {} : { files: [{ path: file, kind: "file" }] };
  },
  async run(context) {
    const value = normalise(context.options);
    const text = value.script ?? context.inputs.readText(value.file ?? "");
    checkDirectory(context, value);
    const command = commandFor(context, value, text);
    const result = await context.sandbox.run(command);
    if (result.exitCode !== 0) throw scriptFailed(context.address, value, text, result);
  },
  atLaunch: (value) => launchFragment(normalise(value)),
});

type Context = StepContext<z.output<typeof options>, "root" | "sandbox" | "inputs" | "secrets">;

const normalise = (value: z.output<typeof options>): Settings => (typeof value === "string" ? { script: value } : value);

function checkDirectory({ root, address }: Context, { workingDirectory }: Settings): void {
  if (workingDirectory === undefined || root.stat(workingDirectory)?.kind === "directory") return;
  throw stepFailed(address, `workingDirectory ${workingDirectory} is no directory in the image`, {
    hint: `make it before, with a step \`file: { path: ${workingDirectory}, directory: true }\``,
  });
}

type Shell = "sh" | "bash" | "own" | readonly string[];

const shellOf = (value: Settings, text: string): Shell => value.shell ?? (text.startsWith("#!") ? "own" : "sh");

function interpreter(shell: Shell, script: string): readonly string[] {
  if (shell === "own") return [script];
  if (shell === "sh") return ["/bin/sh", "-eu", script];
  if (shell === "bash") return ["/bin/bash", "-eu", "-o", "pipefail", script];
  return [...shell, script];
}

/** Says which line failed. BASH_ENV is read before the script and must not reach the programs that it starts. */
const PRELUDE = `unset BASH_ENV
set -E
trap 'printf "line %s: exit code %s: %s\\n" "$LINENO" "$?" "$BASH_COMMAND" >&2' ERR
`;

function commandFor(context: Context, value: Settings, text: string): SandboxCommand {
  const shell = shellOf(value, text);
  const account = accountOf(context, value.user);
  // The sandbox owns these files as root: another user needs the bits for others, and nobody else is in there.
  const readable = value.user === undefined ? 0o500 : 0o555;
  const argv = [...account.prefix, ...interpreter(shell, `/run/${SCRIPT}`), ...listOf(value.arguments).map(String)];
  const environment = Object.fromEntries(Object.entries(value.environment ?? {}).map(([name, content]) => [name, String(content)]));
  const [program = "", ...rest] = argv;
  return {
    argv: [program, ...rest],
    environment: { ...account.environment, ...environment, ...(shell === "bash" ? { BASH_ENV: `/run/${BASH_PRELUDE}` } : {}) },
    ...(value.workingDirectory === undefined ? {} : { workingDirectory: value.workingDirectory }),
    memoryFiles: [
      { path: SCRIPT, content: text, mode: readable },
      ...(shell === "bash" ? [{ path: BASH_PRELUDE, content: PRELUDE, mode: readable }] : []),
      ...context.secrets.names.map((name) => ({
        path: `secrets/${name}`,
        content: context.secrets.get(name),
        mode: value.user === undefined ? 0o400 : 0o444,
      })),
    ],
    onLine: (line) => context.log(line),
  };
}

interface Account {
  readonly prefix: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const SETPRIV = "/usr/bin/setpriv";

/** Whoever mounted the files above may have made their folders for root alone. */
const OPEN_FOLDERS = 'for folder in /run/bakehouse /run/secrets; do [ ! -d "$folder" ] || chmod 0755 "$folder"; done; exec "$@"';

/** setpriv is in util-linux, which every Debian has; su and runuser would open a PAM session. */
function accountOf({ root, address }: Context, user: string | number | undefined): Account {
  if (user === undefined) return { prefix: [], environment: {} };
  const { uid, gid } = resolveOwner(root, address, user);
  const { name, home } = findUser(root, address, String(user).split(":")[0] ?? "");
  if (root.stat(SETPRIV) === undefined)
    throw stepFailed(address, `running as user ${user} needs ${SETPRIV}, which the image lacks`, {
      hint: "install util-linux with an `apt` step before",
    });
  const groups = readGroups(root).filter((group) => name !== undefined && group.members.includes(name));
  const ids = [...new Set([gid, ...groups.map((group) => group.gid)])];
  return {
    prefix: [
      "/bin/sh",
      "-c",
      OPEN_FOLDERS,
      "sh",
      SETPRIV,
      `--reuid=${uid}`,
      `--regid=${gid}`,
      `--groups=${ids.join(",")}`,
      "--inh-caps=-all",
      "--",
    ],
    environment: { HOME: home ?? "/", ...(name === undefined ? {} : { USER: name, LOGNAME: name }) },
  };
}

/** The last lines that are shown with the error; the log has them all. */
const SHOWN_LINES = 12;

function scriptFailed(address: string, value: Settings, text: string, result: SandboxResult): BakehouseError {
  const script = value.file ?? "script";
  const tail = result.tail.map((line) => line.replaceAll(`/run/${SCRIPT}`, script));
  const line = failingLine(result.tail);
  const source = line === undefined ? undefined : text.split("\n")[line - 1]?.trim();
  const place =
    line === undefined ? script : `${script}, line ${line}${source === undefined || source === "" ? "" : ` (${source.slice(0, 120)})`}`;
  const quoted = tail.slice(-SHOWN_LINES).map((one) => `\n  | ${one}`);
  return new BakehouseError("STEP_FAILED", `${address}: ${place} ended with ${ending(result)}${quoted.join("")}`, {
    hint: hintFor(result, value),
    details: { step: address, exitCode: result.exitCode, ...(line === undefined ? {} : { line }), tail: [...tail] },
  });
}

/** From our bash trap, or from what bash and dash say themselves (`script: line 3: …`, `script: 3: …`). */
function failingLine(tail: readonly string[]): number | undefined {
  const trapped = tail.map((line) => /^line (\d+): exit code \d+: /.exec(line)?.[1]).find((line) => line !== undefined);
  const said = tail.map((line) => /\/run\/bakehouse\/script: (?:line )?(\d+): /.exec(line)?.[1]).findLast((line) => line !== undefined);
  const found = trapped ?? said;
  return found === undefined ? undefined : Number(found);
}

function ending({ exitCode, signal }: SandboxResult): string {
  if (signal !== undefined) return `signal ${signal}`;
  if (exitCode === 126) return "exit code 126 (found, but it cannot be executed)";
  if (exitCode === 127) return "exit code 127 (command not found)";
  return exitCode > 128 ? `exit code ${exitCode} (signal ${exitCode - 128})` : `exit code ${exitCode}`;
}

function hintFor({ exitCode }: SandboxResult, value: Settings): string {
  if (exitCode === 127) return `${LOOK_AT_FAILURE}; is the program installed by an earlier step?`;
  return value.shell === "bash" || Array.isArray(value.shell)
    ? LOOK_AT_FAILURE
    : `${LOOK_AT_FAILURE}; with \`shell: bash\` the failing line is shown`;
}

function launchFragment(value: Settings) {
  const shell = shellOf(value, value.script ?? "");
  // Whether a file starts with #! is only known where it lies: the machine looks itself.
  const choose = value.file !== undefined && value.shell === undefined;
  const variables = Object.entries(value.environment ?? {}).map(([name, content]) => `${name}=${content}`);
  const start = [userAtLaunch(value.user), words(...(variables.length === 0 ? [] : ["env", ...variables]))]
    .filter((part) => part !== "")
    .join(" ");
  const args = words(...listOf(value.arguments).map(String));
  const call = (kind: Shell): string =>
    [start, words(...interpreter(kind, "\0").slice(0, -1)), '"$script"', args].filter((part) => part !== "").join(" ");
  const command = choose ? `if [ "$(head -c2 "$script")" = '#!' ]; then ${call("own")}; else ${call("sh")}; fi` : call(shell);
  const place = value.file === undefined ? heredoc('cat > "$script"', value.script ?? "") : `cp ${payloadPath(value.file)} "$script"`;
  return {
    script: `script=$(mktemp)\n${place}\nchmod 0555 "$script"\n(cd ${quote(value.workingDirectory ?? "/")} && ${command})\nrm -f "$script"`,
    ...(value.file === undefined ? {} : { payload: [{ path: value.file }] }),
  };
}

function userAtLaunch(user: string | number | undefined): string {
  if (user === undefined) return "";
  const [name = "", group] = String(user).split(":");
  return `setpriv --reuid=${quote(name)} --regid=${group === undefined ? `"$(id -g ${quote(name)})"` : quote(group)} --init-groups --`;
}
