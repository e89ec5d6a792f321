import { join } from "node:path";
import { existsSync } from "node:fs";
import type { RevokeParts } from "../../engine/revoke-image.ts";
import type { GlobalOptions } from "../command.ts";
import { withImages } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";

interface ChannelContext {
  readonly global: GlobalOptions;
  readonly terminal: Terminal;
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export const RECIPE_OPTION = {
  value: "recipe",
  summary: "Take the channels from this recipe first; default the one in the current folder, else as they were declared last",
  completes: "file",
} as const;

/** Opens the store for one command about channels. */
export async function withChannels<T>(context: ChannelContext, work: (parts: RevokeParts) => Promise<T>): Promise<T> {
  const { channelParts } = await import("../../presets/channels.ts");
  return withImages(context, (parts) => work(channelParts(parts, context.env)));
}

/**
 * The same, after what the recipe at hand says about its channels was recorded: whoever changes a gate need not bake before it
 * holds.
 */
export async function withDeclaredChannels<T>(
  context: ChannelContext,
  recipe: string | undefined,
  work: (parts: RevokeParts) => Promise<T>,
): Promise<T> {
  const path = recipe ?? (existsSync(join(context.folder, "bakehouse.yaml")) ? "." : undefined);
  if (path === undefined) return withChannels(context, work);
  const { createBakehouse } = await import("../../presets/create-bakehouse.ts");
  const bakehouse = createBakehouse({ store: context.global.store, env: context.env });
  const loaded = await Promise.resolve()
    .then(() => bakehouse.load(path, { from: context.folder }))
    .finally(() => bakehouse.close());
  const { declareChannels } = await import("../../engine/declare-channels.ts");
  return withChannels(context, async (parts) => {
    await declareChannels(parts, loaded.recipe);
    return work(parts);
  });
}
