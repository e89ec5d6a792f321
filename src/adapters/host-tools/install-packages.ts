import { spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { BakehouseError } from "../../core/errors.ts";
import { installCommand } from "./check-setup.ts";
import type { Host } from "./host.ts";

/**
 * Installs Debian packages on this machine with apt-get, without questions, recommended packages or service starts that
 * nobody asked for. Fetches the package lists first if there are none, and again if a first try fails (old lists).
 *
 * @param onLine  what apt-get says
 * @param policy  the file that Debian's maintainer scripts ask before they start a service
 * @throws BakehouseError SETUP_INCOMPLETE with the last lines of apt-get and the command to try by hand
 */
export async function installPackages(
  packages: readonly string[],
  host: Host,
  onLine: (line: string) => void,
  policy = "/usr/sbin/policy-rc.d",
): Promise<void> {
  if (packages.length === 0) return;
  using _quiet = keepServicesStopped(policy);
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

/**
 * Installing docker-registry must not leave a server running on somebody's machine. The policy asks whether this process
 * is alive, so that one that stays behind after a `kill -9` forbids nothing. A policy that is there already is left alone.
 */
function keepServicesStopped(policy: string): Disposable {
  const script = `#!/bin/sh\n# Of bakehouse doctor --install (process ${process.pid}): no service starts while it installs.\nkill -0 ${process.pid} 2>/dev/null && exit 101\nexit 0\n`;
  try {
    writeFileSync(policy, script, { mode: 0o755, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return { [Symbol.dispose]: () => undefined };
    throw error;
  }
  return { [Symbol.dispose]: () => rmSync(policy, { force: true }) };
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
