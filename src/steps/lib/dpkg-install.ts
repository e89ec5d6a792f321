import { BakehouseError } from "../../core/errors.ts";
import type { StepContext } from "../../core/step.ts";

type InstallContext = StepContext<unknown, "root" | "sandbox" | "packages" | "installer">;

/** Installs the step's locked packages, all of them in one run of dpkg, without a network. */
export async function installPackages(context: Omit<InstallContext, "options">, preseed: readonly string[] = []): Promise<void> {
  const { root, sandbox, packages, installer, epochSeconds, signal } = context;
  await addressed(context.address, () =>
    installer.add({
      root,
      sandbox,
      packages,
      epochSeconds,
      signal,
      ...(preseed.length === 0 ? {} : { preseed: preseed.join("\n") }),
      log: (line) => context.log(line),
      progress: (message, fraction) => context.progress(fraction === undefined ? { message } : { message, fraction }),
    }),
  );
}

/** Puts the step's address before what an installer says of its packages. */
export async function addressed(address: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (!(cause instanceof BakehouseError) || cause.message.startsWith(`${address}: `)) throw cause;
    throw new BakehouseError(cause.code, `${address}: ${cause.message}`, cause.help, cause);
  }
}
