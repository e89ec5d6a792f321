import { execFile } from "node:child_process";
import { faultsOf, type HostFault } from "./check-setup.ts";
import { findProgram } from "./find-program.ts";
import { type Host, thisHost } from "./host.ts";
import { type Feature, type HostTool, toolsFor } from "./tools.ts";

/** `old`: there, but below the version that was tried. */
export type ToolState = "present" | "old" | "missing";

export interface ToolReport extends HostTool {
  readonly state: ToolState;
  readonly file?: string;
  readonly version?: string;
}

export interface HostReport {
  readonly faults: readonly HostFault[];
  readonly tools: readonly ToolReport[];
}

/** Starts each program once to read its version, eight at a time. */
export async function examineHost(features: readonly Feature[], host: Host = thisHost()): Promise<HostReport> {
  const tools = toolsFor(features);
  const reports: ToolReport[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < tools.length; index = next++) {
      const tool = tools[index];
      if (tool !== undefined) reports[index] = await examineTool(tool, host);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return { faults: faultsOf(host), tools: reports };
}

async function examineTool(tool: HostTool, host: Host): Promise<ToolReport> {
  const file = findProgram(tool.name, host.path);
  if (file === undefined) return { ...tool, state: "missing" };
  const version =
    tool.versionArguments === undefined
      ? await packageVersion(tool.debianPackage, host)
      : await readVersion(file, tool.versionArguments, host);
  if (version === undefined) return { ...tool, state: "present", file };
  return { ...tool, state: tool.minimum !== undefined && isOlder(version, tool.minimum) ? "old" : "present", file, version };
}

/** Programs disagree about where they print it and with which exit code, so both are ignored. */
async function readVersion(file: string, args: readonly string[], host: Host): Promise<string | undefined> {
  return /\d+(?:\.\d+)+|(?<=\s)\d{2,}(?=\s)/.exec(await outputOf(file, args, host))?.[0];
}

/** For what cannot say its own version (mkfs.erofs 1.5, a keyring); undefined on systems without dpkg. */
async function packageVersion(name: string, host: Host): Promise<string | undefined> {
  const dpkgQuery = findProgram("dpkg-query", host.path);
  if (dpkgQuery === undefined) return undefined;
  return /^(?:\d+:)?(\d+(?:\.\d+)*)/.exec(await outputOf(dpkgQuery, ["--show", "--showformat=${Version}", name], host))?.[1];
}

function outputOf(file: string, args: readonly string[], host: Host): Promise<string> {
  return new Promise((resolve) => {
    const env = { PATH: host.path, HOME: process.env["HOME"] ?? "/", LC_ALL: "C.UTF-8" };
    const child = execFile(file, args, { timeout: 20_000, env }, (_error, stdout, stderr) => resolve(`${stdout}\n${stderr}`));
    child.stdin?.end();
  });
}

/** Compares dotted numbers: `2.9` is older than `2.38`. */
export function isOlder(version: string, minimum: string): boolean {
  const [have, want] = [version, minimum].map((text) => text.split(".").map(Number)) as [number[], number[]];
  for (let index = 0; index < want.length; index++) {
    const difference = (have[index] ?? 0) - (want[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
