import type { Cake } from "../recipe/model.ts";

/** A layer as far as this question needs it: of a recipe, or of one that is still being read. */
export interface StandingLayer {
  readonly name: string;
  readonly from?: { readonly layer: string } | { readonly image: string } | undefined;
}

/**
 * The layers that are not baked, but carried out when a machine starts.
 *
 * @returns `baked`: none. `software`: the top layers, those that nothing stands on (the app's code). `boot`: all but the
 *          foundations. A layer that stands on nothing, or on an image of the store, is a foundation and always baked
 */
export function launchedLayers(cake: Cake, layers: readonly StandingLayer[]): ReadonlySet<string> {
  if (cake === "baked") return new Set();
  const parents = new Set(layers.map(({ from }) => (from !== undefined && "layer" in from ? from.layer : undefined)));
  const isLaunched = ({ name, from }: StandingLayer): boolean =>
    from !== undefined && "layer" in from && (cake === "boot" || !parents.has(name));
  return new Set(layers.filter(isLaunched).map(({ name }) => name));
}
