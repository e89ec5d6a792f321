import { execFile, spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { createBakehouse } from "../../src/presets/create-bakehouse.ts";
import { builtCli, copyTree, TINY_LAYER, tinyRoot, tinyStore } from "../shared-store.ts";

export interface CliRun {
  /** Exit code, or the name of the signal that ended it. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface PrivateMounts {
  /** Words before a command that is to run in it. */
  readonly under: readonly string[];
  run(script: string): Promise<string>;
  end(): void;
}

export interface CliOptions {
  readonly store?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Words before the CLI's own, such as `unshare -n`. */
  readonly under?: readonly string[];
  /** Arguments of Node itself. */
  readonly node?: readonly string[];
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<CliRun>;
  /** Resolves when stderr or stdout has said this. Rejects when the process ends before. */
  said(pattern: RegExp): Promise<void>;
}

/** A recipe's folder and a store of its own, with the real CLI as a real process. */
export class Kitchen {
  readonly folder: string;
  readonly recipe: string;
  readonly store: string;
  private readonly cliFile: string;
  private readonly children: ChildProcess[] = [];

  private constructor(folder: string, cliFile: string) {
    this.folder = folder;
    this.cliFile = cliFile;
    this.recipe = join(folder, "recipe");
    this.store = join(folder, "store");
  }

  /** @param from  a store to start from; default the one with the tiny foundation */
  static async open(from?: string): Promise<Kitchen> {
    const kitchen = new Kitchen(mkdtempSync(join(tmpdir(), "bakehouse-luck-")), await builtCli());
    mkdirSync(kitchen.recipe);
    copyTree(from ?? (await tinyStore()), kitchen.store);
    linkSync(await tinyRoot(), join(kitchen.recipe, "root.tar"));
    return kitchen;
  }

  /** Writes a file of the recipe's folder. */
  write(path: string, content: string | Uint8Array): void {
    const file = join(this.recipe, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }

  /** Writes a recipe whose layer `app` stands on the tiny foundation. `steps`: YAML, each item starting with `- `. */
  steps(steps: string, top = ""): void {
    this.layers(`app:\n  from: os\n  steps:\n${indent(steps, 4)}`, top);
  }

  layers(layers: string, top = ""): void {
    this.write("bakehouse.yaml", `name: tiny\n${top}layers:\n  ${TINY_LAYER}\n${indent(layers, 2)}\n`);
  }

  argv(args: readonly string[], { store = this.store, under = [], node = [] }: CliOptions = {}): readonly [string, ...string[]] {
    const [program = process.execPath, ...words] = [...under, process.execPath, ...node, this.cliFile, "--store", store, ...args];
    return [program, ...words];
  }

  start(args: readonly string[], options: CliOptions = {}, spawning: SpawnOptions = {}): RunningCli {
    const [program, ...words] = this.argv(args, options);
    const child = spawn(program, words, {
      cwd: options.cwd ?? this.recipe,
      env: { ...ENVIRONMENT, HOME: this.folder, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      ...spawning,
    });
    this.children.push(child);
    return running(child);
  }

  cli(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
    return this.start(args, options).ended;
  }

  /** Bakes and gives the digests by layer. @throws Error with what it said when it fails */
  async bake(args: readonly string[] = [], options: CliOptions = {}): Promise<Bake> {
    const run = await this.cli(["bake", "--json", ...args], options);
    if (run.code !== 0) throw new Error(`bake ended with ${run.code}: ${run.stderr}`);
    return bakeOf(run);
  }

  /** Everything outside of its place: mounts, processes, loop devices, cgroups, work folders, temporary files. Must be empty. */
  async leftovers({ except, tries: most = 600 }: { readonly except?: string; readonly tries?: number } = {}): Promise<readonly string[]> {
    for (let tries = 0; ; tries++) {
      const left = leftoversOf(this.folder, this.store).filter((text) => except === undefined || !text.startsWith(except));
      if (left.length === 0 || tries >= most) return left;
      await new Promise((resolve) => setTimeout(resolve, 50)); // what was killed takes a moment to be gone, on a busy machine some seconds
    }
  }

  /** A mount namespace that lives until `end`: what is mounted in it, the test's own machine never sees. */
  async privateMounts(): Promise<PrivateMounts> {
    const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 1000"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.children.push(holder);
    await once(holder.stdout, "data");
    const under = ["nsenter", "--target", String(holder.pid), "--mount", "--", "sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", this.recipe];
    return {
      under,
      run: async (script) => {
        const [program = "", ...words] = under;
        const { stdout } = await promisify(execFile)(program, [...words, "sh", "-euc", script]);
        return stdout;
      },
      end: () => void holder.kill("SIGKILL"),
    };
  }

  /** Ids of bakes with a log, the newest last. */
  logs(): readonly string[] {
    return readdirSync(join(this.store, "logs")).sort();
  }

  /** Lines of the log of the newest bake. */
  log(): readonly string[] {
    return readFileSync(join(this.store, "logs", this.logs().at(-1) ?? "", "log.txt"), "utf8").split("\n");
  }

  /** What the store holds, looked at from beside the CLI. */
  async inspect(): Promise<Inspection> {
    const bakehouse = createBakehouse({ store: this.store });
    try {
      const catalog = bakehouse.parts.catalog();
      const bakes = await catalog.bakes();
      const { misses } = bakehouse.plan(bakehouse.load(this.recipe));
      return {
        images: (await catalog.images()).length,
        running: bakes.filter((bake) => bake.outcome === "running").length,
        misses,
        problems: storeProblems(this.store),
      };
    } finally {
      await bakehouse.close();
    }
  }

  close(): void {
    for (const child of this.children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface Inspection {
  /** Images and volumes in the catalog. */
  readonly images: number;
  /** Bakes that the catalog takes to be running. */
  readonly running: number;
  /** Steps that the next bake of the recipe would bake. */
  readonly misses: number;
  readonly problems: readonly string[];
}

/** Blobs whose bytes are not what their name says, images that lack something, records that name nothing. */
function storeProblems(store: string): readonly string[] {
  const blobs = join(store, "oci/blobs/sha256");
  const names = new Set(readdirSync(blobs));
  const wrong = [...names].filter(
    (name) =>
      createHash("sha256")
        .update(readFileSync(join(blobs, name)))
        .digest("hex") !== name,
  );
  const json = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
  const index = json(join(store, "oci/index.json")) as { readonly manifests: readonly { readonly digest: string }[] };
  const missing = index.manifests.flatMap(({ digest }) => {
    const manifest = json(join(blobs, digest.slice(7))) as {
      readonly config: { readonly digest: string };
      readonly layers: readonly { readonly digest: string }[];
    };
    return [manifest.config, ...manifest.layers]
      .filter((part) => !names.has(part.digest.slice(7)))
      .map((part) => `${digest} lacks ${part.digest}`);
  });
  const records = readdirSync(join(store, "steps")).map(
    (name) => json(join(store, "steps", name)) as { readonly diffId: string; readonly address: string },
  );
  const dangling = records
    .filter((record) => !names.has(record.diffId.slice(7)))
    .map((record) => `the record of ${record.address} names ${record.diffId}`);
  return [...wrong.map((name) => `blob ${name} is damaged`), ...missing, ...dangling];
}

export interface Bake {
  readonly digests: Readonly<Record<string, string>>;
  readonly hits: number;
  readonly baked: number;
}

export function bakeOf(run: CliRun): Bake {
  const data = JSON.parse(run.stdout) as {
    readonly images: readonly { readonly layer: string; readonly digest: string }[];
    readonly hits: number;
    readonly baked: number;
  };
  return { digests: Object.fromEntries(data.images.map(({ layer, digest }) => [layer, digest])), hits: data.hits, baked: data.baked };
}

/** What `--json` prints on stderr for an error. */
export function errorOf(run: CliRun): {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly details?: unknown;
} {
  const line = run.stderr.split("\n").find((text) => text.startsWith('{"error"'));
  if (line === undefined) throw new Error(`no error, but code ${run.code}: ${run.stderr}${run.stdout}`);
  return (JSON.parse(line) as { error: ReturnType<typeof errorOf> }).error;
}

/** Nothing of the user who runs the tests. */
const ENVIRONMENT = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NO_COLOR: "1", LANG: "C.UTF-8" } as const;

export const indent = (text: string, by: number): string => text.replaceAll(/^(?=.)/gm, " ".repeat(by));

export function running(child: ChildProcess): RunningCli {
  const said = { stdout: "", stderr: "" };
  const waiting: { readonly pattern: RegExp; resolve(): void; reject(error: Error): void }[] = [];
  const look = (): void => {
    for (const waiter of [...waiting]) {
      if (!waiter.pattern.test(said.stderr) && !waiter.pattern.test(said.stdout)) continue;
      waiting.splice(waiting.indexOf(waiter), 1);
      waiter.resolve();
    }
  };
  for (const name of ["stdout", "stderr"] as const)
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      said[name] += text;
      look();
    });
  const ended = new Promise<CliRun>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      for (const waiter of waiting)
        waiter.reject(new Error(`ended with ${signal ?? code} before it said ${waiter.pattern}: ${said.stderr}${said.stdout}`));
      resolve({ code: signal ?? code ?? -1, ...said });
    });
  });
  return {
    child,
    pid: child.pid ?? 0,
    ended,
    said: (pattern) =>
      new Promise((resolve, reject) => {
        waiting.push({ pattern, resolve, reject });
        look();
      }),
  };
}

