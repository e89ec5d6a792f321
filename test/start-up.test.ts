import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { VERSION } from "../src/core/version.ts";

const root = dirname(import.meta.dirname);
const cli = join(root, "dist/cli.js");

interface Metafile {
  readonly outputs: Readonly<
    Record<
      string,
      {
        readonly entryPoint?: string;
        readonly bytes: number;
        readonly imports: readonly { readonly path: string; readonly kind: string }[];
        readonly inputs: Readonly<Record<string, unknown>>;
      }
    >
  >;
}
let meta: Metafile;

beforeAll(() => {
  execFileSync(join(root, "bakehouse"), ["--version"]);
  meta = JSON.parse(readFileSync(join(root, "dist/meta.json"), "utf8")) as Metafile;
});

/** Everything that is loaded at once with an output: what it imports statically, and what that imports. */
function loadedWith(output: string, seen = new Set<string>()): Set<string> {
  if (seen.has(output)) return seen;
  seen.add(output);
  for (const { path, kind } of meta.outputs[output]?.imports ?? [])
    if (kind === "import-statement" && path in meta.outputs) loadedWith(path, seen);
  return seen;
}
const outputOf = (source: string) => Object.entries(meta.outputs).find(([, { entryPoint }]) => entryPoint === source)?.[0] ?? "";
const inputsOf = (outputs: Iterable<string>) => [...outputs].flatMap((output) => Object.keys(meta.outputs[output]?.inputs ?? {}));

describe("starting the CLI", () => {
  it("loads nothing before the compile cache is on", () => {
    expect(inputsOf(loadedWith(outputOf("src/cli/entry.ts"))).filter((input) => input.includes("node_modules"))).toEqual([]);
  });

  it("loads the frame without any command, engine, adapter of weight, or library but commander and picocolors", () => {
    const inputs = inputsOf(loadedWith(outputOf("src/cli/main.ts")));
    const packages = new Set(inputs.flatMap((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1] ?? []));
    expect([...packages].sort()).toEqual(["commander", "picocolors"]);
    expect(inputs.filter((input) => /^src\/(engine|steps|presets|cli\/(commands|reporters|completion|doctor))\//.test(input))).toEqual([]);
  });

  it("loads a command's own part only when it is called", () => {
    const size = [...loadedWith(outputOf("src/cli/main.ts"))].reduce((sum, output) => sum + (meta.outputs[output]?.bytes ?? 0), 0);
    expect(size).toBeLessThan(120_000); // bytes of JavaScript for --help; commander alone is 40,000
  });

  it("ends quietly when the reader has gone away", () => {
    const { status, stderr } = spawnSync(
      "sh",
      ["-c", `{ '${process.execPath}' '${cli}' completion bash; echo "code $?" >&2; } | head -c 10 >/dev/null`],
      { encoding: "utf8" },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "code 0\n" });
  });

  it("has one version everywhere", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    expect([version, execFileSync(process.execPath, [cli, "--version"], { encoding: "utf8" }).trim()]).toEqual([VERSION, VERSION]);
  });

  it("starts through the npm entry with an old Node, too", () => {
    const node =
      (process.env["PATH"] ?? "")
        .split(":")
        .filter((folder) => !folder.includes("node_modules"))
        .map((folder) => join(folder, "node"))
        .find((file) => existsSync(file)) ?? process.execPath;
    expect(execFileSync(node, [join(root, "bin/bakehouse.mjs"), "--version"], { encoding: "utf8" })).toBe(`${VERSION}\n`);
    expect(spawnSync(node, [join(root, "bin/bakehouse.mjs"), "nonsense"], { encoding: "utf8" }).status).toBe(2);
  });
});
