// Every check of the project. Prints a line for each, the whole output of those that fail, and at last `N passed, N failed`,
// where each test counts and each other check counts as one.
//   node tools/check.mjs [name…]    only these
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const bin = (path) => [process.execPath, join(root, "node_modules", path)];
const tool = (name, ...args) => [process.execPath, join(root, "tools", name), ...args];

const CHECKS = [
  { name: "package", what: "the npm package installs and runs", argv: tool("check-package.mjs") },
  { name: "lint", what: "eslint", argv: [...bin("eslint/bin/eslint.js"), "--max-warnings", "0", "."], remedy: "npm run lint -- --fix" },
  { name: "types", what: "tsc", argv: [...bin("typescript/bin/tsc"), "-p", "tsconfig.json", "--noEmit"] },
  {
    name: "format",
    what: "prettier",
    argv: [...bin("prettier/bin/prettier.cjs"), "--check", "--log-level", "warn", "."],
    remedy: "npm run format",
  },
  { name: "imports", what: "who imports whom, no cycles", argv: tool("check-imports.mjs") },
  { name: "dead-code", what: "nothing that nobody uses", argv: tool("check-dead-code.mjs") },
  { name: "generated", what: "generated files are up to date", argv: tool("reference.mjs", "--check"), remedy: "npm run reference" },
  { name: "text", what: "no host names, no paths of one machine", argv: tool("check-text.mjs") },
];

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => name !== "tests" && !CHECKS.some((check) => check.name === name));
if (unknown.length > 0) {
  console.error(`No such check: ${unknown.join(", ")}. There are ${[...CHECKS.map(({ name }) => name), "tests"].join(", ")}.`);
  process.exit(2);
}
const isAsked = (name) => asked.length === 0 || asked.includes(name);
const total = { passed: 0, failed: 0 };

const waiting = CHECKS.filter(({ name }) => isAsked(name));
await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, runWaiting));
if (isAsked("tests")) await runTests();
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

async function runWaiting() {
  for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
    const started = performance.now();
    const { code, output } = await run(check.argv);
    const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`;
    total[code === 0 ? "passed" : "failed"]++;
    console.log(`${code === 0 ? "ok    " : "FAILED"}  ${check.name.padEnd(10)} ${check.what} (${seconds})`);
    if (code !== 0) console.log(`${indent(output)}${check.remedy === undefined ? "" : `\n    try: ${check.remedy}`}`);
  }
}

function indent(text) {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => `    ${line}`)
    .join("\n");
}

function run(argv, options = {}) {
  const [program, ...args] = argv;
  const child = spawn(program, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], ...options });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (chunk) => (output += chunk));
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ code: 127, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** A file that cannot be loaded and an error outside of any test count as one failed test each. */
async function runTests() {
  const folder = mkdtempSync(join(tmpdir(), "bakehouse-check-"));
  const report = join(folder, "tests.json");
  const reporter = process.stdout.isTTY ? "default" : "dot";
  try {
    const argv = [...bin("vitest/vitest.mjs"), "run", `--reporter=${reporter}`, "--reporter=json", `--outputFile.json=${report}`];
    const { code } = await run(argv, { stdio: ["ignore", "inherit", "inherit"] });
    const counted = countTests(report);
    total.passed += counted.passed;
    total.failed += counted.failed + (code !== 0 && counted.failed === 0 ? 1 : 0);
    for (const name of counted.skipped) console.log(`skipped  ${name}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function countTests(report) {
  let results;
  try {
    results = JSON.parse(readFileSync(report, "utf8")).testResults;
  } catch {
    return { passed: 0, failed: 1, skipped: [] };
  }
  const tests = results.flatMap(({ assertionResults }) => assertionResults);
  const broken = results.filter(
    ({ status, assertionResults }) => status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  );
  return {
    passed: tests.filter(({ status }) => status === "passed").length,
    failed: tests.filter(({ status }) => status === "failed").length + broken.length,
    skipped: tests.filter(({ status }) => status !== "passed" && status !== "failed").map(({ fullName }) => fullName),
  };
}