export function leftoversOf(folder: string, store: string): readonly string[] {
  return [...processesOf(folder), ...mountsOf(folder), ...loopsOf(folder), ...cgroupsOf(store), ...temporaryFiles(store)];
}

const processIds = (): readonly string[] => readdirSync("/proc").filter((name) => /^\d+$/.test(name));

const readQuietly = (path: string): string => {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // it ended meanwhile
  }
};

/** Processes that name the folder on their command line, or live in a mount namespace where something of it is mounted. */
export const processesOf = (folder: string): readonly string[] =>
  processIds()
    .filter((pid) => Number(pid) !== process.pid)
    .flatMap((pid) => {
      const words = readQuietly(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
      return words.includes(folder) || readQuietly(`/proc/${pid}/mountinfo`).includes(folder)
        ? [`process ${pid}: ${words.slice(0, 100)}`]
        : [];
    });

const mountsOf = (folder: string): readonly string[] =>
  readQuietly("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => line.includes(folder))
    .map((line) => `mount ${line}`);

const loopsOf = (folder: string): readonly string[] =>
  readdirSync("/sys/block")
    .filter((name) => readQuietly(`/sys/block/${name}/loop/backing_file`).includes(folder))
    .map((name) => `loop device ${name}`);

/** A cgroup's name is the end of its work folder's path, with hyphens. */
function cgroupsOf(store: string): readonly string[] {
  const mark = join(store, "work").replaceAll("/", "-").slice(-20);
  const parents = [
    "/sys/fs/cgroup/bakehouse",
    ...(existsSync("/sys/fs/cgroup") ? readdirSync("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}/bakehouse`) : []),
  ];
  return parents.flatMap((parent) =>
    existsSync(parent)
      ? readdirSync(parent)
          .filter((name) => name.includes(mark))
          .map((name) => `cgroup ${parent}/${name}`)
      : [],
  );
}

/** Work folders and files that were on their way to their place. */
export function temporaryFiles(store: string): readonly string[] {
  const walk = (folder: string): readonly string[] =>
    readdirSync(join(store, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      // the content of an unpacked diff may be called as it likes, and its links lead anywhere
      return entry.isDirectory() && folder !== "diffs" && folder !== "work" ? [path, ...walk(path)] : [path];
    });
  const isTemporary = (path: string): boolean => /^work\/./.test(path) || /(^|\/)\.?(tmp-|part-|new-)|\.part-|\.new-|\.tmp$/.test(path);
  return existsSync(store) ? walk("").filter(isTemporary) : [];
}
