import { dpkgFailure } from "../../core/debian/dpkg-script.ts";
import type { FoundationRequest } from "../../ports/foundation-installer.ts";
import type { SandboxCommand } from "../../ports/sandbox.ts";

/** `count`: packages that will be configured, for the progress. */
type Running = Pick<FoundationRequest, "sandbox" | "log" | "progress"> & { readonly count: number };

/** Runs dpkg, tells its progress, and names the package that failed. @throws BakehouseError STEP_FAILED */
export async function runDpkg({ sandbox, log, progress, count }: Running, command: SandboxCommand): Promise<void> {
  const lines: string[] = [];
  let configured = 0;
  const onLine = (line: string): void => {
    log(line);
    lines.push(line);
    const name = /^Setting up (\S+)/.exec(line)?.[1];
    if (name !== undefined) progress(`configuring ${name}`, 0.5 + (0.5 * configured++) / Math.max(1, count));
  };
  const result = await sandbox.run({ ...command, onLine });
  if (result.exitCode !== 0) throw dpkgFailure(lines, result);
}
