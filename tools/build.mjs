// Builds dist/: the CLI as a bundle in parts (each command is its own part, loaded when it is called), the library,
// and the files that run as processes of their own.
//   --types    adds the declarations, which only `npm pack` needs
//   --clean    removes old parts at once
//   --out DIR  builds there instead of dist/
//
// dist/
//   cli.js            entry of the CLI, never removed: replaced in one rename
//   index.js          the library
//   chunks/*-HASH.js  parts; old ones stay for a day, because a process that is running may still want to load one
//   ansible-plugin/ cell-keeper/   files that other programs read
//   types/            declarations
//   .built            its time stamp is the start of the last build: what is newer makes it stale
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { createHash } from "node:crypto";
import { build } from "esbuild";
import { sourceFiles } from "./source-files.mjs";

const root = dirname(import.meta.dirname);
const { values: flags } = parseArgs({ options: { types: { type: "boolean" }, clean: { type: "boolean" }, out: { type: "string" } } });
const dist = resolve(flags.out ?? join(root, "dist"));
const started = new Date();

/** Programs of our own that are started as processes: name in dist → source. */
const PROCESSES = {};
/** Folders that are copied as they are, if they are there: name in dist → source. */
const COPIES = { "ansible-plugin": "src/adapters/ansible/plugin", "cell-keeper": "src/adapters/cells/keeper" };

/** zod brings its messages in fifty languages, 300 kB that nothing here can reach, since they hang on the namespace `z`. */
const withoutLocales = {
  name: "without-zod-locales",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\/locales\/index\.js$/ }, ({ importer }) =>
      importer.includes("/node_modules/zod/") ? { path: "zod-locales", namespace: "none" } : undefined,
    );
    onLoad({ filter: /.*/, namespace: "none" }, () => ({ contents: "export {};", loader: "js" }));
  },
};

const isThere = (path) => existsSync(join(root, path));
const entries = { cli: "src/cli/entry.ts", index: "src/index.ts", ...PROCESSES };
const present = Object.fromEntries(Object.entries(entries).filter(([, source]) => isThere(source)));

const result = await build({
  absWorkingDir: root,
  entryPoints: present,
  outdir: dist,
  write: false,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  chunkNames: "chunks/[name]-[hash]",
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true,
  legalComments: "none",
  // Some CommonJS dependencies call require() for node: modules.
  banner: { js: 'import{createRequire as bakehouseRequire}from"node:module";const require=bakehouseRequire(import.meta.url);' },
  define: { BAKEHOUSE_BUILD: JSON.stringify(nameOfSources()) },
  plugins: [withoutLocales],
  logLevel: "warning",
  metafile: true,
}).catch(() => process.exit(1)); // esbuild has said what is wrong, with file and line

const written = new Set(result.outputFiles.map(({ path, contents }) => writeIfChanged(path, contents)));
removeOldChunks();
for (const [name, source] of Object.entries(COPIES)) {
  if (isThere(source))
    cpSync(join(root, source), join(dist, name), { recursive: true, filter: (path) => !/\.test\.ts$|__pycache__/.test(path) });
}
writeFileSync(join(dist, "meta.json"), JSON.stringify(result.metafile));
if (flags.types) await declarations();
writeFileSync(join(dist, ".built"), "");
utimesSync(join(dist, ".built"), started, started);

/** Of all that could change what the CLI makes of a recipe. */
function nameOfSources() {
  const hash = createHash("sha256");
  for (const file of ["package-lock.json", "tools/build.mjs", ...sourceFiles(root, "src").filter((name) => !name.endsWith(".test.ts"))])
    if (isThere(file)) hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  return hash.digest("hex").slice(0, 16);
}

function writeIfChanged(path, contents) {
  mkdirSync(dirname(path), { recursive: true });
  if (!existsSync(path) || !readFileSync(path).equals(contents)) {
    const fresh = `${path}.${process.pid}`;
    writeFileSync(fresh, contents);
    renameSync(fresh, path);
  }
  return path;
}

function removeOldChunks() {
  const folder = join(dist, "chunks");
  if (!existsSync(folder)) return;
  const aDayAgo = started.getTime() - 24 * 60 * 60 * 1000;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (!written.has(path) && (flags.clean || statSync(path).mtimeMs < aDayAgo)) rmSync(path);
  }
}

async function declarations() {
  const { spawnSync } = await import("node:child_process");
  const project = join(root, "tools", "tsconfig.types.json");
  const { status } = spawnSync(
    process.execPath,
    [join(root, "node_modules/typescript/bin/tsc"), "-p", project, "--outDir", join(dist, "types")],
    { stdio: "inherit" },
  );
  if (status !== 0) {
    console.error(`tsc -p ${relative(root, project)} failed`);
    process.exit(1);
  }
}
