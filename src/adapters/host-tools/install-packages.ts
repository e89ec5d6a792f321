import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { BakehouseError } from "../../core/errors.ts";
import { installCommand } from "./check-setup.ts";
import type { Host } from "./host.ts";

/**
 * Installs Debian packages on this machine with apt-get, without questions, recommended packages or service starts that
 * nobody asked for. Fetches the package lists first if there are none, and again if a first try fails (old lists).
 *
 * @param onLine  what apt-get says
 * @throws BakehouseError SETUP_INCOMPLETE with the last lines of apt-get and the command to try by hand
 */
export async function installPackages(packages: readonly string[], host: Host, onLine: (line: string) => void): Promise<void> {
  if (packages.length === 0) return;
  const install = ["install", "--yes", "--no-install-recommends", ...packages];
  let last: AptResult = { exitCode: 1, tail: [] };
  if (hasPackageLists()) last = await aptGet(install, host, onLine);
  if (last.exitCode !== 0) {
    const update = await aptGet(["update"], host, onLine);
    last = update.exitCode === 0 ? await aptGet(install, host, onLine) : update;
  }
  if (last.exitCode === 0) return;
  throw new BakehouseError(
    "SETUP_INCOMPLETE",
    `apt-get could not install ${packages.join(", ")}:\n${last.tail.map((line) => `  ${line}`).join("\n")}`,
    {
      hint: `apt-get update\n${installCommand(packages, host)}`,
    },
  );
}

interface AptResult {
  readonly exitCode: number;
  readonly tail: readonly string[];
}

const LISTS = "/var/lib/apt/lists";
const hasPackageLists = (): boolean => existsSync(LISTS) && readdirSync(LISTS).some((name) => name.includes("_Packages"));

function aptGet(args: readonly string[], host: Host, onLine: (line: string) => void): Promise<AptResult> {
  const waitForOtherApt = "DPkg::Lock::Timeout=300"; // seconds; unattended-upgrades holds it on fresh machines
  const argv = ["-o", waitForOtherApt, "-o", "APT::Color=0", "-o", "Dpkg::Use-Pty=0", "-o", "Acquire::Retries=3", ...args];
  const child = spawn("apt-get", argv, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PATH: host.path, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
  });
  const tail: string[] = [];
  let rest = "";
  const take = (chunk: string): void => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      tail.push(line);
      if (tail.length > 12) tail.shift();
      onLine(line);
    }
  };
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", take);
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ exitCode: 127, tail: [error.message] }));
    child.on("close", (exitCode) => resolve({ exitCode: exitCode ?? 1, tail }));
  });
}
