import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { hostImageRoot } from "../../src/adapters/image-root/image-root.ts";
import { recipeInputs } from "../../src/adapters/recipe-inputs/index.ts";
import { overlayWorkspaces } from "../../src/adapters/sandbox/overlay-workspaces.ts";
import type { ParameterValue } from "../../src/core/recipe/model.ts";
import type { StepDefinition, StepServices } from "../../src/core/step.ts";
import type { ImageRoot } from "../../src/ports/image-root.ts";
import type { Sandbox } from "../../src/ports/sandbox.ts";

/** 2023-11-14T22:13:20Z; day 19675 since 1970. */
export const EPOCH_SECONDS = 1_700_000_000;

export interface StepImage {
  readonly root: ImageRoot;
  /** The recipe's folder. */
  readonly folder: string;
  /** Lines that steps logged. */
  readonly lines: string[];
  /** Puts a file beside the recipe. */
  put(path: string, content?: string): string;
  /** Checks the options as the recipe does, then runs the step. */
  run(definition: StepDefinition, options: unknown, extra?: Partial<RunExtra>): Promise<void>;
  /** A fresh sandbox of the image, if it has one. */
  sandbox(): Sandbox;
  /** Everything below a path: `kind mode uid:gid content`, where content is short text, a digest or a link's target. */
  tree(path?: string): Readonly<Record<string, string>>;
  dispose(): Promise<void>;
}

export interface RunExtra {
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly secrets: Readonly<Record<string, string>>;
  readonly services: Partial<StepServices>;
  readonly timeoutMs: number;
}

/** A small image without a sandbox: the accounts of a Debian base and nothing else. */
export async function plainImage(): Promise<StepImage> {
  const top = mkdtempSync(join(tmpdir(), "bakehouse-step-"));
  const image = join(top, "image");
  mkdirSync(image);
  addAccounts(image);
  return assemble(
    top,
    hostImageRoot(image),
    () => undefined,
    async () => undefined,
  );
}

export interface Base {
  /** Holds one diff, `base`. */
  readonly diffs: string;
  dispose(): void;
}

/** A shell, bash, coreutils, setpriv and what else is asked for, of this Debian. Made once for many images. */
export function makeBase(programs: readonly string[] = []): Base {
  const diffs = mkdtempSync(join(tmpdir(), "bakehouse-base-"));
  const base = join(diffs, "base");
  addAccounts(base);
  addPrograms(base, ["sh", "bash", "cat", "chmod", "env", "id", "ls", "mkdir", "pwd", "rm", "setpriv", "sleep", "touch", ...programs]);
  cpSync("/usr/lib/locale/C.utf8", join(base, "usr/lib/locale/C.utf8"), { recursive: true });
  return { diffs, dispose: () => rmSync(diffs, { recursive: true, force: true }) };
}

/** An image on such a base, in a real sandbox. */
export async function sandboxImage({ diffs }: Base): Promise<StepImage> {
  const top = mkdtempSync(join(tmpdir(), "bakehouse-step-"));
  const folder = join(top, "workspace");
  mkdirSync(folder);
  const workspace = await overlayWorkspaces({ diffs, diffName: () => "base" })
    .open({
      folder,
      lowers: [`sha256:${"0".repeat(64)}`],
      runner: "bubblewrap",
    })
    .catch((cause: unknown) => {
      rmSync(top, { recursive: true, force: true });
      throw cause;
    });
  const sandbox = (extra: Partial<RunExtra>, signal: AbortSignal, onLine: (line: string) => void): Sandbox =>
    workspace.sandbox({
      epochSeconds: EPOCH_SECONDS,
      network: "none",
      timeoutMs: extra.timeoutMs ?? 20_000,
      address: "base/step",
      signal,
      lentFolder: () => "",
      onLine,
      mask: (line) => line,
    });
  return assemble(top, workspace.root, sandbox, () => workspace.close());
}

type MakeSandbox = (extra: Partial<RunExtra>, signal: AbortSignal, onLine: (line: string) => void) => Sandbox | undefined;

