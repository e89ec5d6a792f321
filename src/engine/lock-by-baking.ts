import type { Sha256 } from "../core/digest.ts";
import type { Lock, RecordedResponse } from "../core/lock/model.ts";
import { bakeBelow } from "./bake.ts";
import type { BakeInput } from "./bake-input.ts";
import type { BoundStep } from "./bound-recipe.ts";
import type { BaseSystem } from "./lock-recipe.ts";
import type { EngineParts } from "./parts.ts";
import { tryStep, type Watching } from "./try-step.ts";

/**
 * Runs a `network: recorded` step once with the network open to the recorder. Its result is thrown away: the bake runs it
 * again from the recording, which shows that the recording is whole.
 */
export async function recordNetwork(
  parts: EngineParts,
  input: BakeInput,
  bound: BoundStep,
  watching: Watching,
): Promise<readonly RecordedResponse[]> {
  const { address } = bound.step;
  let recorded: readonly RecordedResponse[] = [];
  await tryStep(parts, input, bound, {
    ...watching,
    openNetwork: async ({ holderPid }, log) => {
      const mirrors = await parts.mirrors(input.recipe);
      const session = await parts.network.record({
        address,
        namespacePid: holderPid,
        mirrors,
        signal: watching.signal,
        log: (line) => log.write(address, line),
      });
      return { ...session, close: async () => void (recorded = await session.close()) };
    },
  });
  return recorded;
}

/** dpkg's state of a foundation that is no Debian suite, or of an image outside of the recipe; undefined where there is no dpkg. */
export async function readBaseSystem(
  parts: EngineParts,
  input: Omit<BakeInput, "lock">,
  lowest: BoundStep,
  image: Sha256 | undefined,
  watching: Watching & { resolveImage(reference: string): Promise<Sha256> },
): Promise<BaseSystem | undefined> {
  const diffs =
    image === undefined ? await foundationDiffs(parts, input, lowest, watching) : parts.store.images.config(image).rootfs.diff_ids;
  const read = parts.readLower(diffs);
  const status = read("/var/lib/dpkg/status");
  if (status === undefined) return undefined;
  const suite = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(read("/usr/lib/os-release") ?? read("/etc/os-release") ?? "")?.[1];
  return { status, ...(suite === undefined ? {} : { suite }) };
}

async function foundationDiffs(
  parts: EngineParts,
  input: Omit<BakeInput, "lock">,
  lowest: BoundStep,
  watching: Watching & { resolveImage(reference: string): Promise<Sha256> },
): Promise<readonly Sha256[]> {
  const { image } = lowest.requirements;
  const lock: Lock | undefined =
    image === undefined ? undefined : imageLock(lowest.step.address, image, await watching.resolveImage(image));
  return (await bakeBelow(parts, { ...input, lock }, lowest, watching, true)).diffs;
}

/** As much of a lock as an image foundation needs to be baked by itself. */
const imageLock = (address: string, reference: string, digest: Sha256): Lock => ({
  lockVersion: 1,
  integrity: digest,
  architecture: "amd64",
  epochs: {},
  parents: {},
  steps: { [address]: { request: digest, image: { reference, digest } } },
});
