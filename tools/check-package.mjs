// Packs the npm package as `npm publish` would, looks at what is in it, and installs it for real into an empty folder.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const folder = mkdtempSync(join(tmpdir(), "bakehouse-package-"));
const stage = join(folder, "stage");
const user = join(folder, "user");
const problems = [];

try {
  const { files, version, exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  // Built beside, not into dist/: tests and other processes run from there.
  for (const name of ["package.json", ...files.filter((name) => !name.startsWith("!") && name !== "dist")]) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(stage, name), { recursive: true });
    else problems.push(`package.json names ${name} under "files", which is not there`);
  }
  run(process.execPath, [join(root, "tools", "build.mjs"), "--types", "--out", join(stage, "dist")]);
  const [packed] = JSON.parse(run("npm", ["pack", "--json", "--ignore-scripts", "--loglevel=error", "--pack-destination", folder], stage));
  const names = packed.files.map(({ path }) => path);
  for (const name of [
    "bin/bakehouse.mjs",
    "dist/cli.js",
    "LICENSE",
    "README.md",
    ...Object.values(exports["."]).map((path) => path.slice(2)),
  ]) {
    if (!names.includes(name)) problems.push(`the package lacks ${name}`);
  }
  for (const name of names)
    if (/\.test\.|(^|\/)\.|node_modules|\.tgz$|meta\.json$/.test(name))
      problems.push(`the package has ${name}, which does not belong there`);
  if (packed.unpackedSize > 5_000_000) problems.push(`the package unpacks to ${packed.unpackedSize} bytes; at most 5,000,000 are expected`);

  const { publint } = await import("publint");
  const { formatMessage } = await import("publint/utils");
  const manifest = JSON.parse(readFileSync(join(stage, "package.json"), "utf8"));
  const { messages } = await publint({ pkgDir: stage, strict: true, pack: false });
  problems.push(...messages.filter(({ type }) => type !== "suggestion").map((message) => `publint: ${formatMessage(message, manifest)}`));

  execFileSync("mkdir", ["-p", user]);
  writeFileSync(join(user, "package.json"), '{ "private": true, "type": "module" }\n');
  run("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline", join(folder, packed.filename)], user);
  expectOutput(["npx", "--no-install", "bakehouse", "--version"], `${version}\n`);
  expectOutput([join(user, "node_modules/.bin/bakehouse"), "--version"], `${version}\n`);
  writeFileSync(join(user, "use.mjs"), 'import * as api from "bakehouse"; console.log(typeof api.createBakehouse);\n');
  expectOutput([process.execPath, join(user, "use.mjs")], "function\n");
  typesAlone();
  problems.push(`${names.length} files, ${packed.size} bytes packed`);
} catch (error) {
  problems.push(error.message, String(error.stderr ?? ""), String(error.stdout ?? ""), "stopped");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(problems.filter((line) => line !== "").join("\n"));
process.exitCode = problems.length === 1 ? 0 : 1;

/** The declarations say all that they need themselves: a user has TypeScript and no @types/node, and looks at libraries, too. */
function typesAlone() {
  writeFileSync(
    join(user, "use.ts"),
    `import { BakehouseError, createBakehouse, recipe, type BakeResult } from "bakehouse";
const shop = recipe("shop").layer("foundation", (layer) => layer.debian({ suite: "bookworm" }));
const bakehouse = createBakehouse({ store: "store" });
export const result: Promise<BakeResult> = bakehouse.bake(bakehouse.define(shop, { folder: "." }), { onEvent: ({ type }) => type });
export const isOurs = (error: unknown): boolean => error instanceof BakehouseError && error.code === "RECIPE_INVALID";
`,
  );
  const compilerOptions = { strict: true, module: "nodenext", target: "es2024", noEmit: true, skipLibCheck: false, types: [] };
  writeFileSync(join(user, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
  try {
    run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", user], user);
  } catch (error) {
    problems.push("tsc of a user without @types/node:", error.stdout);
  }
}

/** With the PATH of a user: without this clone's Node and tools, so that an old Node of the system is tried, too. */
function run(program, args, cwd = root) {
  const path = (process.env.PATH ?? "").split(":").filter((entry) => !entry.startsWith(root) && !entry.includes("node_modules"));
  return execFileSync(program, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PATH: path.join(":"), NODE_OPTIONS: "" },
  });
}

function expectOutput([program, ...args], expected) {
  const output = run(program, args, user);
  if (output !== expected)
    problems.push(`${[program, ...args].join(" ")} printed ${JSON.stringify(output)} instead of ${JSON.stringify(expected)}`);
}