function assemble(top: string, root: ImageRoot, makeSandbox: MakeSandbox, close: () => Promise<void>): StepImage {
  const folder = join(top, "recipe");
  mkdirSync(folder);
  const lines: string[] = [];
  return {
    root,
    folder,
    lines,
    put(path, content = path) {
      const file = join(folder, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
      return file;
    },
    async run(definition, given, extra = {}) {
      const options = definition.options.parse(given);
      const { signal } = new AbortController();
      const secrets = extra.secrets ?? {};
      const cleanups: (() => void | Promise<void>)[] = [];
      const services: Partial<StepServices> = {
        root,
        inputs: recipeInputs(folder, definition.requires?.(options).files ?? []),
        secrets: { names: Object.keys(secrets), get: (name) => secrets[name] ?? "" },
        ...extra.services,
      };
      const sandbox = makeSandbox(extra, signal, (line) => lines.push(line));
      try {
        await definition.run({
          ...(services as StepServices),
          ...(sandbox === undefined ? {} : { sandbox }),
          options,
          address: "base/step",
          recipeName: "test",
          parameters: extra.parameters ?? {},
          repositories: [],
          network: "none",
          epochSeconds: EPOCH_SECONDS,
          architecture: "amd64",
          builder: "own",
          signal,
          log: (line) => lines.push(line),
          progress: () => undefined,
          onCleanup: (undo) => cleanups.unshift(undo),
        });
      } finally {
        for (const undo of cleanups) await undo();
      }
    },
    sandbox() {
      const sandbox = makeSandbox({}, new AbortController().signal, (line) => lines.push(line));
      if (sandbox === undefined) throw new Error("This image has no sandbox");
      return sandbox;
    },
    tree: (path = "/") => Object.fromEntries(entriesOf(root, path)),
    async dispose() {
      await close();
      rmSync(top, { recursive: true, force: true });
    },
  };
}

/** Files that differ between two trees, as a step's test wants to see them. */
export function changes(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>) {
  return {
    added: Object.fromEntries(Object.entries(after).filter(([path]) => !(path in before))),
    removed: Object.keys(before).filter((path) => !(path in after)),
    changed: Object.fromEntries(Object.entries(after).filter(([path, value]) => path in before && before[path] !== value)),
  };
}

function entriesOf(root: ImageRoot, folder: string): [string, string][] {
  return root.list(folder).flatMap((name): [string, string][] => {
    const path = folder === "/" ? `/${name}` : `${folder}/${name}`;
    const entry = root.lstat(path);
    if (entry === undefined) return [];
    const mode = entry.mode.toString(8).padStart(4, "0");
    if (entry.kind === "symlink") return [[path, `link ${entry.uid}:${entry.gid} → ${root.readLink(path)}`]];
    if (entry.kind === "directory") return [[path, `directory ${mode} ${entry.uid}:${entry.gid}`], ...entriesOf(root, path)];
    return [
      [path, `${entry.kind} ${mode} ${entry.uid}:${entry.gid} ${entry.kind === "file" ? shown(root.read(path) ?? Buffer.of()) : ""}`],
    ];
  });
}

const shown = (content: Uint8Array): string =>
  content.length <= 300 && !content.includes(0)
    ? JSON.stringify(new TextDecoder().decode(content))
    : createHash("sha256").update(content).digest("hex").slice(0, 12);

function addAccounts(image: string): void {
  mkdirSync(join(image, "etc"), { recursive: true });
  writeFileSync(
    join(image, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/bash\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\napp:x:1001:1002:App:/srv/app:/bin/sh\n",
  );
  writeFileSync(join(image, "etc/group"), "root:x:0:\nadm:x:4:app\nshadow:x:42:\nwww-data:x:33:\napp:x:1002:\nlog:x:1500:app,www-data\n");
  writeFileSync(
    join(image, "etc/shadow"),
    "root:*:19000:0:99999:7:::\nbin:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\napp:!:19000:0:99999:7:::\n",
    { mode: 0o640 },
  );
  writeFileSync(join(image, "etc/gshadow"), "root:*::\nadm:*::app\nshadow:*::\nwww-data:*::\napp:!::\nlog:!::app,www-data\n", {
    mode: 0o640,
  });
}

/** Merged-usr as Debian has it, with the programs and the libraries that they name. */
export function addPrograms(image: string, programs: readonly string[]): void {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    mkdirSync(join(image, "usr", name), { recursive: true });
    if (!existsSync(join(image, name))) symlinkSync(`usr/${name}`, join(image, name));
  }
  for (const name of programs) {
    const program = ["/usr/bin", "/usr/sbin"].map((folder) => join(folder, name)).find((path) => existsSync(path));
    if (program === undefined) throw new Error(`This test needs ${name}, which is not on this machine`);
    copyFileSync(program, join(image, program));
    if (!readFileSync(program).subarray(0, 4).equals(Buffer.from("\x7fELF"))) continue;
    const libraries = execFileSync("ldd", [program], { encoding: "utf8" }).matchAll(/(\/\S+) \(0x/g);
    for (const [, library = ""] of libraries) {
      const target = join(image, library.startsWith("/usr") ? library : `/usr${library}`);
      mkdirSync(dirname(target), { recursive: true });
      if (!existsSync(target)) copyFileSync(library, target);
    }
  }
}

/** The messages of what a schema refuses, with paths. */
export function refusals(definition: StepDefinition, options: unknown): readonly string[] {
  const result = definition.options.safeParse(options);
  return result.success ? [] : flatten(result.error.issues);
}

interface LooseIssue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly errors?: readonly (readonly LooseIssue[])[] | undefined;
}

function flatten(issues: readonly unknown[], base: readonly PropertyKey[] = []): readonly string[] {
  return (issues as readonly LooseIssue[]).flatMap((issue) => {
    const path = [...base, ...issue.path];
    if (issue.errors !== undefined) return issue.errors.flatMap((inner) => flatten(inner, path));
    return [`${path.join(".")}: ${issue.message}`];
  });
}
