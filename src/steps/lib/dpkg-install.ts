import type { StepContext } from "../../core/step.ts";

type InstallContext = StepContext<unknown, "root" | "sandbox" | "packages" | "installer">;

/** Installs the step's locked packages, all of them in one run of dpkg, without a network. */
export async function installPackages(context: Omit<InstallContext, "options">, preseed: readonly string[] = []): Promise<void> {
  const { root, sandbox, packages, installer, epochSeconds, signal } = context;
  await installer.add({
    root,
    sandbox,
    packages,
    epochSeconds,
    signal,
    ...(preseed.length === 0 ? {} : { preseed: preseed.join("\n") }),
    log: (line) => context.log(line),
    progress: (message, fraction) => context.progress(fraction === undefined ? { message } : { message, fraction }),
  });
}
